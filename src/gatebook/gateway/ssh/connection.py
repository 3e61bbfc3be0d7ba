"""asyncssh's connection of a client, with what is ours: faults told, certificates left to the door, the environment bounded."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import asyncssh
import structlog
from asyncssh.constants import MSG_CHANNEL_CLOSE
from asyncssh.packet import PacketDecodeError
from asyncssh.public_key import SSHOpenSSHCertificate

from gatebook.config import SshTarget
from gatebook.gateway.ssh.channel import FIRST_BYTES, PACKET_BYTES, WINDOW_BYTES
from gatebook.gateway.ssh.packets import Packets, gcm_of

if TYPE_CHECKING:
    from gatebook.gateway.ssh.door import Doorman

KEYS = 60  # that one client may show: OpenSSH's shows all that an agent has before it asks for a token
VARIABLES, VARIABLE_BYTES = 64, 4_096
OPENSSH = b"SSH-2.0-OpenSSH"

log = structlog.get_logger("gatebook.ssh")


class Connection(Packets, asyncssh.SSHServerConnection):
    """A fault of ours ends it, closed; of keys it takes certificates of the gateway's own authority alone."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        made: Callable[[], Doorman] | None = None,
    ) -> None:
        super().__init__(loop, options)
        if made is not None:
            self._protocol_factory = made
        self._keys_shown = 0
        self._waits = False  # with what it has until the client has said what it has
        self._certificate: SSHOpenSSHCertificate | None = None

    def _recv_version(self) -> bool:
        """asyncssh's place where it tells what it has."""
        heard = super()._recv_version()
        if self._waits:
            self._kexinit_sent = False
        return heard

    def _send_kexinit(self) -> None:
        """OpenSSH waits for nobody with what it has, so it is answered with the ciphers of it that cost least."""
        self._waits = not self._client_kexinit and self._client_version.startswith(OPENSSH)
        if self._waits:
            return
        if self._client_kexinit:
            self._enc_algs = gcm_of(self._client_kexinit, self._enc_algs)
        super()._send_kexinit()

    def internal_error(self, exc_info: Any = None, error_logger: Any = None) -> None:
        """A fault of ours or of the library's: the connection ends, closed. A packet that is none is its peer's."""
        error = exc_info[1] if exc_info else sys.exc_info()[1]
        if isinstance(error, PacketDecodeError):
            log.info("no SSH", why=str(error))
        else:
            log.error("connection failed", exc_info=error)
        super().internal_error(exc_info, error_logger)

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """Whether a key lets its bearer in: a certificate does, once it is proven that they have its key."""
        self._keys_shown += 1
        if self._keys_shown > KEYS:
            self.abort()
            return False
        self._certificate = None
        valid = await super().validate_public_key(username, key_data, msg, signature)
        certificate, self._certificate = self._certificate, None
        if not valid or certificate is None or not msg:
            return valid and certificate is not None
        return await self._doorman.certified(username, certificate)

    async def _validate_openssh_certificate(self, username: str, cert: SSHOpenSSHCertificate) -> asyncssh.SSHKey | None:
        """asyncssh's place for it, before the signature is looked at: who signed it, and nothing that tells of anybody."""
        if not self._doorman.vouched(cert):
            return None
        self._certificate = cert
        return cert.key

    def wait_longer(self, seconds: float) -> None:
        """Somebody signs in meanwhile: so long, and not as long as a login may take."""
        self._cancel_login_timer()
        self._login_timer = self._loop.call_later(seconds, self._login_timer_callback)

    @property
    def _doorman(self) -> Doorman:
        doorman: Any = self._owner
        return doorman  # type: ignore[no-any-return]

    def new_channel(self, target: SshTarget) -> ServerChannel:
        """A channel for a session."""
        return ServerChannel(self, asyncio.get_running_loop(), target)


class ServerChannel(asyncssh.SSHServerChannel[bytes]):
    """asyncssh's, which keeps of the environment what the target takes."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop, target: SshTarget) -> None:
        super().__init__(
            connection,
            loop,
            allow_pty=True,
            line_editor=False,
            line_echo=False,
            line_history=0,
            max_line_length=1,
            encoding=None,
            errors="strict",
            window=FIRST_BYTES,
            max_pktsize=PACKET_BYTES,
        )
        self._target = target
        self._left = False
        self._packet_handlers = {**self._packet_handlers, MSG_CHANNEL_CLOSE: ServerChannel._process_close}

    def widen(self) -> None:
        """Its input goes on: the client is told of more room with what it says next."""
        self._init_recv_window = WINDOW_BYTES

    def _process_close(self, pkttype: int, pktid: int, packet: asyncssh.packet.SSHPacket) -> None:
        """A client that shares its connection closes once both sides have said all, and still wants to hear how it ended."""
        ends = ("eof", "eof_pending")
        if self._left or self._recv_state not in ends or self._send_state not in ends:
            super()._process_close(pkttype, pktid, packet)
            return
        packet.check_end()
        self._left = True

    def _close_send(self) -> None:
        super()._close_send()
        if self._left:
            self._left = False
            self._recv_state = "close_pending"
            self._flush_recv_buf()

    def _process_auth_agent_req_at_openssh_dot_com_request(self, packet: asyncssh.packet.SSHPacket) -> None:
        """The host is to use the client's agent of keys: answered once that is decided."""
        packet.check_end()
        channel: Any = self._session
        channel.agent_requested(self._report_agent)

    def _report_agent(self, may: bool) -> None:
        if self._session is not None:
            self._report_response(may)

    def _process_env_request(self, packet: asyncssh.packet.SSHPacket) -> bool:
        """RFC 4254, section 6.4. A client goes on where a variable is not taken."""
        name, value = packet.get_string(), packet.get_string()
        packet.check_end()
        try:
            named = name.decode("ascii")
            value.decode("utf-8")
        except UnicodeDecodeError:
            return False
        if len(value) > VARIABLE_BYTES or len(self._env) >= VARIABLES or b"\0" in value or not self._target.takes(named):
            return False
        self._env[name] = value
        return True
