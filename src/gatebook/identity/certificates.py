"""Certificates for users of SSH: a gateway token that is bound to a key of its bearer's, and never travels.

A certificate is signed by the gateway's authority, listed by its digest, and stands on one gateway token: with that it ends, by
expiry or revocation, and whom the token proves is whom it proves. What the certificate says of itself is for people and for
OpenSSH; nothing is taken from it that the list does not say. So a stolen authority alone opens nothing.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_private_key,
    load_ssh_public_key,
)
from sqlalchemy import Engine

from gatebook.db import writing
from gatebook.errors import ConfigError, IdentityError
from gatebook.identity import store
from gatebook.identity.claims import shown
from gatebook.identity.store import ID_CHARACTERS
from gatebook.identity.tokens import KEPT_SECONDS, MICROSECONDS
from gatebook.model import Identity
from gatebook.protocols.ssh.agent import fingerprint

KEY_CHARACTERS = 4_096
PRINCIPALS = 250  # OpenSSH takes 256
EARLY_SECONDS = 60  # a certificate is good for clocks that are a little behind
LIVE_CERTIFICATES = 200  # of one token
RSA_BITS = range(2_048, 8_193)
KEY_ID_CHARACTERS = 200
_BY_CERTIFICATE = "get a new one with `gatebook ssh-config`"

UserKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate as its user gets it: one line, as OpenSSH keeps it in a file."""

    line: str
    serial: int
    key_id: str
    fingerprint: str
    principals: tuple[str, ...]
    valid_before: int


@dataclass(frozen=True, slots=True)
class Proven:
    """Whom a certificate proves, the token it stands on by its digest, its serial number and what it is for."""

    identity: Identity
    token: bytes
    serial: int
    purpose: str


class Authority:
    """Signs. Its key stays in its file and this object; its repr shows none."""

    def __init__(self, path: Path) -> None:
        try:
            key = load_ssh_private_key(path.read_bytes(), None)
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError([f"{path}: {error}: expected the private key of an authority of SSH"]) from None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise ConfigError([f"{path}: expected an Ed25519 key; remove the file to have one made"])
        self._key = key

    def __repr__(self) -> str:
        return "Authority(…)"

    @property
    def public(self) -> str:
        """Its public key, as one line."""
        return self._key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")

    def sign(self, builder: SSHCertificateBuilder) -> bytes:
        """The certificate, as one line."""
        return builder.sign(self._key).public_bytes()


class Certificates:
    """Gives and finds certificates. Calls block on the database; safe from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def issue(
        self,
        authority: Authority,
        identity: Identity,
        token: bytes,
        key: UserKey,
        principals: Collection[str],
        *,
        now: int,
        seconds: int,
        purpose: str = "",
        address: str = "",
    ) -> Issued:
        """A certificate of ``key`` that stands on the token of this digest; raises IdentityError past the limit.

        ``address`` is the only one that it is good from, "" for any.
        """
        valid_before = min(identity.expires_at, now + seconds * MICROSECONDS)
        if valid_before - now < MICROSECONDS:
            raise IdentityError("the proof of identity has expired: get a new token from the provider")
        named = tuple(sorted(principals))
        key_id = _key_id(identity, token)
        with writing(self._engine) as connection:
            store.delete_expired_certificates(connection, now - KEPT_SECONDS * MICROSECONDS)
            if store.count_live_certificates(connection, token, now) >= LIVE_CERTIFICATES:
                raise IdentityError(f"{LIVE_CERTIFICATES} certificates stand on this token: use one, or wait until they expire")
            serial = store.next_serial(connection, now)
            built = _built(key, serial, key_id, named, (now, valid_before), address)
            line = authority.sign(built)
            blob = _blob(line)
            store.insert_certificate(connection, digest_of(blob), store.Certificate(serial, token, purpose, valid_before))
        return Issued(
            line=line.decode("ascii"),
            serial=serial,
            key_id=key_id,
            fingerprint=fingerprint(_blob(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))),
            principals=named,
            valid_before=valid_before,
        )

    def find(self, blob: bytes, now: int) -> Proven:
        """Whom a certificate proves; raises IdentityError. Its signature and user are its caller's to check."""
        with self._engine.connect() as connection:
            found = store.certificate_held(connection, digest_of(blob))
            held = store.token_held(connection, found.token) if found is not None else None
        if found is None or held is None or held.target:
            raise IdentityError(f"the certificate is not known here: {_BY_CERTIFICATE}")
        if held.revoked_at is not None:
            raise IdentityError(f"the certificate's token was revoked at {shown(held.revoked_at)}: {_BY_CERTIFICATE}")
        ended = min(found.valid_before, held.identity.expires_at)
        if ended <= now:
            raise IdentityError(f"the certificate expired at {shown(ended)}: {_BY_CERTIFICATE}")
        return Proven(held.identity, found.token, found.serial, found.purpose)


def digest_of(blob: bytes) -> bytes:
    """By what a certificate is listed. No token's digest can be the same: tokens begin otherwise."""
    return hashlib.sha256(blob).digest()


def user_key(line: str) -> UserKey:
    """A public key that a certificate may be made of; raises ValueError with what was expected."""
    kind, _, rest = line.strip().partition(" ")
    if len(line) > KEY_CHARACTERS or "-cert-" in kind:
        raise ValueError("a public key, as ssh-keygen writes it: ssh-ed25519 AAAA…")
    try:
        key = load_ssh_public_key(f"{kind} {rest.strip().split(' ')[0]}".encode("utf-8", "replace"))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("a public key, as ssh-keygen writes it: ssh-ed25519 AAAA…") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size not in RSA_BITS:
        raise ValueError(f"an RSA key of {RSA_BITS[0]} to {RSA_BITS[-1]} bits")
    if not isinstance(key, UserKey):
        raise ValueError("an Ed25519, ECDSA or RSA key")
    return key


def _blob(line: bytes) -> bytes:
    return b64decode(line.split(b" ")[1])


def _key_id(identity: Identity, token: bytes) -> str:
    """For people who read the log of some server: who, and by which token."""
    subject = "".join(char if char.isprintable() else "?" for char in identity.subject)[:KEY_ID_CHARACTERS]
    return f"gatebook {subject} {token.hex()[:ID_CHARACTERS]}"


def _built(
    key: UserKey, serial: int, key_id: str, principals: Collection[str], valid: tuple[int, int], address: str
) -> SSHCertificateBuilder:
    begins, ends = (one // MICROSECONDS for one in valid)
    built = (
        SSHCertificateBuilder()
        .public_key(key)
        .serial(serial)
        .type(SSHCertificateType.USER)
        .key_id(key_id.encode("utf-8", "replace"))
        .valid_principals([one.encode() for one in principals])
        .valid_after(begins - EARLY_SECONDS)
        .valid_before(ends)
        .add_extension(b"permit-pty", b"")
        .add_extension(b"permit-port-forwarding", b"")
    )
    return built.add_critical_option(b"source-address", _network(address).encode()) if address else built


def _network(address: str) -> str:
    """The address alone, as OpenSSH has networks; raises IdentityError where there is none."""
    try:
        one = ip_address(address.partition("%")[0])
    except ValueError:
        raise IdentityError("a certificate is bound to its asker's address, and this asker has none") from None
    return f"{one}/{one.max_prefixlen}"
