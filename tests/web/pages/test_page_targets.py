"""From the pages to a target's own host: who gets a code, and where it goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.pages.site import Site, open_site

from gatebook.identity.browsers import BrowserSignIns
from gatebook.protocols.http.browsers import packed

STATE = "s" * 43
PLACE = f"/sign-in/for/crm/{STATE}/{packed('/customers?page=2')}"
BACK = "https://crm.targets.example.org:16443/.well-known/gatebook/sign-in?code="


def listeners(folder: Path, **http: Any) -> dict[str, Any]:
    for name in ("gateway.crt", "gateway.key"):
        (folder / name).write_text("x")
        (folder / name).chmod(0o600)
    tls = {"cert": "gateway.crt", "key": "gateway.key"}
    return {
        "postgres": {"bind": "127.0.0.1:15432"},
        "http": {"bind": "127.0.0.1:16443", "tls": tls, "domain": "targets.example.org", **http},
        "api": {"bind": "127.0.0.1:18443"},
        "public_url": "https://gatebook.test",
    }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, listeners=listeners(tmp_path)) as made:
        yield made


async def test_who_is_signed_in_goes_back_with_a_code_that_is_redeemed_there(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        answer = await client.get(PLACE)
    assert answer.status_code == 303
    address = answer.headers["location"]
    assert address.startswith(BACK)
    code = address.removeprefix(BACK).partition("&")[0]
    assert address.endswith(f"&state={STATE}&page={packed('/customers?page=2')}")
    assert answer.headers["cache-control"] == "no-store"
    token, identity = BrowserSignIns(site.source).redeem(code, target="crm", state=STATE, now=site.now)
    assert token.startswith("gbt_browser_")
    assert identity.subject == "dana"


async def test_who_is_not_signed_in_signs_in_first_and_then_goes_back(site: Site) -> None:
    async with site.browser() as client:
        first = await client.get(PLACE)
        assert first.status_code == 401
        assert f"/sign-in?page={PLACE}" in first.text
        shown = await client.get("/sign-in", params={"page": PLACE})
        assert ">crm<" in shown.text
        done = await site.sign_in(client, PLACE)
        assert f"url={PLACE}" in done.text
        assert (await client.get(PLACE)).headers["location"].startswith(BACK)


@pytest.mark.parametrize(
    "place",
    [
        PLACE.replace("crm", "evil.example"),
        PLACE.replace("crm", "CRM"),
        PLACE.replace("crm", "a%2Fb"),
        PLACE.replace("crm", "-crm"),
        PLACE.replace(STATE, "short"),
        PLACE + "/more",
        PLACE + "!",
        f"/sign-in/for/crm/{STATE}/x",
    ],
)
async def test_an_address_that_was_not_made_by_a_targets_host_leads_nowhere(site: Site, place: str) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        answer = await client.get(place)
        assert (answer.status_code, answer.headers.get("location")) == (404, None)
        assert "url=/approvals" in (await site.sign_in(client, place)).text


async def test_a_frame_or_a_script_gets_no_code(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        for dest in ("iframe", "empty", "image"):
            assert (await client.get(PLACE, headers={"Sec-Fetch-Dest": dest})).status_code == 403
        assert (await client.get(PLACE, headers={"Sec-Fetch-Dest": "document"})).status_code == 303


async def test_without_a_domain_nobody_goes_anywhere(tmp_path: Path) -> None:
    with open_site(tmp_path, listeners=listeners(tmp_path, domain=None)) as site:
        async with site.browser() as client:
            await site.sign_in(client)
            assert (await client.get(PLACE)).status_code == 404


async def test_a_port_that_clients_see_is_the_one_they_go_to(tmp_path: Path) -> None:
    with open_site(tmp_path, listeners=listeners(tmp_path, public_port=443)) as site:
        async with site.browser() as client:
            await site.sign_in(client)
            answer = await client.get(PLACE)
    assert answer.headers["location"].startswith("https://crm.targets.example.org/.well-known/gatebook/sign-in?")


async def test_signing_out_ends_what_stands_on_it(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        code = (await client.get(PLACE)).headers["location"].removeprefix(BACK).partition("&")[0]
        sign_ins = BrowserSignIns(site.source)
        sign_ins.redeem(code, target="crm", state=STATE, now=site.now)
        await client.post("/sign-out", headers={"Origin": "https://gatebook.test"})
    with site.source.connect() as connection:
        live = connection.exec_driver_sql("SELECT count(*) FROM gateway_tokens WHERE revoked_at IS NULL").scalar_one()
    assert live == 0
