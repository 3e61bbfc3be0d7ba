"""The starter rules for HTTP APIs, and ``gatebook policy`` on requests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.config.written import WHOLE
from tests.policy.parties import action, at, identity
from tests.policy.place import DEMO, placed, run

from gatebook.model import Deed, Kind, Reach, Resource, Ruling, Target
from gatebook.policy.decide import decide
from gatebook.policy.rules import load
from gatebook.protocols.http.reading import FACTS, VERBS

CASES = Path(__file__).with_name("http-cases.yaml")
STANDING = "agents.cedar"  # what the demo's agents may without a grant; a deployment that goes by grants leaves it out
FILES = {path.name: path.read_text("utf-8") for path in DEMO.glob("*.cedar") if path.name != STANDING}
RULES = load(FILES)
TARGET = Target(name="crm", protocol="http", address="crm:443")
CRM = """\
  - name: crm
    protocol: http
    origins: [https://crm.internal]
    roles: {gateway: {bearer: env:CRM_TOKEN}}
    default_role: gateway
    masks: [pii]
    routes:
      - {route: /ops/**, reach: admin}
      - {route: /search, methods: [POST], reach: read}
      - {route: /live, methods: [WEBSOCKET], reach: read}
    facts: [{name: large, path: $.amount, over: 1000, route: /payments}]
    graphql: {paths: [/graphql]}
    mcp: {paths: [/mcp], reads: [search_tickets], writes: [add_note]}
policy:"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    found = placed(tmp_path)
    (tmp_path / "policies" / STANDING).unlink()
    text = WHOLE.replace("policy:", CRM, 1)
    found.write_text(
        text.replace(
            "  api: {bind",
            "  http: {bind: 127.0.0.1:16443, tls: {cert: tls/gateway.crt, key: tls/gateway.key}}\n  api: {bind",
            1,
        )
    )
    return found


def test_the_table_of_the_starter_rules_holds(config: Path) -> None:
    result = run(config, "test", str(CASES))
    assert result.exit_code == 0, result.output


def test_explaining_a_request_says_what_it_was_read_as(config: Path) -> None:
    result = run(
        config,
        "explain",
        "--target",
        "crm",
        "--as",
        "agent",
        "--kind",
        "agent",
        "--granted",
        "read",
        "--json",
        "GET /customers/7?a=b",
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["verb"], found["reach"], found["ruling"], found["rule"]) == ("http.get", "read", "mask", "http-read")
    assert found["resources"] == [{"kind": "route", "name": "/customers/7"}]
    assert found["facts"]["parameters"] == ["a=b"]


def test_explaining_a_request_in_words_tells_only_facts_that_say_something(config: Path) -> None:
    result = run(config, "explain", "--target", "crm", "--as", "agent", "--kind", "agent", "GET //iam")
    said = " ".join(result.output.split())
    assert "http.unknown (unknown) on route /iam: block by http-unknown" in said
    assert "why_unknown its path has an empty segment (//)" in said
    assert "batch" not in said


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("", "expected METHOD /path"),
        ("GET", "expected METHOD /path"),
        ("GET /a b c", "expected METHOD /path"),
        ("GET /\nnonsense", "expected a field"),
    ],
)
def test_what_is_no_request_cannot_be_explained(config: Path, statement: str, fault: str) -> None:
    result = run(config, "explain", "--target", "crm", "--as", "agent", "--kind", "agent", statement)
    assert result.exit_code == 2
    assert fault in result.stderr


def said(verb: str, reach: Reach | None = None, granted: Reach | None = Reach.UNKNOWN, **facts: object) -> Ruling:
    known = {**FACTS, "path": "/things/7", "names_one": True, **facts}
    deed = Deed(verb=verb, reach=reach or VERBS[verb], resource=Resource(kind="route", name="/things/7"), facts=known)  # type: ignore[arg-type]
    decision = decide(
        RULES, identity=identity(), target=TARGET, action=action(deed), circumstances=at(granted=granted), masks=frozenset()
    )
    return decision.verdict.ruling


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("reach", Reach)
def test_nothing_over_http_passes_without_a_grant(verb: str, reach: Reach) -> None:
    assert said(verb, reach, granted=None) is Ruling.BLOCK


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"http.unknown"}))
def test_with_every_grant_reads_and_writes_pass_and_what_goes_further_does_not(verb: str) -> None:
    assert said(verb, Reach.READ) is Ruling.ALLOW
    assert said(verb, Reach.WRITE) is Ruling.ALLOW
    assert said(verb, Reach.ADMIN) is Ruling.APPROVE
    assert said(verb, Reach.UNKNOWN) is (Ruling.APPROVE if verb == "mcp.call" else Ruling.BLOCK)


@pytest.mark.parametrize("reach", Reach)
def test_what_cannot_be_told_never_passes(reach: Reach) -> None:
    assert said("http.unknown", reach) is Ruling.BLOCK


def test_the_rule_in_comments_about_large_payments_holds_once_the_slashes_are_gone() -> None:
    text = FILES["http.cedar"]
    commented = re.search(r'^// @id\("large-payments-need-dba"\)\n(?:// .*\n)*?// unless .*;\n', text, re.MULTILINE)
    assert commented is not None
    rules = load({**FILES, "http.cedar": text.replace(commented[0], commented[0].replace("// ", ""))})
    assert rules.rules["large-payments-need-dba"].approvers == {"group:dba"}


@pytest.mark.parametrize(("granted", "ruling"), [(None, Ruling.BLOCK), (Reach.READ, Ruling.ALLOW)])
def test_a_grant_opens_a_session_of_an_api(granted: Reach | None, ruling: Ruling) -> None:
    deed = Deed(verb="session.open", reach=Reach.READ, resource=Resource(kind="target", name="crm"), facts={"role": "gateway"})
    by = identity("ann", Kind.PERSON, frozenset({"office"}))
    decision = decide(
        RULES, identity=by, target=TARGET, action=action(deed), circumstances=at(granted=granted), masks=frozenset()
    )
    assert decision.verdict.ruling is ruling


def test_nobody_is_asked_about_a_request_that_is_wrong_in_itself(config: Path) -> None:
    (config.parent / "policies" / "http.cedar").write_text(
        '@id("all") permit (principal, action, resource);\n'
        '@id("held") @approvers("group:dba") forbid (principal, action in Action::"http", resource)'
        " unless { context.approved };"
    )
    held = run(config, "explain", "--target", "crm", "--as", "agent", "--kind", "agent", "GET //iam")
    assert held.output.startswith("approve by held")
    wrong = run(config, "explain", "--target", "crm", "--as", "agent", "--kind", "agent", "GET /public/../iam")
    assert wrong.output.startswith(
        "block by held\n  the text is at fault, so nobody is asked to approve it: its path has a dot"
    )
