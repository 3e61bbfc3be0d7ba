"""Unmodified clients of HTTP through the gateway, by whichever version they speak."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import http.server
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
import requests
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions
import websockets.sync.client
import websockets.sync.server
import websockets.typing
from tests.testbed.apis import BillingApi
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

CARD = "4111111111111111"
SIZE = 3_000_000


class Target(http.server.BaseHTTPRequestHandler):
    """A plain server of the standard library: by path, what clients ask of servers."""

    protocol_version = "HTTP/1.1"
    got: ClassVar[list[dict[str, Any]]] = []

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _say(self, body: bytes, kind: str = "application/json", status: int = 200, **fields: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/zipped":
                self._say(gzip.compress(json.dumps({"card": CARD}).encode()), Content_Encoding="gzip")
            case "/image":
                data = bytes(range(256)) * 400
                first, last = 0, len(data) - 1
                asked = self.headers.get("range")
                if asked:
                    begin, _, end = asked.removeprefix("bytes=").partition("-")
                    first, last = int(begin), int(end or last)
                    span = f"bytes {first}-{last}/{len(data)}"
                    self._say(data[first : last + 1], "image/png", 206, Content_Range=span)
                else:
                    self._say(data, "image/png", Accept_Ranges="bytes")
            case "/chunks":
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Transfer-Encoding", "chunked")
                self.send_header("Trailer", "X-Sum")
                self.end_headers()
                for piece in (b"card 41111111", b"11111111 and no more"):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\nX-Sum: 7\r\n\r\n")
            case "/until-closed":
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(b"until it closes")
                self.close_connection = True
            case "/cut":
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"cut")
                self.close_connection = True
            case "/away":
                self._say(b"", status=302, Location="https://evil.example/")
            case _:
                self._say(json.dumps({"path": self.path}).encode())

    do_HEAD = do_GET  # noqa: N815 (as the standard library calls it)

    def do_POST(self) -> None:
        body = self._body()
        self.got.append({"path": self.path, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()})
        self._say(json.dumps({"size": len(body)}).encode())

    do_PUT = do_POST  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    def answer(socket: websockets.sync.server.ServerConnection) -> None:
        for message in socket:
            if message == "card":
                socket.send(json.dumps({"card": CARD}))
            elif message == "leave":
                socket.close(4001, "as you wish")
            else:
                socket.send(message)

    with websockets.sync.server.serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BillingApi]:
    api = BillingApi(tmp_path_factory.mktemp("billing"))
    yield api
    api.stop()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], billing: BillingApi, plain: str, echo: str) -> LiveGateway:
    nobody = {"protocol": "http", "default_role": "agent", "roles": {"agent": {}}}
    apis = [
        billing.target(),
        {**nobody, "name": "plain", "origins": [plain]},
        {**nobody, "name": "echo", "origins": [echo]},
    ]
    return new_gateway(apis=apis, allows_all=True)


# curl ---------------------------------------------------------------------------------------------------------------------


def curl(door: LiveGateway, *arguments: str, path: str = "/plain/", stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    config = f'header = "Authorization: Bearer {door.mint()}"\n'.encode()
    secrets = door.home / "curl.conf"
    secrets.write_bytes(config)
    argv = ["curl", "-sS", "--max-time", "60", "--config", str(secrets), "--cacert", str(door.world.authority.path)]
    return subprocess.run([*argv, *arguments, door.http_url + path], input=stdin, capture_output=True, check=False)


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
def test_curl_by_each_version(door: LiveGateway, version: str) -> None:
    found = curl(door, version, "-w", "\n%{http_version} %{http_code}", path="/billing/customers/1")
    body, _, told = found.stdout.rpartition(b"\n")
    assert told.split() == [{"--http1.0": b"1.1", "--http1.1": b"1.1", "--http2": b"2"}[version], b"200"], found.stderr
    assert json.loads(body)["name"] == "Ada Brown"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("way", ["whole", "chunked"])
def test_a_large_upload_arrives_as_it_was(door: LiveGateway, version: str, way: str) -> None:
    data = bytes(range(251)) * (SIZE // 251)
    more = ["-H", "Transfer-Encoding: chunked"] if way == "chunked" and version == "--http1.1" else []
    kind = ["-H", "Content-Type: application/octet-stream"]
    found = curl(door, version, *kind, *more, "--data-binary", "@-", path=f"/plain/upload-{way}", stdin=data)
    assert json.loads(found.stdout) == {"size": len(data)}, found.stderr
    assert Target.got[-1]["sha256"] == hashlib.sha256(data).hexdigest()


def test_curl_waits_to_be_told_to_send_its_content(door: LiveGateway) -> None:
    data = b"a" * 200_000
    found = curl(door, "-H", "Expect: 100-continue", "-T", "-", path="/plain/expects", stdin=data)
    assert json.loads(found.stdout) == {"size": len(data)}, found.stderr


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_compressed_answer_is_covered_and_compressed_again(door: LiveGateway, version: str) -> None:
    found = curl(door, version, "--compressed", "-D", "-", path="/plain/zipped")
    assert b"content-encoding: gzip" in found.stdout.lower(), found.stdout
    assert CARD.encode() not in found.stdout
    assert b'{"card"' in found.stdout


def test_a_part_of_what_passes_unread_is_a_part(door: LiveGateway) -> None:
    found = curl(door, "-r", "10-19", path="/plain/image")
    assert found.stdout == bytes(range(10, 20))


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_value_across_chunks_is_covered_and_trailers_come(door: LiveGateway, version: str) -> None:
    found = curl(door, version, "-D", "-", path="/plain/chunks")
    assert CARD.encode() not in found.stdout
    assert b"and no more" in found.stdout


def test_an_answer_that_ends_with_its_connection_is_whole(door: LiveGateway) -> None:
    assert curl(door, path="/plain/until-closed").stdout == b"until it closes"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_an_answer_that_was_cut_does_not_look_whole(door: LiveGateway, version: str) -> None:
    found = curl(door, version, path="/plain/cut")
    assert found.returncode != 0 or b"502" in found.stdout


def test_a_redirect_elsewhere_is_not_passed_on(door: LiveGateway) -> None:
    found = curl(door, "-D", "-", path="/plain/away")
    assert b" 502" in found.stdout
    assert b"location" not in found.stdout.lower()


def test_head_has_the_length_and_no_content(door: LiveGateway) -> None:
    found = curl(door, "-I", path="/plain/image")
    assert b" 200" in found.stdout


# Python -------------------------------------------------------------------------------------------------------------------


def test_requests_keeps_its_connection(door: LiveGateway) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {door.mint()}"
        session.verify = str(door.world.authority.path)
        for number in (1, 2, 3):
            found = session.get(f"{door.http_url}/billing/customers/{number}", timeout=20)
            assert found.json()["id"] == number
        assert session.post(f"{door.http_url}/plain/x", data=iter([b"a" * 10, b"b" * 10]), timeout=20).json() == {"size": 20}


async def test_aiohttp_asks_many_at_a_time(door: LiveGateway) -> None:
    trust = ssl.create_default_context(cafile=str(door.world.authority.path))
    headers = {"Authorization": f"Bearer {door.mint()}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=trust, limit=20)) as session:

        async def ask(number: int) -> Any:
            async with session.get(f"{door.http_url}/plain/{number}") as answer:
                return await answer.json()

        found = await asyncio.gather(*(ask(number) for number in range(100)))
    assert [one["path"] for one in found] == [f"/{number}" for number in range(100)]


def test_a_client_of_http_2_asks_many_at_a_time_on_one_connection(door: LiveGateway) -> None:
    urls = [f"{door.http_url}/plain/{number}" for number in range(50)]
    secrets = door.home / "curl.conf"
    secrets.write_text(f'header = "Authorization: Bearer {door.mint()}"\n')
    argv = ["curl", "-sS", "--http2", "--parallel", "--parallel-max", "50", "--max-time", "60", "--config", str(secrets)]
    found = subprocess.run([*argv, "--cacert", str(door.world.authority.path), *urls], capture_output=True, check=False)
    assert sorted(found.stdout.decode().replace("}{", "}\n{").split("\n")) == sorted(
        json.dumps({"path": f"/{number}"}) for number in range(50)
    )


def test_sync_httpx_streams_a_large_answer(door: LiveGateway) -> None:
    with door.http() as client, client.stream("GET", "/plain/image") as answer:
        assert sum(len(piece) for piece in answer.iter_raw()) == 102_400


# WebSockets ---------------------------------------------------------------------------------------------------------------


def opened(door: LiveGateway, **more: Any) -> websockets.sync.client.ClientConnection:
    trust = ssl.create_default_context(cafile=str(door.world.authority.path))
    headers = {"Authorization": f"Bearer {door.mint()}"}
    url = door.http_url.replace("https:", "wss:") + "/echo/"
    return websockets.sync.client.connect(url, ssl=trust, additional_headers=headers, proxy=None, **more)


def test_a_websocket_passes_text_covered(door: LiveGateway) -> None:
    with opened(door) as socket:
        for said in ("hello", "ü" * 1000, "x" * 100_000):
            socket.send(said)
            assert socket.recv(10) == said
        socket.send("card")
        said = socket.recv(10)
        assert CARD not in said
        assert "card" in json.loads(said)
        socket.send("leave")
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you wish")
    assert wait_until(lambda: any(one["status"] == "101" for one in door.entries("answer")), 5)
    (entry,) = [one for one in door.entries("action") if one["verb"] == "http.websocket"]
    assert entry["reach"] == "unknown"


def test_a_token_among_the_subprotocols_lets_a_websocket_in(door: LiveGateway) -> None:
    coded = base64.urlsafe_b64encode(door.mint().encode()).rstrip(b"=").decode()
    trust = ssl.create_default_context(cafile=str(door.world.authority.path))
    url = door.http_url.replace("https:", "wss:") + "/echo/"
    offered = [websockets.typing.Subprotocol(f"base64url.bearer.authorization.k8s.io.{coded}")]
    with websockets.sync.client.connect(url, ssl=trust, subprotocols=offered, proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(10) == "hello"


def test_binary_messages_that_cannot_be_read_end_a_websocket(door: LiveGateway) -> None:
    with opened(door) as socket:
        socket.send(b"\x00\x01")
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


# Others -------------------------------------------------------------------------------------------------------------------

NODE = """
const [url, token] = process.argv.slice(2);
const headers = {authorization: `Bearer ${token}`};
const one = await (await fetch(`${url}/billing/customers/1`, {headers})).json();
const put = await fetch(`${url}/plain/put`, {method: "PUT", headers, body: "a".repeat(100000)});
console.log(JSON.stringify({name: one.name, size: (await put.json()).size}));
"""
GO = """
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	pem, _ := os.ReadFile(os.Args[3])
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	request, _ := http.NewRequest("POST", os.Args[1]+"/plain/go", strings.NewReader(strings.Repeat("a", 200000)))
	request.Header.Set("Authorization", "Bearer "+os.Args[2])
	answer, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Print(answer.Proto, " ", string(body))
}
"""


def test_fetch_of_node(door: LiveGateway, tmp_path: Path) -> None:
    script = tmp_path / "client.mjs"
    script.write_text(NODE)
    environment = {"NODE_EXTRA_CA_CERTS": str(door.world.authority.path), "PATH": "/usr/bin:/usr/local/bin:/bin"}
    node = shutil.which("node") or "node"
    found = subprocess.run([node, str(script), door.http_url, door.mint()], env=environment, capture_output=True, check=False)
    assert json.loads(found.stdout) == {"name": "Ada Brown", "size": 100_000}, found.stderr


def test_net_http_of_go_by_http_2(door: LiveGateway, tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text(GO)
    built = subprocess.run(["go", "build", "-o", "client", "main.go"], cwd=tmp_path, capture_output=True, check=False)
    assert built.returncode == 0, built.stderr
    argv = [str(tmp_path / "client"), door.http_url, door.mint(), str(door.world.authority.path)]
    found = subprocess.run(argv, capture_output=True, check=False)
    assert found.stdout == b'HTTP/2.0 {"size": 200000}', found.stdout


def test_plain_http_on_loopback_speaks_both_versions(new_gateway: Callable[..., LiveGateway], plain: str) -> None:
    api = {"name": "plain", "protocol": "http", "default_role": "agent", "roles": {"agent": {}}, "origins": [plain]}
    gateway = new_gateway(apis=[api], allows_all=True, http_tls=False)
    for version, told in (("--http1.1", b"1.1"), ("--http2-prior-knowledge", b"2")):
        found = curl(gateway, version, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", path="/plain/x")
        assert found.stdout == told + b" 200", found.stderr
