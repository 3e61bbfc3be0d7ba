"""How a connection begins: TLS, startup packet, token, and the gateway's own login to the server.

Steps: ``knocking`` -> ``password`` -> ``proving`` -> ``logging in`` -> ``open``. The SSL answer is the gateway's own. The
server's cancel key stays here; the client gets one of the gateway's.
"""

from __future__ import annotations

from gatebook.errors import WireError
from gatebook.model import Hold
from gatebook.protocols.postgres import door, wire
from gatebook.protocols.postgres.login import Login
from gatebook.protocols.relay import Cancel, Credential, Effect, Own, Prove, StartTls, ToClient


class Opening:
    """Owned by one relay, which reads ``step`` and ``server_key``."""

    def __init__(self, secure: bool, offers_tls: bool, key: bytes, secret: str) -> None:
        self.step = "knocking"
        self.server_key = b""
        self._secure, self._offers_tls, self._key, self._secret = secure, offers_tls, key, secret
        self._knock: door.Knock | None = None
        self._credential: Credential | None = None
        self._login: Login | None = None

    @property
    def proposes(self) -> bool:
        """Whether each Query of this session is a script that people are asked about as a whole."""
        return self._knock is not None and self._knock.hold in (Hold.PROPOSE, Hold.RESUME)

    def read(self, client: wire.Frames) -> list[Effect] | None:
        """Take the client's next packet; None while it is not whole. Raises WireError in words fit for the client."""
        if self.step == "knocking":
            packet = client.packet()
            return None if packet is None else self._packet(packet, len(client))
        if len(client) > wire.TOKEN_BYTES:
            raise WireError(f"a password message of over {wire.TOKEN_BYTES} bytes; send a token")
        found = client.message()
        return None if found is None else [self._password(*found)]

    def _packet(self, packet: bytes, behind: int) -> list[Effect]:
        code = wire.code_of(packet)
        if code == wire.SSL_REQUEST:
            return [self._tls(behind)]
        if code == wire.GSSENC_REQUEST:
            return [ToClient(b"N")]
        if code == wire.CANCEL_REQUEST:
            return [Cancel(packet[4:])]
        return self._startup(packet)

    def _tls(self, behind: int) -> Effect:
        if behind:
            raise WireError(f"{behind} bytes came behind the SSLRequest, before TLS stood")
        if not self._offers_tls:
            return ToClient(b"N")
        self._offers_tls, self._secure = False, True
        return StartTls(b"S")

    def _startup(self, packet: bytes) -> list[Effect]:
        knock = self._knock = door.knock(packet)
        said: list[Effect] = [ToClient(wire.negotiate(knock.unknown))] if knock.minor or knock.unknown else []
        if not self._secure:
            raise WireError("a token over this connection could be read on its way; connect with TLS (sslmode=verify-full)")
        self.step = "password"
        return [*said, ToClient(wire.ASK_PASSWORD)]

    def _password(self, kind: bytes, body: bytes) -> Effect:
        if kind != b"p" or self._knock is None:
            raise WireError(f"message {kind!r} where the password was due; send the token as password")
        self.step = "proving"
        knock = self._knock
        return Prove(wire.password(body), knock.target, knock.database, knock.user, knock.purpose, knock.hold)

    def opened(self, credential: Credential) -> str:
        """The session stands; returns the settings that must be decided before the login, as statements."""
        if self.step != "proving" or self._knock is None:
            raise AssertionError(f"opened while {self.step}")
        self.step, self._credential = "logging in", credential
        return door.as_statements(self._knock.settings)

    def log_in(self, session: str) -> Effect:
        """Begin the login to the server, with what is pinned and the session's tag."""
        if self._knock is None or self._credential is None:
            raise AssertionError("login before the session was opened")
        tag = f"gatebook:{session} {self._knock.application}".strip()
        pinned = {"client_encoding": "UTF8", "standard_conforming_strings": "on", "application_name": tag[:63]}
        settings = {name: value for name, value in self._knock.settings.items() if name.lower() not in pinned}
        self._login = Login(self._credential, settings | pinned, self._secret)
        self._credential = None
        return Own("login", self._login.hello)

    def logging_in(self, kind: bytes, body: bytes) -> list[Effect]:
        """Take one message of the server. Raises WireError when it refuses, or is not who it should be."""
        if self._login is None:
            raise WireError(f"the target sent {kind!r} before it was asked")
        answer = self._login.feed(kind, body)
        if not self._login.ready:
            return [Own("login", answer)] if answer else []
        for name, value in self._login.settings.items():
            check_pinned(name, value)
        told = [wire.message(b"S", f"{name}\0{value}\0".encode()) for name, value in self._login.settings.items()]
        self.step, self.server_key, self._login = "open", self._login.key, None
        return [ToClient(b"".join([wire.AUTHENTICATED, *told, wire.key_data(self._key), wire.message(b"Z", b"I")]))]


def check_pinned(name: str, value: str) -> None:
    """Raise WireError when the server reads statements otherwise than the gateway does."""
    if name == "standard_conforming_strings" and value != "on":
        raise WireError("standard_conforming_strings is off: the target would read strings otherwise than they were decided")
    if name == "client_encoding" and value not in ("UTF8", "UNICODE"):
        raise WireError(f"client_encoding is {value}: statements were decided as UTF8")
