"""The web app as a client of an identity provider: OpenID Connect's authorization code flow, with PKCE by SHA-256.

The provider's addresses come from its discovery document, and only addresses that nobody on the way can change are used. The
ID token comes straight from the token endpoint and is verified all the same, like any token from outside: signature, issuer,
audience (our client id), times, nonce.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx

from gatebook.config import Provider
from gatebook.errors import IdentityError
from gatebook.identity.endpoints import Client, Endpoints
from gatebook.identity.oidc import TOKEN_CHARACTERS, Verifier
from gatebook.identity.strictjson import read_object
from gatebook.model import Identity

_PLAIN = {"Accept": "application/json", "Accept-Encoding": "identity"}


class SignInClient:
    """One provider, as people sign in through it. Used from one event loop."""

    def __init__(
        self,
        provider: Provider,
        verifier: Verifier,
        redirect_uri: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._client_id = provider.client_id or ""
        self._verifier = verifier
        self._redirect_uri = redirect_uri
        self._client = Client(self._client_id, provider.client_secret)
        self._endpoints = Endpoints(provider, transport=transport, monotonic=monotonic)

    async def address(self, *, state: str, nonce: str, challenge: str) -> str:
        """Where to send the browser; raises ProviderError."""
        parts = urlsplit(await self._endpoints.endpoint("authorization_endpoint"))
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": "openid",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *asked.items()])
        return urlunsplit(parts._replace(query=query, fragment=""))

    async def identity(self, answer: Mapping[str, str], *, verifier: str, nonce: str, now: int) -> Identity:
        """Whom the provider's ``answer`` (the query of its redirect) proves; raises IdentityError."""
        described = await self._endpoints.described()
        _check_issuer(answer.get("iss"), described, self._provider.issuer)
        token = await self._redeem(await self._endpoints.endpoint("token_endpoint"), answer.get("code", ""), verifier)
        found = await self._verifier.verify(token, now)
        if found.issuer != self._provider.issuer:
            raise IdentityError("the ID token is of another provider")
        _check_claims(_claims(token), nonce, self._client_id)
        return found

    async def _redeem(self, url: str, code: str, verifier: str) -> str:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect_uri, "code_verifier": verifier}
        status, answer = await self._endpoints.call("POST", url, form, self._client)
        token = answer.get("id_token")
        if status != httpx.codes.OK or not isinstance(token, str) or len(token) > TOKEN_CHARACTERS:
            raise IdentityError(f"identity provider {self._provider.name} gives no ID token for this sign-in: start again")
        return token


def _check_issuer(said: str | None, described: Mapping[str, Any], issuer: str) -> None:
    """RFC 9207: an answer that another provider made must not be redeemed at this one."""
    promised = described.get("authorization_response_iss_parameter_supported") is True
    if (said is None and promised) or (said is not None and said != issuer):
        raise IdentityError("the answer is not of the provider that was asked: start again")


def _claims(token: str) -> dict[str, Any]:
    """Claims of a token that is verified already."""
    part = token.split(".")[1]
    return read_object(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))


def _check_claims(claims: Mapping[str, Any], nonce: str, client_id: str) -> None:
    """OpenID Connect Core §3.1.3.7: made for this very sign-in, and for us."""
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise IdentityError("the ID token was made for another sign-in (nonce): start again")
    party = claims.get("azp", client_id)
    several = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
    if party != client_id or (several and "azp" not in claims):
        raise IdentityError("the ID token was made for another client (azp)")
