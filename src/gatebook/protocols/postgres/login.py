"""The gateway's own login to a PostgreSQL server: by SCRAM-SHA-256 (RFC 7677) unless the target is configured for less.

States: started -> (first -> challenged -> final ->) authenticated -> ready. What the server asks for is held against what the
target's configuration names: a server that asks for less is refused before anything of the password leaves, since who stands
in for a server would ask for just that. By SCRAM the password never leaves, and a server that cannot prove that it knows the
password too is refused; inside TLS the proof is bound to the server's certificate (RFC 5929, tls-server-end-point) where the
server offers that, and must be where the configuration says so.
"""

from __future__ import annotations

import hashlib

from gatebook.errors import WireError
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.scram import PLAIN, PLUS, Exchange, Stretched
from gatebook.protocols.relay import Credential

# What a target configured for this may ask for, by the code of its Authentication message (manual: "Message Formats").
_OK, _PASSWORD, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_ASKED = {_OK: "no login at all", _PASSWORD: "the password in clear text", _MD5: "an MD5 password", _SASL: "SASL"}
_MAY_ASK = {
    "scram": frozenset({_SASL}),
    "md5": frozenset({_SASL, _MD5}),
    "password": frozenset({_SASL, _MD5, _PASSWORD}),
    "certificate": frozenset({_SASL, _OK}),
    "none": frozenset({_SASL, _OK}),
}


class Login:
    """One login. Feed it the server's messages until ``ready``; what it returns goes to the server.

    ``nonce`` nobody can guess; ``stretched`` is what logins before it left behind.
    """

    def __init__(
        self, credential: Credential, parameters: dict[str, str], nonce: str, stretched: Stretched | None = None
    ) -> None:
        self.hello = wire.startup({"user": credential.user, "database": credential.database, **parameters})
        self.ready = False
        self.settings: dict[str, str] = {}
        self.key = b""
        self._credential, self._nonce = credential, nonce
        self._stretched = Stretched() if stretched is None else stretched
        self._scram: Exchange | None = None
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
            self._setting(name, value)
        elif kind == b"K":
            self.key = wire.server_key(body)
        elif kind == b"Z":
            self.ready = True
        elif kind != b"v":
            raise WireError(f"the target sent {kind!r} during the login")
        return b""

    def _setting(self, name: str, value: str) -> None:
        if len(self.settings) >= wire.SETTINGS:
            raise WireError(f"the target reports over {wire.SETTINGS} settings at the login")
        self.settings[name] = value

    def _authentication(self, code: int, data: bytes) -> bytes:
        if self._step == "started" and code not in _MAY_ASK[self._credential.login]:
            asked = _ASKED.get(code, f"authentication {code}")
            raise WireError(f"the target asks for {asked}, and is configured for login {self._credential.login}")
        if self._step == "started" and code != _OK and not self._credential.secret:
            raise WireError(f"the target asks for {_ASKED[code]}, and the role has no password here")
        if self._scram is not None:
            return self._scram_step(self._scram, code, data)
        if self._step == "started" and code == _SASL:
            return self._first(wire.sasl_mechanisms(data))
        if self._step == "started" and code in (_MD5, _PASSWORD):
            self._step = "told"
            return wire.message(b"p", self._told(code, data) + b"\0")
        if code == _OK and self._step in ("started", "told"):
            self._step = "authenticated"
            return b""
        raise WireError(f"the target sent authentication {code} at step {self._step}")

    def _told(self, code: int, salt: bytes) -> bytes:
        credential = self._credential
        if code == _PASSWORD:
            if not credential.private:
                raise WireError(
                    "the target asks for the password in clear text over a connection that could be read on its way"
                )
            return credential.secret.encode()
        if len(salt) != 4:
            raise WireError(f"the target's MD5 salt has {len(salt)} bytes; expected 4")
        inner = _md5(credential.secret.encode() + credential.user.encode())
        return b"md5" + _md5(inner + salt)

    def _first(self, offered: list[str]) -> bytes:
        binding = self._credential.binding
        if self._credential.insists and not (binding and PLUS in offered):
            why = "its connection is not inside TLS" if not binding else f"it offers {', '.join(offered) or 'nothing'}"
            raise WireError(f"the target must bind its login to its certificate by {PLUS}, but {why}")
        mechanism = PLUS if binding and PLUS in offered else PLAIN
        if mechanism not in offered:
            raise WireError(f"the target offers {', '.join(offered) or 'nothing'}; it must offer {PLAIN}")
        self._scram = Exchange(mechanism, self._credential, self._nonce, self._stretched)
        self._step = "first"
        return wire.sasl_initial(mechanism, self._scram.first)

    def _scram_step(self, scram: Exchange, code: int, data: bytes) -> bytes:
        if code == _SASL_CONTINUE and self._step == "first":
            final = scram.final(data)
            self._step = "challenged"
            return wire.message(b"p", final)
        if code == _SASL_FINAL and self._step == "challenged":
            scram.believe(data)
            self._step = "final"
            return b""
        if code == _OK and self._step == "final":
            self._step = "authenticated"
            return b""
        raise WireError(f"the target sent authentication {code} at step {self._step}, before it proved that it is itself")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
