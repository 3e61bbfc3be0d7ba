"""The web app in Chromium: people sign in, see what waits without reloading, decide, look at sessions and end them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.browser.stage import Stage
from tests.web.pages.site import add_session, uuid

from gatebook.access.approvals import State

pytestmark = pytest.mark.real


def test_a_person_signs_in_from_the_page_they_want_and_out_again(stage: Stage) -> None:
    request = stage.hold()
    page = stage.sign_in(stage.open(), to=f"/approvals/{request.id}")
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in with demo")).to_be_visible()
    page.goto(f"{stage.url}/approvals")
    expect(page.get_by_role("link", name="Sign in with demo")).to_be_visible()


def test_who_cancels_at_the_provider_is_not_signed_in(stage: Stage) -> None:
    page = stage.open()
    page.goto(f"{stage.url}/sign-in")
    page.get_by_role("link", name="Sign in with demo").click()
    page.get_by_role("button", name="Nobody: cancel").click()
    expect(page.get_by_role("heading", name="Not signed in")).to_be_visible()


def test_a_link_from_elsewhere_finds_a_person_who_is_signed_in(stage: Stage) -> None:
    request = stage.hold()
    page = stage.sign_in(stage.open())
    page.goto(f"{stage.issuer}/device")
    page.evaluate("address => { const a = document.createElement('a'); a.href = address; a.id = 'x'; a.text = 'x';"
                  " document.body.append(a); }", f"{stage.url}/approvals/{request.id}")  # fmt: skip
    page.click("#x")
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    assert page.url == f"{stage.url}/approvals/{request.id}"


def test_what_is_held_appears_and_goes_without_a_reload(stage: Stage) -> None:
    page = stage.sign_in(stage.open())
    expect(page.get_by_role("status")).to_have_text("Nothing waits")
    page.evaluate("window.same = true")
    request = stage.hold()
    expect(page.get_by_role("status")).to_have_text("1 for you to decide")
    expect(page.get_by_text("ALTER TABLE orders ADD COLUMN gift boolean")).to_be_visible()
    expect(page).to_have_title("(1) Approvals · Gatebook")
    stage.approvals.leave(request.id, stage.now(), "the session is over")
    expect(page.get_by_role("status")).to_have_text("Nothing waits")
    expect(page.get_by_text("void")).to_be_visible()
    assert page.evaluate("window.same") is True


def test_a_person_approves_with_a_reason_and_another_window_sees_it(stage: Stage) -> None:
    request = stage.hold()
    page = stage.sign_in(stage.open(), "dana", f"/approvals/{request.id}")
    other = stage.sign_in(stage.open(), "erin", f"/approvals/{request.id}")
    page.get_by_label("Reason").fill("as planned in SHOP-7")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").locator(".state")).to_have_text("approved")
    expect(other.get_by_role("status").locator(".state")).to_have_text("approved")
    expect(other.get_by_text("as planned in SHOP-7")).to_be_visible()
    expect(other.get_by_role("button", name="Approve")).to_have_count(0)
    assert stage.approvals.find(request.id).state is State.APPROVED


def test_a_denial_needs_a_reason(stage: Stage) -> None:
    request = stage.hold()
    page = stage.sign_in(stage.open(), to=f"/approvals/{request.id}")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_text("A denial needs a reason")).to_be_visible()
    page.go_back()
    page.get_by_label("Reason").fill("not on a Friday")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("status").locator(".state")).to_have_text("denied")


def test_two_people_are_needed_where_the_rule_says_so(stage: Stage) -> None:
    request = stage.hold(quorum=2)
    dana = stage.sign_in(stage.open(), "dana", f"/approvals/{request.id}")
    dana.get_by_role("button", name="Approve").click()
    expect(dana.get_by_text("1 of 2 approved")).to_be_visible()
    expect(dana.get_by_text("You have voted on this already")).to_be_visible()
    erin = stage.sign_in(stage.open(), "erin", f"/approvals/{request.id}")
    erin.get_by_role("button", name="Approve").click()
    expect(erin.get_by_role("status").locator(".state")).to_have_text("approved")


def test_what_is_typed_and_where_one_is_stays_when_the_page_changes_by_itself(stage: Stage) -> None:
    request = stage.hold(quorum=3)
    page = stage.sign_in(stage.open(), "dana", f"/approvals/{request.id}")
    field = page.get_by_label("Reason")
    field.fill("half a thou")
    page.get_by_text("What a yes is bound to").click()
    field.focus()
    erin = stage.sign_in(stage.open(), "erin", f"/approvals/{request.id}")
    erin.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("1 of 3 approved")).to_be_visible()
    page.keyboard.type("ght")
    expect(field).to_have_value("half a thought")
    expect(page.get_by_text(request.digest)).to_be_visible()


def test_a_person_outside_the_group_sees_nothing_of_it(stage: Stage) -> None:
    request = stage.hold()
    page = stage.sign_in(stage.open(), "frank")
    expect(page.get_by_role("status")).to_have_text("Nothing waits")
    page.goto(f"{stage.url}/approvals/{request.id}")
    expect(page.get_by_role("heading", name="Not here")).to_be_visible()


def test_a_forged_form_on_another_site_changes_nothing(stage: Stage) -> None:
    request = stage.hold()
    page = stage.sign_in(stage.open())
    page.goto(f"{stage.issuer}/device")
    page.evaluate(
        """([action, digest]) => { const f = document.createElement('form'); f.method = 'post'; f.action = action;
        for (const [name, value] of [['verdict', 'approve'], ['digest', digest]]) {
          const i = document.createElement('input'); i.name = name; i.value = value; f.append(i); }
        document.body.append(f); f.submit(); }""",
        [f"{stage.url}/approvals/{request.id}/vote", request.digest],
    )
    expect(page.get_by_role("heading", name="Not from here")).to_be_visible()
    assert stage.approvals.find(request.id).state is State.OPEN


def test_a_page_cannot_be_framed(stage: Stage) -> None:
    page = stage.sign_in(stage.open())
    page.goto(f"{stage.issuer}/device")
    page.evaluate("url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f); }", stage.url)
    page.wait_for_timeout(500)
    assert "Gatebook" not in (page.frames[-1].content() if len(page.frames) > 1 else "")
    stage.faults.clear()  # the browser says why


def test_sessions_are_followed_while_they_live_and_ended_by_an_operator(stage: Stage) -> None:
    page = stage.sign_in(stage.open(), to="/sessions")
    expect(page.get_by_text("Nobody is connected.")).to_be_visible()
    session = add_session(stage.source, 900, "shop-agent", "DELETE FROM customers")
    page.get_by_role("link", name="shop-agent").click()
    expect(page.get_by_text("DELETE FROM customers")).to_be_visible()
    page.get_by_label("Reason").fill("runs wild")
    page.get_by_role("button", name="End it now").click()
    expect(page.get_by_role("status").locator(".state")).to_have_text("ending")
    expect(page.get_by_text("asked by person:dana")).to_be_visible()
    assert page.url == f"{stage.url}/sessions/{session}"


def test_everything_can_be_reached_and_decided_by_keyboard(stage: Stage) -> None:
    request = stage.hold()
    page = stage.sign_in(stage.open())
    page.locator("body").press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stage.url}/approvals/{request.id}")
    page.get_by_label("Reason").focus()
    page.keyboard.type("fine")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").locator(".state")).to_have_text("approved")


def test_pages_work_without_scripts(stage: Stage) -> None:
    request = stage.hold()
    page = stage.sign_in(stage.open(java_script_enabled=False), to=f"/approvals/{request.id}")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").locator(".state")).to_have_text("approved")
    assert uuid(1) in page.url
