"""Where the statements of a text begin, and which backslash is a command of psql: strings, comments and quotes hide both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gatebook.protocols.postgres.script import Place, first_meta_command, outline
from gatebook.protocols.postgres.statement import read


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("SELECT 1", [(1, 1)]),
        ("SELECT 1;\nSELECT 2;\n", [(1, 1), (2, 11)]),
        ("-- first\n/* ; \n */ SELECT 1 ;; -- ;\n\n  SELECT 2", [(3, 20), (5, 40)]),
        ("SELECT ';\n';\nSELECT $$ ;\n; $$;\nDROP TABLE t", [(1, 1), (3, 14), (5, 32)]),
        ("SELECT 'é';SELECT 2", [(1, 1), (1, 12)]),
        ("SELECT 1; \r\nSELECT 2", [(1, 1), (2, 13)]),
        ("", []),
        ("-- nothing\n", []),
        ("SELEC 1", []),
    ],
)
def test_each_statement_has_its_line_and_position(text: str, places: list[tuple[int, int]]) -> None:
    assert outline(text) == tuple(Place(*place) for place in places)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\\dt", 1),
        ("SELECT 1;\n\\copy customers FROM 'x.csv'\n", 2),
        ("SELECT 1 \\gx", 1),
        ("SELECT '\n'; \\echo it's", 2),
        ("SELECT 1;\n\\echo it's\n", 2),
        ("/* \\ */ -- \\x\nSELECT $$\\$$ \\; SELECT 'a", 2),
        ("-- note \\x\n\\i other.sql's", 2),
        ("SELECT E'\\'' \\g", 1),
        ("/**/\\echo '", 1),
    ],
)
def test_a_command_of_psql_is_found_with_its_line(text: str, line: int) -> None:
    assert first_meta_command(text) == line


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '\\d'",
        "SELECT E'\\n\\'\\\\'",
        "SELECT 1 -- \\d",
        "/* \\d /* \\d */ */ SELECT 1",
        'SELECT "\\d"',
        "SELECT $$\\d$$, $tag$ \\d $$ $tag$",
        "SELECT U&'\\0041'",
        "DO $$ BEGIN RAISE NOTICE '\\x'; END $$",
        "SELECT 1",
        "SELECT '\\d",
        "-- \\d it's",
        "SELECT '\\x\0'",
    ],
)
def test_a_backslash_that_is_sql_is_no_command(text: str) -> None:
    assert first_meta_command(text) is None


@given(some.text(alphabet="\\';$-*/ \na\"1é", max_size=40))
def test_no_text_is_too_strange_to_be_looked_at(text: str) -> None:
    line = first_meta_command(text)
    assert line is None or text.split("\n")[line - 1].count("\\")
    places = outline(text)
    assert len(places) in (0, len(read(text).statements))
    assert all(text.count("\n", 0, one.position - 1) + 1 == one.line for one in places)
