"""Tokens at the verifier: every algorithm that is taken, and every way of making one that is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.identity.issuer import (
    EC_KEYS,
    ISSUER,
    NOW,
    OTHER_RSA_KEY,
    RSA_KEY,
    SECOND,
    Clock,
    Issuer,
    assemble,
    b64,
    claims,
    provider,
    rsa_jwk,
    token,
)

from gatebook.config import Provider
from gatebook.errors import ConfigError, IdentityError
from gatebook.identity.keys import ALGORITHMS
from gatebook.identity.oidc import TOKEN_CHARACTERS, ProviderError, Verifier


def verifier(issuer: Issuer | None = None, providers: list[Provider] | None = None) -> Verifier:
    return Verifier(providers or [provider()], transport=(issuer or Issuer()).transport, monotonic=Clock())


async def refusal(sent: str, issuer: Issuer | None = None) -> str:
    with pytest.raises(IdentityError) as caught:
        await verifier(issuer).verify(sent, NOW)
    return str(caught.value)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
async def test_every_algorithm_of_the_list_is_taken(alg: str) -> None:
    found = await verifier().verify(token(alg=alg), NOW)
    assert (found.subject, found.issuer) == ("agent-7", ISSUER)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
async def test_identity_and_access_tokens_are_taken(typ: str | None) -> None:
    assert (await verifier().verify(token(typ=typ), NOW)).subject == "agent-7"


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "", 7, ["JWT"]])
async def test_tokens_of_another_sort_are_refused(typ: Any) -> None:
    assert "type (typ)" in await refusal(token(typ=typ))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS256", "HS384", "HS512", "ES256K", "RSA-OAEP", "", "rs256"])
async def test_an_algorithm_outside_the_list_is_refused_before_any_key_is_fetched(alg: str) -> None:
    issuer = Issuer()
    header = json.dumps({"alg": alg, "kid": "rsa"}).encode()
    for signature in ("", b64(b"x" * 32)):
        sent = f"{b64(header)}.{b64(json.dumps(claims()).encode())}.{signature}"
        assert "signature algorithm (alg) is not one of" in await refusal(sent, issuer)
    assert issuer.asked == []


@pytest.mark.parametrize("alg", [None, 7, True, ["RS256"], {"RS256": 1}])
async def test_an_algorithm_that_is_no_name_is_refused(alg: Any) -> None:
    header = json.dumps({"alg": alg, "kid": "rsa"}).encode()
    assert "signature algorithm (alg)" in await refusal(assemble(header, json.dumps(claims()).encode()))


@pytest.mark.parametrize("alg", ["HS256", "RS256"])
async def test_the_public_key_does_not_serve_as_a_shared_secret(alg: str) -> None:
    public = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{b64(json.dumps({'alg': alg, 'kid': 'rsa'}).encode())}.{b64(json.dumps(claims()).encode())}"
    sent = f"{signed}.{b64(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"
    assert await refusal(sent)


async def test_a_shared_secret_in_the_key_set_signs_nothing() -> None:
    issuer = Issuer(jwks={"keys": [{"kty": "oct", "kid": "rsa", "k": b64(b"secret" * 8)}]})
    assert "no key of its issuer fits" in await refusal(token(), issuer)


async def test_a_signature_by_another_key_is_refused() -> None:
    assert "its issuer did not sign it" in await refusal(token(key=OTHER_RSA_KEY))


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": rsa_jwk(OTHER_RSA_KEY)},
        {"jku": "https://evil.test/keys"},
        {"x5u": "https://evil.test/cert"},
        {"x5c": ["MIIB"]},
        {"jku": "file:///etc/passwd"},
    ],
)
async def test_keys_that_a_token_brings_along_are_ignored(header: dict[str, Any]) -> None:
    issuer = Issuer()
    assert "its issuer did not sign it" in await refusal(token(key=OTHER_RSA_KEY, **header), issuer)
    assert all(url.startswith(ISSUER) for url in issuer.asked)


async def test_a_good_token_may_bring_its_key_along() -> None:
    assert (await verifier().verify(token(jwk=rsa_jwk(), x5t="abc", custom=1), NOW)).subject == "agent-7"


@pytest.mark.parametrize("kid", ["unknown", "", "../../etc/passwd", "' OR 1=1 --", "a\u0000b", "https://evil.test", "P-256"])
async def test_a_key_id_finds_only_that_key_of_the_issuer(kid: str) -> None:
    assert "no key of its issuer fits" in await refusal(token(kid=kid))


@pytest.mark.parametrize("kid", [7, ["rsa"], {"rsa": 1}, True, "x" * 257])
async def test_a_key_id_that_is_no_name_is_refused(kid: Any) -> None:
    assert "key id (kid)" in await refusal(token(kid=kid))


async def test_a_token_without_key_id_is_taken_when_only_one_key_fits() -> None:
    assert (await verifier().verify(token(kid=None), NOW)).subject == "agent-7"
    two = Issuer(jwks={"keys": [rsa_jwk(), rsa_jwk(OTHER_RSA_KEY, kid="second")]})
    assert "no key of its issuer fits" in await refusal(token(kid=None), two)


async def test_two_keys_under_one_id_are_both_tried() -> None:
    issuer = Issuer(jwks={"keys": [rsa_jwk(OTHER_RSA_KEY), rsa_jwk()]})
    assert (await verifier(issuer).verify(token(), NOW)).subject == "agent-7"


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}, {"crit": ["b64"], "b64": False}]
)
async def test_a_header_that_asks_for_extensions_is_refused(header: dict[str, Any]) -> None:
    assert "extensions (crit, b64)" in await refusal(token(**header))


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        (b'{"alg":"none","alg":"RS256","kid":"rsa"}', None, "header cannot be read: JSON with a name that stands twice"),
        (
            None,
            b'{"iss":"https://issuer.test","iss":"https://evil.test"}',
            "claims cannot be read: JSON with a name that stands",
        ),
        (None, b"[]", "claims cannot be read: JSON, but not an object"),
        (None, b"", "claims cannot be read: not JSON"),
        (None, b"[" * 5_000, "claims cannot be read: JSON nested too deep"),
        (b'"RS256"', None, "header cannot be read: JSON, but not an object"),
        (b"\xff\xfe", None, "header cannot be read: not JSON"),
    ],
)
async def test_parts_that_are_not_strict_json_are_refused(header: bytes | None, body: bytes | None, message: str) -> None:
    good = b'{"alg":"RS256","kid":"rsa"}'
    assert message in await refusal(assemble(header or good, json.dumps(claims()).encode() if body is None else body))


@pytest.mark.parametrize("sent", ["", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "é.b.c", "..", "\x00.\x00.\x00", "a.b.c"])
async def test_what_is_no_token_at_all_is_refused(sent: str) -> None:
    assert await refusal(sent)


async def test_a_token_past_the_limit_is_refused_unread() -> None:
    assert f"longer than {TOKEN_CHARACTERS}" in await refusal(token(claims(pad="x" * TOKEN_CHARACTERS)))


async def test_a_changed_byte_anywhere_is_refused() -> None:
    sent, checking = token(alg="ES256"), verifier()
    for place in range(0, len(sent), 7):
        changed = sent[:place] + ("A" if sent[place] != "A" else "B") + sent[place + 1 :]
        with pytest.raises(IdentityError):
            await checking.verify(changed, NOW)


async def test_other_spellings_of_the_same_bytes_are_refused() -> None:
    sent = token()
    header, body, signature = sent.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for other in (
        f"{header}.{body}.{signature}==",
        f"{header}.{body}.{base64.b64encode(raw).decode()}",
        f" {sent}",
        f"{sent}\n",
    ):
        assert await refusal(other)


@pytest.mark.parametrize("issuer", ["https://evil.test", ISSUER + "/", ISSUER.upper(), ["https://issuer.test"], None, 7])
async def test_an_issuer_that_is_not_configured_is_refused_and_never_asked(issuer: Any) -> None:
    serving = Issuer()
    message = await refusal(token(claims(iss=issuer)), serving)
    assert message == f"the token's issuer (iss) is not configured here: expected {ISSUER}"
    assert serving.asked == []


async def test_claims_are_checked_only_after_the_signature() -> None:
    assert "did not sign" in await refusal(token(claims(exp=1), key=OTHER_RSA_KEY))
    assert "expired at 1970-01-01T00:00:01Z" in await refusal(token(claims(exp=1)))


async def test_a_provider_that_is_down_is_named_and_nobody_gets_in() -> None:
    with pytest.raises(ProviderError, match="identity provider demo cannot be reached"):
        await verifier(Issuer(down=True)).verify(token(), NOW)


async def test_no_refusal_repeats_any_part_of_the_token() -> None:
    sent = [token(key=OTHER_RSA_KEY), token(claims(aud="other")), token(kid="unknown"), token(claims(exp=1)), token(typ="x")]
    sent += [token(claims(sub="evil\n"), poison="poison"), "poison.poison.poison", token(claims(iss="poison"))]
    for one in sent:
        message = await refusal(one)
        assert "poison" not in message
        assert "evil" not in message
        assert not any(part and part in message for part in one.split("."))


async def test_one_provider_cannot_speak_for_another() -> None:
    both = [provider(), provider(name="partner", issuer="https://partner.test", audience="gatebook")]
    partner = Issuer(issuer="https://partner.test", jwks={"keys": [rsa_jwk(OTHER_RSA_KEY)]})
    first = Issuer()

    def answer(request: httpx.Request) -> httpx.Response:
        return (partner if request.url.host == "partner.test" else first).answer(request)

    checking = Verifier(both, transport=httpx.MockTransport(answer), monotonic=Clock())
    with pytest.raises(IdentityError, match="did not sign"):
        await checking.verify(token(key=OTHER_RSA_KEY), NOW)
    found = await checking.verify(token(claims(iss="https://partner.test", groups=["dba"]), key=OTHER_RSA_KEY), NOW)
    assert found.groups == {"partner/dba"}
    with pytest.raises(IdentityError, match="named like another provider's group"):
        await checking.verify(token(claims(groups=["partner/dba"])), NOW)


@pytest.mark.parametrize("second", [{"name": "demo"}, {"issuer": ISSUER}])
def test_providers_that_share_a_name_or_an_issuer_are_refused(second: dict[str, str]) -> None:
    other = provider(**({"name": "partner", "issuer": "https://partner.test"} | second))
    with pytest.raises(ConfigError, match="expected each one once"):
        verifier(providers=[provider(), other])


async def test_a_curve_is_bound_to_its_algorithm() -> None:
    assert "no key of its issuer fits" in await refusal(token(alg="ES256", key=EC_KEYS["P-384"], kid="P-384"))


async def test_the_proof_carries_its_times() -> None:
    found = await verifier().verify(token(), NOW)
    assert (found.proven_at, found.expires_at) == (NOW, NOW + 600 * SECOND)
