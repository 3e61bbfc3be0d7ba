"""Tests of controls over every entry of the period, and their results by criterion.

A result is ``operated``, ``deviations``, ``no-occurrence`` (nothing happened that could be tested) or ``not-covered``. Where
gateway and clients shared a machine, the book was within the clients' reach: then nothing counts as covered, and what the tests
saw is told beside. Standard library only: exporter and verifier run this same file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

from gatebook.evidence.criteria import CRITERIA, Criterion
from gatebook.evidence.entries import Period, Record
from gatebook.evidence.happenings import co_located, references
from gatebook.evidence.populations import Act, Facts

OPERATED, DEVIATIONS, NONE, NOT_COVERED = "operated", "deviations", "no-occurrence", "not-covered"
NO_REACH = "a gateway's book says nothing about it"
SHARED = "gateway and clients shared a machine, so the book was within reach of those it is about"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many cases a test looked at, and the entries in which it did not find what it should."""

    examined: int
    deviating: tuple[Record, ...] = ()

    @property
    def result(self) -> str:
        """In the words of ``controls.json``."""
        if self.deviating:
            return DEVIATIONS
        return OPERATED if self.examined else NONE


@dataclass(frozen=True, slots=True)
class Test:
    """A test of a control: what it asks of each case, the populations it reads, and the test itself."""

    asks: str
    reads: tuple[str, ...]
    run: Callable[[Facts, Period], Outcome]


@dataclass(frozen=True, slots=True)
class Result:
    """One row of ``controls.json``."""

    criterion: str
    words: str
    strength: str
    control: str
    test: str
    populations: list[str]
    examined: int
    result: str
    found: str
    deviations: list[str]
    reason: str


def _acts(facts: Facts, period: Period) -> list[Act]:
    return [act for act in facts.acts if act.asked.time in period]


def _identified(facts: Facts, period: Period) -> Outcome:
    opened = [session.opened for session in facts.sessions if session.opened.time in period]
    return Outcome(len(opened), tuple(one for one in opened if not _proven(one)))


def _proven(opened: Record) -> bool:
    auth = opened.fields.get("auth")
    expires = auth.get("exp") if isinstance(auth, dict) else None
    return bool(opened.text("actor", "id_c")) and isinstance(expires, int) and expires > opened.time


def _decided(facts: Facts, period: Period) -> Outcome:
    acts = _acts(facts, period)
    return Outcome(len(acts), tuple(act.asked for act in acts if not _by_rules_in_force(facts, act.asked)))


def _by_rules_in_force(facts: Facts, asked: Record) -> bool:
    before = [one for one in facts.policies if one.order < asked.order]
    own = [one for one in before if one.origin == asked.origin]  # a process may change its rules a moment after another
    in_force = {found[-1].text("digest") for found in (before, own) if found}
    return bool(asked.text("rule")) and asked.text("pol", "digest") in in_force


def _blocked(facts: Facts, period: Period) -> Outcome:
    blocked = [act for act in _acts(facts, period) if act.asked.text("ruling") == "block"]
    return Outcome(len(blocked), tuple(act.asked for act in blocked if act.answer is not None))


def _masked(facts: Facts, period: Period) -> Outcome:
    masked = [act for act in _acts(facts, period) if act.asked.text("ruling") == "mask"]
    return Outcome(len(masked), tuple(act.asked for act in masked if not act.asked.text("masks")))


def _answered(facts: Facts, period: Period) -> Outcome:
    moved = [act for act in _acts(facts, period) if act.moved]
    return Outcome(len(moved), tuple(act.asked for act in moved if act.answer is None and act.cut))


def _numbered(facts: Facts, period: Period) -> Outcome:
    opened = {session.opened.text("sid") for session in facts.sessions}
    acts = _acts(facts, period)
    return Outcome(len(acts), tuple(act.asked for act in acts if act.asked.text("sid") not in opened))


def _independent(facts: Facts, period: Period) -> Outcome:
    decided = [one for one in facts.approvals if one.request.time in period and one.decided is not None]
    odd = (one for one in decided if one.verdict == "approved" and facts.independence(one) != "yes")
    return Outcome(len(decided), tuple(one.request for one in odd))


def _fitting(facts: Facts, period: Period) -> Outcome:
    moved = [act.asked for act in facts.acts if act.moved and act.asked.text("approval")]
    uses = Counter(one.text("approval") for one in moved)
    cases = [one for one in moved if one.time in period]
    return Outcome(len(cases), tuple(one for one in cases if not _approved_once(facts, one, uses)))


def _approved_once(facts: Facts, asked: Record, uses: Mapping[str, int]) -> bool:
    approval = facts.approval.get(asked.text("approval"))
    if approval is None or approval.decided is None or approval.verdict != "approved":
        return False
    alone = uses[asked.text("approval")] == 1 or approval.request.text("kind") == "script"
    return approval.decided.order < asked.order and alone


def _ended(facts: Facts, period: Period) -> Outcome:
    grants = [grant for grant in facts.grants if grant.created.time in period]
    return Outcome(len(grants), tuple(one.created for one in grants if one.used_late or one.created.number("ttl") <= 0))


