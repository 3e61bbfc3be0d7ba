"""The grammar of JSON (RFC 8259), walked as it comes: which values stand where, without making any of them.

``JsonWalk`` takes what is held and what came, and says how far the tokens in it are whole and which of them somebody must look
at: values under a rule, and where ``looks`` is set every other value and name too. It keeps nothing of the document but the
containers that are open: the place of each in the rules, and the name of the member whose value it is. A member ``"value"``
behind a member ``"name"`` stands as if under what that says: ``{"name":"DB_PASSWORD","value":"…"}``, as Kubernetes writes it.

Several documents may follow each other, as in a watch of Kubernetes. What is no JSON raises WireError as soon as that is
certain. A value that is covered whole is walked like any other, but its parts are ``GONE``.
"""

from __future__ import annotations

import json
import re
from enum import IntEnum
from typing import NamedTuple

from gatebook.errors import WireError
from gatebook.masking.fields import TOP, Place
from gatebook.protocols.http.covering.plan import Plan

DEPTH = 512  # open containers; parsers of most clients end there too
NAME_BYTES = 65_536  # of a member's name
NUMBER_BYTES = 4_096
SAID_BYTES = 1_024  # of what a member "name" says
HELD_BYTES = 8_388_608  # of a string that is not yet whole; a longer one is covered unread


class Look(IntEnum):
    """What somebody must do with a token."""

    NAME = 0  # a member's name that may hold something
    VALUE = 1  # a string, number or word that may hold something
    RULED = 2  # the same under a rule, or the beginning of a container under one
    GONE = 3  # bytes of what was covered already
    UNREAD = 4  # the beginning of a string that is too long to hold
    NEW = 5  # nothing: it was covered already, and ``name`` is what stands there now


class Hit(NamedTuple):
    """A token that somebody must look at; ``name`` is that of the nearest member around it, as it is written, with quotes."""

    look: Look
    start: int
    end: int
    place: Place
    name: bytes


_NAMES, _VALUES = b'"name"', b'"value"'
_WS = rb"[ \t\r\n]*+"
_ESCAPE = rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_IN_STRING = rb'(?:[^"\\\x00-\x1f]++|' + _ESCAPE + rb")*+"
_STRING = rb'"' + _IN_STRING + rb'"'
_SCALAR = rb"(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+|true|false|null)(?=[ \t\r\n,\]}])"
_VALUE = rb"(?:(?P<scalar>" + _STRING + rb"|" + _SCALAR + rb")|(?P<open>[\[{]))"
_NAMED = rb"(?P<name>" + _STRING + rb")" + _WS + rb":" + _WS + _VALUE

_FIRST_MEMBER = re.compile(_WS + rb"(?:(?P<close>\})|" + _NAMED + rb")")
_NEXT_MEMBER = re.compile(_WS + rb"(?:(?P<close>\})|," + _WS + _NAMED + rb")")
_FIRST_ITEM = re.compile(_WS + rb"(?:(?P<close>\])|" + _VALUE + rb")")
_NEXT_ITEM = re.compile(_WS + rb"(?:(?P<close>\])|," + _WS + _VALUE + rb")")
_DOCUMENT = re.compile(_WS + _VALUE)
_SPACE = re.compile(_WS)
_REST = re.compile(_IN_STRING)

# What may stand at the end of what came so far and become a token with what comes next.
_OPEN_STRING = rb'(?P<open>"' + _IN_STRING + rb")(?:\\(?:u[0-9a-fA-F]{0,3})?)?"
_OPEN_VALUE = rb"(?:" + _OPEN_STRING.replace(b"open", b"value") + rb"|[-+0-9.eE]*+|[a-z]{1,5})"
_OPEN_MEMBER = rb"(?:" + _OPEN_STRING + rb"|" + _STRING + _WS + rb"(?::" + _WS + _OPEN_VALUE + rb")?)?"
_OPENS = {
    _FIRST_MEMBER: re.compile(_WS + _OPEN_MEMBER),
    _NEXT_MEMBER: re.compile(_WS + rb"(?:," + _WS + _OPEN_MEMBER + rb")?"),
    _FIRST_ITEM: re.compile(_WS + _OPEN_VALUE),
    _NEXT_ITEM: re.compile(_WS + rb"(?:," + _WS + _OPEN_VALUE + rb")?"),
    _DOCUMENT: re.compile(_WS + _OPEN_VALUE),
}
# The beginning of a string as a value.
_LONG = rb'(?P<string>")'
_BEGUN = {
    _FIRST_MEMBER: re.compile(_WS + rb"(?P<name>" + _STRING + rb")" + _WS + rb":" + _WS + _LONG),
    _NEXT_MEMBER: re.compile(_WS + rb"," + _WS + rb"(?P<name>" + _STRING + rb")" + _WS + rb":" + _WS + _LONG),
    _FIRST_ITEM: re.compile(_WS + _LONG),
    _NEXT_ITEM: re.compile(_WS + rb"," + _WS + _LONG),
    _DOCUMENT: re.compile(_WS + _LONG),
}


