"""The compiled twin of ``json_walk``, where the crate is installed: it says of less that somebody must look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gatebook.errors import WireError
from gatebook.masking import compiled
from gatebook.masking.fields import TOP, Place
from gatebook.protocols.http.covering import json_walk
from gatebook.protocols.http.covering.json_walk import Hit, JsonWalk, Look, read_string
from gatebook.protocols.http.covering.plan import Counts, Plan

LIMITS = (json_walk.DEPTH, json_walk.NAME_BYTES, json_walk.NUMBER_BYTES, json_walk.HELD_BYTES)
_LOOKS = tuple(Look)


class NativeWalk:
    """The same as JsonWalk. It covers what is simple itself; only what was said to the target makes it look at everything."""

    def __init__(self, plan: Plan, masked: Counts, top: Place = TOP, name: bytes = b"") -> None:
        rules = None
        if plan.tree:
            names = {one.encode() for one in plan.tree.names if one.isascii()}
            aliases = {one.encode() for one in plan.aliases if one.isascii()}
            tree = plan.tree
            paired = None
            if tree.wild:

                def paired(place: Place, written: bytes, said: bytes) -> Place:
                    return tree.paired(place, read_string(written), read_string(said) if said else None)

            asked = (
                lambda place, written: plan.member(place, read_string(written)),
                tree.item,
                lambda place: tree.style(place) is not None,
                paired,
            )
            rules = asked, names, aliases
        self._plan = plan
        self._masked = masked
        self._walk: Any = compiled.crate.Json(compiled.detectors(plan.names), LIMITS, rules, top, name)

    @property
    def between(self) -> bool:
        """Whether no value is begun."""
        return bool(self._walk.between)

    def looks(self, data: bytes) -> bool:
        """Whether all of the data is to be looked at."""
        return self._plan.words is not None or (bool(self._plan.needles) and self._plan.needles.found(data))

    def waits(self, data: bytes) -> bool:
        """Whether the data, from what was not taken the last time on, is still all inside of one long string."""
        return bool(self._walk.waits(data))

    def feed(self, data: bytes, *, looks: bool, final: bool = False) -> tuple[int, list[Hit]]:
        """How far the data is whole, and what in that is to be looked at. Raises WireError."""
        try:
            end, found = self._walk.feed(data + b" " if final else data, looks, self._masked)
        except ValueError as error:
            raise WireError(str(error)) from None
        if final:
            if not self._walk.between or end < len(data):
                raise WireError("JSON that ends before it is complete")
            end = len(data)
        return end, [Hit(_LOOKS[look], start, to, place, name) for look, start, to, place, name in found]


Walk: TypeAlias = JsonWalk | NativeWalk
MakeWalk: TypeAlias = Callable[[Plan, Counts, Place, bytes], Walk]


def walk(plan: Plan, masked: Counts, top: Place = TOP, name: bytes = b"") -> Walk:
    """The walk of one content; ``masked`` counts what it covers itself."""
    if compiled.crate is None:
        return JsonWalk(plan, top, name)
    return NativeWalk(plan, masked, top, name)


def passes(plan: Plan, data: bytes) -> bool:
    """Whether a whole content goes on as it is, since it is one document in which nobody has to look at anything.

    No where that is not sure: then it has to be walked.
    """
    if compiled.crate is None or plan.tree or plan.words is not None or plan.needles.found(data):
        return False
    return bool(compiled.detectors(plan.names).passes(data, LIMITS))


def python_walk(plan: Plan, _masked: Counts, top: Place = TOP, name: bytes = b"") -> Walk:
    """The same by Python alone."""
    return JsonWalk(plan, top, name)
