"""Objects of a cluster as people are shown them who decide: as YAML, covered, and as a diff of two.

An object comes twice, as it is and as an answer of it would be covered. The real one is compared and never shown: a value that
is covered in both and is another in one is said to have changed. What Secrets hold is covered whatever the target's rules say.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from gatebook.masking import tokens
from gatebook.masking.detectors import cover_text
from gatebook.protocols.http.doubts import visible
from gatebook.protocols.kubernetes.paths import Place
from gatebook.protocols.kubernetes.seen import COVERED, HELD, LAST_APPLIED

SHOWN_BYTES = 65_536
WRITTEN_CHARACTERS = 300_000  # of an object as YAML, which is slow to write; a larger one is JSON
NAMES = 200
COMPARED = 1_000  # lines of what differs; in more of them no lines are looked for that stay
CONTEXT = 3
CHANGED = "<covered, and another than before>"

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_PASSING = frozenset({"managedFields", "resourceVersion", "generation"})  # what the server says of each version
_MADE_UP = frozenset({"uid", "creationTimestamp"})  # by a dry run, for an object that is none
Path: TypeAlias = tuple[str | int, ...]
Hidden: TypeAlias = dict[Path, Any]


@dataclass(frozen=True, slots=True)
class Both:
    """A value as it is, and as it may be shown."""

    real: Any
    covered: Any


class Object:
    """One object. ``real`` is never shown."""

    def __init__(self, both: Both) -> None:
        self.both = both
        metadata = both.real.get("metadata")
        self.metadata: dict[str, Any] = metadata if isinstance(metadata, dict) else {}

    @property
    def uid(self) -> str:
        """Which object of its name it is."""
        return _text(self.metadata.get("uid"))

    @property
    def version(self) -> str:
        """Which version of it."""
        return _text(self.metadata.get("resourceVersion"))


def told_diff(live: Object, result: Object, place: Place) -> str:
    """What changes, as a unified diff."""
    was_hidden: Hidden = {}
    becomes_hidden: Hidden = {}
    was = _fit(live, place, was_hidden, new=False)
    becomes = _fit(result, place, becomes_hidden, new=False)
    for path, value in becomes_hidden.items():
        if path in was_hidden and was_hidden[path] != value:
            _put(becomes, path, CHANGED)
    lines = list(_unified(_lines(was), _lines(becomes)))
    return _clipped(lines) if lines else "(nothing changes)"


def whole(one: Object, place: Place, *, new: bool = False) -> str:
    """All of an object; of a ``new`` one without what a dry run makes up."""
    return _clipped(_lines(_fit(one, place, {}, new=new)))


def names(found: Iterable[tuple[str, str, str]]) -> str:
    """Names of objects, the first of them."""
    listed = sorted("/".join(part for part in one[:2] if part) for one in found)
    more = [f"({len(listed) - NAMES} more)"] if len(listed) > NAMES else []
    return _clipped([_safe(one) for one in listed[:NAMES]] + more)


def standing(one: Object) -> list[str]:
    """What holds an object, and whose it is."""
    told = []
    owners = one.metadata.get("ownerReferences")
    owners = owners if isinstance(owners, list) else []
    named = [f"{each.get('kind')}/{each.get('name')}" for each in owners if isinstance(each, dict)]
    if named:
        told.append(_safe(f"It belongs to {', '.join(named[:10])}, which may make another.")[:500])
    finalizers = one.metadata.get("finalizers")
    if isinstance(finalizers, list) and finalizers:
        told.append(_safe(f"It goes once these are done with it: {', '.join(map(str, finalizers[:10]))}.")[:500])
    return told


# What is shown of an object ------------------------------------------------------------------------------------------------


def _fit(one: Object, place: Place, hidden: Hidden, *, new: bool) -> Any:
    """Without what each version has of its own; ``hidden`` gets what is covered, by its path."""
    secret = not place.group and place.resource == "secrets"
    shown = _covered(one.both.real, one.both.covered, (), hidden, secret=secret)
    if place.subresource != "status":
        shown.pop("status", None)
    metadata = shown.get("metadata")
    if isinstance(metadata, dict):
        for name in (*_PASSING, *(_MADE_UP if new else ())):
            metadata.pop(name, None)
    return shown


def _covered(real: Any, covered: Any, path: Path, hidden: Hidden, *, secret: bool) -> Any:
    """The value as it may be shown. Where the covered one has another form, all of it is hidden."""
    if isinstance(real, dict) and isinstance(covered, dict) and len(real) == len(covered):
        secret = secret or real.get("kind") == "Secret"
        found = {}
        for (key, value), (name, shown) in zip(real.items(), covered.items(), strict=True):
            below = (*path, name)
            if key in (LAST_APPLIED, "token") and value is not None:
                hidden[below], found[name] = value, COVERED
            elif secret and not path and key in HELD and value is not None:
                found[name] = _secret(value, below, hidden)
            else:
                found[name] = _covered(value, shown, below, hidden, secret=secret)
        return found
    if isinstance(real, list) and isinstance(covered, list) and len(real) == len(covered):
        pairs = enumerate(zip(real, covered, strict=True))
        return [_covered(one, other, (*path, at), hidden, secret=secret) for at, (one, other) in pairs]
    if real == covered and type(real) is type(covered):
        return covered
    hidden[path] = real
    return covered if isinstance(covered, str) and not tokens.is_token(covered.encode("utf-8", "replace")) else COVERED


def _secret(value: Any, path: Path, hidden: Hidden) -> Any:
    if not isinstance(value, dict):
        hidden[path] = value
        return COVERED
    for key, one in value.items():
        hidden[*path, _safe(key)] = one
    return {_safe(key): COVERED for key in value}


def _put(root: Any, path: Path, value: str) -> None:
    *above, last = path
    for step in above:
        root = _below(root, step)
    if _below(root, last) is not None:
        root[last] = value


def _below(root: Any, step: str | int) -> Any:
    if isinstance(root, list) and isinstance(step, int):
        return root[step]
    return root.get(step) if isinstance(root, dict) else None


# Lines --------------------------------------------------------------------------------------------------------------------


def _lines(value: Any) -> list[str]:
    try:
        text = json.dumps(value, ensure_ascii=False, indent=1)
        if len(text) <= WRITTEN_CHARACTERS:
            text = yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)
    except (yaml.YAMLError, ValueError, RecursionError):  # a text that is no Unicode
        return ["(not shown: it has characters that are none)"]
    return visible(text).rstrip("\n").split("\n")


def _unified(was: Sequence[str], becomes: Sequence[str]) -> Iterable[str]:
    """A unified diff without its head. Where very much differs, it says that all of that goes, and all of that comes."""
    if was == becomes:
        return []
    least = min(len(was), len(becomes))
    first = next((at for at in range(least) if was[at] != becomes[at]), least)
    last = next((at for at in range(least - first) if was[-1 - at] != becomes[-1 - at]), least - first)
    gone, come = was[first : len(was) - last], becomes[first : len(becomes) - last]
    if len(gone) + len(come) > COMPARED:
        before, after = was[max(first - CONTEXT, 0) : first], was[len(was) - last :][:CONTEXT]
        marks = ((" ", before), ("-", gone), ("+", come), (" ", after))
        return [mark + line for mark, lines in marks for line in lines]
    start = max(first - CONTEXT, 0)
    end = max(last - CONTEXT, 0)
    found = difflib.unified_diff(was[start : len(was) - end], becomes[start : len(becomes) - end], lineterm="", n=CONTEXT)
    return ["..." if line.startswith("@@") else line for line in list(found)[2:]]


def _clipped(lines: Sequence[str]) -> str:
    size = 0
    for kept, line in enumerate(lines):
        size += len(line.encode("utf-8", "replace")) + 1
        if size > SHOWN_BYTES:
            left = len(lines) - kept
            return cover_text("\n".join([*lines[:kept], f"({left:,} more line{'' if left == 1 else 's'} not shown)"]))
    return cover_text("\n".join(lines))


def _safe(text: str) -> str:
    return visible(cover_text(text))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
