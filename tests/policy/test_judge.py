"""The judge: rules and mask sets joined."""

from __future__ import annotations

import pytest
from tests.policy.parties import PERMIT_ALL, SHOP, action, at, deed, identity, policy

from gatebook.errors import PolicyError
from gatebook.gateway.judge import Judge
from gatebook.masking.rules import ColumnPattern, MaskSet, Style
from gatebook.model import Ruling
from gatebook.policy.decide import Decision

SETS = {
    name: MaskSet(name, (ColumnPattern.parse(pattern),), Style.REDACT)
    for name, pattern in {"pii": "*.ssn", "cards": "*.card"}.items()
}
PII = {"shop": frozenset({"pii"})}


def judged(judge: Judge, columns: set[str], verb: str = "sql.select") -> Decision:
    return judge.decide(identity(), SHOP, action(deed(verb)), at(), frozenset(columns))


@pytest.mark.parametrize(
    ("columns", "ruling"),
    [
        ({"ssn"}, Ruling.MASK),
        ({"SSN"}, Ruling.MASK),
        ({"id", "ssn"}, Ruling.MASK),
        ({"*"}, Ruling.MASK),
        ({"card"}, Ruling.ALLOW),
        (set(), Ruling.ALLOW),
    ],
)
def test_allow_becomes_mask_where_a_covered_column_may_be_in_the_answer(columns: set[str], ruling: Ruling) -> None:
    found = judged(Judge(policy(PERMIT_ALL), SETS, PII), columns)
    assert (found.verdict.ruling, [one.ruling for one in found.by_deed]) == (ruling, [ruling])
    assert found.verdict.masks == {"pii"}


def test_a_mask_that_only_a_rule_adds_counts_as_well() -> None:
    rules = policy('@id("m") @mask("cards") permit (principal, action, resource);')
    assert judged(Judge(rules, SETS), {"card"}).verdict.ruling is Ruling.MASK
    assert judged(Judge(rules, SETS), {"ssn"}).verdict.ruling is Ruling.ALLOW


def test_a_lifted_mask_leaves_allow() -> None:
    rules = policy('@id("u") @unmask("pii") permit (principal, action, resource);')
    assert judged(Judge(rules, SETS, PII), {"*"}).verdict.ruling is Ruling.ALLOW


def test_what_is_blocked_or_held_stays_so() -> None:
    forbid = '@id("no") forbid (principal, action == Action::"sql.drop", resource);'
    ask = '@id("ask") @approvers("group:dba") forbid (principal, action, resource) unless { context.approved };'
    judge = Judge(policy(PERMIT_ALL, forbid, ask), SETS, PII)
    assert judged(judge, {"*"}, "sql.drop").verdict.ruling is Ruling.BLOCK
    assert judged(judge, {"*"}).verdict.ruling is Ruling.APPROVE


def test_raising_to_mask_leaves_what_is_kept_untouched() -> None:
    judge = Judge(policy(PERMIT_ALL), SETS, PII)
    assert judged(judge, {"ssn"}).verdict.ruling is Ruling.MASK
    assert judged(judge, {"id"}).verdict.ruling is Ruling.ALLOW


@pytest.mark.parametrize("annotation", ["mask", "unmask"])
def test_a_rule_that_names_no_mask_set_there_is_makes_no_judge(annotation: str) -> None:
    rules = policy(f'@id("m") @{annotation}("pii, ppi") permit (principal, action, resource);')
    with pytest.raises(PolicyError, match="rule m: mask set 'ppi': expected one of cards, pii"):
        Judge(rules, SETS)
