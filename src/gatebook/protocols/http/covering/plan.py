"""What covers one answer: rules on fields and headers, detectors, and the credentials that must not appear in it."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

from gatebook.masking import compiled
from gatebook.masking.detectors import WORK, OverworkError, Scan, Spot, Work, scan, stars_for
from gatebook.masking.fields import FieldTree, Place
from gatebook.masking.rules import STRICTNESS, MaskSet, Style
from gatebook.masking.styles import COVERED, cover_value
from gatebook.protocols.http.covering.needles import SHORTEST, Needles
from gatebook.protocols.relay import Covering

UNREAD = "unread"  # what is counted where something was covered because it was too much to read
CREDENTIAL = "credential"  # what is counted where a credential of the target's stood
EFFORT = 256  # work for each byte that is looked through: more is only used up by what was made to be slow

Counts = dict[str, int]


class Coverer(Protocol):
    """Covers one content as it comes. Owned by one message."""

    @property
    def masked(self) -> Counts:
        """What was covered, by style or detector."""
        ...

    def feed(self, data: bytes) -> bytes:
        """What may go on now. Raises WireError."""
        ...

    def finish(self) -> bytes:
        """What was held back, when the content is complete. Raises WireError."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """How a field, header or cookie is covered; ``mask_set`` is one that says so, ``key`` for hashes or its tokens.

    With ``base64`` the value is written so, and stays so: clients that decode it go on to.
    """

    style: Style
    mask_set: str
    key: bytes = field(repr=False)
    base64: bool = False

    def cover(self, value: bytes) -> bytes:
        """A whole value, covered."""
        if not self.base64:
            return cover_value(value, self.style, self.key)
        plain = decoded(value)
        return b64encode(COVERED if plain is None else cover_value(plain, self.style, self.key))


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A value that holds others packed, as it goes to the target, without its own base64; ``refusal`` says why it may not."""

    plain: bytes = field(repr=False)
    values: tuple[bytes, ...] = field(default=(), repr=False)
    refusal: str = ""


