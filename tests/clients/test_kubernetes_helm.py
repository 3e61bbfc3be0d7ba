"""helm through a gateway that covers Secrets: releases are upgraded, rolled back and removed; nothing is lost, nothing told."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.testbed.clustered import Clustered, ring_gateway
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World

pytestmark = pytest.mark.real

PASSWORD, SECOND = "correct horse battery", "staple of another day"
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
data:
  password: {{ .Values.db.password | b64enc }}
stringData:
  user: {{ .Values.db.user | quote }}
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data:
  word: {{ .Values.word }}
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("helm"), world, cluster) as gateway:
        yield gateway
        assert "Traceback" not in gateway.log


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    return Clustered(door, cluster, namespace, tmp_path)


@pytest.fixture
def chart(tmp_path: Path) -> str:
    where = tmp_path / "chart"
    (where / "templates").mkdir(parents=True)
    (where / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "shop", "version": "1.0.0"}))
    (where / "values.yaml").write_text(yaml.safe_dump({"word": "one", "db": {"user": "shop", "password": ""}}))
    (where / "templates/secret.yaml").write_text(SECRET)
    (where / "templates/map.yaml").write_text(SETTINGS)
    (where / "templates/NOTES.txt").write_text("The password is {{ .Values.db.password }}.\n")
    return str(where)


def helm(prod: Clustered, *argv: str) -> str:
    done = prod.run("helm", *argv)
    assert done.returncode == 0, f"{argv}: {done.stderr}\n{prod.gateway.log[-3000:]}"
    assert all(one in str(argv) or one not in done.stdout + done.stderr for one in (PASSWORD, SECOND))
    return done.stdout


def real(prod: Clustered, name: str = "shop") -> dict[str, str]:
    """What the cluster's own Secret holds."""
    found = prod.cluster.call("GET", f"/api/v1/namespaces/{prod.namespace}/secrets/{name}")
    return {key: b64decode(value).decode() for key, value in found["data"].items()}


def release(prod: Clustered, version: int) -> dict[str, Any]:
    """What the cluster has of a release."""
    packed = real(prod, f"sh.helm.release.v1.shop.v{version}")["release"]
    found: dict[str, Any] = json.loads(gzip.decompress(b64decode(packed)))
    return found


def whole(prod: Clustered, version: int) -> None:
    """No trace of a cover in what the cluster has."""
    text = json.dumps(release(prod, version))
    assert "gbk_" not in text
    assert "gatebook" not in text
    assert "****" not in text


def test_a_release_is_upgraded_rolled_back_and_removed(prod: Clustered, chart: str) -> None:
    helm(prod, "install", "shop", chart, "--set", f"db.password={PASSWORD}")
    assert real(prod) == {"password": PASSWORD, "user": "shop"}
    first = release(prod, 1)
    assert PASSWORD in first["info"]["notes"]

    helm(prod, "upgrade", "shop", chart, "--set", f"db.password={SECOND},word=two")
    assert real(prod)["password"] == SECOND
    old = release(prod, 1)
    assert old["info"].pop("status") == "superseded"
    first["info"].pop("status")
    assert old == first, "the old release is as it was but for its status"
    whole(prod, 2)

    helm(prod, "rollback", "shop", "1")
    assert real(prod)["password"] == PASSWORD
    assert release(prod, 3)["config"] == first["config"]
    whole(prod, 3)
    assert [one["status"] for one in json.loads(helm(prod, "history", "shop", "-o", "json"))] == [
        "superseded", "superseded", "deployed",
    ]  # fmt: skip
    helm(prod, "uninstall", "shop", "--keep-history")
    assert release(prod, 3)["info"]["status"] == "uninstalled"
    whole(prod, 3)
    helm(prod, "uninstall", "shop")


def test_what_is_configured_is_used_again_unseen(prod: Clustered, chart: str) -> None:
    helm(prod, "install", "shop", chart, "--set", f"db.password={PASSWORD}")
    helm(prod, "upgrade", "shop", chart, "--reuse-values", "--set", "word=two")
    assert real(prod) == {"password": PASSWORD, "user": "shop"}
    assert release(prod, 2)["config"] == {"db": {"password": PASSWORD}, "word": "two"}
    assert "two" in prod.cluster.kubectl("get", "configmap", "shop", "-n", prod.namespace, "-o", "yaml")
    found = release(prod, 2)
    assert PASSWORD in b64decode(yaml.safe_load_all(found["manifest"]).__next__()["data"].get("password", "")).decode() or (
        b64encode(PASSWORD.encode()).decode() in found["manifest"]
    )


def test_what_a_release_holds_is_covered_wherever_helm_shows_it(prod: Clustered, chart: str) -> None:
    helm(prod, "install", "shop", chart, "--set", f"db.password={PASSWORD}")
    for argv in (("values",), ("values", "--all"), ("manifest",), ("notes",), ("all",), ("hooks",), ("metadata",)):
        assert b64encode(PASSWORD.encode()).decode() not in helm(prod, "get", *argv, "shop")
    assert "gbk_" in helm(prod, "get", "values", "shop")
    assert "word: one" in helm(prod, "get", "values", "--all", "shop")
    assert "# Source: shop/templates/secret.yaml" in helm(prod, "get", "manifest", "shop")
    assert "shop" in helm(prod, "list")
    assert "STATUS: deployed" in helm(prod, "status", "shop")


def test_a_release_of_somebody_else_is_not_put_back(prod: Clustered, chart: str) -> None:
    """Its covered values are of the run of who read it."""
    helm(prod, "install", "shop", chart, "--set", f"db.password={PASSWORD}")
    before = release(prod, 1)
    where = f"/api/v1/namespaces/{prod.namespace}/secrets/sh.helm.release.v1.shop.v1"
    with prod.http(prod.gateway.mint(sub="dana", kind="person", groups=["agents"])) as client:
        answer = client.get(where)
        assert answer.status_code == 200, answer.text
        shown = answer.json()
    with prod.http() as client:
        answer = client.put(where, json=shown)
    assert answer.status_code == 403, answer.text
    assert "token of another run" in answer.json()["message"]
    assert release(prod, 1) == before
