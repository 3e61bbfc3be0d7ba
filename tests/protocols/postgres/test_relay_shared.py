"""What sessions learnt of the catalog, taken by those after them: when it is, and when each asks for itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from tests.protocols.postgres.stage import (
    KEYS,
    SECRET,
    SESSION,
    Stage,
    asked,
    complete,
    description,
    error,
    question,
    ready,
    row,
    sent,
    shown,
)

from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.catalog import Catalog, Known
from gatebook.protocols.postgres.catalog_facts import Facts
from gatebook.protocols.postgres.reading import Relation
from gatebook.protocols.postgres.relay import PostgresRelay
from gatebook.protocols.relay import Effect, FromServer, Stale

SSN = description(("ssn", 100, 2))
SELECT = "SELECT ssn FROM customers"


@dataclass
class Sharing(Stage):
    """A stage whose server answers both questions; ``numbers`` says which relation a name is in this session."""

    facts: Facts = field(default_factory=Facts)
    numbers: dict[str, int] = field(default_factory=lambda: {"customers": 100, "orders": 200})
    started: bytes = b"2461000 12345 678901"
    refuses_short: bool = False
    questions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.relay = PostgresRelay(secure=True, offers_tls=False, keys=KEYS, secret=SECRET, facts=self.facts)

    def _look_up(self, data: bytes) -> list[Effect]:
        text = question(data)
        if "RECURSIVE" in text:
            self.questions.append("long")
            return super()._look_up(data)
        self.questions.append("short")
        if self.refuses_short:
            return self.feed(FromServer(error("42501", "permission denied") + ready()))
        named = sorted((text.index(f'"{name}"'), oid) for name, oid in self.numbers.items() if f'"{name}"' in text)
        rows = row(b"s", b"0", b"0", b"0", b"", b"public", self.settings.encode())
        rows += row(b"z", b"0", b"0", b"0", self.started, b"shop", b"")
        for number, (_, oid) in enumerate(named):
            rows += row(b"n", b"%d" % number, b"%d" % oid if oid else None, b"0", b"", b"", b"")
        return self.feed(FromServer(asked(rows)))

    def select(self, text: str = SELECT, columns: bytes = SSN, value: bytes = b"078-05-1120") -> bytes:
        """What a client sees of it."""
        self.client(wire.query(text))
        self.allow()
        return shown(self.server(columns + row(value) + complete("SELECT 1") + ready()))

    def run(self, text: str, tag: str, status: bytes = b"I") -> None:
        self.client(wire.query(text))
        self.allow()
        self.server(complete(tag) + ready(status))


@pytest.fixture
def facts() -> Facts:
    return Facts()


def opened(facts: Facts, **changes: object) -> Sharing:
    stage = Sharing(facts=facts, **changes)
    stage.open()
    return stage


def test_the_first_session_asks_both_questions_and_those_after_it_the_short_one(facts: Facts) -> None:
    first, second = opened(facts), opened(facts)
    assert b"078" not in first.select()
    assert b"078" not in second.select()
    assert (first.questions, second.questions) == (["short", "long"], ["short"])
    assert first.asked.action.deeds == second.asked.action.deeds
    assert first.asked.action.search_path == second.asked.action.search_path == "public"
    assert first.asked.columns == second.asked.columns


def test_a_session_asks_each_name_once(facts: Facts) -> None:
    stage = opened(facts)
    stage.select()
    stage.select()
    stage.select("SELECT total FROM orders", description(("total", 200, 2)))
    assert stage.questions == ["short", "long", "short", "long"]


def test_a_name_that_is_another_relation_in_this_session_is_asked_for(facts: Facts) -> None:
    """A temporary table, another search_path: the name is looked up where the statement will run."""
    opened(facts).select()
    shadowed = opened(facts, numbers={"customers": 4711, "orders": 200})
    shadowed.select(columns=description(("ssn", 4711, 2)))
    assert shadowed.questions == ["short", "long"]


def test_a_name_that_is_nothing_is_known_to_be_nothing(facts: Facts) -> None:
    stage = opened(facts, numbers={"customers": 0})
    stage.client(wire.query(SELECT))
    assert stage.questions == ["short"]
    assert stage.asked.action.search_path == "public"


def test_nothing_is_shared_into_or_out_of_a_transaction(facts: Facts) -> None:
    """Somebody's uncommitted change is theirs: it may never be committed."""
    inside = opened(facts)
    inside.run("BEGIN", "BEGIN", b"T")
    inside.client(wire.query(SELECT))
    assert inside.questions == ["long"]
    assert len(facts) == 0
    opened(facts).select()
    another = opened(facts)
    another.run("BEGIN", "BEGIN", b"T")
    another.client(wire.query(SELECT))
    assert another.questions == ["long"]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("ALTER TABLE customers ADD COLUMN card text", "ALTER TABLE"),
        ("CREATE TEMP TABLE customers (id int)", "CREATE TABLE"),
        ("DROP VIEW v", "DROP VIEW"),
        ("SELECT somebodys_function()", "SELECT 1"),
        ("DO 'BEGIN END'", "DO"),
    ],
)
def test_who_may_have_changed_a_definition_asks_for_itself_and_what_was_shared_is_gone(
    facts: Facts, text: str, tag: str
) -> None:
    opened(facts).select()
    changes = opened(facts)
    changes.run(text, tag)
    assert len(facts) == 0
    changes.questions.clear()
    changes.select()
    assert changes.questions == ["long"]
    assert len(facts) == 0, "nor do others take its word: what it did may be rolled back"


