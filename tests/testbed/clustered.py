"""A gateway in front of the cluster, and unmodified clients of Kubernetes that go through it."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World

ALL = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]
TARGET = "prod"


def cluster_target(cluster: Cluster, **changes: Any) -> dict[str, Any]:
    """The cluster as a target: a certificate that may be anybody, and the ring's agent and people as users of the cluster."""
    _, certificate = cluster.impersonator()
    for user in ("gatebook:agent-7", "gatebook:dana"):
        cluster.allow(user, ALL)
    role = {"cert": str(certificate.cert), "key": str(certificate.key), "impersonate": {}}
    return {
        "name": TARGET, "protocol": "kubernetes", "servers": [cluster.url], "tls": {"ca": str(cluster.ca)},
        "labels": {"env": "production"}, "roles": {"gateway": role}, "default_role": "gateway", **changes,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clustered:
    """A gateway, the cluster behind it, and a namespace of a test's own."""

    gateway: LiveGateway
    cluster: Cluster
    namespace: str
    folder: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.gateway.http_port}/k8s/{TARGET}"

    def kubeconfig(self, token: str | None = None, options: str = "") -> Path:
        """One with a token in it; ``options`` stand behind the target's name."""
        path = self.folder / f"kubeconfig-{secrets.token_hex(4)}"
        user = {"token": token or self.gateway.mint()}
        ca = self.gateway.world.authority.path
        return self.cluster.write_kubeconfig(path, user, server=self.url + options, ca=ca, namespace=self.namespace)

    def run(self, *argv: str, token: str | None = None, options: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
        """kubectl, helm or the testbed's client, through the gateway."""
        return self.cluster.run(*argv, kubeconfig=self.kubeconfig(token, options), check=False, **more)

    def kubectl(self, *argv: str, **more: Any) -> str:
        """What kubectl printed; it must not fail."""
        done = self.run("kubectl", *argv, **more)
        assert done.returncode == 0, f"{argv} ended {done.returncode}: {done.stderr}\n{self.gateway.log[-3000:]}"
        return done.stdout

    def refused(self, *argv: str, **more: Any) -> str:
        """What kubectl complained of; it must fail."""
        done = self.run("kubectl", *argv, **more)
        assert done.returncode != 0, f"{argv}: {done.stdout}"
        return done.stderr

    @contextmanager
    def http(self, token: str | None = None) -> Iterator[httpx.Client]:
        """HTTP to the cluster through the gateway, below its API's root."""
        with self.gateway.http(token) as client:
            client.base_url = self.url
            yield client


ANYTHING = """
@id("ring")
@reason("the ring does what it likes")
permit (principal in Group::"agents", action in [Action::"k8s"], resource);
"""


@contextmanager
def ring_gateway(folder: Path, world: World, cluster: Cluster, **changes: Any) -> Iterator[LiveGateway]:
    """A gateway in front of the cluster whose agents may do anything there; it must end well and leave a whole book."""
    options: dict[str, Any] = {"apis": [cluster_target(cluster)], "policies": {"ring": ANYTHING}, "allows_all": True, **changes}
    gateway = LiveGateway(folder / "gateway", world, **options)
    try:
        yield gateway.start()
    finally:
        assert gateway.stop() == 0, gateway.log
    gateway.verified()
