"""Tokens: pseudonyms that join, and that the gateway can turn back into their values.

A token is the value itself, encrypted with AES-256-SIV (RFC 5297): equal values give equal tokens, nobody without the key can
make or change one, and there is no store of values to keep, share or leak. The key belongs to one identity, one run, one target
and one mask set (``token_key``), so a token of any other is no token here. Values are padded to a power of two: a token tells
how long a value is in these steps and no closer.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

PREFIX = b"gbk_"
VALUE_BYTES = 16_384  # room for keys and chains of certificates; a longer value has no token and is redacted
KEY_BYTES = 64  # two halves: one authenticates, one encrypts
_SHORTEST = 16
_TOKEN = re.compile(rb"gbk_[A-Za-z0-9_-]{43,44000}")


def token_key(master: bytes, *parts: str) -> bytes:
    """The key of all tokens that share these parts: 64 bytes."""
    bound = b"".join(len(part.encode()).to_bytes(4) + part.encode() for part in ("gatebook token", *parts))
    return hmac.digest(master, bound, "sha512")


def is_token(text: bytes) -> bool:
    """Whether this has the form of a token, of whoever's."""
    return _TOKEN.fullmatch(text) is not None


def seal(value: bytes, key: bytes) -> bytes | None:
    """The value's token; None for a value that has none."""
    if len(value) > VALUE_BYTES:
        return None
    size = _SHORTEST
    while size < len(value) + 2:
        size *= 2
    padded = len(value).to_bytes(2) + value.ljust(size - 2, b"\0")
    return PREFIX + urlsafe_b64encode(_cipher(key).encrypt(padded, None)).rstrip(b"=")


def unseal(token: bytes, key: bytes) -> bytes | None:
    """The value behind a token of this key; None for anything else."""
    if not is_token(token):
        return None
    coded = token.removeprefix(PREFIX)
    try:
        padded = _cipher(key).decrypt(urlsafe_b64decode(coded + b"=" * (-len(coded) % 4)), None)
    except (InvalidTag, ValueError):
        return None
    value = padded[2 : 2 + int.from_bytes(padded[:2])]
    return value if seal(value, key) == token else None  # the last character's spare bits make no second token


@lru_cache(maxsize=1024)  # one per session and mask set
def _cipher(key: bytes) -> AESSIV:
    return AESSIV(key)
