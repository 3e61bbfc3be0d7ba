"""Manifests, YAML of many objects: what Secrets among them hold has tokens, and so has any other value that detectors find.

A document in which nothing is covered keeps its text to the letter. Another is written anew from what was read, without its
comments: what a comment says nobody needs, and nobody could say whether it tells a secret.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, Protocol

import yaml

from gatebook.protocols.http.covering.needles import SHORTEST
from gatebook.protocols.http.covering.plan import Counts, Plan, Rule, count, decoded
from gatebook.protocols.http.covering.resolving import TOKEN, is_cover

EVENTS = 50_000  # of one document
LEVELS = 64
WIDTH = 1 << 20  # no line is folded
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_BEGINS = re.compile(r"^(?=---(?:\s|$))", re.MULTILINE)
_SECRET = re.compile(r"Secret|\\[xuU]")  # escapes may spell the word
_SOURCE = re.compile(r"(?:---)?\s*(# Source: [\w./ -]+\n)")
_MARKED = re.compile(r"gbk_|\*{3}|<[a-z]|h:[0-9a-f]|Secret|\\[xuU]")  # a cover or token; in Secrets they are in base64
_HELD = ("data", "stringData")


class ManifestError(Exception):
    """YAML that cannot be read whole, or not in one way only."""


class Scalar(NamedTuple):
    """A value: ``name`` is that of the nearest key, ``field`` is ``data`` or ``stringData`` where a Secret holds it."""

    node: Any
    name: str
    field: str


class Stands(Protocol):
    """What a token stands for."""

    def __call__(self, value: bytes, *, placed: bool) -> bytes:
        """The value, where it stands in the place of one; raises for any other, and for what is covered and no token."""
        ...


def held(texts: Collection[str]) -> list[bytes]:
    """What the Secrets in these manifests hold, as far as it is long enough to be known by."""
    found: dict[bytes, None] = {}
    for one in (one for text in texts for piece in _BEGINS.split(text) if _SECRET.search(piece) for one in _values(piece)):
        value = one.node.value.encode()
        plain = decoded(value) if one.field == "data" else value
        if one.field and plain is not None and len(plain) >= SHORTEST:
            found[plain] = None
    return list(found)


def covered(text: str, plan: Plan, rule: Rule, coded: Rule, counts: Counts) -> str:
    """The manifest with tokens; ``coded`` is the rule for what is written in base64."""

    def shown(one: Scalar) -> str | None:
        value = one.node.value
        if not one.field and not suspect(plan, one.name, value):
            return None
        count(counts, rule.style.value)
        return (coded if one.field == "data" else rule).cover(value.encode()).decode()

    return _written(text, lambda piece: bool(_SECRET.search(piece)) or plan.suspects(piece.encode()), shown)


def resolved(text: str, stands: Stands) -> str:
    """The manifest with what its tokens stand for."""

    def meant(one: Scalar) -> str | None:
        value = one.node.value.encode()
        plain = decoded(value) if one.field == "data" else None
        if plain is not None and (is_cover(plain) or TOKEN.fullmatch(plain)):
            return b64encode(stands(plain, placed=True)).decode()
        if is_cover(value) or TOKEN.fullmatch(value):
            return stands(value, placed=one.field == "stringData").decode()
        for each in TOKEN.findall(value if plain is None else plain):
            stands(each, placed=False)
        return None

    return _written(text, lambda piece: bool(_MARKED.search(piece)), meant)


def suspect(plan: Plan, name: str, value: Any) -> bool:
    """Whether there is something to cover in a value that stands under this name."""
    said = json.dumps(value, ensure_ascii=False).encode()
    pair = json.dumps(name, ensure_ascii=False).encode() + b":" + said
    return plan.looked(pair, {}, b"") != pair


# Reading and writing -------------------------------------------------------------------------------------------------------


def _written(text: str, looks: Callable[[str], bool], new: Callable[[Scalar], str | None]) -> str:
    return "".join(_piece(piece, new) if looks(piece) else piece for piece in _BEGINS.split(text))


def _piece(piece: str, new: Callable[[Scalar], str | None]) -> str:
    root = _composed(piece)
    changed = False
    for one in _scalars(root):
        value = new(one)
        if value is not None and value != one.node.value:
            one.node.value, one.node.style, one.node.tag = value, '"', "tag:yaml.org,2002:str"
            changed = True
    if not changed:
        return piece
    text: str = yaml.serialize(
        root, Dumper=_DUMPER, width=WIDTH, allow_unicode=True, explicit_start=piece.startswith("---") or None
    )
    if _told(_composed(text)) != _told(root):
        raise ManifestError("YAML that is another one when it is written anew")
    source = _SOURCE.match(piece)
    return (
        text
        if source is None
        else text.replace("---\n", f"---\n{source[1]}", 1)
        if text.startswith("---\n")
        else source[1] + text
    )


def _told(root: Any) -> list[tuple[str, str, str, str]]:
    return [(one.name, one.field, one.node.tag, one.node.value) for one in _scalars(root)]


def _values(piece: str) -> Iterator[Scalar]:
    return _scalars(_composed(piece))


def _composed(piece: str) -> Any:
    """The one document of a piece, None where it has none. Events are looked at first: trees are made without limits."""
    try:
        levels = 0
        for number, event in enumerate(yaml.parse(piece, _LOADER)):
            levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if number > EVENTS or levels > LEVELS or isinstance(event, yaml.AliasEvent):
                raise ManifestError("YAML with aliases, or too large or deep")
        return yaml.compose(piece, _LOADER)
    except (yaml.YAMLError, ValueError) as error:
        raise ManifestError("no YAML") from error


def _scalars(root: Any) -> Iterator[Scalar]:
    """All values in order, those of members ``value`` by what the member ``name`` beside them says."""
    todo: list[Scalar] = [Scalar(root, "", "")] if root is not None else []
    while todo:
        one = todo.pop()
        if isinstance(one.node, yaml.ScalarNode):
            yield one
        elif isinstance(one.node, yaml.SequenceNode):
            todo += [Scalar(each, one.name, one.field) for each in reversed(one.node.value)]
        else:
            todo += reversed(list(_members(one)))


def _members(one: Scalar) -> Iterator[Scalar]:
    words = {key.value: value.value for key, value in one.node.value if _is_word(key) and _is_word(value)}
    is_secret = any(_is_word(key) and key.value == "kind" and value.value == "Secret" for key, value in one.node.value)
    for key, value in one.node.value:
        if not _is_word(key) or key.value == "<<":
            raise ManifestError("a key that is no word, or merges")
        name = words.get("name", "") if key.value == "value" else ""
        yield Scalar(value, name or key.value, one.field or (key.value if is_secret and key.value in _HELD else ""))


def _is_word(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode)
