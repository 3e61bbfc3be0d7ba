"""Signing in by device code: who signed in is verified, who has not is waited for, and nothing odd reaches a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from tests.identity.issuer import AUDIENCE, ISSUER, NOW, Clock, Issuer, claims, token
from tests.identity.test_identity_oidc import provider

from gatebook.errors import IdentityError
from gatebook.identity.device import GRANT, LONGEST_SECONDS, DeviceClient
from gatebook.identity.keys import ProviderError

CLIENT = "gatebook-ssh"
BEGUN = {
    "device_code": "s3cret-device",
    "user_code": "WDJB-MJHT",
    "verification_uri": f"{ISSUER}/device",
    "expires_in": 600,
    "interval": 5,
}
PENDING, SLOW = (400, {"error": "authorization_pending"}), (400, {"error": "slow_down"})


Said = tuple[int, dict[str, Any]]


class Provider:
    """Plays the provider's endpoints for devices; ``says`` is what its token endpoint answers, in turn."""

    def __init__(
        self, says: Sequence[tuple[int, dict[str, Any]]] = (), begun: tuple[int, dict[str, Any]] = (200, BEGUN)
    ) -> None:
        self.issuer, self.says, self.begun = Issuer(), list(says), begun
        self.forms: list[dict[str, str]] = []
        self.clock = Clock()
        self.slept: list[float] = []
        self.issuer.discovery = {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/keys",
            "device_authorization_endpoint": f"{ISSUER}/device_authorization",
            "token_endpoint": f"{ISSUER}/token",
        }

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return self.issuer.answer(request)
        self.forms.append(dict(httpx.QueryParams(request.content.decode())))
        status, body = self.begun if request.url.path.endswith("device_authorization") else self.says.pop(0)
        return httpx.Response(status, stream=httpx.ByteStream(httpx.Response(status, json=body).content))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.seconds += seconds

    def client(self) -> DeviceClient:
        known = provider().model_copy(update={"device_client_id": CLIENT})
        transport = httpx.MockTransport(self.answer)
        return DeviceClient(known, transport=transport, monotonic=self.clock, sleep=self.sleep)


def now() -> int:
    return NOW


async def test_who_signs_in_is_who_the_id_token_made_for_the_client_says():
    played = Provider([PENDING, SLOW, (200, {"id_token": token(claims(aud=CLIENT)), "access_token": "opaque"})])
    client = played.client()
    code = await client.begin()
    assert (code.address, code.user_code) == (f"{ISSUER}/device", "WDJB-MJHT")
    found = await client.answered(code, now, 60)
    assert found is not None
    assert found.subject == "agent-7"
    assert played.forms[0] == {"scope": "openid", "client_id": CLIENT}
    assert played.forms[1] == {"grant_type": GRANT, "device_code": "s3cret-device", "client_id": CLIENT}
    assert played.slept == [5, 10]
    assert "s3cret" not in repr(code)


async def test_without_an_id_token_the_access_token_counts_that_is_made_for_the_gateway():
    played = Provider([(200, {"access_token": token(claims(aud=AUDIENCE))})])
    client = played.client()
    assert await client.answered(await client.begin(), now, 60) is not None


@pytest.mark.parametrize(
    "given",
    [
        {"id_token": token(claims(aud=AUDIENCE))},
        {"access_token": token(claims(aud=CLIENT))},
        {"id_token": token(claims(aud=CLIENT, exp=NOW // 1_000_000 - 600))},
        {"id_token": token(claims(aud=CLIENT))[:-8] + "AAAAAAAA", "access_token": token(claims(aud=AUDIENCE))},
        {"id_token": 5},
        {},
    ],
)
async def test_a_token_for_somebody_else_or_none_lets_nobody_in(given: dict[str, Any]):
    played = Provider([(200, given)])
    client = played.client()
    with pytest.raises(IdentityError):
        await client.answered(await client.begin(), now, 60)


async def test_nobody_is_asked_about_more_often_than_the_provider_wants_nor_longer_than_the_patience():
    played = Provider([PENDING] * 20)
    client = played.client()
    code = await client.begin()
    assert await client.answered(code, now, 12) is None
    assert played.slept == [5, 5]
    assert await client.answered(code, now, 3) is None
    assert len(played.forms) == 4
    assert await client.answered(code, now, 5) is None
    assert len(played.forms) == 5


async def test_a_code_ends_and_a_refusal_is_said():
    played = Provider([PENDING] * 200)
    client = played.client()
    code = await client.begin()
    with pytest.raises(IdentityError, match="in time"):
        await client.answered(code, now, 10_000)
    assert sum(played.slept) <= LONGEST_SECONDS
    for error, told in (("access_denied", "was refused"), ("expired_token", "no more"), ("<b>", "no more")):
        played = Provider([(400, {"error": error})])
        client = played.client()
        with pytest.raises(IdentityError, match=told):
            await client.answered(await client.begin(), now, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"user_code": "A\x1b[2J"},
        {"user_code": "x" * 65},
        {"user_code": None},
        {"verification_uri": "http://login.example.com/device"},
        {"verification_uri": f"{ISSUER}/device\r\nopen evil"},
        {"verification_uri": 7},
        {"device_code": ""},
    ],
)
async def test_what_is_no_code_or_no_address_is_shown_to_nobody(change: dict[str, Any]):
    with pytest.raises(ProviderError):
        await Provider(begun=(200, BEGUN | change)).client().begin()
    with pytest.raises(ProviderError):
        await Provider(begun=(500, BEGUN)).client().begin()


@pytest.mark.parametrize("odd", [-1, 0, True, "9", 1e12, None, float("inf")])
async def test_odd_times_are_the_usual_ones(odd: Any):
    begun = BEGUN | {"expires_in": odd if odd != float("inf") else 10**30, "interval": odd if odd != float("inf") else 10**30}
    played = Provider([PENDING] * 100, (200, begun))
    client = played.client()
    code = await client.begin()
    assert code.interval == 5
    assert code.ends_at == played.clock.seconds + LONGEST_SECONDS
