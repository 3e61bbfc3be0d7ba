"""Facts that the configuration takes out of a request's content: ``amount=100``, or a flag where a number is over a limit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gatebook.protocols.http.contents import ABSENT, Content, plain
from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.paths import Path
from gatebook.protocols.http.routes import Pattern

VALUES = 1_000  # that one path may find in one content
CHARACTERS = 4_096  # of one value
EACH = "*"
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(?:(\*)|'([^'\\]+)'|\"([^\"\\]+)\"|([0-9]{1,6}))\]")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A way into JSON: ``$.items[*].price``. Where it meets a list without saying which of it, it goes into each."""

    text: str
    steps: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Raises ValueError."""
        steps: list[str | int] = []
        at = 1
        while at < len(text) and text.startswith("$"):
            step = _STEP.match(text, at)
            if step is None:
                break
            steps.append(int(step[5]) if step[5] else next(part for part in step.groups() if part))
            at = step.end()
        if not steps or at != len(text):
            raise ValueError("a path into JSON, as $.amount, $.items[*].price or $['a name']")
        return cls(text, tuple(steps))

    def find(self, root: Any, doubts: Doubts) -> list[Any]:
        """Every value there. A name that stands there in other letters is a doubt: some servers take it for the same."""
        found = [root]
        for step in self.steps:
            found = [value for one in found for value in _into(one, step, self.text, doubts)]
            if len(found) > VALUES:
                doubts.unsure(f"{self.text} finds more than {VALUES} values in its content")
                return []
        return found


def _into(value: Any, step: str | int, path: str, doubts: Doubts) -> Iterable[Any]:
    if isinstance(value, list):
        if step == EACH:
            return value
        if isinstance(step, int):
            return value[step : step + 1]
        return [inner for one in value if isinstance(one, dict) for inner in _into(one, step, path, doubts)]
    if not isinstance(value, dict):
        return ()
    if step == EACH:
        return value.values()
    if not isinstance(step, str):
        return ()
    if any(name != step and name.casefold() == step.casefold() for name in value):
        doubts.unsure(f"its content has {path} in other letters")
    return (value[step],) if step in value else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFact:
    """One fact: ``name=value`` for each value found; only ``name`` where a number is ``over`` the limit or one is ``present``.

    It is looked for in requests to ``route``, or in all, by ``methods``, or by any.
    """

    name: str
    path: JsonPath
    over: float | None = None
    present: bool = False
    route: Pattern | None = None
    methods: frozenset[str] = frozenset()

    def applies(self, path: Path, method: str) -> bool:
        """Whether the fact is one of such a request's."""
        return (not self.methods or method in self.methods) and (self.route is None or self.route.matches(path.segments))

    def told(self, root: Any, doubts: Doubts) -> Iterable[str]:
        """What the content says."""
        found = list(_each(self.path.find(root, doubts)))
        if self.over is not None:
            return (self.name,) if any(_over(one, self.over) for one in found) else ()
        if self.present:
            return (self.name,) if found else ()
        texts = (_text(one, self.path, doubts) for one in found)
        return [f"{self.name}={text}" for text in texts if text is not None]


def body_facts(
    wanted: Iterable[BodyFact], content: Content, path: Path, method: str, doubts: Doubts, root: Any = ABSENT
) -> frozenset[str]:
    """All facts of a request's content. What cannot be read where a fact is wanted is a doubt."""
    here = [fact for fact in wanted if fact.applies(path, method)]
    root = content.value if root is ABSENT else root
    if not here or (content.read and content.size == 0):
        return frozenset()
    if root is ABSENT:
        doubts.unsure("its content was not read, and rules ask about it")
        return frozenset()
    return frozenset(told for fact in here for told in fact.told(root, doubts))


def _each(values: Iterable[Any]) -> Iterable[Any]:
    """The values, and those in lists instead of the lists; null is none."""
    todo = list(values)
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif value is not None:
            yield value


def _over(value: Any, limit: float) -> bool:
    """Whether a value is over the limit, or cannot be shown not to be: a text that is no number, an object."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return True
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return math.isnan(value) or value > limit


def _text(value: Any, path: JsonPath, doubts: Doubts) -> str | None:
    """A value as facts have it: ``100`` is ``100`` however it was written."""
    if not isinstance(value, (str, int, float)):
        doubts.unsure(f"{path.text} is no single value in its content")
        return None
    text = plain(value)
    if len(text) > CHARACTERS:
        doubts.unsure(f"{path.text} is longer than {CHARACTERS} characters in its content")
        return None
    return text
