"""Held changes of a real cluster: people see what they would do, and what they saw is what happens, or nothing does."""

from __future__ import annotations

import json
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.testbed.clustered import Clustered, cluster_target
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

RULES = """
@id("changes-need-dba")
@approvers("group:dba")
@reason("people look at what changes")
forbid (principal, action in [Action::"k8s.write", Action::"k8s.admin"], resource)
unless { context.approved };

@id("streams-need-dba")
@approvers("group:dba")
@reason("people look at what is opened")
forbid (principal, action == Action::"k8s.portforward", resource)
unless { context.approved };

@id("held-changes-are-tried")
@reason("so that people see what changes")
forbid (principal, action == Action::"k8s.preview", resource)
when { principal.attested.contains("agent=sloth") };
"""
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("previews")
    target = cluster_target(cluster)
    gateway = LiveGateway(folder / "gateway", world, apis=[target], policies={"ring": RULES}, allows_all=True)
    yield gateway.start()
    assert "Traceback" not in gateway.log
    assert gateway.stop() == 0, gateway.log
    gateway.verified()


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    return Clustered(door, cluster, namespace, tmp_path)


@pytest.fixture
def client(prod: Clustered) -> Iterator[httpx.Client]:
    with prod.http() as made:
        yield made


def dana(prod: Clustered) -> str:
    return prod.gateway.mint(sub="dana", kind="person", groups=["dba"])


def where(prod: Clustered, resource: str = "configmaps", group: str = "") -> str:
    return f"{f'/apis/{group}/v1' if group else '/api/v1'}/namespaces/{prod.namespace}/{resource}"


def held(prod: Clustered, answer: httpx.Response) -> dict[str, Any]:
    """The request that a change becomes, whole."""
    assert answer.status_code in (202, 403), answer.text
    causes = {one["field"]: one["message"] for one in answer.json()["details"]["causes"]}
    assert causes["class"] == "wait", answer.text
    return dict(prod.gateway.api(f"/api/v1/approvals/{causes['approval']}", dana(prod)).json())


def latest(prod: Clustered) -> dict[str, Any]:
    """What was held last."""
    listed = prod.gateway.api("/api/v1/approvals?state=open", dana(prod)).json()["approvals"][0]
    return dict(prod.gateway.api(f"/api/v1/approvals/{listed['id']}", dana(prod)).json())


def latest_name(prod: Clustered) -> str:
    """On what."""
    listed = prod.gateway.api("/api/v1/approvals?state=open", dana(prod)).json()["approvals"]
    return str(listed[0]["resources"][0]) if listed else ""


def approve(prod: Clustered, found: dict[str, Any]) -> None:
    body = {"verdict": "approve", "reason": "seen", "digest": found["digest"]}
    answer = prod.gateway.send("POST", f"/api/v1/approvals/{found['id']}/vote", dana(prod), body)
    assert answer.status_code == 200, answer.text


def config(prod: Clustered, name: str = "settings", **data: str) -> dict[str, Any]:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"level": "info"}}
    return prod.cluster.call("POST", where(prod), body)


def touch(prod: Clustered, path: str) -> None:
    """Somebody else changes it."""
    answer = prod.cluster._admin.patch(
        path, content=json.dumps({"metadata": {"labels": {"by": "else"}}}), headers={"content-type": PATCHES["merge"]}
    )
    assert answer.is_success, answer.text


def deployment(prod: Clustered, name: str = "web", replicas: int = 1) -> str:
    """The path of one whose pods are never made: nothing of it changes by itself for long."""
    pod = {"containers": [{"name": "main", "image": "none"}], "nodeSelector": {"nowhere": "at-all"}}
    labels = {"matchLabels": {"app": name}}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    body = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"paused": True, "replicas": replicas, "selector": labels, "template": template},
    }  # fmt: skip
    path = where(prod, "deployments", "apps")
    prod.cluster.call("POST", path, body)
    settled(prod, f"{path}/{name}")
    return f"{path}/{name}"


def settled(prod: Clustered, path: str) -> None:
    """Its controllers have said what they have to say."""
    seen: list[str] = []

    def same() -> bool:
        seen.append(prod.cluster.call("GET", path)["metadata"]["resourceVersion"])
        return len(seen) > 4 and len(set(seen[-5:])) == 1

    assert wait_until(same, 20)


