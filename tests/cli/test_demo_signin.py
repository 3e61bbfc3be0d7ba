"""How the demo's people sign in at its provider: codes are bound, used once and refused without PKCE."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from gatebook.cli.demo.provider import Registration, make_app
from gatebook.cli.demo.signin import DEVICE, Person

ISSUER = "http://127.0.0.1:1"
RETURN = "https://127.0.0.1:2/sign-in/return"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
WEB = Registration("gatebook-web", "s3cret", {}, redirect_uris=(RETURN,))
OTHER = Registration("other-web", "other", {}, redirect_uris=(RETURN,))
AGENT = Registration("shop-agent", "agent-secret", {"kind": "agent"})
PROGRAM = Registration("gatebook-cli", "", {})
DANA = Person("dana", "Dana (dba)", {"kind": "person", "groups": ["dba"]})
ASKED = {
    "response_type": "code", "client_id": "gatebook-web", "redirect_uri": RETURN, "scope": "openid", "state": "s", "nonce": "n",
    "code_challenge": CHALLENGE, "code_challenge_method": "S256",
}  # fmt: skip
REDEEMED = {"grant_type": "authorization_code", "redirect_uri": RETURN, "code_verifier": VERIFIER}


@pytest.fixture
def browser() -> FlaskClient:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    return make_app(ISSUER, [WEB, OTHER, AGENT, PROGRAM], key, [DANA]).test_client()


def sent_back(browser: FlaskClient, person: str = "dana", **changes: str) -> dict[str, str]:
    answer = browser.post("/authorize", query_string=ASKED | changes, data={"person": person})
    assert answer.status_code == 302, answer.text
    location = urlsplit(answer.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == RETURN
    return {name: values[0] for name, values in parse_qs(location.query).items()}


def redeem(browser: FlaskClient, code: str, auth: tuple[str, str] | None = ("gatebook-web", "s3cret"), **changes: str) -> Any:
    return browser.post("/token", data=REDEEMED | {"code": code} | changes, auth=auth)


def test_a_person_picks_a_name_and_the_client_gets_an_id_token_for_it(browser: FlaskClient) -> None:
    page = browser.get("/authorize", query_string=ASKED)
    assert "Dana (dba)" in page.text
    back = sent_back(browser)
    assert (back["state"], back["iss"]) == ("s", ISSUER)
    answer = redeem(browser, back["code"]).get_json()
    keys = KeySet.import_key_set(browser.get("/jwks").get_json())
    said = jwt.decode(answer["id_token"], keys, algorithms=["ES256"]).claims
    assert (said["iss"], said["aud"], said["sub"], said["nonce"]) == (ISSUER, ["gatebook-web"], "dana", "n")
    assert (said["kind"], said["groups"]) == ("person", ["dba"])
    access = jwt.decode(answer["access_token"], keys, algorithms=["ES256"]).claims
    assert (access["sub"], access["aud"], access["flow"]) == ("dana", "gatebook", "authorization_code")


def test_a_code_is_used_once(browser: FlaskClient) -> None:
    code = sent_back(browser)["code"]
    assert redeem(browser, code).status_code == 200
    assert redeem(browser, code).get_json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("auth", "changes"),
    [
        (("other-web", "other"), {}),
        (("gatebook-web", "s3cret"), {"code_verifier": "w" * 43}),
        (("gatebook-web", "s3cret"), {"code_verifier": ""}),
        (("gatebook-web", "s3cret"), {"redirect_uri": "https://elsewhere.test/"}),
        (("gatebook-web", "wrong"), {}),
        (None, {"client_id": "gatebook-web"}),
    ],
)
def test_a_code_is_redeemed_by_its_own_client_with_its_own_verifier_alone(
    browser: FlaskClient, auth: tuple[str, str] | None, changes: dict[str, str]
) -> None:
    answer = redeem(browser, sent_back(browser)["code"], auth, **changes)
    assert answer.status_code in (400, 401)
    assert "access_token" not in answer.get_json()


@pytest.mark.parametrize(
    "changes",
    [{"code_challenge": ""}, {"code_challenge_method": "plain"}, {"code_challenge_method": ""}, {"nonce": ""}],
)
def test_nobody_signs_in_without_a_challenge_by_s256_and_a_nonce(browser: FlaskClient, changes: dict[str, str]) -> None:
    answer = browser.post("/authorize", query_string=ASKED | changes, data={"person": "dana"})
    assert "code=" not in answer.headers.get("Location", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://elsewhere.test/"},
        {"redirect_uri": RETURN + "/x"},
        {"client_id": "shop-agent"},
        {"client_id": "x"},
    ],
)
def test_nothing_is_sent_to_an_address_that_is_not_registered(browser: FlaskClient, changes: dict[str, str]) -> None:
    answer = browser.post("/authorize", query_string=ASKED | changes, data={"person": "dana"})
    assert answer.status_code in (400, 401)
    assert "Location" not in answer.headers


@pytest.mark.parametrize("person", ["", "nobody"])
def test_who_cancels_or_is_unknown_gets_no_code(browser: FlaskClient, person: str) -> None:
    assert sent_back(browser, person)["error"] == "access_denied"


def test_web_clients_get_no_tokens_for_themselves(browser: FlaskClient) -> None:
    answer = browser.post("/token", data={"grant_type": "client_credentials"}, auth=("gatebook-web", "s3cret"))
    assert answer.get_json()["error"] == "unauthorized_client"


def test_a_program_waits_until_a_person_signed_in_elsewhere(browser: FlaskClient) -> None:
    begun = browser.post("/device_authorization", data={"client_id": "gatebook-cli"}).get_json()
    ask = {"grant_type": DEVICE, "client_id": "gatebook-cli", "device_code": begun["device_code"]}
    assert browser.post("/token", data=ask).get_json()["error"] == "authorization_pending"
    assert begun["user_code"] in browser.get("/device", query_string={"user_code": begun["user_code"]}).text
    browser.post("/device", data={"user_code": begun["user_code"], "person": "dana"})
    answer = browser.post("/token", data=ask).get_json()
    keys = KeySet.import_key_set(browser.get("/jwks").get_json())
    said = jwt.decode(answer["access_token"], keys, algorithms=["ES256"]).claims
    assert (said["sub"], said["flow"]) == ("dana", "device_code")
    assert browser.post("/token", data=ask).get_json()["error"] == "invalid_request"


def test_a_program_that_asks_too_often_is_told_so_and_a_refusal_ends_its_wait(browser: FlaskClient) -> None:
    begun = browser.post("/device_authorization", data={"client_id": "gatebook-cli"}).get_json()
    ask = {"grant_type": DEVICE, "client_id": "gatebook-cli", "device_code": begun["device_code"]}
    said = [browser.post("/token", data=ask).get_json()["error"] for _ in range(2)]
    assert said == ["authorization_pending", "slow_down"]
    browser.post("/device", data={"user_code": begun["user_code"].lower(), "person": ""})
    assert browser.post("/token", data=ask).get_json()["error"] == "access_denied"


def test_a_wrong_user_code_leads_to_no_sign_in(browser: FlaskClient) -> None:
    assert "No program waits" in browser.get("/device", query_string={"user_code": "AAAA-AAAA"}).text
    assert "No program waits" in browser.post("/device", data={"user_code": "AAAA-AAAA", "person": "dana"}).text
