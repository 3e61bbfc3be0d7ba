"""What a preview may run: every way that we know of in which a write could do more than change rows is found in the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from gatebook.cli.demo.parts import PostgresServer
from gatebook.protocols.postgres.drafts import Apart, Draft, take_apart, why_not
from gatebook.protocols.postgres.reading import Relation
from gatebook.protocols.postgres.side_effects import Found, judge, question
from gatebook.protocols.postgres.statement import read

pytestmark = pytest.mark.real

TABLES = """
CREATE SCHEMA t; SET search_path = t, public;
CREATE TYPE state AS ENUM ('open', 'paid');
CREATE DOMAIN cents AS int8 CHECK (VALUE >= 0);
CREATE TABLE parents (id int PRIMARY KEY, name text);
CREATE TABLE items (
  id int PRIMARY KEY, parent int REFERENCES parents, name varchar(40) DEFAULT 'none', price cents CHECK (price < 1000000),
  state state DEFAULT 'open', tags text[], body jsonb, twice int8 GENERATED ALWAYS AS (price * 2) STORED,
  made timestamptz DEFAULT now(), states state[]
);
CREATE INDEX items_lower ON items (lower(name)) WHERE price > 10;
CREATE TABLE other (id int, name text);
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
"""
UPDATE = "UPDATE items SET name = 'x' WHERE id = 1"
DELETE = "DELETE FROM items WHERE id = 1"
INSERT = "INSERT INTO items (id, name) VALUES (1, 'x')"


@pytest.fixture(params=["18", "system"])
def owner(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's transaction in which anything may be made, and of which nothing is left."""
    server: PostgresServer = request.getfixturevalue("plain_postgres" if request.param == "18" else "tls_postgres")
    mode = "prefer" if request.param == "18" else "require"
    with psycopg.connect(server.dsn("shop"), sslmode=mode) as connection:
        connection.execute(TABLES)
        yield connection
        connection.rollback()


def apart_of(text: str) -> Apart:
    assert why_not(read(text)) == ""
    found = take_apart(text)
    assert isinstance(found, Apart), found
    return found


def found(owner: psycopg.Connection[Any], text: str, types: tuple[int, ...] = ()) -> Found:
    oids = {}
    for relation in read(text).relations:
        row = owner.execute("SELECT to_regclass(%s)::oid", [str(relation)]).fetchone()
        assert row is not None
        assert row[0] is not None, relation
        oids[relation] = row[0]
    draft = Draft(apart_of(text), oids, "t", {}, types=types)
    owner.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    rows = owner.execute(question(draft)).fetchall()  # type: ignore[arg-type]
    owner.execute("SET LOCAL search_path = t, public")
    return judge(draft, [[str(cell).encode() for cell in row] for row in rows])


KNOWN = [
    UPDATE,
    DELETE,
    "UPDATE items SET price = price + 1, twice = DEFAULT WHERE state = 'open' AND made < now() - interval '1 day'",
    "DELETE FROM items USING parents p WHERE p.id = parent AND p.name LIKE 'a%' AND price BETWEEN 1 AND 5",
    "INSERT INTO items (id, name, made) SELECT id, upper(name), clock_timestamp() FROM parents ON CONFLICT DO NOTHING",
    "INSERT INTO other VALUES (1, 'x') RETURNING id",
    "INSERT INTO items (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    "WITH p AS (SELECT max(id) AS id FROM parents) UPDATE items i SET parent = p.id FROM p WHERE i.id IN (1, 2)",
    "MERGE INTO items i USING parents p ON i.parent = p.id WHEN MATCHED THEN DELETE",
    "UPDATE items SET state = 'paid'::state, tags = array_append(tags, 'x'), body = body || '{\"a\": 1}'::jsonb WHERE id = 1",
    "UPDATE other SET name = CASE id WHEN 1 THEN 'a' ELSE coalesce(name, 'b') END WHERE name IS DISTINCT FROM 'c'",
]