def there(prod: Clustered, path: str) -> bool:
    return prod.cluster._admin.get(path).is_success


def test_a_held_delete_shows_the_object_that_goes_and_deletes_that_one(prod: Clustered, client: httpx.Client) -> None:
    made = config(prod)
    path = f"{where(prod)}/settings"
    found = held(prod, client.delete(path, params={"propagationPolicy": "Foreground"}))
    preview = found["preview"]
    assert (preview["why"], preview["form"]) == ("", "goes")
    assert "level: info" in preview["text"]
    assert preview["notes"] == ["What it owns: Foreground."]
    assert "same version" in preview["promise"]
    assert "managedFields" not in preview["text"]
    assert there(prod, path)
    approve(prod, found)
    assert client.delete(path, params={"propagationPolicy": "Foreground"}).status_code == 200
    gone = prod.cluster._admin.get(path)
    assert gone.status_code == 404 or gone.json()["metadata"]["deletionTimestamp"]
    told = prod.cluster.audited(requestURI=f"{path}?propagationPolicy=Foreground")
    asked = next(one for one in told if one["verb"] == "delete")
    assert asked["impersonatedUser"]["username"] == "gatebook:agent-7"
    entries = prod.gateway.entries("preview", "preview.result", "action")
    tried = [one for one in entries if one["type"] == "preview"][-1]
    assert (tried["verb"], tried["ruling"]) == ("k8s.preview", "allow")
    uid = made["metadata"]["uid"]
    assert [one["held_to"]["uid"] for one in entries if one.get("held_to")][-2:] == [uid, uid]


@pytest.mark.parametrize("body", [b"", b'{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}'])
def test_what_was_changed_after_people_saw_it_is_not_deleted(prod: Clustered, client: httpx.Client, body: bytes) -> None:
    config(prod)
    path = f"{where(prod)}/settings"
    fields = {"content-type": "application/json"} if body else {}
    found = held(prod, client.request("DELETE", path, content=body, headers=fields))
    approve(prod, found)
    touch(prod, path)
    answer = client.request("DELETE", path, content=body, headers=fields)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert there(prod, path)
    again = held(prod, client.request("DELETE", path, content=body, headers=fields))
    assert again["id"] != found["id"]
    assert "by: else" in again["preview"]["text"]


def test_what_came_in_the_place_of_what_people_saw_is_not_deleted(prod: Clustered, client: httpx.Client) -> None:
    config(prod)
    path = f"{where(prod)}/settings"
    approve(prod, held(prod, client.delete(path)))
    prod.cluster.call("DELETE", path)
    config(prod, level="debug")
    assert client.delete(path).status_code == 409
    assert there(prod, path)


@pytest.mark.parametrize("patch", PATCHES)
def test_a_patch_shows_what_changes_and_falls_on_what_was_seen_alone(prod: Clustered, client: httpx.Client, patch: str) -> None:
    config(prod, name="patched")
    path = f"{where(prod)}/patched"
    content: Any = {"data": {"level": "debug"}}
    if patch == "apply":
        content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "patched"}, **content}
    elif patch == "json":
        content = [{"op": "replace", "path": "/data/level", "value": "debug"}]
    options = {"fieldManager": "ring", "force": "true"} if patch == "apply" else {}

    def send() -> httpx.Response:
        return client.patch(path, params=options, content=json.dumps(content), headers={"content-type": PATCHES[patch]})

    found = held(prod, send())
    lines = found["preview"]["text"].splitlines()
    assert found["preview"]["form"] == "diff", found["preview"]
    assert [line for line in lines if line[0] in "+-"] == ["-  level: info", "+  level: debug"]
    approve(prod, found)
    touch(prod, path)
    answer = send()
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict"), answer.text
    assert prod.cluster.call("GET", path)["data"] == {"level": "info"}
    approve(prod, held(prod, send()))
    assert send().status_code == 200
    assert prod.cluster.call("GET", path)["data"] == {"level": "debug"}


def test_an_update_falls_on_what_was_seen_alone(prod: Clustered, client: httpx.Client) -> None:
    made = config(prod)
    path = f"{where(prod)}/settings"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": "warn"}}
    approve(prod, held(prod, client.put(path, json=body)))
    touch(prod, path)
    assert client.put(path, json=body).status_code == 409
    approve(prod, held(prod, client.put(path, json=body)))
    assert client.put(path, json=body).status_code == 200
    assert prod.cluster.call("GET", path)["data"] == {"level": "warn"}
    stale = {**body, "metadata": {"name": "settings", "resourceVersion": made["metadata"]["resourceVersion"]}}
    assert "another version" in held(prod, client.put(path, json=stale))["preview"]["why"]


