"""An identity provider's endpoints, by its discovery document (OpenID Connect Discovery 1.0), and how they are called.

Only addresses that nobody on the way can change are used; answers are JSON objects of a bounded size.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx

from gatebook.config import Provider
from gatebook.config.values import SecretReference
from gatebook.errors import ConfigError
from gatebook.identity.keys import DOCUMENT_BYTES, FETCH_SECONDS, FRESH_SECONDS, LOOPBACK, ProviderError, trustworthy
from gatebook.identity.strictjson import read_object

_PLAIN = {"Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Client:
    """As whom a provider is asked: one with a secret, or a public one, which names itself."""

    id: str
    secret: SecretReference | None = field(default=None, repr=False)

    def shown(self, form: dict[str, str] | None) -> tuple[dict[str, str] | None, httpx.Auth | None]:
        """The form with what proves the client, or that beside it: by Basic (RFC 6749 §2.3.1 encodes both parts first)."""
        if form is None or not self.id:
            return form, None
        if self.secret is None:
            return form | {"client_id": self.id}, None
        return form, httpx.BasicAuth(quote_plus(self.id), quote_plus(self.secret.read()))


NOBODY = Client("")


class Endpoints:
    """Those of one provider. Used from one event loop."""

    def __init__(
        self,
        provider: Provider,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider, self._transport, self._monotonic = provider, transport, monotonic
        self._described: dict[str, Any] = {}
        self._fetched_at = float("-inf")

    async def described(self) -> dict[str, Any]:
        """What it says of itself; raises ProviderError."""
        if self._monotonic() - self._fetched_at >= FRESH_SECONDS:
            url = self._provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
            status, described = await self.call("GET", url)
            if status != httpx.codes.OK or described.get("issuer") != self._provider.issuer:
                raise ProviderError(f"identity provider {self._provider.name} does not describe itself: try again shortly")
            self._described, self._fetched_at = described, self._monotonic()
        return self._described

    async def endpoint(self, name: str) -> str:
        """The address of one; raises ProviderError."""
        url = (await self.described()).get(name)
        if not isinstance(url, str) or not trustworthy(url):
            raise ProviderError(f"identity provider {self._provider.name} cannot be used: its {name} is not an https address")
        return url

    async def call(
        self, method: str, url: str, form: dict[str, str] | None = None, client: Client = NOBODY
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of an answer, as this client; raises ProviderError without one."""
        local, ca = urlsplit(url).hostname in LOOPBACK, self._provider.ca
        try:
            verify = ssl.create_default_context(cafile=str(ca) if ca else None)
            async with httpx.AsyncClient(
                transport=self._transport, verify=verify, timeout=FETCH_SECONDS, trust_env=not local, follow_redirects=False
            ) as http:
                return await _object(http, method, url, *client.shown(form))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            text = f"identity provider {self._provider.name} cannot be used ({type(error).__name__}): try again shortly"
            raise ProviderError(text) from error
        except ConfigError as error:
            raise ProviderError(
                f"the client secret for {self._provider.name} cannot be read: tell whoever runs Gatebook"
            ) from error


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
