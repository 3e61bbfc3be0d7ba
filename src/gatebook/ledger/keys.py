"""The log's signing key on disk, and its public form as a C2SP verifier key."""

from __future__ import annotations

import os
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gatebook.errors import LedgerError

ED25519 = b"\x01"  # signature type of a log's own signature in a signed note


def key_path(home: Path) -> Path:
    """Where the key lies that signs a gateway's logs."""
    return home / "keys" / "ledger.key"


def raw_public(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of the public key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(origin: str, key: Ed25519PrivateKey) -> bytes:
    """The 4 bytes that name a key in a signed note."""
    return sha256(origin.encode() + b"\n" + ED25519 + raw_public(key)).digest()[:4]


def vkey(origin: str, key: Ed25519PrivateKey) -> str:
    """The verifier key, one line: ``origin+keyid+base64``. This is what an auditor keeps."""
    return f"{origin}+{key_id(origin, key).hex()}+{b64encode(ED25519 + raw_public(key)).decode()}"


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """Read the key, or make a new one that only the owner of the file can read (0600)."""
    try:
        if not path.exists():
            _create(path)
        return _load(path)
    except OSError as error:
        raise LedgerError(f"{path}: the ledger's key cannot be used: {error.strerror}") from error


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)  # unlike a rename, never takes the place of a key that another process just made
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _load(path: Path) -> Ed25519PrivateKey:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise LedgerError(f"{path}: mode {mode:04o}: others can read the ledger's key; expected 0600")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise LedgerError(f"{path}: expected an Ed25519 private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError(f"{path}: expected an Ed25519 private key, not {type(key).__name__}")
    return key
