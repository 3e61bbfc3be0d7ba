"""A held write taken apart: what may be tried at all, where its RETURNING begins, and every name that could mean code."""

from __future__ import annotations

import pytest

from gatebook.protocols.postgres.drafts import Apart, take_apart, why_not
from gatebook.protocols.postgres.reading import Relation
from gatebook.protocols.postgres.statement import read


def apart(text: str) -> Apart:
    found = take_apart(text)
    assert isinstance(found, Apart), found
    return found


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "DELETE FROM t; DELETE FROM u",
        "WITH gone AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM t WHERE id = 1",
        "PREPARE p AS DELETE FROM t WHERE id = 1",
        "EXECUTE p",
        "COPY t FROM STDIN",
        "TRUNCATE t",
        "DROP TABLE t",
        "DO $$BEGIN DELETE FROM t; END$$",
        "DELETE FROM t WHERE id = nextval('s')",
        "DELETE FROM t WHERE pg_notify('a', 'b') IS NULL",
        "DELETE FROM t WHERE lo_create(1) > 0",
        "DELETE FROM t WHERE pg_try_advisory_lock(1)",
        "DELETE FROM t WHERE dblink_exec('x', 'y') = ''",
        "DELETE FROM t WHERE set_config('a.b', 'c', false) = 'c'",
        "DELETE FROM t WHERE setseed(0.5) IS NULL",
        "DELETE FROM t WHERE query_to_xml('delete from u', true, true, '') IS NOT NULL",
        "DELETE FROM t WHERE id IN (SELECT id FROM u FOR UPDATE)",
        "DELETE FROM t WHERE rolpassword IN (SELECT rolpassword FROM pg_authid)",
        "DELETE FROM",
        "",
    ],
)
def test_only_one_plain_write_that_does_no_more_is_tried(text: str) -> None:
    assert why_not(read(text))


@pytest.mark.parametrize(
    ("text", "head", "outputs"),
    [
        ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1", ""),
        ("DELETE FROM t WHERE id = 1 -- all of it\n ; ", "DELETE FROM t WHERE id = 1", ""),
        ("DELETE FROM t RETURNING id, lower(n)", "DELETE FROM t ", "id, lower(n)"),
        ("delete from t returning (select 1) /* x */;", "delete from t ", "(select 1)"),
        ("INSERT INTO t SELECT 1 AS returning", "INSERT INTO t SELECT 1 AS returning", ""),
        ("INSERT INTO t VALUES (';') RETURNING 'returning'", "INSERT INTO t VALUES (';') ", "'returning'"),
        ("UPDATE t SET a = 'é' WHERE b = '🙂' RETURNING a", "UPDATE t SET a = 'é' WHERE b = '🙂' ", "a"),
    ],
)
def test_a_returning_is_cut_off_where_it_begins(text: str, head: str, outputs: str) -> None:
    found = apart(text)
    assert (found.head, found.outputs) == (head, outputs)


def test_a_returning_that_cannot_be_told_from_the_rest_is_left_alone() -> None:
    assert isinstance(take_apart("DELETE FROM t RETURNING a AS returning"), str)


def test_what_is_changed_has_its_alias_and_the_columns_it_is_given() -> None:
    found = apart("UPDATE public.things AS x SET a = 1, (b, c) = (2, 3) WHERE x.id = 1")
    assert (found.target, found.alias, found.sets) == (Relation("public", "things"), "x", {"a", "b", "c"})
    found = apart("INSERT INTO things (a, b) VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET c = 3")
    assert (found.alias, found.given, found.sets, found.replaces) == ("things", {"a", "b"}, {"c"}, True)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t (a) VALUES (DEFAULT)",
        "INSERT INTO t DEFAULT VALUES",
        "UPDATE t SET a = DEFAULT",
        "MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED AND u.b THEN INSERT (a) VALUES (1)"
        " WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
    ],
)
def test_what_defaults_may_fill_in_is_not_given(text: str) -> None:
    assert apart(text).given is None


def test_every_name_that_may_be_code_is_found_however_it_is_written() -> None:
    found = apart(
        "UPDATE t SET a = f(x), b = x::kind1, c = CAST(x AS s.kind2[]), d = kind3 'y', e = x OPERATOR(s.<+>) 1,"
        " f = (SELECT max(q) FILTER (WHERE g(q)) OVER (ORDER BY q USING >>>) FROM h(1) AS h(q kind4)),"
        " g = json_value('{}', '$' RETURNING kind5), h = xmlserialize(CONTENT x AS kind6)"
        " WHERE x <@@ ANY (SELECT 1) AND y BETWEEN 1 AND 2 AND EXISTS (SELECT FROM json_table('[]', '$' COLUMNS (z kind7)) AS j)"  # noqa: E501
    )
    assert found.functions == {"f", "g", "h", "max"}
    assert {f"kind{number}" for number in range(1, 8)} <= found.types
    assert {"<+>", ">>>", "<@@", "=", "<", "<=", ">="} <= found.operators


@pytest.mark.parametrize("value", ["now()", "current_date", "CURRENT_USER", "'Today'::date", "random()", "gen_random_uuid()"])
def test_a_value_that_is_another_each_time_is_timely(value: str) -> None:
    assert apart(f"UPDATE t SET a = {value}").timely
    assert not apart("UPDATE t SET a = lower('x')").timely


def test_a_text_of_too_many_names_is_not_tried() -> None:
    calls = ", ".join(f"f{number}()" for number in range(600))
    assert take_apart(f"UPDATE t SET a = ARRAY[{calls}]") == "it names too much"
