"""What a pattern alone cannot know: checksums, lengths by country and issuer, and whether a value looks like a secret.

A check takes the match of a detector's pattern and gives the part of it to replace and the text that replaces it, or None. The
same checks serve whatever engine runs the patterns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import log2
from typing import TypeAlias

from gatebook.masking import styles

Part: TypeAlias = tuple[int, int, bytes]  # start, end, what stands there instead
Check: TypeAlias = Callable[[re.Match[bytes]], Part | None]


@dataclass(frozen=True, slots=True)
class Marker:
    """Takes the group ``value``, or else the whole match, and puts ``<name>`` in its place."""

    name: str

    def __call__(self, found: re.Match[bytes]) -> Part:
        """The part of this match."""
        group = "value" if "value" in found.re.groupindex else 0
        return found.start(group), found.end(group), b"<%s>" % self.name.encode()


# Cards --------------------------------------------------------------------------------------------------------------------

# First digits of an issuer (from, to) and its lengths. Left out, since other numbers look so: Visa of 13 digits, long gone
# (German and Japanese article numbers), and undivided Visa of 19 (random 64-bit keys).
_ISSUERS = (
    (b"4", b"4", (16,)),
    (b"51", b"55", (16,)),
    (b"2221", b"2720", (16,)),
    (b"34", b"34", (15,)),
    (b"37", b"37", (15,)),
    (b"300", b"305", (14,)),
    (b"3095", b"3095", (14, 16)),
    (b"36", b"36", (14,)),
    (b"38", b"39", (14, 16)),
    (b"6011", b"6011", (16, 19)),
    (b"644", b"659", (16, 19)),
    (b"3528", b"3589", (16,)),
    (b"62", b"62", (16, 17, 18, 19)),
    (b"2200", b"2204", (16,)),
    (b"508", b"508", (16,)),
    (b"9792", b"9792", (16,)),
    *((number, number, tuple(range(13, 20))) for number in (b"5018", b"5020", b"5038", b"5893", b"6304", b"6759")),
    (b"6761", b"6763", tuple(range(13, 20))),
)
# Lengths by the first four digits: asked for at every place where a card could begin, so it must cost little.
LENGTHS = {
    b"%04d" % head: frozenset(
        length for low, high, lengths in _ISSUERS if low <= (b"%04d" % head)[: len(low)] <= high for length in lengths
    )
    for head in range(10_000)
}
_NO_LENGTHS: frozenset[int] = frozenset()
_SEPARATORS = b" -"
# A digit, and the sum of the digits of its double, as bytes to add up; 48 is "0"
_ONCE = bytes(max(byte - 48, 0) for byte in range(256))
_DOUBLED = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[byte - 48] if 48 <= byte < 58 else 0 for byte in range(256))


def luhn(digits: bytes) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    return (sum(digits[::-2].translate(_ONCE)) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def is_card(digits: bytes) -> bool:
    """Whether the digits, without separators, are a card number of an issuer and pass Luhn."""
    return len(digits) in LENGTHS.get(digits[:4], _NO_LENGTHS) and luhn(digits)


def card(found: re.Match[bytes]) -> Part | None:
    """A card number; without its last group when only that makes one (a security code or a date may follow)."""
    text = found[0]
    digits = text.translate(None, _SEPARATORS)
    if is_card(digits) or (len(digits) == 19 and digits != text and digits[:1] == b"4" and luhn(digits)):
        return found.start(), found.end(), styles.card(text)
    shorter = text[: max(text.rfind(b" "), text.rfind(b"-"), 0)]
    if shorter and is_card(shorter.translate(None, _SEPARATORS)):
        return found.start(), found.start() + len(shorter), styles.card(shorter)
    return None


# Other numbers ------------------------------------------------------------------------------------------------------------


def ssn(found: re.Match[bytes]) -> Part | None:
    """A number that the Social Security Administration could have given out."""
    area, group, serial = found[0].split(b"-")
    given = area not in (b"000", b"666") and area < b"900" and group != b"00" and serial != b"0000"
    return (found.start(), found.end(), styles.ssn(found[0])) if given else None


# Length of an IBAN by country (the IBAN registry, SWIFT).
IBAN_LENGTHS = {
    country.encode(): length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH CR HR LI LV",
        22: "BG BH DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BF BJ BI CF CI CM CV CG DJ FR GA GQ GR GW IT KM MA MC MG ML MR MZ NE SM SN TD TG",
        28: "AL AO AZ BY CY DO GT HN HU IR LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}


def iban(found: re.Match[bytes]) -> Part | None:
    """An account number of its country's length whose check digits are right (ISO 13616, mod 97)."""
    head, rest = found[0], found["rest"]
    wanted = IBAN_LENGTHS.get(head[:2], 0) - len(head)
    compact = rest.replace(b" ", b"")
    if not 0 < wanted <= len(compact):
        return None
    end = _length_of(rest, wanted)
    follows = found.string[found.end() + end : found.end() + end + 1]
    number = compact[:wanted] + head
    if follows.isalnum() or int("".join(str(int(chr(byte), 36)) for byte in number)) % 97 != 1:
        return None
    return found.start(), found.end() + end, b"<iban>"


