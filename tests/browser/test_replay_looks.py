"""Replays in Chromium: what passed through a session, at two widths, light and dark, live, hostile and damaged."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text
from tests.browser.stage import NARROW, WIDE, Stage
from tests.browser.test_page_looks import HOSTILE, axe_faults, overflowing
from tests.web.pages.site import add_session
from tests.web.pages.tapes import Deck, described, done, fill, fill_http, open_deck, row

from gatebook.db import writing
from gatebook.gateway import store

pytestmark = pytest.mark.real


def close(stage: Stage, deck: Deck) -> None:
    deck.recorder.close("the client said goodbye")
    with writing(stage.source) as connection:
        store.close_session(connection, session=deck.session, at=stage.now(), reason="left", counts=(4, 1), sizes=(900, 9_000))


def look(stage: Stage, page: Page, session: str, why: str = "ticket SEC-7: what did it read?") -> Page:
    """Say why, and see it."""
    page.goto(f"{stage.url}/sessions/{session}")
    page.get_by_role("link", name="Replay it").click()
    page.get_by_label("Reason").fill(why)
    page.get_by_role("button", name="Show the recording").click()
    expect(page.get_by_text(why)).to_be_visible()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_a_replay_is_fit_for_everybody_and_for_every_screen(stage: Stage, size: tuple[int, int], scheme: str) -> None:
    session = add_session(stage.source, 900, "shop-agent", "DELETE FROM customers")
    with open_deck(stage.folder, session) as deck:
        fill(deck)
        close(stage, deck)
        page = stage.sign_in(stage.open(size, scheme), to=f"/sessions/{session}")
        page.goto(f"{stage.url}/sessions/{session}/replay")
        assert axe_faults(page) == []
        stage.picture(page, f"replay-why-{size[0]}-{scheme}")
        look(stage, page, session)
        expect(page.get_by_text("Verified against the log: 3 segments")).to_be_visible()
        expect(page.get_by_text("323 more rows")).to_be_visible()
        expect(page.get_by_text("masked partial 2")).to_be_visible()
        expect(page.get_by_text("blocked by no-delete-without-where")).to_be_visible()
        assert axe_faults(page) == []
        assert overflowing(page) == 0
        stage.picture(page, f"replay-{size[0]}-{scheme}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_a_replay_of_an_api_shows_what_was_asked_and_what_came(stage: Stage, size: tuple[int, int], scheme: str) -> None:
    session = add_session(stage.source, 900, "billing-agent", "GET /customers")
    with open_deck(stage.folder, session) as deck:
        fill_http(deck)
        close(stage, deck)
        with writing(stage.source) as connection:
            connection.execute(text("UPDATE actions SET verb = 'http.get', status = '200', rows = 0"))
        page = stage.sign_in(stage.open(size, scheme), to=f"/sessions/{session}")
        expect(page.get_by_role("heading", name="Requests")).to_be_visible()
        expect(page.get_by_role("region", name="Request 1", exact=True)).to_have_text("GET /customers")
        expect(page.get_by_text("0 rows")).to_have_count(0)
        look(stage, page, session)
        expect(page.get_by_role("region", name="Request, step 1")).to_contain_text("GET /customers?limit=2")
        expect(page.get_by_role("region", name="Content, step 1 part 2")).to_have_text(
            '{\n  "customers": [\n    {\n      "name": "Ada Brown",\n      "email": "a***@example.com"\n    },\n    {\n'
            '      "name": "Ben Gray",\n      "tags": []\n    }\n  ]\n}'
        )
        expect(page.get_by_text("customers are not deleted")).to_be_visible()
        expect(page.get_by_text("403 Forbidden")).to_be_visible()
        events = page.locator("li.step", has_text="GET /events").locator(".passed.event")
        expect(events).to_have_count(3)
        expect(events.last).to_contain_text("data: three")
        expect(page.get_by_text("89 50 4e 47")).to_be_visible()
        expect(page.get_by_text("40,000 more characters")).to_be_visible()
        expect(page.get_by_text("0 rows")).to_have_count(0)
        field = page.get_by_text("content-encoding")
        expect(field).to_be_hidden()
        page.get_by_text("200 OK").first.click()
        expect(field).to_be_visible()
        assert axe_faults(page) == []
        assert overflowing(page) == 0
        stage.picture(page, f"replay-http-{size[0]}-{scheme}")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_what_an_api_answered_never_becomes_markup(stage: Stage, size: tuple[int, int]) -> None:
    session = add_session(stage.source, 900, "<i>agent</i>")
    with open_deck(stage.folder, session) as deck:
        fill_http(deck, HOSTILE.replace("\0", ""))
        close(stage, deck)
        page = look(stage, stage.sign_in(stage.open(size), to=f"/sessions/{session}"), session)
        page.locator("details.head summary").last.click()
        assert page.evaluate("document.querySelectorAll('main script, main img, main b, main i, main u, main s').length") == 0
        assert "owned" not in page.title()
        assert {"U+202E", "U+001B", "U+200B"} <= set(page.locator(".passed .mark").all_inner_texts())
        assert overflowing(page) == 0
        assert axe_faults(page) == []


def test_the_reason_is_in_the_book_before_anything_is_shown(stage: Stage) -> None:
    session = add_session(stage.source, 900, "shop-agent")
    with open_deck(stage.folder, session) as deck:
        fill(deck)
        close(stage, deck)
        page = stage.sign_in(stage.open(), to=f"/sessions/{session}/replay")
        expect(page.get_by_text("customers")).to_have_count(0)
        assert not [entry for entry in stage.entries if entry.kind == "recording.read"]
        look(stage, page, session)
    (read,) = [entry.fields for entry in stage.entries if entry.kind == "recording.read"]
    assert (read["target_sid"], read["why"]) == (session, "ticket SEC-7: what did it read?")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_what_was_recorded_never_becomes_markup(stage: Stage, size: tuple[int, int]) -> None:
    session = add_session(stage.source, 900, "<i>agent</i>")
    with open_deck(stage.folder, session) as deck:
        fill(deck, HOSTILE)
        close(stage, deck)
        page = look(stage, stage.sign_in(stage.open(size), to=f"/sessions/{session}"), session, "<b>why</b>")
        assert page.evaluate("document.querySelectorAll('main script, main img, main b, main i, main u, main s').length") == 0
        assert "owned" not in page.title()
        labels = page.locator(".step .mark").all_inner_texts()
        assert {"U+202E", "U+001B", "U+0000", "U+200B", "5,000 spaces"} <= set(labels)
        assert overflowing(page) == 0
        assert axe_faults(page) == []
        stage.picture(page, f"replay-hostile-{size[0]}")


def test_a_live_session_is_followed_without_a_reload_and_ended(stage: Stage) -> None:
    session = add_session(stage.source, 900, "shop-agent")
    with open_deck(stage.folder, session) as deck:
        deck.ran("SELECT 1 AS first", described("first") + row(b"1") + done("SELECT 1"), "SELECT 1", 1)
        page = look(stage, stage.sign_in(stage.open(), to=f"/sessions/{session}"), session)
        expect(page.get_by_text("the newest not in the log yet")).to_be_visible()
        page.evaluate("window.same = true")
        deck.ran("SELECT 2 AS second", described("second") + row(b"22") + done("SELECT 1"), "SELECT 1", 1)
        expect(page.get_by_text("SELECT 2 AS second")).to_be_visible()
        stage.picture(page, "replay-live")
        page.get_by_placeholder("Reason to end it").fill("enough")
        page.get_by_role("button", name="End it now").click()
        expect(page.get_by_role("status").locator(".state")).to_have_text("ending")
        page.goto(f"{stage.url}/sessions/{session}/replay")
        page.evaluate("window.same = true")
        close(stage, deck)
        expect(page.get_by_role("status").locator(".state")).to_have_text("closed")
        expect(page.get_by_text("Verified against the log")).to_be_visible()
        assert page.evaluate("window.same") is True


def test_a_damaged_segment_is_shown_as_such_and_the_rest_stays_readable(stage: Stage) -> None:
    session = add_session(stage.source, 900, "shop-agent")
    with open_deck(stage.folder, session) as deck:
        fill(deck)
        close(stage, deck)
        path = deck.place() / "1.seg"
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
        page = look(stage, stage.sign_in(stage.open(), to=f"/sessions/{session}"), session)
        expect(page.get_by_text("Not whole: 1 segment missing or damaged")).to_be_visible()
        expect(page.get_by_text("these are not the bytes that the ledger knows")).to_be_visible()
        expect(page.get_by_text("SELECT id, email, note")).to_be_visible()
        expect(page.get_by_text("ALTER TABLE orders ADD COLUMN gift")).to_be_visible()
        expect(page.get_by_text("323 more rows")).to_have_count(0)
        assert axe_faults(page) == []
        stage.picture(page, "replay-damaged")


def test_one_finds_and_jumps_by_keyboard(stage: Stage) -> None:
    session = add_session(stage.source, 900, "shop-agent", "DELETE FROM customers")
    with open_deck(stage.folder, session) as deck:
        fill(deck)
        close(stage, deck)
        page = look(stage, stage.sign_in(stage.open(), to=f"/sessions/{session}"), session)
        page.get_by_role("link", name="block 1").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".step")).to_have_count(1)
        page.get_by_role("link", name="among the others").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".step:target")).to_have_class("step block")
        page.get_by_role("searchbox").focus()
        page.keyboard.type("ORDER 519")
        page.keyboard.press("Enter")
        expect(page.locator(".step")).to_have_count(1)
        expect(page.get_by_text("SELECT id, title FROM orders")).to_be_visible()
