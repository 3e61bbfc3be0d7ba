"""A real Kubernetes: API server, controllers and a node stand-in in one process, which scripts/kubernetes builds from kube/.

One cluster serves a whole run, also where several processes share it: each holds a lock on a file of the cluster's folder, and
the cluster ends with the last of them, however they end. A test takes a namespace of its own. Pods are local processes of this
machine's programs; nothing listens beyond loopback.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from tests.testbed.certificates import client_certificate

from gatebook.cli.demo.certificates import Certificate
from gatebook.cli.demo.processes import wait_until

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / ".cache/kubernetes"
START_SECONDS, ANSWER_SECONDS = 90.0, 60.0
RBAC = "rbac.authorization.k8s.io"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
LEFT: list[object] = []  # clusters that go on for others
TOLD = ("session", "on-behalf-of", "issuer", "purpose")
WHO = ("users", "groups", "uids", *(f"userextras/gatebook.dev/{name}" for name in TOLD))  # RBAC knows no star there


def built() -> None:
    """Builds the programs where `make test` has not, which takes minutes the first time."""
    done = subprocess.run([str(ROOT / "scripts/kubernetes")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@contextmanager
def locked(path: Path, how: int) -> Iterator[IO[bytes] | None]:
    """The file, locked; None where somebody else has it and ``how`` does not wait."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            yield None
        else:
            yield file


def any_of(verbs: Sequence[str]) -> list[dict[str, Any]]:
    """Rules of a gateway that may be anybody, by the impersonation every version knows or by constrained impersonation."""
    return [
        {"apiGroups": [""], "resources": ["users", "groups", "serviceaccounts"], "verbs": list(verbs)},
        {"apiGroups": ["authentication.k8s.io"], "resources": [*WHO, "serviceaccounts"], "verbs": list(verbs)},
    ]


LEGACY = any_of(["impersonate"])


def constrained(groups: Sequence[str], verbs: Sequence[str] = VERBS) -> list[dict[str, Any]]:
    """Rules of a gateway that may be anybody of ``groups``, and for ``verbs`` alone: never system:masters."""
    users = {"apiGroups": ["authentication.k8s.io"], "resources": [one for one in WHO if one != "groups"]}
    teams = {"apiGroups": ["authentication.k8s.io"], "resources": ["groups"], "resourceNames": list(groups)}
    on = [f"impersonate-on:user-info:{verb}" for verb in verbs]
    return [
        {**users, "verbs": ["impersonate:user-info"]},
        {**teams, "verbs": ["impersonate:user-info"]},
        {"apiGroups": ["*"], "resources": ["*"], "verbs": on},
        {"nonResourceURLs": ["*"], "verbs": on},
    ]


