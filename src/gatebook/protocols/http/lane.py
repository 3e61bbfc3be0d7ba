"""The plain way of a request that came before: what the target is sent for it, and what becomes of its answer.

A relay says of an exchange whether it ``went`` so: all of the request was here before anything of it was decided, it goes on as
it was read, and what it is sent as depends on nothing but itself and its session. The same bytes of a client, in the same
session and decided alike, are then the same bytes to the target.

What becomes of an answer is told by its head, byte for byte, and kept with it; its content is covered anew each time. Heads are
read, covered and written by the very code that does it for every other answer (``h1.py``, ``answering.py``), once for each that
is another. Heads that differ in a date or an id of the answer alone are one: something stands in for these where the head is
kept, and they are covered by themselves each time; where they would not pass as they are, the head is read as any other.
What is not whole, says too much, ends the connection, or cannot be passed on as it is, is None: the relay's to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from gatebook.errors import WireError
from gatebook.protocols.http import grpc
from gatebook.protocols.http.answering import Answering, shown
from gatebook.protocols.http.checks import HEAD_BYTES
from gatebook.protocols.http.covering.choosing import Both
from gatebook.protocols.http.covering.heads import covered_fields
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.needles import NeedleFilter
from gatebook.protocols.http.covering.plan import Counts, Coverer, Plan
from gatebook.protocols.http.h1 import ClientSide, ServerSide
from gatebook.protocols.http.known import Meant
from gatebook.protocols.http.message import End, Request, Response
from gatebook.protocols.http.terms import Terms

CONTENT_BYTES = 131_072  # of an answer; what is longer has time
JOINED_BYTES = 16_384  # of content: one write, and one record of TLS, is worth a copy of so many
HEADS = 16  # of answers to one request; one that has more begins anew
# What differs from one answer to the next and says nothing of it: by its name, and in its common form alone.
_DATE = re.compile(rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
_ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DATE_BYTES, ID_BYTES = 29, 36
_VARYING = re.compile(
    rb"(?<=\r\n)((?i:date)): (%b)(?=\r\n)|(?<=\r\n)((?i:audit-id|x-request-id|request-id|x-correlation-id)): (%b)(?=\r\n)"
    % (_DATE.pattern, _ID.pattern)
)
_STANDING_IN = {
    b"date": b"Sat, 03 Feb 1990 04:05:06 GMT",
    b"audit-id": b"abcdefab-cdef-4abc-8def-abcdefabcdea",
    b"x-request-id": b"abcdefab-cdef-4abc-8def-abcdefabcdeb",
    b"request-id": b"abcdefab-cdef-4abc-8def-abcdefabcdec",
    b"x-correlation-id": b"abcdefab-cdef-4abc-8def-abcdefabcded",
}
_NEVER = (206, 401)  # a part may have to be asked for as a whole, and a credential may be of no use any more
_WITHOUT_CONTENT = (204, 304)


@dataclass(frozen=True, slots=True)
class Went:
    """A request that went the plain way. ``content`` is all of its content, ``told`` its head as the target heard it."""

    request: Request
    content: bytes = field(repr=False)
    meant: Meant
    masks: frozenset[str]
    plan: Plan
    told: Request
    terms: Terms

    def sent(self, origin: str) -> bytes:
        """What a target of this origin is sent."""
        return self.ask(ClientSide(), origin)

    def ask(self, side: ClientSide, origin: str) -> bytes:
        """The same, as this side of a connection says it."""
        head = side.request(addressed(self.told, origin), length=len(self.content))
        return head + (side.data(self.content) if self.content else b"") + side.end()


def again(one: Went) -> Went | None:
    """What went so and will again: nothing else of it may differ the next time."""
    request = one.request
    if request.upgrade or request.get(b"expect") is not None or grpc.spoken(request.fields):
        return None
    return one


def addressed(told: Request, origin: str) -> Request:
    """The request as a server of this origin is addressed."""
    scheme, _, authority = origin.partition("://")
    return replace(told, authority=authority, scheme=scheme)


@dataclass(frozen=True, slots=True)
class Head:
    """What becomes of an answer with one very head: ``told`` to the client and ``shown`` in a replay, with so many bytes of
    content as it came, which ``make`` covers anew; None: they pass. So they do where ``passes`` says that it is sure of it.

    ``masked`` is what was covered in it.
    """

    told: bytes
    shown: bytes
    status: int
    length: int
    in_chunks: bool
    make: Callable[[], Coverer] | None
    passes: Callable[[bytes], bool]
    masked: Counts


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, whole: what the client gets, and what is content. What is large is not joined; its head stands by itself."""

    told: tuple[bytes, ...]
    content: bytes
    head: Head
    masked: Counts


