"""How real clients come in: libpq 18 with TLS at once, with bearer tokens and protocol 3.2, and sockets that mean harm."""

from __future__ import annotations

import ctypes
import json
import socket
import ssl
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import psycopg_binary
import pytest
from tests.testbed import wire
from tests.testbed.gateways import LiveGateway

pytestmark = pytest.mark.real

GSS_REQUEST = struct.pack(">II", 8, 80_877_104)
BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN
DIRECT = {"sslnegotiation": "direct"}


def trusting(gateway: LiveGateway, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(gateway.world.authority.path))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


# TLS at once -------------------------------------------------------------------------------------------------------------


def test_libpq_that_begins_with_tls_is_let_in(gateway: LiveGateway) -> None:
    with gateway.connect(**DIRECT) as made:
        assert made.execute("SELECT 1").fetchone() == (1,)
        assert made.pgconn.ssl_in_use


def test_libpq_that_begins_with_tls_is_masked_refused_and_cancelled_like_any(gateway: LiveGateway) -> None:
    with gateway.connect(autocommit=True, **DIRECT) as made:
        assert made.execute("SELECT ssn FROM customers WHERE id = 1").fetchone() == ("***-**-4320",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            made.execute("DELETE FROM customers")
        made.cancel_safe()
        assert made.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "postgres")])
def test_tls_at_once_without_postgresqls_name_is_closed_before_anything_is_read(
    gateway: LiveGateway, protocols: tuple[str, ...]
) -> None:
    with gateway.raw() as plain, trusting(gateway, *protocols).wrap_socket(plain, server_hostname="localhost") as secured:
        secured.sendall(wire.startup())
        assert ended(secured) == b""


def test_tls_at_once_with_postgresqls_name_asks_for_the_token(gateway: LiveGateway) -> None:
    with gateway.raw() as plain, trusting(gateway, "postgresql").wrap_socket(plain, server_hostname="localhost") as secured:
        assert secured.selected_alpn_protocol() == "postgresql"
        secured.sendall(wire.startup())
        assert secured.recv(9) == b"R\0\0\0\x08\0\0\0\x03"


def test_inside_tls_at_once_no_other_tls_is_begun(gateway: LiveGateway) -> None:
    with gateway.raw() as plain, trusting(gateway, "postgresql").wrap_socket(plain, server_hostname="localhost") as secured:
        secured.sendall(wire.SSL_REQUEST)
        assert secured.recv(1) == b"N"
        secured.sendall(wire.startup())
        assert secured.recv(9) == b"R\0\0\0\x08\0\0\0\x03"


def test_a_first_byte_that_is_all_that_comes_keeps_nobody_else_out(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(limits={"login_seconds": 2})
    with gateway.raw() as hello, gateway.raw() as silent, gateway.raw() as gone:
        hello.sendall(b"\x16")
        gone.sendall(b"\x16\x03\x01")
        gone.close()
        assert gateway.psql("-c", "SELECT 1").status == 0
        ended(hello)
        assert b"the login took longer" in ended(silent)
    assert "Traceback" not in gateway.log, gateway.log[-3000:]


def ended(connection: socket.socket) -> bytes:
    """What still comes, up to the end in whichever form."""
    try:
        return wire.rest(connection)
    except (ssl.SSLError, ConnectionError):
        return b""


# Before TLS --------------------------------------------------------------------------------------------------------------


def test_after_gss_was_declined_tls_is_had(gateway: LiveGateway) -> None:
    with gateway.raw() as plain:
        for request, answer in ((GSS_REQUEST, b"N"), (wire.SSL_REQUEST, b"S")):
            plain.sendall(request)
            assert plain.recv(1) == answer
        with trusting(gateway).wrap_socket(plain, server_hostname="localhost") as secured:
            wire.logged_in(secured, gateway.mint())


def test_words_put_into_a_clients_mouth_before_tls_are_not_its_own(gateway: LiveGateway) -> None:
    """CVE-2021-23214: who sits on the way sends a startup packet and a statement ahead of the handshake."""
    mark = len(gateway.world.plain.server_log())
    with gateway.raw() as plain:
        plain.sendall(wire.SSL_REQUEST + wire.startup() + wire.query("SELECT 'put into its mouth'"))
        said = wire.rest(plain)
    assert said.startswith(b"E")
    assert b"before it was answered" in said
    with gateway.raw() as plain:
        plain.sendall(wire.SSL_REQUEST)
        assert plain.recv(1) == b"S"
        plain.sendall(wire.startup())  # in clear, where the handshake is due
        assert b"R\0\0\0\x08" not in wire.rest(plain)
    assert "put into its mouth" not in gateway.world.plain.server_log()[mark:]


# Versions ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3.0", "3.2", "latest"])
def test_libpq_gets_the_version_it_asks_for_and_can_cancel_by_it(gateway: LiveGateway, version: str) -> None:
    with gateway.connect(autocommit=True, min_protocol_version="3.0", max_protocol_version=version) as made:
        assert made.pgconn.full_protocol_version == (30000 if version == "3.0" else 30002)
        with pytest.raises(psycopg.errors.QueryCanceled):
            slept(made)
        assert made.execute("SELECT 1").fetchone() == (1,)


def slept(connection: psycopg.Connection[Any]) -> None:
    """Sleep long, and be cancelled over a second connection once the target has begun."""
    with ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(connection.execute, "SELECT pg_sleep(30)")
        while not sleeping.done():
            connection.cancel_safe(timeout=10)
        sleeping.result()


def test_a_client_that_insists_on_long_keys_gets_one(gateway: LiveGateway) -> None:
    with gateway.connect(min_protocol_version="3.2", max_protocol_version="3.2") as made:
        assert made.execute("SELECT 1").fetchone() == (1,)


# Bearer tokens -----------------------------------------------------------------------------------------------------------


class BearerRequest(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = (
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("advance", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    )


class TokenFlow:
    """libpq's own OAuth machine, with this in the place of its browser flow. ``told`` is what it was told to fetch."""

    def __init__(self, libpq: ctypes.CDLL, token: str) -> None:
        self.told: list[tuple[str, str]] = []
        self._libpq, self._token = libpq, token.encode()
        self._hook = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(BearerRequest))(self._asked)

    def _asked(self, kind: int, _connection: int, request: Any) -> int:
        if kind != BEARER_TOKEN:
            return 0
        self.told.append((request.contents.openid_configuration.decode(), (request.contents.scope or b"").decode()))
        request.contents.token = self._token
        return 1

    def __enter__(self) -> TokenFlow:
        self._libpq.PQsetAuthDataHook(self._hook)
        return self

    def __exit__(self, *_: object) -> None:
        self._libpq.PQsetAuthDataHook(self._libpq.PQdefaultAuthDataHook)


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], TokenFlow]:
    folder = Path(psycopg_binary.__file__).parent.parent / "psycopg_binary.libs"
    libpq = ctypes.CDLL(str(next(folder.glob("libpq-*"))))
    monkeypatch.setenv("PGOAUTHDEBUG", "UNSAFE")  # the test's issuer speaks http, on loopback
    return lambda token: TokenFlow(libpq, token)


