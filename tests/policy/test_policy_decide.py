"""Deciding: how rulings, masks and approvers come out of rules, and that whatever goes wrong is block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.policy.parties import MINUTE, NOW, PERMIT_ALL, SHOP, action, at, decided, deed, identity, opening, policy

from gatebook.errors import PolicyError
from gatebook.model import Attribute, Ceiling, Hold, Kind, Reach, Resource, Ruling, Target
from gatebook.policy import checks
from gatebook.policy.decide import DEEDS_MAX, judge
from gatebook.policy.schema import TEXT
from gatebook.protocols.postgres.reading import FACTS, VERBS

ASK = '@approvers("group:dba") forbid (principal, action, resource) unless { context.approved };'


# Verbs, facts and the schema


@pytest.mark.parametrize("verb", [*VERBS, "session.open"])
def test_every_verb_is_in_the_schema(verb: str) -> None:
    subject = opening() if verb == "session.open" else deed(verb)
    assert decided(policy(PERMIT_ALL), subject).verdict.ruling is Ruling.ALLOW


@pytest.mark.parametrize(("verb", "reach"), [*VERBS.items(), ("session.open", Reach.READ)])
def test_every_verb_is_in_the_group_of_its_reach_and_in_no_other(verb: str, reach: Reach) -> None:
    subject = opening() if verb == "session.open" else deed(verb)
    for group in Reach:
        rule = f'@id("a") permit (principal, action in Action::"{group}", resource);'
        assert (decided(policy(rule), subject).verdict.ruling is Ruling.ALLOW) == (group is reach)


@pytest.mark.parametrize("verb", [*VERBS, "session.open"])
def test_statements_and_nothing_else_are_in_the_group_sql(verb: str) -> None:
    subject = opening() if verb == "session.open" else deed(verb)
    found = decided(policy('@id("a") permit (principal, action in Action::"sql", resource);'), subject)
    assert (found.verdict.ruling is Ruling.ALLOW) == verb.startswith("sql.")


def test_every_fact_is_in_the_schema_with_its_type() -> None:
    types = {bool: "Bool", int: "Long", str: "String", frozenset: "Set<String>"}
    statement = TEXT[TEXT.index("type Statement") :]
    for name, value in FACTS.items():
        assert f"  {name}: {types[type(value)]}," in statement


@pytest.mark.parametrize("verb", ["sql.unheard", "write", "sql", "sql.write", "", 'x", resource) ;'])
def test_a_verb_that_the_schema_does_not_know_is_blocked(verb: str) -> None:
    assert decided(policy(PERMIT_ALL), deed(verb, reach=Reach.READ)).verdict.rule == checks.POLICY_ERROR


# Missing and mistyped facts: a forbid that meets one is skipped by the engine, so each must block


@pytest.mark.parametrize("missing", sorted(FACTS))
def test_without_any_one_fact_the_answer_is_block(missing: str) -> None:
    whole = deed()
    found = decided(policy(PERMIT_ALL), replace(whole, facts={k: v for k, v in whole.facts.items() if k != missing}))
    assert (found.verdict.ruling, found.verdict.rule) == (Ruling.BLOCK, checks.POLICY_ERROR)
    assert found.faults


def test_without_its_role_a_session_is_not_opened() -> None:
    assert decided(policy(PERMIT_ALL), replace(opening(), facts={})).verdict.rule == checks.POLICY_ERROR


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("has_where", 1),
        ("has_where", "true"),
        ("statements", True),
        ("statements", 2**63),
        ("statements", 1.5),
        ("setting", None),
        ("tables", "customers"),
        ("tables", frozenset({1})),
        ("setting", "\ud800"),
        ("tables", frozenset({"\udcff"})),
        ("unheard", "x"),
        ("setting", {"__entity": {"type": "Group", "id": "dba"}}),
    ],
)
def test_a_fact_of_the_wrong_type_is_blocked(fact: str, value: Any) -> None:
    assert decided(policy(PERMIT_ALL), deed(**{fact: value})).verdict.rule == checks.POLICY_ERROR


def test_facts_cannot_stand_in_for_circumstances() -> None:
    found = decided(policy(PERMIT_ALL, '@id("ask") ' + ASK), deed(approved=True, granted=4, hour=3))
    assert found.verdict.ruling is Ruling.APPROVE


@pytest.mark.parametrize("address", ["", "10.0.0.7:5432", "10.0.0.0/8", "db.example", "[::1]", "10.0.0.07"])
def test_an_address_that_is_none_is_blocked(address: str) -> None:
    assert decided(policy(PERMIT_ALL), deed(), when=at(client_address=address)).verdict.rule == checks.POLICY_ERROR


def test_an_overflow_while_a_forbid_is_evaluated_is_blocked() -> None:
    rules = policy(
        PERMIT_ALL, '@id("o") forbid (principal, action in Action::"sql", resource) when { context.statements * 2 == 1 };'
    )
    assert decided(rules, deed()).verdict.ruling is Ruling.ALLOW
    found = decided(rules, deed(statements=2**62))
    assert (found.verdict.rule, found.verdict.ruling) == (checks.POLICY_ERROR, Ruling.BLOCK)
    assert "overflow" in found.faults[0]
    assert "overflow" not in found.verdict.reason


@pytest.mark.parametrize(
    "change",
    [{"subject": "\ud800"}, {"issuer": "\ud800"}, {"groups": frozenset({"\ud800"})}],
    ids=["subject", "issuer", "groups"],
)
def test_an_identity_that_cannot_be_said_is_blocked(change: dict[str, Any]) -> None:
    assert decided(policy(PERMIT_ALL), deed(), by=identity(**change)).verdict.rule == checks.POLICY_ERROR


def test_an_action_without_a_deed_is_blocked() -> None:
    assert decided(policy(PERMIT_ALL)).verdict.rule == checks.POLICY_ERROR


def test_a_text_of_too_many_deeds_is_blocked_without_evaluating_them() -> None:
    assert decided(policy(PERMIT_ALL), *[deed()] * DEEDS_MAX).verdict.ruling is Ruling.ALLOW
    found = decided(policy(PERMIT_ALL), *[deed()] * (DEEDS_MAX + 1))
    assert (found.verdict.ruling, found.verdict.rule) == (Ruling.BLOCK, checks.TOO_MANY)


@pytest.mark.parametrize("before", [0, 1, MINUTE])
def test_an_identity_whose_time_is_over_is_blocked(before: int) -> None:
    found = decided(policy(PERMIT_ALL), deed(), by=identity(expires_at=NOW - before))
    assert (found.verdict.ruling, found.verdict.rule) == (Ruling.BLOCK, checks.EXPIRED)


# Rulings


def test_what_no_rule_permits_is_blocked() -> None:
    found = decided(policy('@id("a") permit (principal, action == Action::"sql.select", resource);'), deed("sql.insert"))
    assert (found.verdict.ruling, found.verdict.rule) == (Ruling.BLOCK, checks.NO_RULE)
    assert found.verdict.reason == "no rule permits sql.insert here"


def test_the_permit_that_allowed_is_named() -> None:
    found = decided(policy('@id("b") @reason("fine") permit (principal, action, resource);', PERMIT_ALL), deed())
    assert (found.verdict.rule, found.verdict.reason) == ("all", "")


def test_a_forbid_beats_every_permit_and_tells_its_reason() -> None:
    rules = policy(PERMIT_ALL, '@id("no") @reason("not here") @instead("Go there.") forbid (principal, action, resource);')
    verdict = decided(rules, deed()).verdict
    assert (verdict.ruling, verdict.rule, verdict.reason, verdict.instead) == (Ruling.BLOCK, "no", "not here", "Go there.")
    assert verdict.policy_digest == rules.digest


def test_what_an_approval_would_lift_is_held_for_its_approvers() -> None:
    verdict = decided(policy(PERMIT_ALL, '@id("ask") @reason("careful") ' + ASK), deed()).verdict
    assert (verdict.ruling, verdict.rule, verdict.reason) == (Ruling.APPROVE, "ask", "careful")
    assert verdict.approvers == {"group:dba"}


def test_what_is_approved_is_allowed() -> None:
    assert decided(policy(PERMIT_ALL, '@id("ask") ' + ASK), deed(), when=at(approved=True)).verdict.ruling is Ruling.ALLOW


def test_the_approvers_of_every_forbid_that_denied_unite() -> None:
    rules = policy(PERMIT_ALL, '@id("b") @reason("b!") ' + ASK, '@id("a") @reason("a!") ' + ASK.replace("dba", "security"))
    verdict = decided(rules, deed()).verdict
    assert verdict.approvers == {"group:dba", "group:security"}
    assert (verdict.rule, verdict.reason) == ("a", "a! (also by b)")


@pytest.mark.parametrize(
    ("said", "hold"),
    [
        ((None, None), None),
        (("wait", None), Hold.WAIT),
        ((None, "answer"), Hold.ANSWER),
        (("wait", "wait"), Hold.WAIT),
        (("wait", "answer"), Hold.ANSWER),
    ],
)
def test_what_becomes_of_what_is_held_is_as_the_forbids_that_hold_it_say(
    said: tuple[str | None, str | None], hold: Hold | None
) -> None:
    notes = [f'@hold("{one}") ' if one else "" for one in said]
    both = policy(PERMIT_ALL, *(f'@id("r{number}") {note}{ASK}' for number, note in enumerate(notes)))
    assert decided(both, deed()).verdict.hold is hold
    verbs = ("sql.alter", "sql.create")
    apart = policy(
        PERMIT_ALL,
        *(
            f'@id("r{number}") {note}' + ASK.replace("action,", f'action == Action::"{verb}",')
            for number, (note, verb) in enumerate(zip(notes, verbs, strict=True))
        ),
    )
    assert decided(apart, *(deed(verb) for verb in verbs), deed()).verdict.hold is hold


def test_a_rule_that_holds_nothing_here_does_not_say_what_becomes_of_it() -> None:
    elsewhere = '@id("other") @hold("answer") ' + ASK.replace("action,", 'action == Action::"sql.drop",')
    shadow = '@id("shadow") @hold("answer") @mode("shadow") ' + ASK
    rules = policy(PERMIT_ALL, '@id("ask") @hold("wait") ' + ASK, elsewhere, shadow)
    assert decided(rules, deed()).verdict.hold is Hold.WAIT
    assert decided(rules, deed(), when=at(approved=True)).verdict.hold is None
    blocked = policy(PERMIT_ALL, '@id("ask") @hold("wait") ' + ASK, '@id("never") forbid (principal, action, resource);')
    assert decided(blocked, deed()).verdict.hold is None


@pytest.mark.parametrize("subject", [opening(), deed()], ids=["session.open", "statement"])
def test_a_purpose_that_the_provider_vouches_for_is_told_from_one_that_is_only_stated(subject: Any) -> None:
    rules = policy(PERMIT_ALL, '@id("no") forbid (principal, action, resource) unless { context.purpose_attested };')
    assert decided(rules, subject, when=at(purpose="OPS-7")).verdict.ruling is Ruling.BLOCK
    assert decided(rules, subject, when=at(purpose="OPS-7", purpose_attested=True)).verdict.ruling is Ruling.ALLOW


def test_a_final_forbid_beats_one_that_could_be_approved() -> None:
    rules = policy(PERMIT_ALL, '@id("a-ask") ' + ASK, '@id("z-never") @reason("never") forbid (principal, action, resource);')
    for when in (at(), at(approved=True)):
        verdict = decided(rules, deed(), when=when).verdict
        assert (verdict.ruling, verdict.rule, verdict.approvers) == (Ruling.BLOCK, "z-never", frozenset())


def test_nothing_is_held_that_no_rule_would_permit_even_approved() -> None:
    verdict = decided(policy('@id("ask") ' + ASK), deed()).verdict
    assert (verdict.ruling, verdict.rule, verdict.approvers) == (Ruling.BLOCK, checks.NO_RULE, frozenset())


def test_an_approval_that_would_not_suffice_is_not_asked_for() -> None:
    rules = policy(PERMIT_ALL, '@id("ask") ' + ASK.replace("approved", "approved && context.granted >= 2"))
    assert decided(rules, deed()).verdict.ruling is Ruling.BLOCK
    assert decided(rules, deed(), when=at(granted=Reach.WRITE)).verdict.ruling is Ruling.APPROVE
    assert decided(rules, deed(), when=at(granted=Reach.READ, approved=True)).verdict.ruling is Ruling.BLOCK


def test_a_forbid_that_fails_only_once_approved_is_blocked_not_held() -> None:
    overflow = "approved && context.statements * 4611686018427387904 == 1"
    rule = '@id("ask") ' + ASK.replace("action,", 'action in Action::"sql",').replace("approved", overflow)
    rules = policy(PERMIT_ALL, rule)
    for when in (at(), at(approved=True)):
        assert decided(rules, deed(statements=4), when=when).verdict.rule == checks.POLICY_ERROR


def test_the_strictest_deed_rules_the_action() -> None:
    rules = policy(
        PERMIT_ALL,
        '@id("ask") ' + ASK.replace("action,", 'action == Action::"sql.alter",'),
        '@id("no-drop") forbid (principal, action == Action::"sql.drop", resource);',
    )
    order = [deed("sql.select"), deed("sql.alter"), deed("sql.drop"), deed("sql.insert")]
    found = decided(rules, *order)
    assert [verdict.ruling for verdict in found.by_deed] == [Ruling.ALLOW, Ruling.APPROVE, Ruling.BLOCK, Ruling.ALLOW]
    assert (found.verdict.ruling, found.verdict.rule, found.verdict.approvers) == (Ruling.BLOCK, "no-drop", frozenset())
    assert decided(rules, *order[:2]).verdict.approvers == {"group:dba"}


def test_judging_gives_one_verdict_for_each_deed() -> None:
    deeds = [deed("sql.select"), deed("sql.drop"), deed("sql.select")]
    verdicts = judge(policy(PERMIT_ALL), identity=identity(), target=SHOP, deeds=deeds, circumstances=at())
    assert len(verdicts) == 3
    assert judge(policy(PERMIT_ALL), identity=identity(), target=SHOP, deeds=(), circumstances=at()) == ()


# Who, what and when


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('principal in Group::"agents"', True),
        ('principal in Group::"dba"', False),
        ('principal == Identity::"https://id.example|billing-agent"', True),
        ('principal.issuer == "https://id.example" && principal.subject == "billing-agent"', True),
        ('principal.kind == "agent"', True),
        ('principal.attested.contains("model=large")', True),
        ('principal.declared.contains("model=large")', False),
        ('principal.declared.contains("task=x=y")', True),
        ('principal.attested.contains("task=x=y")', False),
        ('principal.declared.contains("a%3Db=c")', True),
        ('resource in Target::"shop"', True),
        ('resource in Target::"other"', False),
        ('resource is Table && resource.schema == "public" && resource.name == "customers"', True),
        ('resource == Table::"shop/public.customers"', True),
        ('resource in Table::"shop/customers"', True),
        ('resource in Table::"other/customers"', False),
        ("context.hour == 10 && context.weekday == 3", True),
        ("context.granted == 2", True),
        ('context.purpose == "OPS-7"', True),
        ('context.client_address.isInRange(ip("10.0.0.0/8"))', True),
        ("context.client_address.isLoopback()", False),
        ('context.reach == "read"', True),
        ('context.tables.contains("public.customers")', True),
    ],
)
def test_what_a_rule_can_ask(condition: str, holds: bool) -> None:
    rules = policy(f'@id("a") permit (principal, action in Action::"sql", resource) when {{ {condition} }};')
    by = identity(
        attributes={
            "model": Attribute(value="large", attested=True),
            "task": Attribute(value="x=y", attested=False),
            "a=b": Attribute(value="c", attested=False),
        }
    )
    when = at(purpose="OPS-7", granted=Reach.WRITE, client_address="::ffff:10.0.0.7")
    found = decided(rules, deed(table="public.customers", tables=frozenset({"public.customers"})), by=by, when=when)
    assert found.faults == ()
    assert (found.verdict.ruling is Ruling.ALLOW) == holds


@pytest.mark.parametrize("name", ["customers", "public.customers", "private.customers"])
def test_a_forbid_on_a_table_holds_however_the_statement_spells_it(name: str) -> None:
    rules = policy(PERMIT_ALL, '@id("no") forbid (principal, action, resource in Table::"shop/customers");')
    assert decided(rules, deed(table=name)).verdict.rule == "no"
    assert decided(rules, deed(table=name), deed(table="customers")).verdict.rule == "no"
    assert decided(rules, deed(table="orders")).verdict.ruling is Ruling.ALLOW


def test_a_resource_that_is_no_table_is_the_target() -> None:
    rules = policy(PERMIT_ALL, '@id("no") forbid (principal, action, resource == Target::"shop");')
    function = replace(deed(), resource=Resource(kind="function", name="customers"))
    assert decided(rules, function).verdict.rule == "no"
    assert decided(rules, deed()).verdict.ruling is Ruling.ALLOW


def test_the_role_of_a_session_can_be_ruled() -> None:
    rules = policy(
        PERMIT_ALL,
        '@id("no-owner") forbid (principal, action == Action::"session.open", resource) when { context.role == "owner" };',
    )
    assert decided(rules, opening()).verdict.ruling is Ruling.ALLOW
    assert decided(rules, replace(opening(), facts={"role": "owner"})).verdict.rule == "no-owner"


def test_names_with_separators_in_them_are_not_taken_for_others() -> None:
    rules = policy(PERMIT_ALL, '@id("no") forbid (principal == Identity::"a|b|c", action, resource);')
    assert decided(rules, deed(), by=identity(issuer="a", subject="b|c")).verdict.rule == "no"
    assert decided(rules, deed(), by=identity(issuer="a|b", subject="c")).verdict.ruling is Ruling.ALLOW
    other = Target(name="a/b", protocol="postgres", address="x:1", labels={"k=a": "b", "k": "c"})
    asked = '@id("a") permit (principal, action, resource in Target::"a/b") when { resource == Table::"a/b/c" };'
    assert decided(policy(asked), deed(table="c"), on=other).verdict.ruling is Ruling.BLOCK


def test_an_identity_named_like_a_group_is_not_in_it() -> None:
    rules = policy('@id("a") permit (principal in Group::"dba", action, resource);')
    assert decided(rules, deed(), by=identity(subject="dba", issuer="Group")).verdict.ruling is Ruling.BLOCK
    assert decided(rules, deed(), by=identity(groups=frozenset({'dba"', "DBA", " dba"}))).verdict.ruling is Ruling.BLOCK
    assert decided(rules, deed(), by=identity(kind=Kind.PERSON, groups=frozenset({"dba"}))).verdict.ruling is Ruling.ALLOW


@pytest.mark.parametrize(
    ("now", "hour", "weekday"),
    [(0, 0, 4), (NOW, 10, 3), (NOW - 1, 9, 3), (NOW + 14 * 60 * MINUTE - 1, 23, 3), (NOW + 14 * 60 * MINUTE, 0, 4)],
)
def test_hour_and_weekday_are_those_of_utc(now: int, hour: int, weekday: int) -> None:
    rule = f'@id("a") permit (principal, action, resource) when {{ context.hour == {hour} && context.weekday == {weekday} }};'
    assert decided(policy(rule), deed(), by=identity(expires_at=now + 1), when=at(now)).verdict.ruling is Ruling.ALLOW


# Masks


MASKING = '@id("m") @mask("secrets, cards") permit (principal, action, resource);'
LIFTING = '@id("l") @unmask("pii") permit (principal in Group::"dba", action == Action::"sql.select", resource);'
DBA = identity(kind=Kind.PERSON, groups=frozenset({"dba"}))


def test_the_targets_masks_hold_whatever_permits() -> None:
    assert decided(policy(PERMIT_ALL), deed(), masks=frozenset({"pii"})).verdict.masks == {"pii"}


def test_the_masks_of_all_permits_that_allowed_unite() -> None:
    rules = policy(PERMIT_ALL, MASKING, '@id("n") @mask("more") permit (principal, action, resource);')
    assert decided(rules, deed(), masks=frozenset({"pii"})).verdict.masks == {"pii", "secrets", "cards", "more"}


def test_only_unmask_lifts_a_mask_and_only_for_those_it_permits() -> None:
    rules = policy(PERMIT_ALL, MASKING, LIFTING)
    found = decided(rules, deed(), by=DBA, masks=frozenset({"pii"}))
    assert found.verdict.masks == {"secrets", "cards"}
    assert found.unmasked == {"pii"}
    assert decided(rules, deed(), masks=frozenset({"pii"})).verdict.masks == {"pii", "secrets", "cards"}


def test_a_mask_is_lifted_only_where_every_deed_lifts_it() -> None:
    found = decided(policy(PERMIT_ALL, LIFTING), deed(), deed("sql.insert"), by=DBA, masks=frozenset({"pii"}))
    assert found.verdict.masks == {"pii"}
    assert [verdict.masks for verdict in found.by_deed] == [frozenset(), {"pii"}]
    assert found.unmasked == frozenset()


def most(rows: int, name: str = "few", action: str = "action") -> str:
    return f'@id("{name}") @most_rows("{rows}") permit (principal, {action}, resource);'


def test_the_least_ceiling_of_all_permits_and_deeds_holds() -> None:
    rules = policy(PERMIT_ALL, most(9), most(7, "fewer"), most(5, "deletes", 'action == Action::"sql.delete"'))
    assert decided(rules, deed("sql.update")).verdict.ceiling == Ceiling(7, "fewer")
    assert decided(rules, deed("sql.update"), deed("sql.delete")).verdict.ceiling == Ceiling(5, "deletes")
    assert decided(policy(PERMIT_ALL), deed("sql.update")).verdict.ceiling is None


def test_a_read_has_no_ceiling() -> None:
    assert decided(policy(most(9)), deed("sql.select")).verdict.ceiling is None


def test_what_is_approved_later_has_the_ceiling_of_the_permits_that_would_allow_it() -> None:
    found = decided(policy(most(9), '@id("ask") ' + ASK), deed("sql.update")).verdict
    assert (found.ruling, found.ceiling) == (Ruling.APPROVE, Ceiling(9, "few"))


def test_what_is_approved_later_is_masked_by_the_permits_that_would_allow_it() -> None:
    assert decided(policy(MASKING, '@id("ask") ' + ASK), deed()).verdict.masks == {"secrets", "cards"}


# Shadow


def test_a_rule_in_shadow_is_told_of_and_not_enforced() -> None:
    rules = policy(PERMIT_ALL, '@id("no") @mode("shadow") forbid (principal, action == Action::"sql.insert", resource);')
    assert (decided(rules, deed()).verdict.ruling, decided(rules, deed()).shadow) == (Ruling.ALLOW, ())
    found = decided(rules, deed("sql.insert"), deed())
    assert (found.verdict.ruling, found.shadow) == (Ruling.ALLOW, (("no", Ruling.BLOCK),))


def test_a_permit_in_shadow_permits_nothing() -> None:
    found = decided(policy('@id("yes") @mode("shadow") permit (principal, action, resource);'), deed())
    assert (found.verdict.rule, found.shadow) == (checks.NO_RULE, (("yes", Ruling.ALLOW),))


def test_rules_in_shadow_are_tried_one_at_a_time() -> None:
    rules = policy(
        PERMIT_ALL,
        '@id("a") @mode("shadow") ' + ASK,
        '@id("b") @mode("shadow") forbid (principal, action, resource);',
    )
    assert dict(decided(rules, deed()).shadow) == {"a": Ruling.APPROVE, "b": Ruling.BLOCK}


def test_a_rule_in_shadow_that_fails_harms_nobody_and_is_told_of() -> None:
    failing = 'forbid (principal, action in Action::"sql", resource) when { context.statements * 4611686018427387904 == 1 };'
    found = decided(policy(PERMIT_ALL, '@id("o") @mode("shadow") ' + failing), deed(statements=4))
    assert (found.verdict.ruling, found.shadow) == (Ruling.ALLOW, (("o", Ruling.BLOCK),))


def test_an_action_keeps_its_own_order_of_deeds() -> None:
    whole = action(deed("sql.select"), deed("sql.drop"))
    assert whole.verb == "sql.drop"


def test_a_rules_texts_name_what_they_are_about() -> None:
    rules = policy(
        PERMIT_ALL,
        '@id("no-probing") @reason("asks about {tests_masked}") @instead("Leave out {tables}.") '
        'forbid (principal, action, resource) when { action in Action::"sql" && !context.tests_masked.isEmpty() };',
    )
    many = frozenset(f"public.t.c{number}" for number in range(9))
    verdict = decided(rules, deed(tests_masked=many, tables=frozenset({"a\nb"}))).verdict
    assert verdict.reason == "asks about public.t.c0, public.t.c1, public.t.c2, public.t.c3, public.t.c4, …"
    assert verdict.instead == "Leave out 'a\\nb'."


def test_a_text_leaves_room_for_known_facts_only() -> None:
    with pytest.raises(PolicyError, match=r"in braces only authors, branch, capabilities, columns, command, fields"):
        policy(PERMIT_ALL, '@id("x") @reason("asks {tests}") forbid (principal, action, resource);')
