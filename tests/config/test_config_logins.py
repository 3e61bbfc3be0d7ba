"""How the gateway logs in to a target, and how its clients say who they are: what may not be configured together."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.test_config_faults import changed, faults

from gatebook.config import load

VERIFIED = "tls: {mode: verify-full, ca: tls/ca.crt, name: localhost}"
CERTIFICATE = "tls: {mode: verify-full, ca: tls/ca.crt, cert: tls/gateway.crt, key: tls/gateway.key}"
ROLE = "roles: {shop_app: {password: env:SHOP_PASSWORD}}"
BARE = "roles: {shop_app: {}}"
AFAR = ("127.0.0.1:15433", "db.example:5432")


def with_login(login: str) -> tuple[str, str]:
    return ("    default_role: shop_app", f"    login: {login}\n    default_role: shop_app")


@pytest.mark.parametrize(
    "changes",
    [
        [with_login("md5")],
        [with_login("password")],
        [with_login("password"), AFAR],
        [with_login("none"), (ROLE, BARE)],
        [with_login("none"), AFAR, (ROLE, BARE)],
        [with_login("certificate"), (VERIFIED, CERTIFICATE), (ROLE, BARE), AFAR],
        [with_login("scram"), (VERIFIED, CERTIFICATE)],
        [(VERIFIED, "tls: {mode: require, binding: true}"), AFAR],
    ],
)
def test_a_login_that_fits_its_way_is_taken(tmp_path: Path, changes: list[tuple[str, str]]) -> None:
    load(changed(tmp_path, *changes))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ([with_login("kerberos")], "one of scram, md5, password, certificate, none"),
        ([with_login("password"), AFAR, (VERIFIED, "tls: {mode: require}")], "tls.mode verify-full, since db.example:5432"),
        ([with_login("none"), AFAR, (VERIFIED, "tls: {mode: require}")], "tls.mode verify-full, since db.example:5432"),
        ([with_login("certificate")], "tls.cert, tls.key and mode verify-full"),
        ([with_login("md5"), (VERIFIED, "tls: {mode: require, binding: true}")], "scram inside TLS"),
        ([(VERIFIED, "tls: {mode: disable, binding: true}"), with_login("scram")], "scram inside TLS"),
        ([(ROLE, BARE)], "a password for shop_app"),
        ([(ROLE, BARE), with_login("md5")], "a password for shop_app"),
        ([(VERIFIED, "tls: {mode: verify-full, cert: tls/gateway.crt}")], "cert and key, or neither"),
        ([(VERIFIED, "tls: {mode: verify-full, key: tls/gateway.key}")], "cert and key, or neither"),
    ],
)
def test_a_login_that_does_not_fit_is_named(tmp_path: Path, changes: list[tuple[str, str]], fault: str) -> None:
    assert any(fault in one for one in faults(changed(tmp_path, *changes)))


def test_the_provider_that_bearer_clients_are_told_of_must_be_there(tmp_path: Path) -> None:
    old = "postgres: {bind: 127.0.0.1:15432,"
    path = changed(tmp_path, (old, f"{old} auth: oauth, oauth_provider: nosuch,"))
    assert any("a name of identity.providers" in one for one in faults(path))
    path = changed(tmp_path, (old, f"{old} auth: kerberos,"))
    assert any("one of password, oauth" in one for one in faults(path))


def test_the_scope_and_provider_for_bearer_clients_are_taken(tmp_path: Path) -> None:
    old = "postgres: {bind: 127.0.0.1:15432,"
    listener = load(changed(tmp_path, (old, f"{old} auth: oauth, oauth_provider: demo, oauth_scope: a b,"))).listeners.postgres
    assert (listener.auth, listener.oauth_provider, listener.oauth_scope) == ("oauth", "demo", "a b")
