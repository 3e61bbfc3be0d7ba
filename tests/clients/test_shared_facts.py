"""One short session after another: what the later ones take from those before never uncovers anything."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from tests.testbed.gateways import LiveGateway

pytestmark = pytest.mark.real

SSN = "078-05-1120"


@pytest.fixture
def table(gateway: LiveGateway) -> Iterator[Callable[[str], None]]:
    def owner(text: str) -> None:
        gateway.world.plain.sql(text, "shop")

    owner(f"CREATE TABLE shared_one (id int, note text); INSERT INTO shared_one VALUES (1, '{SSN}');"
          "GRANT ALL ON shared_one TO shop_app")  # fmt: skip
    yield owner
    owner("DROP TABLE IF EXISTS shared_one")


def seen(gateway: LiveGateway, *statements: str) -> str:
    with gateway.connect(autocommit=True) as made:
        rows = [made.execute(one) for one in statements]
        return str(rows[-1].fetchall())


def long_questions(gateway: LiveGateway) -> int:
    return len(re.findall(r" execute [^\n]*\s+WITH RECURSIVE asked", gateway.world.plain.server_log()))


def test_the_long_question_is_asked_once_in_five_seconds_and_not_by_every_session(gateway: LiveGateway) -> None:
    before, begun = long_questions(gateway), time.monotonic()
    for _ in range(20):
        assert SSN not in seen(gateway, "SELECT ssn FROM customers")
    asked = long_questions(gateway) - before
    assert 1 <= asked <= 2 + (time.monotonic() - begun) / 5


def test_a_column_that_was_added_a_moment_ago_past_the_gateway_is_covered(
    gateway: LiveGateway, table: Callable[[str], None]
) -> None:
    seen(gateway, "SELECT * FROM shared_one")
    table(f"ALTER TABLE shared_one ADD COLUMN ssn text DEFAULT 'odd {SSN} odd'")
    for text in ("SELECT * FROM shared_one", "SELECT ssn FROM shared_one", "SELECT upper(ssn) FROM shared_one"):
        assert SSN not in seen(gateway, text)


def test_a_table_made_anew_under_the_same_name_is_another_table(gateway: LiveGateway, table: Callable[[str], None]) -> None:
    seen(gateway, "SELECT note FROM shared_one")
    table(f"DROP TABLE shared_one; CREATE TABLE shared_one (id int, email text); GRANT ALL ON shared_one TO shop_app;"
          f"INSERT INTO shared_one VALUES (1, 'nobody {SSN}')")  # fmt: skip
    assert SSN not in seen(gateway, "SELECT email FROM shared_one")
    assert "nobody" not in seen(gateway, "SELECT lower(email) FROM shared_one")


def test_a_search_path_decides_in_each_session_which_table_a_name_is(
    gateway: LiveGateway, table: Callable[[str], None]
) -> None:
    table("CREATE SCHEMA aside; CREATE TABLE aside.shared_one (id int, card text); GRANT USAGE ON SCHEMA aside TO shop_app;"
          "INSERT INTO aside.shared_one VALUES (1, 'nobody knows'); GRANT ALL ON aside.shared_one TO shop_app")  # fmt: skip
    try:
        seen(gateway, "SELECT * FROM shared_one")
        found = seen(gateway, "SET search_path = aside, public", "SELECT card || '' FROM shared_one")
        assert "nobody" not in found
    finally:
        table("DROP SCHEMA aside CASCADE")
