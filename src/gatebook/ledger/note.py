"""Checkpoints: a C2SP tlog-checkpoint inside a C2SP signed-note, signed with Ed25519."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.errors import LedgerError
from gatebook.ledger.keys import key_id, vkey

ORIGIN = re.compile(r"[!-*,-~]{1,200}")  # printable ASCII without space and plus, which end a name in a note
_NOTE = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:— [^\n]+\n)+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: so many entries, with this root."""

    size: int
    root: bytes


class Signer:
    """Makes and recognises the checkpoints of one log."""

    def __init__(self, origin: str, key: Ed25519PrivateKey) -> None:
        if not ORIGIN.fullmatch(origin):
            raise LedgerError(f"origin {origin!r}: expected 1 to 200 printable ASCII characters without space and plus")
        self.origin = origin
        self.key = key
        self._id = key_id(origin, key)

    @property
    def vkey(self) -> str:
        """The verifier key of this log."""
        return vkey(self.origin, self.key)

    def sign(self, checkpoint: Checkpoint) -> str:
        """The checkpoint as a signed note."""
        text = f"{self.origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n"
        signature = b64encode(self._id + self.key.sign(text.encode())).decode()
        return f"{text}\n— {self.origin} {signature}\n"

    def open(self, note: str) -> Checkpoint:
        """Read a note of this log; LedgerError says why it is none."""
        match = _NOTE.fullmatch(note)
        if not match:
            raise LedgerError("not a checkpoint")
        origin, size, root, signatures = match.groups()
        if origin != self.origin:
            raise LedgerError(f"a checkpoint of {origin!r}, not of {self.origin!r}")
        self._check(f"{origin}\n{size}\n{root}\n", signatures)
        return Checkpoint(int(size), b64decode(root))

    def _check(self, text: str, signatures: str) -> None:
        for line in signatures.splitlines():
            name, _, value = line.removeprefix("— ").partition(" ")
            try:
                raw = b64decode(value, validate=True)
                if name == self.origin and raw[:4] == self._id:
                    self.key.public_key().verify(raw[4:], text.encode())
                    return
            except (binascii.Error, InvalidSignature):
                continue
        raise LedgerError("a checkpoint that was not signed with this log's key")
