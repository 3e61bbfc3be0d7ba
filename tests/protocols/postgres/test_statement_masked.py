"""The catalog question at a running PostgreSQL: what is masked by way of generated columns, kin and views."""

import csv
import io

import pytest

from gatebook.cli.demo.parts import PostgresServer
from gatebook.masking.rules import ColumnPattern, MaskSet, Style
from gatebook.protocols.postgres.catalog import Known, answers, question
from gatebook.protocols.postgres.reading import Relation

pytestmark = pytest.mark.real

NOTES = "create temp table notes (id int, ssn text, g text generated always as ('x@' || ssn) stored, h text);"
KIN = """
create schema kin; create schema far;
create table kin.top (id int, ssn text) partition by list (id);
create table kin.middle partition of kin.top for values in (1) partition by list (id);
create table far.low partition of kin.middle for values in (1);
create view kin.seen as select id, ssn from kin.top;
"""
FUNCTION = "create function pg_temp.f(text, text) returns bool language sql as 'select true';"


def asked(server: PostgresServer, made: str, relation: Relation) -> Known:
    quiet = question([relation]).strip().rstrip(";")
    text = server.sql(f"begin; {made} copy ({quiet}) to stdout with (format csv, delimiter '~', quote '`')")
    rows = [[cell.encode() for cell in row] for row in csv.reader(io.StringIO(text), delimiter="~", quotechar="`")]
    return answers(rows)[0][0]


def masks(pattern: str, style: Style = Style.PARTIAL) -> list[MaskSet]:
    return [MaskSet("pii", (ColumnPattern.parse(pattern),), style)]


def test_a_generated_column_is_covered_whole_when_what_it_is_made_of_is_masked(plain_postgres: PostgresServer) -> None:
    known = asked(plain_postgres, NOTES, Relation(None, "notes"))
    assert known.masked(masks("notes.ssn")) == {"ssn", "g"}
    assert (known.style(masks("notes.ssn"), 2), known.style(masks("notes.ssn"), 3)) == (Style.PARTIAL, Style.REDACT)


def test_a_view_of_a_generated_column_reads_what_it_is_made_of(plain_postgres: PostgresServer) -> None:
    known = asked(plain_postgres, f"{NOTES} create temp view v as select g from notes;", Relation(None, "v"))
    assert known.masked(masks("notes.ssn")) == {"g"}
    assert not known.masked(masks("notes.h"))


@pytest.mark.parametrize("pattern", ["kin.top.ssn", "kin.middle.ssn", "far.low.ssn", "low.ssn", "top.ssn"])
@pytest.mark.parametrize("name", [("kin", "top"), ("kin", "middle"), ("far", "low"), ("kin", "seen")])
def test_a_rule_for_one_of_a_family_covers_all_who_show_its_rows(
    plain_postgres: PostgresServer, pattern: str, name: tuple[str, str]
) -> None:
    known = asked(plain_postgres, KIN, Relation(*name))
    assert "ssn" in known.masked(masks(pattern))
    assert name == ("kin", "seen") or known.masked(masks(pattern)) == {"ssn"}


def test_a_family_is_covered_as_the_strictest_rule_for_any_says(plain_postgres: PostgresServer) -> None:
    known = asked(plain_postgres, KIN, Relation("kin", "top"))
    assert known.style([*masks("top.ssn"), *masks("far.low.ssn", Style.HASH)], 2) is Style.HASH


@pytest.mark.parametrize(
    ("made", "opaque"),
    [
        (f"{FUNCTION} create view pg_temp.v as select pg_temp.f(h, h) as x from notes;", True),
        (
            f"{FUNCTION} create operator pg_temp.=== (function = pg_temp.f, leftarg = text, rightarg = text);"
            "create view pg_temp.v as select h operator(pg_temp.===) h as x from notes;",
            True,
        ),
        ("create domain pg_temp.d as text; create view pg_temp.v as select h::pg_temp.d as x from notes;", True),
        ("create type pg_temp.m as enum ('a'); create view pg_temp.v as select 'a'::pg_temp.m as x, id from notes;", False),
        ("create view pg_temp.v as select lower(h) as x from notes;", False),
    ],
)
def test_a_view_that_uses_what_somebody_made_may_read_anything(plain_postgres: PostgresServer, made: str, opaque: bool) -> None:
    assert asked(plain_postgres, NOTES + made, Relation(None, "v")).opaque is opaque


KEYS = """
create table pg_temp.people (id int primary key, ssn text, email text, city text, unique (city, email));
create unique index on people (upper(ssn)) where id > 0;
create table pg_temp.calls (id int, caller text, callee int references people(id));
alter table people add unique (email);
alter table calls add foreign key (caller) references people(email);
create temp view shown as select ssn, city from people;
"""


@pytest.mark.parametrize(
    ("relation", "written", "pattern", "checked"),
    [
        ("people", {"ssn"}, "people.ssn", {"ssn"}),
        ("people", {"city"}, "people.email", {"email"}),
        ("people", {"city"}, "people.ssn", set()),
        ("people", {"id"}, "people.ssn", {"ssn"}),  # the index on ssn holds rows by id
        ("people", {"*"}, "people.*", {"id", "ssn", "email", "city"}),
        ("calls", {"caller"}, "people.email", {"caller"}),
        ("calls", {"callee"}, "people.email", set()),
        ("shown", {"city"}, "people.ssn", {"ssn", "city"}),  # all of a view is masked that shows a masked column
    ],
)
def test_keys_and_references_on_masked_columns_are_known(
    plain_postgres: PostgresServer, relation: str, written: set[str], pattern: str, checked: set[str]
) -> None:
    assert asked(plain_postgres, KEYS, Relation(None, relation)).checked(masks(pattern), written) == checked
