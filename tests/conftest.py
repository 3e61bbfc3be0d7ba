"""Fixtures that any test may ask for; nothing is started before one does."""

import pytest

pytest_plugins = ["tests.testbed.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: Playwright leaves an event loop running, in which no test of our own could run one."""
    items.sort(key=lambda item: "browser" in item.path.parts)