@pytest.mark.parametrize("text", KNOWN)
def test_a_write_by_what_came_with_the_server_is_known_to_be_free_of_side_effects(
    owner: psycopg.Connection[Any], text: str
) -> None:
    assert found(owner, text).reasons == ()


HIDDEN = [
    ("CREATE TRIGGER g AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION trg()", UPDATE, "trigger g"),
    ("CREATE TRIGGER g BEFORE UPDATE ON items FOR EACH STATEMENT EXECUTE FUNCTION trg()", UPDATE, "trigger g"),
    ("CREATE CONSTRAINT TRIGGER g AFTER DELETE ON items DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trg()",
     DELETE, "trigger g"),
    ("CREATE TRIGGER g AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION trg()", INSERT, "trigger g"),
    ("CREATE TRIGGER g AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION trg()", INSERT + " ON CONFLICT (id) DO UPDATE SET name = 'y'",  # noqa: E501
     "trigger g"),
    ("CREATE TABLE child () INHERITS (items); CREATE TRIGGER g AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION trg()",
     DELETE, "trigger g"),
    ("CREATE TABLE parts (id int, name text) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF parts FOR VALUES IN (1);"
     "CREATE TRIGGER g BEFORE INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION trg()", "UPDATE parts SET id = 1 WHERE name = 'x'",
     "trigger g"),
    ("CREATE TABLE follows (id int REFERENCES items ON DELETE CASCADE);"
     "CREATE TRIGGER g AFTER DELETE ON follows FOR EACH ROW EXECUTE FUNCTION trg()", DELETE, "trigger g"),
    ("CREATE TABLE a (id int PRIMARY KEY REFERENCES items ON DELETE CASCADE); CREATE TABLE b (id int REFERENCES a ON DELETE SET NULL);"  # noqa: E501
     "CREATE TRIGGER g AFTER UPDATE ON b FOR EACH ROW EXECUTE FUNCTION trg()", DELETE, "trigger g"),
    ("CREATE TABLE follows (id int DEFAULT 7 REFERENCES items ON DELETE SET DEFAULT)", DELETE, "sets defaults"),
    ("CREATE RULE r AS ON UPDATE TO items DO ALSO INSERT INTO other VALUES (1, 'x')", UPDATE, "rule r"),
    ("CREATE TABLE follows (id int REFERENCES items ON DELETE CASCADE); CREATE RULE r AS ON DELETE TO follows DO ALSO NOTIFY x",
     DELETE, "rule r"),
    ("CREATE VIEW v AS SELECT id, name FROM items", "UPDATE v SET name = 'x' WHERE id = 1", "v is a view"),
    ("CREATE VIEW v AS SELECT f(id) AS id FROM items", "DELETE FROM items WHERE id IN (SELECT id FROM v)", "v is a view"),
    ("ALTER TABLE items ADD CHECK (f(id) > 0)", UPDATE, "calls f()"),
    ("ALTER TABLE items ADD COLUMN g int GENERATED ALWAYS AS (f(id)) STORED", UPDATE, "calls f()"),
    ("ALTER TABLE items ADD COLUMN g int DEFAULT f(1)", INSERT, "calls f()"),
    ("ALTER TABLE items ADD COLUMN g int DEFAULT f(1)", "UPDATE items SET g = DEFAULT WHERE id = 1", "calls f()"),
    ("CREATE INDEX x ON items (f(id))", UPDATE, "calls f()"),
    ("CREATE INDEX x ON items (id) WHERE f(id) > 0", UPDATE, "calls f()"),
    ("CREATE INDEX x ON items ((id + f(1)))", "DELETE FROM parents USING items WHERE parents.id = items.id",
     "calls f()"),
    ("CREATE STATISTICS s ON (f(id)), name FROM items", UPDATE, "calls f()"),
    ("CREATE DOMAIN odd AS int CHECK (f(VALUE) > 0); ALTER TABLE items ADD COLUMN g odd", UPDATE, "calls f()"),
    ("CREATE DOMAIN odd AS int CHECK (f(VALUE) > 0); ALTER TABLE items ADD COLUMN g odd[]", UPDATE, "calls f()"),
    ("CREATE DOMAIN odd AS int CHECK (f(VALUE) > 0)", "UPDATE items SET price = '1'::odd WHERE id = 1", "calls f()"),
    ("CREATE DOMAIN odd AS int CHECK (f(VALUE) > 0); CREATE DOMAIN odder AS odd; ALTER TABLE items ADD COLUMN g odder", UPDATE,
     "calls f()"),
    ("CREATE DOMAIN odd AS int DEFAULT f(2); ALTER TABLE items ADD COLUMN g odd", INSERT, "calls f()"),
    ("ALTER TABLE items ADD CHECK (pg_notify('a', 'b')::text = '')", UPDATE, "calls pg_notify()"),
    ("ALTER TABLE items ADD CHECK (set_config('a.b', 'c', false) = 'c')", UPDATE, "calls set_config()"),
    ("CREATE SEQUENCE s; ALTER TABLE items ADD COLUMN g int DEFAULT nextval('s')", INSERT, "sequence"),
    ("ALTER TABLE other ADD COLUMN g serial", "INSERT INTO other VALUES (1, 'x')", "sequence"),
    ("ALTER TABLE other ADD COLUMN g int GENERATED BY DEFAULT AS IDENTITY", "INSERT INTO other (id) VALUES (1)", "sequence"),
    ("ALTER TABLE other ADD COLUMN g int GENERATED ALWAYS AS IDENTITY",
     "MERGE INTO other USING parents p ON other.id = p.id WHEN NOT MATCHED THEN INSERT (id) VALUES (1)", "sequence"),
    ("ALTER TABLE items ENABLE ROW LEVEL SECURITY; ALTER TABLE items FORCE ROW LEVEL SECURITY; CREATE ROLE low;"
     "GRANT ALL ON SCHEMA t TO low; GRANT ALL ON ALL TABLES IN SCHEMA t TO low; SET LOCAL ROLE low", UPDATE, "row security"),
    ("ALTER TABLE parents ENABLE ROW LEVEL SECURITY; CREATE ROLE low; GRANT ALL ON SCHEMA t TO low;"
     "GRANT ALL ON ALL TABLES IN SCHEMA t TO low; SET LOCAL ROLE low",
     "DELETE FROM items WHERE parent IN (SELECT id FROM parents)", "row security"),
    ("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (id int) SERVER s",
     "DELETE FROM far WHERE id = 1", "foreign table"),
    ("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far () INHERITS (items) SERVER s",  # noqa: E501
     DELETE, "foreign table"),
    ("CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1::text'", "UPDATE items SET name = lower(name) WHERE id = 1",  # noqa: E501
     "lower() may be"),
    ("CREATE FUNCTION public.eq(varchar, text) RETURNS bool LANGUAGE sql AS 'SELECT true';"
     "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = public.eq)", "DELETE FROM items WHERE name = 'x'",  # noqa: E501
     "operator ="),
    ("CREATE FUNCTION public.eq(varchar, text) RETURNS bool LANGUAGE sql AS 'SELECT true';"
     "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = public.eq)",
     "DELETE FROM items WHERE CASE name WHEN 'x' THEN true END", "operator ="),
    ("CREATE FUNCTION toi(varchar) RETURNS int8 LANGUAGE sql AS 'SELECT 1::int8'; CREATE CAST (varchar AS int8) WITH FUNCTION toi(varchar) AS ASSIGNMENT",  # noqa: E501
     "UPDATE items SET price = name WHERE id = 1", "cast from"),
    ("CREATE FUNCTION toj(state) RETURNS json LANGUAGE sql AS 'SELECT null::json'; CREATE CAST (state AS json) WITH FUNCTION toj(state)",  # noqa: E501
     "UPDATE items SET body = to_jsonb(state) WHERE id = 1", "cast from"),
    ("CREATE TYPE pair AS (a int, b int); ALTER TABLE items ADD COLUMN g pair", UPDATE, "type t.pair"),
    ("CREATE TYPE span AS RANGE (subtype = int); ALTER TABLE items ADD COLUMN g span", UPDATE, "type t.span"),
    ("CREATE TABLE numeric (a int)", "UPDATE items SET price = '1'::numeric WHERE id = 1", "type"),
    ("CREATE FUNCTION cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 0';"
     "CREATE OPERATOR CLASS oc FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,"  # noqa: E501
     "FUNCTION 1 cmp(int, int); CREATE INDEX x ON items (id oc)", UPDATE, "index x"),
    ("CREATE TABLE parts (id int, name text) PARTITION BY LIST (f(id)); CREATE TABLE p1 PARTITION OF parts DEFAULT",
     "UPDATE p1 SET id = 1 WHERE name = 'x'", "calls f()"),
    ("CREATE TEMP TABLE gone (id int)", "DELETE FROM gone WHERE id = 1", "temporary"),
    ("", "DELETE FROM items WHERE name = current_setting('a.b')", "current_setting()"),
    ("", "UPDATE items SET name = 'x' WHERE pg_input_is_valid('1', 'odd')", "pg_input_is_valid()"),
    ("ALTER TABLE items ADD CHECK (id <> ALL (current_setting('a.b')::int[]))", UPDATE, "current_setting()"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "text", "reason"), HIDDEN)
