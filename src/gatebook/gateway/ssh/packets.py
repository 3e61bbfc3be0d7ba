"""How asyncssh's connections, of clients and to hosts, send and encrypt their packets.

asyncssh sends an empty packet before each that it encrypts. That hides the first block from whoever chose what stands in it,
which CBC alone needs (RFC 4251, section 9.3.1) and no cipher here is; it costs a second encryption and a second write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE

# The client's first that both know is taken, and OpenSSH's is ChaCha20, which here costs four times as much as AES-GCM and is
# weaker against a cut connection (Terrapin); whoever has no GCM has CTR.
CIPHERS = (
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
HOST_CIPHERS = (*CIPHERS, "chacha20-poly1305@openssh.com")  # here the order is ours


class Packets(asyncssh.connection.SSHConnection):
    """What both kinds of connection have in common."""

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
