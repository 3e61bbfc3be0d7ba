"""A relay of SSH on asyncssh and nothing more: no policy, no detectors, no recording. What it costs is what the library costs.

    python -m bench.bare PORT HOST_PORT USER KEY

Whoever asks gets in, and commands and subsystems are run by the host as the user with the key. Both sides are encrypted by
AES-GCM, the cheapest cipher that asyncssh has.
"""

from __future__ import annotations

import asyncio
import sys

import asyncssh
import uvloop

WINDOW, PACKET = 16_777_216, 262_144  # bytes
CIPHERS = ["aes128-gcm@openssh.com"]


class Door(asyncssh.SSHServer):
    """Lets everybody in."""

    def __init__(self, host: asyncio.Future[asyncssh.SSHClientConnection]) -> None:
        self._host = host

    def begin_auth(self, username: str) -> bool:
        """Nobody is asked for anything."""
        return False

    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        """A channel."""
        return Near(self._host.result())


class Near(asyncssh.SSHServerSession[bytes]):
    """The client's side of a channel."""

    def __init__(self, host: asyncssh.SSHClientConnection) -> None:
        self._host = host
        self.chan: asyncssh.SSHServerChannel[bytes]
        self._far: asyncssh.SSHClientChannel[bytes] | None = None
        self._wanted: tuple[str | None, str | None] = None, None
        self._early: list[bytes] = []  # said before the host's channel is there; its end is b""

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel stands."""
        self.chan = chan

    def exec_requested(self, command: str) -> bool:
        """A command is wanted."""
        self._wanted = command, None
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """A subsystem is wanted."""
        self._wanted = None, subsystem
        return True

    def session_started(self) -> None:
        """The client knows that it was heard."""
        self._begun = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> None:
        command, subsystem = self._wanted
        self._far, _ = await self._host.create_session(
            lambda: Far(self.chan), command, subsystem=subsystem, encoding=None, window=WINDOW, max_pktsize=PACKET
        )
        for data in self._early:
            self._say(data)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Input."""
        self._say(data)

    def eof_received(self) -> bool:
        """No more input."""
        self._say(b"")
        return True

    def _say(self, data: bytes) -> None:
        if self._far is None:
            self._early.append(data)
        elif data:
            self._far.write(data)
        else:
            self._far.write_eof()

    def pause_writing(self) -> None:
        """The client does not read."""
        if self._far is not None:
            self._far.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._far is not None:
            self._far.resume_reading()


class Far(asyncssh.SSHClientSession[bytes]):
    """The host's."""

    def __init__(self, near: asyncssh.SSHServerChannel[bytes]) -> None:
        self._near, self._status = near, 255

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Output."""
        self._near.write(data, datatype)

    def eof_received(self) -> bool:
        """No more output."""
        self._near.write_eof()
        return True

    def exit_status_received(self, status: int) -> None:
        """The command has ended: told behind all output."""
        self._status = status

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is over."""
        self._near.exit(self._status)

    def pause_writing(self) -> None:
        """The host does not read."""
        self._near.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._near.resume_reading()


async def relay(port: int, host_port: int, user: str, key: str) -> None:
    """Serve until it is killed."""
    host: asyncio.Future[asyncssh.SSHClientConnection] = asyncio.get_running_loop().create_future()
    host.set_result(
        await asyncssh.connect(
            "127.0.0.1",
            host_port,
            username=user,
            client_keys=[key],
            known_hosts=None,
            agent_path=None,
            config=[],
            encryption_algs=CIPHERS,
        )
    )
    server = await asyncssh.create_server(
        lambda: Door(host),
        "127.0.0.1",
        port,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        encoding=None,
        line_editor=False,
        window=WINDOW,
        max_pktsize=PACKET,
        encryption_algs=CIPHERS,
    )
    async with server:
        await server.wait_closed()


if __name__ == "__main__":
    uvloop.run(relay(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