def test_a_held_scale_shows_from_how_many_to_how_many(prod: Clustered, client: httpx.Client) -> None:
    path = deployment(prod)
    body = json.dumps({"spec": {"replicas": 3}})
    send = lambda: client.patch(f"{path}/scale", content=body, headers={"content-type": PATCHES["merge"]})  # noqa: E731
    found = held(prod, send())
    assert found["verb"] == "k8s.scale"
    assert "-  replicas: 1\n+  replicas: 3" in found["preview"]["text"]
    approve(prod, found)
    assert send().status_code == 200
    assert prod.cluster.call("GET", path)["spec"]["replicas"] == 3


def test_kubectl_scales_what_people_saw(prod: Clustered) -> None:
    path = deployment(prod, "shop")
    done = prod.run("kubectl", "scale", "deployment", "shop", "--replicas=2")
    assert done.returncode != 0
    found = latest(prod)
    assert "+  replicas: 2" in found["preview"]["text"]
    approve(prod, found)
    assert "scaled" in prod.kubectl("scale", "deployment", "shop", "--replicas=2")
    assert prod.cluster.call("GET", path)["spec"]["replicas"] == 2


def test_what_secrets_hold_is_in_no_preview_and_that_it_changes_is_said(prod: Clustered, client: httpx.Client) -> None:
    prod.cluster.secret(prod.namespace, "db", password="correct horse battery", user="shop")
    path = f"{where(prod, 'secrets')}/db"
    content = json.dumps({"stringData": {"password": "staple staple staple"}})
    found = held(prod, client.patch(path, content=content, headers={"content-type": PATCHES["merge"]}))
    text = json.dumps(found)
    for value in ("correct horse", "staple"):
        assert value not in text
        assert b64encode(value.encode()).decode()[:10] not in text
    assert "gbk_" not in found["preview"]["text"]
    changed = [line for line in found["preview"]["text"].splitlines() if line.startswith("+")]
    assert len(changed) == 1
    assert "password: <covered, and another than before>" in changed[0]


def test_what_the_server_adds_is_shown(prod: Clustered, client: httpx.Client) -> None:
    body = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }  # fmt: skip
    found = held(prod, client.post(where(prod, "pods"), json=body))
    preview = found["preview"]
    assert preview["form"] == "comes", preview
    for added in ("restartPolicy: Always", "serviceAccountName: default", "kube-api-access-"):
        assert added in preview["text"]
        assert added not in found["text"]
    assert "uid" not in preview["text"]
    assert not there(prod, f"{where(prod, 'pods')}/p")
    approve(prod, found)
    assert client.post(where(prod, "pods"), json=body).status_code == 201


def test_what_the_server_refuses_is_said(prod: Clustered, client: httpx.Client) -> None:
    path = deployment(prod, "odd")
    body = json.dumps({"spec": {"selector": {"matchLabels": {"app": "other"}}}})
    found = held(prod, client.patch(path, content=body, headers={"content-type": PATCHES["merge"]}))
    why = found["preview"]["why"]
    assert why.startswith("the cluster refuses it as it is: 422 Invalid")
    assert "immutable" in why


def test_a_deletion_of_many_shows_their_names_and_is_off_when_they_are_others(prod: Clustered, client: httpx.Client) -> None:
    for number in range(3):
        config(prod, name=f"c{number}")
        touch(prod, f"{where(prod)}/c{number}")
    config(prod, name="other")
    send = lambda: client.delete(where(prod), params={"labelSelector": "by=else"})  # noqa: E731
    found = held(prod, send())
    preview = found["preview"]
    assert (preview["form"], preview["notes"][0]) == ("names", "3 objects would go.")
    assert preview["text"].splitlines() == [f"{prod.namespace}/c{number}" for number in range(3)]
    approve(prod, found)
    touch(prod, f"{where(prod)}/other")
    answer = send()
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "what was approved is not what would happen" in answer.json()["message"]
    assert all(there(prod, f"{where(prod)}/c{number}") for number in range(3))
    found = held(prod, send())
    assert found["preview"]["notes"][0] == "4 objects would go."
    approve(prod, found)
    assert send().status_code == 200
    assert not there(prod, f"{where(prod)}/other")


