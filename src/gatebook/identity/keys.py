"""The signing keys of one identity provider: found by OpenID Connect Discovery, kept for a time, fetched again when due.

Keys are fresh for ``FRESH_SECONDS``; then they are fetched again, and while the provider is down the old ones stay usable
up to ``KEPT_SECONDS`` after they were fetched, never longer. A key id nobody knows makes one extra fetch, at most every
``PATIENT_SECONDS``: whoever sends tokens with invented ids must not turn the gateway against the provider. After a failed
fetch the next one waits as long while old keys still serve, else ``RETRY_SECONDS``.

Where keys come from is decided by configuration alone. Nothing a token says (jku, x5u, jwk, x5c) is ever followed.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gatebook.errors import IdentityError
from gatebook.identity.strictjson import read_object

FRESH_SECONDS = 300.0
KEPT_SECONDS = 3_600.0
PATIENT_SECONDS = 30.0
RETRY_SECONDS = 3.0
FETCH_SECONDS = 5.0  # for both documents together: logins wait meanwhile
DOCUMENT_BYTES = 512 * 1024
KEYS = 100  # a provider has two or three; a set of thousands would make every look-up slow
MODULUS_BITS = range(2_048, 8_193)  # shorter is forgeable, longer burns the gateway's processor
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Key = RSAKey | ECKey | OKPKey

# Which keys an algorithm takes: (kty, crv). The token names the algorithm, but the key it must fit is the provider's.
ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    **{f"{family}{bits}": ("RSA", None) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
_CURVES = frozenset(crv for _, crv in ALGORITHMS.values() if crv)
_PUBLIC = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
# Raw bytes are read and counted, so that a small compressed answer cannot unpack into a large one.
_PLAIN = {"Accept": "application/json", "Accept-Encoding": "identity"}
_READERS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class ProviderError(IdentityError):
    """The identity provider is at fault or cannot be reached; the token may be good."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One public key. ``alg`` is the only algorithm it may be used with, where the provider says so."""

    kid: str | None
    kind: str
    curve: str | None
    alg: str | None
    key: Key

    def fits(self, alg: str) -> bool:
        """Whether a signature by ``alg`` could be this key's."""
        return ALGORITHMS[alg] == (self.kind, self.curve) and self.alg in (None, alg)


class ProviderKeys:
    """Keys of one provider. Used from one event loop; the lock makes many waiting logins share one fetch."""

    def __init__(
        self,
        name: str,
        issuer: str,
        ca: Path | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._issuer = issuer
        self._ca = ca
        self._transport = transport
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._keys: tuple[SigningKey, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fault = ""

    async def find(self, alg: str, kid: str | None) -> tuple[SigningKey, ...]:
        """Keys that may have signed; none when the provider has no such key. Raises ProviderError without usable keys."""
        async with self._lock:
            await self._refresh()
            found = self._select(alg, kid)
            if not found and self._since(self._tried_at) >= PATIENT_SECONDS:
                await self._fetch()
                found = self._select(alg, kid)
            return found

    def _select(self, alg: str, kid: str | None) -> tuple[SigningKey, ...]:
        fitting = [key for key in self._keys if key.fits(alg)]
        if kid is None:
            return tuple(fitting) if len(fitting) == 1 else ()
        return tuple(key for key in fitting if key.kid == kid)

    async def _refresh(self) -> None:
        age = self._since(self._fetched_at)
        pause = RETRY_SECONDS if age >= KEPT_SECONDS else PATIENT_SECONDS
        if age >= FRESH_SECONDS and self._since(self._tried_at) >= pause:
            await self._fetch()
            age = self._since(self._fetched_at)
        if age >= KEPT_SECONDS:
            self._keys = ()
            raise ProviderError(self._fault)

    def _since(self, at: float | None) -> float:
        return float("inf") if at is None else self._monotonic() - at

    async def _fetch(self) -> None:
        """Leaves the old keys in place when it fails; how long they may be used is ``_refresh``'s to say."""
        self._tried_at = self._monotonic()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                self._keys = await self._fetch_keys()
            self._fetched_at = self._monotonic()
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ssl.SSLError, TimeoutError) as error:
            self._fault = f"identity provider {self._name} cannot be reached ({type(error).__name__}); try again shortly"
        except ValueError as error:
            self._fault = f"identity provider {self._name} cannot be used: {error}"

    async def _fetch_keys(self) -> tuple[SigningKey, ...]:
        local = urlsplit(self._issuer).hostname in LOOPBACK
        verify = ssl.create_default_context(cafile=str(self._ca)) if self._ca else ssl.create_default_context()
        async with httpx.AsyncClient(
            transport=self._transport, verify=verify, timeout=FETCH_SECONDS, trust_env=not local, follow_redirects=False
        ) as client:
            described = await _document(client, self._issuer.rstrip("/") + "/.well-known/openid-configuration")
            return read_keys(await _document(client, self._keys_url(described)))

    def _keys_url(self, described: Mapping[str, Any]) -> str:
        if described.get("issuer") != self._issuer:
            raise ValueError(f"its discovery document names another issuer than {self._issuer}")
        url = described.get("jwks_uri")
        if not isinstance(url, str) or not trustworthy(url):
            raise ValueError("its jwks_uri is not an https address")
        return url


def trustworthy(url: str) -> bool:
    """Whether what comes from ``url`` cannot be changed on its way: https, or http that never leaves this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


def read_keys(document: Mapping[str, Any]) -> tuple[SigningKey, ...]:
    """Public signing keys of a JWK Set (RFC 7517); what cannot verify a signature here is left out."""
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > KEYS:
        raise ValueError(f"its key set is not a list of at most {KEYS} keys")
    return tuple(key for key in map(_read_key, listed) if key is not None)


def _read_key(jwk: object) -> SigningKey | None:
    if not isinstance(jwk, dict) or not _is_for_signatures(jwk):
        return None
    kind, kid, alg, curve = (jwk.get(name) for name in ("kty", "kid", "alg", "crv"))
    if (
        not isinstance(kind, str)
        or kind not in _PUBLIC
        or not all(value is None or isinstance(value, str) for value in (kid, alg, curve))
    ):
        return None
    # Only the public members: a provider that shows a private key by mistake must not hand it to us.
    public = {name: value for name in _PUBLIC[kind] if isinstance(value := jwk.get(name), str)}
    if len(public) != len(_PUBLIC[kind]) or not _is_sound(kind, public):
        return None
    try:
        key = _READERS[kind].import_key({"kty": kind, **public})
    except (JoseError, ValueError):
        return None
    return SigningKey(kid=kid, kind=kind, curve=curve if kind != "RSA" else None, alg=alg, key=key)


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _is_sound(kind: str, public: Mapping[str, str]) -> bool:
    if kind != "RSA":
        return public["crv"] in _CURVES
    return _bits(public["n"]) in MODULUS_BITS and _bits(public["e"]) in range(2, 65)


def _bits(number: str) -> int:
    try:
        return int.from_bytes(base64.urlsafe_b64decode(number + "=" * (-len(number) % 4)), "big").bit_length()
    except ValueError:
        return 0


async def _document(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    body = bytearray()
    async with client.stream("GET", url, headers=_PLAIN) as answer:
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"{url} answers {answer.status_code}")
        async for part in answer.aiter_raw():
            body += part
            if len(body) > DOCUMENT_BYTES:
                raise ValueError(f"{url} answers more than {DOCUMENT_BYTES} bytes")
    try:
        return read_object(bytes(body))
    except ValueError as error:
        raise ValueError(f"{url} answers {error}") from None
