"""The demo's Kubernetes cluster: a real API server with a shop in it, and the gateway's own account there.

It is one program that a checkout builds (``scripts/kubernetes``); ``make demo ACTS=kubernetes`` does that first. Pods are local
processes. The gateway's account may be anybody of the shop, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.processes import PartError, Roster, wait_until, write_private

NAMESPACE = "shop"
PASSWORD = "correct-horse-battery-staple"
START_SECONDS = 90.0
RBAC = "rbac.authorization.k8s.io"
ACCOUNTS = "/api/v1/namespaces/kube-system/serviceaccounts"
_APPROVAL = re.compile(r"/approvals/([0-9a-f-]{36})")
TOLD = ("session", "on-behalf-of")  # what else the gateway tells the cluster of who asks


def programs() -> Path:
    """Where the cluster's programs are. Raises PartError."""
    folder = Path(os.environ.get("GATEBOOK_KUBERNETES") or ".cache/kubernetes").absolute()
    if not (folder / "testbed").exists():
        raise PartError(
            f"no Kubernetes in {folder}: run scripts/kubernetes in a checkout of Gatebook, which takes minutes, once"
        )
    return folder


class Cluster:
    """A running cluster; ``start`` it first. The roster ends it."""

    def __init__(self, folder: Path, roster: Roster) -> None:
        self.folder, self._roster = folder, roster
        self._programs = programs()

    def start(self) -> None:
        """Start it, and put a shop into it."""
        self.folder.mkdir(mode=0o700)
        argv = [str(self._programs / "testbed"), "serve", "--dir", str(self.folder)]
        log = self.folder.parent / "kubernetes.log"
        running = self._roster.start("kubernetes", argv, log=log, env=self._environment(), cwd=self.folder)
        came = wait_until(lambda: not running.alive or (self.folder / "ready").exists(), START_SECONDS)
        if not came or not running.alive:
            raise PartError(f"Kubernetes did not start; {log} says why")
        self._make_shop()

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8"}

    # Where it is ----------------------------------------------------------------------------------------------------------

    @property
    def ca(self) -> Path:
        """The authority of its certificates."""
        return self.folder / "pki" / "ca.crt"

    @property
    def url(self) -> str:
        """Its API server."""
        found = yaml.safe_load((self.folder / "admin.kubeconfig").read_text())
        return str(found["clusters"][0]["cluster"]["server"])

    @property
    def kubectl(self) -> str:
        """An unmodified kubectl."""
        return str(self._programs / "kubectl")

    def run(self, kubeconfig: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Answer:
        """kubectl, by this kubeconfig."""
        surroundings = {**self._environment(), "KUBECONFIG": str(kubeconfig), **(env or {})}
        return run([self.kubectl, *arguments], surroundings, stdin=stdin)

    # What is in it --------------------------------------------------------------------------------------------------------

    def get(self, path: str) -> dict[str, Any] | None:
        """What is there, read straight at the cluster; None for nothing."""
        with self._client() as client:
            answer = client.get(path)
        return None if answer.status_code == 404 else dict(answer.json())

    def _client(self) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.ca))
        trust.load_cert_chain(self.folder / "pki" / "admin.crt", self.folder / "pki" / "admin.key")
        return httpx.Client(base_url=self.url, verify=trust, trust_env=False, timeout=20)

    def _make_shop(self) -> None:
        with self._client() as client:

            def post(path: str, made: dict[str, Any]) -> dict[str, Any]:
                answer = client.post(path, json=made)
                if not answer.is_success:
                    raise PartError(f"the cluster does not take {path}: {answer.text[:300]}")
                return dict(answer.json())

            post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
            account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
            if not wait_until(lambda: client.get(account).is_success, 20):
                raise PartError("the cluster's controllers do not work")
            within = f"/api/v1/namespaces/{NAMESPACE}"
            secret = {"metadata": {"name": "database"}, "data": {"password": b64encode(PASSWORD.encode()).decode()}}
            post(f"{within}/secrets", secret)
            post(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", _deployment())
            _let_in(post)
            made = post(
                "/api/v1/namespaces/kube-system/serviceaccounts/gatebook/token", {"spec": {"expirationSeconds": 86_400}}
            )
            write_private(self.folder / "gateway.token", made["status"]["token"])
            pods = f"{within}/pods?labelSelector=app%3Dweb"
            if not wait_until(lambda: _running(client.get(pods).json()), 30):
                raise PartError("the shop's pod does not run")

    def target(self, name: str) -> dict[str, object]:
        """The cluster as the gateway's configuration has it."""
        role = {"bearer": f"file:{self.folder / 'gateway.token'}", "impersonate": {}}
        return {
            "name": name,
            "protocol": "kubernetes",
            "servers": [self.url],
            "tls": {"ca": str(self.ca)},
            "roles": {"gateway": role},
            "default_role": "gateway",
            "labels": {"env": "production"},
        }


def _deployment() -> dict[str, Any]:
    container = {
        "name": "web",
        "image": "shop-web:1.4",
        "command": ["sleep", "infinity"],
        "env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}}],
    }
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def _let_in(post: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
    """The gateway's account, which may be somebody else, and the agent, who may do what is of the shop."""
    post(ACCOUNTS, {"metadata": {"name": "gatebook"}})
    extras = [f"userextras/gatebook.dev/{name}" for name in TOLD]
    rules = [
        {"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": extras, "verbs": ["impersonate"]},
    ]
    post(f"/apis/{RBAC}/v1/clusterroles", {"metadata": {"name": "gatebook"}, "rules": rules})
    gateway = {"kind": "ServiceAccount", "name": "gatebook", "namespace": "kube-system"}
    of = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "gatebook"}
    post(f"/apis/{RBAC}/v1/clusterrolebindings", {"metadata": {"name": "gatebook"}, "roleRef": of, "subjects": [gateway]})
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    where = f"/apis/{RBAC}/v1/namespaces/{NAMESPACE}"
    post(f"{where}/roles", {"metadata": {"name": "agents"}, "rules": everything})
    agents = {"apiGroup": RBAC, "kind": "Group", "name": "gatebook:agents"}
    of = {"apiGroup": RBAC, "kind": "Role", "name": "agents"}
    post(f"{where}/rolebindings", {"metadata": {"name": "agents"}, "roleRef": of, "subjects": [agents]})


def _running(listed: dict[str, Any]) -> bool:
    pods = listed.get("items", [])
    return bool(pods) and all(one["status"].get("phase") == "Running" for one in pods)


def approval_in(said: str) -> str:
    """The id of the request that a refusal names."""
    found = _APPROVAL.search(said)
    if found is None:
        raise PartError(f"no approval is named:\n{said}")
    return found[1]


def objects(text: str) -> dict[str, Any]:
    """JSON that kubectl printed."""
    try:
        return dict(json.loads(text))
    except ValueError:
        raise PartError(f"kubectl printed no JSON:\n{text}") from None
