"""The content of a request: what it says it is, and what is in it, read once and strictly.

JSON here has every name once, is UTF-8 without a mark at its beginning and no deeper than ``DEPTH``. Where two readers could
come to two values, there is a doubt; which of them the target is, nobody knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.paths import read_form

DEPTH = 64  # of JSON; targets' own parsers differ in where they give up
JSON_TYPE = "application/json"
FORM = "application/x-www-form-urlencoded"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})((?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|\"[^\"\\\x00-\x1f]*\"))*)[ \t]*;?[ \t]*")
_CHARSET = re.compile(r";[ \t]*charset=\"?([^\";]*)", re.IGNORECASE)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # one without an end is all that follows: once, not again
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")


class _Absent:
    """There is no such value; None is JSON's null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Content:
    """``size`` is -1 where it is not known; ``value`` is what JSON or a form holds, ABSENT for all else and where it was not
    read.

    A form's value has a list for each name, since names may come again.
    """

    media_type: str
    size: int
    read: bool
    value: Any = ABSENT

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        return is_json(self.media_type)

    @property
    def is_form(self) -> bool:
        """Whether it says that it is a form of any kind."""
        return self.media_type in (FORM, "multipart/form-data")


def is_json(media_type: str) -> bool:
    """Whether a media type is that of JSON text."""
    return media_type in (JSON_TYPE, "text/json") or media_type.endswith("+json")


def media_type_of(request: Request, doubts: Doubts) -> tuple[str, str]:
    """Media type and charset in lower case, each ``""`` where it is not said."""
    found = list(request.all(b"content-type"))
    if not found:
        return "", ""
    if len(found) > 1:
        doubts.wrong("it has several fields content-type")
    text = found[0].decode("latin-1").strip(" \t")
    parsed = _MEDIA_TYPE.fullmatch(text) if len(text) <= 1024 else None
    if parsed is None:
        doubts.wrong(f"its content-type {quoted(text)} is none")
        return "", ""
    charsets = {one.strip().lower() for one in _CHARSET.findall(parsed[2])}
    if len(charsets) > 1:
        doubts.wrong("its content-type names several charsets")
    return parsed[1].lower(), next(iter(charsets), "")


def read_content(request: Request, body: bytes | None, doubts: Doubts) -> Content:
    """What the request carries; ``body`` is None where it was not read."""
    media_type, charset = media_type_of(request, doubts)
    if body is None:
        return Content(media_type, _stated_size(request), read=False)
    plain = Content(media_type, len(body), read=True)
    if not body:
        return plain
    if any(value.strip().lower() not in (b"", b"identity") for value in request.all(b"content-encoding")):
        doubts.unsure("its content is compressed, and was not read")
        return Content(media_type, len(body), read=False)
    if media_type == "multipart/mixed" or media_type == "application/http":
        doubts.unsure(f"its content may be a batch of requests ({media_type})")
    if not (plain.is_json or media_type == FORM):
        return plain
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        doubts.unsure(f"its content is said to be in {quoted(charset)}, and was not read")
        return Content(media_type, len(body), read=False)
    value = read_json(body, doubts) if plain.is_json else _form(body, doubts)
    return Content(media_type, len(body), read=True, value=value)


def _stated_size(request: Request) -> int:
    stated = request.get(b"content-length") or b""
    return int(stated) if stated.isdigit() and len(stated) < 19 else -1


def _form(body: bytes, doubts: Doubts) -> Any:
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        doubts.unsure("its form is not ASCII")
        return ABSENT
    form: dict[str, list[str]] = {}
    for name, value in read_form(text.strip("\r\n"), "form", doubts):
        form.setdefault(name, []).append(value)
    return form


class _TwiceError(ValueError):
    """A name stands twice in one object."""


def read_json(data: bytes, doubts: Doubts) -> Any:
    """The value, or ABSENT with a doubt."""
    try:
        if depth(data) > DEPTH:
            doubts.unsure(f"its JSON is deeper than {DEPTH}")
            return ABSENT
        return json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except _TwiceError as error:
        doubts.wrong(f"its JSON has the name {quoted(str(error))} twice in one object")
    except (ValueError, RecursionError):
        doubts.wrong("its content is not JSON in UTF-8")
    return ABSENT


def single_values(name: str, value: Any, most: int) -> Iterator[tuple[str, str]]:
    """Every single value under a name, as text: ``input.amount`` for what is in objects, the same name for what is in lists.

    At most one more than ``most``. A number is the same text however it was written; null is none.
    """
    todo, left = [(name, value)], most
    while todo and left >= 0:
        name, value = todo.pop()
        if isinstance(value, list):
            todo += [(name, one) for one in value]
        elif isinstance(value, dict):
            todo += [(f"{name}.{inner}" if name else inner, one) for inner, one in value.items()]
        elif value is not None:
            left -= 1
            yield name, plain(value)


def plain(value: bool | int | float | str) -> str:
    """A single value as text."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case _:
            return str(value)


def depth(data: bytes) -> int:
    """How deep brackets are nested, as far as it matters: up to ``DEPTH``, any number that is no more."""
    if data.count(b"{") + data.count(b"[") <= DEPTH:
        return 0
    level = 0
    for byte in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        level += 1 if byte in b"{[" else -1
        if level > DEPTH:
            return level
    return DEPTH


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        raise _TwiceError(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
