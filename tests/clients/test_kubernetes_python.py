"""The official Python client through a gateway: lists, watches, commands in pods, and objects by their kind alone."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from tests.testbed.clustered import Clustered, ring_gateway
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # it leaves connections to the collector
]

RULES = """
@id("ring")
@reason("the ring does what it likes")
permit (principal in Group::"agents", action in [Action::"k8s"], resource);

@id("no-deleting")
@reason("nothing is deleted here")
forbid (principal, action == Action::"k8s.delete", resource);
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("python"), world, cluster, policies={"ring": RULES}) as gateway:
        yield gateway


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    return Clustered(door, cluster, namespace, tmp_path)


@pytest.fixture
def api(prod: Clustered) -> Iterator[Any]:
    with config.new_client_from_config(str(prod.kubeconfig())) as made:
        yield made


def test_objects_are_made_listed_and_changed(prod: Clustered, api: Any) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(prod.namespace, {"metadata": {"name": "settings"}, "data": {"colour": "green"}})
    assert "settings" in [one.metadata.name for one in core.list_namespaced_config_map(prod.namespace).items]
    changed = core.patch_namespaced_config_map("settings", prod.namespace, {"data": {"colour": "blue"}})
    assert changed.data == {"colour": "blue"}
    prod.cluster.secret(prod.namespace, "db", password="correct horse battery")
    shown = core.read_namespaced_secret("db", prod.namespace)
    assert b64decode(shown.data["password"]).startswith(b"gbk_")
    copy = client.V1Secret(metadata=client.V1ObjectMeta(name="copy"), data=shown.data)
    assert core.create_namespaced_secret(prod.namespace, copy).metadata.name == "copy"
    real = prod.cluster.call("GET", f"/api/v1/namespaces/{prod.namespace}/secrets/copy")
    assert b64decode(real["data"]["password"]) == b"correct horse battery"


def test_a_refusal_is_the_clients_own_error(prod: Clustered, api: Any) -> None:
    prod.cluster.call("POST", f"/api/v1/namespaces/{prod.namespace}/configmaps", {"metadata": {"name": "settings"}})
    with pytest.raises(ApiException) as caught:
        client.CoreV1Api(api).delete_namespaced_config_map("settings", prod.namespace)
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")
    assert "nothing is deleted here" in caught.value.body


def test_what_changes_is_watched(prod: Clustered, api: Any) -> None:
    core, watcher = client.CoreV1Api(api), watch.Watch()
    core.create_namespaced_config_map(prod.namespace, {"metadata": {"name": "first"}})
    seen: list[tuple[str, str]] = []
    for event in watcher.stream(core.list_namespaced_config_map, prod.namespace, timeout_seconds=30):
        seen.append((event["type"], event["object"].metadata.name))
        if seen[-1] == ("ADDED", "first"):
            core.create_namespaced_config_map(prod.namespace, {"metadata": {"name": "second"}})
        if seen[-1][1] == "second":
            watcher.stop()
    assert ("ADDED", "second") in seen


def test_commands_run_in_pods(prod: Clustered, api: Any) -> None:
    prod.cluster.new_pod(prod.namespace)
    run = client.CoreV1Api(api).connect_get_namespaced_pod_exec
    options: dict[str, Any] = {"stderr": True, "stdin": False, "stdout": True, "tty": False}
    assert stream(run, "p", prod.namespace, command=["echo", "hello"], **options) == "hello\n"
    said = stream(run, "p", prod.namespace, command=["cat"], **(options | {"stdin": True}), _preload_content=False)
    said.write_stdin("a line\n")
    assert said.readline_stdout(timeout=30) == "a line"
    said.close()


def test_objects_are_applied_by_their_kind_alone(prod: Clustered, api: Any) -> None:
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "b"}}
    maps.server_side_apply(body=body, name="applied", namespace=prod.namespace, field_manager="ring")
    assert maps.get(name="applied", namespace=prod.namespace).data.a == "b"
    assert "applied" in [one.metadata.name for one in maps.get(namespace=prod.namespace).items]
