"""Signing in from where there is no browser: OAuth's device authorization grant (RFC 8628) at an identity provider.

A person opens an address anywhere, enters a code and signs in; meanwhile the provider is asked whether they have. What it then
gives is verified like any token from outside: the ID token, made for the client, or where there is none the access token.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import httpx

from gatebook.config import Provider
from gatebook.errors import IdentityError
from gatebook.identity.endpoints import Client, Endpoints
from gatebook.identity.keys import ProviderError, trustworthy
from gatebook.identity.oidc import TOKEN_CHARACTERS, Verifier
from gatebook.model import Identity

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
LONGEST_SECONDS = 300.0  # that somebody is waited for
USUAL_INTERVAL, SLOWER = 5.0, 5.0  # seconds between two questions; RFC 8628, sections 3.2 and 3.5
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{0,63}")
_ADDRESS = re.compile(r"[!-~]{1,500}")


class DeviceCode:
    """What a person is told: where to sign in, with which code. Its repr has no secret."""

    def __init__(self, address: str, user_code: str, secret: str, ends_at: float, interval: float) -> None:
        self.address, self.user_code, self.ends_at = address, user_code, ends_at
        self._secret, self.interval, self.asked_at = secret, interval, float("-inf")

    def __repr__(self) -> str:
        return f"DeviceCode({self.address})"

    @property
    def form(self) -> dict[str, str]:
        """What the provider is asked by."""
        return {"grant_type": GRANT, "device_code": self._secret}


class DeviceClient:
    """One provider, as people sign in to it from elsewhere. Used from one event loop."""

    def __init__(
        self,
        provider: Provider,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        if provider.device_client_id is None:
            raise AssertionError("a provider without a client for devices")
        self._provider, self._monotonic, self._sleep = provider, monotonic, sleep
        self._client = Client(provider.device_client_id)
        self._endpoints = Endpoints(provider, transport=transport, monotonic=monotonic)
        own = provider.model_copy(update={"audience": provider.device_client_id})
        self._of_client, self._of_audience = (
            Verifier([one], transport=transport, monotonic=monotonic) for one in (own, provider)
        )

    async def begin(self) -> DeviceCode:
        """A code for somebody who wants in. Raises ProviderError."""
        url = await self._endpoints.endpoint("device_authorization_endpoint")
        status, answer = await self._endpoints.call("POST", url, {"scope": "openid"}, self._client)
        address, code, secret = (answer.get(name) for name in ("verification_uri", "user_code", "device_code"))
        if (
            status != httpx.codes.OK
            or not (isinstance(address, str) and _ADDRESS.fullmatch(address) and trustworthy(address))
            or not (isinstance(code, str) and _CODE.fullmatch(code))
            or not (isinstance(secret, str) and 0 < len(secret) <= TOKEN_CHARACTERS)
        ):
            raise ProviderError(f"identity provider {self._provider.name} gives no code to sign in with")
        lasts = min(_seconds(answer.get("expires_in"), LONGEST_SECONDS), LONGEST_SECONDS)
        interval = max(_seconds(answer.get("interval"), USUAL_INTERVAL), 1.0)
        return DeviceCode(address, code, secret, self._monotonic() + lasts, interval)

    async def answered(self, code: DeviceCode, now: Callable[[], int], patience: float) -> Identity | None:
        """Who has signed in with it; None where nobody has within ``patience`` seconds. ``now`` gives µs since 1970.

        Raises IdentityError where somebody refused or the code is over, and ProviderError.
        """
        until = self._monotonic() + patience
        while True:
            wait = code.asked_at + code.interval - self._monotonic()
            if self._monotonic() + max(wait, 0) >= code.ends_at:
                raise IdentityError("nobody has signed in with the code in time: start again")
            if self._monotonic() + max(wait, 0) > until:
                return None
            if wait > 0:
                await self._sleep(wait)
            code.asked_at = self._monotonic()
            if found := await self._ask(code, now):
                return found

    async def _ask(self, code: DeviceCode, now: Callable[[], int]) -> Identity | None:
        url = await self._endpoints.endpoint("token_endpoint")
        status, answer = await self._endpoints.call("POST", url, code.form, self._client)
        match answer.get("error") if status != httpx.codes.OK else None:
            case None:
                return await self._verified(answer, now())
            case "authorization_pending":
                return None
            case "slow_down":
                code.interval += SLOWER
                return None
            case "access_denied":
                raise IdentityError("the sign-in was refused at the identity provider")
            case _:
                raise IdentityError(f"identity provider {self._provider.name} takes the code no more: start again")

    async def _verified(self, answer: dict[str, Any], now: int) -> Identity:
        verifier, token = self._of_client, answer.get("id_token")
        if token is None:
            verifier, token = self._of_audience, answer.get("access_token")
        if not isinstance(token, str):
            raise IdentityError(f"identity provider {self._provider.name} gives no token for this sign-in: start again")
        found = await verifier.verify(token, now)
        if found.issuer != self._provider.issuer:
            raise IdentityError("the token is of another provider")
        return found


def _seconds(said: object, usual: float) -> float:
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < 86_400 else usual
