"""What is crooked goes nowhere: a Status says why, and the cluster's audit log knows nothing of it."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from tests.testbed.clustered import ANYTHING, Clustered, ring_gateway
from tests.testbed.clusters import Cluster
from tests.testbed.gateways import LiveGateway, World

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    """Whose rules permit everything: what is crooked is no matter of rules."""
    with ring_gateway(tmp_path_factory.mktemp("bad-input"), world, cluster) as gateway:
        yield gateway


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    return Clustered(door, cluster, namespace, tmp_path)


def reached(prod: Clustered, mark: str) -> bool:
    """Whether the cluster was asked anything with this in its address; a request behind it shows that the log is up to date."""
    with prod.http() as client:
        answer = client.get(f"/api/v1/namespaces/{prod.namespace}/configmaps?labelSelector=after-{mark}")
    prod.cluster.audited(auditID=answer.headers["audit-id"])
    return any(mark in line and f"after-{mark}" not in line for line in prod.cluster.audit_lines())


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1//namespaces/{mark}/pods", "/api/v1/namespaces/x/../{mark}/pods", "/api/v1/namespaces/x/%2e%2e/{mark}/pods",
        "/api/v1/namespaces/{mark}%2Fpods", "/api/v1/namespaces/{mark}/./pods", "/api/v1/namespaces/{mark}%00/pods",
        "/api/v1/namespaces/{mark}\\pods", "/api/v1/namespaces/{mark}%5Cpods",
        "//api/v1/namespaces/{mark}", "/api/v1/namespaces/{mark}%252Fpods", "/api/v1/namespaces/{mark}/pods;a=b",
        "/api/v1/namespaces/{mark}/%zz", "/api/v1/namespaces/{mark}/pods?watch=%zz", "/api/v1/{mark}/" + "a/" * 70,
    ],
)  # fmt: skip
def test_crooked_paths_go_nowhere(prod: Clustered, path: str) -> None:
    mark = f"m-{secrets.token_hex(4)}"
    status, told = asked(prod, "GET", path.format(mark=mark))
    assert status == 400, told
    assert (json.loads(told)["kind"], json.loads(told)["reason"]) == ("Status", "BadRequest")
    assert not reached(prod, mark)


def asked(prod: Clustered, method: str, path: str, fields: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """A request whose path nothing tidies on its way."""
    context = ssl.create_default_context(cafile=str(prod.gateway.world.authority.path))
    with closing(http.client.HTTPSConnection("127.0.0.1", prod.gateway.http_port, context=context, timeout=20)) as peer:
        peer.request(method, "/k8s/prod" + path, headers={"Authorization": f"Bearer {prod.gateway.mint()}", **(fields or {})})
        with peer.getresponse() as answer:
            return answer.status, answer.read()


@pytest.mark.parametrize("name", ["Impersonate-User", "Impersonate-Extra-scopes", "X-Remote-User", "X_Remote_Group"])
def test_a_client_cannot_say_who_it_is(prod: Clustered, name: str) -> None:
    mark = f"m-{secrets.token_hex(4)}"
    with prod.http() as client:
        answer = client.get(f"/api/v1/namespaces/{mark}", headers={name: "system:admin"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["kind"] == "Status"
    assert "says who asks, which is the gateway's to say" in answer.json()["message"]
    assert not reached(prod, mark)


@pytest.mark.parametrize("path", ["/api/v1/namespaces/{mark}/pods", "/api/v1/namespaces/x/services/{mark}/proxy/", "/{mark}"])
@pytest.mark.parametrize("protocol", ["websocket", "SPDY/3.1"])
def test_upgrades_are_for_streams_of_pods_alone(prod: Clustered, path: str, protocol: str) -> None:
    mark = f"m-{secrets.token_hex(4)}"
    fields = {"Connection": "Upgrade", "Upgrade": protocol}
    if protocol == "websocket":
        fields |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13"}
    status, told = asked(prod, "GET", path.format(mark=mark), fields)
    assert 400 <= status < 500, told
    assert json.loads(told)["kind"] == "Status"
    assert not reached(prod, mark)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b'{"metadata":{"name":"x"'),
        ("application/json", b'{"metadata":{"name":"x"},"metadata":{"name":"y"}}'),
        ("application/json", b'{"metadata":{"name":"x"}} {}'),
        ("application/json", b"\xff\xfe{"),
        ("application/json", b"[" * 20_000),
        ("application/json", b'{"data":' * 20_000 + b"{}" + b"}" * 20_000),
        ("application/json", b'["no object"]'),
        ("application/yaml", b"data: " + b"[" * 20_000),
        ("application/yaml", b"- " * 20_000 + b"x"),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\x0a\xff"),
        ("application/vnd.kubernetes.protobuf", b"metadata"),
        ("application/yaml", b"metadata: {name: x"),
        ("application/yaml", b"metadata: {name: x}\nmetadata: {name: y}\n"),
        ("application/yaml", b"a: &a [x]\nb: [*a, *a]\n---\nc: d\n"),
        ("application/cbor", b"\xd9\xd9\xf7\xa1"),
        ("text/html", b"<html>"),
    ],
)
def test_content_that_cannot_be_read_goes_nowhere(prod: Clustered, kind: str, content: bytes) -> None:
    mark = f"m-{secrets.token_hex(4)}"
    with prod.http() as client:
        answer = client.post(f"/api/v1/namespaces/{mark}/configmaps", content=content, headers={"Content-Type": kind})
    assert answer.status_code == (415 if "cbor" in kind else 400), answer.text
    assert answer.json()["kind"] == "Status"
    assert not reached(prod, mark)


def test_an_address_that_is_none_is_answered_by_a_status(prod: Clustered) -> None:
    """Below HTTP's own grammar, where no request is read yet."""
    context = ssl.create_default_context(cafile=str(prod.gateway.world.authority.path))
    with (
        socket.create_connection(("127.0.0.1", prod.gateway.http_port), timeout=20) as tcp,
        context.wrap_socket(tcp, server_hostname="127.0.0.1") as peer,
    ):
        peer.sendall(b"GET /k8s/prod/api/v1/name spaces HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b"".join(iter(lambda: peer.recv(65_536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(content)["kind"] == "Status"


RULES_OF_DISCOVERY = """
@id("no-maps")
@reason("nobody looks around here")
forbid (principal, action == Action::"k8s.discover", resource);
"""


def test_a_refused_discovery_is_told_in_words(tmp_path: Path, world: World, cluster: Cluster, namespace: str) -> None:
    """client-go reads no Status there, and says "unknown" for it."""
    rules = {"ring": ANYTHING, "discovery": RULES_OF_DISCOVERY}
    with ring_gateway(tmp_path, world, cluster, policies=rules) as gateway:
        prod = Clustered(gateway, cluster, namespace, tmp_path)
        assert "nobody looks around here" in prod.refused("get", "pods")
