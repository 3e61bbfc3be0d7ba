"""The door of SSH clients: who comes in proves by a token or a certificate who they are, before anything else is heard.

A user's name says where a client goes and as what: ``target``, or ``role%target``. The token is asked for by keyboard-
interactive and taken as a password, too. Whoever proves nothing hears nothing; whom their token proves, and who may not open
that target, hears why.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncssh
import structlog
from asyncssh.public_key import SSHOpenSSHCertificate

from gatebook.config import SshTarget
from gatebook.errors import ConfigError, GatebookError, IdentityError
from gatebook.gateway.desk import Welcome
from gatebook.gateway.ssh import known
from gatebook.gateway.ssh.channel import PACKET_BYTES, WINDOW_BYTES, Channel
from gatebook.gateway.ssh.connection import Connection
from gatebook.gateway.ssh.device import SignIn, SignIns
from gatebook.gateway.ssh.forwards import FULL, Forward
from gatebook.gateway.ssh.jump import INSIDE, JUMP, Jump
from gatebook.gateway.ssh.keys import Keys, load_or_make
from gatebook.gateway.ssh.packets import CIPHERS, KEY_EXCHANGES
from gatebook.gateway.ssh.proof import ByCertificate, ByToken, Proof
from gatebook.gateway.ssh.session import SshSession
from gatebook.gateway.ssh.upstream import needles
from gatebook.identity.device import LONGEST_SECONDS, DeviceClient
from gatebook.model import Ruling, Verdict
from gatebook.protocols.relay import NO_IDENTITY, Prove
from gatebook.protocols.ssh.forwarding import PLACE_CHARACTERS, Wish, failure

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

TRIES = 6  # tokens and certificates that one connection may show
TOKEN_CHARACTERS = 16_384
ALIVE_SECONDS = 30  # between two questions whether a client is there, where nothing comes
ALIVE_TRIES = 4
NO_FORWARD = "forwards are not passed on"
NO_WAY = "a jump leads to hosts of this gateway alone, by their targets' names: ssh -J jump@GATEWAY ROLE@TARGET"
RUNS_NOTHING = "nothing runs here: ssh -J jump@GATEWAY ROLE@TARGET goes on to a target"
SHOWN = 300  # characters of a forward that no rule is asked about
PROMPT, OR_SIGN_IN = "Gatebook token: ", "Gatebook token, or Enter to sign in with a browser: "

log = structlog.get_logger("gatebook.ssh")
logging.getLogger("asyncssh").setLevel(logging.CRITICAL)  # its lines hold commands


class Ssh:
    """What the SSH connections of one process share. Used from one event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._doormen: set[Doorman] = set()
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self.keys: Keys | None = None
        identity = gateway.config.identity
        provider = next((one for one in identity.providers if one.device_client_id), None)
        self.sign_ins = SignIns(DeviceClient(provider), gateway.proving, identity.token_seconds) if provider else None

    async def ready(self) -> None:
        """Have the keys at hand. Raises ConfigError."""
        self.keys = keys = load_or_make(self._gateway.config.home)
        try:
            self._options = await asyncssh.SSHServerConnectionOptions.construct(
                config=None,
                server_factory=lambda: Doorman(self._gateway),
                server_version="Gatebook",
                server_host_keys=[keys.shown()],
                login_timeout=self._gateway.login_seconds,
                compression_algs=None,
                encryption_algs=CIPHERS,
                kex_algs=KEY_EXCHANGES,
                host_based_auth=False,
                gss_host=None,
                x509_trusted_certs=None,
                authorized_client_keys=None,
                allow_scp=False,
                agent_forwarding=False,
                x11_forwarding=False,
                line_editor=False,
                encoding=None,
                keepalive_interval=ALIVE_SECONDS,
                keepalive_count_max=ALIVE_TRIES,
                window=WINDOW_BYTES,
                max_pktsize=PACKET_BYTES,
            )
        except (ValueError, OSError) as error:
            raise ConfigError([f"listeners.ssh: {error}"]) from error

    def connection(self) -> Connection:
        """A client comes."""
        if self._options is None:
            raise AssertionError("a client before the keys were read")
        return Connection(asyncio.get_running_loop(), self._options)

    def inner(self, inside: Inside) -> Connection:
        """A client that jumped: it speaks SSH again, inside of a channel."""
        if self._options is None:
            raise AssertionError("a client before the keys were read")
        return Connection(asyncio.get_running_loop(), self._options, lambda: Doorman(self._gateway, inside))

    def stand(self, doorman: Doorman) -> None:
        """Somebody is at the door."""
        self._doormen.add(doorman)

    def leave(self, doorman: Doorman) -> None:
        """They went away."""
        self._doormen.discard(doorman)
        self._gateway.unseat(doorman)

    def forget(self, session: SshSession) -> None:
        """A session has ended."""
        self._gateway.drop(session)

    def close(self) -> None:
        """End all connections that are no session's."""
        for doorman in list(self._doormen):
            doorman.stop()


