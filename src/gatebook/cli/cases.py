"""Tables of cases for ``policy test``: who sends what, and what the policy has to say to it.

A table is a YAML list. Each case is checked whole before any is decided: a misspelt key would else test nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gatebook.cli.question import Answer, Question, ask, somebody
from gatebook.config import Config
from gatebook.errors import ConfigError
from gatebook.gateway.judge import Judge
from gatebook.model import Attribute, Hold, Kind, Reach, Ruling
from gatebook.policy.decide import Circumstances

FILE_BYTES_MAX = 4 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Case(BaseModel):
    """One row of a table. ``expect`` and, where they are given, ``rule`` and ``hold`` have to be what is decided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(alias="as")
    kind: Kind = Kind.AGENT
    groups: frozenset[str] = frozenset()
    attributes: dict[str, str] = Field(default_factory=dict)
    target: str
    statement: str
    expect: Ruling
    rule: str | None = None
    hold: Hold | None = None
    approved: bool = False
    granted: Reach | None = None
    at: AwareDatetime | None = None
    address: str = "127.0.0.1"
    purpose: str = ""
    purpose_attested: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A case and where it stands."""

    file: str
    line: int
    case: Case


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided about a case."""

    placed: Placed
    answer: Answer

    @property
    def passed(self) -> bool:
        """Whether ruling, rule and what becomes of what is held are the expected ones."""
        case, verdict = self.placed.case, self.answer.verdict
        same = case.rule in (None, verdict.rule) and case.hold in (None, verdict.hold)
        return verdict.ruling is case.expect and same


def read_cases(path: Path) -> list[Placed]:
    """The cases in a file. Raises ConfigError with every fault, each with file and line."""
    try:
        text = _text(path)
        node = yaml.compose(text, yaml.SafeLoader)
        rows = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError([f"{path}: {' '.join(str(error).split())}: expected a readable YAML list of cases"]) from None
    if not isinstance(node, yaml.SequenceNode) or not rows:
        raise ConfigError([f"{path}: expected a YAML list with at least one case"])
    lines = [item.start_mark.line + 1 for item in node.value]
    faults = [fault for line, row in zip(lines, rows, strict=True) for fault in _faults(f"{path}:{line}", row)]
    if faults:
        raise ConfigError(faults)
    cases = TypeAdapter(list[Case]).validate_python(rows)
    return [Placed(str(path), line, case) for line, case in zip(lines, cases, strict=True)]


def run(placed: Placed, judge: Judge, config: Config, now: int) -> Outcome:
    """Decide one case, at its own time or ``now`` (µs). Raises ConfigError for a case about a target that is not there."""
    case = placed.case
    moment = now if case.at is None else (case.at - _EPOCH) // (_EPOCH.resolution)
    identity = somebody(config, case.subject, case.kind, case.groups, moment, attested(case.attributes))
    circumstances = Circumstances(
        now=moment,
        client_address=case.address,
        purpose=case.purpose,
        purpose_attested=case.purpose_attested,
        approved=case.approved,
        granted=case.granted,
    )
    question = Question(identity=identity, target=case.target, statement=case.statement, circumstances=circumstances)
    try:
        return Outcome(placed, ask(judge, config, question))
    except ConfigError as error:
        raise ConfigError([f"{placed.file}:{placed.line}: {fault}" for fault in error.faults]) from None


def attested(values: dict[str, str]) -> dict[str, Attribute]:
    """Attributes as a provider vouches for them."""
    return {name: Attribute(value=value, attested=True) for name, value in values.items()}


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise ValueError(f"longer than {FILE_BYTES_MAX} bytes")
    return data.decode("utf-8")


def _faults(place: str, row: Any) -> Iterator[str]:
    try:
        Case.model_validate(row)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            key = ".".join(map(str, fault["loc"])) or "case"
            yield f"{place}: {key}: {fault['msg']}: expected {_expected(key)}"


def _expected(key: str) -> str:
    names = [field.alias or name for name, field in Case.model_fields.items()]
    return {
        "expect": "allow, mask, approve or block",
        "kind": "agent, person or ci",
        "hold": "wait or answer",
        "granted": "read, write, admin or unknown",
        "at": 'a time with its zone, as "2026-03-04T10:00:00Z"',
    }.get(key, f"a case of {', '.join(names)}")
