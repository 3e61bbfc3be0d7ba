"""Signing in to the pages: only people, only through the provider that was asked, only in the browser that began."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.identity.issuer import ISSUER, NOW, OTHER_RSA_KEY, SECOND, claims, token
from tests.web.pages.site import CLIENT, DANA, ORIGIN, OWN, PROVIDER, RETURN, Site, back, challenge_of, open_site

from gatebook.db import writing
from gatebook.identity.tokens import GatewayTokens
from gatebook.web.pages import store
from gatebook.web.pages.signins import LIVE_SIGN_INS, SignIns

SESSION, SIGN_IN = "__Host-gatebook", "__Host-gatebook-sign-in"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as made:
        yield made


def cookie_line(answer: httpx.Response, name: str) -> str:
    (line,) = [line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}=")]
    return line


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("gatebook.db*"))


async def signed_in(client: httpx.AsyncClient) -> bool:
    return (await client.get("/approvals")).status_code == 200


async def test_a_person_signs_in_and_comes_to_the_page_they_wanted(site: Site) -> None:
    async with site.browser() as client:
        first = await client.get("/sessions")
        assert first.status_code == 401
        assert "url=/sign-in?page=/sessions" in first.text
        answer = await site.sign_in(client, "/sessions")
        assert answer.status_code == 200
        assert "url=/sessions" in answer.text
        assert "dana" in (await client.get("/sessions")).text


async def test_the_provider_is_asked_for_a_code_with_pkce_state_and_nonce(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
    asked, (form,) = site.asked, site.forms
    assert (asked["response_type"], asked["client_id"], asked["redirect_uri"]) == ("code", CLIENT, RETURN)
    assert (asked["scope"], asked["code_challenge_method"]) == ("openid", "S256")
    assert asked["code_challenge"] == challenge_of(form["code_verifier"])
    assert len({asked["state"], asked["nonce"], form["code_verifier"]}) == 3
    assert (form["grant_type"], form["code"], form["redirect_uri"]) == ("authorization_code", "c0de", RETURN)


async def test_a_public_client_names_itself_and_one_with_a_secret_shows_it(site: Site, tmp_path: Path) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
    assert (site.forms[0]["client_id"], site.authorizations) == (CLIENT, [""])
    secret = tmp_path / "secret"
    secret.write_text("s3 cret")
    secret.chmod(0o600)
    known = {"token_seconds": 300, "providers": [PROVIDER | {"client_secret": f"file:{secret}"}]}
    with open_site(tmp_path, identity=known) as other:
        async with other.browser() as client:
            await other.sign_in(client)
            assert await signed_in(client)
        assert other.authorizations == ["Basic Z2F0ZWJvb2std2ViOnMzK2NyZXQ="]
        assert "client_id" not in other.forms[0]


async def test_cookies_are_of_this_host_alone_and_unseen_by_scripts(site: Site) -> None:
    async with site.browser() as client:
        leaving = cookie_line(await site.leave(client), SIGN_IN)
        back_again = cookie_line(await site.sign_in(client), SESSION)
    for line in (leaving, back_again):
        assert all(part in line for part in ("; Path=/", "; Secure", "; HttpOnly"))
        assert "Domain" not in line
    assert "SameSite=lax" in leaving
    assert "SameSite=strict" in back_again


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "agent"},
        {"kind": "ci"},
        {"kind": None},
        {"aud": "gatebook"},
        {"aud": [CLIENT, "other"]},
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"azp": "other"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": NOW // SECOND},
        {"iss": "https://other.test"},
        {"act": {"sub": "shop-agent"}},
        {"_claim_names": {"groups": "x"}},
        {"sub": "da\u202ena"},
    ],
)
async def test_a_token_that_does_not_prove_a_person_to_us_signs_nobody_in(site: Site, said: dict[str, Any]) -> None:
    async with site.browser() as client:
        answer = await site.sign_in(client, **said)
        assert answer.status_code == 403
        assert not await signed_in(client)


@pytest.mark.parametrize("key", ["foreign", "none", "garbage"])
async def test_a_token_that_the_provider_did_not_sign_signs_nobody_in(site: Site, key: str) -> None:
    async with site.browser() as client:
        leaving = await site.leave(client)
        said = claims(**(DANA | {"aud": CLIENT, "nonce": site.asked["nonce"]}))
        forged = {"foreign": token(said, key=OTHER_RSA_KEY), "garbage": "a.b.c"}
        site.token = forged.get(key) or token(said).replace(token(said).split(".")[0], "eyJhbGciOiJub25lIn0")
        assert (await client.get(back(leaving))).status_code == 403
        assert not await signed_in(client)


@pytest.mark.parametrize(
    "changes",
    [{"state": "x"}, {"state": None}, {"code": None}, {"error": "access_denied"}, {"iss": "https://other.test"}],
)
async def test_an_answer_that_is_not_to_our_question_is_not_redeemed(site: Site, changes: dict[str, str | None]) -> None:
    async with site.browser() as client:
        answer = await client.get(back(await site.leave(client), **changes))
        assert answer.status_code in (400, 403)
        assert not await signed_in(client)
    assert site.forms == []


async def test_an_answer_without_issuer_counts_only_where_the_provider_promises_none(site: Site) -> None:
    async with site.browser() as client:
        assert (await client.get(back(await site.leave(client), iss=None))).status_code == 200
    site.described = {"authorization_response_iss_parameter_supported": True}
    with_promise = Site(site.config, site.source, described=site.described)
    async with with_promise.browser() as client:
        assert (await client.get(back(await with_promise.leave(client), iss=None))).status_code == 403


async def test_another_browser_cannot_finish_a_sign_in(site: Site) -> None:
    async with site.browser() as attacker, site.browser() as victim:
        address = back(await site.leave(attacker))
        await site.leave(victim)
        assert (await victim.get(address)).status_code == 400
        assert not await signed_in(victim)


async def test_a_sign_in_under_way_is_good_for_ten_minutes_and_once(site: Site) -> None:
    async with site.browser() as client:
        leaving = await site.leave(client)
        site.now += 600 * SECOND
        assert (await client.get(back(leaving))).status_code == 400
        leaving = await site.leave(client)
        assert (await client.get(back(leaving))).status_code == 200
        assert (await client.get(back(leaving))).status_code == 400


@pytest.mark.parametrize(
    "page",
    ["https://evil.test/", "//evil.test", "/approvals/../x", "/sign-out", "javascript:alert(1)", "/approvals?x=1", '"><b>'],
)
async def test_nobody_is_sent_on_to_a_page_that_is_not_ours(site: Site, page: str) -> None:
    async with site.browser() as client:
        answer = await site.sign_in(client, page)
        assert "url=/approvals" in answer.text
        assert "evil" not in answer.text
        assert (await client.get("/sign-in", params={"page": page})).headers["location"] == "/approvals"


async def test_a_sign_in_lasts_as_long_as_the_providers_token_and_no_longer_than_configured(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client, exp=NOW // SECOND + 60)
        site.now += 59 * SECOND
        assert await signed_in(client)
        site.now += SECOND
        assert not await signed_in(client)
        await site.sign_in(client)
        site.now += 300 * SECOND
        assert not await signed_in(client)


async def test_signing_out_ends_the_sign_in_at_the_server_too(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        cookie = client.cookies[SESSION]
        assert (await client.post("/sign-out", headers=OWN)).headers["location"] == "/sign-in"
    async with site.browser() as client:
        client.cookies.set(SESSION, cookie, domain="gatebook.test")
        assert not await signed_in(client)


async def test_the_database_holds_no_cookie_that_could_be_used(site: Site, tmp_path: Path) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        cookie = client.cookies[SESSION]
    assert cookie.encode() not in everything_in(tmp_path)


async def test_a_gateway_token_is_no_sign_in(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        cookie = client.cookies[SESSION]
        found = SignIns(site.source).find(cookie, site.now)
        assert found is not None
        issued = GatewayTokens(site.source).issue(found, now=site.now, seconds=60)
        assert GatewayTokens(site.source).find(cookie, site.now) is None
    async with site.browser() as client:
        client.cookies.set(SESSION, issued, domain="gatebook.test")
        assert not await signed_in(client)
        assert (await client.get("/approvals", headers={"Authorization": f"Bearer {issued}"})).status_code == 401


async def test_one_person_has_so_many_sign_ins_and_the_oldest_give_way(site: Site) -> None:
    cookies = []
    for _ in range(LIVE_SIGN_INS + 1):
        site.now += SECOND
        async with site.browser() as client:
            await site.sign_in(client)
            cookies.append(client.cookies[SESSION])
    found = [SignIns(site.source).find(cookie, site.now) is not None for cookie in cookies]
    assert found == [False] + [True] * LIVE_SIGN_INS


async def test_sign_ins_that_are_over_are_forgotten(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
    with writing(site.source) as connection:
        store.delete_expired_sign_ins(connection, site.now + 301 * SECOND)
        assert connection.exec_driver_sql("SELECT count(digest) FROM page_sign_ins").scalar_one() == 0


async def test_a_provider_that_does_not_answer_is_named_and_nobody_is_signed_in(site: Site) -> None:
    async with site.browser() as client:
        leaving = await site.leave(client)
        site.status = 500
        assert (await client.get(back(leaving))).status_code == 403
        assert not await signed_in(client)
    site.described = {"issuer": "https://other.test"}
    fresh = Site(site.config, site.source, described=site.described)
    async with fresh.browser() as client:
        answer = await client.get("/sign-in/with/demo")
    assert answer.status_code == 503
    assert "identity provider demo" in answer.text.lower()


@pytest.mark.parametrize("address", ["http://issuer.test/authorize", "javascript:alert(1)", 7, None])
async def test_a_browser_is_sent_to_no_address_that_could_be_changed_on_its_way(site: Site, address: object) -> None:
    site.described = {"authorization_endpoint": address}
    async with site.browser() as client:
        assert (await client.get("/sign-in/with/demo")).status_code == 503


async def test_providers_without_a_client_sign_nobody_in(tmp_path: Path) -> None:
    known = {"token_seconds": 300, "providers": [{name: PROVIDER[name] for name in PROVIDER if name != "client_id"}]}
    with open_site(tmp_path, identity=known) as site:
        async with site.browser() as client:
            assert "Nobody can sign in yet" in (await client.get("/sign-in")).text
            assert (await client.get("/sign-in/with/demo")).status_code == 404


async def test_pages_answer_under_their_own_name_alone(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        for path in ("/approvals", "/sign-in", "/sign-in/with/demo"):
            answer = await client.get(path, headers={"Host": "evil.test"})
            assert answer.status_code == 421
            assert ORIGIN in answer.text


async def test_every_page_forbids_scripts_from_elsewhere_and_frames(site: Site) -> None:
    async with site.browser() as client:
        pages = [await client.get("/sign-in"), await client.get("/approvals"), await site.sign_in(client)]
        pages += [await client.get(path) for path in ("/approvals", "/sessions", "/approvals/x")]
    for page in pages:
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert all(
            part in policy for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'")
        )
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["strict-transport-security"]
        assert " style=" not in page.text
        assert "<script>" not in page.text
        assert ISSUER not in page.text or page.status_code == 200
