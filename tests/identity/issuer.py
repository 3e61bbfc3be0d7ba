"""A small OpenID Connect issuer for tests: keys, tokens good and bad, and its documents through httpx's mock transport."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gatebook.config import Provider
from gatebook.config.values import Context

ISSUER = "https://issuer.test"
AUDIENCE = "gatebook"
SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND

RSA_KEY = rsa.generate_private_key(65_537, 2_048)
OTHER_RSA_KEY = rsa.generate_private_key(65_537, 2_048)
EC_KEYS = {"P-256": ec.generate_private_key(ec.SECP256R1()), "P-384": ec.generate_private_key(ec.SECP384R1())}
EC_KEYS["P-521"] = ec.generate_private_key(ec.SECP521R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()

_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def provider(**changes: Any) -> Provider:
    """The provider as the configuration has it."""
    base: dict[str, Any] = {"name": "demo", "issuer": ISSUER, "audience": AUDIENCE, "attributes": ("model",)}
    alone = Context(folder=Path(), files=False, mask_sets=frozenset(), target_names=(), provider_names=(), issuers=())
    return Provider.model_validate(base | {"kind": {"claim": "kind"}} | changes, context={"config": alone})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey = RSA_KEY, **more: Any) -> dict[str, Any]:
    public = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": "rsa", "use": "sig", "n": number(public.n), "e": number(public.e), **more}


def ec_jwk(curve: str, **more: Any) -> dict[str, Any]:
    key = EC_KEYS[curve]
    public, size = key.public_key().public_numbers(), (key.key_size + 7) // 8
    return {"kty": "EC", "kid": curve, "crv": curve, "x": number(public.x, size), "y": number(public.y, size), **more}


def ed_jwk(**more: Any) -> dict[str, Any]:
    return {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(ED_KEY.public_key().public_bytes_raw()), **more}


def all_jwks() -> list[dict[str, Any]]:
    return [rsa_jwk(), *(ec_jwk(curve) for curve in EC_KEYS), ed_jwk()]


def sign(alg: str, data: bytes, key: Any = None) -> bytes:
    if alg in ("EdDSA", "Ed25519"):
        return (key or ED_KEY).sign(data)
    digest = _HASHES[alg[2:]]
    if alg.startswith("ES"):
        found = key or EC_KEYS[_CURVES[alg]]
        r, s = decode_dss_signature(found.sign(data, ec.ECDSA(digest)))
        size = (found.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    scheme = padding.PKCS1v15() if alg.startswith("RS") else padding.PSS(padding.MGF1(digest), digest.digest_size)
    return (key or RSA_KEY).sign(data, scheme, digest)


def kid_for(alg: str) -> str:
    return _CURVES.get(alg) or ("ed" if alg.startswith("Ed") else "rsa")


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of a good token; None takes one away."""
    base = {"iss": ISSUER, "aud": AUDIENCE, "sub": "agent-7", "exp": NOW // SECOND + 600, "iat": NOW // SECOND}
    base |= {"groups": ["agents"], "kind": "agent", "model": "opus"}
    return {name: value for name, value in (base | changes).items() if value is not None}


def token(payload: Mapping[str, Any] | bytes | None = None, alg: str = "RS256", key: Any = None, **header: Any) -> str:
    """A signed token. ``payload`` as bytes is signed as it is; header fields set to None are left out."""
    fields = {"alg": alg, "typ": "JWT", "kid": kid_for(alg)} | header
    encoded = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    body = payload if isinstance(payload, bytes) else json.dumps(claims() if payload is None else payload).encode()
    return assemble(encoded, body, alg, key)


def assemble(header: bytes, body: bytes, alg: str = "RS256", key: Any = None) -> str:
    """A token of exactly these header and body bytes."""
    signed = f"{b64(header)}.{b64(body)}"
    return f"{signed}.{b64(sign(alg, signed.encode(), key))}"


@dataclass
class Issuer:
    """Answers discovery and keys; counts what was asked. ``down`` refuses connections; documents can be replaced."""

    issuer: str = ISSUER
    jwks: Any = field(default_factory=lambda: {"keys": all_jwks()})
    discovery: Any = None
    down: bool = False
    status: int = 200
    asked: list[str] = field(default_factory=list)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        self.asked.append(url)
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        documents = {f"{self.issuer}/.well-known/openid-configuration": self._described(), f"{self.issuer}/keys": self.jwks}
        found = documents.get(url)
        if found is None:
            return httpx.Response(404)
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        return httpx.Response(self.status, stream=httpx.ByteStream(body))

    def _described(self) -> Any:
        return self.discovery if self.discovery is not None else {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}


@dataclass
class Clock:
    """A steady clock that a test turns."""

    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds
