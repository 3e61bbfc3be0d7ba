"""What clients must not send, sent to a running gateway: answered in words, nothing forwarded, the gateway goes on."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.testbed.apis import BillingApi
from tests.testbed.gateways import LiveGateway

pytestmark = pytest.mark.real

DELETES = """
@id("no-deletes")
@reason("customers are not deleted")
forbid (principal, action == Action::"http.delete", resource);
"""


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BillingApi]:
    api = BillingApi(tmp_path_factory.mktemp("billing"))
    yield api
    api.stop()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], billing: BillingApi) -> LiveGateway:
    return new_gateway(apis=[billing.target()], allows_all=True, http_tls=False, policies={"deletes": DELETES})


def said(door: LiveGateway, *pieces: bytes, ends: bool = True) -> bytes:
    """Send pieces, and read until the gateway closes."""
    with socket.create_connection(("127.0.0.1", door.http_port), timeout=20) as client:
        for piece in pieces:
            client.sendall(piece)
        if ends:
            client.shutdown(socket.SHUT_WR)
        found = b""
        while piece := client.recv(65_536):
            found += piece
    return found


def head(door: LiveGateway, method: str, path: str, *lines: str) -> bytes:
    token = door.mint()
    told = (f"{method} /http/billing{path} HTTP/1.1", "Host: gate", f"Authorization: Bearer {token}", *lines, "", "")
    return "\r\n".join(told).encode()


SMUGGLED = b"GET /http/billing/iam/users HTTP/1.1\r\nHost: gate\r\n\r\n"
BAD = [
    (("Content-Length: 4", "Transfer-Encoding: chunked"), b"0\r\n\r\n" + SMUGGLED),
    (("Content-Length: 4", "Content-Length: 5"), b"aaaa" + SMUGGLED),
    (("Transfer-Encoding: chunked, identity",), b"0\r\n\r\n" + SMUGGLED),
    (("Transfer-Encoding: \x0bchunked",), b"0\r\n\r\n" + SMUGGLED),
    (("Transfer-Encoding: chunked",), b"ffffffffffffffffff\r\n" + SMUGGLED),
    (("Transfer-Encoding: chunked",), b"5\r\naaaaaaaaa\r\n0\r\n\r\n" + SMUGGLED),
    (("X-A: b\r\n folded",), SMUGGLED),
    (("X-A: b\nX-Injected: c",), SMUGGLED),
    (("Host: other",), SMUGGLED),
    (("X-A : b",), SMUGGLED),
]


@pytest.mark.parametrize(("lines", "rest"), BAD)
def test_what_two_servers_could_read_in_two_ways_reaches_none(
    door: LiveGateway, billing: BillingApi, lines: tuple[str, ...], rest: bytes
) -> None:
    before = len(billing.seen())
    found = said(door, head(door, "POST", "/customers", *lines) + rest)
    assert found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert found.count(b"HTTP/1.1 ") == 1
    assert json.loads(found.partition(b"\r\n\r\n")[2])["status"] in (400, 501)
    assert billing.seen()[before:] == []


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET http://169.254.169.254/latest/meta-data HTTP/1.1", b"400"),
        (b"CONNECT 127.0.0.1:22 HTTP/1.1", b"501"),
        (b"GET /http/billing/../vault HTTP/9.9", b"505"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1", b"414"),
    ],
)
def test_a_target_on_another_host_is_not_gone_to(door: LiveGateway, request_line: bytes, status: bytes) -> None:
    found = said(door, request_line + b"\r\nHost: gate\r\n\r\n")
    assert found.split(b" ")[1] == status, found[:200]


def test_a_head_without_end_has_one(door: LiveGateway) -> None:
    found = said(
        door, b"GET / HTTP/1.1\r\nHost: gate\r\n", *(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(80)), ends=False
    )
    assert b" 431 " in found[:20]


def test_requests_behind_each_other_are_answered_in_turn(door: LiveGateway, billing: BillingApi) -> None:
    three = b"".join(head(door, "GET", f"/customers/{number}") for number in (1, 2, 3))
    found = said(door, three + head(door, "DELETE", "/customers/1", "Connection: close"))
    assert [line.split(b" ")[1] for line in found.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")] == [b"200"] * 3 + [b"403"]
    assert found.index(b"Ada Brown") < found.index(b"Ben Okafor") < found.index(b"Chen Wei")


def test_a_pipelined_neighbour_of_a_refused_request_is_decided_by_itself(door: LiveGateway, billing: BillingApi) -> None:
    before = len(billing.seen())
    found = said(door, head(door, "DELETE", "/customers/1") + head(door, "DELETE", "/customers/2", "Connection: close"))
    assert found.count(b"HTTP/1.1 403") == 2
    assert billing.seen()[before:] == []


def test_who_is_refused_in_the_middle_of_an_upload_reads_why(door: LiveGateway) -> None:
    refused = head(door, "DELETE", "/customers/1", "Content-Length: 50000000", "Content-Type: application/octet-stream")
    found = said(door, refused, b"a" * 3_000_000)
    assert b"no-deletes" in found


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(door: LiveGateway, billing: BillingApi) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", door.http_port), timeout=20) as client:
            client.sendall(
                head(door, "POST", "/customers", "Content-Length: 1000", "Content-Type: application/json") + b'{"a":'
            )
    assert b"200 OK" in said(door, head(door, "GET", "/customers/1", "Connection: close"))


def test_bytes_that_are_no_http_end_their_connection(door: LiveGateway) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x00" * 5000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200,
    ):
        said(door, data)
    assert b"200 OK" in said(door, head(door, "GET", "/customers/1", "Connection: close"))


def test_connections_that_never_finish_their_handshake_are_counted_and_ended(
    new_gateway: Callable[..., LiveGateway], billing: BillingApi
) -> None:
    gateway = new_gateway(apis=[billing.target()], allows_all=True, limits={"login_seconds": 2})
    idle = [socket.create_connection(("127.0.0.1", gateway.http_port), timeout=10) for _ in range(70)]
    try:
        closed = 0
        for one in idle:
            one.settimeout(10)
            try:
                closed += one.recv(1) == b""
            except ConnectionError:
                closed += 1
        assert closed == len(idle)
        with gateway.http() as client:
            assert client.get("/billing/customers/1").status_code == 200
    finally:
        for one in idle:
            one.close()


def test_the_rest_of_a_request_that_was_turned_away_does_not_go_to_the_one_behind_it(
    door: LiveGateway, billing: BillingApi
) -> None:
    before = len(billing.seen())
    evil = b'{"name": "Mallory"}'
    nobody = b"POST /http/billing/customers HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n"
    first = nobody + b"Content-Length: %d\r\n\r\n" % len(evil) + evil
    lines = ("Content-Type: application/json", "Content-Length: 15")
    second = head(door, "POST", "/customers", *lines) + b'{"name": "Eve"}'
    found = said(door, first + second + head(door, "GET", "/customers/1", "Connection: close"))
    assert re.findall(rb"HTTP/1\.1 (\d+)", found) == [b"401", b"201", b"200"]
    assert [one["body"] for one in billing.seen()[before:]] == ['{"name": "Eve"}', ""]


def test_head_hears_of_a_fault_by_its_status_alone_and_nobody_else_notices(
    new_gateway: Callable[..., LiveGateway], billing: BillingApi, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not to be had")
    secret.chmod(0o600)
    oauth = {"token_url": "http://127.0.0.1:9/token", "client_id": "gate", "client_secret": f"file:{secret}"}
    lost = billing.target(name="lost", roles={"agent": {"oauth": oauth}})
    gateway = new_gateway(apis=[billing.target(), lost], allows_all=True)
    with gateway.http() as client:
        for method in ("HEAD", "GET", "HEAD"):
            assert client.request(method, "/lost/customers").status_code == 503
        assert client.head("/billing/customers/1").status_code in (200, 405)
        assert client.get("/billing/customers/1").status_code == 200
    with httpx.Client(verify=False, trust_env=False) as nobody:
        assert nobody.head(f"{gateway.http_url}/billing/").status_code == 401
    assert gateway.log.count("a process begins") == 2


def test_a_token_opens_only_so_many_sessions(door: LiveGateway) -> None:
    with httpx.Client(base_url=door.http_url, trust_env=False) as client:
        token = door.gateway_token()
        found = [
            client.get(
                "/billing/customers/1", headers={"Authorization": f"Bearer {token}", "Gatebook-Why": str(number)}
            ).status_code
            for number in range(25)
        ]
    assert found == [200] * 20 + [403] * 5
