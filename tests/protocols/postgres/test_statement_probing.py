"""Asking about a masked column without showing it is a fact of the statement; ordinary work beside it is none."""

import pytest

from gatebook.masking.rules import ColumnPattern, MaskSet, Style
from gatebook.protocols.postgres.catalog import BaseColumn, Catalog, Known
from gatebook.protocols.postgres.lineage import completed
from gatebook.protocols.postgres.reading import Relation
from gatebook.protocols.postgres.statement import read

PII = MaskSet("pii", (ColumnPattern.parse("customers.ssn"), ColumnPattern.parse("customers.name")), Style.PARTIAL)
PAY = MaskSet("pay", (ColumnPattern.parse("*.salary"),), Style.REDACT)
SETS = [PII, PAY]


def known(oid: int, name: str, *columns: str, **more: object) -> Known:
    return Known(oid, "public", (name,), dict(enumerate(columns, 1)), **more)  # type: ignore[arg-type]


CUSTOMERS = known(1, "customers", "id", "ssn", "name", "city", "joined", "salary", keys=(frozenset({"id"}), frozenset({"ssn"})))
ORDERS = known(
    2, "orders", "id", "customer_id", "name", "total", "ssn",
    references=(("ssn", BaseColumn("public", ("customers",), "ssn")),),
)  # fmt: skip
VIEW = known(3, "seen", "id", "x", under=(BaseColumn("public", ("customers",), "ssn"),))


def catalog() -> Catalog:
    found = Catalog()
    for one in (CUSTOMERS, ORDERS, VIEW):
        found.by_name[Relation(None, one.tables[0])] = one
    found.by_name[Relation(None, "typo")] = None
    found.absent.add(Relation(None, "typo"))
    return found


def fact(text: str, name: str = "tests_masked") -> str:
    facts = [deed.facts[name] for deed in completed(read(text), catalog(), SETS)]
    names = frozenset().union(*(value for value in facts if isinstance(value, frozenset)))
    return " ".join(sorted(one.removeprefix("public.customers.") for one in names))


