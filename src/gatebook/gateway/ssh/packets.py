"""How asyncssh's connections, of clients and to hosts, send, receive and encrypt their packets.

asyncssh sends an empty packet before each that it encrypts. That hides the first block from whoever chose what stands in it,
which CBC alone needs (RFC 4251, section 9.3.1) and no cipher here is; it costs a second encryption and a second write. Of what
it has received it moves all the rest twice for each packet that it takes, and it words a line of log for each, read or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE

# The client's first that both know is taken, and OpenSSH's is ChaCha20, which here costs four times as much as AES-GCM and is
# weaker against a cut connection (Terrapin); whoever has no GCM has CTR. OpenSSH before 10.0 has CTR first; see ``gcm_of``.
CIPHERS = (
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
HOST_CIPHERS = (*CIPHERS, "chacha20-poly1305@openssh.com")  # here the order is ours


def gcm_of(kexinit: bytes, ours: Sequence[bytes]) -> list[bytes]:
    """Those of our ciphers that are AES-GCM, where the client has one too for either direction, else all of ours.

    ``kexinit`` is what the client says that it has (RFC 4253, section 7.1). Raises PacketDecodeError.
    """
    packet = asyncssh.packet.SSHPacket(kexinit)
    packet.get_bytes(1 + 16)  # type, cookie
    _, _, sent, received = (packet.get_namelist() for _ in range(4))
    gcm = [cipher for cipher in ours if cipher.endswith(b"-gcm@openssh.com")]
    return gcm if set(gcm) & set(sent) and set(gcm) & set(received) else list(ours)


class Unread:
    """What was received and not taken yet, as asyncssh asks for it: like bytes, of which taking the first moves none."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes = b"", at: int = 0) -> None:
        self._data, self._at = data, at

    def __len__(self) -> int:
        return len(self._data) - self._at

    def __iadd__(self, more: bytes) -> Unread:
        return Unread(self._data[self._at :] + more if len(self) else more)

    def __getitem__(self, part: slice) -> bytes | Unread:
        """The bytes of a part whose end is given, or what is left behind a place."""
        begin = min(self._at + (part.start or 0), len(self._data))
        return Unread(self._data, begin) if part.stop is None else self._data[begin : self._at + part.stop]

    def find(self, wanted: bytes, start: int, stop: int) -> int:
        """Where it stands first, -1 where it does not."""
        found = self._data.find(wanted, self._at + start, self._at + stop)
        return found - self._at if found >= 0 else -1


def untold(channel: Any) -> None:
    """Have nothing said to a log of a channel's packets."""
    channel._log_packet = _nothing


def _nothing(*_: object) -> None:
    pass


class Packets(asyncssh.connection.SSHConnection):
    """What both kinds of connection have in common."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        unread: Any = Unread()
        self._inpbuf = unread

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send one, but none that is there to be ignored."""
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def _log_packet(self, msg: str, pkttype: int, pktid: int | None, packet: Any, note: str) -> None:
        """Nothing: packets hold secrets, and no log of ours tells of them."""


class HostConnection(Packets, asyncssh.SSHClientConnection):
    """A connection to a host. ``agent`` takes what the host sends to the client's agent of keys."""

    agent: Callable[[asyncssh.packet.SSHPacket], tuple[Any, Awaitable[Any]]] | None = None

    def _process_auth_agent_at_openssh_dot_com_open(self, packet: asyncssh.packet.SSHPacket) -> tuple[Any, Awaitable[Any]]:
        if self.agent is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "gatebook: no agent was asked for")
        return self.agent(packet)


async def connect(options: asyncssh.SSHClientConnectionOptions) -> HostConnection:
    """What ``asyncssh.connect`` does, which knows no class but its own. Raises what it raises."""
    loop = asyncio.get_running_loop()
    options.waiter = loop.create_future()
    _, connection = await loop.create_connection(lambda: HostConnection(loop, options, wait="auth"), options.host, options.port)
    try:
        await options.waiter
    except BaseException:
        connection.abort()
        raise
    return connection