def _length_of(text: bytes, characters: int) -> int:
    """How many bytes of the text hold that many characters, spaces not counted."""
    at = 0
    while characters:
        characters -= text[at] != 0x20
        at += 1
    return at


_GROUP = re.compile(rb"[0-9]+")
_GLUED = re.compile(rb"[-./]?(?!x[0-9])[0-9A-Za-z]")  # x is for an extension
_FALSE_NANP = re.compile(rb"\+1(?:[01]|...[01])")  # area code and exchange begin with 2 to 9
_ONE_LENGTH = {b"1": 11, b"7": 11}  # country codes whose numbers all have one length, the code included


def phone(found: re.Match[bytes]) -> Part | None:
    """A phone number; of an international one as many groups of digits as fit E.164 (15 digits, of +1 and +7 exactly 11)."""
    text = found[0]
    if not text.startswith(b"+"):
        return found.start(), found.end(), b"<phone>"
    most = _ONE_LENGTH.get(text[1:2], 15)
    least = most if most < 15 else 9
    end = digits = 0
    for group in _GROUP.finditer(text):
        digits += len(group[0])
        if digits > most:
            break
        end = group.end() if digits >= least else 0
    glued = _GLUED.match(found.string, found.start() + end)
    whole = end and not glued and not _FALSE_NANP.match(text.translate(None, b" .()/-"))
    return (found.start(), found.start() + end, b"<phone>") if whole else None


# Addresses ----------------------------------------------------------------------------------------------------------------

