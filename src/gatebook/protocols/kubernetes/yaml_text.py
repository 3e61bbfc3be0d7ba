"""YAML as Kubernetes takes it, read strictly: JSON in another spelling, and nothing beside.

One document, no aliases, no tags, no merge keys, every key a text that stands once. Plain words that YAML 1.1 takes for
something else than YAML 1.2 does (``yes``, ``0o10``, ``1_000``) are a doubt: a reader's library decides what they are.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from gatebook.protocols.http.contents import ABSENT, DEPTH
from gatebook.protocols.http.doubts import Doubts, quoted

EVENTS = 50_000  # of one document: a second of work on a busy machine; the largest definitions have a tenth of that

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {"": None, "null": None, "Null": None, "NULL": None, "~": None} | {
    spelled: value for word, value in (("true", True), ("false", False)) for spelled in (word, word.title(), word.upper())
}
_ELSEWHERE = re.compile(
    r"(?i:y|n|yes|no|on|off)|<<|[-+]?\.(?i:inf|nan)"
    r"|[-+]?0(x[0-9a-fA-F_]*|b[01_]*|o?[0-9_]*)|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])*"  # bases, minutes
    r"|[-+]?([0-9][0-9_]*)?\.[0-9_]*([eE][-+]?[0-9]+)?|[-+]?[0-9_]+[eE][-+]?[0-9]+"
)


class _FaultError(Exception):
    """Why the document is none that Kubernetes would take."""


def read_yaml(data: bytes, doubts: Doubts) -> Any:
    """The value, or ABSENT with a fault."""
    try:
        return _Reader(doubts).read(data.decode())
    except _FaultError as error:
        doubts.wrong(str(error))
    except (ValueError, yaml.YAMLError, RecursionError):
        doubts.wrong("its content is not YAML in UTF-8")
    return ABSENT


class _Reader:
    """Builds the value from events, so that nothing is ever expanded."""

    def __init__(self, doubts: Doubts) -> None:
        self._doubts = doubts
        self._open: list[tuple[Any, str | None]] = []  # what is being filled, and the key that waits for its value
        self._root: Any = ABSENT

    def read(self, text: str) -> Any:
        """The one document."""
        if text.startswith("\ufeff") or "\0" in text:
            raise _FaultError("its content is not YAML in UTF-8")
        documents = 0
        for count, event in enumerate(yaml.parse(text, _LOADER)):
            if count > EVENTS:
                raise _FaultError(f"its YAML has more than {EVENTS} parts")
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _FaultError("its YAML has more than one document")
            self._take(event)
        return None if self._root is ABSENT else self._root

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise _FaultError("its YAML has an alias (*…): write out what it stands for")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None and event.tag != "!":
            raise _FaultError(f"its YAML has a tag, {quoted(str(event.tag))}")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            made: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            if self._open and isinstance(self._open[-1][0], dict) and self._open[-1][1] is None:
                raise _FaultError("its YAML has a key that is no text")
            if len(self._open) >= DEPTH:
                raise _FaultError(f"its YAML is deeper than {DEPTH}")
            self._open.append((made, None))
        elif isinstance(event, yaml.CollectionEndEvent):
            made, _ = self._open.pop()
            self._put(made)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)

    def _scalar(self, event: Any) -> None:
        plain = event.style in (None, "") and event.implicit[0]
        if self._open and isinstance(self._open[-1][0], dict) and self._open[-1][1] is None:
            self._key(event.value, plain)
        else:
            self._put(self._resolved(event.value) if plain else event.value)

    def _key(self, text: str, plain: bool) -> None:
        table, _ = self._open[-1]
        if plain and text == "<<":
            raise _FaultError("its YAML has a merge key (<<): write out what it merges")
        if plain and not isinstance(self._resolved(text), str):
            raise _FaultError(f"its YAML has the key {quoted(text)}, which is no text: put it into quotes")
        if text in table:
            raise _FaultError(f"its YAML has the key {quoted(text)} twice in one place")
        self._open[-1] = (table, text)

    def _put(self, value: Any) -> None:
        if not self._open:
            self._root = value
            return
        into, key = self._open[-1]
        if isinstance(into, dict):
            into[key] = value
            self._open[-1] = (into, None)
        else:
            into.append(value)

    def _resolved(self, text: str) -> Any:
        """What a plain word is by YAML 1.2, with a doubt where YAML 1.1 has it otherwise."""
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return _finite(text)
        if _ELSEWHERE.fullmatch(text):
            self._doubts.unsure(f"its YAML has {quoted(text)} without quotes, which readers take for different things")
        return text


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _FaultError(f"its YAML has the number {quoted(text)}, which is too large")
    return number
