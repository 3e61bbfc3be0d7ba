"""How a connection begins: TLS, startup packet, token, and the gateway's own login to the server.

Steps: ``knocking`` -> ``password`` or ``bearer`` -> ``proving`` -> ``logging in`` -> ``open``; or, for a bearer token that
proves nothing, ``dismissed`` until the client has heard of it. The answers to SSLRequest and GSSENCRequest are the gateway's
own, and each is asked once. Nothing may follow such a request before its answer (CVE-2021-23214 and -23222: such bytes would
be taken as if they had come through TLS). The server's cancel key stays here; the client gets one of the gateway's, as long as
its version of the protocol has room for.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatebook.errors import WireError
from gatebook.model import Hold
from gatebook.protocols.postgres import bearer, door, tagged, wire
from gatebook.protocols.postgres.bearer import Bearer
from gatebook.protocols.postgres.login import Login
from gatebook.protocols.postgres.pinned import check_pinned
from gatebook.protocols.postgres.scram import Stretched
from gatebook.protocols.relay import Cancel, Credential, Effect, Own, Prove, StartTls, ToClient

KEY_BYTES = 8  # of a cancel key in protocol 3.0: process id and secret


@dataclass(frozen=True, slots=True)
class Keys:
    """A session's cancel keys: what protocol 3.0 has room for, and the longer one of 3.2."""

    short: bytes
    long: bytes

    def __post_init__(self) -> None:
        if len(self.short) != KEY_BYTES or not KEY_BYTES <= len(self.long) <= 260:
            raise AssertionError(f"cancel keys of {len(self.short)} and {len(self.long)} bytes")

    def __repr__(self) -> str:
        return "Keys(…)"


class Opening:
    """Owned by one relay, which reads ``step``, ``server_key`` and ``last``: what is still to be said before the end.

    It takes ``reported``, the settings that the server told at the login.
    """

    def __init__(
        self,
        secure: bool,
        offers_tls: bool,
        keys: Keys,
        secret: str,
        offered: Bearer | None,
        stretched: Stretched | None = None,
    ) -> None:
        self.step = "knocking"
        self.server_key = b""
        self.reported: dict[str, str] = {}
        self.last: tuple[bytes, str] | None = None
        self._secure, self._offers_tls, self._keys, self._secret = secure, offers_tls, keys, secret
        self._bearer, self._by_bearer, self._stretched = offered, False, stretched
        self._parting: tuple[bytes, str] | None = None
        self._requested: set[int] = set()
        self._knock: door.Knock | None = None
        self._credential: Credential | None = None
        self._login: Login | None = None

    @property
    def proposes(self) -> bool:
        """Whether each Query of this session is a script that people are asked about as a whole."""
        return self._knock is not None and self._knock.hold in (Hold.PROPOSE, Hold.RESUME)

    @property
    def reads(self) -> bool:
        """Whether the client's next packet can be taken."""
        return self.step in ("knocking", "password", "bearer", "dismissed") and self.last is None

    def read(self, client: wire.Frames) -> list[Effect] | None:
        """Take the client's next packet; None while it is not whole. Raises WireError in words fit for the client."""
        if self.step == "knocking":
            packet = client.packet()
            return None if packet is None else self._packet(packet, len(client))
        if len(client) > wire.TOKEN_BYTES:
            raise WireError(f"a password message of over {wire.TOKEN_BYTES} bytes; send a token")
        found = client.message()
        return None if found is None else self._answer(*found)

    def _packet(self, packet: bytes, behind: int) -> list[Effect]:
        code = wire.code_of(packet)
        if code in (wire.SSL_REQUEST, wire.GSSENC_REQUEST):
            return [self._encryption(code, behind)]
        if code == wire.CANCEL_REQUEST:
            return [Cancel(wire.cancel_key(packet))]
        return self._startup(packet)

    def _encryption(self, code: int, behind: int) -> Effect:
        what = "an SSLRequest" if code == wire.SSL_REQUEST else "a GSSENCRequest"
        if code in self._requested:
            raise WireError(f"{what} came twice")
        if behind:
            raise WireError(f"{behind} bytes came behind {what}, before it was answered")
        self._requested.add(code)
        if code == wire.GSSENC_REQUEST or not self._offers_tls:
            return ToClient(b"N")
        self._offers_tls, self._secure = False, True
        return StartTls(b"S")

    def _startup(self, packet: bytes) -> list[Effect]:
        knock = self._knock = door.knock(packet)
        said: list[Effect] = []
        if knock.asked != knock.minor or knock.unknown:
            said.append(ToClient(wire.negotiate(knock.minor, knock.unknown)))
        if not self._secure:
            raise WireError("a token over this connection could be read on its way; connect with TLS (sslmode=verify-full)")
        self._by_bearer = self._bearer is not None and (self._bearer.always or knock.user == bearer.USER)
        self.step = "bearer" if self._by_bearer else "password"
        return [*said, ToClient(wire.ask_sasl(bearer.MECHANISM) if self._by_bearer else wire.ASK_PASSWORD)]

    def _answer(self, kind: bytes, body: bytes) -> list[Effect]:
        if kind != b"p" or self._knock is None:
            raise WireError(f"message {kind!r} where the password was due; send the token as password")
        if self.step == "password":
            return [self._prove(wire.password(body), self._knock)]
        if self.step == "dismissed":
            self.last = self._parting
            return []
        token = bearer.token(*wire.sasl_initial_response(body))
        if token:
            return [self._prove(token, self._knock)]
        why = "no token was sent; its provider is told to clients that ask"
        return self.dismiss(wire.error_response("FATAL", "28000", why), why)

    @property
    def dismisses(self) -> bool:
        """Whether a client whose token proved nothing is told first where tokens come from."""
        return self.step == "proving" and self._by_bearer

    def dismiss(self, said: bytes, why: str) -> list[Effect]:
        """Tell the client where tokens come from; once it has heard, ``last`` is what is said to it."""
        if self._bearer is None:
            raise AssertionError("a bearer token was not offered")
        self.step, self._parting = "dismissed", (said, why)
        return [ToClient(wire.sasl_continue(self._bearer.failure()))]

    def _prove(self, token: str, knock: door.Knock) -> Effect:
        self.step = "proving"
        role = "" if self._by_bearer and knock.user == bearer.USER else knock.user
        return Prove(token, knock.target, knock.database, role, knock.purpose, knock.hold)

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
        tag = tagged.value(session, self._knock.application)
        pinned = {"client_encoding": "UTF8", "standard_conforming_strings": "on", tagged.NAME: tag}
        settings = {name: value for name, value in self._knock.settings.items() if name.lower() not in pinned}
        self._login = Login(self._credential, settings | pinned, self._secret, self._stretched)
        self._credential = None
        return Own("login", self._login.hello)

    def logging_in(self, kind: bytes, body: bytes) -> list[Effect]:
        """Take one message of the server. Raises WireError when it refuses, or is not who it should be."""
        if self._login is None or self._knock is None:
            raise WireError(f"the target sent {kind!r} before it was asked")
        answer = self._login.feed(kind, body)
        if not self._login.ready:
            return [Own("login", answer)] if answer else []
        for name, value in self._login.settings.items():
            check_pinned(name, value)
        told = [wire.message(b"S", f"{name}\0{value}\0".encode()) for name, value in self._login.settings.items()]
        key = self._keys.long if self._knock.minor >= 2 else self._keys.short
        self.step, self.server_key, self.reported = "open", self._login.key, self._login.settings
        self._login = None
        return [ToClient(b"".join([wire.AUTHENTICATED, *told, wire.key_data(key), wire.message(b"Z", b"I")]))]
