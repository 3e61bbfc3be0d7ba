"""The starter rules for Kubernetes, what rules may say of its objects, and ``gatebook policy`` on requests to a cluster."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.config.written import WHOLE
from tests.policy.parties import PERMIT_ALL, action, at, identity
from tests.policy.place import DEMO, placed, run
from tests.protocols.kubernetes.requests import known, pod

from gatebook.errors import PolicyError
from gatebook.model import Deed, Reach, Resource, Ruling, Target
from gatebook.policy.decide import decide
from gatebook.policy.rules import load
from gatebook.protocols.kubernetes.reading import FACTS, KubernetesReading
from gatebook.protocols.kubernetes.verbs import VERBS

CASES = Path(__file__).with_name("kubernetes-cases.yaml")
STANDING = "agents.cedar"  # what the demo's agents may without a grant; a deployment that goes by grants leaves it out
FILES = {path.name: path.read_text("utf-8") for path in DEMO.glob("*.cedar") if path.name != STANDING}
RULES = load(FILES)
CLUSTER = Target(name="cluster", protocol="kubernetes", address="cluster:443", labels={"env": "test"})
STREAMS = {"k8s.exec", "k8s.shell", "k8s.attach", "k8s.portforward"}
NEVER = {"k8s.token", "k8s.approve", "k8s.proxy", "k8s.impersonate", "k8s.unknown"}
CLUSTERS = """\
  - &cluster
    name: cluster
    protocol: kubernetes
    servers: [https://cluster.internal:6443]
    roles: {gateway: {bearer: env:CLUSTER_TOKEN}}
    default_role: gateway
    labels: {env: test}
    custom: [{group: example.com, resource: widgets}]
policy:"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    found = placed(tmp_path)
    (tmp_path / "policies" / STANDING).unlink()
    one = CLUSTERS.replace("&cluster\n    ", "").removesuffix("policy:")
    text = WHOLE.replace(
        "policy:", one + one.replace("cluster\n", "prod-cluster\n").replace("test", "production") + "policy:", 1
    )
    http = "  http: {bind: 127.0.0.1:16443, tls: {cert: tls/gateway.crt, key: tls/gateway.key}}\n  api: {bind"
    found.write_text(text.replace("  api: {bind", http, 1))
    return found


def test_the_table_of_the_starter_rules_for_clusters_holds(config: Path) -> None:
    result = run(config, "test", str(CASES))
    assert result.exit_code == 0, result.output


def explained(config: Path, statement: str, *more: str) -> str:
    result = run(config, "explain", "--target", "cluster", "--as", "agent", "--kind", "agent", *more, statement)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_explaining_a_request_to_a_cluster_says_what_it_was_read_as(config: Path) -> None:
    said = explained(config, "DELETE /apis/apps/v1/namespaces/shop/deployments/web", "--granted", "write", "--json")
    found = json.loads(said)
    assert (found["verb"], found["reach"], found["ruling"]) == ("k8s.delete", "write", "approve")
    assert found["resources"] == [{"kind": "object", "name": "shop/deployments.apps/web"}]
    assert found["facts"]["kind"] == "Deployment"


def test_explaining_it_in_words_tells_only_facts_that_say_something(config: Path) -> None:
    said = " ".join(explained(config, "POST /api/v1/namespaces/shop/pods\n\nspec: {hostPID: true}").split())
    assert "k8s.create (write) on object shop/pods/*: block by no-rule" in said
    assert "host_pid yes" in said
    assert "host_network" not in said


def test_a_fault_is_told_in_place_of_asking_for_an_approval(config: Path) -> None:
    (config.parent / "policies" / "kubernetes.cedar").write_text(
        '@id("all") permit (principal, action, resource);\n'
        '@id("held") @approvers("group:dba") forbid (principal, action in Action::"k8s", resource) unless { context.approved };'
    )
    said = " ".join(explained(config, "POST /api/v1/namespaces/shop/pods\ncontent-type: application/cbor\n\nx").split())
    assert "block by held the text is at fault, so nobody is asked to approve it" in said
    assert "send it as application/json" in said


def test_a_fault_is_sent_nowhere_whatever_the_rules_say(config: Path) -> None:
    (config.parent / "policies" / "kubernetes.cedar").write_text('@id("all") permit (principal, action, resource);')
    assert explained(config, "GET /api/v1/namespaces/shop/../kube-system/secrets").startswith("block by all")


def said(verb: str, reach: Reach | None = None, granted: Reach | None = Reach.UNKNOWN, **facts: object) -> Ruling:
    told: Any = {**FACTS, "resource": "pods", "namespace": "shop", "name": "web", **facts}
    deed = Deed(verb=verb, reach=reach or VERBS[verb], resource=Resource(kind="object", name="shop/pods/web"), facts=told)
    return decide(
        RULES, identity=identity(), target=CLUSTER, action=action(deed), circumstances=at(granted=granted), masks=frozenset()
    ).verdict.ruling


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("reach", Reach)
def test_nothing_passes_into_a_cluster_without_a_grant(verb: str, reach: Reach) -> None:
    assert said(verb, reach, granted=None) is Ruling.BLOCK


@pytest.mark.parametrize("verb", VERBS)
def test_with_every_grant_what_goes_far_waits_or_does_not_pass(verb: str) -> None:
    held = {"k8s.delete", "k8s.deletecollection", "k8s.evict", "k8s.scale"}
    expected = Ruling.BLOCK if verb in NEVER else Ruling.APPROVE if verb in held else Ruling.ALLOW
    assert said(verb, Reach.WRITE) is expected
    assert said(verb, Reach.ADMIN) is (Ruling.BLOCK if verb in NEVER else Ruling.APPROVE)
    assert said(verb, Reach.UNKNOWN) is (Ruling.APPROVE if verb in STREAMS else Ruling.BLOCK)


@pytest.mark.parametrize("fact", ["privileged", "host_pid", "host_network", "host_ipc"])
@pytest.mark.parametrize("verb", ["k8s.create", "k8s.update", "k8s.patch", "k8s.apply"])
def test_rights_on_the_node_wait_for_a_yes_whatever_asks_for_them(verb: str, fact: str) -> None:
    assert said(verb, **{fact: True}) is Ruling.APPROVE


def test_the_rule_in_comments_about_images_holds_once_the_slashes_are_gone() -> None:
    text = FILES["kubernetes.cedar"]
    commented = re.search(r'^// @id\("k8s-foreign-images-need-dba"\)\n(?:// .*\n)*?// unless .*;\n', text, re.MULTILINE)
    assert commented is not None
    rules = load({**FILES, "kubernetes.cedar": text.replace(commented[0], commented[0].replace("// ", ""))})
    assert rules.rules["k8s-foreign-images-need-dba"].approvers == {"group:dba"}


# Objects and namespaces in rules -----------------------------------------------------------------------------------------


def blocked(rule: str, reading: KubernetesReading, on: Target = CLUSTER) -> bool:
    rules = load({"r.cedar": f'{PERMIT_ALL}@id("no") forbid (principal, {rule};'})
    around = at(granted=None)
    verdict = decide(
        rules,
        identity=identity(),
        target=on,
        action=action(*reading.deeds),
        circumstances=around,
        masks=frozenset(),
    ).verdict
    return verdict.rule == "no"


GET = 'action in [Action::"k8s.get", Action::"k8s.delete", Action::"k8s.create"]'


@pytest.mark.parametrize(
    ("method", "path", "rule", "expected"),
    [
        ("GET", "/api/v1/namespaces/prod/secrets/db", f'{GET}, resource in Namespace::"cluster/prod")', True),
        ("GET", "/api/v1/namespaces/test/secrets/db", f'{GET}, resource in Namespace::"cluster/prod")', False),
        ("GET", "/api/v1/namespaces/prod", f'{GET}, resource in Namespace::"cluster/prod")', True),
        ("GET", "/api/v1/namespaces/prod/secrets/db", f'{GET}, resource in Object::"cluster/prod/secrets")', True),
        ("GET", "/api/v1/namespaces/prod/secrets/db", f'{GET}, resource == Object::"cluster/prod/secrets/db")', True),
        ("GET", "/api/v1/namespaces/prod/secrets/db2", f'{GET}, resource in Object::"cluster/prod/secrets/db")', False),
        ("GET", "/api/v1/nodes/n1", f'{GET}, resource in Object::"cluster/-/nodes")', True),
        ("GET", "/api/v1/nodes/n1", f'{GET}, resource in Target::"cluster")', True),
        ("GET", "/version", 'action, resource in Target::"cluster")', True),
        (
            "GET",
            "/api/v1/pods",
            'action in Action::"k8s", resource) when { context.all_namespaces || context.namespace == "prod" }',
            True,
        ),
        (
            "GET",
            "/api/v1/namespaces/prod/pods",
            'action in Action::"k8s", resource) when { resource.labels.contains("env=test") }',
            True,
        ),
        ("GET", "/version", 'action in Action::"k8s", resource) when { resource.labels.contains("env=test") }', True),
    ],
)
def test_a_rule_finds_an_object_by_what_it_is_in(method: str, path: str, rule: str, expected: bool) -> None:
    assert blocked(rule, known(method, path)) is expected


def test_a_name_that_is_covered_in_the_book_is_found_under_its_real_one() -> None:
    token = "ghp_" + "a1B2" * 9
    reading = known("GET", f"/api/v1/namespaces/prod/pods/{token}")
    assert token not in reading.deeds[0].resource.name
    assert blocked(f'{GET}, resource in Object::"cluster/prod/pods/{token}")', reading)


def test_a_new_object_is_in_all_of_its_resource() -> None:
    reading = known("POST", "/api/v1/namespaces/prod/pods", pod())
    assert blocked(f'{GET}, resource in Object::"cluster/prod/pods/x")', reading)


def test_the_rules_on_the_page_about_requests_are_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "what-a-kubernetes-request-can-do.md").read_text("utf-8")
    rules = re.findall(r"```cedar\n(.*?)```", page, re.DOTALL)
    assert load({"page.cedar": "\n".join(rules)}).rules.keys() == {"few-programs"}


