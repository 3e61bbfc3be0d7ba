"""Names that come to stand for another relation within one text or batch: a rule about that relation is not got round."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.parts import SUPERUSER
from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

NO = r"no-unknown|no-rule"

POLICY = """
@id("no-unknown")
@reason("what cannot be read may do anything")
forbid (principal, action, resource) when { context.reach == "unknown" };

@id("all-but-private")
@reason("what is private is for nobody here")
permit (principal, action, resource) unless { resource is Table && resource.schema == "private" };
"""
PRIVATE = """
    DROP SCHEMA IF EXISTS private, open CASCADE; GRANT TEMP ON DATABASE shop TO shop_app;
    CREATE SCHEMA private; GRANT ALL ON SCHEMA private TO shop_app;
    CREATE SCHEMA open; GRANT ALL ON SCHEMA open TO shop_app; SET ROLE shop_app;
    CREATE TABLE private.salaries (id int); INSERT INTO private.salaries SELECT generate_series(1, 10);
    CREATE TABLE open.salaries (id int); CREATE TABLE open.other (id int);
"""


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, world: Any) -> Iterator[LiveGateway]:
    gateway = LiveGateway(tmp_path_factory.mktemp("ruled"), world, policies={"all": POLICY}, allows_all=True)
    yield gateway.start()
    assert "Traceback" not in gateway.log
    gateway.stop()


@pytest.fixture(autouse=True)
def salaries(world: Any) -> Iterator[None]:
    world.plain.sql(PRIVATE, "shop")
    yield
    assert world.plain.sql("SELECT count(*) FROM private.salaries", "shop") == "10"
    world.plain.sql("DROP SCHEMA private, open CASCADE; REVOKE TEMP ON DATABASE shop FROM shop_app", "shop")


@pytest.fixture
def client(ruled: LiveGateway) -> Iterator[psycopg.Connection[Any]]:
    with ruled.connect(autocommit=True) as connection:
        connection.execute("SET search_path = open, private")
        yield connection


def batch(client: psycopg.Connection[Any], *texts: str) -> None:
    with client.pipeline():
        for text in texts:
            client.execute(text)


REACHES = [
    "SET search_path = private; DELETE FROM salaries",
    "SET LOCAL search_path = private; DELETE FROM salaries",
    "SELECT set_config('search_path', 'private', false); DELETE FROM salaries",
    "BEGIN; SET LOCAL search_path = private; DELETE FROM salaries; COMMIT",
    "DISCARD ALL; SET search_path = private; DELETE FROM salaries",
    "DROP TABLE open.salaries; DELETE FROM salaries",
    "ALTER TABLE salaries RENAME TO wages; DELETE FROM salaries",
    "ALTER TABLE open.salaries SET SCHEMA public; DELETE FROM salaries",
    "ALTER SCHEMA open RENAME TO closed; DELETE FROM salaries",
    "ALTER TABLE private.salaries RENAME TO wages; DELETE FROM wages",
    "REVOKE ALL ON SCHEMA open FROM shop_app; DELETE FROM salaries",
    "DROP TABLE open.salaries; CREATE TABLE IF NOT EXISTS private.salaries (id int); TRUNCATE salaries",
    "SET search_path = private; EXPLAIN ANALYZE DELETE FROM salaries",
    "SET search_path = private; PREPARE p AS DELETE FROM salaries; EXECUTE p",
    "SET search_path = private; LOCK TABLE salaries",
    "SET search_path = private; COPY salaries TO STDOUT",
]


@pytest.mark.parametrize("text", REACHES)
def test_a_name_behind_what_moves_it_in_the_same_text_is_not_the_name_before(
    client: psycopg.Connection[Any], text: str
) -> None:
    client.execute("SELECT * FROM salaries")
    with pytest.raises(errors.InsufficientPrivilege, match=NO):
        client.execute(text)


SHADOWS = [
    ("CREATE TEMP TABLE salaries (id int)", "DISCARD TEMP; DELETE FROM salaries"),
    ("CREATE TEMP TABLE salaries (id int)", "DROP TABLE pg_temp.salaries; DELETE FROM salaries"),
    ("CREATE TABLE open.seen (id int); CREATE TEMP VIEW salaries AS SELECT id FROM open.seen", "DROP TABLE open.seen CASCADE;"),
    ("BEGIN; CREATE TEMP TABLE salaries (id int)", "ROLLBACK; DELETE FROM salaries"),
    ("BEGIN; CREATE TEMP TABLE salaries (id int) ON COMMIT DROP", "COMMIT; DELETE FROM salaries"),
    ("BEGIN; SAVEPOINT a; CREATE TEMP TABLE salaries (id int)", "ROLLBACK TO a; DELETE FROM salaries"),
    ("BEGIN; SET LOCAL search_path = open", "COMMIT; DELETE FROM salaries"),
]


@pytest.mark.parametrize("apart", [False, True], ids=["in one text", "in texts of their own"])
@pytest.mark.parametrize(("first", "then"), SHADOWS)
def test_what_hid_a_relation_hides_it_no_longer_once_it_is_gone(
    client: psycopg.Connection[Any], first: str, then: str, apart: bool
) -> None:
    client.execute("SET search_path = private")
    client.execute(first)
    client.execute("SELECT * FROM salaries")
    ending, _, _ = then.partition(";")
    if apart:
        client.execute(ending)
    with pytest.raises(errors.InsufficientPrivilege, match=NO):
        client.execute("DELETE FROM salaries" if apart else f"{ending}; DELETE FROM salaries")


@pytest.mark.parametrize(("first", "then"), SHADOWS)
def test_nor_in_a_batch(client: psycopg.Connection[Any], first: str, then: str) -> None:
    client.execute("SET search_path = private")
    client.execute(first)
    client.execute("SELECT * FROM salaries")
    ending, _, _ = then.partition(";")
    with pytest.raises(errors.InsufficientPrivilege, match=NO):
        batch(client, ending, "DELETE FROM salaries")


def test_a_statement_that_is_prepared_runs_by_what_its_names_mean_when_it_runs(client: psycopg.Connection[Any]) -> None:
    client.execute("PREPARE p AS DELETE FROM salaries")
    with pytest.raises(errors.InsufficientPrivilege, match=NO):
        batch(client, "SET search_path = private", "EXECUTE p")
    client.execute("SET search_path = private")
    with pytest.raises(errors.InsufficientPrivilege, match="no-rule"):
        client.execute("EXECUTE p")


def test_two_hundred_names_hide_none(client: psycopg.Connection[Any]) -> None:
    client.execute("SET search_path = private")
    many = ", ".join(f"a{number}" for number in range(210))
    with pytest.raises(errors.InsufficientPrivilege, match="no-unknown"):
        client.execute(f"WITH gone AS (DELETE FROM salaries) SELECT 1 FROM {many}")


HARMLESS = [
    "SET search_path = private; SELECT 1",
    "SELECT pg_catalog.set_config('search_path', '', false); INSERT INTO open.salaries VALUES (1)",
    "SET search_path = private; SELECT count(*) FROM open.salaries s WHERE s.id OPERATOR(pg_catalog.=) 1",
    "SET statement_timeout = 9000; SELECT * FROM salaries",
    "CREATE TABLE made (id int); INSERT INTO made VALUES (1); DROP TABLE made",
    "DROP TABLE IF EXISTS made; CREATE TABLE made (id int); INSERT INTO made VALUES (1); DROP TABLE made",
    "BEGIN; CREATE TEMP TABLE made (id int) ON COMMIT DROP; INSERT INTO made VALUES (1); COMMIT; SELECT * FROM salaries",
    "DROP TABLE other CASCADE; DELETE FROM salaries",
    "BEGIN; DELETE FROM salaries; COMMIT; BEGIN; DELETE FROM other; COMMIT",
    "CREATE TABLE IF NOT EXISTS salaries (id int); DELETE FROM salaries",
    "DELETE FROM salaries; SET search_path = private",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_scripts_that_move_nothing_they_name_pass(client: psycopg.Connection[Any], text: str) -> None:
    client.execute(text.replace("count(*)", "id"))


def test_in_a_failed_transaction_the_server_says_so_itself(client: psycopg.Connection[Any]) -> None:
    client.execute("BEGIN")
    with pytest.raises(errors.DivisionByZero):
        client.execute("SELECT 1/0")
    for text in ("SELECT * FROM never_named", "SELECT lower(x) FROM never_named_either; SELECT 1"):
        with pytest.raises(errors.InFailedSqlTransaction):
            client.execute(text)
    with pytest.raises(errors.InFailedSqlTransaction):
        client.execute("SELECT * FROM nor_here", binary=True)
    with pytest.raises(errors.InsufficientPrivilege, match="no-unknown"):
        client.execute("ROLLBACK; SET search_path = private; DELETE FROM salaries")
    client.execute("ROLLBACK")


def test_a_table_that_is_called_like_one_of_the_catalog_is_not_taken_for_it(client: psycopg.Connection[Any]) -> None:
    client.execute("CREATE TABLE open.pg_things (id int)")
    client.execute("CREATE VIEW open.pg_am AS SELECT id FROM open.salaries")
    client.execute("SELECT * FROM pg_am")
    client.execute("SET search_path = open, pg_catalog")
    with pytest.raises(errors.InsufficientPrivilege, match="no-unknown"):
        client.execute("SELECT * FROM pg_am")
    with pytest.raises(errors.InsufficientPrivilege, match="no-unknown"):
        client.execute("SELECT * FROM pg_things")


LOCKS = ["BEGIN", "BEGIN ISOLATION LEVEL READ UNCOMMITTED", "START TRANSACTION READ WRITE"]
KEEPS = ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]


@pytest.mark.parametrize("begin", LOCKS)
def test_a_bare_lock_that_is_first_in_its_transaction_is_decided_by_what_it_names(
    client: psycopg.Connection[Any], begin: str
) -> None:
    client.execute(begin)
    client.execute("LOCK TABLE other")
    assert client.execute("SELECT count(id) FROM other").fetchone() == (0,)
    client.execute("COMMIT")
    client.execute("SET search_path = private")
    client.execute(begin)
    with pytest.raises(errors.InsufficientPrivilege, match="no-rule"):
        client.execute("LOCK TABLE salaries")
    client.execute("ROLLBACK")


def test_a_table_renamed_before_the_lock_is_not_locked_as_what_it_was(client: psycopg.Connection[Any], world: Any) -> None:
    client.execute("BEGIN")
    world.plain.sql("ALTER TABLE open.salaries RENAME TO wages", "shop")
    with pytest.raises(errors.InsufficientPrivilege, match="no-rule"):
        client.execute("LOCK TABLE salaries")
    client.execute("ROLLBACK")


def test_what_is_read_behind_the_lock_is_read_as_it_is_when_the_lock_is_had(
    client: psycopg.Connection[Any], world: Any
) -> None:
    plain = world.plain
    direct = {"host": "127.0.0.1", "port": plain.port, "user": SUPERUSER, "password": plain.password, "dbname": "shop"}
    with psycopg.connect(**direct) as other, ThreadPoolExecutor(1) as pool:
        other.execute("LOCK TABLE open.other")
        client.execute("BEGIN")
        waits = pool.submit(client.execute, "LOCK TABLE other")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'open.other'::regclass"
        assert wait_until(lambda: plain.sql(waiting, "shop") == "1", 30)
        other.execute("INSERT INTO open.other VALUES (7)")
        other.commit()
        waits.result(30)
        assert client.execute("SELECT id FROM other").fetchall() == [(7,)]
        client.execute("ROLLBACK")


@pytest.mark.parametrize("begin", KEEPS)
def test_where_a_question_would_take_the_transactions_snapshot_the_lock_stays_unknown(
    client: psycopg.Connection[Any], begin: str
) -> None:
    for part in begin.split("; "):
        client.execute(part)
    with pytest.raises(errors.InsufficientPrivilege, match="names other, which could not be looked up"):
        client.execute("LOCK TABLE other")
    client.execute("ROLLBACK")
    for part in begin.split("; "):
        client.execute(part)
    client.execute("LOCK TABLE open.other")
    client.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")  # refused by the server where a snapshot was taken
    client.execute("ROLLBACK")


def test_nor_does_the_level_that_was_asked_for_take_one(client: psycopg.Connection[Any]) -> None:
    client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    with pytest.raises(errors.InsufficientPrivilege, match="no-unknown"), client.pipeline():
        client.execute("LOCK TABLE other")
    client.execute("ROLLBACK")
