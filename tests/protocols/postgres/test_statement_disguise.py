"""Functions that are called as if they were columns."""

import pytest

from gatebook.protocols.postgres.catalog import Catalog, Known
from gatebook.protocols.postgres.disguise import calls_in_disguise
from gatebook.protocols.postgres.reading import Relation
from gatebook.protocols.postgres.statement import read

ORDERS = Known(1, "public", ("orders",), {1: "id", 2: "total"})
CUSTOMERS = Known(2, "public", ("customers",), {1: "id", 2: "leak"})
CATALOG = Catalog(
    {Relation(None, "orders"): ORDERS, Relation("public", "orders"): ORDERS, Relation(None, "customers"): CUSTOMERS}
)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT o.leak FROM orders o",
        "SELECT orders.leak FROM public.orders",
        "SELECT public.orders.leak FROM public.orders",
        "SELECT (o).leak FROM orders o",
        "SELECT (o.*).leak FROM orders o",
        "SELECT 1 FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.leak)",
        "SELECT o.leak FROM orders o, customers c",
        "SELECT (SELECT o FROM orders o).leak",
        "SELECT (max(o)).leak FROM orders o",
        "SELECT s.leak FROM (SELECT * FROM orders) s",
        "SELECT s.leak FROM (SELECT id FROM orders) s",
        "SELECT j.leak FROM (orders a JOIN orders b USING (id)) j",
        "SELECT (NULL::orders).leak",
        "SELECT (row(1, 2)::orders).leak",
        "DELETE FROM orders o WHERE o.leak = 1",
        "UPDATE orders SET total = orders.leak",
        "INSERT INTO orders VALUES (1) ON CONFLICT (id) DO UPDATE SET total = excluded.leak",
        "DELETE FROM orders RETURNING old.leak",
        "MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN UPDATE SET total = o.leak",
        "EXPLAIN SELECT o.leak FROM orders o",
    ],
)
def test_a_qualified_name_that_is_no_column_is_a_call(text: str) -> None:
    assert calls_in_disguise(read(text).statements[0], CATALOG) == {"leak"}


def test_a_prepared_call_is_one_when_it_is_executed() -> None:
    statement = read("PREPARE p AS SELECT o.leak FROM orders o; EXECUTE p").statements[1]
    assert calls_in_disguise(statement, CATALOG) == {"leak"}


def test_no_column_is_known_of_a_relation_that_is_not() -> None:
    assert calls_in_disguise(read("SELECT n.id FROM nowhere n").statements[0], CATALOG) == {"id"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT c.leak, o.id, o.ctid, o.* FROM orders o, customers c",
        "SELECT o.x FROM orders o(x, y)",
        "SELECT s.leak FROM (SELECT id AS leak FROM orders) s",
        "SELECT s.total, (s).id FROM (SELECT * FROM orders) s",
        "WITH s AS (SELECT * FROM customers) SELECT s.leak FROM s",
        "SELECT j.key FROM json_each('{}') j",
        "SELECT (r.keys).n FROM (SELECT information_schema._pg_expandarray(o.id) AS keys FROM orders o) r",
        "SELECT (json_each('{}')).key",
        "UPDATE orders SET total = excluded.id FROM orders excluded",
        "SELECT v.a FROM (VALUES (1)) v(a)",
    ],
)
def test_a_name_that_a_row_has_is_no_call(text: str) -> None:
    assert calls_in_disguise(read(text).statements[0], CATALOG) == frozenset()