PROBES = {
    "SELECT id FROM customers WHERE ssn LIKE '1%'": "ssn",
    "SELECT id FROM customers c WHERE c.ssn = '1'": "ssn",
    "SELECT id FROM customers c WHERE (c).ssn = '1'": "name salary ssn",
    "SELECT id FROM public.customers WHERE customers.ssn = '1'": "*",
    "SELECT 1 FROM customers WHERE substr(ssn, 1, 1) = '1'": "ssn",
    "SELECT 1 FROM customers WHERE '1' IN (substr(ssn, 1, 1))": "ssn",
    "SELECT 1 FROM customers WHERE (id, ssn) < (5, '2')": "ssn",
    "SELECT 1 FROM customers WHERE ROW(ssn) IS NOT NULL": "ssn",
    "SELECT 1 FROM customers WHERE nullif(ssn, '1') IS NULL": "ssn",
    "SELECT 1 FROM customers WHERE ssn BETWEEN '1' AND '2'": "ssn",
    "SELECT 1 FROM customers WHERE ssn IS DISTINCT FROM '1'": "ssn",
    "SELECT 1 FROM customers WHERE '1' = ANY (ARRAY[ssn])": "ssn",
    "SELECT 1 FROM customers c WHERE c::text LIKE '%1%'": "name salary ssn",
    "SELECT 1 FROM customers c WHERE row_to_json(c)->>'ssn' = '1'": "name salary ssn",
    "SELECT 1 FROM customers c WHERE c.* = (SELECT d FROM customers d LIMIT 1)": "name salary ssn",
    "SELECT 1 FROM customers c WHERE hashtext(c::text) = 5": "name salary ssn",
    "SELECT 1 FROM customers c, generate_series(1, 9) p WHERE substr(ssn, p, 1) = '1'": "ssn",
    "SELECT 1 FROM customers c JOIN (VALUES ('1')) v(x) ON c.ssn = v.x": "ssn",
    "SELECT 1 FROM customers JOIN orders USING (ssn)": "ssn",
    "SELECT 1 FROM customers NATURAL JOIN (VALUES ('1')) v(ssn)": "name salary ssn",
    "SELECT 1 FROM customers c LEFT JOIN orders o ON o.id = c.id AND c.ssn = '1'": "ssn",
    "SELECT id FROM customers ORDER BY ssn": "ssn",
    "SELECT id, ssn FROM customers ORDER BY 2": "ssn",
    "SELECT id, ssn AS x FROM customers ORDER BY x": "ssn",
    "SELECT id, upper(ssn) FROM customers ORDER BY upper": "ssn",
    "SELECT * FROM customers ORDER BY 2": "name salary ssn",
    "SELECT id FROM customers ORDER BY length(name), id": "name",
    "SELECT id FROM (SELECT id, substr(ssn, 1, 1) AS d FROM customers) s ORDER BY d": "ssn",
    "SELECT id FROM (SELECT * FROM customers) s ORDER BY ssn": "ssn",
    "SELECT s.id FROM (SELECT id, ssn FROM customers) s(id, z) WHERE z = '1'": "ssn",
    "SELECT count(*) FROM customers GROUP BY ssn": "ssn",
    "SELECT ssn, count(*) FROM customers GROUP BY 1": "ssn",
    "SELECT count(*) FROM customers GROUP BY GROUPING SETS ((city), (ssn))": "ssn",
    "SELECT city, count(*) FROM customers GROUP BY ROLLUP (city, ssn)": "ssn",
    "SELECT DISTINCT ssn FROM customers": "ssn",
    "SELECT DISTINCT ON (ssn) id FROM customers": "ssn",
    "SELECT city FROM customers GROUP BY city HAVING max(ssn) > '5'": "ssn",
    "SELECT city FROM customers GROUP BY city HAVING bool_or(ssn LIKE '1%')": "ssn",
    "SELECT count(*) FILTER (WHERE ssn LIKE '1%') FROM customers": "ssn",
    "SELECT string_agg(city, ',' ORDER BY ssn) FROM customers": "ssn",
    "SELECT array_agg(id ORDER BY ssn) FROM customers": "ssn",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY salary) FROM customers": "salary",
    "SELECT id, rank() OVER (ORDER BY ssn) FROM customers": "ssn",
    "SELECT id, row_number() OVER w FROM customers WINDOW w AS (PARTITION BY ssn)": "ssn",
    "SELECT CASE WHEN ssn LIKE '1%' THEN 1/0 ELSE id END FROM customers": "ssn",
    "SELECT CASE ssn WHEN '1' THEN pg_sleep(1) END FROM customers": "ssn",
    "SELECT 1 / (salary - 5) FROM customers": "salary",
    "SELECT ssn::int FROM customers": "ssn",
    "SELECT CAST(ssn AS date) FROM customers": "ssn",
    "SELECT coalesce(nullif(ssn, '1'), (1/0)::text) FROM customers": "ssn",
    "SELECT (salary > 5) AND 1/0 = 1 FROM customers": "salary",
    "SELECT pg_sleep(salary) FROM customers": "salary",
    "SELECT generate_series(1, salary) FROM customers": "salary",
    "SELECT regexp_matches(ssn, '^1') FROM customers": "ssn",
    "SELECT id FROM customers, regexp_matches(ssn, '^1')": "ssn",
    "SELECT id FROM customers, LATERAL generate_series(1, salary)": "salary",
    "SELECT id FROM customers c, LATERAL (SELECT 1 WHERE c.ssn LIKE '1%') x": "ssn",
    "SELECT id FROM customers LIMIT (SELECT salary FROM customers WHERE id = 1)": "salary",
    "SELECT 1 WHERE EXISTS (SELECT FROM customers WHERE ssn = '1')": "ssn",
    "SELECT 1 WHERE '1' IN (SELECT ssn FROM customers)": "ssn",
    "SELECT 1 WHERE '1' > ALL (SELECT ssn FROM customers)": "ssn",
    "SELECT 1 WHERE (SELECT ssn FROM customers WHERE id = 1) = '1'": "ssn",
    "SELECT 1 WHERE (1, '1') = (SELECT id, ssn FROM customers WHERE id = 1)": "ssn",
    "SELECT ssn FROM customers INTERSECT VALUES ('1')": "ssn",
    "VALUES ('1') EXCEPT SELECT ssn FROM customers": "ssn",
    "VALUES ('1') EXCEPT ALL SELECT ssn FROM customers": "ssn",
    "SELECT ssn FROM customers WHERE id = 1 UNION VALUES ('1')": "ssn",
    "WITH x AS (SELECT ssn AS z FROM customers) SELECT 1 FROM x WHERE z = '1'": "ssn",
    "WITH RECURSIVE r(n, z) AS (SELECT 1, ssn FROM customers UNION ALL SELECT n + 1, z FROM r WHERE n < 3) "
    "SELECT 1 FROM r WHERE z LIKE '1%'": "ssn",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r, customers WHERE substr(ssn, n, 1) = '1') "
    "SELECT max(n) FROM r": "ssn",
    "SELECT id FROM seen WHERE x = '1'": "public.seen.x",
    "SELECT id FROM seen WHERE id = 1": "public.seen.id",
    "UPDATE customers SET city = 'x' WHERE ssn LIKE '1%'": "ssn",
    "UPDATE orders SET total = 1 FROM customers c WHERE c.id = customer_id AND c.ssn LIKE '1%'": "ssn",
    "UPDATE customers SET city = CASE WHEN ssn LIKE '1%' THEN 'a' ELSE 'b' END WHERE id = 1": "ssn",
    "DELETE FROM customers WHERE ssn = '1'": "ssn",
    "DELETE FROM customers WHERE id = 1 RETURNING CASE WHEN ssn = '1' THEN 1/0 END": "ssn",
    "MERGE INTO orders o USING customers c ON o.customer_id = c.id AND c.ssn = '1' WHEN MATCHED THEN DELETE": "ssn",
    "MERGE INTO orders o USING customers c ON o.customer_id = c.id WHEN MATCHED AND c.ssn = '1' THEN DELETE": "ssn",
    "INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET city = 'x' WHERE customers.ssn = '1'": "ssn",
    "INSERT INTO orders (id) SELECT id FROM customers WHERE ssn = '1'": "ssn",
    "EXPLAIN SELECT 1 FROM customers WHERE ssn < '5'": "ssn",
    "EXPLAIN ANALYZE SELECT 1 FROM customers WHERE ssn < '5'": "ssn",
    "COPY (SELECT id FROM customers WHERE ssn < '5') TO STDOUT": "ssn",
    "DECLARE c CURSOR FOR SELECT id FROM customers ORDER BY ssn": "ssn",
    "PREPARE p AS SELECT id FROM customers WHERE ssn = $1": "ssn",
    "PREPARE p AS SELECT id FROM customers WHERE ssn = $1; EXECUTE p('1')": "ssn",
    "CREATE TABLE t AS SELECT id FROM customers WHERE ssn = '1'": "ssn",
    "SELECT id FROM customers WHERE ssn = $1": "ssn",
    "SELECT id FROM customers WHERE ssn = 'gbk_abc'": "ssn",
    "SELECT 1 FROM customers TABLESAMPLE bernoulli ((SELECT salary FROM customers LIMIT 1))": "salary",
    # a sub-select without LATERAL sees past its siblings
    "SELECT (SELECT s.a FROM orders c, (SELECT CASE WHEN c.ssn = '1' THEN 1/0 END AS a) s LIMIT 1) FROM customers c": "ssn",
    "SELECT (SELECT 1 FROM orders c, (orders x JOIN orders y ON c.name = 'a') LIMIT 1) FROM customers c": "name",
    "SELECT JSON_VALUE(ssn, '$' ERROR ON ERROR) FROM customers": "ssn",
    "SELECT xmlparse(CONTENT ssn) FROM customers": "ssn",
    "SELECT 1 FROM customers, JSON_TABLE(ssn, '$[*]' COLUMNS (a int PATH '$')) j": "ssn",
    "SELECT 1 FROM elsewhere WHERE id = 1": "*",
}  # fmt: skip


