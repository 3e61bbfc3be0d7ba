"""Fields of objects under a rule, as kubectl shows them and writes them back, and as people see them who decide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.clustered import ANYTHING, Clustered, cluster_target, ring_gateway
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

HOST, OTHER = "db-7.internal.example", "db-8.internal.example"
MASKING = {
    "sets": {
        "pii": {"columns": ["*.ssn"]},  # of the ring's databases
        "settings": {
            "kubernetes": [
                {"resources": ["configmaps"], "fields": ["data.*host*"]},
                {"fields": ["env[DB_*]"]},
                {"resources": ["gauges.example.com"], "fields": ["spec.place"]},
            ],
            "style": "token",
        },
    },
    "detectors": [],
}
HELD = """
@id("held")
@approvers("group:dba")
@reason("people look at what changes")
forbid (principal, action in [Action::"k8s.write"], resource)
when { context.name == "held" }
unless { context.approved };
"""
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "gauges.example.com"},
    "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "gauges", "singular": "gauge", "kind": "Gauge"},
        "versions": [
            {
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "additionalPrinterColumns": [{"name": "Place", "type": "string", "jsonPath": ".spec.place"}],
            }
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    target = cluster_target(cluster, masks=["settings"])
    policies = {"ring": ANYTHING, "held": HELD}
    folder = tmp_path_factory.mktemp("objects")
    with ring_gateway(folder, world, cluster, apis=[target], policies=policies, more={"masking": MASKING}) as gateway:
        yield gateway


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    """A cluster with a ConfigMap that was applied, so that an annotation has its values once more."""
    made = Clustered(door, cluster, namespace, tmp_path)
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(config("c")))
    return made


def config(name: str, host: str = HOST) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"DB_HOST": host, "colour": "green"}}


def there(prod: Clustered, name: str) -> dict[str, Any]:
    found: dict[str, Any] = prod.cluster.call("GET", f"/api/v1/namespaces/{prod.namespace}/configmaps/{name}")
    return found


def test_a_configmap_is_covered_in_every_form_and_is_copied_without_being_seen(prod: Clustered) -> None:
    for form in ("json", "yaml", "jsonpath={.items[*].data}", "wide", "custom-columns=HOST:.data.DB_HOST"):
        assert HOST not in prod.kubectl("get", "configmaps", "-o", form)
    assert HOST not in prod.kubectl("get", "configmaps", "-A", "-o", "yaml")
    described = prod.kubectl("describe", "configmap", "c")
    assert HOST not in described
    assert "green" in described
    found = json.loads(prod.kubectl("get", "configmap", "c", "-o", "json"))
    assert found["data"]["DB_HOST"].startswith("gbk_")
    copied = config("copy", found["data"]["DB_HOST"])
    assert "created" in prod.kubectl("apply", "-f", "-", stdin=json.dumps(copied))
    assert there(prod, "copy")["data"]["DB_HOST"] == HOST
    assert "configured" in prod.kubectl("apply", "-f", "-", stdin=json.dumps(copied | {"data": {**copied["data"], "a": "b"}}))
    assert "serverside" in prod.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(copied))
    assert there(prod, "copy")["data"]["DB_HOST"] == HOST
    elsewhere = copied | {"data": {"colour": found["data"]["DB_HOST"]}}
    assert "a token may only be" in prod.refused("apply", "-f", "-", stdin=json.dumps(elsewhere))
    copy = json.dumps([{"op": "copy", "from": "/data/DB_HOST", "path": "/data/colour"}])
    assert "to where it is not" in prod.refused("patch", "configmap", "c", "--type=json", "-p", copy)
    assert there(prod, "c")["data"]["colour"] == "green"


def test_what_a_watch_and_patches_answer_is_covered(prod: Clustered) -> None:
    where = f"/api/v1/namespaces/{prod.namespace}/configmaps"
    with prod.http() as client:
        for query in ("watch=true", "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"):
            answer = client.get(f"{where}?{query}&allowWatchBookmarks=true&timeoutSeconds=1")
            assert "green" in answer.text
            assert HOST not in answer.text
        for kind in ("Table", "PartialObjectMetadataList"):
            accept = f"application/json;as={kind};v=v1;g=meta.k8s.io"
            answer = client.get(f"{where}?includeObject=Object", headers={"Accept": accept})
            assert "last-applied-configuration" in answer.text
            assert HOST not in answer.text
        for kind in ("merge-patch", "strategic-merge-patch"):
            for dry in ("", "?dryRun=All"):
                patch = {"metadata": {"labels": {"a": kind}}}
                answer = client.patch(
                    f"{where}/c{dry}", content=json.dumps(patch), headers={"Content-Type": f"application/{kind}+json"}
                )
                assert answer.status_code == 200, answer.text
                assert HOST not in answer.text


def test_the_environment_of_a_workload_is_covered_wherever_it_shows(prod: Clustered) -> None:
    prod.kubectl("create", "deployment", "web", "--image=none", "--", "sleep", "infinity")
    prod.kubectl("set", "env", "deployment/web", f"DB_ADDRESS={HOST}", "COLOUR=green")
    assert wait_until(lambda: HOST in prod.cluster.kubectl("get", "pods", "-n", prod.namespace, "-o", "yaml"), 60)
    for what in ("deployments", "replicasets", "pods"):
        shown = prod.kubectl("get", what, "-o", "yaml")
        assert HOST not in shown
        assert "green" in shown
        assert HOST not in prod.kubectl("describe", what)
    prod.kubectl("set", "env", "deployment/web", "COLOUR=blue")  # what it read it does not write back
    found = prod.cluster.call("GET", f"/apis/apps/v1/namespaces/{prod.namespace}/deployments/web")
    env = {one["name"]: one["value"] for one in found["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env == {"DB_ADDRESS": HOST, "COLOUR": "blue"}


def test_a_column_of_a_custom_resource_shows_no_covered_value(prod: Clustered) -> None:
    crds, made = (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        f"/apis/example.com/v1/namespaces/{prod.namespace}/gauges",
    )
    prod.cluster.call("POST", crds, CRD)
    try:
        prod.cluster.kubectl("wait", "--for=condition=Established", "crd/gauges.example.com", "--timeout=30s")
        one = {"apiVersion": "example.com/v1", "kind": "Gauge", "metadata": {"name": "g"}, "spec": {"place": HOST}}
        prod.cluster.kubectl("create", "-n", prod.namespace, "-f", "-", stdin=json.dumps(one))
        assert prod.cluster.call("GET", f"{made}/g")["spec"]["place"] == HOST
        assert HOST in prod.cluster.kubectl("get", "gauges", "-n", prod.namespace)
        shown = prod.kubectl("get", "gauges")
        assert "g" in shown.split()
        assert HOST not in shown + prod.kubectl("get", "gauges", "-o", "yaml") + prod.kubectl("get", "gauges", "-A")
    finally:
        prod.cluster.call("DELETE", f"{crds}/gauges.example.com")


def test_who_decides_about_a_change_sees_that_and_not_the_value(prod: Clustered) -> None:
    prod.cluster.call("POST", f"/api/v1/namespaces/{prod.namespace}/configmaps", config("held"))
    patch = json.dumps({"data": {"db_host": OTHER, "colour": "blue"}})
    prod.refused("patch", "configmap", "held", "--type=merge", "-p", patch, options="+hold=answer")
    dana = prod.gateway.mint(sub="dana", kind="person", groups=["dba"])
    listed = prod.gateway.api("/api/v1/approvals?state=open", dana).json()["approvals"][0]
    told = prod.gateway.api(f"/api/v1/approvals/{listed['id']}", dana).text
    assert "colour: blue" in told
    assert HOST not in told
    assert OTHER not in told
    assert "db_host: <covered>" in json.loads(told)["preview"]["text"]
