"""One request's way to its target: a connection found or dialled, and what was asked on a kept one asked anew where that is
safe.

A kept connection may be closed by its target in the moment in which it is used. What has no content, changes nothing by its
method and was not answered yet is then asked again, once, on a connection of its own; all else is told as what it is.

Calls of gRPC go by HTTP/2 (``upstream2.py``), all else by HTTP/1.1.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from gatebook.config import WebTarget
from gatebook.gateway.http.upstream import DialError, Upstream
from gatebook.gateway.http.upstream2 import Call
from gatebook.protocols.http import grpc
from gatebook.protocols.http.lane import addressed
from gatebook.protocols.http.message import Data, End, Message, Request, Response

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

log = structlog.get_logger("gatebook.http")

HEAD_SECONDS = 300.0  # for a target to begin its answer
_SAFE = ("GET", "HEAD", "OPTIONS")


class Asker(Protocol):
    """Whose errand it is."""

    @property
    def may_repeat(self) -> bool:
        """Whether nobody heard of an answer yet."""
        ...

    @property
    def only_reads(self) -> bool:
        """Whether what is asked changes nothing, as far as rules know: a yes to more than that is to one time."""
        ...

    def from_target(self, message: Message) -> None:
        """A message of the target."""
        ...

    def target_failed(self, status: int, why: str) -> None:
        """The target does not do its part."""
        ...

    def flow(self) -> None:
        """The target takes more, or no more."""
        ...


class Errand:
    """Owned by one exchange."""

    def __init__(self, gateway: Gateway, asker: Asker, target: WebTarget, role: str) -> None:
        self._gateway, self._asker, self._target, self._role = gateway, asker, target, role
        self._upstream: Upstream | Call | None = None
        self._waiting: list[tuple[Message, int | None]] = []
        self._request: Request | None = None
        self._sent_content = self._over = self._repeated = self._calls = False
        self._patience: asyncio.TimerHandle | None = None

    def begin(self, request: Request, length: int | None) -> None:
        """The head of the request."""
        self._request = request
        self._patience = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_slow)
        self._calls = grpc.spoken(request.fields) and not request.upgrade
        kept = self._gateway.http.calls if self._calls else self._gateway.http.pool
        found = kept.take(self._target.name, self._role)
        if found is None:
            self._waiting = [(request, length)]
            self._gateway.spawn(self._dial())
        else:
            self._upstream = found
            self._ask(found, request, length)

    def take_over(self, upstream: Upstream, message: Message, length: int | None) -> None:
        """The same of what was sent on this connection already."""
        if isinstance(message, Request):
            self._request, self._upstream = message, upstream
            self._patience = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_slow)
            upstream.take_over(self, addressed(message, upstream.origin), length)
        elif isinstance(message, Data | End):
            self._sent_content = self._sent_content or isinstance(message, Data)
            upstream.took(message)

    def send(self, message: Data | End) -> None:
        """What belongs to it."""
        self._sent_content = self._sent_content or isinstance(message, Data)
        if self._upstream is None:
            self._waiting.append((message, None))
        else:
            self._upstream.send(message)

    def push(self) -> None:
        """One write for all that was said."""
        if self._upstream is not None:
            self._upstream.push()

    @property
    def full(self) -> bool:
        """Whether the target takes no more, or is not there yet."""
        return bool(self._waiting) or (self._upstream is not None and self._upstream.full)

    def read(self, wanted: bool) -> None:
        """Go on reading the target, or stop."""
        if self._upstream is not None:
            self._upstream.read(wanted)

    def done(self) -> None:
        """The answer is whole: the connection is good for another request, if all was said on it."""
        upstream, self._upstream = self._upstream, None
        self._end()
        if isinstance(upstream, Call):
            upstream.close()
        elif upstream is not None:
            upstream.push()
            self._gateway.http.pool.give_back(self._target.name, self._role, upstream)

    def drop(self) -> None:
        """Nobody waits for it any more."""
        upstream, self._upstream = self._upstream, None
        self._end()
        if upstream is not None:
            upstream.close()

    def _end(self) -> None:
        self._over = True
        self._waiting.clear()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    # The connection -------------------------------------------------------------------------------------------------------

    def _ask(self, upstream: Upstream | Call, request: Request, length: int | None) -> None:
        said = addressed(request, upstream.origin)
        if isinstance(upstream, Call):
            upstream.ask(self, said)
        else:
            upstream.ask(self, said, length)

    async def _dial(self) -> None:
        """A fault of ours ends this errand alone, and is told to the operator."""
        try:
            await self._dialled()
        except Exception:
            log.exception("an errand failed", target=self._target.name)
            self._fail(502, f"target {self._target.name} cannot be asked this; the gateway's log says why")

    async def _dialled(self) -> None:
        upstream: Upstream | Call
        http = self._gateway.http
        try:
            if self._calls:
                upstream = await http.calls.dial(self._target, self._role)
            else:
                upstream = await http.pool.dial(self._target, self._role)
        except DialError as error:
            self._fail(502, str(error))
            return
        if self._over:
            upstream.close()
            return
        self._upstream = upstream
        waiting, self._waiting = self._waiting, []
        for message, length in waiting:
            if isinstance(message, Request):
                self._ask(upstream, message, length)
            elif isinstance(message, Data | End):
                upstream.send(message)
        upstream.push()
        self._asker.flow()

    def from_target(self, message: Message) -> None:
        """A message of the target."""
        if self._patience is not None and isinstance(message, Response) and (message.status >= 200 or message.status == 101):
            self._patience.cancel()
            self._patience = None
        self._asker.from_target(message)

    def target_gone(self, why: str) -> None:
        """The connection is of no use any more."""
        upstream, self._upstream = self._upstream, None
        if self._over:
            return
        if upstream is not None and not upstream.fresh and self._request is not None and self._repeats(self._request):
            self._repeated = True
            self._waiting = [(self._request, 0), (End(), None)]
            self._gateway.spawn(self._dial())
            return
        self._fail(502, f"target {self._target.name}: {why}")

    def _repeats(self, request: Request) -> bool:
        safe = self._asker.only_reads and request.method in _SAFE and not request.upgrade and not self._sent_content
        return safe and not self._repeated and self._asker.may_repeat

    def flow(self) -> None:
        """The target takes more, or no more."""
        if not self._over:
            self._asker.flow()

    def _too_slow(self) -> None:
        self._patience = None
        self._fail(504, f"target {self._target.name} did not begin its answer within {HEAD_SECONDS:.0f} s")

    def _fail(self, status: int, why: str) -> None:
        if not self._over:
            self._end()
            self._asker.target_failed(status, why)
