"""Real servers on loopback for tests: a certificate authority, the API in a thread, an OpenID Connect issuer in a thread."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from starlette.types import ASGIApp
from tests.identity.issuer import all_jwks, token

from gatebook.config import Config
from gatebook.web.server import serve_api


@dataclass(frozen=True)
class Certificates:
    """Files: an authority, and a certificate of it for 127.0.0.1 and localhost."""

    ca: Path
    cert: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))


def make_certificates(folder: Path) -> Certificates:
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    today = datetime.datetime.now(datetime.UTC)

    def begin(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
        built = built.serial_number(x509.random_serial_number()).not_valid_before(today - datetime.timedelta(hours=1))
        return built.not_valid_after(today + datetime.timedelta(days=1))

    constraints = x509.BasicConstraints(ca=True, path_length=0)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    root = begin(issuer, authority.public_key()).add_extension(constraints, True).add_extension(usage, True)
    root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), False)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = begin(x509.Name([]), key.public_key()).add_extension(x509.SubjectAlternativeName(names), True)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False)
    made = Certificates(folder / "ca.crt", folder / "gateway.crt", folder / "gateway.key")
    made.ca.write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    made.cert.write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made.key.chmod(0o600)
    return made


@contextmanager
def serving(config: Config, app: ASGIApp, **options: Any) -> Iterator[int]:
    """The API in a thread with a loop of its own; gives the port, ends by cancelling as ``gatebook serve`` does."""
    ports: Queue[int] = Queue()
    ending: Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def run() -> None:
        over = asyncio.Event()
        ending.put((asyncio.get_running_loop(), over))
        async with asyncio.TaskGroup() as group:
            served = group.create_task(serve_api(config, app, started=ports.put, **options))
            await over.wait()
            served.cancel()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    loop, over = ending.get(timeout=10)
    try:
        yield ports.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(timeout=20)
    assert not thread.is_alive()


@dataclass
class RunningIssuer:
    """What the issuer was asked for at its token endpoint, and what it answers there."""

    url: str = ""
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    clients: list[tuple[str, str]] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    refuse: bool = False

    def documents(self) -> dict[str, Any]:
        described = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "token_endpoint": f"{self.url}/token"}
        return {"/.well-known/openid-configuration": described, "/keys": {"keys": all_jwks()}}

    def answer_token(self, form: str, authorization: str) -> tuple[int, dict[str, Any]]:
        self.forms.append(parse_qs(form))
        client, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        self.clients.append((unquote_plus(client), unquote_plus(secret)))
        if self.refuse:
            return 401, {"error": "invalid_client", "error_description": "no such client\x1b[2J"}
        return 200, {"access_token": token(self.claims | {"iss": self.url}), "token_type": "Bearer"}


@contextmanager
def running_issuer() -> Iterator[RunningIssuer]:
    """An issuer over http on loopback."""
    state = RunningIssuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = state.documents().get(self.path)
            self._answer(200 if found else 404, found or {})

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(*state.answer_token(form, self.headers.get("Authorization", "")))

        def _answer(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
