"""One request of the gateway's own to an HTTP target, and its whole answer: on a kept connection where there is one.

What is asked this way changes nothing, so that it may be asked again where a kept connection was closed under it.
"""

from __future__ import annotations

import asyncio

from gatebook.config import WebTarget
from gatebook.errors import GatebookError
from gatebook.gateway.http.upstream import Pool, Upstream
from gatebook.protocols.http.lane import addressed
from gatebook.protocols.http.message import Data, End, Message, Request, Response

ANSWER_BYTES = 4 * 1024 * 1024  # no object of a cluster is longer, and no page of names


class UnansweredError(GatebookError):
    """There is no whole answer; says why."""


async def ask(
    pool: Pool, target: WebTarget, role: str, request: Request, content: bytes, most: int = ANSWER_BYTES
) -> tuple[Response, bytes]:
    """Its answer, of so many bytes at most. Raises UnansweredError, and DialError with a sentence fit for people."""
    kept = pool.take(target.name, role)
    if kept is not None:
        found = await _Asked(kept, most).ask(pool, target, role, request, content)
        if found is not None:
            return found
    found = await _Asked(await pool.dial(target, role), most).ask(pool, target, role, request, content)
    if found is None:
        raise UnansweredError(f"target {target.name} closed the connection before its answer was complete")
    return found


class _Asked:
    """One try, on one connection."""

    def __init__(self, upstream: Upstream, most: int) -> None:
        self._upstream, self._most = upstream, most
        self._head: Response | None = None
        self._content: list[bytes] = []
        self._size = 0
        self._whole: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def ask(
        self, pool: Pool, target: WebTarget, role: str, request: Request, content: bytes
    ) -> tuple[Response, bytes] | None:
        """The answer; None where the connection was closed instead. However it ends, the connection is nobody's then."""
        upstream = self._upstream
        try:
            upstream.ask(self, addressed(request, upstream.origin), len(content))
            if content:
                upstream.send(Data(content))
            upstream.send(End())
            upstream.push()
            whole = await self._whole
        except BaseException:
            upstream.close()
            raise
        if not whole or self._head is None:
            upstream.close()
            return None
        pool.give_back(target.name, role, upstream)
        return self._head, b"".join(self._content)

    def from_target(self, message: Message) -> None:
        """A message of the target."""
        if self._whole.done():
            return
        match message:
            case Response(status) if status >= 200:
                self._head = message
            case Data(data):
                self._size += len(data)
                self._content.append(data)
                if self._size > self._most:
                    self._whole.set_exception(UnansweredError(f"the target's answer is longer than {self._most:,} bytes"))
            case End():
                self._whole.set_result(True)
            case _:
                pass

    def target_gone(self, why: str) -> None:
        """The connection is of no use any more."""
        if not self._whole.done():
            self._whole.set_result(False)

    def flow(self) -> None:
        """The target takes more, or no more: what is sent is short enough to wait."""