def test_an_apply_that_makes_an_object_falls_on_none_that_came_meanwhile(prod: Clustered, client: httpx.Client) -> None:
    path = f"{where(prod)}/fresh"
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fresh"}, "data": {"a": "1"}})
    headers = {"content-type": PATCHES["apply"]}
    send = lambda: client.patch(path, params={"fieldManager": "ring"}, content=body, headers=headers)  # noqa: E731
    found = held(prod, send())
    assert found["preview"]["form"] == "comes", found["preview"]
    approve(prod, found)
    config(prod, name="fresh", b="2")
    assert send().status_code == 409
    assert prod.cluster.call("GET", path)["data"] == {"b": "2"}
    prod.cluster.call("DELETE", path)
    approve(prod, held(prod, send()))
    assert send().status_code == 201


def test_an_eviction_is_of_the_pod_that_people_saw(prod: Clustered, client: httpx.Client) -> None:
    prod.cluster.new_pod(prod.namespace)
    path = f"{where(prod, 'pods')}/p"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": prod.namespace}}
    settled(prod, path)
    found = held(prod, client.post(f"{path}/eviction", json=body))
    assert (found["verb"], found["preview"]["form"]) == ("k8s.evict", "goes"), found["preview"]
    approve(prod, found)
    touch(prod, path)
    assert client.post(f"{path}/eviction", json=body).status_code == 409
    settled(prod, path)
    approve(prod, held(prod, client.post(f"{path}/eviction", json=body)))
    assert client.post(f"{path}/eviction", json=body).status_code == 201


def test_who_may_not_read_the_object_has_no_preview_and_people_hear_why(prod: Clustered) -> None:
    config(prod)
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["delete"]}]
    prod.cluster.allow("gatebook:blind", rules)
    with prod.http(prod.gateway.mint(sub="blind", groups=["others"])) as client:
        found = held(prod, client.delete(f"{where(prod)}/settings"))
    assert found["preview"]["why"].startswith("what is there cannot be read in the requester's place: 403 Forbidden")
    assert there(prod, f"{where(prod)}/settings")


def test_without_a_rule_for_it_nothing_is_tried(prod: Clustered) -> None:
    config(prod)
    with prod.http(prod.gateway.mint(sub="agent-7", agent="sloth")) as client:
        found = held(prod, client.delete(f"{where(prod)}/settings"))
    assert found["preview"]["why"].startswith("the policy does not let it be tried")


def test_what_no_dry_run_covers_says_so(prod: Clustered) -> None:
    prod.cluster.new_pod(prod.namespace)
    assert "once it is approved" in prod.refused("exec", "p", "--", "ls")
    found = latest(prod)
    assert found["verb"] == "k8s.exec"
    assert "nothing of it is held to anything" in found["preview"]["why"]
    approve(prod, found)
    assert prod.run("kubectl", "exec", "p", "--", "ls").returncode == 0


def test_a_kubectl_that_waits_deletes_what_people_saw_meanwhile(prod: Clustered) -> None:
    config(prod)
    outcome: list[subprocess.CompletedProcess[str]] = []
    command = ("kubectl", "delete", "configmap", "settings")
    waiting = threading.Thread(target=lambda: outcome.append(prod.run(*command, options="+hold=wait")))
    waiting.start()
    assert wait_until(lambda: latest_name(prod) == f"{prod.namespace}/configmaps/settings", 20)
    found = latest(prod)
    assert found["preview"]["form"] == "goes"
    approve(prod, found)
    waiting.join(30)
    assert outcome[0].returncode == 0, outcome[0].stderr
    assert not there(prod, f"{where(prod)}/settings")


def test_nothing_in_a_diff_moves_a_screen(prod: Clustered, client: httpx.Client) -> None:
    config(prod)
    path = f"{where(prod)}/settings"
    content = json.dumps({"data": {"level": "a\u202eb", "red": "\x1b[31m"}})
    found = held(prod, client.patch(path, content=content, headers={"content-type": PATCHES["merge"]}))
    told = latest(prod)
    assert told["id"] == found["id"]
    assert "\u202e" not in told["preview"]["text"]
    assert "-  level: info" in told["preview"]["text"]
