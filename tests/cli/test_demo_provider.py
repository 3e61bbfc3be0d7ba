"""The demo's identity provider: whom it gives tokens, what stands in them, and what it refuses."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from gatebook.cli.demo.provider import CLIENTS, Registration, make_app, register

ISSUER = "http://127.0.0.1:1"
AGENT = Registration("shop-agent", "s3cret", {"kind": "agent", "groups": ["agents"], "model": "m", "model_version": "1"})
FOREIGN = Registration("payroll-agent", "other", {"kind": "agent"}, ("payroll",))


@pytest.fixture
def browser() -> FlaskClient:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    return make_app(ISSUER, [AGENT, FOREIGN], key).test_client()


def ask(browser: FlaskClient, auth: tuple[str, str] | None, **form: str) -> tuple[int, Mapping[str, Any]]:
    answer = browser.post("/token", data={"grant_type": "client_credentials", **form}, auth=auth)
    return answer.status_code, answer.get_json()


def test_a_client_gets_a_token_that_says_who_it_is_and_verifies_by_the_published_keys(browser: FlaskClient) -> None:
    status, answer = ask(browser, ("shop-agent", "s3cret"))
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 3600)
    keys = KeySet.import_key_set(browser.get("/jwks").get_json())
    token = jwt.decode(answer["access_token"], keys, algorithms=["ES256"])
    assert token.header["kid"]
    said = token.claims
    assert (said["iss"], said["sub"], said["aud"], said["kind"]) == (ISSUER, "shop-agent", "gatebook", "agent")
    assert (said["groups"], said["model"], said["model_version"]) == (["agents"], "m", "1")
    assert said["exp"] - said["iat"] == 3600


def test_discovery_leads_to_keys_and_token_endpoint(browser: FlaskClient) -> None:
    document = browser.get("/.well-known/openid-configuration").get_json()
    assert (document["issuer"], document["jwks_uri"]) == (ISSUER, f"{ISSUER}/jwks")
    assert document["token_endpoint"] == f"{ISSUER}/token"


def test_the_published_keys_hold_no_private_part(browser: FlaskClient) -> None:
    assert [sorted(key) for key in browser.get("/jwks").get_json()["keys"]] == [["alg", "crv", "kid", "kty", "use", "x", "y"]]


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (("shop-agent", "wrong"), {}, 401, "invalid_client"),
        (("nobody", "s3cret"), {}, 401, "invalid_client"),
        (None, {}, 401, "invalid_client"),
        (None, {"client_id": "shop-agent", "client_secret": "s3cret"}, 401, "invalid_client"),
        (("shop-agent", "s3cret"), {"audience": "payroll"}, 400, "invalid_target"),
        (("payroll-agent", "other"), {"audience": "gatebook"}, 400, "invalid_target"),
        (("shop-agent", "s3cret"), {"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_who_has_no_business_here_gets_no_token(
    browser: FlaskClient, auth: tuple[str, str] | None, form: dict[str, str], status: int, error: str
) -> None:
    got, answer = ask(browser, auth, **form)
    assert (got, answer["error"]) == (status, error)
    assert "access_token" not in answer


def test_a_client_of_another_service_gets_tokens_for_that_service(browser: FlaskClient) -> None:
    _, answer = ask(browser, ("payroll-agent", "other"))
    keys = KeySet.import_key_set(browser.get("/jwks").get_json())
    assert jwt.decode(answer["access_token"], keys, algorithms=["ES256"]).claims["aud"] == "payroll"


def test_a_registration_does_not_show_its_secret() -> None:
    assert "s3cret" not in repr(AGENT)


def test_clients_are_kept_in_a_private_file_and_read_from_no_other(tmp_path: Path) -> None:
    register(tmp_path / "state", [AGENT])
    path = tmp_path / "state" / CLIENTS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    argv = [sys.executable, "-m", "gatebook.cli.demo.provider", "--port", "0", "--state", str(path.parent)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "its mode must be 0600" in done.stderr