HARMLESS = [
    "SELECT ssn FROM customers WHERE id = 1",
    "SELECT * FROM customers WHERE city = 'Bern' ORDER BY id LIMIT 5",
    "SELECT c.ssn, c.name AS n, upper(c.name), c.ssn || '' FROM customers c ORDER BY c.id",
    "SELECT count(*), count(ssn), max(ssn), string_agg(name, ',') FROM customers",
    "SELECT city, count(*) FROM customers GROUP BY city HAVING count(*) > 1 ORDER BY 2 DESC",
    "SELECT id FROM customers WHERE ssn IS NULL OR name IS NOT NULL",
    "SELECT CASE WHEN ssn IS NULL THEN 'none' ELSE ssn END, coalesce(name, '?'), ssn::text FROM customers",
    "SELECT c.ssn, o.total FROM customers c JOIN orders o ON o.customer_id = c.id",
    "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.name = 'x' AND o.ssn = '1' ORDER BY o.name",
    "SELECT row_to_json(c), to_jsonb(c.*), json_agg(c.ssn) FROM customers c GROUP BY c.id",
    "SELECT p, c.ssn FROM customers c, generate_series(1, 3) p WHERE p = 3",
    "SELECT ssn FROM customers UNION ALL SELECT city FROM customers",
    "WITH x AS (SELECT id, ssn FROM customers) SELECT * FROM x WHERE id = 4",
    "SELECT (SELECT ssn FROM customers WHERE id = o.customer_id) FROM orders o",
    "SELECT 1 WHERE EXISTS (SELECT ssn FROM customers WHERE id = 5)",
    "SELECT 1 WHERE 5 IN (SELECT customer_id FROM orders)",
    "SELECT ARRAY[ssn, name], ROW(ssn, name), (c).ssn FROM customers c",
    "SELECT id, row_number() OVER (PARTITION BY city ORDER BY joined), first_value(ssn) OVER (ORDER BY id) FROM customers",
    "INSERT INTO customers (id, city) VALUES (1, 'x') ON CONFLICT (id) DO NOTHING RETURNING ssn",
    "UPDATE customers SET ssn = 'x', city = $1 WHERE id = $2 RETURNING ssn",
    "DELETE FROM customers WHERE id = 1",
    "SELECT city FROM typo WHERE ssn = '1'",
    "TABLE customers",
    "BEGIN",
]  # fmt: skip