@dataclass(frozen=True, slots=True)
class _Mould:
    """What is told and shown of a head, with room for what differs in heads like it: the ``names`` of that, in order.

    ``pieces`` of the head stand before each, and behind the last.
    """

    names: tuple[bytes, ...]
    pieces: tuple[bytes, ...]
    lines: bytes
    told: bytes
    shown: bytes
    known: Head

    @staticmethod
    def of(alike: bytes, names: tuple[bytes, ...], known: Head) -> _Mould | None:
        """Of a head with stand-ins; None where one of them does not stand once in it, in what is told and in what is shown."""
        stands = [_STANDING_IN[name] for name in names]
        told, seen = _with_room(known.told, stands), _with_room(known.shown, stands)
        if told is None or seen is None or _with_room(alike, stands) is None:
            return None
        pieces, rest = [], alike
        for stand in stands:
            piece, _, rest = rest.partition(stand)
            pieces.append(piece)
        return _Mould(names, (*pieces, rest), b"\r\n".join(name + b": %b" for name in names), told, seen, known)

    def values(self, data: bytes) -> tuple[bytes, ...] | None:
        """What differs in a head that is like it."""
        found, at = [], 0
        for name, piece in zip(self.names, self.pieces, strict=False):
            begin = at + len(piece)
            form, size = (_DATE, DATE_BYTES) if name == b"date" else (_ID, ID_BYTES)
            if not data.startswith(piece, at) or form.fullmatch(data, begin, begin + size) is None:
                return None
            at = begin + size
            found.append(data[begin:at])
        return tuple(found) if data[at:] == self.pieces[-1] else None

    def filled(self, values: tuple[bytes, ...], plan: Plan) -> Head | None:
        """The head with these values; None where one of them would not pass as it is."""
        if plan.rules_headers or plan.suspects(self.lines % values):  # as nearly never: then each is covered
            fields = tuple(zip(self.names, values, strict=True))
            if covered_fields(fields, plan, {}) != fields:
                return None
        one = self.known
        told, shown = self.told % values, self.shown % values
        return Head(told, shown, one.status, one.length, one.in_chunks, one.make, one.passes, one.masked)


def _with_room(text: bytes, stands: list[bytes]) -> bytes | None:
    """The text with a place for each stand-in; None where they are not in it once each, and in this order."""
    if [text.count(one) for one in stands] != [1] * len(stands) or sorted(stands, key=text.index) != stands:
        return None
    text = text.replace(b"%", b"%%")
    for one in stands:
        text = text.replace(one, b"%b")
    return text


class Answers:
    """To one request. Owned by what knows the request by its bytes."""

    def __init__(self, went: Went) -> None:
        self._went = went
        self._heads: dict[tuple[str, bytes], Head] = {}
        self._moulds: dict[tuple[str, int], _Mould] = {}  # by length
        self._last: tuple[str, bytes, Head] | None = None

    def size(self, data: bytes, origin: str) -> int | None:
        """How many bytes an answer has that begins so; None where the relay must read it."""
        end = data.find(b"\r\n\r\n", 0, HEAD_BYTES) + 4
        if end < 4:
            return None
        head = self._head(origin, data[:end])
        return end + head.length if head is not None else None

    def read(self, data: bytes, origin: str) -> Answered | None:
        """The answer that these bytes are, whole and alone; None where the relay must read them."""
        end = data.find(b"\r\n\r\n") + 4
        head = self._head(origin, data[:end])
        if head is None or len(data) - end != head.length:
            return None
        content, masked = data[end:], head.masked
        pieces = [content]
        if head.make is not None and not head.passes(content):
            coverer = head.make()
            try:
                pieces = [coverer.feed(content) if content else b"", coverer.finish()]
            except WireError:
                return None
            masked = _both(masked, coverer.masked)
            content = b"".join(pieces)
        told = _framed(head, [piece for piece in pieces if piece])
        return Answered(told if len(content) > JOINED_BYTES else (b"".join(told),), content, head, masked)

    def _head(self, origin: str, data: bytes) -> Head | None:
        last = self._last
        if last is not None and last[1] == data and last[0] == origin:
            return last[2]
        found = self._varied(origin, data) or self._kept(origin, data)
        if found is not None:
            self._last = origin, data, found
        return found

    def _varied(self, origin: str, data: bytes) -> Head | None:
        """What becomes of a head by one that is kept and differs from it in a date or an id alone, if that is sure."""
        size = origin, len(data)
        mould = self._moulds.get(size)
        if mould is not None and (values := mould.values(data)) is not None:
            return mould.filled(values, self._went.plan)
        own: dict[bytes, bytes] = {}

        def stand_in(found: re.Match[bytes]) -> bytes:
            name, value = (found[1], found[2]) if found[1] else (found[3], found[4])
            own[name.lower()] = value
            return name + b": " + _STANDING_IN[name.lower()]

        alike, count = _VARYING.subn(stand_in, data)
        if not count or count != len(own):
            return None
        known = self._kept(origin, alike)
        mould = _Mould.of(alike, tuple(own), known) if known is not None else None
        if mould is None:
            return None
        self._moulds[size] = mould
        return mould.filled(tuple(own.values()), self._went.plan)

    def _kept(self, origin: str, data: bytes) -> Head | None:
        key = origin, data
        known = self._heads.get(key)
        if known is not None:
            return known
        try:
            found = _head(self._went, origin, data)
        except WireError:
            return None
        if found is not None:
            if len(self._heads) >= HEADS:
                self._heads.clear()
                self._moulds.clear()
            self._heads[key] = found
        return found


