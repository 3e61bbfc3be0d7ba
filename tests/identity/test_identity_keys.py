"""A provider's keys: which are taken, how long they serve, and how often a provider is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.identity.issuer import ISSUER, Clock, Issuer, ec_jwk, ed_jwk, rsa_jwk

from gatebook.identity.keys import (
    DOCUMENT_BYTES,
    FRESH_SECONDS,
    KEPT_SECONDS,
    PATIENT_SECONDS,
    RETRY_SECONDS,
    ProviderError,
    ProviderKeys,
    read_keys,
    trustworthy,
)


def provider_keys(issuer: Issuer, clock: Clock) -> ProviderKeys:
    return ProviderKeys("demo", issuer.issuer, transport=issuer.transport, monotonic=clock)


async def test_keys_are_found_by_discovery_once_and_kept() -> None:
    issuer, clock = Issuer(), Clock()
    keys = provider_keys(issuer, clock)
    for _ in range(3):
        assert [key.kid for key in await keys.find("RS256", "rsa")] == ["rsa"]
    assert issuer.asked == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys"]


async def test_a_new_key_is_found_after_the_provider_rotates() -> None:
    issuer, clock = Issuer(), Clock()
    keys = provider_keys(issuer, clock)
    await keys.find("RS256", "rsa")
    issuer.jwks = {"keys": [rsa_jwk(kid="new")]}
    clock.seconds += PATIENT_SECONDS
    assert [key.kid for key in await keys.find("RS256", "new")] == ["new"]
    assert await keys.find("RS256", "rsa") == ()


async def test_invented_key_ids_do_not_flood_the_provider() -> None:
    issuer, clock = Issuer(), Clock()
    keys = provider_keys(issuer, clock)
    for attempt in range(50):
        assert await keys.find("RS256", f"invented {attempt}") == ()
    assert len(issuer.asked) == 2
    clock.seconds += PATIENT_SECONDS
    for attempt in range(50):
        assert await keys.find("RS256", f"invented {attempt}") == ()
    assert len(issuer.asked) == 4


async def test_old_keys_serve_while_the_provider_is_down_but_not_for_ever() -> None:
    issuer, clock = Issuer(), Clock()
    keys = provider_keys(issuer, clock)
    await keys.find("RS256", "rsa")
    issuer.down = True
    clock.seconds += FRESH_SECONDS
    assert await keys.find("RS256", "rsa") != ()
    clock.seconds += KEPT_SECONDS - FRESH_SECONDS
    with pytest.raises(ProviderError, match="identity provider demo cannot be reached"):
        await keys.find("RS256", "rsa")
    issuer.down = False
    clock.seconds += RETRY_SECONDS
    assert await keys.find("RS256", "rsa") != ()


async def test_fresh_keys_replace_old_ones() -> None:
    issuer, clock = Issuer(), Clock()
    keys = provider_keys(issuer, clock)
    await keys.find("RS256", "rsa")
    issuer.jwks = {"keys": [rsa_jwk(kid="new")]}
    clock.seconds += FRESH_SECONDS
    assert await keys.find("RS256", "rsa") == ()


async def test_a_provider_that_is_down_is_not_asked_by_every_login() -> None:
    issuer, clock = Issuer(down=True), Clock()
    keys = provider_keys(issuer, clock)
    for _ in range(5):
        with pytest.raises(ProviderError, match="cannot be reached"):
            await keys.find("RS256", "rsa")
    assert len(issuer.asked) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discovery": {"issuer": "https://evil.test", "jwks_uri": f"{ISSUER}/keys"}}, "names another issuer"),
        ({"discovery": {"issuer": ISSUER + "/", "jwks_uri": f"{ISSUER}/keys"}}, "names another issuer"),
        ({"discovery": {"issuer": ISSUER, "jwks_uri": "http://issuer.test/keys"}}, "jwks_uri is not an https address"),
        ({"discovery": {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}}, "jwks_uri is not an https address"),
        ({"discovery": {"issuer": ISSUER}}, "jwks_uri is not an https address"),
        ({"discovery": b"<html>"}, "not JSON"),
        ({"discovery": b"[]"}, "not an object"),
        ({"jwks": {"keys": {}}}, "not a list of at most"),
        ({"jwks": {"keys": [rsa_jwk()] * 101}}, "not a list of at most"),
        ({"jwks": b'{"keys": [], "keys": []}'}, "stands twice"),
        ({"jwks": b'"' + b"x" * DOCUMENT_BYTES + b'"'}, "more than"),
        ({"status": 500}, "answers 500"),
        ({"status": 302}, "answers 302"),
    ],
)
async def test_a_provider_with_bad_documents_is_not_used(changes: dict[str, Any], message: str) -> None:
    keys = provider_keys(Issuer(**changes), Clock())
    with pytest.raises(ProviderError, match=message):
        await keys.find("RS256", "rsa")


async def test_without_key_id_only_a_single_fitting_key_will_do() -> None:
    issuer = Issuer(jwks={"keys": [rsa_jwk(), ed_jwk()]})
    keys = provider_keys(issuer, Clock())
    assert [key.kid for key in await keys.find("RS256", None)] == ["rsa"]
    issuer.jwks = {"keys": [rsa_jwk(), rsa_jwk(kid="second")]}
    assert await provider_keys(issuer, Clock()).find("RS256", None) == ()


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "kid": "rsa", "k": "c2VjcmV0"},
        rsa_jwk(use="enc"),
        rsa_jwk(key_ops=["encrypt"]),
        rsa_jwk(key_ops="verify"),
        rsa_jwk(rsa.generate_private_key(65_537, 1_024)),
        rsa_jwk(n="AQAB"),
        rsa_jwk(n="A" * 4_000),
        rsa_jwk(e="AQ"),
        rsa_jwk(e="!"),
        rsa_jwk(n=None),
        rsa_jwk(kid=7),
        rsa_jwk(alg=["RS256"]),
        ec_jwk("P-256", x="AAAA"),
        ec_jwk("P-256", crv="secp256k1"),
        ed_jwk(crv="X25519"),
        ed_jwk(x="AAAA"),
        {"kty": ["RSA"]},
        {},
        "key",
        None,
    ],
    ids=lambda jwk: json.dumps(jwk)[:40],
)
def test_a_key_that_cannot_verify_safely_is_left_out(jwk: Any) -> None:
    assert [key.kid for key in read_keys({"keys": [jwk, ed_jwk(kid="good")]})] == ["good"]


def test_a_key_fits_only_its_own_sort_and_algorithm() -> None:
    bound, free, curve = read_keys({"keys": [rsa_jwk(alg="PS256"), rsa_jwk(), ec_jwk("P-256")]})
    assert [bound.fits(alg) for alg in ("PS256", "RS256", "ES256")] == [True, False, False]
    assert [free.fits(alg) for alg in ("PS256", "RS256", "EdDSA")] == [True, True, False]
    assert [curve.fits(alg) for alg in ("ES256", "ES384", "RS256")] == [True, False, False]


def test_a_private_key_shown_by_mistake_is_taken_as_its_public_half() -> None:
    (key,) = read_keys({"keys": [rsa_jwk(d="AQAB")]})
    assert not key.key.is_private


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://issuer.test", True),
        ("http://127.0.0.1:9000", True),
        ("http://[::1]:9000/x", True),
        ("http://localhost", True),
        ("http://issuer.test", False),
        ("http://127.0.0.1.evil.test", False),
        ("http://127.0.0.1@evil.test", False),
        ("https://", False),
        ("ftp://issuer.test", False),
        ("//issuer.test", False),
        ("http://[::1", False),
    ],
)
def test_only_https_and_this_machine_are_trustworthy(url: str, expected: bool) -> None:
    assert trustworthy(url) is expected
