"""Whatever kubectl does through the gateway ends and prints as it does directly, the cluster's own errors among it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.clustered import Clustered, ring_gateway
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.twice import Twice

pytestmark = pytest.mark.real

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: none, command: [sleep, infinity]}]
"""
CHANGED = WEB.replace("replicas: 2", "replicas: 3").replace("image: none", "image: other")
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"of": "each"}},
    "spec": {"containers": [{"name": "main", "image": "none", "command": ["sleep", "infinity"]}]},
}
BEGINS = ("sh", "-c", "echo it has begun; exec sleep infinity")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("kubectl"), world, cluster) as gateway:
        yield gateway


@pytest.fixture
def twice(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Twice]:
    made = Twice.of(Clustered(door, cluster, namespace, tmp_path))
    yield made
    cluster.remove_namespace(made.other)


@pytest.fixture
def pods(twice: Twice) -> Twice:
    """With a pod in both."""
    for namespace in (twice.through.namespace, twice.other):
        twice.through.cluster.new_pod(namespace, command=BEGINS)
    return twice


def test_pods_are_shown_in_every_form(pods: Twice) -> None:
    assert "Running" in pods.same("get", "pods")
    for form in ("wide", "json", "yaml", "name", "jsonpath={.items[*].metadata.name}", "custom-columns=N:.metadata.name"):
        pods.same("get", "pods", "-o", form)
    for option in ("--chunk-size=1", "--sort-by=.metadata.name", "--show-labels", "--show-kind", "--subresource=status"):
        pods.same("get", "pod", *(("p",) if "subresource" in option else ()), option)
    pods.same("get", "pods", "-l", "a=b", "--field-selector", "status.phase=Running")
    pods.same("get", "all,events,secrets,configmaps,forecasts")
    assert "Name: p" in pods.same("describe", "pod", "p")
    pods.same("events")


def test_pods_of_all_namespaces_are_shown(pods: Twice) -> None:
    shown = pods.through.kubectl("get", "pods", "-A", "--field-selector=metadata.name=p")
    assert pods.through.namespace in shown
    assert pods.other in shown


def test_what_the_api_is_like_is_told(twice: Twice) -> None:
    for argv in (
        ("api-resources", "-o", "name"), ("api-versions",), ("version",), ("explain", "pod.spec.containers"),
        ("explain", "deployments", "--recursive"), ("get", "--raw", "/version"),
        ("get", "--raw", "/healthz"), ("get", "--raw", "/apis"), ("get", "nodes", "-o", "name"), ("get", "csr"),
        ("auth", "can-i", "delete", "pods"),
    ):  # fmt: skip
        twice.same(*argv)
    listed = [set(printed.splitlines()) for _, printed, _ in twice.both("auth", "can-i", "--list").values()]
    assert listed[0] == listed[1], "in any order, and once for each role that says so"
    assert len(listed[0]) > 3


def test_the_errors_of_the_cluster_are_passed_as_they_are(pods: Twice) -> None:
    for argv in (
        ("get", "pod", "missing"), ("get", "nothing"), ("get", "--raw", "/nothing"), ("top", "pods"), ("top", "nodes"),
        ("delete", "namespace", "missing"), ("certificate", "approve", "missing"), ("logs", "missing"),
        ("exec", "missing", "--", "echo", "x"), ("exec", "p", "-c", "other", "--", "echo", "x"),
        ("exec", "p", "--", "no-such-program"), ("attach", "missing"), ("port-forward", "missing", "0:80"),
        ("wait", "pod/p", "--for=delete", "--timeout=1s"), ("rollout", "status", "deployment/missing"),
        ("patch", "pod", "p", "-p", '{"spec":{"containers":[{"name":"main","command":["x"]}]}}'),
        ("patch", "pod", "p", "-p", '{"metadata":{"resourceVersion":"1"}}'),
        ("patch", "pod", "p", "--type=json", "-p", '[{"op":"test","path":"/metadata/name","value":"q"}]'),
        ("patch", "pod", "p", "--type=json", "-p", '[{"op":"remove","path":"/metadata/nothing"}]'),
        ("scale", "deployment", "missing", "--replicas=1"),
    ):  # fmt: skip
        found = pods.both(*argv)
        assert found["through"] == found["direct"], argv
        assert found["direct"][0] != 0, argv
    pods.same("create", "-f", "-", stdin=WEB)
    assert "AlreadyExists" in pods.same("create", "-f", "-", stdin=WEB, ends=1)
    assert "Invalid" in pods.same("apply", "-f", "-", stdin=WEB.replace("name: web", "name: WEB"), ends=1)
    assert "strict decoding error" in pods.same("apply", "-f", "-", stdin=WEB + "  nothing: 1\n", ends=1)


