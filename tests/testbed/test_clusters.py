"""The testbed's Kubernetes does what tests through a gateway will ask of it, without a gateway in between."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.testbed.clusters import PROGRAMS, Cluster, constrained

from gatebook.cli.demo.processes import answers, wait_until

pytestmark = pytest.mark.real

SECONDS = 60.0  # until a server goes by what was just written, on a busy machine

TRANSPORTS = {
    "websocket": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"},
    "spdy": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"},
}
ECHO = ["sh", "-c", "echo started; while read -r line; do echo got $line; done"]
WEB = "import http.server as h, os; h.HTTPServer((os.environ['POD_IP'], 8080), h.SimpleHTTPRequestHandler).serve_forever()"
PYTHON = """
import sys
from kubernetes import client, config, watch
from kubernetes.stream import stream

kubeconfig, namespace = sys.argv[1:]
core = client.CoreV1Api(config.new_client_from_config(kubeconfig))
pods = [one.metadata.name for one in core.list_namespaced_pod(namespace).items]
print(pods)
event = next(watch.Watch().stream(core.list_namespaced_pod, namespace, timeout_seconds=10))
print(event["type"], event["object"].metadata.name)
core = client.CoreV1Api(config.new_client_from_config(kubeconfig))  # stream turns its client into one of WebSockets
print(stream(core.connect_get_namespaced_pod_exec, pods[0], namespace, command=["echo", "hi"], stdout=True), end="")
"""
SHIP: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "ships.fleet.example"},
    "spec": {
        "group": "fleet.example", "scope": "Namespaced",
        "names": {"plural": "ships", "singular": "ship", "kind": "Ship", "listKind": "ShipList"},
        "versions": [{
            "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"captain": {"type": "string", "description": "Who steers."}}}}}},
        }],
    },
}  # fmt: skip


def deployment(replicas: int, word: str = "one") -> str:
    container = {"name": "main", "image": "none", "command": ["sleep", "infinity"], "env": [{"name": "WORD", "value": word}]}
    labels = {"app": "d"}
    pod = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    whole = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
    }  # fmt: skip
    return json.dumps(whole)


def test_server_and_kubectl_are_of_one_version(cluster: Cluster) -> None:
    found = json.loads(cluster.kubectl("version", "-o", "json"))
    assert found["serverVersion"]["gitVersion"] == found["clientVersion"]["gitVersion"] == "v1.36.3"


def test_kubectl_reads_and_changes_what_is_there(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/^    a: b$/    a: c/' \"$1\"\n")  # not an identifier that ends so
    editor.chmod(0o755)
    n = ("-n", namespace)
    cluster.kubectl(*n, "apply", "-f", "-", stdin=deployment(2))
    cluster.kubectl(*n, "rollout", "status", "deployment/d", "--timeout=30s")
    assert "2/2" in cluster.kubectl(*n, "get", "deployments")
    assert "RollingUpdateStrategy" in cluster.kubectl(*n, "describe", "deployment", "d")
    changed = cluster.run(
        "kubectl", *n, "diff", "--server-side", "--force-conflicts", "-f", "-", stdin=deployment(2, "two"), check=False
    )
    assert changed.returncode == 1
    assert "+          value: two" in changed.stdout
    cluster.kubectl(*n, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=deployment(2, "two"))
    cluster.kubectl(*n, "scale", "deployment/d", "--replicas=1")
    cluster.kubectl(
        *n, "patch", "deployment", "d", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]'
    )
    cluster.kubectl(*n, "edit", "deployment", "d", KUBE_EDITOR=str(editor))
    cluster.kubectl(*n, "rollout", "restart", "deployment/d")
    cluster.kubectl(*n, "rollout", "undo", "deployment/d")
    cluster.kubectl(*n, "wait", "--for=condition=Available", "deployment/d", "--timeout=30s")
    assert cluster.kubectl(*n, "get", "deployment", "d", "-o", "jsonpath={.spec.replicas} {.metadata.labels.a}") == "1 c"
    cluster.kubectl(*n, "delete", "deployment", "d", "--cascade=foreground", "--timeout=30s")
    assert cluster.kubectl(*n, "get", "pods,replicasets", "-o", "name") == ""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_exec_copies_and_port_forward_work_by_either_transport(
    cluster: Cluster, namespace: str, transport: str, tmp_path: Path
) -> None:
    pod = cluster.new_pod(namespace, command=["python3", "-c", WEB])
    n, way = ("-n", namespace), TRANSPORTS[transport]
    assert cluster.kubectl(*n, "exec", "-i", pod, "--", "cat", stdin="a b", **way) == "a b"
    ended = cluster.run("kubectl", *n, "exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False, **way)
    assert (ended.returncode, ended.stdout) == (7, "out\n")
    assert "err" in ended.stderr
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(os.urandom(300_000))
    cluster.kubectl(*n, "cp", str(up), f"{pod}:file", **way)
    cluster.kubectl(*n, "cp", f"{pod}:file", str(down), **way)
    assert down.read_bytes() == up.read_bytes()
    argv = [str(PROGRAMS / "kubectl"), *n, "port-forward", pod, ":8080"]
    with subprocess.Popen(argv, env=cluster.environment(**way), stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        port = forward.stdout.readline().split("->")[0].rpartition(":")[2].strip()
        listing = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=20).stdout
        forward.terminate()
    assert ">file</a>" in listing


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_terminal_is_one_inside_too_and_has_its_size(cluster: Cluster, namespace: str, transport: str) -> None:
    pod = cluster.new_pod(namespace)
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "rows", "33", "cols", "111"], stdin=theirs, check=True)
    argv = [
        str(PROGRAMS / "kubectl"),
        "-n",
        namespace,
        "exec",
        "-it",
        pod,
        "--",
        "sh",
        "-c",
        "sleep 0.5; test -t 0 && stty size",
    ]
    done = subprocess.run(argv, env=cluster.environment(**TRANSPORTS[transport]), stdin=theirs, stdout=theirs, timeout=30)
    os.close(theirs)
    assert done.returncode == 0
    assert b"33 111" in os.read(ours, 4096)
    os.close(ours)


def test_logs_are_followed_and_a_container_is_attached_to(cluster: Cluster, namespace: str) -> None:
    pod = cluster.new_pod(namespace, command=ECHO, stdin=True, stdinOnce=True)
    argv = [str(PROGRAMS / "kubectl"), "-n", namespace, "logs", "-f", pod]
    with subprocess.Popen(argv, env=cluster.environment(), stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "started\n"
        cluster.kubectl("-n", namespace, "attach", "-i", pod, stdin="hello\n")
        assert following.stdout.readline() == "got hello\n"
        following.terminate()


def test_a_gateway_that_may_only_impersonate_is_seen_with_whom_it_was(cluster: Cluster, namespace: str) -> None:
    name, certificate = cluster.impersonator()
    cluster.kubectl("-n", namespace, "create", "rolebinding", "readers", "--clusterrole=view", "--group=readers")
    path = f"/api/v1/namespaces/{namespace}/pods"
    as_alice = {"impersonate-user": "alice", "impersonate-group": "readers"}
    with cluster.client(certificate) as client:
        assert client.get(path).status_code == 403
        assert wait_until(lambda: client.get(path, headers=as_alice).status_code == 200, SECONDS), "the role is known"
        alice = client.get(path, headers=as_alice)
        bob = client.get(path, headers={"impersonate-user": "bob"})
    assert (alice.status_code, bob.status_code) == (200, 403)
    seen = cluster.audited(auditID=alice.headers["audit-id"])[0]
    assert (seen["user"]["username"], seen["impersonatedUser"]["username"]) == (name, "alice")
    assert seen["impersonatedUser"]["groups"] == ["readers", "system:authenticated"]


def test_constrained_impersonation_keeps_a_gateway_from_being_anybody_for_anything(cluster: Cluster, namespace: str) -> None:
    _, certificate = cluster.impersonator(constrained(["readers"], ["list"]))
    cluster.kubectl("-n", namespace, "create", "rolebinding", "readers", "--clusterrole=admin", "--group=readers")
    path = f"/api/v1/namespaces/{namespace}/pods"
    with cluster.client(certificate) as client:
        reader = {"impersonate-user": "alice", "impersonate-group": "readers"}
        assert wait_until(lambda: client.get(path, headers=reader).status_code == 200, SECONDS), "the role is known"
        assert client.delete(path, headers=reader).status_code == 403
        assert client.get(path, headers={**reader, "impersonate-group": "system:masters"}).status_code == 403


def test_an_approved_request_gets_a_certificate_that_works(cluster: Cluster, tmp_path: Path) -> None:
    key, request, certificate = tmp_path / "key.pem", tmp_path / "csr.pem", tmp_path / "cert.pem"
    argv = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=readers/CN=carol", "-keyout", str(key)]
    subprocess.run([*argv, "-out", str(request)], check=True, capture_output=True)
    spec = {
        "request": base64.b64encode(request.read_bytes()).decode(), "expirationSeconds": 3600,
        "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
    }  # fmt: skip
    made = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "carol"},
        "spec": spec,
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
    cluster.kubectl("certificate", "approve", "carol")
    cluster.kubectl("wait", "--for=jsonpath={.status.certificate}", "csr/carol", "--timeout=20s")
    pem = cluster.kubectl("get", "csr", "carol", "-o", "go-template={{.status.certificate | base64decode}}")
    certificate.write_text(pem)
    own = {"client-certificate": str(certificate), "client-key": str(key)}
    whoami = cluster.kubectl("auth", "whoami", "-o", "json", kubeconfig=cluster.write_kubeconfig(tmp_path / "carol", own))
    assert json.loads(whoami)["status"]["userInfo"]["username"] == "carol"


def test_a_service_accounts_token_has_the_rights_of_its_role(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    token = cluster.service_account(namespace, "robot", "edit")
    mine = cluster.write_kubeconfig(tmp_path / "robot", {"token": token}, namespace=namespace)
    assert cluster.run("kubectl", "auth", "can-i", "create", "pods", kubeconfig=mine).stdout == "yes\n"
    other = cluster.run("kubectl", "auth", "can-i", "create", "pods", "-n", "default", kubeconfig=mine, check=False)
    assert (other.returncode, other.stdout) == (1, "no\n")
    made = cluster.kubectl("-n", namespace, "create", "token", "robot", kubeconfig=mine)
    assert made.count(".") == 2


def test_pods_are_evicted_debugged_and_have_a_status(cluster: Cluster, namespace: str) -> None:
    pod, where = cluster.new_pod(namespace), f"/api/v1/namespaces/{namespace}/pods"
    n = ("-n", namespace)
    cluster.kubectl(
        *n, "debug", pod, "--image=none", "--container=looker", "--profile=general", "--", "sh", "-c", "echo looked"
    )
    assert wait_until(lambda: cluster.kubectl(*n, "logs", pod, "-c", "looker") == "looked\n", 20)
    condition = {"type": "Seen", "status": "True"}
    cluster.kubectl(*n, "patch", "pod", pod, "--subresource=status", "-p", json.dumps({"status": {"conditions": [condition]}}))
    cluster.call("POST", f"{where}/{pod}/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}})
    cluster.kubectl(*n, "wait", "--for=delete", f"pod/{pod}", "--timeout=20s")


def test_jobs_end_and_stateful_sets_have_their_pods_by_name(cluster: Cluster, namespace: str) -> None:
    n = ("-n", namespace)
    cluster.kubectl(*n, "create", "job", "j", "--image=none", "--", "sh", "-c", "echo worked")
    cluster.kubectl(*n, "wait", "--for=condition=Complete", "job/j", "--timeout=30s")
    assert cluster.kubectl(*n, "logs", "job/j") == "worked\n"
    made = json.loads(deployment(1))
    made |= {"kind": "StatefulSet", "spec": {**made["spec"], "serviceName": "d"}}
    cluster.kubectl(*n, "apply", "-f", "-", stdin=json.dumps(made))
    cluster.kubectl(*n, "rollout", "status", "statefulset/d", "--timeout=30s")
    assert "pod/d-0" in cluster.kubectl(*n, "get", "pods", "-o", "name")


def test_kinds_of_somebody_elses_are_known_to_kubectl(cluster: Cluster, namespace: str) -> None:
    n = ("-n", namespace)
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(SHIP))
    cluster.kubectl("wait", "--for=condition=Established", "crd/ships.fleet.example", "--timeout=20s")
    ship = {"apiVersion": "fleet.example/v1", "kind": "Ship", "metadata": {"name": "ark"}, "spec": {"captain": "noah"}}
    cluster.kubectl(*n, "apply", "--server-side", "-f", "-", stdin=json.dumps(ship))
    assert cluster.kubectl(*n, "get", "ships", "-o", "jsonpath={.items[*].spec.captain}") == "noah"
    assert "ships" in cluster.kubectl("api-resources", "--api-group=fleet.example")
    assert wait_until(lambda: "Who steers." in cluster.run("kubectl", "explain", "ship.spec", check=False).stdout, 30)


def test_an_aggregated_api_hears_who_asks(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1.weather.testbed.example", "--timeout=20s")
    _, certificate = cluster.impersonator()
    cluster.allow("dora", [{"apiGroups": ["weather.testbed.example"], "resources": ["*"], "verbs": ["get"]}])
    path = f"/apis/weather.testbed.example/v1/namespaces/{namespace}/forecasts/today"
    with cluster.client(certificate) as client:
        answer = client.get(path, headers={"impersonate-user": "dora"})
    assert answer.json()["spec"]["user"] == "dora"


def test_top_says_that_nothing_is_measured_here(cluster: Cluster) -> None:
    done = cluster.run("kubectl", "top", "nodes", check=False)
    assert (done.returncode, done.stderr) == (1, "error: Metrics API not available\n")


@pytest.mark.parametrize("form", ["json", "protobuf", "cbor"])
def test_an_informer_of_client_go_sees_what_is_there_and_what_comes(cluster: Cluster, namespace: str, form: str) -> None:
    cluster.secret(namespace, "first", word="before")
    argv = [str(PROGRAMS / "testbed"), "watch", "--namespace", namespace, "--kind", "secrets", "--form", form, "--count", "2"]
    allowed = {"KUBE_FEATURE_ClientsAllowCBOR": "true"}  # the server does not know it, and answers in JSON
    with subprocess.Popen(argv, env=cluster.environment(**allowed), stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines = [json.loads(watching.stdout.readline()) for _ in range(2)]
        cluster.secret(namespace, "second", word="after")
        lines.append(json.loads(watching.stdout.readline()))
    assert watching.returncode == 0
    assert {one["event"] for one in lines} == {"synced", "added"}
    assert [one["name"] for one in lines if "name" in one] == ["first", "second"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_client_go_runs_a_command_by_either_transport(cluster: Cluster, namespace: str, transport: str) -> None:
    pod = cluster.new_pod(namespace)
    argv = ("exec", "--namespace", namespace, "--transport", transport, pod, "sh", "-c", "cat; exit 3")
    done = cluster.run("testbed", *argv, stdin="through", check=False)
    assert (done.returncode, done.stdout) == (3, "through")


def test_the_python_client_lists_watches_and_runs_commands(cluster: Cluster, namespace: str) -> None:
    pod = cluster.new_pod(namespace)
    argv = [sys.executable, "-c", PYTHON, str(cluster.kubeconfig), namespace]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [f"[{pod!r}]", f"ADDED {pod}", "hi"], done.stderr


def test_helm_installs_changes_and_removes_a_chart(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "shop", "version": "1.0.0"}))
    (chart / "values.yaml").write_text("word: one\n")
    made = deployment(1).replace('"one"', "{{ .Values.word | quote }}").replace('"name": "d"', '"name": "{{ .Release.Name }}"')
    (chart / "templates/all.yaml").write_text(made)
    n = ("-n", namespace)
    word = (*n, "get", "deployment", "s", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].value}")
    cluster.run("helm", *n, "install", "s", str(chart), "--wait", "--timeout=40s")
    assert cluster.kubectl(*word) == "one"
    cluster.run("helm", *n, "upgrade", "s", str(chart), "--set", "word=two")
    assert cluster.kubectl(*word) == "two"
    cluster.run("helm", *n, "rollback", "s", "1")
    assert cluster.kubectl(*word) == "one"
    assert json.loads(cluster.run("helm", *n, "list", "-o", "json").stdout)[0]["revision"] == "3"
    cluster.run("helm", *n, "uninstall", "s")
    assert cluster.kubectl(*n, "get", "deployments", "-o", "name") == ""


def test_many_objects_are_made_at_once(cluster: Cluster, namespace: str) -> None:
    for kind in ("pods", "configmaps"):
        cluster.seed(namespace, kind, 300)
        found = cluster.kubectl("-n", namespace, "get", kind, "-l", "seed=true", "-o", "name", "--chunk-size=100")
        assert len(found.split()) == 300


def test_a_witness_writes_down_what_is_asked_and_no_token(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    token = cluster.service_account(namespace, "robot", "view")
    with cluster.witness(tmp_path / "seen.jsonl") as witness:
        mine = cluster.write_kubeconfig(tmp_path / "robot", {"token": token}, server=witness, namespace=namespace)
        cluster.kubectl("get", "pods", kubeconfig=mine)
    text = (tmp_path / "seen.jsonl").read_text()
    seen = [json.loads(line) for line in text.splitlines()]
    listed = next(one for one in seen if one["path"].endswith("/pods"))
    assert listed["header"]["Accept"][0].startswith("application/json;as=Table")
    assert token not in text
    assert {one["proto"] for one in seen} == {"HTTP/2.0"}


def test_a_cluster_ends_with_its_last_user_however_that_one_ends(cluster: Cluster, tmp_path: Path) -> None:
    begin = "from pathlib import Path; from tests.testbed.clusters import Cluster; import os, sys"
    kill = f"{begin}; c = Cluster(Path(sys.argv[1])).start(); print(c.url, flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", kill, str(tmp_path / "c")], capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("https://127.0.0.1:"), done.stderr
    port = int(done.stdout.rpartition(":")[2])
    assert wait_until(lambda: not answers(port), 20)
