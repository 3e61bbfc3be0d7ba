"""What a statement does is seen whatever it says."""

from __future__ import annotations

import pytest

from gatebook.masking.table import TABLE
from gatebook.protocols.postgres import lexer
from gatebook.protocols.postgres.covered import cover_sql

ALL = frozenset(one.name for one in TABLE)
HIDING = [
    ("ALTER TABLE notes ADD COLUMN remark text -----BEGIN PRIVATE KEY-----\n, DROP COLUMN body", "DROP COLUMN body"),
    (
        "SELECT 1 FROM t WHERE password = 'a\\'; UPDATE orders SET x = 'y' WHERE id = 1; SELECT 'b'",
        "UPDATE orders SET",
    ),
    ("SELECT '-----BEGIN PRIVATE KEY-----' , f(x), '-----END PRIVATE KEY-----'", "f(x)"),
    ("SELECT secret=abcdefghijklmnop;DELETE/**/FROM/**/orders", "DELETE"),
]


@pytest.mark.parametrize(("text", "deed"), HIDING)
def test_no_finding_hides_what_a_text_does(text: str, deed: str) -> None:
    shown = cover_sql(text, ALL)
    assert deed in shown
    code = [word for word in lexer.skeleton(text.encode()) or [] if word != b"'"]
    assert [word for word in code if word not in shown.encode()] == []


def test_a_secret_in_a_string_is_covered_where_it_stands() -> None:
    text = "UPDATE accounts SET note = 'card 4111111111111111' WHERE password = 'hunter2-and-more'"
    shown = cover_sql(text, ALL)
    assert "4111111111111111" not in shown
    assert "hunter2" not in shown
    assert shown.startswith("UPDATE accounts SET note = 'card ")


def test_where_a_finding_takes_code_along_all_that_is_said_is_covered() -> None:
    text = "SELECT 1 FROM t WHERE password = 'a\\' OR note = 'plain words' OR card = 4111111111111111"
    shown = cover_sql(text, ALL)
    assert "4111111111111111" not in shown
    assert "OR note =" in shown


def test_a_text_without_findings_is_the_same_text() -> None:
    text = "SELECT a, b FROM t WHERE c = 'plain'"
    assert cover_sql(text, ALL) is text


@pytest.mark.parametrize("mark", ["", "U&"])
def test_a_secret_as_a_name_is_covered_by_itself(mark: str) -> None:
    text = f"SELECT 'x' AS {mark}\"4111111111111111\", password = 'a\\' OR note, 'b' FROM t"
    shown = cover_sql(text, ALL)
    assert "4111111111111111" not in shown
    assert "OR note" in shown