class Cluster:
    """A running cluster. ``home`` holds its certificates, kubeconfigs and logs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self.home = folder, folder / "home"
        self._process: subprocess.Popen[bytes] | None = None
        self._use: IO[bytes] | None = None

    # Its life -------------------------------------------------------------------------------------------------------

    def start(self) -> Cluster:
        """Start it, or join who has started it."""
        built()
        with locked(self.folder / "starting", fcntl.LOCK_EX):
            self._use = (self.folder / "users").open("ab")
            fcntl.flock(self._use, fcntl.LOCK_SH)  # waits for one that is just ending
            with locked(self.folder / "serving", fcntl.LOCK_EX | fcntl.LOCK_NB) as free:
                running = free is None
            if not running:
                self._serve()
        return self

    def _serve(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(mode=0o700)
        argv = [str(PROGRAMS / "testbed"), "serve", "--dir", str(self.home), "--lease", str(self.folder)]
        with (self.home / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment())
        process = self._process
        came = wait_until(lambda: process.poll() is not None or (self.home / "ready").exists(), START_SECONDS)
        if not came or process.poll() is not None:
            self.close()
            raise AssertionError(f"Kubernetes did not start:\n{self.log[-4000:]}")

    def close(self) -> None:
        """Leave it; it ends with its last user. Who started it and is alone sees it end."""
        assert self._use is not None
        if "_admin" in self.__dict__:
            self._admin.close()
        self._use.close()
        if self._process is None or self._process.poll() is not None or self._has_users():
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def _has_users(self) -> bool:
        with locked(self.folder / "users", fcntl.LOCK_SH | fcntl.LOCK_NB) as shared:
            if shared is None:  # the cluster has it: it is ending
                return False
            try:
                fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                LEFT.append(self._process)
                return True
            return False

    @property
    def log(self) -> str:
        return (self.home / "serve.log").read_text(errors="replace")

    # Ways in --------------------------------------------------------------------------------------------------------

    @property
    def ca(self) -> Path:
        return self.home / "pki/ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's: in the group system:masters, which no rule binds."""
        return self.home / "admin.kubeconfig"

    @cached_property
    def url(self) -> str:
        address: str = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        return address

    def environment(self, kubeconfig: Path | None = None, **more: str) -> dict[str, str]:
        """For kubectl, helm and the client: a home of their own, so that no cache and no setting of ours reaches them."""
        own = {"PATH": f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8"}
        return {**own, "KUBECONFIG": str(kubeconfig or self.kubeconfig), **more}

    def run(
        self, *argv: str, stdin: str | None = None, kubeconfig: Path | None = None, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """kubectl, helm or the testbed's own client, by the administrator's kubeconfig or another."""
        program = [str(PROGRAMS / argv[0]), *argv[1:]]
        done = subprocess.run(
            program, input=stdin or "", capture_output=True, text=True, timeout=ANSWER_SECONDS,
            env=self.environment(kubeconfig, **environment),
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{argv} ended {done.returncode}: {done.stderr}"
        return done

    def kubectl(self, *argv: str, **options: Any) -> str:
        """What kubectl printed."""
        return self.run("kubectl", *argv, **options).stdout

    def write_kubeconfig(
        self, path: Path, user: Mapping[str, Any], *, server: str | None = None, ca: Path | None = None, namespace: str = ""
    ) -> Path:
        """A kubeconfig; ``user`` as kubeconfig files have it: token, client-certificate, exec …"""
        cluster = {"server": server or self.url, "certificate-authority": str(ca or self.ca)}
        context = {"cluster": "c", "user": "u", "namespace": namespace}
        whole = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": dict(user)}], "contexts": [{"name": "c", "context": context}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(whole))
        path.chmod(0o600)
        return path

    def client(self, certificate: Certificate | None = None, token: str | None = None) -> httpx.Client:
        """HTTP to the API server, by the administrator's certificate unless another identity is given."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if token is None:
            shown = certificate or Certificate(self.home / "pki/admin.crt", self.home / "pki/admin.key")
            context.load_cert_chain(shown.cert, shown.key)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, verify=context, headers=headers, timeout=ANSWER_SECONDS, trust_env=False)

    @cached_property
    def _admin(self) -> httpx.Client:
        return self.client()

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """An answer of the API to the administrator."""
        answer = self._admin.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    # Who there is ---------------------------------------------------------------------------------------------------

    def certificate(self, user: str, groups: Sequence[str] = ()) -> Certificate:
        """A certificate of the cluster's own authority for a user of these groups."""
        pem = (self.home / "pki/ca.key").read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        return client_certificate(self.home / f"pki/{user}-{secrets.token_hex(4)}", self.ca.read_bytes(), key, user, groups)

    def allow(self, user: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Bind rules to a user, in the whole cluster."""
        name = {"metadata": {"name": f"{user}-{secrets.token_hex(4)}"}}
        of = {"apiGroup": RBAC, "kind": "ClusterRole", "name": name["metadata"]["name"]}
        subjects = [{"apiGroup": RBAC, "kind": "User", "name": user}]
        where = f"/apis/{RBAC}/v1"
        self.call("POST", f"{where}/clusterroles", {**name, "rules": list(rules)})
        self.call("POST", f"{where}/clusterrolebindings", {**name, "roleRef": of, "subjects": subjects})

    def impersonator(self, rules: Sequence[Mapping[str, Any]] = LEGACY) -> tuple[str, Certificate]:
        """A new user with the right to be somebody else and no other, as a gateway is."""
        user = f"gateway-{secrets.token_hex(4)}"
        self.allow(user, rules)
        return user, self.certificate(user)

    def service_account(self, namespace: str, name: str, role: str | None = None) -> str:
        """A token of a new service account, with a ClusterRole's rights in its namespace if one is given."""
        space = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.call("POST", space, {"metadata": {"name": name}})
        if role is not None:
            binding = {
                "metadata": {"name": name}, "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
            }  # fmt: skip
            self.call("POST", f"/apis/{RBAC}/v1/namespaces/{namespace}/rolebindings", binding)
        token: str = self.call("POST", f"{space}/{name}/token", {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        return token

    # What is in it --------------------------------------------------------------------------------------------------

    def new_namespace(self) -> str:
        """A namespace in which pods may run at once."""
        name = f"t-{secrets.token_hex(4)}"
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        assert wait_until(lambda: self._admin.get(account).is_success, 20), self.log[-4000:]
        return name

    def remove_namespace(self, name: str) -> None:
        """Begin to remove it; the cluster goes on with that by itself."""
        self.call("DELETE", f"/api/v1/namespaces/{name}")

    def new_pod(self, namespace: str, name: str = "p", command: Sequence[str] = ("sleep", "infinity"), **spec: Any) -> str:
        """A running pod of one container, ``main``."""
        container = {"name": "main", "image": "none", "command": list(command), **spec}
        pod = {"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
        where = f"/api/v1/namespaces/{namespace}/pods"
        self.call("POST", where, pod)
        phase = lambda: self.call("GET", f"{where}/{name}")["status"].get("phase")  # noqa: E731
        assert wait_until(lambda: phase() == "Running", 20), self.log[-4000:]
        return name

    def secret(self, namespace: str, name: str, **values: str) -> str:
        """A secret of these values."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.call("POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": name}, "data": data})
        return name

    def seed(self, namespace: str, kind: str, count: int, size: int = 100) -> None:
        """Many configmaps, secrets or pods at once, named seed-00000 and so on."""
        self.run("testbed", "seed", "--namespace", namespace, "--kind", kind, "--count", str(count), "--size", str(size))

    # What it has seen -----------------------------------------------------------------------------------------------

    def audit_lines(self) -> list[str]:
        """The audit log as it is now, an entry each."""
        return (self.home / "audit.log").read_bytes().decode().split("\n")[:-1]  # the last may be half a line

    def _entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_lines()]

    def audited(self, **wanted: str) -> list[dict[str, Any]]:
        """The audit log's entries of requests that ended, with the verb, auditID or requestURI wanted; waits for the first."""
        found: list[dict[str, Any]] = []

        def came() -> bool:
            mine = [one for one in self._entries() if one["stage"] == "ResponseComplete"]
            found[:] = [one for one in mine if all(one.get(key) == value for key, value in wanted.items())]
            return bool(found)

        assert wait_until(came, 10), f"the audit log knows nothing of {wanted}"
        return found

    @contextmanager
    def witness(self, log: Path) -> Iterator[str]:
        """An address in front of the API server that writes a line of JSON for each request; for clients that show a token."""
        argv = [str(PROGRAMS / "testbed"), "witness", "--to", self.url, "--pki", str(self.home / "pki"), "--log", str(log)]
        with subprocess.Popen(argv, env=self.environment(), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.terminate()

    @property
    def memory_kilobytes(self) -> int:
        """Resident memory of the cluster where this process started it."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def shared_folder(basetemp: Path) -> Path:
    """Where the processes of one run find the same cluster."""
    return (basetemp.parent if "PYTEST_XDIST_WORKER" in os.environ else basetemp) / "cluster"
