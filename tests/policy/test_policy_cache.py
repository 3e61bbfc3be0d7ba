"""What is kept of decisions: only what an evaluation would say again, no longer than it holds, and not without end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.parties import MINUTE, NOW, PERMIT_ALL, SHOP, at, decided, deed, identity, policy

from gatebook.model import Attribute, Identity, Kind, Reach, Ruling, Target
from gatebook.policy.cache import Cache
from gatebook.policy.decide import KEPT_DEEDS_MAX, Circumstances, Decision
from gatebook.policy.rules import load
from gatebook.protocols.postgres.reading import VERBS

# Rules that between them look at everything a decision can depend on.
RULES = """
@id("p") permit (principal, action, resource) when { principal.kind == "agent" || principal in Group::"dba" };
@id("u") @unmask("pii") permit (principal, action in Action::"sql", resource)
  when { principal.attested.contains("model=large") };
@id("m") @mask("more") permit (principal, action in Action::"sql", resource) when { context.columns.contains("ssn") };
@id("d") forbid (principal, action in Action::"sql", resource) when { principal.declared.contains("model=large") };
@id("w") forbid (principal, action == Action::"sql.delete", resource) unless { context.has_where };
@id("t") forbid (principal, action, resource in Table::"shop/orders");
@id("l") forbid (principal, action in Action::"sql", resource in Target::"dev") when { principal.subject == "b" };
@id("a") @approvers("group:dba") forbid (principal, action in Action::"admin", resource) unless { context.approved };
@id("n") @approvers("group:ops") forbid (principal, action, resource) when { context.hour == 11 } unless { context.approved };
@id("g") forbid (principal, action in Action::"write", resource) when { context.granted < 2 };
@id("i") forbid (principal, action, resource) when { context.client_address.isLoopback() && context.purpose == "" };
@id("s") @mode("shadow") forbid (principal, action in Action::"sql", resource) when { context.statements > 1 };
"""
SHARED = load({"r.cedar": RULES})

identities = st.builds(
    identity,
    subject=st.sampled_from(["a", "b"]),
    kind=st.sampled_from(Kind),
    groups=st.frozensets(st.sampled_from(["dba", "ops"])),
    attributes=st.dictionaries(
        st.just("model"), st.builds(Attribute, value=st.sampled_from(["large", "small"]), attested=st.booleans())
    ),
    expires_at=st.sampled_from([NOW + 1, NOW + MINUTE // 2, NOW + 200 * MINUTE]),
)
targets = st.sampled_from([SHOP, replace(SHOP, name="dev"), replace(SHOP, labels={})])
deeds = st.builds(
    deed,
    verb=st.sampled_from(["sql.select", "sql.delete", "sql.alter", "sql.insert"]),
    table=st.sampled_from(["orders", "public.orders", "notes", None]),
    has_where=st.sampled_from([True, False, 1]),
    statements=st.sampled_from([1, 2, True]),
    columns=st.frozensets(st.sampled_from(["ssn", "id", "name"])),
)
circumstances = st.builds(
    Circumstances,
    now=st.sampled_from([NOW, NOW + 1, NOW + MINUTE - 1, NOW + MINUTE, NOW + 60 * MINUTE]),
    client_address=st.sampled_from(["127.0.0.1", "10.0.0.1", "nonsense"]),
    purpose=st.sampled_from(["", "T-1"]),
    granted=st.sampled_from([None, *Reach]),
    approved=st.booleans(),
)
masks = st.frozensets(st.sampled_from(["pii", "cards"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(identities, targets, st.lists(deeds, max_size=2), circumstances, masks), min_size=1, max_size=3))
def test_a_decision_from_the_cache_is_the_one_that_would_be_made(asked: list[Any]) -> None:
    for by, on, what, when, covered in asked:
        known = decided(SHARED, *what, by=by, on=on, when=when, masks=covered)
        fresh = decided(replace(SHARED, cache=Cache()), *what, by=by, on=on, when=when, masks=covered)
        assert known == fresh


@settings(max_examples=100, deadline=None)
@given(identities, targets, st.lists(deeds, max_size=3), circumstances, masks)
def test_a_verdict_holds_until_the_token_or_the_minute_ends_and_never_past_either(
    by: Identity, on: Target, what: list[Any], when: Circumstances, covered: frozenset[str]
) -> None:
    verdict = decided(SHARED, *what, by=by, on=on, when=when, masks=covered).verdict
    assert verdict.until <= by.expires_at
    assert verdict.until <= when.now // MINUTE * MINUTE + MINUTE
    assert verdict.until > when.now or verdict.ruling is Ruling.BLOCK


@settings(max_examples=100, deadline=None)
@given(identities, targets, st.lists(deeds, min_size=1, max_size=3), circumstances, masks)
def test_one_more_deed_never_makes_a_ruling_milder_nor_lifts_a_mask(
    by: Identity, on: Target, what: list[Any], when: Circumstances, covered: frozenset[str]
) -> None:
    def of(*some: Any) -> Decision:
        return decided(SHARED, *some, by=by, on=on, when=when, masks=covered)

    whole, fewer = of(*what, deed()).verdict, of(*what).verdict
    assert whole.ruling.rank >= fewer.ruling.rank
    assert whole.masks >= fewer.masks


def test_a_cached_decision_dies_with_the_token_within_its_minute() -> None:
    rules, by = policy(PERMIT_ALL), identity(expires_at=NOW + 10)
    assert decided(rules, deed(), by=by, when=at(NOW)).verdict.ruling is Ruling.ALLOW
    assert decided(rules, deed(), by=by, when=at(NOW + 10)).verdict.ruling is Ruling.BLOCK


def test_what_compares_equal_but_is_not_the_same_is_not_found() -> None:
    rules = policy(PERMIT_ALL)
    assert decided(rules, deed(has_where=True)).verdict.ruling is Ruling.ALLOW
    assert decided(rules, deed(has_where=1)).verdict.ruling is Ruling.BLOCK


def test_the_same_question_is_evaluated_once() -> None:
    rules = policy(PERMIT_ALL)
    first = decided(rules, deed(columns=frozenset({"a", "b"})))
    assert decided(rules, deed(columns=frozenset({"a", "b"})), when=at(NOW + 1)) is first
    assert len(rules.cache) == 1


def test_a_changed_policy_starts_with_nothing_kept() -> None:
    first = policy(PERMIT_ALL)
    decided(first, deed())
    second = policy(PERMIT_ALL, '@id("no") forbid (principal, action, resource);')
    assert len(second.cache) == 0
    assert decided(second, deed()).verdict.rule == "no"


def test_long_texts_are_not_kept() -> None:
    rules = policy(PERMIT_ALL)
    decided(rules, *[deed()] * (KEPT_DEEDS_MAX + 1))
    assert len(rules.cache) == 0


def test_the_cache_keeps_no_more_than_its_number_and_drops_what_was_used_longest_ago() -> None:
    cache = Cache(entries_max=2)
    cache.put("a", 1, 100)
    cache.put("b", 2, 100)
    assert cache.get("a", 0) == 1
    cache.put("c", 3, 100)
    assert (cache.get("a", 0), cache.get("b", 0), cache.get("c", 0), len(cache)) == (1, None, 3, 2)


def test_the_cache_gives_nothing_back_once_its_time_is_over() -> None:
    cache = Cache()
    cache.put("a", 1, 100)
    assert cache.get("a", 99) == 1
    assert cache.get("a", 100) is None
    assert len(cache) == 0


def test_every_verb_has_its_own_place_in_the_cache() -> None:
    rules = policy(PERMIT_ALL)
    for verb in VERBS:
        decided(rules, deed(verb, reach=Reach.READ))
    assert len(rules.cache) == len(VERBS)
