"""How asyncssh's connections, of clients and to hosts, send, receive and encrypt their packets.

asyncssh sends an empty packet before each that it encrypts. That hides the first block from whoever chose what stands in it,
which CBC alone needs (RFC 4251, section 9.3.1) and no cipher here is; it costs a second encryption and a second write. Of what
it has received it moves all the rest twice for each packet that it takes, and it words a line of log for each, read or not.

It counts on a peer that reads: whatever the peer's windows allow it sends, however much of it the peer has not taken, and what
comes while something is looked at it keeps. Here a connection that is full, or has its keys made anew, is one whose windows are
closed: then channels keep what they have, and whoever feeds them is not read. What no window holds back has an end, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import asyncssh
from asyncssh.constants import MSG_CHANNEL_REQUEST, MSG_GLOBAL_REQUEST, MSG_IGNORE

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

# asyncssh has more, of which RSA makes a key for each client (a fifth of a second, in which nobody else is heard), and groups
# of more than 4096 bits take some thirty milliseconds.
KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "mlkem768nistp256-sha256",
    "mlkem1024nistp384-sha384",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group15-sha512",
    "diffie-hellman-group14-sha256",
)

UNSENT_BYTES = 262_144  # that a peer has not taken, before its channels keep what they have for it
OWED_BYTES = 2_097_152  # the same with all that no window holds back: answers to requests
UNREAD_BYTES = 1_048_576  # that may come while something is looked at; the longest packet is a quarter of it
WAITING = 200  # requests behind one that is decided, of a channel or of the connection
WAITING_BYTES = 524_288  # of all these; a client says variables and command behind the question for its agent
BEHIND_KEYS = 10_000  # packets that wait until keys are made anew
PIECE_BYTES = 4_096  # what waits to be read is joined up to here, since each piece costs as much again


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
        self._full = False
        self._packet_handlers = {**self._packet_handlers, MSG_GLOBAL_REQUEST: Packets._process_global_request}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        made: Any = transport
        made.set_write_buffer_limits(high=UNSENT_BYTES)
        super().connection_made(transport)

    def data_received(self, data: bytes, datatype: asyncssh.DataType = None) -> None:
        """Something came. While a packet is looked at nothing else is, and an honest peer waits for what becomes of it."""
        super().data_received(data, datatype)
        if len(self._inpbuf) > UNREAD_BYTES:
            self.abort()

    def add_channel(self, chan: Any) -> int:
        """asyncssh's place where each channel begins, whoever made it."""
        chan._flush_send_buf = partial(self._flush, chan)
        chan._accept_data = partial(accepted, chan)
        chan._packet_handlers = {**chan._packet_handlers, MSG_CHANNEL_REQUEST: _request}
        return super().add_channel(chan)

    def _flush(self, chan: Any) -> None:
        """asyncssh's place where a channel sends what its window allows: nothing while the connection takes no more."""
        while True:
            kept = chan._send_window - (min(chan._send_window, UNSENT_BYTES) if self._takes else 0)
            chan._send_window -= kept
            type(chan)._flush_send_buf(chan)
            chan._send_window += kept
            if not (kept and chan._send_buf and self._takes):
                return

    @property
    def _takes(self) -> bool:
        return self._kex_complete and not self._full

    def _flush_all(self) -> None:
        channels: list[Any] = list(self._channels.values())
        for chan in channels:
            self._flush(chan)

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._full = False
        self._flush_all()

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send one, but none that is there to be ignored."""
        if pkttype == MSG_IGNORE:
            return
        super().send_packet(pkttype, *args, handler=handler)
        transport = self._transport
        if len(self._deferred_packets) > BEHIND_KEYS or (
            self._full and transport is not None and transport.get_write_buffer_size() > OWED_BYTES
        ):
            self.abort()

    def _send_deferred_packets(self) -> None:
        """asyncssh's place where new keys hold, or somebody is let in."""
        super()._send_deferred_packets()
        self._flush_all()

    def _process_global_request(self, pkttype: int, pktid: int, packet: asyncssh.packet.SSHPacket) -> None:
        """RFC 4254, section 4: answered in order, so one that is decided has others wait."""
        _bounded([waiting for _, waiting, _ in self._global_request_queue], packet)
        super()._process_global_request(pkttype, pktid, packet)

    def _log_packet(self, msg: str, pkttype: int, pktid: int | None, packet: Any, note: str) -> None:
        """Nothing: packets hold secrets, and no log of ours tells of them."""


def _bounded(waiting: Sequence[asyncssh.packet.SSHPacket], packet: asyncssh.packet.SSHPacket) -> None:
    """Raises ProtocolError where a request is one too many of those that wait."""
    size = sum(len(one.get_full_payload()) for one in (*waiting, packet)) if waiting else 0
    if len(waiting) > WAITING or size > WAITING_BYTES:
        raise asyncssh.ProtocolError("Too many requests wait for an answer")


def _request(chan: Any, pkttype: int, pktid: int, packet: asyncssh.packet.SSHPacket) -> None:
    """RFC 4254, section 5.4: the same of a channel's."""
    _bounded([waiting for _, waiting, _ in chan._request_queue], packet)
    chan._process_request(pkttype, pktid, packet)


def accepted(chan: Any, data: bytes, datatype: asyncssh.DataType = None) -> None:
    """asyncssh's place where data goes on, or is kept: a window of single bytes is as much as one of long packets."""
    kept = chan._recv_buf
    before = len(kept)
    type(chan)._accept_data(chan, data, datatype)
    if 0 < before < len(kept) and kept[-2][1] == datatype and len(kept[-2][0]) < PIECE_BYTES:
        kept[-2:] = [(kept[-2][0] + data, datatype)]


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