@pytest.mark.parametrize("text", PROBES)
def test_what_a_statement_asks_about_masked_columns_is_a_fact(text: str) -> None:
    assert fact(text) == PROBES[text]


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_work_beside_masked_columns_asks_nothing(text: str) -> None:
    assert fact(text) == ""


def test_the_mask_sets_of_what_is_asked_are_a_fact_too() -> None:
    assert fact("SELECT id FROM customers WHERE ssn = '1'", "tested_sets") == "pii"
    assert fact("SELECT id FROM customers WHERE ssn = '1' OR salary > 5", "tested_sets") == "pay pii"
    assert fact("SELECT id FROM elsewhere WHERE ssn = '1'", "tested_sets") == "pay pii"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("INSERT INTO customers (id, ssn) VALUES (1, '1')", "ssn"),
        ("INSERT INTO customers VALUES (1, '1')", "ssn"),
        ("INSERT INTO customers (ssn) VALUES ('1') ON CONFLICT DO NOTHING", "ssn"),
        ("INSERT INTO customers (id, city) VALUES (1, 'x')", ""),
        ("UPDATE customers SET ssn = '1' WHERE id = 1", "ssn"),
        ("UPDATE customers SET city = '1' WHERE id = 1", ""),
        ("INSERT INTO orders (id, ssn) VALUES (1, '1')", "public.orders.ssn"),
        ("INSERT INTO orders (id, total) VALUES (1, 1)", ""),
        ("COPY customers (id, ssn) FROM STDIN", "ssn"),
        ("COPY customers (id, city) FROM STDIN", ""),
        (
            "MERGE INTO customers c USING orders o ON c.id = o.customer_id WHEN NOT MATCHED THEN INSERT (ssn) VALUES ('1')",
            "ssn",
        ),
        ("INSERT INTO elsewhere VALUES (1)", "*"),
    ],
)
def test_a_write_that_a_key_of_masked_columns_checks_says_so(text: str, columns: str) -> None:
    assert fact(text, "keys_masked") == columns


def test_nothing_is_asked_where_nothing_is_masked() -> None:
    deeds = completed(read("SELECT id FROM customers WHERE ssn = '1'"), catalog(), [])
    assert deeds[0].facts["tests_masked"] == frozenset()