def oauth(gateway: LiveGateway, **more: Any) -> psycopg.Connection[Any]:
    issuer = gateway.world.issuer.url
    return gateway.connect(**({"user": "oauth", "password": None, "oauth_issuer": issuer, "oauth_client_id": "psql"} | more))


def test_libpq_18_finds_the_provider_fetches_a_token_and_is_let_in(
    gateway: LiveGateway, flow: Callable[[str], TokenFlow]
) -> None:
    issuer = gateway.world.issuer.url
    with flow(gateway.mint()) as told, oauth(gateway, autocommit=True) as made:
        assert made.execute("SELECT current_user").fetchone() == ("shop_app",)
        assert made.execute("SELECT ssn FROM customers WHERE id = 1").fetchone() == ("***-**-4320",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no-delete-without-where"):
            made.execute("DELETE FROM customers")
    assert told.told == [(f"{issuer}/.well-known/openid-configuration", "openid")]


def test_libpq_18_that_knows_the_provider_comes_with_a_token_at_once(
    gateway: LiveGateway, flow: Callable[[str], TokenFlow]
) -> None:
    known = f"{gateway.world.issuer.url}/.well-known/openid-configuration"
    with flow(gateway.mint()), oauth(gateway, oauth_issuer=known) as made:
        assert made.execute("SELECT 1").fetchone() == (1,)


def test_libpq_18_hears_why_its_token_was_refused(gateway: LiveGateway, flow: Callable[[str], TokenFlow]) -> None:
    expired = gateway.world.issuer.expired()
    with flow(expired), pytest.raises(psycopg.OperationalError, match="token refused") as caught:
        oauth(gateway)
    assert expired.split(".")[2] not in str(caught.value)


def test_libpq_18_does_not_send_its_token_to_another_provider(gateway: LiveGateway, flow: Callable[[str], TokenFlow]) -> None:
    with flow(gateway.mint()) as told, pytest.raises(psycopg.OperationalError, match="issuer"):
        oauth(gateway, oauth_issuer="http://127.0.0.1:1")
    assert told.told == []


def test_a_target_that_is_closed_is_as_closed_by_bearer_token(gateway: LiveGateway, flow: Callable[[str], TokenFlow]) -> None:
    with flow(gateway.mint()), pytest.raises(psycopg.OperationalError, match="or there is no such target"):
        oauth(gateway, dbname="vault")


def test_a_listener_for_bearer_tokens_asks_everybody_for_one(
    new_gateway: Callable[..., LiveGateway], flow: Callable[[str], TokenFlow]
) -> None:
    gateway = new_gateway(listener={"auth": "oauth", "oauth_provider": "test", "oauth_scope": "openid gatebook"})
    with flow(gateway.mint()) as told, oauth(gateway, user="shop_app") as made:
        assert made.execute("SELECT current_user").fetchone() == ("shop_app",)
    assert told.told[0][1] == "openid gatebook"
    with pytest.raises(psycopg.OperationalError, match="requested SASL"):
        gateway.connect(require_auth="password")


def test_an_older_client_hears_of_where_tokens_are_had_as_json(gateway: LiveGateway) -> None:
    with gateway.raw() as connection:
        connection.sendall(wire.startup(user="oauth"))
        assert b"OAUTHBEARER\0\0" in connection.recv(100)
        data = b"n,,\x01auth=\x01\x01"
        connection.sendall(wire.message(b"p", b"OAUTHBEARER\0" + struct.pack(">I", len(data)) + data))
        said = connection.recv(4096)
        found = json.loads(said[9:])
        connection.sendall(wire.message(b"p", b"\x01"))
        last = wire.rest(connection)
    assert found["openid-configuration"] == f"{gateway.world.issuer.url}/.well-known/openid-configuration"
    assert b"C28000\0" in last
