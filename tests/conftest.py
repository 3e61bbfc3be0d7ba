"""Fixtures that any test may ask for; nothing is started before one does."""

pytest_plugins = ["tests.testbed.fixtures"]
