"""What a host is asked about a push: on a channel of its own, on the connection that the session has, by git's own service.

It speaks protocol version 2, which a client asks for by a variable. A host whose server takes no such variable is asked by
``env`` instead; one that does neither cannot be asked, and its pushes are refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncssh

from gatebook.errors import GatebookError, WireError
from gatebook.protocols.git.inquiry import ASKED_BYTES
from gatebook.protocols.git.pktline import Mark, read_line
from gatebook.protocols.git.push_inquiry import PushInquiry, Told
from gatebook.protocols.git.ssh_relay import VERSION

if TYPE_CHECKING:
    from gatebook.gateway.ssh.session import SshSession

SECONDS = 60.0  # for all questions about one push
WINDOW_BYTES, PACKET_BYTES = 2_097_152, 32_768
_SPEAKS = b"version 2\n"
_UNTAKEN = (
    "the host's git does not speak protocol version 2, by which it is asked what this push rests on: "
    "its sshd_config needs AcceptEnv GIT_PROTOCOL"
)


async def inquired(session: SshSession, inquiry: PushInquiry) -> Told:
    """What a push does, or why nobody can say."""
    try:
        async with asyncio.timeout(SECONDS):
            await _ask(await session.host(), inquiry)
    except TimeoutError:
        inquiry.fail(f"the host took more than {SECONDS:.0f} s to say what this push rests on")
    except (GatebookError, asyncssh.Error, OSError, asyncio.IncompleteReadError) as error:
        why = str(error) if isinstance(error, GatebookError) else "the host's git ended before it had answered"
        inquiry.fail(why)
    return await asyncio.to_thread(inquiry.told)


async def _ask(host: asyncssh.SSHClientConnection, inquiry: PushInquiry) -> None:
    asked = None
    try:
        while (question := await asyncio.to_thread(inquiry.question)) is not None:
            if asked is None:
                asked, answer = await _open(host, inquiry.command)
            else:
                asked.say(question)
                answer = await asked.answer()
            await asyncio.to_thread(inquiry.answered, answer)
    finally:
        if asked is not None:
            asked.close()


async def _open(host: asyncssh.SSHClientConnection, command: str) -> tuple[_Asked, bytes]:
    """A service that answers, and its greeting. Raises WireError for a host that does not speak version 2."""
    value = "version=2"
    for command_line, environment in ((command, {VERSION: value}), (f"env {VERSION}={value} {command}", {})):
        asked = _Asked(
            *await host.open_session(
                command_line, env=environment, send_env=None, encoding=None, window=WINDOW_BYTES, max_pktsize=PACKET_BYTES
            )
        )
        try:
            greeting = await asked.answer()
        except (asyncio.IncompleteReadError, WireError):
            asked.close()
            continue
        if greeting[4:].startswith(_SPEAKS):
            return asked, greeting
        asked.close()
    raise WireError(_UNTAKEN)


class _Asked:
    """One service that runs for the gateway. ``errors`` are read by nobody: asyncssh keeps a window of them at most."""

    def __init__(self, inward: Any, outward: Any, errors: Any) -> None:
        self._inward, self._outward, self._errors = inward, outward, errors
        self._size = 0

    def say(self, question: bytes) -> None:
        self._inward.write(question)

    async def answer(self) -> bytes:
        """Lines up to a flush, or an error, which ends them. Raises WireError and IncompleteReadError."""
        found = bytearray()
        while True:
            head = await self._outward.readexactly(4)
            length = _length(head)
            line = head + (await self._outward.readexactly(length - 4) if length > 4 else b"")
            found += line
            self._size += len(line)
            if self._size > ASKED_BYTES:
                raise WireError("the host says more about this push than can be looked at; push it in parts")
            if read_line(line) is Mark.FLUSH or line[4:8] == b"ERR ":
                return bytes(found)

    def close(self) -> None:
        self._inward.channel.abort()


def _length(head: bytes) -> int:
    try:
        return int(head, 16)
    except ValueError:
        raise WireError(f"the host's git says {head!r}, which is none of its lines") from None
