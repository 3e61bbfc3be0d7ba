"""Unmodified psql through the gateway: in clear on loopback with the wheel's, inside verified TLS with the system's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.parts import PostgresServer

pytestmark = pytest.mark.real

# (whether psql speaks TLS, target): each pair is a way through both halves of the gateway
WAYS = [pytest.param((False, "shop"), id="clear"), pytest.param((True, "shop-tls"), id="tls")]


def server_of(world: World, target: str) -> PostgresServer:
    found = world.tls if target == "shop-tls" else world.plain
    assert found is not None
    return found


def real_values(server: PostgresServer) -> list[str]:
    return server.sql("SELECT email, ssn, card FROM customers", "shop").replace("|", "\n").split("\n")


def shows(values: list[str], answer: str) -> list[str]:
    return [value for value in values if value in answer or value.upper() in answer]


def detail(answer: str) -> dict[str, Any]:
    line = next(line for line in answer.splitlines() if line.startswith("DETAIL:"))
    return dict(json.loads(line.removeprefix("DETAIL:")))


@pytest.mark.parametrize("way", WAYS)
def test_rows_come_through_as_the_server_sent_them(gateway: LiveGateway, world: World, way: tuple[bool, str]) -> None:
    tls, target = way
    statement = "SELECT id, item, amount, status, placed FROM orders ORDER BY id"
    answer = gateway.psql("-At", "-c", "SET timezone TO 'UTC'", "-c", statement, database=target, tls=tls)
    assert answer.status == 0, answer.output
    wanted = server_of(world, target).sql(f"SET timezone TO 'UTC'; {statement}", "shop")
    assert answer.output.removeprefix("SET\n") == wanted


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id, name, email, ssn, card FROM customers",
        "SELECT * FROM customers",
        "TABLE customers",
        "SELECT ssn AS shoe_size, card AS id FROM customers",
        "SELECT lower(email), ssn || '', substr(card, 1, 15) || substr(card, 16) FROM customers",
        "SELECT c FROM customers c",
        "SELECT row_to_json(c) FROM customers c",
        "SELECT x.a, x.b FROM (SELECT email AS a, ssn AS b FROM customers) x",
        "WITH x(a, b) AS (SELECT card, ssn FROM customers) SELECT b, a FROM x",
        "SELECT name FROM customers WHERE false UNION SELECT card FROM customers",
        "SELECT string_agg(ssn, ',') FROM customers",
        "SELECT array_agg(card) FROM customers",
        "SELECT (SELECT max(ssn) FROM customers)",
        "SELECT coalesce(o.item, c.email), c.ssn FROM orders o RIGHT JOIN customers c ON c.id = -o.id",
        "UPDATE customers SET city = city WHERE id > 0 RETURNING email, ssn, card",
        "COPY customers TO STDOUT",
        "COPY (SELECT ssn, card, email FROM customers) TO STDOUT",
        "BEGIN; DECLARE c CURSOR FOR SELECT ssn, card, email FROM customers; FETCH ALL FROM c; COMMIT",
    ],
)
def test_masked_columns_never_show(gateway: LiveGateway, world: World, way: tuple[bool, str], statement: str) -> None:
    """However the statement names, wraps or moves them: covered, or refused."""
    tls, target = way
    answer = gateway.psql("-c", statement, database=target, tls=tls)
    assert not shows(real_values(server_of(world, target)), answer.output), answer.output
    assert answer.output, "neither rows nor a refusal"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT p, d FROM generate_series(1, 11) p, generate_series(0, 9) d, customers WHERE substr(ssn, p, 1) = d::text",
        "SELECT id FROM customers ORDER BY ssn",
        "SELECT CASE WHEN ssn LIKE '5%' THEN 1/0 END FROM customers",
        "SELECT id FROM customers c WHERE to_jsonb(c)->>'ssn' ~ '^5'",
        "SELECT id FROM customers NATURAL JOIN (VALUES ('1')) v(ssn)",
        "UPDATE customers SET city = 'x' WHERE ssn LIKE '5%'",
    ],
)
def test_an_agent_cannot_spell_out_a_masked_value(gateway: LiveGateway, statement: str) -> None:
    said = gateway.psql("-c", statement)
    assert said.status != 0
    assert "blocked by no-probing-masked: the values of " in said.output
    assert "public.customers.ssn" in said.output


@pytest.mark.parametrize(
    "statement", ["SELECT ssn, name FROM customers ORDER BY id", "SELECT count(*) FROM customers WHERE ssn IS NOT NULL"]
)
def test_an_agent_may_read_beside_masked_values(gateway: LiveGateway, statement: str) -> None:
    assert gateway.psql("-c", statement).status == 0


@pytest.mark.parametrize("way", WAYS)
def test_partly_covered_values_still_help_to_tell_rows_apart(gateway: LiveGateway, way: tuple[bool, str]) -> None:
    tls, target = way
    answer = gateway.psql("-At", "-c", "SELECT name, email, ssn, card FROM customers WHERE id = 1", database=target, tls=tls)
    name, email, ssn, card = answer.output.split("|")
    assert name == "Ada Quill"
    assert email.endswith("@example.com")
    assert ssn.endswith("4320")
    assert card.endswith("4242")


@pytest.mark.parametrize("way", WAYS)
def test_detectors_cover_what_stands_in_free_text(gateway: LiveGateway, way: tuple[bool, str]) -> None:
    tls, target = way
    answer = gateway.psql("-At", "-c", "SELECT body FROM notes ORDER BY id", database=target, tls=tls).output
    for value in ("accounts@hollis-lamps.example", "4111 1111 1111 1111", "AKIAIOSFODNN7EXAMPLE"):
        assert value not in answer
    assert answer.splitlines()[0] == "Prefers parcels in the afternoon."
    assert "to be charged on Friday." in answer


def test_an_error_of_the_server_does_not_spill_a_masked_value(gateway: LiveGateway) -> None:
    """Its DETAIL would: Key (email)=(ada.quill@example.com) already exists."""
    insert = "INSERT INTO customers (name, email, ssn, card, city, joined)"
    insert += " VALUES ('x', (SELECT email FROM customers LIMIT 1), '', '', '', now())"
    literal = "UPDATE customers SET email = 'bram.hollis@example.org' WHERE id = 1"
    for statement in (insert, literal, "SELECT ssn::integer FROM customers", "SELECT card::date FROM customers"):
        answer = gateway.psql("-c", statement)
        assert answer.status == 1, answer.output
        assert "ERROR" in answer.output
        assert not shows(real_values(gateway.world.plain), answer.output), answer.output


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("DELETE FROM customers", "no-delete-without-where"),
        ("DELETE FROM customers WHERE true", "no-delete-without-where"),
        ("DELETE FROM customers WHERE 1 = 1", "no-delete-without-where"),
        ("UPDATE customers SET city = 'gone'", "no-update-without-where"),
        ("WITH x AS (DELETE FROM customers RETURNING id) SELECT count(*) FROM x", "no-delete-without-where"),
        ("EXPLAIN ANALYZE DELETE FROM customers", "no-delete-without-where"),
        ("PREPARE p AS DELETE FROM customers", "no-delete-without-where"),
        ("DROP TABLE notes", "no-drop"),
        ("TRUNCATE notes", "no-truncate"),
        ("ALTER TABLE customers DROP COLUMN ssn", "admin-needs-dba"),
        ("CREATE TABLE refused_here (a int)", "admin-needs-dba"),
        ("GRANT ALL ON customers TO PUBLIC", "admin-needs-dba"),
        ("ALTER SYSTEM SET work_mem = '1GB'", "admin-needs-dba"),
        ("COPY notes TO '/tmp/refused-here'", "admin-needs-dba"),
        ("COPY notes TO PROGRAM 'cat >/tmp/refused-here'", "admin-needs-dba"),
        ("DO $$ BEGIN DELETE FROM customers; END $$", "unknown-needs-dba"),
        ("SELECT pg_read_file('/etc/passwd')", "needs-dba"),
        ("CREATE TABLE refused_here AS SELECT ssn FROM customers", "no-moving-masked"),
        ("INSERT INTO notes (customer_id, body) SELECT id, ssn FROM customers", "no-moving-masked"),
    ],
)
def test_a_refused_statement_says_so_and_never_reaches_the_server(
    gateway: LiveGateway, world: World, way: tuple[bool, str], statement: str, rule: str
) -> None:
    tls, target = way
    server = server_of(world, target)
    mark = len(server.server_log())
    answer = gateway.psql("-c", statement, database=target, tls=tls)
    assert answer.status == 1
    assert "ERROR:  42501: blocked by " in answer.output
    said = detail(answer.output)
    assert rule in said["rule"], said
    assert said["decision"]
    assert said["class"] in {"never", "ask", "wait", "fix"}
    assert "HINT:  " in answer.output
    assert statement not in server.server_log()[mark:]


@pytest.mark.parametrize("way", WAYS)
def test_the_session_goes_on_after_a_refusal(gateway: LiveGateway, way: tuple[bool, str]) -> None:
    tls, target = way
    with gateway.open_psql("-At", database=target, tls=tls) as psql:
        before = psql.ask("SELECT count(*), pg_backend_pid() FROM customers;")
        assert "42501" in psql.ask("DELETE FROM customers;")
        assert psql.ask("SELECT count(*), pg_backend_pid() FROM customers;") == before
        assert psql.ask("UPDATE orders SET status = status WHERE id = 2;") == "UPDATE 1"


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_aborts_a_transaction_as_an_error_would(gateway: LiveGateway, way: tuple[bool, str]) -> None:
    tls, target = way
    with gateway.open_psql("-At", database=target, tls=tls) as psql:
        assert psql.ask("BEGIN;") == "BEGIN"
        assert psql.ask("UPDATE orders SET amount = 1 WHERE id = 1;") == "UPDATE 1"
        assert "42501" in psql.ask("DELETE FROM orders;")
        assert "25P02" in psql.ask("SELECT 1;")
        assert psql.ask("COMMIT;") == "ROLLBACK"
        assert psql.ask("SELECT amount FROM orders WHERE id = 1;") == "18.50"


def test_a_savepoint_saves_from_a_refusal_as_from_an_error(gateway: LiveGateway) -> None:
    with gateway.open_psql("-At") as psql:
        psql.ask("BEGIN; UPDATE orders SET amount = 2 WHERE id = 1; SAVEPOINT s;")
        assert "42501" in psql.ask("DELETE FROM orders;")
        assert psql.ask("ROLLBACK TO s;") == "ROLLBACK"
        assert psql.ask("SELECT amount FROM orders WHERE id = 1;") == "2.00"
        assert psql.ask("ROLLBACK;") == "ROLLBACK"


def test_several_statements_in_one_text_are_refused_whole(gateway: LiveGateway) -> None:
    mark = len(gateway.world.plain.server_log())
    answer = gateway.psql("-At", "-c", "UPDATE orders SET amount = 3 WHERE id = 1; DELETE FROM customers; SELECT 'after'")
    assert "42501" in answer.output
    assert "after" not in answer.output
    assert "amount = 3" not in gateway.world.plain.server_log()[mark:]


def test_what_psql_itself_asks_the_catalog_works(gateway: LiveGateway) -> None:
    for command, wanted in (
        ("\\d customers", "ssn"),
        ("\\dt", "orders"),
        ("\\conninfo", "shop"),
        ("\\l", "shop"),
        ("\\du", "shop_app"),
    ):
        answer = gateway.psql("-c", command)
        assert answer.status == 0, f"{command}: {answer.output}"
        assert wanted in answer.output


def test_the_extended_protocol_of_psql_is_covered_and_refused_too(gateway: LiveGateway) -> None:
    mark = len(gateway.world.plain.server_log())
    with gateway.open_psql("-At") as psql:
        assert psql.ask("SELECT name, ssn FROM customers WHERE id = $1 \\bind 1 \\g").startswith("Ada Quill|")
        assert not shows(
            real_values(gateway.world.plain), psql.ask("SELECT ssn, card FROM customers WHERE id = $1 \\bind 1 \\g")
        )
        assert "42501" in psql.ask("DELETE FROM customers \\bind \\g")
        assert psql.ask("SELECT count(*) FROM customers \\bind \\g") == "8"
    assert "DELETE" not in gateway.world.plain.server_log()[mark:]


def test_an_error_of_the_server_is_the_servers_own(gateway: LiveGateway) -> None:
    answer = gateway.psql("-c", "SELECT 1/0")
    assert "ERROR:  22012: division by zero" in answer.output
    answer = gateway.psql("-c", "INSERT INTO orders (customer_id, item, amount, placed) VALUES (1, 'x', -1, now())")
    assert "23514" in answer.output


def test_a_large_answer_comes_whole(gateway: LiveGateway) -> None:
    answer = gateway.psql("-At", "-c", "SELECT i, repeat('x', 100) FROM generate_series(1, 50000) AS i")
    lines = answer.output.splitlines()
    assert len(lines) == 50_000
    assert lines[-1] == "50000|" + "x" * 100


def test_a_ci_job_is_not_let_in_by_rules_for_agents(gateway: LiveGateway) -> None:
    answer = gateway.psql("-c", "SELECT 1", token=gateway.mint(kind="ci"))
    assert answer.status == 2
    assert "FATAL" in answer.output
