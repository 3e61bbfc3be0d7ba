"""The gateway's own login to a PostgreSQL server: SCRAM-SHA-256 (RFC 7677), or none where the server asks for none.

States: started -> (first -> final ->) authenticated -> ready. The password leaves this file only inside SCRAM's proof; a server
that asks for it in clear text or as MD5 is refused, and so is one that cannot prove that it knows the password too.
"""

from __future__ import annotations

from scramp import ScramClient, ScramException

from gatebook.errors import WireError
from gatebook.protocols.postgres import wire
from gatebook.protocols.relay import Credential

SCRAM_ROUNDS = 1_000_000  # PBKDF2 rounds a server may ask for: more would stall every session of this process


class Login:
    """One login. Feed it the server's messages until ``ready``; what it returns goes to the server."""

    def __init__(self, credential: Credential, parameters: dict[str, str], nonce: str) -> None:
        self.hello = wire.startup({"user": credential.user, "database": credential.database, **parameters})
        self.ready = False
        self.settings: dict[str, str] = {}
        self.key = b""
        self._scram = ScramClient(["SCRAM-SHA-256"], credential.user, credential.secret, c_nonce=nonce)
        self._step = "started"

    def feed(self, kind: bytes, body: bytes) -> bytes:
        """Take one message. Raises WireError with the server's own words, or with what it did wrong."""
        if kind == b"R":
            return self._authentication(*wire.authentication(body))
        if kind == b"E":
            fields = wire.report_fields(body)
            raise WireError(f"the target refused the gateway's login: {fields.get('M', '?')} ({fields.get('C', '?')})")
        if kind == b"N":
            return b""
        if self._step != "authenticated":
            raise WireError(f"the target sent {kind!r} before the login was over")
        if kind == b"S":
            name, value = wire.parameter_status(body)
            self.settings[name] = value
        elif kind == b"K":
            self.key = body
        elif kind == b"Z":
            self.ready = True
        elif kind != b"v":
            raise WireError(f"the target sent {kind!r} during the login")
        return b""

    def _authentication(self, code: int, data: bytes) -> bytes:
        try:
            if code == 0 and self._step in ("started", "final"):
                self._step = "authenticated"
                return b""
            if code == 10 and self._step == "started":
                return self._first(wire.sasl_mechanisms(data))
            if code == 11 and self._step == "first":
                _check_rounds(data)
                self._scram.set_server_first(data.decode("ascii"))
                self._step = "challenged"
                return wire.message(b"p", self._scram.get_client_final().encode())
            if code == 12 and self._step == "challenged":
                self._scram.set_server_final(data.decode("ascii"))
                self._step = "final"
                return b""
        except (ScramException, UnicodeDecodeError):
            raise WireError(
                "the target's SCRAM answer is wrong: it does not know the role's password, or is not the target"
            ) from None
        raise WireError(f"the target asks for authentication {code} at step {self._step}; it must offer SCRAM-SHA-256")

    def _first(self, offered: list[str]) -> bytes:
        if "SCRAM-SHA-256" not in offered:
            raise WireError(f"the target offers {', '.join(offered) or 'nothing'}; it must offer SCRAM-SHA-256")
        self._step = "first"
        return wire.sasl_initial("SCRAM-SHA-256", self._scram.get_client_first())


def _check_rounds(data: bytes) -> None:
    rounds = data.rpartition(b",i=")[2]
    if not rounds.isdigit() or not 4096 <= int(rounds[:12]) <= SCRAM_ROUNDS:
        raise WireError(f"the target asks for {rounds[:12]!r} SCRAM rounds; expected 4096..{SCRAM_ROUNDS}")
