"""The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), and what it costs remembered.

Nearly all of a login's cost is stretching the password, thousands of rounds that end in the same keys each time, since a server
keeps the salt of a role. ``Stretched`` remembers those keys: by a digest over the secret itself, the salt and the rounds, so
that a changed one of these finds nothing; at most ``KEPT`` of them; and only once the server proved that it knows the password,
so that nobody else's salts push them out. They are worth as much as the password at that one server, and leave no process.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections import OrderedDict
from dataclasses import dataclass

from scramp import ScramException
from scramp.utils import saslprep

from gatebook.errors import WireError
from gatebook.protocols.relay import Credential

FEWEST_ROUNDS = 4096  # RFC 7677, section 4; with fewer, whoever stands in for the server could guess the password
MOST_ROUNDS = 1_000_000  # more would stall every session of this process
KEPT = 256  # roles that one gateway logs in as
PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
_DISBELIEVED = "the target's SCRAM answer is wrong: it does not know the role's password, or is not the target"


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What a password comes to under one salt."""

    client: bytes
    server: bytes


class Stretched:
    """Keys of passwords that servers proved to know. Used from one event loop."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Keys] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, name: bytes) -> Keys | None:
        """What is known by this name."""
        found = self._kept.get(name)
        if found is not None:
            self._kept.move_to_end(name)
        return found

    def keep(self, name: bytes, keys: Keys) -> None:
        """Remember them."""
        self._kept[name] = keys
        self._kept.move_to_end(name)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


class Exchange:
    """One login's messages, in this order: ``first``, ``final``, ``believe``. Raises WireError, without anything secret.

    ``nonce`` nobody can guess. PostgreSQL takes the user's name from the startup packet and disregards this one.
    """

    def __init__(self, mechanism: str, credential: Credential, nonce: str, stretched: Stretched) -> None:
        self._secret, self._nonce, self._stretched = _prepared(credential.secret), nonce, stretched
        self._bare = f"n={credential.user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        binding = credential.binding
        self._head = b"p=tls-server-end-point,," if mechanism == PLUS else b"y,," if binding else b"n,,"
        self._bound = self._head + (binding if mechanism == PLUS else b"")
        self._name, self._signature = b"", b""
        self._keys: Keys | None = None

    @property
    def first(self) -> str:
        """What the client begins with."""
        return self._head.decode() + self._bare

    def final(self, data: bytes) -> bytes:
        """The proof, in answer to the server's first message."""
        nonce, salt, rounds = self._challenge(data)
        keys = self._keys_for(salt, rounds)
        without = f"c={b64encode(self._bound).decode()},r={nonce}"
        said = f"{self._bare},{data.decode('ascii')},{without}".encode()
        proof = bytes(a ^ b for a, b in zip(keys.client, _mac(hashlib.sha256(keys.client).digest(), said), strict=True))
        self._signature = _mac(keys.server, said)
        return f"{without},p={b64encode(proof).decode()}".encode()

    def believe(self, data: bytes) -> None:
        """Check the server's proof: whoever gives it knows the password, or what is kept of it."""
        given = _decoded(data[2:]) if data.startswith(b"v=") else b""
        if self._keys is None or not hmac.compare_digest(given, self._signature):
            raise WireError(_DISBELIEVED)
        self._stretched.keep(self._name, self._keys)

    def _challenge(self, data: bytes) -> tuple[str, bytes, int]:
        parts = data.decode("ascii", "replace").split(",")
        if len(parts) != 3 or [part[:2] for part in parts] != ["r=", "s=", "i="]:
            raise WireError(_DISBELIEVED)
        nonce, salt, rounds = parts[0][2:], _decoded(parts[1][2:].encode()), parts[2][2:]
        if not rounds.isdigit() or not FEWEST_ROUNDS <= int(rounds[:12]) <= MOST_ROUNDS:
            raise WireError(f"the target asks for {rounds[:12]!r} SCRAM rounds; expected {FEWEST_ROUNDS}..{MOST_ROUNDS}")
        if not salt or not nonce.startswith(self._nonce) or nonce == self._nonce or not data.isascii():
            raise WireError(_DISBELIEVED)
        return nonce, salt, int(rounds)

    def _keys_for(self, salt: bytes, rounds: int) -> Keys:
        self._name = hashlib.sha256(b"%d %d " % (rounds, len(salt)) + salt + self._secret).digest()
        keys = self._stretched.find(self._name)
        if keys is None:
            salted = hashlib.pbkdf2_hmac("sha256", self._secret, salt, rounds)
            keys = Keys(_mac(salted, b"Client Key"), _mac(salted, b"Server Key"))
        self._keys = keys
        return keys


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _decoded(data: bytes) -> bytes:
    """Base64's bytes; nothing for what is not base64."""
    try:
        return b64decode(data, validate=True)
    except ValueError:
        return b""


def _prepared(secret: str) -> bytes:
    """The password as both sides write it (RFC 4013)."""
    try:
        return (secret if secret.isascii() and secret.isprintable() else saslprep(secret)).encode()
    except (ScramException, UnicodeEncodeError):
        raise WireError("the role's password cannot be used for SCRAM") from None
