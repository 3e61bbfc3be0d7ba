# ruff: noqa: E501 (a table reads best with one row a line)
"""What requests to a cluster are read as."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.kubernetes.requests import facts, known, pod, reach, sent, verbs

from gatebook.protocols.kubernetes.reading import FACTS, wants

PROD = "/api/v1/namespaces/prod"
APPS = "/apis/apps/v1/namespaces/prod"

ROWS = [
    # method, path -> verbs, reach, as a line
    ("GET", f"{APPS}/deployments/web", "get", "read", "get deployments.apps/web in prod"),
    ("GET", f"{APPS}/deployments", "list", "read", "list deployments.apps in prod"),
    ("GET", "/api/v1/pods?watch=1", "watch", "read", "watch pods in all namespaces"),
    ("GET", "/api/v1/watch/pods", "watch", "read", "watch pods in all namespaces"),
    ("GET", "/api/v1/nodes", "list", "read", "list nodes"),
    ("GET", f"{PROD}/pods?labelSelector=app%3Dx", "list", "read", "list pods in prod where …"),
    ("GET", f"{PROD}/pods/x/log?follow=1", "log", "read", "log pods/x in prod"),
    ("GET", f"{PROD}/secrets/db", "get", "read", "get secrets/db in prod"),
    ("GET", "/version", "discover", "read", "discover /version"),
    ("GET", "/openapi/v3/apis/apps/v1", "discover", "read", "discover /openapi/v3/apis/apps/v1"),
    ("GET", "/apis/apps/v1", "discover", "read", "discover /apis/apps/v1"),
    ("GET", "/readyz", "discover", "read", "discover /readyz"),
    ("GET", "/metrics", "discover", "admin", "discover /metrics"),
    ("GET", "/apis/metrics.k8s.io/v1beta1/nodes", "list", "read", "list nodes.metrics.k8s.io"),
    ("DELETE", f"{APPS}/deployments/web", "delete", "write", "delete deployments.apps/web in prod"),
    ("DELETE", f"{APPS}/deployments", "deletecollection", "write", "deletecollection deployments.apps in prod"),
    ("DELETE", "/api/v1/namespaces/prod", "delete", "admin", "delete namespaces/prod"),
    ("DELETE", "/api/v1/nodes/n1", "delete", "admin", "delete nodes/n1"),
    ("DELETE", "/api/v1/persistentvolumes/p", "delete", "admin", "delete persistentvolumes/p"),
    ("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x", "delete", "admin", "delete customresourcedefinitions.apiextensions.k8s.io/x"),
    ("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/x", "delete", "admin", "delete apiservices.apiregistration.k8s.io/x"),
    ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/x", "delete", "admin", "delete validatingwebhookconfigurations.admissionregistration.k8s.io/x"),
    ("DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/prod/roles/x", "delete", "admin", "delete roles.rbac.authorization.k8s.io/x in prod"),
    ("DELETE", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/x", "delete", "admin", "delete flowschemas.flowcontrol.apiserver.k8s.io/x"),
    ("DELETE", "/apis/scheduling.k8s.io/v1/priorityclasses/x", "delete", "admin", "delete priorityclasses.scheduling.k8s.io/x"),
    ("DELETE", "/api/v1/namespaces/kube-system/configmaps/x", "delete", "admin", "delete configmaps/x in kube-system"),
    ("PUT", f"{PROD}/services/x/status", "update", "admin", "update services/x (status) in prod"),
    ("POST", f"{PROD}/pods/x/eviction", "evict", "write", "evict pods/x (eviction) in prod"),
    ("POST", f"{PROD}/pods/x/binding", "bind", "admin", "bind pods/x (binding) in prod"),
    ("POST", f"{PROD}/serviceaccounts/x/token", "token", "unknown", "token serviceaccounts/x (token) in prod"),
    ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", "create", "unknown", "create certificatesigningrequests.certificates.k8s.io"),
    ("PUT", "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval", "approve", "unknown", "approve certificatesigningrequests.certificates.k8s.io/x (approval)"),
    ("PUT", "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/status", "update", "unknown", "update certificatesigningrequests.certificates.k8s.io/x (status)"),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "review", "read", "review selfsubjectaccessreviews.authorization.k8s.io"),
    ("POST", "/apis/authorization.k8s.io/v1/namespaces/prod/localsubjectaccessreviews", "review", "read", "review localsubjectaccessreviews.authorization.k8s.io in prod"),
    ("POST", f"{PROD}/pods/x/portforward", "portforward", "unknown", "portforward pods/x in prod"),
    ("GET", f"{PROD}/pods/x/proxy/admin", "proxy", "unknown", "proxy pods/x in prod"),
    ("GET", f"{PROD}/services/https:x:443/proxy/", "proxy", "unknown", "proxy services/https:x:443 in prod"),
    ("GET", "/api/v1/nodes/n1/proxy/run/prod/x/y", "proxy", "unknown", "proxy nodes/n1"),
    ("POST", f"{PROD}/pods/x/attach", "attach", "write", "attach pods/x in prod"),
    ("POST", f"{PROD}/pods/x/attach?stdin=true", "attach", "unknown", "attach pods/x in prod"),
    ("POST", f"{PROD}/pods/x/exec?command=ls&command=-l", "exec", "write", "exec pods/x in prod: ls -l"),
    ("POST", f"{PROD}/pods/x/exec?command=ls&stdin=1", "exec", "unknown", "exec pods/x in prod: ls"),
    ("POST", f"{PROD}/pods/x/exec?command=tar&command=xf&command=-&stdin=1", "exec", "write", "exec pods/x in prod: tar xf -"),
    ("POST", f"{PROD}/pods/x/exec?command=python3", "exec", "unknown", "exec pods/x in prod: python3"),
    ("POST", f"{PROD}/pods/x/exec?command=bash&stdin=true&tty=true", "shell", "unknown", "shell pods/x in prod: bash"),
    ("POST", f"{PROD}/pods/x/exec?command=sh&command=-c&command=clear;(bash+||+sh)&stdin=true", "shell unknown", "unknown", "shell pods/x in prod: sh -c 'clear;(bash || sh)'"),
    ("POST", f"{PROD}/pods/x/exec?command=python3&stdin=true", "shell", "unknown", "shell pods/x in prod: python3"),
    ("POST", f"{PROD}/pods/x/exec", "exec unknown", "unknown", "exec pods/x in prod"),
    ("GET", "/apis/example.com/v1/namespaces/prod/widgets/w", "get", "read", "get widgets.example.com/w in prod"),
    ("DELETE", "/apis/example.com/v1/namespaces/prod/widgets/w", "delete", "write", "delete widgets.example.com/w in prod"),
    ("DELETE", "/apis/example.com/v1/clusterwidgets/w", "delete", "admin", "delete clusterwidgets.example.com/w"),
    ("GET", "/apis/example.com/v1/gadgets", "list unknown", "unknown", "list gadgets.example.com in all namespaces"),
    ("GET", "/apis/example.com/v1/namespaces/prod/widgets/w/connect", "get unknown", "unknown", "get widgets.example.com/w (connect) in prod"),
    ("GET", "/debug/pprof/heap", "unknown", "unknown", "GET /debug/pprof/heap"),
    ("GET", "/logs/kube-apiserver.log", "unknown", "unknown", "GET /logs/kube-apiserver.log"),
    ("POST", "/api", "unknown", "unknown", "POST /api"),
    ("OPTIONS", f"{PROD}/pods", "unknown", "unknown", "OPTIONS pods in prod"),
    ("GET", f"{PROD}/pods/x/status/more", "get unknown", "unknown", "get pods/x (status) in prod"),
    ("GET", "/api/v1/pods/x", "get unknown", "unknown", "get pods/x in all namespaces"),
    ("GET", f"{PROD}/nodes/n1", "get unknown", "unknown", "get nodes/n1 in prod"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "expected", "far", "line"), ROWS)
def test_a_request_is_told_by_its_path(method: str, target: str, expected: str, far: str, line: str) -> None:
    reading = known(method, target)
    assert (verbs(reading), reach(reading), reading.shown) == (expected.split(), far, line)


def test_custom_resources_of_the_configuration_do_not_lower_what_kubernetes_has_itself() -> None:
    assert reach(known("DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/prod/roles/x")) == "admin"


def test_every_deed_has_every_fact() -> None:
    for row in ROWS:
        assert all(deed.facts.keys() == FACTS.keys() for deed in known(row[0], row[1]).deeds)


def deployed(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": spec}}}


ASKED: list[tuple[dict[str, Any], str, Any]] = [
    # a pod -> a fact and its value
    ({"containers": [{"image": "a"}], "initContainers": [{"image": "b"}]}, "images", {"a", "b"}),
    ({"volumes": [{"image": {"reference": "c"}}]}, "images", {"c"}),
    ({"containers": [{"securityContext": {"privileged": True}}]}, "privileged", True),
    ({"containers": [{"securityContext": {"privileged": "true"}}]}, "privileged", True),
    ({"containers": [{"securityContext": {"privileged": False}}]}, "privileged", False),
    ({"securityContext": {"windowsOptions": {"hostProcess": True}}}, "privileged", True),
    ({"hostPID": True}, "host_pid", True),
    ({"hostNetwork": True}, "host_network", True),
    ({"hostIPC": 1}, "host_ipc", True),
    ({"volumes": [{"hostPath": {"path": "/"}}]}, "host_paths", {"/"}),
    ({"volumes": [{"hostPath": {}}]}, "host_paths", {"*"}),
    (
        {"containers": [{"securityContext": {"capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]}}}]},
        "capabilities",
        {"SYS_ADMIN"},
    ),
    ({"securityContext": {"runAsUser": 0}}, "run_as_root", True),
    ({"securityContext": {"runAsUser": "0"}}, "run_as_root", True),
    ({"securityContext": {"runAsUser": 1000}}, "run_as_root", False),
    ({"serviceAccountName": "deployer"}, "service_accounts", {"deployer"}),
    ({"serviceAccount": "deployer"}, "service_accounts", {"deployer"}),
    ({"volumes": [{"secret": {"secretName": "db"}}]}, "mounts_secrets", {"db"}),
    ({"volumes": [{"projected": {"sources": [{"secret": {"name": "db"}}]}}]}, "mounts_secrets", {"db"}),
    (
        {"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "db"}}}], "envFrom": [{"secretRef": {"name": "x"}}]}]},
        "mounts_secrets",
        {"db", "x"},
    ),
]


@pytest.mark.parametrize(("spec", "name", "value"), ASKED)
def test_what_a_pod_asks_for_is_a_fact_in_whatever_makes_it(spec: dict[str, Any], name: str, value: Any) -> None:
    cron = {"kind": "CronJob", "apiVersion": "batch/v1", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}
    widget = {"kind": "Widget", "apiVersion": "example.com/v1", "spec": {"deep": [{"podTemplate": {"spec": spec}}]}}
    for path, body in (
        (f"{PROD}/pods", pod(**spec)),
        (f"{APPS}/deployments", deployed(**spec)),
        ("/apis/batch/v1/namespaces/prod/cronjobs", cron),
        ("/apis/example.com/v1/namespaces/prod/widgets", widget),
    ):
        reading = known("POST", path, body)
        assert (verbs(reading), facts(reading)[name]) == (["create"], value), path


def test_a_new_objects_name_comes_from_its_content() -> None:
    assert facts(known("POST", f"{PROD}/pods", pod()))["name"] == "x"
    assert facts(known("POST", f"{PROD}/pods", {"metadata": {"generateName": "job-"}}))["name"] == "job-*"
    assert known("POST", f"{PROD}/pods", pod()).deeds[0].resource.name == "prod/pods/x"


def test_a_config_map_is_data_and_asks_for_nothing() -> None:
    reading = known("POST", f"{PROD}/configmaps", {"data": {"privileged": "yes", "hostPath": "x", "image": "y"}})
    assert facts(reading)["privileged"] is False
    assert not facts(reading)["images"] | facts(reading)["host_paths"]


ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
BINDING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


@pytest.mark.parametrize(
    ("rule", "far"),
    [
        ({"verbs": ["get"], "resources": ["pods"]}, False),
        ({"verbs": ["*"], "resources": ["pods"]}, True),
        ({"verbs": ["get"], "resources": ["*"]}, True),
        ({"verbs": ["get"], "resources": ["*/scale"]}, True),
        ({"verbs": ["escalate"], "resources": ["roles"]}, True),
        ({"verbs": ["bind"], "resources": ["roles"]}, True),
        ({"verbs": ["impersonate"], "resources": ["users"]}, True),
        ({"verbs": ["create"], "resources": ["serviceaccounts/token"]}, True),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, True),
    ],
)
def test_a_role_that_gives_everything_is_told(rule: dict[str, Any], far: bool) -> None:
    reading = known("POST", ROLE, {"kind": "ClusterRole", "rules": [rule]})
    assert (facts(reading)["grants_admin"], reach(reading)) == (far, "admin")


def test_a_binding_says_who_gets_what() -> None:
    body = {
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "prod", "name": "web"}],
    }
    told = facts(known("POST", BINDING, body))
    assert (told["role_refs"], told["subjects"], told["grants_admin"]) == (
        {"ClusterRole/cluster-admin"},
        {"ServiceAccount/prod/web"},
        True,
    )


def test_a_webhook_says_where_it_goes() -> None:
    hooks = [{"clientConfig": {"url": "https://evil.example"}}, {"clientConfig": {"service": {"namespace": "a", "name": "b"}}}]
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    assert facts(known("POST", path, {"webhooks": hooks}))["webhooks"] == {"https://evil.example", "a/b"}
    service = {"spec": {"service": {"namespace": "a", "name": "b"}}}
    assert facts(known("POST", "/apis/apiregistration.k8s.io/v1/apiservices", service))["webhooks"] == {"a/b"}


@pytest.mark.parametrize("kind", ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", 7])
def test_a_secret_that_is_a_credential_for_the_cluster_is_unknown(kind: object) -> None:
    assert reach(known("POST", f"{PROD}/secrets", {"type": kind})) == "unknown"
    assert reach(known("POST", f"{PROD}/secrets", {"type": "Opaque"})) == "write"


def test_what_a_deletion_says_is_told() -> None:
    body = {"kind": "DeleteOptions", "propagationPolicy": "Orphan", "gracePeriodSeconds": 0, "dryRun": ["All"]}
    told = facts(known("DELETE", f"{APPS}/deployments/web", body))
    assert (told["propagation"], told["grace_seconds"], told["dry_run"]) == ("Orphan", 0, True)
    told = facts(known("DELETE", f"{APPS}/deployments/web?propagationPolicy=Foreground&gracePeriodSeconds=5&dryRun=All"))
    assert (told["propagation"], told["grace_seconds"], told["dry_run"]) == ("Foreground", 5, True)


def test_content_is_waited_for_where_it_says_what_is_meant() -> None:
    assert wants(sent("POST", f"{PROD}/pods"))
    assert wants(sent("DELETE", f"{PROD}/pods/x"))
    assert wants(sent("POST", f"{PROD}/pods/x/eviction"))
    assert not wants(sent("GET", f"{PROD}/pods"))
    assert not wants(sent("POST", f"{PROD}/pods/x/exec?command=ls"))
    assert not wants(sent("POST", f"{PROD}/services/x/proxy/upload"))


def test_people_see_objects_without_what_secrets_hold() -> None:
    copy = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"k":"c2VjcmV0"}}'}
    body = {
        "kind": "Secret",
        "metadata": {"name": "db", "annotations": copy},
        "data": {"k": "c2VjcmV0"},
        "stringData": {"j": "secret9"},
    }
    text = known("POST", f"{PROD}/secrets", body).seen
    assert "c2VjcmV0" not in text
    assert "secret9" not in text
    assert "  k: <covered>" in text
    patch = [
        {"op": "add", "path": "/data/k", "value": "c2VjcmV0"},
        {"op": "add", "path": "/metadata/labels/a", "value": "shown"},
    ]
    text = known("PATCH", f"{PROD}/secrets/db", patch, "application/json-patch+json").seen
    assert "c2VjcmV0" not in text
    assert "shown" in text
    listed = {"kind": "List", "items": [body]}
    assert "c2VjcmV0" not in known("POST", f"{PROD}/pods", listed).seen