@dataclass(frozen=True, slots=True)
class Inside:
    """By which jump a client comes, to which target, from where."""

    jump: Jump
    target: str
    address: str


class Doorman(asyncssh.SSHServer):
    """One client, from its first byte on. Lives in one event loop."""

    def __init__(self, gateway: Gateway, inside: Inside | None = None) -> None:
        self._gateway, self._inside = gateway, inside
        self._connection: Connection | None = None
        self._address = inside.address if inside is not None else ""
        self._jump: Jump | None = None
        self._tries = 0
        self._proving = False
        self._session: SshSession | None = None
        self._sign_in: SignIn | None = None

    # What asyncssh calls --------------------------------------------------------------------------------------------------

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """A client is here, and is counted before it may have a handshake done for it."""
        if not isinstance(conn, Connection):
            raise AssertionError("a connection of another kind")
        self._connection = conn
        if self._inside is None:
            self._address = str((conn.get_extra_info("peername") or ("",))[0])
        else:
            self._inside.jump.entered()
        self._gateway.ssh.stand(self)
        if why := self._gateway.knock(self, self._address):
            log.warning("connection turned away", why=why, client=self._address)
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._connection = None
        self._forget_sign_in()
        self._gateway.ssh.leave(self)
        if self._inside is not None:
            self._inside.jump.left()
        if self._jump is not None:
            self._jump.close()
        if self._session is not None:
            self._session.close("the client went away")

    async def begin_auth(self, username: str) -> bool:
        """Whether anything is to be proven yet. Who comes by a jump has proved it, which is asked again for this target."""
        if self._inside is None:
            return True
        target = self._inside.target
        named = username.rpartition("%")[2] == target
        return not await self._take(username if named else f"{username}%{target}", self._inside.jump.proof)

    def kbdint_auth_supported(self) -> bool:
        """A token is asked for."""
        return self._inside is None

    def password_auth_supported(self) -> bool:
        """A token is taken as a password."""
        return self._inside is None

    def public_key_auth_supported(self) -> bool:
        """A certificate of the gateway's own is taken; a key alone proves nothing here."""
        return self._inside is None

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        """What is asked for, and not shown as it is typed."""
        return "", "", "", [(PROMPT if self._gateway.ssh.sign_ins is None else OR_SIGN_IN, False)]

    async def validate_kbdint_response(self, username: str, responses: Any) -> Any:
        """The token; or nothing, and then the Enter of who has signed in elsewhere."""
        if self._sign_in is not None and responses == [""]:
            return await self._signed_in(username, self._sign_in)
        self._forget_sign_in()
        sign_ins = self._gateway.ssh.sign_ins
        if sign_ins is not None and responses == [""]:
            return await self._begin_sign_in(sign_ins)
        return len(responses) == 1 and await self.validate_password(username, responses[0])

    async def _begin_sign_in(self, sign_ins: SignIns) -> Any:
        self._tries += 1
        if self._tries > TRIES or self._connection is None:
            return False
        try:
            self._sign_in = sign_in = sign_ins.enter(self._address)
            self._connection.wait_longer(LONGEST_SECONDS)
            await sign_in.begin()
        except IdentityError as error:
            self._tell(str(error))
            self._forget_sign_in()
            return False
        return sign_in.challenge() if sign_in is self._sign_in else False

    async def _signed_in(self, username: str, sign_in: SignIn) -> Any:
        try:
            token = await sign_in.token(self._gateway.clock)
        except IdentityError as error:
            self._tell(str(error))
            self._forget_sign_in()
            return False
        if not token:
            return sign_in.challenge()
        self._forget_sign_in()
        return await self._take(username, ByToken(self._gateway.proving, token))

    def _forget_sign_in(self) -> None:
        if self._sign_in is not None:
            self._sign_in.close()
            self._sign_in = None

    async def validate_password(self, username: str, password: str) -> bool:
        """The same."""
        if not 0 < len(password) <= TOKEN_CHARACTERS:
            password = ""
        return await self._take(username, ByToken(self._gateway.proving, password))

    def vouched(self, certificate: SSHOpenSSHCertificate) -> bool:
        """Whether the gateway signed it, for a user."""
        keys = self._gateway.ssh.keys
        return keys is not None and keys.vouched(certificate)

    async def certified(self, username: str, certificate: SSHOpenSSHCertificate) -> bool:
        """A certificate of the gateway's, shown by who has its key."""
        return await self._take(username, ByCertificate(self._gateway.proving, certificate, self._address))

    def session_requested(self) -> Any:
        """A channel that will run something."""
        session = self._session
        if session is None or self._connection is None or session.full:
            why = RUNS_NOTHING if self._jump is not None else "no further channel may be opened"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, f"gatebook: {why}")
        return self._connection.new_channel(session.target), Channel(self._gateway, session)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        """A connection through the host: pending until it is decided and the host has made it. Of a jump, one to a target."""
        if self._jump is not None:
            return self._jumped(self._jump, dest_host)
        return self._to(Wish(dest_host, dest_port))

    def unix_connection_requested(self, dest_path: str) -> Any:
        """The same to a socket."""
        return self._to(Wish(dest_path, -1))

    def server_requested(self, listen_host: str, listen_port: int) -> Any:
        """The host is to listen."""
        return self._from(Wish(listen_host, listen_port, listens=True))

    def unix_server_requested(self, listen_path: str) -> Any:
        """The same at a socket."""
        return self._from(Wish(listen_path, -1, listens=True))

    def _jumped(self, jump: Jump, name: str) -> Connection:
        """An SSH server of ours for a target of this name. Whether it may be opened is asked inside, where it can be told."""
        target = self._gateway.config.target(name)
        if not isinstance(target, SshTarget):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, failure(NO_WAY))
        if jump.inside >= INSIDE:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, failure(FULL))
        return self._gateway.ssh.inner(Inside(jump, target.name, self._address))

    def _to(self, wish: Wish) -> Any:
        session = self._session
        if session is None or (why := self._not_passed(session, wish)):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, failure(why if session else NO_FORWARD))
        return Forward(self._gateway, session, wish).connect()

    def _from(self, wish: Wish) -> Any:
        session = self._session
        if session is None or self._connection is None or self._not_passed(session, wish):
            return False
        return Forward(self._gateway, session, wish).listen(self._connection)

    def _not_passed(self, session: SshSession, wish: Wish) -> str:
        """Why no rule is asked about a forward, "" where rules are."""
        if session.full:
            return FULL
        why = wish.fault
        if ("remote" if wish.listens else "local") not in session.target.forwards:
            why = NO_FORWARD
        elif not wish.listens and (there := known.at(self._gateway.config, wish.host, wish.port)):
            why = f"that is target {there.name}, which is reached through the gateway itself"
        if why:
            host = wish.host[:PLACE_CHARACTERS]
            session.turn_down("ssh.forward", wish.shown[:SHOWN], why, host=host, port=wish.port, listens=wish.listens)
        return why

    def stop(self) -> None:
        """The gateway stops; what is a session's ends with that."""
        if self._session is None and self._connection is not None:
            self._connection.abort()

    # Identity, session ----------------------------------------------------------------------------------------------------

    async def _take(self, username: str, proof: Proof) -> bool:
        """Whether the proof opens what the user's name says. asyncssh may stop waiting; a session is opened whole."""
        self._tries += 1
        if self._tries > TRIES and self._connection is not None:
            self._connection.abort()
        if self._tries > TRIES or self._proving or self._session is not None or not proof.whole:
            return False
        if self._jump is not None:
            return False
        self._proving = True
        opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._gateway.spawn(self._prove(username, proof, opened))
        return await asyncio.shield(opened)

    async def _prove(self, username: str, proof: Proof, opened: asyncio.Future[bool]) -> None:
        said = False
        try:
            said = await self._open(username, proof)
        except GatebookError as error:
            log.error("a session cannot be opened", client=self._address, why=str(error))
        except Exception:
            log.exception("a session cannot be opened", client=self._address)
        finally:
            self._proving = False
            opened.set_result(said)

    async def _open(self, username: str, proof: Proof) -> bool:
        gateway, now = self._gateway, self._gateway.clock()
        role, _, target = username.rpartition("%")
        jumps = target == JUMP and self._inside is None and gateway.config.target(JUMP) is None
        try:
            proven = await proof.prove(target, now, jumps=jumps)
        except IdentityError as error:
            nobody = Verdict(ruling=Ruling.BLOCK, rule=NO_IDENTITY, reason=str(error), policy_digest="")
            await gateway.turn_away(None, target, self._address, nobody, str(error))
            return False
        if jumps:
            return self._begin_jump(proof, proven.identity.expires_at)
        wanted = Prove("", target, "", role, proven.purpose, protocol="ssh", certificate=proven.certificate)
        welcome = gateway.desk.welcome(proven.identity, wanted, self._address, now)
        if not isinstance(welcome, Welcome):
            refused = await gateway.turn_away(proven.identity, target, self._address, welcome.verdict, welcome.why)
            self._tell(f"blocked by {welcome.verdict.rule}: {welcome.verdict.reason} (decision {refused.decision})")
            return False
        return await self._begin(welcome, proven.token)

    def _begin_jump(self, proof: Proof, expires_at: int) -> bool:
        """They may go on from here. What they may open is decided there."""
        if self._connection is None:
            return False
        if why := self._gateway.seat_at_once(self):
            self._tell(why)
            return False
        self._jump = Jump(self._gateway, self._connection, proof, expires_at)
        return True

    async def _begin(self, welcome: Welcome, token: bytes | None) -> bool:
        gateway, target = self._gateway, welcome.target
        if not isinstance(target, SshTarget):
            raise AssertionError("a session of SSH on a target of another protocol")
        if self._connection is None:
            return False
        secrets = needles(target, welcome.role)
        if why := gateway.seat_at_once(self):
            self._tell(why)
            return False
        await gateway.book.opened(welcome.session, welcome.role, welcome.verdict)
        try:
            await gateway.granted.use(welcome.session.identity, target.name, welcome.session.id)
            tape = gateway.tapes.begin(welcome.session, welcome.role)
        except GatebookError as error:
            await gateway.book.closed(welcome.session, str(error), gateway.clock(), (0, 0))
            raise
        session = SshSession(gateway, self._connection, token, welcome, target, tape, secrets)
        log.info("session opened", session=welcome.session.id, target=target.name, client=self._address)
        gateway.add(session)
        if self._is_gone:
            session.close("the client went away")
            return False
        self._session = session
        return True

    @property
    def _is_gone(self) -> bool:
        return self._connection is None

    def _tell(self, why: str) -> None:
        """Somebody who proved who they are hears why they are not let in."""
        if self._connection is not None and not self._connection.is_closed():
            self._connection.send_auth_banner(f"gatebook: {why}\r\n")
