# ruff: noqa: E501 (a table reads best with one row a line)
"""Requests by which somebody tries to be read as something milder than what the cluster does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.protocols.kubernetes.requests import (
    APPLY,
    JSON_PATCH,
    MERGE,
    SHAPE,
    STRATEGIC,
    facts,
    known,
    pod,
    reach,
    sent,
    verbs,
)

from gatebook.protocols.kubernetes.reading import read

PROD = "/api/v1/namespaces/prod"
APPS = "/apis/apps/v1/namespaces/prod"
WEB = f"{APPS}/deployments/web"
BINDING = "/apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings/x"


def test_an_exec_by_web_socket_is_no_read() -> None:
    for method in ("GET", "POST", "HEAD", "PUT", "CONNECT"):
        reading = known(method, f"{PROD}/pods/x/exec?command=sh&stdin=true", upgrade="websocket")
        assert "k8s.shell" in [deed.verb for deed in reading.deeds], method
        assert reach(reading) == "unknown"


def test_an_exec_without_an_upgrade_is_an_exec_all_the_same() -> None:
    assert verbs(known("GET", f"{PROD}/pods/x/exec?command=ls")) == ["exec"]


@pytest.mark.parametrize(
    "target", [f"{PROD}/pods?watch=1", f"{PROD}/pods/x/log?follow=1", f"{PROD}/pods", "/version", f"{PROD}/services/x/proxy/ws"]
)
def test_an_upgrade_that_leads_elsewhere_is_a_fault(target: str) -> None:
    assert "for exec, attach and port-forward alone" in known("GET", target, upgrade="websocket").fault
    assert known("GET", f"{PROD}/pods/x/exec?command=ls", upgrade="h2c").fault


def test_an_exec_hidden_behind_another_prefix_is_seen() -> None:
    assert verbs(known("GET", "/api/v1/watch/namespaces/prod/pods/x/exec?command=ls")) == ["exec"]
    assert verbs(known("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/prod/pods/x/exec?command=ls")) == ["get", "unknown"]


def test_a_command_that_is_sent_in_two_spellings_of_its_parameter_is_the_one_the_server_reads() -> None:
    assert facts(known("POST", f"{PROD}/pods/x/exec?Command=ls&command=rm&COMMAND=ls"))["command"] == "rm"


def test_a_second_stdin_is_a_doubt() -> None:
    assert "unknown" in verbs(known("POST", f"{PROD}/pods/x/exec?command=cat&stdin=0&stdin=1"))


@pytest.mark.parametrize(
    "name", ["Impersonate-User", "impersonate-group", "Impersonate-Extra-Scopes", "X-Remote-User", "Impersonate_Uid"]
)
def test_who_says_that_they_are_somebody_else_is_at_fault(name: str) -> None:
    reading = read(sent("GET", f"{PROD}/pods", (name, "system:admin")), b"", SHAPE)
    assert verbs(reading) == ["list", "impersonate", "unknown"]
    assert "which is the gateway's to say" in reading.fault


def test_a_deletion_goes_by_its_content_where_it_has_one() -> None:
    reading = known("DELETE", f"{WEB}?dryRun=All", {"kind": "DeleteOptions"})
    assert facts(reading)["dry_run"] is False
    assert verbs(reading) == ["delete", "unknown"]
    assert known("DELETE", WEB, {"kind": "Pod"}).fault
    assert known("DELETE", WEB, [1]).fault
    assert known("DELETE", f"{WEB}?dryRun=Some").fault


@pytest.mark.parametrize(
    "target", [f"{PROD}/pods/x/eviction", f"{PROD}/serviceaccounts/x/token", f"{PROD}/pods/x/exec?command=ls"]
)
def test_only_where_the_server_heeds_it_is_a_dry_run_one(target: str) -> None:
    joined = f"{target}{'&' if '?' in target else '?'}dryRun=All"
    assert facts(known("POST", joined, {}))["dry_run"] is False
    assert facts(known("POST", f"{PROD}/pods?dryRun=All", pod()))["dry_run"] is True
    assert known("POST", f"{PROD}/pods?dryRun=All&dryRun=None", pod()).fault
    for method in ("POST", "DELETE"):
        assert facts(known(method, "/apis/example.com/v1/namespaces/prod/widgets?dryRun=All"))["dry_run"] is False


PATCHED: list[tuple[str, Any, str, Any]] = [
    # patch type, patch -> a fact and its value
    (JSON_PATCH, [{"op": "add", "path": "/spec/template/spec/containers/0/securityContext/privileged", "value": True}], "privileged", True),
    (JSON_PATCH, [{"op": "add", "path": "/spec/template/spec/containers/0/securityContext", "value": {"privileged": True}}], "privileged", True),
    (JSON_PATCH, [{"op": "replace", "path": "/spec/template/spec/containers/-1/securityContext/privileged", "value": True}], "privileged", True),
    (JSON_PATCH, [{"op": "add", "path": "/spec/template/spec/hostPID", "value": True}], "host_pid", True),
    (JSON_PATCH, [{"op": "add", "path": "/spec/template/spec/containers/0/securityContext/capabilities/add/-", "value": "SYS_ADMIN"}], "capabilities", {"SYS_ADMIN"}),
    (JSON_PATCH, [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil"}], "images", {"evil"}),
    (JSON_PATCH, [{"op": "replace", "path": "/spec/template/spec/volumes/0/hostPath/path", "value": "/"}], "host_paths", {"/"}),
    (JSON_PATCH, [{"op": "replace", "path": "", "value": {"spec": {"template": {"spec": {"hostNetwork": True}}}}}], "host_network", True),
    (JSON_PATCH, [{"op": "replace", "path": "/spec/replicas", "value": 0}], "replicas", 0),
    (MERGE, {"spec": {"template": {"spec": {"hostPID": True}}}}, "host_pid", True),
    (STRATEGIC, {"spec": {"template": {"spec": {"containers": [{"name": "a", "securityContext": {"privileged": True}}]}}}}, "privileged", True),
    (APPLY, b"spec:\n  template:\n    spec:\n      hostIPC: true\n", "host_ipc", True),
    (APPLY, b'{"spec": {"template": {"spec": {"hostIPC": true}}}}', "host_ipc", True),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "patch", "name", "value"), PATCHED)
def test_what_a_patch_sets_is_told(kind: str, patch: Any, name: str, value: Any) -> None:
    assert facts(known("PATCH", WEB, patch, kind))[name] == value


@pytest.mark.parametrize(
    "kind",
    [JSON_PATCH, MERGE, STRATEGIC],
)
def test_a_patch_of_replicas_is_a_scale_too(kind: str) -> None:
    body: Any = [{"op": "replace", "path": "/spec/replicas", "value": 0}] if kind == JSON_PATCH else {"spec": {"replicas": 0}}
    assert verbs(known("PATCH", WEB, body, kind)) == ["patch", "scale"]


def test_escapes_in_a_pointer_mean_what_they_mean_to_the_server() -> None:
    fine = [{"op": "add", "path": "/metadata/annotations/example.com~1privileged", "value": "true"}]
    assert facts(known("PATCH", WEB, fine, JSON_PATCH))["privileged"] is False
    hidden = [{"op": "add", "path": "/spec/template/spec/host~0PID", "value": True}]
    assert facts(known("PATCH", WEB, hidden, JSON_PATCH))["host_pid"] is False
    for path in ("spec/replicas", "x/spec/replicas", "/spec/~2", "/spec/~", None, 7):
        assert known("PATCH", WEB, [{"op": "add", "path": path, "value": 1}], JSON_PATCH).fault, path


UNTOLD: list[tuple[str, Any]] = [
    (JSON_PATCH, [{"op": "copy", "from": "/metadata/annotations/x", "path": "/spec/template/spec/hostPID"}]),
    (JSON_PATCH, [{"op": "move", "from": "/a", "path": "/b"}]),
    (JSON_PATCH, [{"op": "remove", "path": "/spec/template/spec/containers/0/securityContext"}]),
    (JSON_PATCH, [{"op": "remove", "path": "/spec/template/spec/securityContext/runAsNonRoot"}]),
    (JSON_PATCH, [{"op": "replace", "path": "/spec/template/spec/securityContext", "value": None}]),
    (JSON_PATCH, [{"op": "ADD", "path": "/spec/x", "value": 1}]),
    (MERGE, {"spec": {"template": {"spec": {"securityContext": None}}}}),
    (MERGE, {"spec": None}),
    (STRATEGIC, {"spec": {"template": {"spec": {"containers": [{"name": "a", "securityContext": {"$patch": "replace"}}]}}}}),
    (STRATEGIC, {"spec": {"template": {"spec": {"containers": [{"$deleteFromPrimitiveList/drop": ["ALL"]}]}}}}),
    (STRATEGIC, {"$patch": "replace", "spec": {}}),
    (STRATEGIC, {"spec": {"$patch": "other"}}),
    (STRATEGIC, {"spec": {"$what": 1}}),
]


@pytest.mark.parametrize(("kind", "patch"), UNTOLD)
def test_a_patch_whose_effect_cannot_be_told_is_unknown_besides(kind: str, patch: Any) -> None:
    assert verbs(known("PATCH", WEB, patch, kind)) == ["patch", "unknown"]


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (JSON_PATCH, [{"op": "test", "path": "/metadata/uid", "value": "x"}, {"op": "remove", "path": "/metadata/labels/a"}]),
        (JSON_PATCH, [{"op": "remove", "path": "/spec/template/spec/containers/1"}]),
        (MERGE, {"metadata": {"labels": {"a": None}}}),
        (
            STRATEGIC,
            {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [{"name": "a", "$patch": "delete"}],
                            "$setElementOrder/containers": [{"name": "b"}],
                        }
                    }
                }
            },
        ),
    ],
)
def test_an_ordinary_patch_is_a_patch_alone(kind: str, patch: Any) -> None:
    assert verbs(known("PATCH", WEB, patch, kind)) == ["patch"]


def test_a_patch_that_adds_somebody_to_a_role_it_does_not_name_is_unknown() -> None:
    subject = {"kind": "User", "name": "agent"}
    for kind, patch in (
        (JSON_PATCH, [{"op": "add", "path": "/subjects/-", "value": subject}]),
        (MERGE, {"subjects": [subject]}),
        (APPLY, {"subjects": [subject]}),
    ):
        assert "unknown" in verbs(known("PATCH", BINDING, patch, kind))
        assert facts(known("PATCH", BINDING, patch, kind))["subjects"] == {"User/agent"}


def test_a_patch_that_widens_a_rule_by_one_word_is_told() -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/x"
    assert facts(known("PATCH", path, [{"op": "add", "path": "/rules/0/verbs/-", "value": "*"}], JSON_PATCH))["grants_admin"]
    assert facts(known("PATCH", path, [{"op": "replace", "path": "/rules/0/resources/0", "value": "*"}], JSON_PATCH))[
        "grants_admin"
    ]
    assert "unknown" in verbs(known("PATCH", path, {"aggregationRule": {"clusterRoleSelectors": [{}]}}, MERGE))


def test_a_container_put_into_a_running_pod_is_an_exec() -> None:
    body = {"spec": {"ephemeralContainers": [{"name": "d", "image": "busybox", "securityContext": {"privileged": True}}]}}
    reading = known("PATCH", f"{PROD}/pods/x/ephemeralcontainers", body, STRATEGIC)
    assert verbs(reading) == ["patch", "exec"]
    assert reach(reading) == "unknown"
    assert facts(reading)["privileged"] is True


YAML = "application/yaml"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("spec: &a {hostPID: true}\nx: *a", "an alias"),
        ("<<: {spec: {hostPID: true}}", "a merge key"),
        ("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]", "an alias"),
        ("spec: {}\nspec: {hostPID: true}", "twice"),
        ("kind: Pod\n---\nkind: Pod", "more than one document"),
        ("spec: !!python/object:x {}", "a tag"),
        ("spec: !!bool 'true'", "a tag"),
        ("1: x", "no text"),
        ("? [a]\n: x", "no text"),
        ("[" * 70 + "]" * 70, "deeper than"),
        ("a: 1e999", "too large"),
        ("a: 'x", "not YAML"),
        ("\x00", "not YAML"),
    ],
)  # fmt: skip
def test_yaml_that_is_more_than_json_in_another_spelling_is_a_fault(text: str, why: str) -> None:
    assert why in known("POST", f"{PROD}/pods", text, YAML).fault
    assert why in known("PATCH", f"{PROD}/pods/x", text, APPLY).fault


@pytest.mark.parametrize("word", ["yes", "on", "y", "Y", "0x1", "0o1", "01", "1_0", "1:30", ".inf"])
def test_a_word_that_is_true_to_some_readers_of_yaml_is_a_doubt(word: str) -> None:
    reading = known("POST", f"{PROD}/pods", f"spec: {{hostPID: {word}, containers: []}}", YAML)
    assert facts(reading)["host_pid"] is True
    assert "unknown" in verbs(reading)


def test_what_would_take_long_to_read_is_a_fault() -> None:
    many = [{"op": "add", "path": "/a" * 50, "value": 1}] * 500
    assert "steps in all" in known("PATCH", WEB, many, JSON_PATCH).fault
    assert "more than 50000 parts" in known("POST", f"{PROD}/pods", "- a\n" * 60_000, YAML).fault


def test_an_object_too_large_for_people_is_shown_in_part() -> None:
    text = known("POST", f"{PROD}/secrets", {"kind": "Secret", "data": {str(one): "c2VjcmV0" for one in range(20_000)}}).seen
    assert "c2VjcmV0" not in text
    assert text.endswith("characters more)")


def test_a_name_that_stands_twice_in_json_is_a_fault() -> None:
    assert "twice" in known("POST", f"{PROD}/pods", '{"spec":{"hostPID":false,"hostPID":true}}').fault


@pytest.mark.parametrize(
    "kind",
    ["application/vnd.kubernetes.protobuf", "application/cbor", "text/plain", "application/x-www-form-urlencoded", "a/b, c/d"],
)
def test_content_that_is_not_read_is_a_fault_that_says_what_to_send(kind: str) -> None:
    reading = known("POST", f"{PROD}/pods", b"k8s\x00\x0a", kind)
    assert reading.fault
    assert verbs(reading) == ["create", "unknown"]
    assert known("PATCH", f"{PROD}/pods/x", b"{}", "application/apply-patch+cbor").fault
    assert known("PATCH", f"{PROD}/pods/x", b"{}", "application/json").fault


def test_compressed_content_and_other_charsets_are_faults() -> None:
    packed = read(
        sent("POST", f"{PROD}/pods", ("content-encoding", "gzip"), ("content-type", "application/json")), b"{}", SHAPE
    )
    assert "compressed" in packed.fault
    wide = read(sent("POST", f"{PROD}/pods", ("content-type", "application/json; charset=utf-16")), b"{}", SHAPE)
    assert "UTF-8" in wide.fault


def test_content_that_was_not_read_is_a_doubt() -> None:
    assert verbs(read(sent("POST", f"{PROD}/pods"), None, SHAPE)) == ["create", "unknown"]


def test_what_content_and_path_say_has_to_be_the_same() -> None:
    assert "namespace" in known("POST", f"{PROD}/pods", {"metadata": {"namespace": "kube-system"}}).fault
    assert "unknown" in verbs(known("POST", "/api/v1/pods", {"metadata": {"namespace": "kube-system"}}))
    assert known("PUT", f"{PROD}/pods/x", {"metadata": {"name": "y"}}).fault
    assert "kind" in facts(known("POST", f"{PROD}/pods", {"kind": "Secret"}))["why_unknown"]
    assert "unknown" in verbs(known("POST", f"{PROD}/pods", {"kind": "Pod", "apiVersion": "apps/v1"}))
    assert verbs(known("PUT", f"{WEB}/scale", {"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": {"replicas": 1}})) == [
        "scale"
    ]


def test_every_item_of_a_list_is_looked_at() -> None:
    items = [pod(containers=[{"image": f"i{number}"}]) for number in range(300)] + [pod(hostPID=True)]
    reading = known("POST", f"{PROD}/pods", {"kind": "List", "items": items})
    assert verbs(reading) == ["create", "unknown"]
    assert facts(reading)["host_pid"] is True
    assert (facts(reading)["objects"], len(facts(reading)["images"])) == (301, 300)
    many = known(
        "POST", f"{PROD}/pods", {"kind": "PodList", "items": [pod(containers=[{"image": str(one)} for one in range(600)])]}
    )
    assert "more in images than is told" in facts(many)["why_unknown"]


def test_several_numbers_of_replicas_are_a_doubt_and_the_least_is_told() -> None:
    items = [{"spec": {"replicas": 3}}, {"spec": {"replicas": 0}}]
    told = facts(known("POST", f"{APPS}/deployments", {"kind": "List", "items": items}))
    assert (told["replicas"], "different numbers" in told["why_unknown"]) == (0, True)
    assert "is none" in facts(known("PUT", f"{WEB}/scale", {"spec": {"replicas": "0"}}))["why_unknown"]
    assert "is none" in facts(known("PUT", f"{WEB}/scale", {"spec": {"replicas": 10**30}}))["why_unknown"]


def test_a_selector_for_one_name_does_not_make_a_list_of_secrets_another_thing() -> None:
    reading = known("GET", f"{PROD}/secrets?fieldSelector=metadata.name%3Ddb")
    assert verbs(reading) == ["list"]
    assert reading.deeds[0].resource.name == "prod/secrets/db"
    two = known("GET", f"{PROD}/secrets?fieldSelector=metadata.name%3Ddb&fieldSelector=")
    assert verbs(two) == ["list", "unknown"]


def test_secrets_in_a_line_of_the_log_are_covered() -> None:
    token = "ghp_" + "a1B2" * 9
    assert token not in known("POST", f"{PROD}/pods/x/exec?command=login&command={token}").shown


def test_json_that_is_not_an_object_is_no_crash() -> None:
    for value in (
        None,
        1,
        "x",
        [],
        [1],
        [[]],
        {"items": 1, "kind": "List"},
        {"metadata": 1, "spec": 2, "rules": 3, "subjects": 4},
    ):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for path in (f"{PROD}/pods/x", BINDING, "/apis/rbac.authorization.k8s.io/v1/clusterroles/x", f"{WEB}/scale"):
                for kind in ("application/json", JSON_PATCH, MERGE, STRATEGIC, APPLY):
                    assert known(method, path, json.dumps(value), kind).deeds


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/pods", f"{PROD}//pods", f"{PROD}%2Fpods", f"{PROD}/pods/a%2fb", f"{PROD}\\pods", f"{PROD}/x%5Cpods",
        f"{PROD}/./pods", f"{PROD}/%2e%2e/pods", f"{PROD}/pods;a=b", f"{PROD}/pods/a%252fb", f"{PROD}/pods/x.",
        f"{PROD}/pods%00", f"{PROD}/pods/%zz", "/api/v1/" + "a/" * 70, f"{PROD}/pods?watch=%zz", f"{PROD}/pods?a;b",
        f"{PROD}/pods/%EF%BC%8F",
    ],
)  # fmt: skip
def test_an_address_that_servers_read_in_two_ways_is_a_fault(path: str) -> None:
    reading = known("GET", path)
    assert reading.fault
    assert "unknown" in verbs(reading)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("content", [b"[" * 20_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b'{"a":' * 65 + b"1" + b"}" * 65])
def test_json_that_is_deeper_than_any_object_is_a_fault(method: str, content: bytes) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    assert "deeper than 64" in known(method, f"{PROD}/configmaps/x", content, kind).fault
