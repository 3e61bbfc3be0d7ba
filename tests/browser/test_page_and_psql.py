"""From end to end: a statement that psql sends is held, a person approves it in the browser, psql gets its answer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.stage import PATIENCE, WIDE

from gatebook.cli.demo.world import AGENT, World, clean_environment

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The demo's parts, as ``make demo`` starts them."""
    made = World(tmp_path_factory.mktemp("place"))
    try:
        made.start_database()
        made.start_provider()
        made.start_api()
        made.start_gateway()
        yield made
    finally:
        made.stop()


@pytest.fixture
def page(chromium: Browser, place: World) -> Iterator[Page]:
    context = chromium.new_context(ignore_https_errors=True, viewport={"width": WIDE[0], "height": WIDE[1]})
    context.set_default_timeout(PATIENCE)
    made = context.new_page()
    made.goto(f"{place.url}/approvals")
    made.get_by_role("link", name="Sign in with demo").click()
    made.locator("button[value=dana]").click()
    expect(made.get_by_role("status")).to_have_text("Nothing waits")
    yield made
    context.close()


@contextmanager
def psql(place: World, statement: str) -> Iterator[subprocess.Popen[str]]:
    """A psql that runs one statement, beside the browser."""
    token = place.gateway_token(place.provider_token(AGENT, "gatebook")).output.splitlines()[-1]
    environment = clean_environment() | place.psql_environment(token)
    argv = [*place.psql_arguments(), "-c", statement]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def test_a_statement_that_is_held_runs_when_a_person_approves_it_in_the_page(place: World, page: Page) -> None:
    with psql(place, "ALTER TABLE orders ADD COLUMN gift boolean") as waiting:
        page.locator(".cards").get_by_role("link", name="shop").click()
        expect(page.get_by_role("region", name="Statement, whole")).to_have_text("ALTER TABLE orders ADD COLUMN gift boolean")
        assert waiting.poll() is None
        page.get_by_role("button", name="Approve").click()
        output, _ = waiting.communicate(timeout=20)
        assert waiting.returncode == 0, output
        assert "ALTER TABLE" in output
        expect(page.get_by_role("status").locator(".state")).to_have_text("used")


def test_a_statement_that_is_denied_is_refused_with_the_reason(place: World, page: Page) -> None:
    with psql(place, "ALTER TABLE orders ADD COLUMN note_of_gift text") as waiting:
        page.locator(".cards").get_by_role("link", name="shop").click()
        page.get_by_label("Reason").fill("not on a Friday")
        page.get_by_role("button", name="Deny").click()
        output, _ = waiting.communicate(timeout=20)
        assert waiting.returncode == 1
        assert "not on a Friday" in output


def test_a_session_is_ended_from_the_page_and_its_client_is_told(place: World, page: Page) -> None:
    with psql(place, "SELECT pg_sleep(30)") as waiting:
        page.goto(f"{place.url}/sessions")
        page.get_by_role("table", name="Live sessions").get_by_role("link", name=AGENT).click()
        page.get_by_label("Reason").fill("runs wild")
        page.get_by_role("button", name="End it now").click()
        output, _ = waiting.communicate(timeout=20)
        assert waiting.returncode != 0
        assert "runs wild" in output
        expect(page.get_by_role("status").locator(".state")).to_have_text("closed")


def test_the_folder_of_the_run_holds_no_cookie_of_a_browser(place: World, page: Page) -> None:
    cookies = [cookie["value"] for cookie in page.context.cookies() if cookie["name"].startswith("__Host-")]
    kept = b"".join(path.read_bytes() for path in Path(place.folder).glob("*") if path.is_file())
    assert cookies
    assert not any(value.encode() in kept for value in cookies)
