"""The pages in a real browser: Gatebook's API over TLS in a thread, the demo's provider in another, Chromium in front."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from tests.web.pages.site import CLIENT, SECOND, asked
from tests.web.pages.tapes import recording_keys
from tests.web.place import acts_of, describe
from tests.web.running import make_certificates, serving
from werkzeug.serving import make_server

from gatebook.access.approvals import Approvals, Request
from gatebook.access.book import Book
from gatebook.cli.demo.processes import free_port
from gatebook.cli.demo.provider import Registration
from gatebook.cli.demo.provider import make_app as make_provider
from gatebook.cli.demo.world import PEOPLE
from gatebook.db import engine, migrate
from gatebook.model import Entry
from gatebook.recording.reader import Reader
from gatebook.web.guard import Guard
from gatebook.web.pages.site import page_routes

WIDE, NARROW = (1280, 800), (390, 844)
PATIENCE = 10_000  # milliseconds, on a machine that does other things, too


@dataclass
class Stage:
    """What a test turns, and the browser it looks through."""

    url: str
    issuer: str
    source: Engine
    approvals: Approvals
    browser: Browser
    pictures: Path
    entries: list[Entry]
    folder: Path
    contexts: list[BrowserContext] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def now(self) -> int:
        return time.time_ns() // 1_000

    def hold(self, number: int = 1, **changes: Any) -> Request:
        """Let something wait for a person."""
        now = self.now()
        request = asked(number, **({"opened_at": now, "expires_at": now + 900 * SECOND} | changes))
        self.approvals.open(request)
        return request

    def open(self, size: tuple[int, int] = WIDE, scheme: Any = "light", **options: Any) -> Page:
        """A fresh browser window; whatever its console complains of ends up in ``faults``."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, ignore_https_errors=True, **options
        )
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        return page

    def _note(self, sort: str, text: str) -> None:
        """Faults of script and violations of the policy; a status that says no is a test's own business."""
        if sort == "error" and not text.startswith("Failed to load resource"):
            self.faults.append(text)

    def sign_in(self, page: Page, person: str = "dana", to: str = "/approvals") -> Page:
        """As people do: from the page they want, through the provider, back to it."""
        page.goto(self.url + to)
        page.get_by_role("link", name="Sign in with demo").click()
        page.locator(f"button[value={person}]").click()
        page.wait_for_url(self.url + to)
        page.get_by_role("button", name="Sign out").wait_for()
        return page

    def picture(self, page: Page, name: str, full: bool = True) -> Path:
        """A screenshot into the folder of the run."""
        path = self.pictures / f"{name}.png"
        page.screenshot(path=path, full_page=full)
        return path


@contextmanager
def _provider(port: int, url: str) -> Iterator[str]:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    web = Registration(CLIENT, "", {}, redirect_uris=(f"{url}/sign-in/return",))
    issuer = f"http://127.0.0.1:{port}"
    server = make_server("127.0.0.1", port, make_provider(issuer, [web], key, PEOPLE), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def open_stage(folder: Path, browser: Browser, pictures: Path) -> Iterator[Stage]:
    """Everything, until the test is over."""
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    made = make_certificates(folder)
    source = engine(f"sqlite:///{folder}/gatebook.db")
    migrate(source)
    entries: list[Entry] = []
    with _provider(free_port(), url) as issuer:
        config = describe(
            folder,
            deployment="shop",
            identity={
                "token_seconds": 3600,
                "providers": [
                    {"name": "demo", "issuer": issuer, "audience": "gatebook", "kind": {"claim": "kind"}, "client_id": CLIENT}
                ],
            },
            recording=recording_keys(folder),
            listeners={
                "postgres": {"bind": "127.0.0.1:15432"},
                "api": {"bind": f"127.0.0.1:{port}", "tls": {"cert": str(made.cert), "key": str(made.key)}},
                "public_url": url,
            },
        )
        book = Book(entries.append, lambda who, value: who)
        approvals = Approvals(source, lambda: time.time_ns() // 1_000, book)
        stage = Stage(url, issuer, source, approvals, browser, pictures, entries, folder)
        routes = page_routes(config, source, approvals, acts_of(config, stage.now, book), stage.now, reader=Reader.of(config))
        with serving(config, Starlette(routes=routes, middleware=[Middleware(Guard)])):
            yield stage
            for context in stage.contexts:
                context.close()
    source.dispose()