def _refusing(facts: Facts, period: Period) -> Outcome:
    refused = [act.asked for act in _acts(facts, period) if act.refused]
    return Outcome(len(refused), tuple(one for one in refused if not one.text("rule") or not one.text("reason")))


def _door(facts: Facts, period: Period) -> Outcome:
    refused = [one for one in facts.refused if one.time in period]
    return Outcome(len(refused), tuple(one for one in refused if not one.text("rule")))


def _second(facts: Facts, period: Period) -> Outcome:
    changes, before = [], ""
    for one in facts.configurations:
        if one.text("new") != before and one.time in period:
            changes.append(one)
        before = one.text("new")
    return Outcome(len(changes), tuple(one for one in changes if one.text("approved_by") in ("", one.text("by"))))


def _up(facts: Facts, period: Period) -> Outcome:
    rows = [row for runs in facts.runs.values() for row in runs.minutes(period)]
    minutes = sum(last - first + 1 for first, last, state in rows if not state.endswith("the log"))
    return Outcome(minutes, tuple(one for one in facts.boots if one.time in period and one.text("restart") == "crash"))


def _build(facts: Facts, period: Period) -> Outcome:
    boots = [one for one in facts.boots if one.time in period]
    return Outcome(len(boots), tuple(one for one in boots if not one.text("build")))


def _incidents(facts: Facts, period: Period) -> Outcome:
    flagged = [one for one in facts.others if one.kind == "incident.flag" and one.time in period]
    return Outcome(len(flagged), tuple(one for one in flagged if not _closed_by_another(facts, one)))


def _closed_by_another(facts: Facts, flagged: Record) -> bool:
    closes = [one for one in facts.others if one.kind == "incident.close" and one.text("incident") == flagged.text("incident")]
    return any(one.order > flagged.order and one.text("by") != flagged.text("by") for one in closes)


def _erased(facts: Facts, period: Period) -> Outcome:
    erasures = [one for one in facts.others if one.kind == "erasure" and one.time in period]
    return Outcome(len(erasures), tuple(one for one in erasures if one.text("approved_by") in ("", one.text("by"))))


TESTS: Mapping[str, Test] = MappingProxyType(
    {
        "identified": Test("each session names its identity and a token that had not run out", ("access",), _identified),
        "decided": Test("each action names a rule, of the rules in force at that entry", ("actions", "policies"), _decided),
        "blocked": Test("no blocked action has an answer of the target", ("refusals",), _blocked),
        "masked": Test("each action ruled mask names what covers its answer", ("actions",), _masked),
        "answered": Test("each action let through has its answer, unless its session goes on", ("actions",), _answered),
        "numbered": Test("each action belongs to a session that was opened in the book", ("actions", "access"), _numbered),
        "independent": Test("each decided request was approved by nobody who asked for it", ("approvals",), _independent),
        "fitting": Test(
            "each action run by approval has one that came before it, and alone", ("actions", "approvals"), _fitting
        ),
        "ended": Test("each grant has an end, and no use after it", ("grants",), _ended),
        "refusing": Test("each refusal names its rule and a reason", ("refusals",), _refusing),
        "door": Test("each refusal at the door names its rule", ("door",), _door),
        "second": Test("each changed configuration was approved by another than who changed it", ("configurations",), _second),
        "up": Test("no start followed a crash (minutes without the gateway are in coverage.csv)", ("../restarts",), _up),
        "build": Test("each start tells the digest of its build", ("../restarts",), _build),
        "incidents": Test("each flagged incident was closed by another than who flagged it", (), _incidents),
        "erased": Test("each erasure was approved by another than who did it", (), _erased),
    }
)


def results(facts: Facts, period: Period) -> list[Result]:
    """Every criterion, with each of its tests, or the reason why there is none."""
    shared = bool(co_located(facts, period))
    outcomes = {name: test.run(facts, period) for name, test in TESTS.items()}
    found = []
    for criterion in CRITERIA:
        if not criterion.tests:
            found.append(_uncovered(criterion))
        found += [_result(criterion, TESTS[name], outcomes[name], shared) for name in criterion.tests]
    return found


def _uncovered(one: Criterion) -> Result:
    return Result(one.number, one.words, one.strength, "", "", [], 0, NOT_COVERED, "", [], NO_REACH)


def _result(one: Criterion, test: Test, outcome: Outcome, shared: bool) -> Result:
    return Result(
        criterion=one.number,
        words=one.words,
        strength=one.strength,
        control=one.control,
        test=test.asks,
        populations=[f"populations/{name}.csv".replace("populations/../", "") for name in test.reads],
        examined=outcome.examined,
        result=NOT_COVERED if shared else outcome.result,
        found=outcome.result,
        deviations=references(outcome.deviating),
        reason=SHARED if shared else "",
    )


def as_dicts(found: list[Result]) -> list[dict[str, object]]:
    """For ``controls.json``."""
    return [asdict(one) for one in found]
