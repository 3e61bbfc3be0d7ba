"""Rules as they come from files: parsed, checked and named.

A file holds any number of Cedar rules. Each is cut out of its file (so that a fault can name its line), validated strictly
against the schema and checked for what ``checks`` asks. One fault anywhere and there is no policy: half a policy would permit
what its missing forbids refuse.

The engine names rules by their place (``policy7``); everybody else knows them by ``@id``. The map between both is made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType

from cedarpy import PolicySet, pst, validate_policies

from gatebook.errors import PolicyError
from gatebook.model import Ceiling, Hold
from gatebook.policy import checks
from gatebook.policy.cache import Cache
from gatebook.policy.schema import SCHEMA

_PLACE = re.compile(r"for policy `policy\d+`, ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule's annotations and where it stands. ``standing`` marks a permit that holds without any grant."""

    id: str
    effect: str
    source: str
    line: int
    reason: str = ""
    instead: str = ""
    approvers: frozenset[str] = frozenset()
    masks: frozenset[str] = frozenset()
    unmasks: frozenset[str] = frozenset()
    ceiling: Ceiling | None = None
    hold: Hold | None = None
    shadow: bool = False
    standing: bool = False


@dataclass(frozen=True, slots=True)
class Enforced:
    """Rules evaluated together, and which ``@id`` each of the engine's names stands for."""

    rules: PolicySet
    ids: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All rules, ready to decide. ``shadows`` has, for each rule in shadow, the enforced ones with it added."""

    digest: str
    rules: Mapping[str, Rule]
    enforced: Enforced
    shadows: Mapping[str, Enforced]
    cache: Cache = field(repr=False, compare=False)

    @property
    def mask_sets(self) -> frozenset[str]:
        """The mask sets that rules name; each must stand in the configuration."""
        return frozenset().union(*(rule.masks | rule.unmasks for rule in self.rules.values()))


@dataclass(frozen=True, slots=True)
class _Found:
    """A rule's own text within a file."""

    source: str
    line: int
    text: str
    parsed: pst.Template


def load(files: Mapping[str, str]) -> Policy:
    """The policy in ``files`` (name to text). Raises PolicyError with every fault, each with file, line and rule."""
    faults: list[str] = []
    found = [one for name, text in sorted(files.items()) for one in _cut(name, text, faults)]
    if not found and not faults:
        faults.append("policies: no rule in any .cedar file: expected at least one permit")
    faults += [fault for one in found for fault in _faults(one)] + _doubles(found)
    if faults:
        raise PolicyError(faults)
    return _policy(_digest(files), {rule.id: (rule, one.text) for one in found for rule in (_rule(one),)})


def _policy(digest: str, rules: Mapping[str, tuple[Rule, str]]) -> Policy:
    enforced = {name: text for name, (rule, text) in rules.items() if not rule.shadow}
    shadows = {name: _enforce({**enforced, name: text}) for name, (rule, text) in rules.items() if rule.shadow}
    return Policy(
        digest=digest,
        rules=MappingProxyType({name: rule for name, (rule, _) in rules.items()}),
        enforced=_enforce(enforced),
        shadows=MappingProxyType(shadows),
        cache=Cache(),
    )


def _enforce(texts: Mapping[str, str]) -> Enforced:
    rules = PolicySet.from_str("\n".join(texts.values()))
    parsed = rules.to_pst().static_policies
    ids = {place: one.annotations["id"] for place, one in parsed.items()}
    if sorted(ids.values()) != sorted(texts):
        raise AssertionError(f"rules changed their names when joined: {sorted(ids.values())} for {sorted(texts)}")
    return Enforced(rules, MappingProxyType(ids))


def _digest(files: Mapping[str, str]) -> str:
    hashed = sha256()
    for name, text in sorted(files.items()):
        for part in (name.encode(), text.encode()):
            hashed.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{hashed.hexdigest()}"


def _cut(source: str, text: str, faults: list[str]) -> Iterator[_Found]:
    """Each rule of a file with its own text; a stretch that cannot be parsed becomes a fault that names its first line."""
    start = 0
    for end in (match.end() for match in re.finditer(";", text)):
        # A semicolon inside a string or comment ends no rule: then the stretch does not parse, or holds none.
        rules = _parse(text[start:end])
        if isinstance(rules, tuple) and rules:
            line = _first_line(text, start)
            yield from (_Found(source, line, text[start:end], rule) for rule in rules)
            start = end
    rest = _parse(text[start:])
    if rest != ():
        faults.append(f"{source}:{_first_line(text, start)}: {rest}: expected Cedar rules, each ended by a semicolon")


def _parse(text: str) -> tuple[pst.Template, ...] | str:
    """The rules in a text, templates among them, or what the engine objects to."""
    try:
        parsed = PolicySet.from_str(text).to_pst()
    except ValueError as error:
        return str(error)
    return (*parsed.static_policies.values(), *parsed.templates.values())


def _first_line(text: str, start: int) -> int:
    """The line, from 1, of the first thing after ``start`` that is neither blank nor comment."""
    blank = re.compile(r"(?:\s|//[^\n]*(?:\n|$))*").match(text, start)
    return text.count("\n", 0, blank.end() if blank else start) + 1


def _faults(one: _Found) -> Iterator[str]:
    place = f"{one.source}:{one.line}: rule {one.parsed.annotations.get('id') or 'without @id'}"
    if any(isinstance(getattr(part, "entity", None), pst.Slot) for part in (one.parsed.principal, one.parsed.resource)):
        yield f"{place}: a template: expected no ?principal or ?resource"
        return
    for error in validate_policies(one.text, SCHEMA).errors:
        yield f"{place}: {_PLACE.sub('', error.error)}: expected what the schema knows (docs/policy.md)"
    yield from (f"{place}: {fault}" for fault in checks.faults(one.parsed))


def _doubles(found: list[_Found]) -> list[str]:
    first: dict[str, _Found] = {}
    faults = []
    for one in found:
        name = one.parsed.annotations.get("id", "")
        other = first.setdefault(name, one)
        if name and other is not one:
            faults.append(
                f"{one.source}:{one.line}: rule {name}: @id is at {other.source}:{other.line} too: expected one rule to an id"
            )
    return faults


def _rule(one: _Found) -> Rule:
    notes = one.parsed.annotations
    return Rule(
        id=notes["id"],
        effect=one.parsed.effect,
        source=one.source,
        line=one.line,
        reason=notes.get("reason", ""),
        instead=notes.get("instead", ""),
        approvers=frozenset(checks.listed(notes.get("approvers", ""))),
        masks=frozenset(checks.listed(notes.get("mask", ""))),
        unmasks=frozenset(checks.listed(notes.get("unmask", ""))),
        ceiling=Ceiling(int(notes["most_rows"]), notes["id"]) if "most_rows" in notes else None,
        hold=Hold(notes["hold"]) if "hold" in notes else None,
        shadow="mode" in notes,
        standing=_standing(one.parsed),
    )


def _standing(rule: pst.Template) -> bool:
    """Whether it gives access to targets without a grant. What people do with Gatebook itself is no access to a target."""
    acts = [uid.id for uid in pst.entity_uids(rule) if str(uid.type) == "Action"]
    about_gatebook = bool(acts) and all(name.partition(".")[0] == "gatebook" for name in acts)
    return rule.effect == "permit" and not about_gatebook and not checks.mentions(rule, "granted")
