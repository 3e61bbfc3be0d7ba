"""What stands in the place of a whole value that a rule covers.

No style tells the length of the value, and an empty value is covered like any other: that it is empty is a fact about it.
NULL is no value and stays NULL: statements can ask for it anyway, and drivers and joins need it.
"""

from __future__ import annotations

import hmac
import re

from gatebook.masking.rules import Style
from gatebook.masking.tokens import KEY_BYTES, seal

COVERED = b"****"
SHORT = 4  # characters; of a shorter value even the first one would tell too much

CARD = re.compile(rb"[0-9](?:[ -]?[0-9]){12,18}")
SSN = re.compile(rb"[0-9]{3}-?[0-9]{2}-?([0-9]{4})")
EMAIL = re.compile(rb"([A-Za-z0-9])?[^@\s]*@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")


# A whole value as one of the styles or a detector leaves it, or a token. Of an address only the stars tell.
_OURS = re.compile(
    rb"gbk_[A-Za-z0-9_-]+|.?\*{4}|\*{12}[0-9]{4}|\*{3}-\*{2}-[0-9]{4}|h:[0-9a-f]{16}|[A-Za-z0-9]?\*{3}@\S+|<[a-z]+(?:-[a-z]+)*>"
)


def is_ours(value: bytes) -> bool:
    """Whether a value is what stands here for another: a covered one, or a token."""
    return _OURS.fullmatch(value.strip()) is not None


def cover_value(value: bytes, style: Style, key: bytes) -> bytes:
    """The value covered in a style. ``key`` is for hash and token: equal values give equal texts as long as the key stays."""
    if style is Style.TOKEN:
        return (seal(value, key) if len(key) == KEY_BYTES else None) or COVERED
    if style is Style.HASH:
        assert key, "a hash without a key could be looked up in a table"  # noqa: S101
        return b"h:" + hmac.digest(key, value, "sha256").hex()[:16].encode()
    return _partial(value.strip()) if style is Style.PARTIAL else COVERED


def card(value: bytes) -> bytes:
    """A card number by its last four digits."""
    return b"*" * 12 + value.strip()[-4:]


def ssn(value: bytes) -> bytes:
    """A social security number by its serial, the last four digits."""
    return b"***-**-" + value[-4:]


def local_part(first: bytes) -> bytes:
    """What stands before the @ of an address: its first letter, so that who knows the mailbox can tell which one is meant."""
    return (first if first.isalnum() else b"") + b"***"


def _partial(value: bytes) -> bytes:
    if CARD.fullmatch(value):
        return card(value)
    if SSN.fullmatch(value):
        return ssn(value)
    if found := EMAIL.fullmatch(value):
        return local_part(found[1] or b"") + b"@" + found[2]
    text = value.decode(errors="replace")
    return text[:1].encode() + COVERED if len(text) >= SHORT and text[0].isalnum() else COVERED
