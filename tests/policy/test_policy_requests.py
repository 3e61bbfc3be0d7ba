"""Rules about routes and tools: what is below a path, however it is spelt, and nothing beside it."""

from __future__ import annotations

import pytest
from tests.policy.parties import PERMIT_ALL, action, at, identity, policy
from tests.protocols.http.shapes import SHAPES

from gatebook.model import Deed, Resource, Target, Verdict
from gatebook.policy.decide import decide
from gatebook.protocols.http.reading import FACTS, VERBS, read
from gatebook.protocols.http.written import parse

CRM = Target(name="crm", protocol="http", address="crm:443")


def decided(rule: str, text: str, shape: str = "api") -> Verdict:
    rules = policy(PERMIT_ALL, rule)
    deeds = read(*parse(text.encode()), SHAPES[shape]).deeds
    return said(rules, *deeds)


def said(rules: object, *deeds: Deed) -> Verdict:
    return decide(
        rules,  # type: ignore[arg-type]
        identity=identity(),
        target=CRM,
        action=action(*deeds),
        circumstances=at(),
        masks=frozenset(),
    ).verdict


def forbid(scope: str, when: str = "") -> str:
    return f'@id("no") forbid (principal, action in Action::"http", resource in {scope})' + (
        f" when {{ {when} }};" if when else ";"
    )


@pytest.mark.parametrize(
    ("route", "text", "holds"),
    [
        ("crm/iam", "GET /iam", True),
        ("crm/iam", "GET /iam/", True),
        ("crm/iam", "GET /iam/users/7", True),
        ("crm/iam", "GET /IAM/users", True),
        ("crm/iam", "GET /%69am/users", True),
        ("crm/iam", "GET /iamb", False),
        ("crm/iam", "GET /users/iam", False),
        ("other/iam", "GET /iam", False),
        ("crm/customers", "GET /customers/7", True),
        ("crm/customers/{id}", "GET /customers/7", True),
        ("crm/customers/7", "GET /customers/7", True),
        ("crm/customers/7", "GET /customers/8", False),
        ("crm/customers/{id}", "GET /customers/me", False),
        ("crm/v1", "GET /v1/customers/7", True),
        ("crm/mcp", 'POST /mcp\ncontent-type: application/json\n\n{"jsonrpc": "2.0", "method": "ping"}', True),
    ],
)
def test_a_rule_about_a_path_holds_below_it_and_nowhere_else(route: str, text: str, holds: bool) -> None:
    assert (decided(forbid(f'Route::"{route}"'), text).rule == "no") is holds


@pytest.mark.parametrize(("tool", "holds"), [("close_ticket", True), ("open_ticket", False)])
@pytest.mark.parametrize("scope", ['Tool::"crm/close_ticket"', 'Route::"crm/mcp"', 'Target::"crm"'])
def test_a_rule_about_a_tool_its_path_or_its_target_holds_for_its_calls(scope: str, tool: str, holds: bool) -> None:
    message = f'{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {{"name": "{tool}"}}}}'
    verdict = decided(forbid(scope), f"POST /mcp\ncontent-type: application/json\n\n{message}")
    assert (verdict.rule == "no") is (holds or not scope.startswith("Tool"))


def test_what_detectors_cover_in_a_path_stands_in_facts_alone_and_rules_find_it() -> None:
    for path in ("/cards/4111111111111111", "/cards;4111111111111111"):
        reading = read(*parse(f"GET {path}\n".encode()), SHAPES["bare"])
        assert all("4111111111111111" not in deed.resource.name for deed in reading.deeds)
        assert "4111111111111111" not in f"{reading.shown}{reading.deeds[0].facts['why_unknown']}{reading.fault}"
    assert decided(forbid('Route::"crm/cards/4111111111111111"'), "GET /cards/4111111111111111", "bare").rule == "no"
    assert decided(forbid('Route::"crm/cards"'), "GET /cards/4111111111111111", "bare").rule == "no"


def test_a_route_is_in_its_own_target_alone() -> None:
    assert decided(forbid('Target::"crm"'), "GET /customers/7").rule == "no"
    assert decided(forbid('Target::"shop"'), "GET /customers/7").rule == "all"


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ('context.tags.contains("customers")', "GET /customers/7"),
        ('context.operation == "getCustomer"', "GET /v1/customers/7"),
        ('context.parameters.contains("id=7")', "GET /customers/7"),
        ('context.parameters.contains("role=admin")', "GET /customers?role=user&role=admin"),
        ('context.method == "DELETE"', "DELETE /customers/7"),
        ("!context.documented", "GET /internal"),
        ('context.body.contains("large")', 'POST /payments\ncontent-type: application/json\n\n{"amount": 5000}'),
        ('context.fields.contains("deleteUser")', "GET /graphql?query=mutation%7Bx:deleteUser%7D"),
        ("context.introspection", "GET /graphql?query=%7B__schema%7Bx%7D%7D"),
        ('context.upgrade == "websocket"', "GET /live\nupgrade: websocket"),
        ('context.origin == "https://evil.example"', "GET /\norigin: https://evil.example"),
    ],
)
def test_rules_can_ask_for_every_sort_of_fact(when: str, text: str) -> None:
    assert decided(forbid('Target::"crm"', when), text).rule == "no"
    assert decided(forbid('Target::"crm"', when), "GET /reports/2026-03.pdf").rule == "all"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", ["route", "target"])
def test_every_verb_can_be_decided_and_is_in_the_group_of_its_reach(verb: str, kind: str) -> None:
    deed = Deed(verb=verb, reach=VERBS[verb], resource=Resource(kind=kind, name="/a"), facts={**FACTS, "path": "/a"})
    assert said(policy(PERMIT_ALL), deed).rule == "all"
    for group in ("http", VERBS[verb].value):
        assert (
            said(policy(PERMIT_ALL, f'@id("no") forbid (principal, action in Action::"{group}", resource);'), deed).rule == "no"
        )


@pytest.mark.parametrize("missing", sorted(FACTS))
def test_a_request_without_one_of_its_facts_is_blocked(missing: str) -> None:
    (deed,) = read(*parse(b"GET /customers/7\n"), SHAPES["api"]).deeds
    facts = {name: value for name, value in deed.facts.items() if name != missing}
    short = Deed(verb=deed.verb, reach=deed.reach, resource=deed.resource, facts=facts)
    assert said(policy(PERMIT_ALL), deed).rule == "all"
    assert said(policy(PERMIT_ALL), short).rule == "policy-error"


def test_a_rules_texts_name_the_tool_and_not_values() -> None:
    message = '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "close"}}'
    call = f"POST /mcp\ncontent-type: application/json\n\n{message}"
    rule = '@id("no") @reason("{tool} is closed{route}") forbid (principal, action == Action::"mcp.call", resource);'
    assert decided(rule, call).reason == "close is closed"


@pytest.mark.parametrize("route", ["crm/customers/{customerId}", "crm/customers/{id}", "crm/"])
def test_parameters_of_a_route_may_have_capitals(route: str) -> None:
    assert decided(forbid(f'Route::"{route}"'), "GET /nowhere").rule in ("all", "no")
