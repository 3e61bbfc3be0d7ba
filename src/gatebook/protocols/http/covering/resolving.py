"""Tokens on their way back in a request, and covered values that must not go back at all.

Inside of a longer text a covered value cannot be told from one that somebody means to write, as in a report. So only what takes
the place of a whole object, and whatever a cluster is sent, is looked through for those.

A token stands for its value again as a whole string of JSON, or a whole value of a form or query, in a field that the rules
cover by the same mask set, or by a stricter style. Anywhere else it is refused, as is one of another run, identity, target or
set. A value that is what the gateway showed in the place of another (``****``, ``a***@example.com``) would overwrite the real
one, so no field of a request that writes may have it.

Only the bytes for the target hold the values; the record and approvals keep the tokens. Where the target says a value back, it
must be covered again: ``values`` are needles for the answer.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes

from gatebook.errors import WireError
from gatebook.masking import detectors, tokens
from gatebook.masking.fields import TOP, Place
from gatebook.masking.rules import STRICTNESS, Style
from gatebook.masking.styles import is_ours
from gatebook.protocols.http.checks import TARGET_BYTES
from gatebook.protocols.http.covering.codings import codings_of
from gatebook.protocols.http.covering.forms import read
from gatebook.protocols.http.covering.json_walk import Hit, JsonWalk, Look, read_string
from gatebook.protocols.http.covering.leaves import NESTED
from gatebook.protocols.http.covering.media import FORM, media_type
from gatebook.protocols.http.covering.plan import Plan, decoded
from gatebook.protocols.http.message import Request

FOREIGN = "it holds a token of another run, identity, target or mask set, or one that was changed; read the field again"
ELSEWHERE = (
    "a token may only be the whole value of a field under the same mask set or a stricter mask; "
    "here it would be written where people see it"
)
WRITTEN_BACK = "it would write a covered value over the real one; leave the field out, or write a new value"
TOO_LONG = (
    f"with what its tokens stand for, its path and query are longer than the {TARGET_BYTES} bytes that may go on; send fewer"
)
MOVED = "it would take a value that is covered to where it is not; write the value itself there"
UNTOLD = "it is a JSON Patch that cannot be told from another; send plain JSON, in which no name stands twice"
HIDDEN = "it holds a token in a content that cannot be read here; send JSON or a form, in no coding"

JSON_PATCH = "application/json-patch+json"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_MARK = re.compile(rb"gbk_|\*{3}|h:[0-9a-f]{16}|<[a-z-]+>|\\u00|%")
_SHOWN = re.compile(rb"<([a-z]+(?:-[a-z]+)*)>")
_MARKERS = frozenset(name.encode() for name in (*detectors.NAMES, "unread"))


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request with what its tokens stand for; ``refusal`` says why it may not go. Its repr shows no value."""

    target: str = field(repr=False)
    content: bytes = field(repr=False)
    values: tuple[bytes, ...] = field(default=(), repr=False)
    refusal: str = ""


class _RefusedError(Exception):
    pass


def resolve(request: Request, content: bytes, plan: Plan, *, within: bool = False) -> Resolved:
    """What goes to the target. ``plan`` is of all mask sets that may hold for it, and ``content`` all of the content.

    With ``within`` no text may hold a covered value either.

    What is no JSON and no form goes as it is, unless it holds a token.
    """
    given = Resolved(request.target, content)
    try:
        work = _Work(plan, writes=request.method not in _READS, texts=within or request.method == "PUT")
        path, sign, query = request.target.partition("?")
        if _MARK.search(query.encode("utf-8", "surrogateescape")):
            query = work.pairs(query.encode("utf-8", "surrogateescape"), writes=False).decode("utf-8", "surrogateescape")
        if content:
            content = _content(request, content, work, plan)
    except _RefusedError as error:
        return Resolved(given.target, given.content, refusal=str(error))
    if not work.values and content == given.content:
        return given
    target = path + sign + query
    if len(target) > TARGET_BYTES:
        return Resolved(given.target, given.content, refusal=TOO_LONG)
    return Resolved(target, content, tuple(dict.fromkeys(work.values)))


def _content(request: Request, content: bytes, work: _Work, plan: Plan) -> bytes:
    kind = media_type(request.get(b"content-type"))
    coded = bool(codings_of(request.all(b"content-encoding")) != ())
    if coded or not (kind.is_json or kind.name == FORM):
        if b"gbk_" in content and work.known(content):
            raise _RefusedError(HIDDEN)
        return content
    patches = kind.name == JSON_PATCH and plan.rules_fields
    if not patches and not work.may_stand_in(content):
        return content
    if kind.name == FORM:
        return work.pairs(content, writes=work.writes)
    try:
        return work.patch(content) if patches else work.document(content)
    except WireError:
        if work.known(content) or (patches and work.writes):
            raise _RefusedError(HIDDEN if work.known(content) else UNTOLD) from None
        return content