def test_manifests_are_applied_compared_and_edited(twice: Twice) -> None:
    assert "created" in twice.same("apply", "-f", "-", stdin=WEB)
    assert "unchanged" in twice.same("apply", "-f", "-", stdin=WEB)
    twice.same("rollout", "status", "deployment/web", "--timeout=30s")
    assert "+ replicas: 3" in twice.same("diff", "-f", "-", stdin=CHANGED, ends=1)
    assert "(server dry run)" in twice.same("apply", "--dry-run=server", "-f", "-", stdin=CHANGED)
    assert "configured" in twice.same("apply", "-f", "-", stdin=CHANGED)
    assert "serverside-applied" in twice.same("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=WEB)
    compared = twice.both("diff", "--server-side", "--force-conflicts", "-f", "-", stdin=CHANGED)
    for status, printed, complaint in compared.values():  # lines around a change are the controllers', which go on meanwhile
        assert (status, complaint) == (1, "")
        assert "+ replicas: 3" in printed
    assert "conflict" in twice.same("apply", "--server-side", "--field-manager=x", "-f", "-", stdin=CHANGED, ends=1)
    assert "replaced" in twice.same("replace", "-f", "-", stdin=WEB)
    editor = twice.through.folder / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/^  replicas: .*/  replicas: 1/' \"$1\"\n")
    editor.chmod(0o755)
    assert "edited" in twice.same("edit", "deployment", "web", KUBE_EDITOR=str(editor))
    assert twice.same("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "1"


def test_workloads_are_changed(twice: Twice) -> None:
    twice.same("apply", "-f", "-", stdin=WEB)
    web = ("deployment", "web")
    for argv in (
        ("rollout", "status", *web, "--timeout=30s"), ("patch", *web, "-p", '{"spec":{"replicas":1}}'),
        ("patch", *web, "--type=merge", "-p", '{"spec":{"replicas":2}}'),
        ("patch", *web, "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":1}]'),
        ("label", *web, "x=y"), ("label", *web, "x-"), ("annotate", *web, "x=y"), ("set", "env", *web, "A=b"),
        ("set", "image", *web, "main=third"), ("scale", *web, "--replicas=3"), ("expose", *web, "--port=80"),
        ("wait", "deployment/web", "--for=condition=Available", "--timeout=30s"),
        ("rollout", "restart", *web), ("rollout", "history", *web), ("rollout", "undo", *web),
        ("rollout", "pause", *web), ("rollout", "resume", *web), ("delete", *web, "--cascade=foreground"),
        ("delete", "service", "web"), ("run", "q", "--image=none", "--command", "--", "sleep", "infinity"),
        ("wait", "pod/q", "--for=condition=Ready", "--timeout=30s"),
        ("debug", "q", "--image=none", "--container=d", "--attach=false", "--", "sleep", "infinity"),
        ("delete", "pod", "q", "--wait", "--grace-period=1"), ("delete", "pods", "--all"),
    ):  # fmt: skip
        twice.same(*argv)


def test_nodes_are_closed_and_emptied(pods: Twice) -> None:
    through = pods.through
    assert "cordoned (server dry run)" in through.kubectl("cordon", "testbed", "--dry-run=server")
    assert "already uncordoned" in through.kubectl("uncordon", "testbed")
    selected = ("--pod-selector=nothing=here", "--ignore-daemonsets")
    assert "drained" in through.kubectl("drain", "testbed", "--dry-run=server", *selected)


@pytest.fixture
def leaving(twice: Twice) -> Iterator[tuple[Twice, str]]:
    """A node of this test's own; in both namespaces it has a pod that a budget cannot spare, and one of a DaemonSet."""
    cluster, node = twice.through.cluster, f"leaving-{secrets.token_hex(4)}"
    cluster.call("POST", "/api/v1/nodes", {"metadata": {"name": node}})
    for namespace in (twice.through.namespace, twice.other):
        body = {"metadata": {"name": "each"}, "spec": {"selector": {"matchLabels": {"of": "each"}}, "template": TEMPLATE}}
        made = cluster.call("POST", f"/apis/apps/v1/namespaces/{namespace}/daemonsets", body)
        uid = made["metadata"]["uid"]
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "each", "uid": uid, "controller": True}
        for name, owners in (("app", []), ("each", [owner])):
            metadata = {"name": name, "labels": {"of": name}, "ownerReferences": owners}
            where = f"/api/v1/namespaces/{namespace}/pods"
            cluster.call("POST", where, {"metadata": metadata, "spec": TEMPLATE["spec"] | {"nodeName": node}})
            running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            found = cluster.call("GET", f"{where}/{name}")
            cluster.call("PUT", f"{where}/{name}/status", found | {"status": running})
        budget = {"metadata": {"name": "all"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"of": "app"}}}}
        where = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
        kept = cluster.call("POST", where, budget)
        none = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
        cluster.call("PUT", f"{where}/all/status", kept | {"status": none})
    yield twice, node
    cluster.call("DELETE", f"/api/v1/nodes/{node}")


def test_a_node_is_drained_as_far_as_budgets_let_it(leaving: tuple[Twice, str]) -> None:
    twice, node = leaving
    through = twice.through
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "app"}}
    with through.http() as ours, through.cluster.client() as theirs:
        told = ours.post(f"/api/v1/namespaces/{through.namespace}/pods/app/eviction", json=eviction)
        direct = theirs.post(f"/api/v1/namespaces/{twice.other}/pods/app/eviction", json=eviction)
    assert (told.status_code, told.headers.get("retry-after")) == (429, direct.headers.get("retry-after"))
    assert told.json() == direct.json()
    assert told.json()["reason"] == "TooManyRequests"
    drain = ("drain", node, "--force", "--grace-period=0", "--pod-selector=of", "--timeout=1s")
    assert "cannot delete DaemonSet-managed Pods" in through.refused(*drain)
    assert "violate the pod's disruption budget" in through.refused(*drain, "--ignore-daemonsets")
    for namespace in (through.namespace, twice.other):
        through.cluster.call("DELETE", f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/all")
    done = through.kubectl(*drain[:-1], "--ignore-daemonsets", "--timeout=30s")
    assert "pod/app evicted" in done
    assert f"node/{node} drained" in done
    assert through.kubectl("get", "pods", "-o", "name") == "pod/each\n"
    assert "uncordoned" in through.kubectl("uncordon", node)
