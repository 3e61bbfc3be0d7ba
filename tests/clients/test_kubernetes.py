"""kubectl through a gateway to a real cluster: every command becomes an action, and comes back as it would have without."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.testbed.clustered import Clustered, ring_gateway
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("kubernetes"), world, cluster) as gateway:
        yield gateway


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    return Clustered(door, cluster, namespace, tmp_path)


def test_reading_goes_through(prod: Clustered) -> None:
    prod.cluster.new_pod(prod.namespace)
    assert "Running" in prod.kubectl("get", "pods")
    assert "Name:" in prod.kubectl("describe", "pod", "p")
    found = json.loads(prod.kubectl("get", "pod", "p", "-o", "json"))
    assert found["spec"]["containers"][0]["command"] == ["sleep", "infinity"]
    assert "deployments" in prod.kubectl("api-resources")
    assert "KIND:" in prod.kubectl("explain", "pod")
    assert "Server Version" in prod.kubectl("version")


def test_a_secret_is_never_seen_and_is_copied_all_the_same(prod: Clustered) -> None:
    prod.cluster.secret(prod.namespace, "db", password="correct horse battery")
    shown = yaml.safe_load(prod.kubectl("get", "secret", "db", "-o", "yaml"))
    token = b64decode(shown["data"]["password"])
    assert token.startswith(b"gbk_")
    shown["metadata"] = {"name": "copy"}
    prod.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(shown))
    real = prod.cluster.call("GET", f"/api/v1/namespaces/{prod.namespace}/secrets/copy")
    assert b64decode(real["data"]["password"]) == b"correct horse battery"
    assert b"correct horse" not in prod.kubectl("get", "secret", "copy", "-o", "json").encode()


def test_changing_goes_through(prod: Clustered) -> None:
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "none", "command": ["sleep", "infinity"]}]},
            },
        },
    }  # fmt: skip
    text = yaml.safe_dump(deployment)
    assert "created" in prod.kubectl("apply", "-f", "-", stdin=text)
    assert "unchanged" in prod.kubectl("apply", "-f", "-", stdin=text)
    assert "serverside-applied" in prod.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    assert "scaled" in prod.kubectl("scale", "deployment", "web", "--replicas=2")
    assert "patched" in prod.kubectl("patch", "deployment", "web", "-p", '{"metadata":{"labels":{"a":"b"}}}')
    assert "successfully rolled out" in prod.kubectl("rollout", "status", "deployment", "web", "--timeout=30s")
    assert "deleted" in prod.kubectl("delete", "deployment", "web")


def test_commands_run_in_pods(prod: Clustered) -> None:
    prod.cluster.new_pod(prod.namespace)
    assert prod.kubectl("exec", "p", "--", "echo", "hello").strip() == "hello"
    assert prod.kubectl("exec", "-i", "p", "--", "cat", stdin="a line\n") == "a line\n"
    done = prod.run("kubectl", "exec", "p", "--", "sh", "-c", "exit 7")
    assert done.returncode == 7
    spdy = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
    assert prod.kubectl("exec", "p", "--", "echo", "by spdy", **spdy).strip() == "by spdy"


def test_the_cluster_knows_who_asked(prod: Clustered) -> None:
    with prod.http() as client:
        answer = client.get(f"/api/v1/namespaces/{prod.namespace}/configmaps")
    assert answer.status_code == 200, answer.text
    entry = prod.cluster.audited(auditID=answer.headers["audit-id"])[0]
    assert entry["impersonatedUser"]["username"] == "gatebook:agent-7"
    assert "gatebook.dev/session" in entry["impersonatedUser"]["extra"]


def test_impersonation_of_the_clients_own_is_refused(prod: Clustered) -> None:
    assert "impersonat" in prod.refused("get", "pods", "--as", "system:admin", "--as-group", "system:masters")
    with prod.http() as client:
        answer = client.get("/api/v1/namespaces", headers={"Impersonate-User": "root", "Impersonate-Group": "system:masters"})
    assert answer.status_code in (400, 403)
    assert answer.json()["kind"] == "Status"


def test_what_clients_send_as_protobuf_goes_through(prod: Clustered) -> None:
    prod.kubectl("create", "configmap", "settings", "--from-literal=color=blue")
    assert prod.kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.color}") == "blue"
    prod.kubectl("create", "secret", "generic", "db", "--from-literal=password=correct horse")
    made = prod.cluster.call("GET", f"/api/v1/namespaces/{prod.namespace}/secrets/db")
    assert b64decode(made["data"]["password"]) == b"correct horse"
    prod.kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    prod.kubectl("create", "job", "once", "--image=none", "--", "true")
    prod.kubectl("create", "serviceaccount", "robot")
    assert prod.kubectl("create", "token", "robot")
    assert prod.kubectl("auth", "can-i", "get", "pods").strip() == "yes"
    assert "gatebook:agent-7" in prod.kubectl("auth", "whoami")
    prod.kubectl("create", "deployment", "web", "--image=none", "--", "sleep", "infinity")
    prod.kubectl("autoscale", "deployment", "web", "--min=1", "--max=2", "--cpu=50%")
    prod.kubectl("set", "env", "deployment/web", "WORD=two")
    prod.kubectl("rollout", "undo", "deployment/web")


def test_files_are_copied_and_pods_debugged(prod: Clustered, tmp_path: Path) -> None:
    prod.cluster.new_pod(prod.namespace)
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(b"a file")
    prod.kubectl("cp", str(up), "p:file")
    prod.kubectl("cp", "p:file", str(down))
    assert down.read_bytes() == b"a file"
    prod.kubectl("debug", "p", "--image=none", "--container=look", "--target=main", "--", "true")


def test_a_pod_is_evicted(prod: Clustered) -> None:
    """As `kubectl drain` has it; a drain itself would close the node that all tests share."""
    prod.cluster.new_pod(prod.namespace)
    where = f"/api/v1/namespaces/{prod.namespace}/pods/p"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    with prod.http() as client:
        answer = client.post(f"{where}/eviction", json=body)
    assert answer.status_code == 201, answer.text
    assert prod.gateway.entries("action")[-1]["verb"] == "k8s.evict"


def test_helm_keeps_its_releases_in_secrets(prod: Clustered, tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "shop", "version": "1.0.0"}))
    (chart / "templates/map.yaml").write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop"}, "data": {"word": "one"}})
    )
    done = prod.run("helm", "install", "shop", str(chart))
    assert done.returncode == 0, f"{done.stderr}\n{prod.gateway.log[-3000:]}"
    assert "STATUS: deployed" in prod.cluster.run("helm", "status", "shop", "-n", prod.namespace).stdout


@pytest.mark.parametrize("form", ["json", "protobuf", "cbor"])
def test_client_go_gets_json_whatever_it_would_rather_have(prod: Clustered, form: str) -> None:
    prod.cluster.secret(prod.namespace, "first", word="correct horse")
    argv = ("watch", "--namespace", prod.namespace, "--kind", "secrets", "--form", form, "--count", "1")
    done = prod.run("testbed", *argv, KUBE_FEATURE_ClientsAllowCBOR="true")
    assert done.returncode == 0, done.stderr
    assert '"name":"first"' in done.stdout