PLAIN_EMAIL = re.compile(rb"([A-Za-z0-9._%+-]+)@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
ESCAPE = re.compile(rb"u[0-9A-Fa-f]{4}|[nrtbf]")  # the rest of \n or \u00e9, which is no part of the address
IMAGE_SCALE = re.compile(rb"[1-9]x\.(?:png|jpe?g|gif|webp|svg)", re.IGNORECASE)


def email(found: re.Match[bytes]) -> Part | None:
    """An address under a domain that can exist. Bytes beyond ASCII count when they are UTF-8 (RFC 6531)."""
    if not found[0].isascii():
        try:
            found[0].decode()
        except UnicodeDecodeError:
            return _plain_email(found)
    start, local = found.start(), found["local"]
    escape = ESCAPE.match(local) if found.string[start - 1 : start] == b"\\" else None
    skip = escape.end() if escape else 0
    return _address(start + skip, local[skip:], found["domain"])


def _plain_email(found: re.Match[bytes]) -> Part | None:
    inner = PLAIN_EMAIL.search(found[0])
    return _address(found.start() + inner.start(), inner[1], inner[2]) if inner else None


def _address(start: int, local: bytes, domain: bytes) -> Part | None:
    """Replaces the local part alone: the domain may be the beginning of the next address."""
    last = domain.rpartition(b".")[2]
    can_exist = len(last) > 1 and (last.isalpha() or not last.isascii() or last[:4].lower() == b"xn--")
    if not local or not can_exist or local == b"git" or IMAGE_SCALE.fullmatch(domain):
        return None
    return start, start + len(local), styles.local_part(local[:1])


PORT = re.compile(rb"[0-9]{1,5}[^0-9A-Za-z@:._~-]")
PARTLY_COVERED = re.compile(
    rb"\*{12}[0-9]{4}|\*\*\*-\*\*-[0-9]{4}|\*\*\*(?:@|(?!(?s:.)))|<(?:[a-z]+-(?:key|token)|jwt|iban|phone|authorization|url-password|secret)>"
)


def url_password(found: re.Match[bytes]) -> Part | None:
    """The password between user and host of a URL; not a port with more text after it, in which an address follows."""
    value = found["value"]
    other = PORT.match(value) or PARTLY_COVERED.search(value)
    return None if other else (*found.span("value"), b"<url-password>")


def openai(found: re.Match[bytes]) -> Part | None:
    """A key that begins like ordinary hyphenated words (``sk-learn-…``): it must mix digits and letters of both cases."""
    text = found[0][3:]
    mixed = _has_digit(text) and text != text.lower() and text != text.upper()
    return (found.start(), found.end(), b"<openai-key>") if mixed else None


def authorization(found: re.Match[bytes]) -> Part | None:
    """The credential of an Authorization header, or what follows ``Bearer`` anywhere if it does not look like a word."""
    value = found["value"]
    sure = found["scheme"] is not None or (len(value) >= 16 and _has_digit(value))
    return (*found.span("value"), b"<authorization>") if sure else None


COVERED = re.compile(rb"(?:h:[0-9a-f]{16}|[*xX]+|\*{12}[0-9]{4}|\*\*\*-\*\*-[0-9]{4}|<[a-z-]+>)")
PLACEHOLDER = re.compile(rb"(?:\$\{?\w+\}?|%\(\w+\)s|%s|\?|:\w+|\{\{.*\}\}|\.+)")
WORDS = frozenset(
    b"true false null none nil undefined yes no on off required optional string password secret token default new old".split()
)
_NO_VALUE = (
    b",",
    b":",
    b";",
    b"}",
    b"]",
    b")",
    b" ",
    b"\t",
)  # by these first bytes a closing quote was taken for an opening one
RANDOM_BITS = 2.999  # per byte of what looks random; no distribution has exactly that, so that rounding decides nothing
PATH = re.compile(rb"(?:[/~.]|[A-Za-z]:\\)")


def secret(found: re.Match[bytes]) -> Part | None:
    """What stands after a key such as ``password`` or ``api_key``."""
    group = found.lastgroup
    assert group is not None, "every alternative of the pattern ends in a group"  # noqa: S101
    value, (start, end) = found[group], found.span(group)
    if group == "bare" and (found.string[end : end + 1] == b"(" or value.startswith(b"//")):  # password = ask(), secret://…
        return None
    if group != "bare" and value[:1] in _NO_VALUE:
        return None
    return (start, end, b"<secret>") if _is_secret(found, value, bare=group == "bare") else None


def _is_secret(found: re.Match[bytes], value: bytes, *, bare: bool) -> bool:
    if COVERED.fullmatch(value) or PLACEHOLDER.fullmatch(value) or value.lower() in WORDS:
        return False
    strong = found["strong"]
    if strong is None:
        return len(value) >= 16 and _mixed(value) and entropy(value) >= RANDOM_BITS
    if strong.lower() == b"pwd" and PATH.match(value):  # the working directory, not a password
        return False
    if bare and not found["closed"] and b"=" not in found["sep"]:  # may be a sentence: "password: must have …"
        return len(value) >= 6 and _mixed(value)
    return len(value) >= 3


def entropy(value: bytes) -> float:
    """Bits per byte by the frequency of each byte in the value: words have about 2 to 3, random keys 3.5 and more."""
    total = len(value)
    return -sum(count / total * log2(count / total) for count in Counter(value).values())


def _has_digit(value: bytes) -> bool:
    return any(48 <= byte <= 57 for byte in value)


def _mixed(value: bytes) -> bool:
    """Letters together with digits or with signs that words do not have."""
    letters = any(byte | 32 in b"abcdefghijklmnopqrstuvwxyz" or byte > 127 for byte in value)
    return letters and (_has_digit(value) or any(byte in b"!@#$%^*+=~?" for byte in value))
