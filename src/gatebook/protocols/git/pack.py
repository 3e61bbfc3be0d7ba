"""Packs, in which git sends objects: opened within limits, so that no pack fills the gateway's memory or takes it for hours.

A pack is read once from begin to end, where each object is inflated to find the next (``open_pack``); what an object holds is
inflated again when somebody looks at it. Deltas are resolved along their chain. Format: gitformat-pack.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gatebook.errors import WireError
from gatebook.protocols.git.objects import Kind, Object, digest_of

KINDS: Final = {1: Kind.COMMIT, 2: Kind.TREE, 3: Kind.BLOB, 4: Kind.TAG}
OFFSET_DELTA, REF_DELTA = 6, 7
CACHE_BYTES = 32 * 1024 * 1024  # of objects that chains go through, and that were looked at last
_FIRST = 512  # bytes that are inflated at once, at first: most objects are small
_MOST = 65_536

Outside = Callable[[str], Object | None]


class BasesMissingError(WireError):
    """Objects that neither the pack nor anybody outside has, and that its deltas are of."""

    def __init__(self, digests: Iterable[str]) -> None:
        self.digests = frozenset(digests)
        super().__init__(f"a pack with a delta whose base {min(self.digests)} neither it nor the repository has")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a pack may have: objects, bytes of one and of all that it holds inflated, and links in a chain of deltas."""

    objects: int = 200_000
    object_bytes: int = 64 * 1024 * 1024
    inflated_bytes: int = 1024 * 1024 * 1024
    depth: int = 250


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object's bytes are. ``base`` is an offset, or a digest, of what a delta changes."""

    start: int
    end: int
    size: int
    kind: Kind | None
    base: int | str | None = None


class Pack:
    """The objects of a pack, by their digests. Not for several threads."""

    def __init__(
        self, data: bytes | memoryview, places: dict[int, Place], limits: Limits, length: int, outside: Outside
    ) -> None:
        self._data, self._places, self._limits, self._length, self._outside = data, places, limits, length, outside
        self._at: dict[str, int] = {}
        self._cache: OrderedDict[int, Object] = OrderedDict()
        self._cached = 0
        self._work = 0

    def __contains__(self, digest: object) -> bool:
        return digest in self._at

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def read(self, digest: str) -> Object | None:
        """An object, or None where the pack does not have it. Raises WireError."""
        at = self._at.get(digest)
        return self._resolve(at) if at is not None else None

    def name_all(self) -> None:
        """Find each object's digest. Raises WireError for deltas without base, and for more work than the limits say."""
        waiting: dict[str, list[int]] = {}
        for begin in sorted(self._places):
            ready = [begin]
            while ready:
                at = ready.pop()
                missing = self._missing(at)
                if missing is None:
                    found = self._resolve(at)
                    digest = digest_of(found.kind, found.data, self._length)
                    self._at.setdefault(digest, at)  # the first of several alike: a later one may be a delta of it
                    ready += waiting.pop(digest, ())
                else:
                    waiting.setdefault(missing, []).append(at)
        if waiting:
            raise BasesMissingError(waiting)

    def _missing(self, at: int) -> str | None:
        """The digest at which an object's chain ends for now, since nobody knows that object yet."""
        chain = self._chain(at)
        base = self._places[chain[-1]].base
        return base if isinstance(base, str) and self._outside(base) is None else None

    def _chain(self, at: int) -> list[int]:
        """From an object to that which its deltas are of, as far as that is in the pack and known."""
        chain = [at]
        while (base := self._places[chain[-1]].base) is not None:
            if isinstance(base, str):
                if base not in self._at:
                    break
                base = self._at[base]
            if len(chain) > self._limits.depth:
                raise WireError(f"a pack whose deltas are more than {self._limits.depth} deep; repack with less --depth")
            chain.append(base)
        return chain

    def _resolve(self, at: int) -> Object:
        found: Object | None = None
        deltas: list[int] = []
        for link in self._chain(at):
            if (found := self._cache.get(link)) is not None:
                self._cache.move_to_end(link)
                break
            deltas.append(link)
        if found is None:
            found = self._first(deltas)
        for link in reversed(deltas):
            found = Object(found.kind, apply_delta(found.data, self._inflated(link), self._limits.object_bytes))
            self._keep(link, found)
        return found

    def _first(self, deltas: list[int]) -> Object:
        """What the last of these links is, or is of; where it is that itself, it leaves the list."""
        place = self._places[deltas[-1]]
        if place.kind is not None:
            found = Object(place.kind, self._inflated(deltas[-1]))
            self._keep(deltas.pop(), found)
            return found
        outside = self._outside(str(place.base))
        if outside is None:
            raise AssertionError("a chain that ends in nothing")
        return outside

    def _inflated(self, at: int) -> bytes:
        place = self._places[at]
        self._work += place.size
        if self._work > 8 * self._limits.inflated_bytes:
            raise WireError("a pack whose deltas take too much work; push it in parts")
        return zlib.decompress(self._data[place.start : place.end], bufsize=max(place.size, 1))

    def _keep(self, at: int, found: Object) -> None:
        if len(found.data) > CACHE_BYTES // 4:
            return
        self._cache[at] = found
        self._cached += len(found.data)
        while self._cached > CACHE_BYTES:
            _, old = self._cache.popitem(last=False)
            self._cached -= len(old.data)


def nothing(digest: str) -> None:
    """Outside of a pack that has to be whole."""