class _Open(NamedTuple):
    """A container that is open: ``below`` is the place of an array's items, and of an object its own.

    ``looks`` says of an array that its name alone is a reason to look at its items, as ``"passwords"`` is.
    """

    object: bool
    place: Place
    below: Place
    name: bytes
    looks: bool = False


class JsonWalk:
    """Walks one content. ``top`` is the place where it stands, in the rules.

    Unless it ``swallows``, the parts of a container under a rule are walked like any others.
    """

    def __init__(self, plan: Plan, top: Place = TOP, name: bytes = b"", *, swallows: bool = True) -> None:
        self._plan = plan
        self._top, self._top_name = top, name
        self._swallows = swallows
        self._open: list[_Open] = []
        self._said: list[bytes] = []  # of each that is open, what its member "name" says
        self._next = _DOCUMENT
        self._gone = 0  # how many containers were open when one began that is covered whole; 0: none is
        self._within = False  # inside of a string that is too long
        self._seen = 0  # bytes of what is held that are known to end inside of a string
        self._ruled: dict[Place, bool] = {}

    @property
    def between(self) -> bool:
        """Whether no value is begun."""
        return not self._open and not self._within

    def looks(self, data: bytes) -> bool:
        """Whether all of the data is to be looked at."""
        return b"\\" in data or self._plan.suspects(data)

    def waits(self, data: bytes) -> bool:
        """Whether the data, from what was not taken the last time on, is still all inside of one long string."""
        if not self._seen or len(data) > HELD_BYTES:
            return False
        found = _REST.match(data, self._seen)
        self._seen = found.end() if found else self._seen
        return len(data) == self._seen

    def feed(self, data: bytes, *, looks: bool, final: bool = False) -> tuple[int, list[Hit]]:
        """How far the data, from what was not taken the last time on, is whole, and what in that is to be looked at.

        Raises WireError. With ``final`` nothing follows, and all of it must be whole.
        """
        self._seen = 0
        hits: list[Hit] = []
        whole = data + b" " if final else data
        at = self._rest(whole, hits) if self._within else 0
        if not self._within:
            at = self._walk(whole, at, hits, looks)
        if final:
            if not self.between or at < len(data):
                raise WireError("JSON that ends before it is complete")
            return len(data), hits
        return at, hits

    def _walk(self, data: bytes, at: int, hits: list[Hit], looks: bool) -> int:
        """Take tokens from there on as long as they are whole."""
        while True:
            found = self._next.match(data, at)
            if found is None:
                return self._stuck(data, at, hits)
            start = at
            at = found.end()
            if self._gone:
                hits.append(Hit(Look.GONE, start, at, TOP, b""))
            if self._open and found["close"]:
                self._close()
            else:
                self._value(found, hits, looks)

    def _value(self, found: re.Match[bytes], hits: list[Hit], looks: bool) -> None:
        place, name = self._where(found, hits, looks)
        looks = looks or (bool(self._open) and self._open[-1].looks) or self._is_said(name)
        opened = found["open"]
        if self._open and self._open[-1].object and found["name"] == _NAMES and not self._gone:
            self._said[-1] = _said(found["scalar"])
        if self._gone:
            if opened:
                self._enter(opened, place, name)
            elif self._open:
                self._next = _NEXT_MEMBER if self._open[-1].object else _NEXT_ITEM
            return
        ruled = self._is_ruled(place)
        if opened:
            self._enter(opened, place, name)
            if ruled and self._swallows:
                hits.append(Hit(Look.RULED, *found.span("open"), place, name))
                self._gone = len(self._open)
            return
        if found.end("scalar") - found.start("scalar") > HELD_BYTES:
            hits.append(Hit(Look.UNREAD, *found.span("scalar"), place, name))
        elif ruled or looks:
            hits.append(Hit(Look.RULED if ruled else Look.VALUE, *found.span("scalar"), place, name))
        if found.end("scalar") - found.start("scalar") > NUMBER_BYTES and found["scalar"][:1] != b'"':
            raise WireError(f"a number of more than {NUMBER_BYTES} bytes in JSON")
        if self._open:
            self._next = _NEXT_MEMBER if self._open[-1].object else _NEXT_ITEM

    def _where(self, found: re.Match[bytes], hits: list[Hit], looks: bool) -> tuple[Place, bytes]:
        """The place of the value, and the name of its nearest member."""
        if not self._open:
            return self._top, self._top_name
        around = self._open[-1]
        if not around.object:
            return around.below, around.name
        name = found["name"]
        if len(name) > NAME_BYTES:
            raise WireError(f"a name of more than {NAME_BYTES} bytes in JSON")
        if looks and not self._gone:
            hits.append(Hit(Look.NAME, *found.span("name"), around.place, name))
        stands = (self._said[-1] if name == _VALUES else b"") or name
        if not self._plan.tree:
            return TOP, stands
        return self._member(around.place, read_string(name)), stands

    def _member(self, place: Place, name: str) -> Place:
        """A value behind which its name stands may be any, and one that comes back none."""
        if not self._plan.tree.wild:
            return self._plan.member(place, name)
        said = self._said[-1]
        if not said and not self._swallows:
            return self._plan.tree.member(place, name)
        return self._plan.tree.paired(place, name, read_string(said) if said else None)

    def _is_said(self, name: bytes) -> bool:
        """Whether the name is one that a member says, and a reason to look at what stands beside it."""
        said = self._said[-1] if self._open else b""
        return bool(said) and name == said and (b"\\" in said or self._plan.suspects(said))

    def _is_ruled(self, place: Place) -> bool:
        ruled = self._ruled.get(place)
        if ruled is None:
            ruled = self._ruled[place] = self._plan.tree.style(place) is not None
        return ruled

    def _enter(self, opened: bytes, place: Place, name: bytes) -> None:
        if len(self._open) >= DEPTH:
            raise WireError(f"JSON of more than {DEPTH} levels")
        self._said.append(b"")
        if opened == b"{":
            self._open.append(_Open(True, place, place, name))
            self._next = _FIRST_MEMBER
        else:
            below = self._plan.tree.item(place) if self._plan.tree else TOP
            looks = bool(name) and (b"\\" in name or self._plan.suspects(name))
            self._open.append(_Open(False, place, below, name, looks))
            self._next = _FIRST_ITEM

    def _close(self) -> None:
        if self._gone == len(self._open):
            self._gone = 0
        self._open.pop()
        self._said.pop()
        if not self._open:
            self._next = _DOCUMENT
        else:
            self._next = _NEXT_MEMBER if self._open[-1].object else _NEXT_ITEM

    def _stuck(self, data: bytes, at: int, hits: list[Hit]) -> int:
        """Nothing whole stands there: what does must be able to become something. Says how far the data is taken."""
        begun = _OPENS[self._next].fullmatch(data, at)
        if begun is None:
            raise WireError("JSON that is not well-formed")
        space = _SPACE.match(data, at)
        if space is not None and not self._open:
            at = space.end()  # between documents white space belongs to nobody
        if len(data) - at <= HELD_BYTES:
            self._seen = max(begun.end(name) for name in begun.re.groupindex) - at
            return at
        string = _BEGUN[self._next].match(data, at)
        if string is not None and len(data) - string.start("string") > HELD_BYTES:
            return self._cut(string, data, hits)
        if len(data) - at > HELD_BYTES + NAME_BYTES:
            raise WireError(f"more than {HELD_BYTES} bytes of JSON without a value")
        return at

    def _cut(self, begun: re.Match[bytes], data: bytes, hits: list[Hit]) -> int:
        """A string that is too long to hold is taken as far as it came, and covered unread."""
        place, name = self._where(begun, hits, looks=False)
        if self._gone:
            hits.append(Hit(Look.GONE, begun.start(), begun.start("string"), TOP, b""))
        self._within = True
        end = _end_of_escapes(data)
        hits.append(Hit(Look.GONE if self._gone else Look.UNREAD, begun.start("string"), end, place, name))
        return end

    def _rest(self, data: bytes, hits: list[Hit]) -> int:
        """Go on inside of a string that is too long."""
        found = _REST.match(data)
        end = found.end() if found else 0
        if data[end : end + 1] == b'"':
            end += 1
            self._within = False
            if self._open:
                self._next = _NEXT_MEMBER if self._open[-1].object else _NEXT_ITEM
        elif len(data) - end >= len(b"\\u0000") or data[end : end + 1] not in (b"", b"\\"):
            raise WireError("JSON that is not well-formed")
        hits.append(Hit(Look.GONE, 0, end, TOP, b""))
        return end


def _said(written: bytes | None) -> bytes:
    """What a member "name" says, as it is written; nothing where that is no name."""
    return written if written is not None and written[:1] == b'"' and len(written) <= SAID_BYTES else b""


def _end_of_escapes(data: bytes) -> int:
    """Where the data ends, without an escape that is cut off there."""
    cut = _CUT_ESCAPE.search(data, max(0, len(data) - 6))
    return cut.start(1) if cut else len(data)


_CUT_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)\Z")


def read_string(written: bytes) -> str:
    """What a string of JSON says. Raises WireError."""
    try:
        if b"\\" not in written:
            return written[1:-1].decode()
        text = json.loads(written)
    except ValueError:
        raise WireError("a string of JSON that is not UTF-8") from None
    assert isinstance(text, str), "the walk takes nothing else for one"  # noqa: S101
    return text
