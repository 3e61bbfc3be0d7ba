"""Fixtures that any test may ask for; nothing is started before one does."""

import signal

import pytest
from hypothesis import settings

pytest_plugins = ["tests.testbed.fixtures"]

# How long an example takes says more about the machine's other work than about the code: what must be quick is counted instead.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in its background with it ignored


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: Playwright leaves an event loop running, in which no test of our own could run one."""
    items.sort(key=lambda item: "browser" in item.path.parts)