class Packed(Protocol):
    """A form in which values under a rule hold others packed, so that they are looked into and not covered whole."""

    def shown(self, written: bytes, plan: Plan, rule: Rule, counts: Counts) -> bytes | None:
        """A value of base64, covered inside; None where it is none that can be looked into."""
        ...

    def meant(self, plain: bytes, plan: Plan, rule: Rule) -> Unpacked | None:
        """What such a value means that comes back; None where it is none."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Made by ``plan_of``. ``aliases`` are other names under which fields may stand, as GraphQL has them; ``words`` finds the
    values of a request's tokens that are too short to be looked for within words.
    """

    tree: FieldTree
    scan: Scan
    names: frozenset[str]
    sets: tuple[MaskSet, ...]
    needles: Needles
    key: bytes = field(repr=False)
    tokens: Mapping[str, tuple[bytes, ...]] = field(repr=False)
    aliases: Mapping[str, Collection[str]] = field(default_factory=dict)
    words: re.Pattern[bytes] | None = field(default=None, repr=False)
    packed: Packed | None = None
    before: Plan | None = field(default=None, repr=False)  # the same that hides no values of a request

    @property
    def reads(self) -> bool:
        """Whether anything must be read at all: else everything passes."""
        return bool(self.tree or self.names or self.needles or self.words or self.rules_headers)

    @property
    def rules_fields(self) -> bool:
        """Whether a rule names fields, so that what has fields must be understood."""
        return bool(self.tree)

    @property
    def rules_headers(self) -> bool:
        """Whether a rule names header fields or cookies."""
        return any(one.headers for one in self.sets)

    def rule(self, place: Place) -> Rule | None:
        """What holds for the fields of a place."""
        found = self.tree.style(place)
        return None if found is None else self._rule(*found, base64=self.tree.base64(place))

    def header(self, name: str, *, cookie: bool = False) -> Rule | None:
        """What holds for a header field, by its name in lower case, or for a cookie by its name."""
        meant = [one for one in self.sets if any(each.name == name and each.cookie is cookie for each in one.headers)]
        if not meant:
            return None
        strictest = max((one.style for one in meant), key=STRICTNESS.index)
        return self._rule(strictest, min(one.name for one in meant if one.style is strictest))

    def _rule(self, style: Style, mask_set: str, *, base64: bool = False) -> Rule:
        key = next(iter(self.tokens.get(mask_set, ())), b"") if style is Style.TOKEN else self.key
        return Rule(style, mask_set, key, base64)

    def member(self, place: Place, name: str) -> Place:
        """The place of a member below another."""
        below = self.tree.member(place, name)
        others = self.aliases.get(name)
        if not others:
            return below
        return self.tree.joined([below, *(self.tree.member(place, other) for other in others)])

    def named(self, name: str) -> Rule | None:
        """What holds for a field of something flat."""
        return self.rule(self.place(name))

    def place(self, name: str) -> Place:
        """The place of a field of something flat, as a form: its name may be a path itself, ``customer[ssn]``."""
        whole = self.member(0, name)
        parts = [part for part in name.replace("[", ".").replace("]", "").split(".") if part]
        place = 0
        for part in parts[:MOST_PARTS]:
            place = self.member(place, part)
        return self.tree.joined([whole, place]) if len(parts) > 1 else whole

    def look(self, data: bytes, counts: Counts) -> bytes:
        """A piece of text with its findings and credentials covered, the same object if there are none; ``counts`` grows.

        Raises OverworkError for a text that was made to be slow.
        """
        data = self.without_said(data, counts)
        if not self.names or (compiled.crate is not None and not compiled.detectors(self.names).suspect(data)):
            return data
        work = Work(min(WORK, EFFORT * (len(data) + 64)))
        return self.scan.cover(data, self.scan.suspects(data, work), counts, work)

    def blot(self, data: bytes) -> tuple[bytes, list[Spot]]:
        """The same with a star for each byte that is covered, so that all else keeps its place. Raises OverworkError.

        Credentials are covered so too; their spots are the caller's to find.
        """
        if self.needles:
            data = self.needles.cover(data, {}, same_length=True)
        if self.words is not None:
            data = self.words.sub(lambda found: b"*" * len(found[0]), data)
        if not self.names:
            return data, []
        effort = min(WORK, EFFORT * (len(data) + 64))
        blotted = compiled.blot(self.names, data, effort)
        if blotted is not None:
            return blotted
        work = Work(effort)
        return self.scan.blot(data, self.scan.suspects(data, work), work)

    def blotted(self, data: bytes, counts: Counts) -> tuple[bytes, list[Spot]]:
        """The same; what is too much to read is stars as a whole, and counted as ``UNREAD``."""
        try:
            return self.blot(data)
        except OverworkError:
            count(counts, UNREAD)
            return stars_for(data), []

    def hiding(self, values: Collection[bytes]) -> Plan:
        """The same, which also covers these values: a short one wherever it is a whole word."""
        if not values:
            return self
        needles = self.needles.with_more(value for value in values if len(value) >= SHORTEST)
        return replace(self, needles=needles, words=_words(values), before=self)

    def without_said(self, data: bytes, counts: Counts) -> bytes:
        """The data without the target's credentials and what tokens of the request stand for."""
        if self.needles:
            data = self.needles.cover(data, counts)
        if self.words is None:
            return data
        covered, times = self.words.subn(COVERED, data)
        if not times:
            return data
        count(counts, CREDENTIAL, times)
        return covered

    def looked(self, data: bytes, counts: Counts, unread: bytes) -> bytes:
        """The same, with ``unread`` for what is too much work."""
        try:
            return self.look(data, counts)
        except OverworkError:
            count(counts, UNREAD)
            return unread

    def suspects(self, data: bytes) -> bool:
        """Whether ``look`` may change the data or any part of it that holds no escapes."""
        if (self.needles and self.needles.found(data)) or (self.words is not None and self.words.search(data)):
            return True
        if compiled.crate is not None:
            return bool(self.names) and bool(compiled.detectors(self.names).suspect(data))
        return bool(self.names and self.scan.suspects(data))


MOST_PARTS = 64  # of a name in a form


def decoded(written: bytes) -> bytes | None:
    """What a value of base64 says (RFC 4648, section 4); None where it is none."""
    try:
        return b64decode(written, validate=True)
    except ValueError:
        return None


def count(counts: Counts, name: str, more: int = 1) -> None:
    """Add to what was counted."""
    counts[name] = counts.get(name, 0) + more


def plan_of(
    covering: Covering,
    masks: Collection[str],
    needles: Collection[bytes] = (),
    aliases: Mapping[str, Collection[str]] | None = None,
) -> Plan:
    """What covers an answer under these mask sets. ``needles`` are the credentials that the gateway shows to the target."""
    sets = tuple(covering.sets[name] for name in sorted(masks) if name in covering.sets)
    ruling = tuple(one for one in sets if one.fields or one.headers)
    names = covering.detectors
    tree = _tree(ruling)
    if tree.grown:
        tree = FieldTree(ruling)
    return Plan(
        tree=tree,
        scan=scan(names),
        names=names,
        sets=ruling,
        needles=_needles(frozenset(needles)),
        key=covering.key,
        tokens=covering.tokens,
        aliases=aliases or {},
    )


def _words(values: Collection[bytes]) -> re.Pattern[bytes] | None:
    short = sorted({one for one in values if 0 < len(one) < SHORTEST}, key=len, reverse=True)
    return re.compile(rb"(?<![0-9A-Za-z_])(?:%b)(?![0-9A-Za-z_])" % b"|".join(map(re.escape, short))) if short else None


@lru_cache(maxsize=256)  # one per choice of sets that policies make
def _tree(sets: tuple[MaskSet, ...]) -> FieldTree:
    return FieldTree(sets)


@lru_cache(maxsize=256)  # one per role of a target
def _needles(secrets: frozenset[bytes]) -> Needles:
    return Needles(secrets)
