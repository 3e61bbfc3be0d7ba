"""The API on a real socket: TLS, signals left alone, clients that say nothing, an address that is taken."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.web.place import Place, describe, open_place
from tests.web.running import Certificates, make_certificates, serving

from gatebook.errors import ConfigError
from gatebook.web.server import serve_api

pytestmark = pytest.mark.real


@dataclass
class Secured:
    place: Place
    certificates: Certificates


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    certificates = make_certificates(tmp_path)
    tls = {"cert": str(certificates.cert), "key": str(certificates.key)}
    listeners = {"postgres": {"bind": "127.0.0.1:15432", "tls": tls}, "api": {"bind": "127.0.0.1:0", "tls": tls}}
    with open_place(tmp_path, listeners=listeners | {"public_url": "https://127.0.0.1:18443"}) as place:
        yield Secured(place, certificates)


@contextmanager
def calling(secured: Secured) -> Iterator[httpx.Client]:
    with serving(secured.place.config, secured.place.app) as port:
        client = httpx.Client(verify=secured.certificates.context(), base_url=f"https://127.0.0.1:{port}")
        with client:
            yield client


def test_the_api_is_served_over_tls_without_a_banner(secured: Secured) -> None:
    with calling(secured) as client:
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "server" not in answer.headers
    assert "uvicorn" not in str(answer.headers)


def test_old_tls_and_no_tls_are_refused(secured: Secured) -> None:
    old = secured.certificates.context()
    with pytest.warns(DeprecationWarning, match="TLS"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with serving(secured.place.config, secured.place.app) as port:
        with pytest.raises(httpx.HTTPError), httpx.Client(verify=old) as client:
            client.get(f"https://127.0.0.1:{port}/healthz")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/healthz")


def test_a_request_head_past_the_limit_is_refused_and_others_go_on(secured: Secured) -> None:
    with calling(secured) as client:
        with suppress(httpx.HTTPError):  # whoever is still sending may find the connection closed before the answer
            assert client.get("/healthz", headers={"X-Long": "x" * 1_000_000}).status_code == 400
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\n",
    ],
)
def test_a_client_that_stops_in_the_middle_is_not_waited_for(secured: Secured, sent: bytes) -> None:
    with (
        serving(secured.place.config, secured.place.app, request_seconds=0.2) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        secured.certificates.context().wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(sent)
        received = b"".join(iter(lambda: client.recv(4_096), b""))
    assert received.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


async def test_serving_leaves_the_processes_signals_alone(secured: Secured) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        served = group.create_task(serve_api(secured.place.config, secured.place.app, started=lambda _port: ready.set()))
        await ready.wait()
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
        served.cancel()
    assert served.cancelled()


async def test_an_address_that_is_taken_is_a_fault_of_configuration(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, open_place(tmp_path) as place:
        listeners = {"api": {"bind": f"127.0.0.1:{taken.getsockname()[1]}"}, "postgres": {"bind": "127.0.0.1:15432"}}
        config = describe(tmp_path, listeners=listeners | {"public_url": "http://127.0.0.1:18443"})
        with pytest.raises(ConfigError, match=r"listeners\.api: bind: .*expected an address that is free"):
            await serve_api(config, place.app)
