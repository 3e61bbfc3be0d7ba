"""Rules on fields of objects: covered wherever an object shows, and resolved in the same place alone."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from tests.protocols.http.covering.stage import TOKENS, covering
from tests.protocols.kubernetes.requests import JSON, JSON_PATCH, MERGE, SHAPE, STRATEGIC, sent

from gatebook.masking.rules import FieldPattern, MaskSet, ObjectRule, Style
from gatebook.masking.tokens import seal
from gatebook.masking.wild import Wild
from gatebook.protocols.http.covering.choosing import Covered, Passed
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.covering.resolving import (
    ELSEWHERE,
    FOREIGN,
    HIDDEN,
    MOVED,
    UNTOLD,
    WRITTEN_BACK,
    Resolved,
    resolve,
)
from gatebook.protocols.http.message import Request, Response
from gatebook.protocols.kubernetes.covering import SECRETS, secrets_set
from gatebook.protocols.kubernetes.dialect import Kubernetes

VALUE = "db.internal:5432"
TOKEN = (seal(VALUE.encode(), TOKENS) or b"").decode()
PROD = "/api/v1/namespaces/prod"
APPS = "/apis/apps/v1/namespaces/prod"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
DIALECT = Kubernetes(SHAPE)


def rule(*fields: str, resources: str = "", namespaces: str = "") -> ObjectRule:
    patterns = tuple(FieldPattern.of_objects(one) for one in fields)
    return ObjectRule(patterns, frozenset(resources.split()), frozenset(Wild(one) for one in namespaces.split()))


def settings(*rules: ObjectRule, style: Style = Style.TOKEN) -> MaskSet:
    return MaskSet("settings", (), style, objects=rules)


CONFIG = settings(rule("data.*host*", "binaryData.*host*", resources="configmaps"), rule("env[DB_*]"))


def request(method: str, target: str, kind: str = JSON) -> Request:
    return sent(method, target, ("content-type", kind), ("accept", TABLE))


def plan(one: Request, *sets: MaskSet) -> Plan:
    sets = sets or (CONFIG,)
    return DIALECT.plan(one, covering(*sets, detectors=()), {each.name for each in sets}, ())


def shown(target: str, content: Any, *sets: MaskSet, method: str = "GET") -> str:
    """What a client gets of an answer."""
    one = request(method, target)
    choice = DIALECT.cover(one, Response(200, ((b"content-type", b"application/json"),)), plan(one, *sets), ())
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    if isinstance(choice, Passed):
        return data.decode()
    assert isinstance(choice, Covered), choice
    return (choice.coverer.feed(data) + choice.coverer.finish()).decode()


def back(method: str, target: str, content: Any, *sets: MaskSet, kind: str = JSON) -> Resolved:
    """What goes on of a request."""
    one = request(method, target, kind)
    return resolve(one, json.dumps(content).encode() if not isinstance(content, bytes) else content, plan(one, *sets))


def config(value: str = VALUE, **more: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "c", **more}, "data": {"DB_HOST": value, "colour": "green"}}


def env(value: str = VALUE, name: str = "DB_HOST") -> list[dict[str, str]]:
    return [{"name": "HOME", "value": "/home"}, {"name": name, "value": value}]


def deployment(value: str = VALUE, name: str = "DB_HOST") -> dict[str, Any]:
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "a", "env": env(value, name)}]}}}}


APPLIED = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(config())}}
TABLED = {
    "kind": "Table",
    "rows": [{"cells": ["c", 2], "object": {"kind": "PartialObjectMetadata", "metadata": {"name": "c", **APPLIED}}}],
}
FORMS: list[tuple[str, Any]] = [
    (f"{PROD}/configmaps/c", config()),
    (f"{PROD}/configmaps/c", config(**APPLIED)),
    (f"{PROD}/configmaps", {"kind": "ConfigMapList", "items": [config(), config(**APPLIED)]}),
    ("/api/v1/configmaps", {"kind": "List", "items": [config(namespace="dev")]}),
    (f"{PROD}/configmaps", TABLED),
    (f"{PROD}/configmaps?watch=1", {"type": "MODIFIED", "object": config()}),
    ("/api/v1/watch/namespaces/prod/configmaps", {"type": "BOOKMARK", "object": config()}),
    (f"{APPS}/deployments/web", deployment()),
    ("/apis/apps/v1beta2/namespaces/prod/deployments/web", deployment()),
    (f"{APPS}/controllerrevisions/web-1", {"data": deployment()}),
    ("/apis/batch/v1/namespaces/prod/cronjobs/x", {"spec": {"jobTemplate": {"spec": deployment()}}}),
    ("/apis/example.com/v1/namespaces/prod/widgets/w", {"spec": {"env": env()}}),
    (f"{PROD}/pods/p", {"spec": {"initContainers": [{"env": env()}]}}),
    (f"{PROD}/pods/p/ephemeralcontainers", {"spec": {"ephemeralContainers": [{"env": env()}]}}),
    ("/api/v1/nodes/n/proxy/pods", {"items": [{"spec": {"containers": [{"env": env()}]}}]}),
    (f"{PROD}/services/s/proxy/api/v1/configmaps/c", config()),
]  # fmt: skip


@pytest.mark.parametrize(("target", "content"), FORMS)
def test_a_value_under_a_rule_is_covered_in_every_form(target: str, content: Any) -> None:
    text = shown(target, content)
    assert VALUE not in text
    assert TOKEN in text
    assert "/home" in text or "env" not in json.dumps(content)
    assert "green" in text or "data" not in json.dumps(content) or "env" in json.dumps(content)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_writing_answers_is_covered(method: str) -> None:
    assert VALUE not in shown(f"{PROD}/configmaps/c?dryRun=All", config(**APPLIED), method=method)


def test_events_of_a_watch_are_covered_one_behind_the_other() -> None:
    events = b"\n".join(json.dumps({"type": "ADDED", "object": config()}).encode() for _ in range(3))
    assert shown(f"{PROD}/configmaps?watch=1", events).count(TOKEN) == 3


def test_a_value_before_its_name_is_covered_whatever_the_name_says() -> None:
    assert "/home" not in shown(f"{PROD}/pods/p", b'{"spec":{"env":[{"value":"/home","name":"HOME"}]}}')
    assert VALUE not in shown(f"{PROD}/pods/p", b'{"spec":{"env":[{"n\\u0061me":"DB_HOST","value":"%b"}]}}' % VALUE.encode())
    assert VALUE not in shown(f"{PROD}/pods/p", b'{"spec":{"env":[{"name":"D\\u0042_HOST","value":"%b"}]}}' % VALUE.encode())


def test_names_without_values_stay_readable() -> None:
    managed = {"metadata": {"managedFields": [{"fieldsV1": {"f:data": {"f:DB_HOST": {}}}}]}, "data": {"a": "b"}}
    assert json.loads(shown(f"{PROD}/configmaps/c", managed)) == managed


def test_a_rule_holds_for_its_resources_and_namespaces_alone() -> None:
    team = settings(rule("data.*", resources="configmaps", namespaces="team-*"))
    assert VALUE in shown(f"{PROD}/configmaps/c", config(), team)
    assert VALUE not in shown("/api/v1/namespaces/team-a/configmaps/c", config(), team)
    assert VALUE not in shown("/api/v1/configmaps", {"items": [config(namespace="team-a")]}, team)
    assert VALUE in shown("/api/v1/namespaces/team-a/events", {"items": [{"data": {"x": VALUE}}]}, team)


def test_what_a_workload_holds_is_covered_in_all_that_is_made_of_it() -> None:
    one = settings(rule("env[DB_*]", resources="deployments.apps"))
    for target in (f"{APPS}/replicasets/r", f"{PROD}/pods/p", f"{APPS}/controllerrevisions/c"):
        assert VALUE not in shown(target, deployment(), one)
    assert VALUE in shown("/apis/example.com/v1/namespaces/prod/widgets/w", deployment(), one)


def test_what_is_in_binary_data_stays_base64() -> None:
    text = shown(f"{PROD}/configmaps/c", {"binaryData": {"host": b64encode(VALUE.encode()).decode()}})
    assert b64decode(json.loads(text)["binaryData"]["host"]).decode() == TOKEN


def test_discovery_and_schemas_are_left_as_they_are() -> None:
    any_data = settings(rule("*e*"))
    for target in ("/api/v1", "/apis", "/openapi/v3/api/v1", "/version"):
        assert VALUE in shown(target, {"resources": [{"name": VALUE}]}, any_data)


# Tables ------------------------------------------------------------------------------------------------------------------


def accepted(target: str, *sets: MaskSet) -> bytes:
    one = request("GET", target)
    return dict(DIALECT.kept(one, one.fields, plan(one, *sets)))[b"accept"]


def test_a_table_whose_cells_may_show_what_is_covered_is_not_asked_for() -> None:
    widgets = "/apis/example.com/v1/namespaces/prod/widgets"
    assert b"Table" not in accepted(widgets)
    assert accepted(widgets) == b"application/json"
    assert b"Table" in accepted(widgets, settings(rule("data.*", resources="configmaps")))
    for target in (f"{PROD}/configmaps", f"{PROD}/pods", f"{PROD}/secrets"):
        assert b"Table" in accepted(target)
    assert b"Table" not in accepted(f"{PROD}/events", settings(rule("message", resources="events")))
    assert b"Table" not in accepted(widgets, MaskSet("fields", (), Style.REDACT, (FieldPattern.parse("password"),)))


# On the way back ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "content", "kind"),
    [
        ("POST", f"{PROD}/configmaps", config(TOKEN), JSON),
        ("PUT", f"{PROD}/configmaps/c", config(TOKEN), JSON),
        ("PATCH", f"{PROD}/configmaps/c", {"data": {"new_host": TOKEN}}, MERGE),
        ("PATCH", f"{PROD}/configmaps/c", [{"op": "add", "path": "/data/new_host", "value": TOKEN}], JSON_PATCH),
        ("PATCH", f"{PROD}/configmaps/c", [{"op": "add", "path": "/data", "value": {"host": TOKEN}}], JSON_PATCH),
        ("PATCH", f"{APPS}/deployments/web", deployment(TOKEN), STRATEGIC),
        ("PATCH", f"{APPS}/deployments/web", [{"op": "add", "path": "/spec/x/env", "value": env(TOKEN)}], JSON_PATCH),
    ],
)
def test_a_token_is_the_value_where_the_rule_holds(method: str, target: str, content: Any, kind: str) -> None:
    found = back(method, target, content, kind=kind)
    assert found.refusal == ""
    assert found.values == (VALUE.encode(),)
    assert VALUE in found.content.decode()
    assert TOKEN not in found.content.decode()


@pytest.mark.parametrize(
    ("method", "target", "content", "kind"),
    [
        ("POST", f"{PROD}/configmaps", {"data": {"colour": TOKEN}}, JSON),
        ("POST", f"{PROD}/configmaps", {"metadata": {"annotations": {"a": TOKEN}}}, JSON),
        ("POST", f"{PROD}/secrets", {"stringData": {"host": TOKEN}}, JSON),
        ("POST", f"{PROD}/services", {"data": {"host": TOKEN}}, JSON),
        ("PATCH", f"{APPS}/deployments/web", deployment(TOKEN, "HOME"), STRATEGIC),
        ("POST", f"{PROD}/pods", b'{"spec":{"env":[{"value":"%b","name":"HOME"}]}}' % TOKEN.encode(), JSON),
        ("POST", f"{PROD}/pods", b'{"spec":{"env":[{"value":"%b","name":"DB_HOST"}]}}' % TOKEN.encode(), JSON),
        ("PATCH", f"{PROD}/configmaps/c", [{"op": "add", "path": "/metadata/annotations/x", "value": TOKEN}], JSON_PATCH),
        ("PATCH", f"{PROD}/configmaps/c", [{"op": "add", "path": "/value", "value": TOKEN}], JSON_PATCH),
        ("PATCH", f"{PROD}/configmaps/c", [{"op": "add", "path": "/x", "value": {"value": TOKEN}}], JSON_PATCH),
        ("PATCH", f"{PROD}/pods/p", [{"op": "add", "path": "/spec/containers/0/env/0/value", "value": TOKEN}], JSON_PATCH),
        ("PATCH", f"{PROD}/configmaps/c", [{"op": "add", "path": f"/data/{TOKEN}", "value": "x"}], JSON_PATCH),
        ("PATCH", f"{PROD}/configmaps/c", [TOKEN], JSON_PATCH),
    ],
)  # fmt: skip
def test_a_token_is_refused_everywhere_else(method: str, target: str, content: Any, kind: str) -> None:
    found = back(method, target, content, kind=kind)
    assert found.refusal in (ELSEWHERE, FOREIGN)
    assert VALUE not in found.content.decode()


def test_a_token_of_a_namespace_is_not_resolved_in_another() -> None:
    team = settings(rule("data.*", resources="configmaps namespaces", namespaces="team-*"))
    assert back("POST", "/api/v1/namespaces/team-a/configmaps", config(TOKEN), team).refusal == ""
    assert back("POST", f"{PROD}/configmaps", config(TOKEN), team).refusal == ELSEWHERE
    one = {"metadata": {"name": "dev"}, "data": {"x": TOKEN}}
    assert back("POST", "/api/v1/namespaces", one, team).refusal == ""
    assert VALUE not in shown("/api/v1/namespaces/dev", {"data": {"x": VALUE}}, team)  # where it was resolved it is covered


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "copy", "from": "/data/DB_HOST", "path": "/metadata/annotations/x"},
        {"op": "move", "from": "/data", "path": "/metadata/labels"},
        {"op": "MOVE", "from": "/spec/template/spec/containers/0/env", "path": "/metadata/labels"},
        {"op": "copy", "from": "/spec/containers/0/env/1", "path": "/metadata/labels"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/env/1/name", "value": "HOME"},
    ],
)
def test_a_json_patch_takes_no_value_to_where_it_is_shown(patch: Any) -> None:
    for target in (f"{PROD}/configmaps/c", f"{APPS}/deployments/web"):
        if "data" not in json.dumps(patch).replace("metadata", "") or "configmaps" in target:
            assert back("PATCH", target, [patch], kind=JSON_PATCH).refusal == MOVED
    fine = [{"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/b"}]
    assert back("PATCH", f"{PROD}/configmaps/c", fine, kind=JSON_PATCH) == Resolved(
        f"{PROD}/configmaps/c", json.dumps(fine).encode()
    )


def test_what_a_secret_holds_is_not_patched_into_what_shows_it() -> None:
    own = secrets_set(Style.TOKEN)
    coded = b64encode(TOKEN.encode()).decode()
    for value in (TOKEN, coded):
        patch = [{"op": "add", "path": "/metadata/annotations/x", "value": value}]
        assert VALUE not in back("PATCH", f"{PROD}/secrets/s", patch, own, kind=JSON_PATCH).content.decode()
    copied = [{"op": "copy", "from": "/data/password", "path": "/metadata/annotations/x"}]
    assert back("PATCH", f"{PROD}/secrets/s", copied, own, kind=JSON_PATCH).refusal == MOVED
    found = back("PATCH", f"{PROD}/secrets/s", [{"op": "add", "path": "/data/x", "value": coded}], own, kind=JSON_PATCH)
    assert json.loads(found.content)[0]["value"] == b64encode(VALUE.encode()).decode()


def test_an_operation_that_says_its_path_twice_is_not_read() -> None:
    twice = b'[{"op":"add","path":"/data/host","Path":"/metadata/annotations/x","value":"%b"}]' % TOKEN.encode()
    assert back("PATCH", f"{PROD}/configmaps/c", twice, kind=JSON_PATCH).refusal == HIDDEN


@pytest.mark.parametrize(
    "beside",
    [
        b'{"op":"add","path":"/data/x","value":{"a":1,"a":2}}',
        b'{"op":"test","OP":"add","path":"/data/x","value":1}',
        b'{"op":"add","path":"/data/x","value":NaN}',
        b'{"op":"add","path":"/data/x","value":1e999}',
        b'{"op":"add","path":"/data/x","value":"\\ud800"}',
        b'{"op":"add","path":"/data/x","value":' + b"[" * 600 + b"]" * 600 + b"}",
        b"",
    ],
)
def test_no_operation_hides_another_by_what_cannot_be_read(beside: bytes) -> None:
    copied = b'[{"op":"copy","from":"/data/DB_HOST","path":"/metadata/annotations/x"},' + beside + b"]"
    after = b"[" + beside + b',{"op":"copy","from":"/data/DB_HOST","path":"/metadata/annotations/x"}]'
    for patch in (copied, after):
        assert back("PATCH", f"{PROD}/configmaps/c", patch, kind=JSON_PATCH).refusal in (MOVED, UNTOLD)


def test_names_that_differ_in_case_are_patched_as_they_are() -> None:
    fine = [{"op": "add", "path": "/metadata/labels", "value": {"a": "1", "A": "2"}}]
    found = back("PATCH", f"{PROD}/configmaps/c", fine, kind=JSON_PATCH)
    assert (found.refusal, json.loads(found.content)) == ("", fine)
    both = [*fine, {"op": "add", "path": "/data/host", "value": TOKEN}, {"op": "test", "path": "/x/\ud800", "value": 1}]
    assert VALUE in back("PATCH", f"{PROD}/configmaps/c", both, kind=JSON_PATCH).content.decode()


def test_a_covered_value_is_not_written_back() -> None:
    hidden = settings(rule("data.*host*"), rule("env[DB_*]"), style=Style.REDACT)
    assert "****" in shown(f"{PROD}/configmaps/c", config(), hidden)
    assert back("PUT", f"{PROD}/configmaps/c", config("****"), hidden).refusal == WRITTEN_BACK
    assert back("PATCH", f"{APPS}/deployments/web", deployment("****"), hidden, kind=STRATEGIC).refusal == WRITTEN_BACK


# What people see ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "content", "kind"),
    [
        ("POST", f"{PROD}/configmaps", config(**APPLIED), JSON),
        ("PATCH", f"{PROD}/configmaps/c", [{"op": "add", "path": "/data/host", "value": VALUE}], JSON_PATCH),
        ("PATCH", f"{APPS}/deployments/web", deployment(), STRATEGIC),
    ],
)
def test_who_decides_about_a_request_sees_no_covered_value(method: str, target: str, content: Any, kind: str) -> None:
    one = request(method, target, kind)
    data = json.dumps(content).encode()
    reading = DIALECT.read(one, data)
    assert VALUE in reading.seen
    text = DIALECT.seen(one, data, reading, plan(one))
    assert VALUE not in text
    assert f"{len(data)} bytes" in text
    assert not [line for line in text.splitlines() if "not shown" in line]


def test_releases_of_helm_are_covered_whole_where_a_rule_on_objects_holds() -> None:
    one = request("GET", f"{PROD}/secrets/sh.helm.release.v1.web.v1")
    own = secrets_set(Style.TOKEN)
    assert plan(one, own).packed is not None
    assert plan(one, own, CONFIG).packed is None
    assert plan(one, own, settings(rule("data.*", namespaces="dev"))).packed is not None
    assert SECRETS in {each.name for each in plan(one, own, CONFIG).sets}