FAULTY = [
    ('action, resource in Namespace::"cluster/prod")', "expected `|| context.all_namespaces` beside it"),
    ('action in Action::"k8s.read", resource) when { context.namespace == "prod" }', "expected `|| context.all_namespaces`"),
    ('action == Action::"k8s.list", resource) when { context.namespace == "prod" }', "expected `|| context.all_namespaces`"),
    ('action in Action::"k8s", resource) when { context.namespace like "prod*" }', "expected `|| context.all_namespaces`"),
    ('action, resource in Object::"cluster/prod/secrets/db")', 'expected Object::"cluster/prod/secrets", since a list has'),
]


@pytest.mark.parametrize(("rule", "fault"), FAULTY)
def test_a_forbid_that_a_list_would_get_around_is_a_fault(rule: str, fault: str) -> None:
    with pytest.raises(PolicyError) as raised:
        load({"r.cedar": f'@id("no") forbid (principal, {rule};'})
    assert any(fault in one for one in raised.value.faults), raised.value.faults


def test_a_permit_may_name_what_it_likes() -> None:
    assert load({"r.cedar": '@id("yes") permit (principal, action, resource in Namespace::"cluster/prod");'})


def test_a_reason_may_name_what_a_request_is_about() -> None:
    rules = load(
        {
            "r.cedar": PERMIT_ALL + '@id("no") @reason("{images} in {namespace} as {resource}/{name}") '
            'forbid (principal, action == Action::"k8s.create", resource);'
        }
    )
    reading = known("POST", "/api/v1/namespaces/prod/pods", pod(containers=[{"image": "evil"}]))
    verdict = decide(
        rules,
        identity=identity(),
        target=CLUSTER,
        action=action(*reading.deeds),
        circumstances=at(granted=None),
        masks=frozenset(),
    ).verdict
    assert verdict.reason == "evil in prod as pods/x"
