"""JSON Web Tokens of the configured OpenID Connect providers, verified closed: what is not proven good is refused.

A token goes through these gates, in this order: its size; three parts; a header of strict JSON without ``crit``; an algorithm
of ours (never none, never one with a shared secret, so that a public key can never serve as a secret); an issuer that is
configured, compared exactly; a key of that issuer, found by key id among those that fit the algorithm; the signature, by
joserfc; then the claims (claims.py). Until the signature holds, the token's own words choose among configured things and
nothing else, and no message repeats them.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel

from gatebook.config import Provider
from gatebook.errors import ConfigError, IdentityError
from gatebook.identity.claims import Reading, identity_of
from gatebook.identity.keys import ALGORITHMS, Key, ProviderError, ProviderKeys
from gatebook.identity.strictjson import read_object
from gatebook.model import Identity

TOKEN_CHARACTERS = 16 * 1024
KEY_ID_CHARACTERS = 256
TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})  # RFC 8725 §3.11: no other sort will do

__all__ = ["TOKEN_CHARACTERS", "ProviderError", "Verifier"]


class Verifier:
    """Verifies tokens of all configured providers. One event loop uses it; keys are cached inside."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_names(providers)
        self._keys = {
            provider.issuer: ProviderKeys(provider.name, provider.issuer, provider.ca, transport=transport, monotonic=monotonic)
            for provider in providers
        }
        self._readings = {reading.issuer: reading for reading in _readings(providers)}

    async def verify(self, token: str, now: int) -> Identity:
        """Who the JWT proves to be at ``now`` (µs); raises IdentityError, and ProviderError when keys cannot be had."""
        header, claims = _open(token)
        alg, kid = _algorithm(header), _key_id(header)
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in self._readings:
            raise IdentityError(f"the token's issuer (iss) is not configured here: expected {' or '.join(self._readings)}")
        candidates = await self._keys[issuer].find(alg, kid)
        if not any(_signed_by(token, alg, candidate.key) for candidate in candidates):
            missing = "no key of its issuer fits" if not candidates else "its issuer did not sign it"
            raise IdentityError(f"the token's signature cannot be trusted: {missing}")
        return identity_of(claims, self._readings[issuer], now)


class _Registry(jws.JWSRegistry):
    """joserfc's checks with our algorithms, and room for header fields that are long and not looked at (x5c, jwk)."""

    max_header_length = TOKEN_CHARACTERS

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in ALGORITHMS:
            raise JoseError("algorithm not allowed")
        return self.algorithms[name]


_REGISTRY = _Registry(algorithms=list(ALGORITHMS), strict_check_header=False)


def _signed_by(token: str, alg: str, key: Key) -> bool:
    try:
        checked = jws.deserialize_compact(token, key, registry=_REGISTRY)
    except (JoseError, ValueError):
        return False
    return bool(checked.headers()["alg"] == alg)


def _open(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(token) > TOKEN_CHARACTERS:
        raise IdentityError(f"the token is longer than {TOKEN_CHARACTERS} characters")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise IdentityError("what was sent as a token is neither a gateway token nor a signed JSON Web Token")
    return _part(parts[0], "header"), _part(parts[1], "claims")


def _part(encoded: str, what: str) -> dict[str, Any]:
    try:
        return read_object(base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True))
    except ValueError as error:
        raise IdentityError(f"the token's {what} cannot be read: {_plain(error)}") from None


def _plain(error: ValueError) -> str:
    """The words of read_object; base64's own may quote what it met."""
    return "not base64url" if isinstance(error, binascii.Error) else str(error)


def _algorithm(header: Mapping[str, Any]) -> str:
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise IdentityError(f"the token's signature algorithm (alg) is not one of {', '.join(ALGORITHMS)}")
    sort = header.get("typ", "JWT")
    if not isinstance(sort, str) or sort.lower() not in TYPES:
        raise IdentityError("the token's type (typ) is not that of an identity or access token: send one of those")
    if "crit" in header or "b64" in header:
        raise IdentityError("the token's header asks for extensions (crit, b64) that are not known here")
    return alg


def _key_id(header: Mapping[str, Any]) -> str | None:
    kid = header.get("kid")
    if kid is not None and (not isinstance(kid, str) or len(kid) > KEY_ID_CHARACTERS):
        raise IdentityError(f"the token's key id (kid) is not a string of at most {KEY_ID_CHARACTERS} characters")
    return kid


def _check_names(providers: Sequence[Provider]) -> None:
    """Names and issuers tell groups and subjects apart, so each may stand once."""
    for what, values in (("name", [one.name for one in providers]), ("issuer", [one.issuer for one in providers])):
        if len(set(values)) != len(values):
            raise ConfigError([f"identity.providers: {what}: {', '.join(values)}: expected each one once"])
    for provider in providers:
        if "/" in provider.name:
            raise ConfigError([f"identity.providers: name: {provider.name}: expected a name without /"])


def _readings(providers: Sequence[Provider]) -> list[Reading]:
    """Groups of the first provider keep their names; those of every other one become ``provider/name``."""
    prefixes = [""] + [f"{provider.name}/" for provider in providers[1:]]
    return [
        Reading(
            issuer=provider.issuer,
            audience=provider.audience,
            groups_claim=provider.groups_claim,
            kind=provider.kind.always,
            kind_claim=provider.kind.claim or "",
            attributes=tuple(provider.attributes),
            purpose_claim=provider.purpose_claim or "",
            prefix=prefix,
            others=tuple(other for other in prefixes if other and not prefix),
        )
        for provider, prefix in zip(providers, prefixes, strict=True)
    ]