def test_what_hides_an_effect_is_a_reason_against(owner: psycopg.Connection[Any], made: str, text: str, reason: str) -> None:
    owner.execute(made)  # type: ignore[arg-type]
    assert any(reason in one for one in found(owner, text).reasons), found(owner, text).reasons


MILD = [
    ("CREATE TRIGGER g AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION trg()", DELETE),
    ("CREATE TRIGGER g AFTER DELETE ON items FOR EACH ROW EXECUTE FUNCTION trg(); ALTER TABLE items DISABLE TRIGGER g", DELETE),
    ("CREATE TABLE follows (id int REFERENCES items ON DELETE CASCADE, n serial)", DELETE),
    ("ALTER TABLE items ADD COLUMN g serial", DELETE),
    ("ALTER TABLE other ADD COLUMN g serial", "INSERT INTO other (id, name, g) VALUES (1, 'x', 2)"),
    ("CREATE FUNCTION unused(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", UPDATE),
]


@pytest.mark.parametrize(("made", "text"), MILD)
def test_what_a_write_does_not_reach_is_no_reason(owner: psycopg.Connection[Any], made: str, text: str) -> None:
    owner.execute(made)  # type: ignore[arg-type]
    assert found(owner, text).reasons == ()


def test_keys_and_what_foreign_keys_carry_along_are_named(owner: psycopg.Connection[Any]) -> None:
    owner.execute("CREATE TABLE follows (id int REFERENCES items ON DELETE CASCADE)")
    seen = found(owner, DELETE)
    assert (seen.keys, seen.follows) == (("id",), ("t.follows",))
    assert seen.version >= 150000
    assert not found(owner, UPDATE).follows


def test_a_parameter_of_somebodys_type_is_a_reason(owner: psycopg.Connection[Any]) -> None:
    owner.execute("CREATE TYPE pair AS (a int, b int)")
    row = owner.execute("SELECT 'pair'::regtype::oid").fetchone()
    assert row is not None
    assert any("pair" in one for one in found(owner, DELETE, (row[0],)).reasons)
    assert found(owner, DELETE, (23, 0)).reasons == ()


def test_every_relation_that_a_text_names_was_looked_up(owner: psycopg.Connection[Any]) -> None:
    assert Relation(None, "parents") in read(KNOWN[3]).relations
