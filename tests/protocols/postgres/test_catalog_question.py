"""The catalog question on real servers."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from gatebook.protocols.postgres.catalog import ANYWHERE, ASKED_FOR, MEANINGFUL, answers, question

pytestmark = pytest.mark.real


@pytest.mark.parametrize("server", ["plain_postgres", "tls_postgres"])
def test_all_settings_are_told_whole(request: pytest.FixtureRequest, server: str) -> None:
    """A column that holds names first would cut each at 63 bytes."""
    with psycopg.connect(request.getfixturevalue(server).dsn("shop")) as connection:
        connection.execute("SET search_path = public, " + ", ".join(f"a_schema_of_a_long_name_{number}" for number in range(9)))
        rows: list[tuple[Any, ...]] = connection.execute(question([ANYWHERE])).fetchall()
    _, path, settings = answers([[str(cell).encode() for cell in row] for row in rows if row[0] == "s"])
    assert [line.partition("=")[0] for line in settings.splitlines()] == [*sorted(MEANINGFUL), "current_user", *ASKED_FOR]
    assert path.endswith("a_schema_of_a_long_name_8")