def test_settings_change_what_names_are_not_what_relations_are(facts: Facts) -> None:
    opened(facts).select()
    stage = opened(facts)
    stage.run("SET search_path = public", "SET")
    stage.questions.clear()
    assert b"078" not in stage.select()
    assert stage.questions == ["short"]


def test_time_that_passes_ends_what_is_shared_and_who_shares(facts: Facts) -> None:
    first = opened(facts)
    first.select()
    facts.clear()
    first.feed(Stale())
    first.questions.clear()
    first.select()
    assert first.questions == ["long"]
    assert len(facts) == 0
    later = opened(facts)
    later.select()
    assert later.questions == ["short", "long"]


def test_an_answer_to_a_question_from_before_is_not_kept_after(facts: Facts) -> None:
    known = Known(100, "public", ("customers",), {1: "id"})
    facts.keep("server", [known], facts.generation)
    assert facts.find("server", 100) is known
    before = facts.generation
    facts.clear()
    facts.keep("server", [known], before)
    assert facts.find("server", 100) is None


def test_another_server_behind_the_same_address_is_another_server(facts: Facts) -> None:
    opened(facts).select()
    other = opened(facts, started=b"2461000 12345 678902")
    other.select()
    assert other.questions == ["short", "long"]


@pytest.mark.parametrize("change", [{"name": "books"}, {"address": "127.0.0.1:2"}])
def test_targets_share_nothing_with_each_other(facts: Facts, change: dict[str, str]) -> None:
    opened(facts).select()
    other = opened(facts, session=replace(SESSION, target=replace(SESSION.target, **change)))
    other.select()
    assert other.questions == ["short", "long"]


def test_a_server_that_refuses_the_short_question_is_asked_the_long_one_from_then_on(facts: Facts) -> None:
    stage = opened(facts, refuses_short=True)
    assert b"078" not in stage.select()
    stage.select("SELECT total FROM orders", description(("total", 200, 2)))
    assert stage.questions == ["short", "long", "long"]
    assert len(facts) == 0


def test_a_column_that_is_newer_than_what_is_shared_is_covered(facts: Facts) -> None:
    """Until it is asked again: its number is not known, whatever its name."""
    opened(facts).select()
    assert b"078" not in opened(facts).select("SELECT * FROM customers", description(("added", 100, 3)))


@pytest.mark.parametrize(
    "bad", [row(b"n", b"x", b"1", b"0", b"", b"", b""), row(b"n"), row(b"n", b"0", b"\xff", b"0", b"", b"", b"")]
)
def test_rows_that_do_not_fit_end_the_session(facts: Facts, bad: bytes) -> None:
    stage = opened(facts)
    stage._look_up = partial(lambda data: stage.feed(FromServer(asked(bad))))  # type: ignore[method-assign]
    effects = stage.client(wire.query(SELECT))
    assert b"rows" in shown(effects) or b"do not fit" in shown(effects)
    assert SELECT.encode() not in sent(effects)


def test_what_is_shared_has_an_end_in_size() -> None:
    facts = Facts(most=10)
    wide = [Known(number, "public", ("t",), {1: "a", 2: "b", 3: "c"}) for number in range(100)]
    facts.keep("server", wide, facts.generation)
    assert len(facts) == 2
    facts.clear()
    facts.keep("server", wide[:1], facts.generation)
    assert len(facts) == 1


def test_nothing_of_a_statement_reaches_the_server_by_a_short_question(facts: Facts) -> None:
    stage = opened(facts)
    stage.client(wire.query("SELECT id FROM customers WHERE ssn = '078-05-1120'"))
    assert b"078-05-1120" not in b"".join(effect.data for effect in stage.effects if hasattr(effect, "data"))


SETTINGS = b"DateStyle=ISO, MDY\nIntervalStyle=postgres\nTimeZone=UTC\ncurrent_user=shop_app\nxmloption=content"


def short(path: bytes) -> list[list[bytes]]:
    server = [b"z", b"0", b"0", b"0", b"started", b"shop", b""]
    return [[b"n", b"0", b"200", b"0", b"", b"", b""], server, [b"s", b"0", b"0", b"0", b"", path, SETTINGS]]


def test_what_others_learnt_counts_only_with_the_names_that_somebodys_functions_have_on_this_search_path() -> None:
    facts, orders = Facts(), Relation(None, "orders")
    first, same, other = Catalog(), Catalog(), Catalog()
    for one in (first, same, other):
        one.share(facts, "shop")
    assert not first.place([orders], short(b"public"))
    told = first.settings
    column = [b"c", b"0", b"200", b"1", b"public", b"orders", b"id"]
    age = [b"p", b"0", b"0", b"0", b"", b"age", b""]
    first.learn([orders], [column, age, [b"s", b"0", b"0", b"0", b"", b"public", SETTINGS]], first.generation)
    assert first.namesakes == {"age"}
    assert first.settings == told, "the same settings by either question"
    assert same.place([orders], short(b"public"))
    assert same.namesakes == {"age"}
    assert not other.place([orders], short(b"somebody, public"))
    assert other.namesakes is None
    assert other.missing([orders]) == [orders]
    facts.clear()
    assert facts.find_namesakes("shop\0started\0shop", "") is None
