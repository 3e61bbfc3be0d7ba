"""What Secrets, environments, logs and commands say is covered in every form in which a cluster shows it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.testbed.clustered import Clustered, ring_gateway
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World

pytestmark = pytest.mark.real

SECRET = "correct horse battery"
ENCODED = b64encode(SECRET.encode()).decode()
PATCHES = {
    "application/merge-patch+json": {"metadata": {"labels": {"a": "b"}}},
    "application/strategic-merge-patch+json": {"metadata": {"labels": {"a": "c"}}},
    "application/json-patch+json": [{"op": "add", "path": "/metadata/labels", "value": {"a": "d"}}],
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("secrets"), world, cluster) as gateway:
        yield gateway


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    """A cluster in which a Secret was applied, so that an annotation has its values once more."""
    made = Clustered(door, cluster, namespace, tmp_path)
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": SECRET}}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
    return made


def hidden(text: str) -> None:
    assert SECRET not in text
    assert ENCODED not in text


def test_a_secret_is_covered_in_every_form_of_an_answer(prod: Clustered) -> None:
    for form in ("json", "yaml", "jsonpath={.items[*].data}", "go-template={{range .items}}{{.data}}{{end}}"):
        managed = ("--show-managed-fields",) if form in ("json", "yaml") else ()
        shown = prod.kubectl("get", "secrets", "-o", form, *managed)
        hidden(shown)
        assert "data" not in form or "password" in shown
    hidden(prod.kubectl("describe", "secret", "db"))
    where = f"/api/v1/namespaces/{prod.namespace}/secrets"
    with prod.http() as client:
        for kind in ("Table", "PartialObjectMetadataList"):
            answer = client.get(where, headers={"Accept": f"application/json;as={kind};v=v1;g=meta.k8s.io"})
            assert answer.json()["kind"] == kind
            assert "last-applied-configuration" in answer.text
            hidden(answer.text)
        for query in ("watch=true", "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"):
            answer = client.get(f"{where}?{query}&allowWatchBookmarks=true&timeoutSeconds=1")
            assert '"db"' in answer.text
            hidden(answer.text)


def test_what_writing_a_secret_answers_is_covered(prod: Clustered) -> None:
    where = f"/api/v1/namespaces/{prod.namespace}/secrets/db"
    applied = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "type": "Opaque"}
    with prod.http() as client:
        for dry in ("", "?dryRun=All"):
            for kind, patch in PATCHES.items():
                answer = client.patch(where + dry, content=json.dumps(patch), headers={"Content-Type": kind})
                assert answer.status_code == 200, answer.text
                assert "password" in answer.json()["data"]
                hidden(answer.text)
            joint = "&" if dry else "?"
            kind = "application/apply-patch+yaml"
            target = f"{where}{dry}{joint}fieldManager=ring&force=true"
            answer = client.patch(target, content=yaml.safe_dump(applied), headers={"Content-Type": kind})
            assert answer.status_code == 200, answer.text
            hidden(answer.text)
        hidden(client.delete(where).text)


def test_environments_and_configmaps_are_covered_by_their_names(prod: Clustered) -> None:
    env = [{"name": "DB_PASSWORD", "value": "hunter22hunter"}, {"name": "HOME", "value": "/home/plain"}]
    prod.cluster.new_pod(prod.namespace, env=env)
    where = f"/api/v1/namespaces/{prod.namespace}"
    config = {"metadata": {"name": "c"}, "data": {"db_password": "hunter22hunter", "colour": "green", "port": "8080"}}
    prod.cluster.call("POST", f"{where}/configmaps", config)
    for form in ("json", "yaml"):
        pod = prod.kubectl("get", "pod", "p", "-o", form)
        assert "hunter22" not in pod
        assert "/home/plain" in pod
        shown = prod.kubectl("get", "configmap", "c", "-o", form)
        assert "hunter22" not in shown
        assert "green" in shown
    assert "hunter22" not in prod.kubectl("describe", "pod", "p") + prod.kubectl("describe", "configmap", "c")
    found = json.loads(prod.kubectl("get", "pod", "p", "-o", "json"))
    assert isinstance(found["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], int)


def test_logs_and_output_of_commands_are_covered(prod: Clustered) -> None:
    prod.cluster.new_pod(prod.namespace, command=("sh", "-c", "echo DB_PASSWORD=hunter22hunter; exec sleep infinity"))
    assert "hunter22" not in prod.kubectl("logs", "p")
    for transport in ("true", "false"):
        how = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": transport}
        shown = prod.kubectl(
            "exec", "p", "--", "sh", "-c", "printf DB_PASS; printf 'WORD=hunter22hunter\\n'; echo plain", **how
        )
        assert "hunter22" not in shown
        assert "plain" in shown


def test_a_text_of_which_a_part_is_covered_is_never_written_back(prod: Clustered) -> None:
    where = f"/api/v1/namespaces/{prod.namespace}/configmaps"
    real = {"url": "postgres://app:hunter22hunter@db/shop", "size": "1"}
    prod.cluster.call("POST", where, {"metadata": {"name": "app"}, "data": real})
    shown = json.loads(prod.kubectl("get", "configmap", "app", "-o", "json"))
    assert "hunter22" not in shown["data"]["url"]
    shown["metadata"] = {"name": "app"}
    assert "covered value" in prod.refused("replace", "-f", "-", stdin=json.dumps(shown))
    assert prod.cluster.call("GET", f"{where}/app")["data"] == real
    prod.kubectl("patch", "configmap", "app", "--type=merge", "-p", '{"data": {"size": "2"}}')
    assert prod.cluster.call("GET", f"{where}/app")["data"] == real | {"size": "2"}


def test_what_was_redacted_is_never_written_back(prod: Clustered) -> None:
    """A value beyond what a token may hold."""
    large = b64encode(b"x" * 40_000).decode()
    where = f"/api/v1/namespaces/{prod.namespace}/secrets"
    prod.cluster.call("POST", where, {"metadata": {"name": "large"}, "data": {"whole": large}})
    shown = json.loads(prod.kubectl("get", "secret", "large", "-o", "json"))
    assert "xxxx" not in b64decode(shown["data"]["whole"]).decode()
    shown["metadata"] = {"name": "large"}
    complaint = prod.refused("replace", "-f", "-", stdin=json.dumps(shown))
    assert "Error from server" in complaint
    assert prod.cluster.call("GET", f"{where}/large")["data"]["whole"] == large