def _head(went: Went, origin: str, data: bytes) -> Head | None:
    """What becomes of answers with this head. Raises WireError."""
    side = ClientSide()
    went.ask(side, origin)
    response, *rest = side.feed(data)
    if not isinstance(response, Response) or response.status < 200 or response.status in _NEVER:
        return None
    length = 0
    if not rest:
        length = side.length or 0
        if not 0 < length <= CONTENT_BYTES:
            return None
        *_, last = side.feed(bytes(length))
        rest = [last]
    if rest != [End()] or not side.reusable:
        return None
    answering = Answering(went.request, went.terms, went.plan, went.told)
    said = answering.head(response)
    if said is None:
        return None
    client = ServerSide(went.request.scheme)
    client.feed(b"%b / HTTP/1.1\r\nhost: a\r\n\r\n" % went.request.method.encode())
    told = client.respond(said.head, length=said.length)
    if not client.keeps_alive:
        return None
    return Head(
        told=told,
        shown=shown(said.head),
        status=said.head.status,
        length=length,
        in_chunks=said.length is None and not _is_empty(went.request, said.head.status),
        make=_maker(answering, response, went.plan),
        passes=_passing(answering.coverer),
        masked=answering.masked,
    )


def _framed(head: Head, pieces: list[bytes]) -> tuple[bytes, ...]:
    """A head and its content, as they are sent."""
    if not head.in_chunks:
        return head.told, *pieces
    told, front = [head.told], b""
    for piece in pieces:
        told += [front + b"%x\r\n" % len(piece), piece]
        front = b"\r\n"
    return *told, front + b"0\r\n\r\n"


def _is_empty(request: Request, status: int) -> bool:
    return request.method == "HEAD" or status in _WITHOUT_CONTENT


def _maker(answering: Answering, response: Response, plan: Plan) -> Callable[[], Coverer] | None:
    """Makes another coverer of the kind that this answer has; what is not the common one is chosen anew each time."""
    coverer = answering.coverer
    if coverer is None:
        return None
    if type(coverer) is JsonCover:
        return coverer.anew
    if type(coverer) is Both and type(coverer.second) is JsonCover:  # behind what looks for credentials
        inner = coverer.second
        return lambda: Both(NeedleFilter(plan.needles), inner.anew())
    return partial(_chosen, answering, response)


def _passing(coverer: Coverer | None) -> Callable[[bytes], bool]:
    """What says of a whole content that it needs no coverer of the kind."""
    if type(coverer) is Both and type(coverer.first) is NeedleFilter:  # which looks for what makes JSON not pass, too
        coverer = coverer.second
    return coverer.passes if type(coverer) is JsonCover else _never


def _never(_: bytes) -> bool:
    return False


def _chosen(answering: Answering, response: Response) -> Coverer:
    anew = answering.anew(answering.told)
    anew.head(response)
    if anew.coverer is None:
        raise AssertionError("the same head is covered once and once not")
    return anew.coverer


def _both(first: Counts, second: Counts) -> Counts:
    return {name: first.get(name, 0) + second.get(name, 0) for name in (*first, *second)} if first or second else first
