"""A person's browser at a target's own host: Chromium signs in, reads, is refused, and is signed out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.browser.stage import PATIENCE, WIDE
from tests.testbed.gateways import LiveGateway
from tests.testbed.people import gateway_with_people
from tests.testbed.website import Website

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Website]:
    made = Website(tmp_path_factory.mktemp("website"))
    yield made
    made.stop()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], website: Website) -> Iterator[LiveGateway]:
    apis = [website.target(), website.target("wiki")]
    with gateway_with_people(new_gateway, apis, workers=2) as made:
        yield made


@pytest.fixture
def window(chromium: Browser, door: LiveGateway) -> Iterator[BrowserContext]:
    context = chromium.new_context(ignore_https_errors=True, viewport={"width": WIDE[0], "height": WIDE[1]})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def url(door: LiveGateway, target: str = "crm") -> str:
    return f"https://{target}.targets.localhost:{door.http_port}"


def sign_in(door: LiveGateway, window: BrowserContext, to: str = "/customers?page=2", person: str = "frank") -> Page:
    page = window.new_page()
    page.goto(url(door) + to)
    page.get_by_role("link", name="Sign in with demo").click()
    page.locator(f"button[value={person}]").click()
    page.wait_for_url(url(door) + to)
    return page


def test_a_browser_signs_in_and_comes_back_to_the_page_it_wanted_covered(
    door: LiveGateway, window: BrowserContext, website: Website
) -> None:
    page = sign_in(door, window)
    expect(page.locator("h1")).to_have_text("Customers")
    text = page.locator("#who").inner_text()
    assert "Ada Brown" in text
    assert "536-22-8726" not in text
    assert "ada.brown@example.com" not in text
    fetched = page.evaluate("() => fetch('/customer.json').then(r => r.json())")
    assert fetched["name"] == "Ada Brown"
    assert fetched["ssn"] != "536-22-8726"
    (opened,) = door.entries("session.open")
    assert opened["auth"]["by"] == "browser"
    assert (opened["actor"]["type"], opened["res"]["name"]) == ("person", "crm")
    seen = [line for line in website.seen() if line["path"].startswith("/customer")]
    assert {"page=2", ""} <= {line["query"] for line in seen}
    assert not any("gatebook" in line["fields"].get("cookie", "") for line in seen)
    assert not any("/.well-known/gatebook" in line["path"] for line in website.seen())


def test_a_websocket_of_the_page_is_covered(door: LiveGateway, window: BrowserContext) -> None:
    page = sign_in(door, window)
    said = page.evaluate(
        """() => new Promise((done, failed) => {
            const socket = new WebSocket(`wss://${location.host}/talk`);
            socket.onopen = () => socket.send("hello");
            socket.onmessage = (event) => { socket.close(); done(event.data); };
            socket.onerror = () => failed("no");
        })"""
    )
    assert said.startswith("hello: ")
    assert "536-22-8726" not in said


def test_a_refused_form_is_a_page_and_passes_when_it_is_loaded_again_after_a_yes(
    door: LiveGateway, window: BrowserContext, website: Website, pictures: Path
) -> None:
    page = sign_in(door, window)
    page.locator("#role").click()
    expect(page.locator("h1")).to_have_text("This waits for people")
    expect(page.locator("body")).to_contain_text("http-access-needs-dba")
    assert page.get_by_role("link", name="See who decides").get_attribute("href", timeout=PATIENCE)
    assert [line for line in website.seen() if line["path"] == "/iam/roles"] == []
    look(page, pictures, "held")
    approval = page.locator("dt:text-is('approval') + dd").inner_text()
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    voted = door.send("POST", f"/api/v1/approvals/{approval}/vote", dana, {"verdict": "approve", "reason": "OPS-7"})
    assert voted.status_code == 200, voted.text
    page.reload()
    expect(page.locator("h1")).to_have_text("Customers")
    assert [line["body"] for line in website.seen() if line["path"] == "/iam/roles"] == ["role=admin"]


def test_a_page_that_no_rule_opens_says_so_to_a_person_and_to_a_program(
    door: LiveGateway, window: BrowserContext, pictures: Path
) -> None:
    page = sign_in(door, window)
    fetched = page.evaluate("() => fetch('/secrets/keys').then(async r => [r.status, r.headers.get('content-type')])")
    assert fetched == [403, "application/problem+json"]
    page.goto(url(door) + "/secrets/keys")
    expect(page.locator("h1")).to_have_text("This is not allowed")
    expect(page.locator("body")).to_contain_text("no-secrets")
    look(page, pictures, "refused")


def test_who_is_signed_out_is_out_of_what_was_open_and_of_what_follows(
    door: LiveGateway, window: BrowserContext, pictures: Path
) -> None:
    page = sign_in(door, window)
    other = window.new_page()
    other.goto(url(door) + "/.well-known/gatebook/sign-out")
    look(other, pictures, "sign-out")
    other.get_by_role("button", name="Sign out").click()
    expect(other.locator("h1")).to_have_text("Signed out")
    look(other, pictures, "signed-out")
    assert page.evaluate("() => fetch('/customer.json').then(r => r.status)") == 401
    assert [cookie["name"] for cookie in window.cookies(url(door)) if cookie["name"] == "__Host-gatebook"] == []
    page.locator("#order").click()
    expect(page.locator("h1")).to_have_text("Unauthorized")
    look(page, pictures, "form-not-sent")


def test_signing_out_of_the_pages_ends_every_target(door: LiveGateway, window: BrowserContext) -> None:
    page = sign_in(door, window)
    pages = window.new_page()
    pages.goto(f"https://127.0.0.1:{door.api_port}/approvals")
    pages.get_by_role("button", name="Sign out").click()
    pages.get_by_role("link", name="Sign in with demo").wait_for()
    asked = "() => fetch('/customer.json').then(r => r.status)"  # `wait_for_function` takes the promise itself for a yes
    assert wait_until(lambda: page.evaluate(asked) == 401, 10), "its sessions are swept each quarter of a second"
    page.goto(url(door) + "/customers")
    page.get_by_role("link", name="Sign in with demo").wait_for()


def test_several_tabs_sign_in_at_the_same_time_and_each_finds_its_page(door: LiveGateway, window: BrowserContext) -> None:
    tabs = [window.new_page() for _ in range(3)]
    for number, tab in enumerate(tabs):
        tab.goto(url(door) + f"/customers?page={number}")
    for number, tab in enumerate(tabs):
        tab.get_by_role("link", name="Sign in with demo").click()
        tab.locator("button[value=frank]").click()
        tab.wait_for_url(url(door) + f"/customers?page={number}")


def test_another_target_asks_nobody_again_and_has_a_cookie_of_its_own(door: LiveGateway, window: BrowserContext) -> None:
    sign_in(door, window)
    page = window.new_page()
    page.goto(url(door, "wiki") + "/start")
    page.wait_for_url(url(door, "wiki") + "/start")
    expect(page.locator("h1")).to_have_text("Customers")
    values = {
        cookie["value"] for cookie in window.cookies() if cookie["name"] == "__Host-gatebook" and "targets" in cookie["domain"]
    }
    assert len(values) == 2


def test_what_a_target_sets_is_of_its_own_host_and_never_the_sign_in(door: LiveGateway, window: BrowserContext) -> None:
    page = sign_in(door, window)
    before = {cookie["value"] for cookie in window.cookies(url(door)) if cookie["name"] == "__Host-gatebook"}
    page.goto(url(door) + "/cookies")
    found = {cookie["name"]: cookie for cookie in window.cookies(url(door))}
    assert found["own"]["domain"] == "crm.targets.localhost", "not its siblings'"
    assert {found["__Host-gatebook"]["value"]} == before
    assert found["__Host-gatebook"]["httpOnly"]
    assert page.evaluate("() => document.cookie") == "own=1"


SIBLING = """async (crm) => {
    const found = {};
    document.cookie = "__Host-gatebook=gbt_browser_tossed; domain=targets.localhost; path=/; secure";
    document.cookie = "__Host-gatebook-begun=tossed.1; domain=targets.localhost; path=/; secure";
    const read = (options) => fetch(crm + "/orders", {credentials: "include", ...options}).then(r => r.status, () => "failed");
    found.read = await read({});
    found.post = await read({method: "POST", mode: "no-cors", body: "item=lamp"});
    found.socket = await new Promise((done) => {
        const socket = new WebSocket(crm.replace("https", "wss") + "/talk");
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    });
    return found;
}"""


def test_a_page_of_a_sibling_target_asks_nothing_by_the_persons_cookie(
    door: LiveGateway, window: BrowserContext, website: Website
) -> None:
    page = sign_in(door, window)
    page.goto(url(door, "wiki") + "/start")
    page.wait_for_url(url(door, "wiki") + "/start")
    before = len(website.seen())
    found = page.evaluate(SIBLING, url(door))
    assert (found["read"], found["socket"]) == ("failed", "refused")
    assert [line for line in website.seen()[before:] if line["path"] in ("/orders", "/talk")] == []
    assert page.evaluate("() => document.cookie") == ""


def test_a_form_of_another_site_is_shown_that_it_was_not_sent(
    door: LiveGateway, window: BrowserContext, website: Website, pictures: Path
) -> None:
    page = sign_in(door, window)
    before = len(website.seen())
    page.goto(url(door, "wiki") + "/start")
    page.wait_for_url(url(door, "wiki") + "/start")
    page.evaluate(f"() => {{ const form = document.forms[0]; form.action = '{url(door)}/orders'; form.submit(); }}")
    page.wait_for_url(url(door) + "/orders")
    assert [line for line in website.seen()[before:] if line["path"] == "/orders"] == []
    look(page, pictures, "not-from-here")


def look(page: Page, pictures: Path, name: str) -> None:
    """Screenshots in both schemes and widths; nothing is wider than the window."""
    for width, height in (WIDE, (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.screenshot(path=pictures / f"target-{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), name
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    page.emulate_media(color_scheme="light")
