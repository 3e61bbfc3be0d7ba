"""The web app as a client of an identity provider: OpenID Connect's authorization code flow, with PKCE by SHA-256.

The provider's addresses come from its discovery document, and only addresses that nobody on the way can change are used. The
ID token comes straight from the token endpoint and is verified all the same, like any token from outside: signature, issuer,
audience (our client id), times, nonce.
"""

from __future__ import annotations

import base64
import hmac
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

import httpx

from gatebook.config import Provider
from gatebook.errors import ConfigError, IdentityError
from gatebook.identity.keys import DOCUMENT_BYTES, FETCH_SECONDS, FRESH_SECONDS, LOOPBACK, ProviderError, trustworthy
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
        self._transport = transport
        self._monotonic = monotonic
        self._described: dict[str, Any] = {}
        self._fetched_at = float("-inf")

    async def address(self, *, state: str, nonce: str, challenge: str) -> str:
        """Where to send the browser; raises ProviderError."""
        parts = urlsplit(self._endpoint(await self._discovery(), "authorization_endpoint"))
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
        described = await self._discovery()
        _check_issuer(answer.get("iss"), described, self._provider.issuer)
        token = await self._redeem(self._endpoint(described, "token_endpoint"), answer.get("code", ""), verifier)
        found = await self._verifier.verify(token, now)
        if found.issuer != self._provider.issuer:
            raise IdentityError("the ID token is of another provider")
        _check_claims(_claims(token), nonce, self._client_id)
        return found

    async def _discovery(self) -> dict[str, Any]:
        if self._monotonic() - self._fetched_at >= FRESH_SECONDS:
            url = self._provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
            status, described = await self._call("GET", url)
            if status != httpx.codes.OK or described.get("issuer") != self._provider.issuer:
                raise ProviderError(f"identity provider {self._provider.name} does not describe itself: try again shortly")
            self._described, self._fetched_at = described, self._monotonic()
        return self._described

    def _endpoint(self, described: Mapping[str, Any], name: str) -> str:
        url = described.get(name)
        if not isinstance(url, str) or not trustworthy(url):
            raise ProviderError(f"identity provider {self._provider.name} cannot be used: its {name} is not an https address")
        return url

    async def _redeem(self, url: str, code: str, verifier: str) -> str:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect_uri, "code_verifier": verifier}
        status, answer = await self._call("POST", url, form)
        token = answer.get("id_token")
        if status != httpx.codes.OK or not isinstance(token, str) or len(token) > TOKEN_CHARACTERS:
            raise IdentityError(f"identity provider {self._provider.name} gives no ID token for this sign-in: start again")
        return token

    async def _call(self, method: str, url: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of an answer; raises ProviderError without one."""
        local, ca = urlsplit(url).hostname in LOOPBACK, self._provider.ca
        try:
            verify = ssl.create_default_context(cafile=str(ca) if ca else None)
            async with httpx.AsyncClient(
                transport=self._transport, verify=verify, timeout=FETCH_SECONDS, trust_env=not local, follow_redirects=False
            ) as client:
                return await _object(client, method, url, *self._credentials(form))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            text = f"identity provider {self._provider.name} cannot be used ({type(error).__name__}): try again shortly"
            raise ProviderError(text) from error
        except ConfigError as error:
            raise ProviderError(
                f"the client secret for {self._provider.name} cannot be read: tell whoever runs Gatebook"
            ) from error

    def _credentials(self, form: dict[str, str] | None) -> tuple[dict[str, str] | None, httpx.Auth | None]:
        """A client with a secret shows it by Basic (RFC 6749 §2.3.1 encodes both parts first); a public one names itself."""
        if form is None:
            return None, None
        if self._provider.client_secret is None:
            return form | {"client_id": self._client_id}, None
        secret = self._provider.client_secret.read()
        return form, httpx.BasicAuth(quote_plus(self._client_id), quote_plus(secret))


async def _object(
    client: httpx.AsyncClient, method: str, url: str, form: dict[str, str] | None, auth: httpx.Auth | None
) -> tuple[int, dict[str, Any]]:
    body = bytearray()
    async with client.stream(method, url, data=form, headers=_PLAIN, auth=auth) as answer:
        async for part in answer.aiter_raw():
            body += part
            if len(body) > DOCUMENT_BYTES:
                raise ValueError("too long")
    return answer.status_code, read_object(bytes(body))


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