def open_pack(data: bytes | memoryview, *, limits: Limits | None = None, length: int = 40, outside: Outside = nothing) -> Pack:
    """Open a pack. ``length`` is of digests in digits, ``outside`` knows the objects that a thin pack's deltas may be of.

    Raises WireError for what is cut, lies, has bytes behind its end, or more than ``limits``; each object was read by then.
    """
    limits = limits or Limits()
    size = length // 2
    if bytes(data[:4]) != b"PACK" or len(data) < 12 + size:
        raise WireError("not a pack")
    version, count = int.from_bytes(data[4:8]), int.from_bytes(data[8:12])
    if version not in (2, 3):
        raise WireError(f"a pack of version {version}, which nobody writes")
    if count > limits.objects:
        raise WireError(f"a pack of {count} objects, where {limits.objects} may come; push it in parts")
    digest = hashlib.sha1(usedforsecurity=False) if size == 20 else hashlib.sha256()
    digest.update(data[:-size])
    if digest.digest() != bytes(data[-size:]):
        raise WireError("a pack whose checksum is wrong")
    places: dict[int, Place] = {}
    at, inflated = 12, 0
    for _ in range(count):
        place = _place(data, at, limits, size)
        inflated += place.size
        if inflated > limits.inflated_bytes:
            raise WireError(f"a pack that holds more than {limits.inflated_bytes} bytes; push it in parts")
        if isinstance(place.base, int) and place.base not in places:
            raise WireError("a pack with a delta of what is no object")
        places[at] = place
        at = place.end
    if at != len(data) - size:
        raise WireError("a pack with bytes behind its last object")
    pack = Pack(data, places, limits, length, outside)
    pack.name_all()
    return pack


def _place(data: bytes | memoryview, at: int, limits: Limits, size: int) -> Place:
    begin, end = at, len(data) - size
    byte = _byte(data, at, end)
    kind, length, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        at += 1
        byte = _byte(data, at, end)
        length |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise WireError("a pack with a length that has no end")
    at += 1
    if length > limits.object_bytes:
        raise WireError(f"a pack with an object of {length} bytes, where {limits.object_bytes} may come")
    base: int | str | None = None
    if kind == OFFSET_DELTA:
        back, at = _offset(data, at, end)
        base = begin - back
    elif kind == REF_DELTA:
        if at + size > end:
            raise WireError("a pack that is cut")
        base, at = bytes(data[at : at + size]).hex(), at + size
    elif kind not in KINDS:
        raise WireError(f"a pack with an object of kind {kind}, which is none")
    return Place(at, _inflate_past(data, at, end, length), length, KINDS.get(kind), base)


def _byte(data: bytes | memoryview, at: int, end: int) -> int:
    if at >= end:
        raise WireError("a pack that is cut")
    return data[at]


def _offset(data: bytes | memoryview, at: int, end: int) -> tuple[int, int]:
    byte = _byte(data, at, end)
    back = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = _byte(data, at, end)
        back = ((back + 1) << 7) | (byte & 0x7F)
        if back > 1 << 62:
            raise WireError("a pack with an offset that has no end")
    return back, at + 1


def _inflate_past(data: bytes | memoryview, at: int, end: int, length: int) -> int:
    """Where an object's compressed bytes end. Raises WireError where they are of another length than the pack says."""
    inflater = zlib.decompressobj()
    came, step = 0, min(max(length, _FIRST), _MOST)
    try:
        while not inflater.eof:
            if at >= end:
                raise WireError("a pack that is cut")
            piece = data[at : min(at + step, end)]
            at += len(piece)
            while True:
                came += len(inflater.decompress(piece, length - came + 1))
                if came > length:
                    raise WireError("a pack with an object that is longer than it says")
                piece = inflater.unconsumed_tail
                if inflater.eof or not piece:
                    break
    except zlib.error as error:
        raise WireError(f"a pack with bytes that do not inflate: {error}") from None
    if came != length:
        raise WireError("a pack with an object that is shorter than it says")
    return at - len(inflater.unused_data)


def apply_delta(base: bytes, delta: bytes, most: int) -> bytes:
    """What a delta makes of its base. Raises WireError for one of another base, or that makes something else than it says."""
    size, at = _size(delta, 0)
    if size != len(base):
        raise WireError("a delta of another base")
    size, at = _size(delta, at)
    if size > most:
        raise WireError(f"a pack with an object of {size} bytes, where {most} may come")
    made = bytearray()
    while at < len(delta):
        code = delta[at]
        at += 1
        if not code:
            raise WireError("a delta with an instruction that is none")
        if not code & 0x80:
            piece = delta[at : at + code]
            at += code
            if len(piece) < code:
                raise WireError("a delta that is cut")
        else:
            begin, length, at = _copied(delta, code, at)
            piece = base[begin : begin + length]
            if len(piece) < length:
                raise WireError("a delta that copies from behind its base's end")
        made += piece
        if len(made) > size:
            raise WireError("a delta that makes more than it says")
    if len(made) != size:
        raise WireError("a delta that makes less than it says")
    return bytes(made)


def _size(delta: bytes, at: int) -> tuple[int, int]:
    size = shift = 0
    while True:
        if at >= len(delta) or shift > 63:
            raise WireError("a delta that is cut")
        byte = delta[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return size, at


def _copied(delta: bytes, code: int, at: int) -> tuple[int, int, int]:
    """Offset and length of a copy, and where the next instruction is."""
    numbers = []
    for bits in ((1, 2, 4, 8), (16, 32, 64)):
        number = 0
        for place, bit in enumerate(bits):
            if code & bit:
                if at >= len(delta):
                    raise WireError("a delta that is cut")
                number |= delta[at] << (8 * place)
                at += 1
        numbers.append(number)
    return numbers[0], numbers[1] or 0x10000, at
