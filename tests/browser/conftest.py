"""Chromium, started once, and a fresh stage for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.browser.stage import Stage, open_stage

FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "no Chromium: scripts/testbed installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS, "--no-sandbox", "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run's screenshots go."""
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture
def stage(chromium: Browser, tmp_path: Path, pictures: Path) -> Iterator[Stage]:
    with open_stage(tmp_path, chromium, pictures) as made:
        yield made
        assert made.faults == []
