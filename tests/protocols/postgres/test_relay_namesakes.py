"""Functions and operators of somebody's own under the name of one of the server's: which of them is meant, no text tells."""

import pytest
from tests.protocols.postgres.stage import (
    Stage,
    asked,
    bind,
    complete,
    description,
    kinds,
    parse,
    question,
    ready,
    row,
    shown,
)

from gatebook.model import Reach
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.statement import read
from gatebook.protocols.relay import FromServer, Own, Stale

TRUSTS = [
    ("SELECT lower(name) FROM t", {"lower"}),
    ("SELECT count(*), max(a) FILTER (WHERE b > 1) FROM t", {"count", "max", ">"}),
    ("SELECT pg_catalog.lower(name) FROM t", set()),
    ("SELECT a OPERATOR(pg_catalog.+) 1 FROM t", set()),
    ("SELECT 1 + 2", {"+"}),
    ("DELETE FROM t WHERE a LIKE 'x'", {"~~"}),
    ("SELECT 1 FROM t WHERE a BETWEEN 1 AND 2", {">=", "<="}),
    ("SELECT 1 FROM t WHERE a IN (SELECT b FROM u)", {"="}),
    ("SELECT 1 FROM t WHERE a IN (1, 2)", {"="}),
    ("SELECT CASE a WHEN 1 THEN 2 END FROM t", {"="}),
    ("SELECT NULLIF(a, b) FROM t", {"="}),
    ("SELECT 1 FROM t JOIN u USING (id)", {"="}),
    ("SELECT 1 FROM t NATURAL JOIN u", {"="}),
    ("SELECT nextval('s')", {"nextval"}),
    ("SELECT * FROM generate_series(1, 3)", {"generate_series"}),
    ("SELECT extract(year FROM d), substring(a FROM 1 FOR 2) FROM t", set()),
    ("UPDATE t SET a = a || 'x'", {"||"}),
    ("SELECT 1 FROM t ORDER BY a USING <", {"<"}),
    ("INSERT INTO t VALUES (now())", {"now"}),
    ("SELECT 1", set()),
]


class Somebodys(Stage):
    """A target where somebody wrote a function age and an operator || of his own."""

    def _look_up(self, data: bytes):
        question(data)
        rows = row(b"s", b"0", b"0", b"0", b"", b"public", b"")
        rows += b"".join(row(b"p", b"0", b"0", b"0", b"", name, b"") for name in (b"age", b"||"))
        return self.feed(FromServer(asked(rows, b"" if data.endswith(wire.message(b"H")) else self.status)))


def reach(text: str) -> Reach:
    stage = Somebodys().open()
    stage.client(wire.query(text))
    return stage.asked.action.reach


@pytest.mark.parametrize(("text", "names"), TRUSTS)
def test_a_reading_says_which_names_it_takes_for_the_servers_own(text: str, names: set[str]) -> None:
    assert set(read(text).statements[0].trusts) == names


@pytest.mark.parametrize(
    "text", ["SELECT age(5)", "SELECT 'a' || 'b'", "SELECT * FROM age(1) x", "DELETE FROM orders WHERE id = 1 AND age(2) > 1"]
)
def test_what_may_be_somebodys_own_counts_as_unknown(text: str) -> None:
    assert reach(text) is Reach.UNKNOWN


@pytest.mark.parametrize(
    "text",
    ["SELECT pg_catalog.age(now())", "SELECT 'a' OPERATOR(pg_catalog.||) 'b'", "SELECT lower('X') WHERE 1 = 1", "SELECT 1"],
)
def test_what_is_surely_the_servers_own_does_not(text: str) -> None:
    assert reach(text) is Reach.READ


def test_what_somebodys_own_gives_is_covered_whole() -> None:
    stage = Somebodys().open()
    stage.client(wire.query("SELECT age(5)"))
    stage.allow()
    effects = stage.server(description(("age", 0, 0)) + row(b"odd-secret") + complete("SELECT 1") + ready())
    assert b"odd-secret" not in shown(effects)


def test_it_is_asked_once_and_again_when_time_has_passed() -> None:
    stage = Stage().open()
    for number in (1, 1, 2):
        if number == 2:
            stage.feed(Stale())
        stage.client(wire.query("SELECT now()"))
        stage.allow()
        stage.server(description(("now", 0, 0)) + complete("SELECT 0") + ready())
        assert len([one for one in stage.effects if isinstance(one, Own) and one.kind == "catalog"]) == number


def test_where_it_cannot_be_asked_it_counts_as_somebodys() -> None:
    stage = Stage().open()
    stage.client(parse("a", "SELECT 1") + bind("p", "a"))
    stage.allow()
    stage.allow()
    stage.feed(Stale())
    stage.feed(Stale())
    stage.client(parse("b", "SELECT lower('X')"))
    effects = stage.server(wire.message(b"1") + wire.message(b"2") + description(("?column?", 0, 0)))
    assert kinds(shown(effects)) == "12"
    assert stage.asked.action.reach is Reach.UNKNOWN
    assert "lower" in str(stage.asked.action.deeds[-1].facts["why_unknown"])


@pytest.mark.parametrize("setting", ["SET search_path = evil, pg_catalog", "SET ROLE other", "DISCARD ALL"])
def test_behind_what_may_move_it_in_the_same_text_it_counts_as_somebodys(setting: str) -> None:
    stage = Stage().open()
    stage.client(wire.query(f"SELECT upper('x'); {setting}; SELECT lower('x')"))
    whys = [str(deed.facts["why_unknown"]) for deed in stage.asked.action.deeds]
    assert any("may use lower" in why for why in whys)
    assert not any("may use upper" in why for why in whys)


def test_behind_another_setting_in_the_same_text_it_does_not() -> None:
    stage = Stage().open()
    stage.client(wire.query("SET statement_timeout = 5; SELECT lower('x')"))
    assert stage.asked.action.reach is Reach.READ
