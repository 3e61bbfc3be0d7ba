"""Texts that differ in literals only: what is found for them is what reading them says, and nothing else is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.postgres.stage import COVERING, Stage, complete, description, ready, row, sent

from gatebook.masking.detectors import cover_text
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.statement import NONE_PREPARED, _read, read
from gatebook.protocols.postgres.templates import CHARACTERS, KEPT, Templates


def alone(text):
    return _read(text, NONE_PREPARED)


def learnt(*texts):
    templates = Templates()
    for text in texts:
        templates.learn(text, alone(text), alone)
    return templates


def taught(pattern, first="1"):
    """After texts of this pattern came as often as it takes."""
    return learnt(pattern.format(first), pattern.format(first))


VARY = [
    ("SELECT abalance FROM pgbench_accounts WHERE aid = {};", "1", "98765"),
    ("SELECT * FROM customers WHERE id >= {} AND name <> 'x'", "1", "999999999"),
    ("SELECT * FROM customers WHERE id IN (3, {}, 5)", "1", "7"),
    ('SELECT "t"."id" FROM "public"."orders" AS "t" WHERE "t"."id" = {} LIMIT 21', "1", "2"),
    ("INSERT INTO orders (id, note) VALUES ({}, 'a'), (2, 'b')", "1", "3"),
    ("UPDATE orders SET amount = {}, n = n + 1 WHERE id = 5", "1", "2"),
    ("DELETE FROM orders WHERE id = {}", "1", "0"),
]


@pytest.mark.parametrize(("pattern", "first", "other"), VARY)
def test_a_value_compared_with_a_column_or_stored_in_one_may_be_another(pattern, first, other):
    found = taught(pattern, first).find(pattern.format(other))
    assert found == alone(pattern.format(other)).statements


# Each pair differs in one literal, which does or could change what the text means: only reading tells.
FIXED = [
    ("SELECT * FROM customers WHERE name = {}", "'a'", "'b'"),
    ("UPDATE customers SET ssn = {} WHERE id = 5", "'a'", "'***-**-4320'"),
    ("INSERT INTO customers (id, ssn) VALUES (1, {})", "'a'", "'***-**-4320'"),
    ("SELECT pg_sleep({})", "1", "2"),
    ("SELECT set_config({}, 'b', true)", "'app.x'", "'role'"),
    ("SELECT nextval({})", "'a'", "'b'"),
    ("SELECT * FROM orders WHERE id = currval({})", "'a'", "'b'"),
    ("SELECT {}::regclass", "'orders'", "'customers'"),
    ("SELECT CAST({} AS regclass)", "'orders'", "'customers'"),
    ("SELECT regclass {}", "'orders'", "'customers'"),
    ("SELECT * FROM orders WHERE id = {}::int", "1", "2"),
    ("SELECT * FROM orders WHERE d > now() - interval {}", "'1 day'", "'2 days'"),
    ("SELECT * FROM orders LIMIT {}", "1", "2"),
    ("SELECT id, card FROM customers ORDER BY {}", "1", "2"),
    ("SELECT id, card FROM customers GROUP BY {}", "1", "2"),
    ("SELECT {}", "1", "2"),
    ("DELETE FROM orders WHERE 1 = {}", "1", "2"),
    ("DELETE FROM orders WHERE {} = 1", "1", "2"),
    ("DELETE FROM orders WHERE id = 1 OR 1 = {}", "2", "1"),
    ("DELETE FROM orders WHERE id < 5 OR id > {}", "9", "3"),
    ("DELETE FROM orders WHERE note LIKE {}", "'a%'", "'%'"),
    ("DELETE FROM orders WHERE NOT id = {}", "1", "2"),
    ("DELETE FROM orders WHERE {}", "'f'", "'t'"),
    ("DELETE FROM orders WHERE id BETWEEN 0 AND {}", "1", "2"),
    ("DELETE FROM orders WHERE id = ANY({})", "'{{1}}'", "'{{2}}'"),
    ("SET statement_timeout = {}", "1", "2"),
    ("SET search_path = {}", "'a'", "'b'"),
    ("SET role = {}", "'a'", "'b'"),
    ("COPY orders TO STDOUT (DELIMITER {})", "'a'", "'b'"),
    ("COPY orders TO {}", "'/a'", "'/b'"),
    ("DO {}", "'BEGIN END'", "'BEGIN DROP TABLE x; END'"),
    ("NOTIFY a, {}", "'a'", "'b'"),
    ("ALTER USER a PASSWORD {}", "'a'", "'b'"),
    ("PREPARE s AS SELECT * FROM orders WHERE id = {}", "1", "2"),
    ("EXPLAIN SELECT * FROM orders WHERE id = {}", "1", "2"),
    ("SELECT * FROM orders WHERE id = {} ; SELECT 1", "1", "2"),
    ("INSERT INTO orders (note) SELECT {}", "'a'", "'b'"),
    ("INSERT INTO orders (id) VALUES (nextval({}))", "'a'", "'b'"),
    ("UPDATE orders SET note = lower({}) WHERE id = 5", "'a'", "'b'"),
    ("UPDATE orders SET note[{}] = 'a' WHERE id = 5", "1", "2"),
    ("INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = {}", "1", "2"),
    ("SELECT * FROM orders WHERE id = 1 LIMIT 5 OFFSET {}", "1", "2"),
    ("SELECT * FROM orders WHERE id = 1 FETCH FIRST {} ROWS ONLY", "1", "2"),
    ("SELECT * FROM orders TABLESAMPLE system ({}) WHERE id = 1", "1", "100"),
    ("SELECT * FROM generate_series(1, {}) g WHERE g = 1", "1", "9"),
    ("SELECT lo_get({}) FROM orders WHERE id = 1", "1", "2"),
    ("SELECT * FROM orders WHERE id = 1 AND lo_get({}) IS NULL", "1", "2"),
    ("SELECT * FROM orders WHERE id = length(repeat(note, {}))", "1", "2"),
    ("SELECT note::varchar({}) FROM orders WHERE id = 1", "1", "2"),
    ("SELECT * FROM orders WHERE amount = 1::numeric({}, 0)", "1", "2"),
    ("SELECT * FROM orders WHERE id = {} :: int", "1", "2"),
    ("SELECT * FROM orders WHERE id = - {}", "1", "2"),
    ("SELECT * FROM orders WHERE id = + {}", "1", "2"),
    ("SELECT * FROM orders WHERE id = {} * 2", "1", "2"),
    ("SELECT * FROM orders WHERE id = {} IS TRUE", "1", "2"),
    ("SELECT * FROM orders WHERE id OPERATOR(pg_catalog.=) {}", "1", "2"),
    ("SELECT * FROM orders WHERE tags[{}] = 1", "1", "2"),
    ("SELECT * FROM orders WHERE tags -> {} = 1", "1", "2"),
    ("SELECT count(*) OVER (ROWS {} PRECEDING) FROM orders WHERE id = 1", "1", "2"),
    ("SELECT * FROM orders WHERE id = CASE WHEN note = 'a' THEN {} ELSE 3 END", "1", "2"),
    ("SELECT * FROM orders WHERE (id, amount) = (1, {})", "1", "2"),
    ("SELECT * FROM (SELECT * FROM orders WHERE id = {}) o", "1", "2"),
    ("WITH o AS (SELECT * FROM orders LIMIT {}) SELECT * FROM o WHERE id = 1", "1", "2"),
    ("SELECT 1 FROM orders WHERE id = 1 UNION SELECT {}", "1", "2"),
    ("VALUES ({})", "1", "2"),
    ("FETCH {} FROM c", "1", "2"),
    ("EXECUTE s ({})", "1", "2"),
    ("CALL p ({})", "1", "2"),
    ("ALTER TABLE orders ALTER note SET STATISTICS {}", "1", "2"),
    ("SELECT c{} FROM orders WHERE id = 1", "1", "2"),
    ("SELECT * FROM orders{} WHERE id = 1", "1", "2"),
    ('SELECT "c {}" FROM orders WHERE id = 1', "1", "2"),
    ("SELECT * FROM orders WHERE id = 1 AND note = 'a {} b'", "1", "2"),
]


@pytest.mark.parametrize(("pattern", "first", "other"), FIXED)
def test_any_other_literal_must_be_the_same(pattern, first, other):
    templates = taught(pattern, first)
    assert templates.find(pattern.format(other)) is None
    same = templates.find(pattern.format(first))
    assert same is None or same == alone(pattern.format(first)).statements


# What PostgreSQL's lexer reads otherwise than as a plain literal: nothing of it is ever found.
STRANGE = [
    "SELECT * FROM orders WHERE note = E'a'",
    "SELECT * FROM orders WHERE note = e'\\'",
    "SELECT * FROM orders WHERE note = U&'a'",
    'SELECT U&"a" FROM orders WHERE id = 1',
    "SELECT * FROM orders WHERE note = N'a'",
    "SELECT * FROM orders WHERE bits = B'1'",
    "SELECT * FROM orders WHERE bits = X'1'",
    "SELECT * FROM orders WHERE note = $$a$$",
    "SELECT * FROM orders WHERE note = $1",
    "SELECT * FROM orders WHERE note = 'a''b'",
    "SELECT * FROM orders WHERE note = 'a\\'",
    "SELECT * FROM orders WHERE note = 'é'",
    "SELECT * FROM orders WHERE id = 1e5",
    "SELECT * FROM orders WHERE id = 1.5",
    "SELECT * FROM orders WHERE id = 0x1F",
    "SELECT * FROM orders WHERE id = 1_000",
    "SELECT * FROM orders WHERE id = 1a",
    "SELECT * FROM orders WHERE id = 12345678901",
    "SELECT * FROM orders WHERE id = 1 -- 2",
    "SELECT * FROM orders /* 1 */ WHERE id = 1",
    "SELECT * FROM orders WHERE id = 1 # 2",
    "SELECT * FROM orders WHERE note = 'a",
    'SELECT * FROM "orders WHERE id = 1',
    "SELECT * FROM orders WHERE id = 1\x00",
    "SELECT * FROM orders WHERE note = '\x01'",
    "SELECT * FROM orders WHERE id = 1" + " " * CHARACTERS,
    "SELEC * FROM orders WHERE id = 1",
]


@pytest.mark.parametrize("text", STRANGE)
def test_a_text_that_is_not_plain_is_never_found(text):
    assert learnt(text, text, text).find(text) is None


def test_negated_numbers_are_part_of_what_must_be_the_same():
    templates = taught("SELECT * FROM orders WHERE id = -{}")
    assert templates.find("SELECT * FROM orders WHERE id = -2") is None


def test_a_number_beside_a_string_that_may_be_replaced_is_always_read():
    pattern = "SELECT * FROM customers WHERE id = {} AND ssn = '***-**-4320'"
    assert alone(pattern.format(1)).statements[0].places, "the string is one that may stand for another"
    assert taught(pattern).find(pattern.format(12)) is None
    pattern = "SELECT * FROM customers WHERE ssn = '***-**-4320' AND id = {}"
    assert taught(pattern).find(pattern.format(12)) is None


def test_no_more_is_read_for_a_skeleton_whose_numbers_may_not_vary():
    templates = Templates()
    for number in range(5):
        text = f"SELECT pg_sleep({number})"
        templates.learn(text, alone(text), lambda other: pytest.fail(f"{other} was read"))
        assert templates.find(text) is None


def test_a_number_that_must_be_the_same_gives_a_template_of_its_own():
    templates = learnt(*(f"SELECT * FROM orders WHERE id = {n} LIMIT {limit}" for limit in (5, 10) for n in (1, 2)))
    for limit in (5, 10):
        text = f"SELECT * FROM orders WHERE id = 77 LIMIT {limit}"
        assert templates.find(text) == alone(text).statements
    assert templates.find("SELECT * FROM orders WHERE id = 77 LIMIT 1") is None


def test_a_skeleton_that_comes_once_costs_no_further_reading():
    read = []
    templates = Templates()
    text = "SELECT * FROM orders WHERE id = 1"
    templates.learn(text, alone(text), lambda other: read.append(other) or alone(other))
    assert (read, templates.find(text)) == ([], None)


def test_there_are_so_many_templates_and_no_more():
    templates = Templates()
    for number in range(KEPT + 10):
        text = f"SELECT * FROM orders WHERE c{number} = 1"
        for _ in range(2):
            templates.learn(text, alone(text), alone)
    assert templates.find("SELECT * FROM orders WHERE c0 = 2") is None
    assert templates.find(f"SELECT * FROM orders WHERE c{KEPT + 9} = 2") is not None


NUMBERS = st.integers(0, 999_999_999).map(str)
STRINGS = st.text("ab%_.,;()-= 0", max_size=6).map(lambda text: f"'{text}'")
LITERALS = NUMBERS | STRINGS
COLUMNS = st.sampled_from(["id", "t.id", '"id"', "note", "lower(note)", "id + 1", "1", "'a'"])
OPERATORS = st.sampled_from(["=", "<>", "!=", "<", ">=", "LIKE", "~~", "||", "-", "IS NOT DISTINCT FROM"])
TERMS = st.builds("{} {} {{}}".format, COLUMNS, OPERATORS) | st.builds("{} IN ({{}}, {{}})".format, COLUMNS)
JOINED = st.recursive(
    TERMS, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR", "AND NOT"]), inner), max_leaves=4
)
SHAPES = st.sampled_from(
    [
        "SELECT id, {{}} FROM orders t WHERE {}",
        "SELECT * FROM orders t WHERE {} LIMIT {{}}",
        "DELETE FROM orders t WHERE {}",
        "UPDATE orders t SET note = {{}}, id = {{}} WHERE {}",
        "INSERT INTO orders VALUES ({{}}, lower({{}}))",
        "SELECT * FROM orders t JOIN items i ON i.id = {{}} WHERE {} ORDER BY {{}}",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.builds(lambda shape, where: shape.format(where), SHAPES, JOINED), st.data())
def test_whatever_is_found_is_what_reading_says(pattern, data):
    count = pattern.count("{}")
    texts = [pattern.format(*data.draw(st.lists(LITERALS, min_size=count, max_size=count))) for _ in range(4)]
    templates = learnt(texts[0], texts[0], texts[1], texts[1])
    for text in texts:
        found = templates.find(text)
        assert found is None or found == alone(text).statements


VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "sql").glob("*.sql"))
OTHERS = ("0", "1", "2", "7", "42", "007", "999999999")


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_vector_with_other_numbers_is_found_only_as_it_reads(path):
    text = path.read_text().partition("\n\n")[2]
    templates = learnt(text, text)
    for other in OTHERS:
        varied = re.sub(r"\d+", other, text)
        found = templates.find(varied)
        assert found is None or found == alone(varied).statements


def test_texts_that_share_a_reading_are_asked_sent_and_shown_as_they_are():
    stage = Stage().open()
    for number in (3, 41, 123456789):
        text = f"SELECT total FROM orders WHERE id = {number}"
        sends = stage.client(wire.query(text)) + stage.allow()
        assert stage.asked.action.text == text
        assert stage.asked.shown == cover_text(text, COVERING.detectors)
        assert wire.query(text) in sent(sends)
        stage.server(description(("total", 200, 2)) + row(b"5") + complete("SELECT 1") + ready())
    assert len({id(read(f"SELECT total FROM orders WHERE id = {number}").statements) for number in (41, 123456789)}) == 1
