"""Acts on Gatebook itself: what the starter rules permit, as a table, and that a rule about targets reaches none of them."""

from __future__ import annotations

from importlib.resources import files

import pytest
from tests.policy.parties import NOW
from tests.policy.parties import identity as agent

from gatebook.model import Identity, Kind, Ruling
from gatebook.policy.acts import ACTS, Concern, decide_act, permits
from gatebook.policy.rules import Policy, load
from gatebook.policy.schema import TEXT

STARTER = load(
    {
        path.name: path.read_text()
        for path in files("gatebook.cli.demo").joinpath("policies").iterdir()
        if path.name.endswith(".cedar")
    }
)


def person(*groups: str) -> Identity:
    return agent(subject="dana", kind=Kind.PERSON, groups=frozenset(groups))


def ruled(policy: Policy, identity: Identity, verb: str, address: str = "10.0.0.7", **facts: bool) -> bool:
    concern = Concern(own=facts.get("own", False), approver=facts.get("approver", False), target="shop")
    return permits(decide_act(policy, "demo", identity=identity, verb=verb, concern=concern, address=address, now=NOW))


SEEING = {"gatebook.sessions.view", "gatebook.sessions.replay", "gatebook.sessions.kill", "gatebook.approvals.view",
          "gatebook.grants.view", "gatebook.tokens.view", "gatebook.tokens.revoke"}  # fmt: skip
ASKED = {"gatebook.approvals.view", "gatebook.approvals.decide", "gatebook.grants.view", "gatebook.grants.revoke"}


@pytest.mark.parametrize(
    ("who", "facts", "permitted"),
    [
        (agent(), {"own": True}, set(ACTS)),
        (agent(), {}, set()),
        (agent(groups=frozenset({"dba"})), {}, set()),
        (person(), {"own": True}, set(ACTS)),
        (person(), {}, set()),
        (person("support"), {"approver": True}, ASKED),
        (person("dba"), {}, SEEING),
        (person("dba"), {"approver": True}, SEEING | ASKED),
    ],
)
def test_the_starter_rules_permit_these_acts_and_no_other(who: Identity, facts: dict[str, bool], permitted: set[str]) -> None:
    assert {verb for verb in ACTS if ruled(STARTER, who, verb, **facts)} == permitted


@pytest.mark.parametrize("scope", ['action in Action::"sql", resource', 'action in Action::"read", resource',
                                   'action, resource in Target::"shop"', 'action, resource == Target::"demo"'])  # fmt: skip
@pytest.mark.parametrize("verb", sorted(ACTS))
def test_a_rule_about_targets_opens_nothing_of_gatebook(scope: str, verb: str) -> None:
    policy = load({"a.cedar": f'@id("all") permit (principal, {scope});'})
    assert not ruled(policy, agent(), verb, own=True, approver=True)


@pytest.mark.parametrize("verb", sorted(ACTS))
def test_what_an_approval_could_lift_is_a_no(verb: str) -> None:
    held = '@id("held") @approvers("group:dba") forbid (principal, action, resource) unless { context.approved };'
    policy = load({"a.cedar": '@id("all") permit (principal, action, resource);' + held})
    concern = Concern(own=True, target="shop")
    verdict = decide_act(policy, "demo", identity=person("dba"), verb=verb, concern=concern, address="10.0.0.7", now=NOW)
    assert verdict.ruling is Ruling.APPROVE
    assert not permits(verdict)


def test_an_address_that_is_none_or_a_proof_that_is_over_is_a_no() -> None:
    assert not ruled(STARTER, person("dba"), "gatebook.sessions.view", address="testclient")
    late = agent(subject="dana", kind=Kind.PERSON, groups=frozenset({"dba"}), expires_at=NOW)
    assert not ruled(STARTER, late, "gatebook.sessions.view")


def test_rules_can_ask_for_the_target_the_address_and_the_deployment() -> None:
    asked = (
        'context.target == "shop" && context.client_address.isInRange(ip("10.0.0.0/8")) && resource == Gatebook::"demo"'
        ' && resource.name == "demo" && context.reach == "write"'
    )
    policy = load({"a.cedar": f'@id("a") permit (principal, action in Action::"gatebook", resource) when {{ {asked} }};'})
    assert ruled(policy, agent(), "gatebook.sessions.kill")
    assert not ruled(policy, agent(), "gatebook.sessions.kill", address="192.0.2.1")
    assert not ruled(policy, agent(), "gatebook.sessions.view")


def test_every_act_is_in_the_schema_and_rules_about_them_are_no_standing_access() -> None:
    assert all(f'"{verb}"' in TEXT for verb in ACTS)
    assert not any(rule.standing for name, rule in STARTER.rules.items() if name.startswith("gatebook-"))
