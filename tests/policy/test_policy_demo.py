"""The demo's rules: the table beside them holds, and what they promise holds for every verb."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.policy.parties import SHOP, at, decided, deed, identity, opening
from tests.policy.place import DEMO, placed, run

from gatebook.model import Hold, Identity, Kind, Reach, Ruling
from gatebook.policy.rules import load
from gatebook.protocols.postgres.reading import VERBS

RULES = load({path.name: path.read_text("utf-8") for path in DEMO.glob("*.cedar")})
AGENT = identity()
DBA = identity("dana", Kind.PERSON, frozenset({"dba"}))
CONDITIONED = {"sql.update", "sql.delete", "sql.merge"}
NEVER = {"sql.drop", "sql.truncate"}
FREE = {verb for verb, reach in VERBS.items() if reach in (Reach.READ, Reach.WRITE)} - NEVER - {"sql.maintain"}


def test_the_table_beside_the_rules_holds(tmp_path: Path) -> None:
    result = run(placed(tmp_path), "test")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("by", [AGENT, DBA], ids=["agent", "dba"])
def test_what_is_said_to_each_verb(verb: str, by: Identity) -> None:
    expected = Ruling.ALLOW if verb in FREE else Ruling.BLOCK if verb in NEVER else Ruling.APPROVE
    assert decided(RULES, deed(verb, has_where=True), by=by).verdict.ruling is expected
    bare = Ruling.BLOCK if verb in CONDITIONED else expected
    assert decided(RULES, deed(verb), by=by).verdict.ruling is bare


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("by", [AGENT, DBA], ids=["agent", "dba"])
def test_nothing_that_moves_a_masked_column_passes(verb: str, by: Identity) -> None:
    assert decided(RULES, deed(verb, has_where=True, moves_masked=True), by=by).verdict.ruling is Ruling.BLOCK


@pytest.mark.parametrize("verb", VERBS)
def test_agents_do_not_spell_masked_values_out_and_people_may(verb: str) -> None:
    asks = deed(verb, has_where=True, tests_masked=frozenset({"public.customers.ssn"}), tested_sets=frozenset({"pii"}))
    verdict = decided(RULES, asks).verdict
    assert verdict.ruling is Ruling.BLOCK
    assert verdict.rule != "no-probing-masked" or "public.customers.ssn" in verdict.reason
    assert decided(RULES, asks, by=DBA).verdict.rule != "no-probing-masked"


def test_a_key_of_masked_columns_is_held_for_agents() -> None:
    writes = deed("sql.insert", keys_masked=frozenset({"public.customers.email"}))
    verdict = decided(RULES, writes).verdict
    assert (verdict.ruling, verdict.rule) == (Ruling.APPROVE, "key-of-masked-needs-dba")
    assert "public.customers.email" in verdict.reason
    assert decided(RULES, writes, by=DBA).verdict.ruling is Ruling.ALLOW


@pytest.mark.parametrize("verb", sorted(FREE))
@pytest.mark.parametrize("reach", [Reach.ADMIN, Reach.UNKNOWN])
def test_a_mild_verb_of_a_further_reach_is_held(verb: str, reach: Reach) -> None:
    assert decided(RULES, deed(verb, reach=reach, has_where=True)).verdict.ruling is Ruling.APPROVE


@pytest.mark.parametrize("verb", [*VERBS, "session.open"])
@pytest.mark.parametrize(
    "by",
    [
        identity("intern", Kind.PERSON, frozenset({"office"})),
        identity("nightly", Kind.CI, frozenset({"agents"})),
        identity("nightly", Kind.CI, frozenset({"dba"})),
    ],
    ids=["person", "ci", "ci in dba"],
)
def test_everybody_else_is_blocked(verb: str, by: Identity) -> None:
    subject = opening() if verb == "session.open" else deed(verb, has_where=True)
    assert decided(RULES, subject, by=by).verdict.ruling is Ruling.BLOCK


@pytest.mark.parametrize("by", [AGENT, DBA], ids=["agent", "dba"])
def test_agents_and_dba_may_open_sessions(by: Identity) -> None:
    assert decided(RULES, opening(), by=by, on=SHOP).verdict.ruling is Ruling.ALLOW


def test_every_rule_tells_its_reason_and_every_forbid_what_to_do_instead() -> None:
    assert all(rule.reason for rule in RULES.rules.values())
    assert all(rule.instead for rule in RULES.rules.values() if rule.effect == "forbid")
    assert {name for rule in RULES.rules.values() for name in rule.approvers} == {"group:dba"}


def test_maintenance_is_answered_at_once_and_nothing_else_says_what_becomes_of_it() -> None:
    said = {verb: decided(RULES, deed(verb, has_where=True)).verdict.hold for verb in VERBS}
    assert {verb: hold for verb, hold in said.items() if hold} == {"sql.maintain": Hold.ANSWER}


def test_the_rule_in_comments_that_demands_a_purpose_holds_once_the_slashes_are_gone() -> None:
    text = (DEMO / "never.cedar").read_text("utf-8")
    commented = re.search(r'^// @id\("changes-need-purpose"\)\n(?:// .*\n)*?// .*;\n', text, re.MULTILINE)
    assert commented is not None
    files = {path.name: path.read_text("utf-8") for path in DEMO.glob("*.cedar")}
    rules = load({**files, "never.cedar": text.replace(commented[0], commented[0].replace("// ", ""))})
    verdict = decided(rules, deed("sql.insert")).verdict
    assert (verdict.ruling, verdict.rule) == (Ruling.BLOCK, "changes-need-purpose")
    assert "gatebook connect TARGET --why TICKET" in verdict.instead
    assert decided(rules, deed("sql.insert"), when=at(purpose="OPS-7")).verdict.ruling is Ruling.ALLOW
    assert decided(rules, deed("sql.select")).verdict.ruling is Ruling.ALLOW