class _Work:
    """Resolves the values of one request. Raises _RefusedError for one that may not go."""

    def __init__(self, plan: Plan, *, writes: bool, texts: bool, level: int = 0) -> None:
        self.values: list[bytes] = []
        self.writes, self.texts = writes, texts
        self._plan, self._level, self._top = plan, level, TOP

    def known(self, content: bytes) -> bool:
        """Whether a token that stands for something here is in the content."""
        return any(self._meant(found[0]) is not None for found in TOKEN.finditer(content))

    def may_stand_in(self, content: bytes) -> bool:
        """Whether a token or a covered value may be in the content at all."""
        return self._plan.tree.writes_base64 or bool(_MARK.search(content))

    def document(self, content: bytes) -> bytes:
        """JSON with what its tokens stand for."""
        mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
        data = content[len(mark) :]
        _, hits = JsonWalk(self._plan, self._top, swallows=False).feed(data, looks=True, final=True)
        pieces: list[bytes] = [mark]
        last = 0
        for hit in hits:
            written = data[hit.start : hit.end]
            if hit.look is Look.NAME or written[:1] != b'"':
                continue
            value = read_string(written).encode("utf-8", "surrogatepass")
            meant = self._string(value, hit)
            if meant is not None:
                pieces += (data[last : hit.start], json.dumps(meant.decode(), ensure_ascii=False).encode())
                last = hit.end
        return b"".join((*pieces, data[last:]))

    def patch(self, content: bytes) -> bytes:
        """A JSON Patch (RFC 6902): what an operation's value means depends on where it is written to.

        Raises WireError for one that cannot be read.
        """
        try:
            found = json.loads(content, object_pairs_hook=_once)
            operations = found if isinstance(found, list) else [found]
            resolved = [self._operation(one) for one in operations]
        except (ValueError, RecursionError):
            raise WireError("a JSON Patch that cannot be read") from None
        return content if resolved == operations else json.dumps(resolved).encode()

    def _operation(self, one: object) -> object:
        if not isinstance(one, dict):
            self._unruled(one)
            return one
        if len({name.lower() for name in one}) < len(one):
            raise WireError("an operation with a name that stands twice, in whatever case")
        self._stays(one)
        if "value" not in one or not isinstance(one.get("path"), str):
            self._unruled(one)
            return one
        self._unruled({name: each for name, each in one.items() if name != "value"})
        data = json.dumps(one["value"], ensure_ascii=False).encode("utf-8", "surrogatepass")
        found = {self._at(data, place) for place in self._places(one["path"])}
        if len(found) != 1:
            raise _RefusedError(ELSEWHERE)
        return {**one, "value": json.loads(found.pop())}

    def _stays(self, one: dict[str, object]) -> None:
        """It takes nothing to where another rule holds, or none: not by moving it, and not by calling it otherwise."""
        tree, path = self._plan.tree, str(one.get("path", ""))
        taken = self._places(str(one["from"])) if "from" in one else set()
        around, _, name = path.rpartition("/")
        renames = name == _NAME and any(tree.pairs(place) for place in self._places(around))
        if self.writes and (renames or any(place != tree.anywhere for place in taken)):
            raise _RefusedError(MOVED)

    def _unruled(self, value: object) -> None:
        """What is no value has no tokens."""
        if TOKEN.search(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")):
            raise _RefusedError(ELSEWHERE)

    def _at(self, data: bytes, place: Place) -> bytes:
        return _Work(self._plan, writes=self.writes, texts=self.texts, level=self._level).within(self, data, place)

    def _places(self, pointer: str) -> set[Place]:
        """Where a pointer leads: a number in it may be an item of an array, or a member that is called so."""
        tree, places = self._plan.tree, {self._plan.tree.anywhere}
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            items = {tree.item(place) for place in places} if _INDEX.fullmatch(name) else set()
            places = {tree.member(place, name) for place in places} | items
            if len(places) > READINGS:
                raise _RefusedError(ELSEWHERE)
        return places

    def _string(self, value: bytes, hit: Hit) -> bytes | None:
        """What stands in a string's place; None for itself."""
        unpacked = self._unpacked(value, hit)
        if unpacked is not None:
            return unpacked
        if self._plan.tree.base64(hit.place):
            plain = decoded(value)
            meant = self._resolved(plain, hit.place, writes=self.writes) if plain is not None else None
            return b64encode(meant) if meant is not None else None
        if self._level < NESTED and _DOCUMENT.match(value):
            try:
                inner = _Work(self._plan, writes=self.writes, texts=self.texts, level=self._level + 1).within(
                    self, value, hit.place
                )
            except WireError:
                inner = value
            if inner != value:
                return inner
        return self._resolved(value, hit.place, writes=self.writes)

    def _unpacked(self, value: bytes, hit: Hit) -> bytes | None:
        """What goes on for a value that holds others packed, written in base64 once more or as it is."""
        rule = self._plan.rule(hit.place) if self._plan.packed is not None else None
        if rule is None or self._plan.packed is None:
            return None
        plain = decoded(value)
        for inner, coded in ((plain, True), (value, False)):
            found = self._plan.packed.meant(inner, self._plan, rule) if inner is not None else None
            if found is not None:
                if found.refusal and self.writes:
                    raise _RefusedError(found.refusal)
                self.values += found.values
                return b64encode(found.plain) if coded else found.plain
        return None

    def within(self, around: _Work, data: bytes, top: Place) -> bytes:
        """A document that is a string of another one. Raises WireError where it is none."""
        self.values, self._top = around.values, top
        return self.document(data)

    def pairs(self, pairs: bytes, *, writes: bool) -> bytes:
        """A form or query with what its tokens stand for."""
        return b"&".join(self._pair(pair, writes=writes) for pair in pairs.split(b"&"))

    def _pair(self, pair: bytes, *, writes: bool) -> bytes:
        written, equals, value = pair.partition(b"=")
        plain = read(value)
        place = self._plan.place(read(written).decode("utf-8", "replace"))
        meant = self._resolved(plain, place, writes=writes)
        return pair if meant is None else written + equals + quote_from_bytes(meant, safe="").encode()

    def _resolved(self, value: bytes, place: Place, *, writes: bool) -> bytes | None:
        if not is_ours(value):
            if writes and self.texts and holds_cover(value):
                raise _RefusedError(WRITTEN_BACK)
            return None
        if not tokens.is_token(value):
            if writes and is_cover(value):
                raise _RefusedError(WRITTEN_BACK)
            return None
        meant = self._meant(value)
        if meant is None:
            raise _RefusedError(FOREIGN)
        name, plain = meant
        found_style = self._plan.tree.style(place)
        own = any(one.name == name and one.style is Style.TOKEN for one in self._plan.tree.sets(place))
        stricter = found_style is not None and STRICTNESS.index(found_style[0]) > STRICTNESS.index(Style.TOKEN)
        if not own and not stricter:
            raise _RefusedError(ELSEWHERE)
        self.values.append(plain)
        return plain

    def _meant(self, token: bytes) -> tuple[str, bytes] | None:
        """The mask set of a token and its value."""
        for name, keys in self._plan.tokens.items():
            for key in keys:
                value = tokens.unseal(token, key)
                if value is not None:
                    return name, value
        return None


def is_cover(value: bytes) -> bool:
    """Whether a whole value is what the gateway showed in the place of another, and no token."""
    found = _SHOWN.fullmatch(value.strip())
    return is_ours(value) and not tokens.is_token(value) and (found is None or found[1] in _MARKERS)


def holds_cover(text: bytes) -> bool:
    """Whether a text has in it what a detector leaves there: by its form, or by its name where a value would stand."""
    return any(_is_cover(found) for found in _WITHIN.finditer(text))


def _is_cover(found: re.Match[bytes]) -> bool:
    return found[2] is not None or found[1] is None or found[1] in _MARKERS


_WITHIN = re.compile(
    rb"(?<![0-9*])\*{12}[0-9]{4}(?![0-9])|(?<![0-9*])\*{3}-\*{2}-[0-9]{4}(?![0-9])"
    rb"|(?<![A-Za-z0-9*])[A-Za-z0-9]?\*{3}@[A-Za-z0-9-]+\.[A-Za-z]"
    rb"|<([a-z]+(?:-[a-z]+)+)>|(?:[=:]\s{0,2}[\"']?|(?i:bearer|basic)\s)<(secret|authorization|jwt)>"
)
_DOCUMENT = re.compile(rb"\s*[\[{]")
_NAME = "name"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object none of whose names stands twice: servers read one or the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name that stands twice")
    return found


_INDEX = re.compile(r"-|[-+]?[0-9]+")
READINGS = 16  # of one pointer
TOKEN = re.compile(rb"gbk_[A-Za-z0-9_-]{43,44000}")
