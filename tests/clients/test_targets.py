"""Real targets that ask for a login in every way PostgreSQL knows, and what the gateway gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.testbed.gateways import LiveGateway
from tests.testbed.servers import TlsPostgres

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.processes import write_private

pytestmark = pytest.mark.real

PASSWORD = "of-each-of-them"
RULES = """
hostssl all by_scram 127.0.0.1/32 scram-sha-256
hostssl all by_md5 127.0.0.1/32 md5
hostssl all in_clear 127.0.0.1/32 password
hostssl all by_certificate 127.0.0.1/32 cert
hostssl all by_both 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all trusted 127.0.0.1/32 trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""
ROLES = """
SET password_encryption = 'md5';
CREATE ROLE by_md5 LOGIN PASSWORD 'of-each-of-them';
SET password_encryption = 'scram-sha-256';
CREATE ROLE by_scram LOGIN PASSWORD 'of-each-of-them';
CREATE ROLE in_clear LOGIN PASSWORD 'of-each-of-them';
CREATE ROLE by_certificate LOGIN;
CREATE ROLE by_both LOGIN PASSWORD 'of-each-of-them';
CREATE ROLE trusted LOGIN;
CREATE DATABASE shop;
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[TlsPostgres]:
    server = TlsPostgres(tmp_path_factory.mktemp("logins"), authority, RULES)
    server.start()
    server.sql(ROLES)
    yield server
    server.remove()


@pytest.fixture(scope="module")
def start(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, target: TlsPostgres, authority: Authority
) -> Iterator[LiveGateway]:
    """A gateway with a target for each way to log in, and for each way to be wrong about it."""
    folder = tmp_path_factory.mktemp("ways")
    secret, wrong = folder / "secret", folder / "wrong"
    write_private(secret, PASSWORD)
    write_private(wrong, "another")
    shown = authority.certificate("gateway-of-logins", ("by_certificate",), client=True)
    stranger = Authority(folder / "stranger").certificate("stranger", ("by_certificate",), client=True)
    verified: dict[str, Any] = {"mode": "verify-full", "ca": str(authority.path), "name": "target.test"}
    with_certificate = verified | {"cert": str(shown.cert), "key": str(shown.key)}
    with_strangers = verified | {"cert": str(stranger.cert), "key": str(stranger.key)}

    def one(
        name: str, role: str, login: str = "scram", tls: Mapping[str, Any] = verified, password: Path | None = secret
    ) -> dict[str, Any]:
        return {
            "name": name, "address": f"127.0.0.1:{target.port}", "login": login, "tls": dict(tls), "masks": [],
            "roles": {role: {"password": f"file:{password}"} if password else {}}, "default_role": role,
        }  # fmt: skip

    targets = [
        one("scram", "by_scram"),
        one("scram-bound", "by_scram", tls=verified | {"binding": True}),
        one("scram-unverified", "by_scram", tls={"mode": "require", "binding": True}),
        one("scram-wrong", "by_scram", password=wrong),
        one("scram-for-md5", "by_scram", "md5"),
        one("md5", "by_md5", "md5"),
        one("md5-wrong", "by_md5", "md5", password=wrong),
        one("md5-for-scram", "by_md5"),
        one("clear", "in_clear", "password"),
        one("clear-for-md5", "in_clear", "md5"),
        one("clear-for-scram", "in_clear"),
        one("certificate", "by_certificate", "certificate", with_certificate, None),
        one("certificate-for-scram", "by_certificate", "scram", with_certificate),
        one("certificate-of-strangers", "by_certificate", "certificate", with_strangers, None),
        one("both", "by_both", "certificate", with_certificate),
        one("both-without", "by_both"),
        one("trusted", "trusted", "none", password=None),
        one("trusted-for-scram", "trusted"),
    ]
    world = request.getfixturevalue("world")
    gateway = LiveGateway(folder / "gateway", world, extra_targets=targets).start()
    yield gateway
    gateway.stop()


def who(gateway: LiveGateway, name: str) -> Any:
    with gateway.connect(database=name, user="agent-7") as made:
        row = made.execute("SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert row is not None
        assert row[1]
        return row[0]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("scram", "by_scram"),
        ("scram-bound", "by_scram"),
        ("scram-unverified", "by_scram"),
        ("scram-for-md5", "by_scram"),
        ("md5", "by_md5"),
        ("clear", "in_clear"),
        ("certificate", "by_certificate"),
        ("both", "by_both"),
        ("trusted", "trusted"),
    ],
)
def test_a_target_is_logged_in_to_in_the_way_it_asks_for(start: LiveGateway, name: str, role: str) -> None:
    assert who(start, name) == role


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("scram-wrong", "refused the gateway's login: password authentication failed"),
        ("md5-wrong", "refused the gateway's login: password authentication failed"),
        ("md5-for-scram", "asks for an MD5 password, and is configured for login scram"),
        ("clear-for-md5", "asks for the password in clear text, and is configured for login md5"),
        ("clear-for-scram", "asks for the password in clear text, and is configured for login scram"),
        ("certificate-for-scram", "asks for no login at all, and is configured for login scram"),
        ("certificate-of-strangers", "target"),
        ("both-without", "connection requires a valid client certificate"),
        ("trusted-for-scram", "asks for no login at all, and is configured for login scram"),
    ],
)
def test_a_target_that_asks_for_what_it_should_not_is_refused_in_words(start: LiveGateway, name: str, why: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=why) as caught:
        who(start, name)
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in start.log


def test_refused_logins_leave_the_gateway_whole(start: LiveGateway) -> None:
    for name in ("clear-for-scram", "trusted-for-scram", "scram-wrong"):
        with pytest.raises(psycopg.OperationalError):
            who(start, name)
    assert who(start, "scram") == "by_scram"
    assert "Traceback" not in start.log
    start.verified()
