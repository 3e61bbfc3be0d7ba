"""Previews on live clients: approvers see the rows, nothing of it stays, and what was seen is what happens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until
from gatebook.protocols.postgres.relay_preview import STATEMENT_MILLISECONDS

pytestmark = pytest.mark.real

POLICY = """
@id("changes-need-dba")
@approvers("group:dba")
@reason("people look at what changes")
forbid (
  principal,
  action in [Action::"sql.insert", Action::"sql.update", Action::"sql.delete", Action::"sql.merge"],
  resource
)
unless { context.approved };

@id("held-writes-are-tried")
@reason("so that people see what changes")
permit (principal, action == Action::"sql.preview", resource)
unless { principal.attested.contains("agent=sloth") };
"""
TARGETS = ("modern", "older")  # PostgreSQL 18, and the system's


def servers(world: Any) -> dict[str, Any]:
    return {"modern": world.plain, "older": world.tls}


@pytest.fixture(scope="module")
def trying(tmp_path_factory: pytest.TempPathFactory, world: Any) -> Iterator[LiveGateway]:
    secured = {"mode": "verify-full", "ca": str(world.authority.path), "name": "target.test"}
    targets = [
        {"name": "modern", "address": f"127.0.0.1:{world.plain.port}", "tls": {"mode": "disable"}, "preview": True},
        {"name": "older", "address": f"127.0.0.1:{world.tls.port}", "tls": secured, "preview": True},
    ]
    folder = tmp_path_factory.mktemp("trying")
    gateway = LiveGateway(folder, world, policies={"held": POLICY}, extra_targets=targets).start()
    yield gateway
    assert "Traceback" not in gateway.log
    gateway.stop()
    gateway.verified()


@pytest.fixture(autouse=True)
def things(world: Any) -> Iterator[None]:
    """A table of ten rows, as it is before each test; its parts go with it."""
    for server in servers(world).values():
        server.sql(
            """DROP TABLE IF EXISTS parts, things; SET ROLE shop_app;
            CREATE TABLE things (id int PRIMARY KEY, n int CHECK (n < 1000), body text, ssn text, secret int DEFAULT 7);
            CREATE TABLE parts (id int PRIMARY KEY, thing int REFERENCES things ON DELETE CASCADE);
            INSERT INTO things SELECT i, i, 'thing ' || i, '987-65-432' || i % 10 FROM generate_series(1, 10) i;
            INSERT INTO parts SELECT i, i FROM generate_series(1, 3) i""",
            "shop",
        )
    yield
    for server in servers(world).values():
        server.sql("DROP TABLE IF EXISTS parts, things", "shop")


def dana(gateway: LiveGateway) -> str:
    return gateway.mint(sub="dana", kind="person", groups=["dba"])


def held(gateway: LiveGateway, connection: psycopg.Connection[Any], text: str, values: Any = None) -> dict[str, Any]:
    """The request that a statement becomes, whole."""
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        connection.execute(text, values)
    said = json.loads(caught.value.diag.message_detail or "{}")
    assert said["class"] == "wait", said
    return dict(gateway.api(f"/api/v1/approvals/{said['approval']}", dana(gateway)).json())


def approve(gateway: LiveGateway, found: dict[str, Any]) -> None:
    body = {"verdict": "approve", "reason": "seen", "digest": found["digest"]}
    assert gateway.send("POST", f"/api/v1/approvals/{found['id']}/vote", dana(gateway), body).status_code == 200


def rows(world: Any, target: str, query: str = "SELECT string_agg(things::text, ';' ORDER BY id) FROM things") -> str:
    return str(servers(world)[target].sql(query, "shop"))


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


NUMBERS = count(1)


def agent(gateway: LiveGateway, **changes: Any) -> str:
    """A requester who has nothing waiting."""
    return gateway.mint(sub=f"agent-{next(NUMBERS)}", **changes)


@pytest.fixture
def client(trying: LiveGateway, target: str) -> Iterator[psycopg.Connection[Any]]:
    with trying.connect(agent(trying), database=target, autocommit=True) as connection:
        yield connection


def test_an_update_is_shown_with_what_rows_were_and_become(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    before = rows(world, target)
    preview = held(trying, client, "UPDATE things SET n = n + 100, body = 'x' WHERE id <= 2")["preview"]
    assert (preview["why"], preview["rows"], preview["by_rows"]) == ("", 2, True)
    assert preview["columns"] == ["id", "n", "body", "ssn", "secret"]
    assert preview["keys"] == ["id"]
    first = next(row for row in preview["sample"] if row["before"][0] == "1")
    assert first["before"] == ["1", "1", "thing 1", "***-**-4321", "7"]
    assert first["after"] == ["1", "101", "x", "***-**-4321", "7"]
    assert first["changed"] == [1, 2]
    assert rows(world, target) == before
    assert "987-65" not in json.dumps(preview)


def test_a_delete_is_shown_with_what_goes_and_what_goes_with_it(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    preview = held(trying, client, "DELETE FROM things WHERE id = %s", (3,))["preview"]
    assert (preview["why"], preview["rows"], preview["follows"]) == ("", 1, ["public.parts"])
    assert preview["sample"] == [{"before": ["3", "3", "thing 3", "***-**-4323", "7"], "after": None, "changed": []}]
    assert rows(world, target, "SELECT count(*) FROM parts") == "3"


def test_an_insert_is_shown_with_what_comes(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    preview = held(trying, client, "INSERT INTO things (id, n, body) VALUES (%s, %s, '4242424242424242')", (20, 5))["preview"]
    assert (preview["why"], preview["rows"]) == ("", 1)
    assert preview["sample"] == [{"before": None, "after": ["20", "5", "************4242", None, "7"], "changed": []}]
    assert rows(world, target, "SELECT count(*) FROM things") == "10"


def test_what_people_saw_is_what_happens(trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str) -> None:
    text = "UPDATE things SET n = n + 100 WHERE id <= %s"
    approve(trying, held(trying, client, text, (2,)))
    done = client.execute(text, (2,))
    assert (done.statusmessage, done.description) == ("UPDATE 2", None)
    assert rows(world, target, "SELECT count(*) FROM things WHERE n > 100") == "2"
    assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    with pytest.raises(errors.InsufficientPrivilege):
        client.execute(text, (2,))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE things SET body = 'other' WHERE id = 2",  # a row that people saw is another now
        "INSERT INTO things VALUES (0, 0, 'new')",  # one more
        "DELETE FROM things WHERE id = 1",  # one less
        "DELETE FROM things WHERE id = 1; INSERT INTO things VALUES (0, 0, 'new')",  # as many, but not those
    ],
)
def test_rows_that_changed_while_people_thought_are_not_written(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str, change: str
) -> None:
    text = "UPDATE things SET n = n + 100 WHERE id <= 2"
    found = held(trying, client, text)
    servers(world)[target].sql(change, "shop")
    approve(trying, found)
    with pytest.raises(errors.InsufficientPrivilege) as caught:
        client.execute(text)
    said = json.loads(caught.value.diag.message_detail or "")
    assert (said["rule"], said["class"]) == ("changed-since-preview", "ask")
    assert "asked anew" in (caught.value.diag.message_hint or "")
    assert rows(world, target, "SELECT count(*) FROM things WHERE n > 100") == "0"
    after = trying.api(f"/api/v1/approvals/{found['id']}", dana(trying)).json()
    assert after["state"] == "used"
    assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert held(trying, client, text)["preview"]["why"] == ""


def test_a_client_that_asked_for_rows_has_its_own_and_no_others(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    text = "DELETE FROM things WHERE id IN (4, 5) RETURNING id, ssn"
    approve(trying, held(trying, client, text))
    done = client.execute(text)
    assert sorted(done.fetchall()) == [(4, "***-**-4324"), (5, "***-**-4325")]
    assert [column.name for column in done.description or ()] == ["id", "ssn"]
    assert done.statusmessage == "DELETE 2"


def test_nothing_of_a_preview_is_left_and_nothing_is_locked(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    before = rows(world, target)
    assert held(trying, client, "DELETE FROM things WHERE id > 0")["preview"]["rows"] == 10
    assert rows(world, target) == before
    there = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'gatebook preview%' AND state <> 'idle'"
    assert wait_until(lambda: rows(world, target, there) == "0", 5)
    rows(world, target, "SET lock_timeout = '1s'; UPDATE things SET n = n; ALTER TABLE things ADD COLUMN more int")


SPILLS = """CREATE SEQUENCE s; CREATE FUNCTION spill() RETURNS trigger LANGUAGE plpgsql
AS $$BEGIN PERFORM nextval('s'); RETURN NEW; END$$;
CREATE TRIGGER spill BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION spill()"""
COUNTS = "CREATE SEQUENCE s; ALTER TABLE things ALTER n SET DEFAULT nextval('s')"
TEXT_ALONE = [
    (COUNTS, "INSERT INTO things (id) VALUES (50)", "sequence"),
    (SPILLS, "UPDATE things SET n = 5 WHERE id = 1", "the trigger spill"),
    ("CREATE VIEW seen AS SELECT id, n FROM things", "DELETE FROM seen WHERE id = 1", "is a view"),
    ("", "ALTER TABLE things ADD COLUMN x int", "only one plain"),
    ("", "UPDATE things SET n = 3 WHERE id = 1; UPDATE things SET n = 3 WHERE id = 2", "by itself"),
    ("", "UPDATE things SET n = 5000 WHERE id = 1", "a check would be violated"),
    ("", "DELETE FROM parts WHERE id = 1 AND pg_sleep(1) IS NULL", "pg_sleep() depends on the session"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "text", "why"), TEXT_ALONE)
def test_what_cannot_be_tried_is_shown_by_its_text_alone_and_says_why(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str, made: str, text: str, why: str
) -> None:
    server = servers(world)[target]
    server.sql(f"SET ROLE shop_app; {made}", "shop")
    try:
        preview = held(trying, client, text)["preview"]
        assert why in preview["why"]
        assert (preview["rows"], preview["sample"], preview["by_rows"]) == (0, [], False)
        assert server.sql("SELECT coalesce(max(last_value), 0) FROM pg_sequences WHERE sequencename = 's'", "shop") == "0"
    finally:
        server.sql("DROP VIEW IF EXISTS seen; DROP TABLE IF EXISTS parts, things CASCADE; DROP SEQUENCE IF EXISTS s;"
                   "DROP FUNCTION IF EXISTS spill()", "shop")  # fmt: skip


def test_a_temporary_table_in_front_of_the_real_one_is_not_tried_as_the_real_one(
    trying: LiveGateway, world: Any, target: str
) -> None:
    servers(world)[target].sql("GRANT TEMPORARY ON DATABASE shop TO shop_app", "shop")
    with trying.connect(agent(trying), database=target, autocommit=True, options="-c gatebook.hold=answer") as connection:
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            connection.execute("CREATE TEMP TABLE things (id int, n int)")
        said = json.loads(caught.value.diag.message_detail or "")
        approve(trying, trying.api(f"/api/v1/approvals/{said['approval']}", dana(trying)).json())
        connection.execute("CREATE TEMP TABLE things (id int, n int)")
        assert "temporary" in held(trying, connection, "DELETE FROM things WHERE id = 1")["preview"]["why"]


def test_in_a_transaction_of_the_clients_nothing_is_tried(trying: LiveGateway, target: str) -> None:
    with trying.connect(agent(trying), database=target) as connection:
        connection.execute("SELECT 1")
        preview = held(trying, connection, "DELETE FROM things WHERE id = 1")["preview"]
        assert "has a transaction open" in preview["why"]


def test_rows_that_somebody_else_has_locked_are_not_waited_for_long(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    mode = "prefer" if target == "modern" else "require"
    with psycopg.connect(servers(world)[target].dsn("shop"), sslmode=mode) as other:
        other.execute("SELECT * FROM things WHERE id = 1 FOR UPDATE")
        preview = held(trying, client, "DELETE FROM things WHERE id = 1")["preview"]
    assert "locked by somebody else" in preview["why"]


SLOWLY = "UPDATE things SET n = n WHERE id = 1 AND (SELECT count(*) FROM generate_series(1, 100000000)) > 0"
THERE = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'gatebook preview%'"


@contextmanager
def tried_slowly(trying: LiveGateway, world: Any, target: str, token: str) -> Iterator[psycopg.Connection[Any]]:
    """A client that waits for people, while a write of its is being tried for as long as one may take."""
    with trying.connect(token, database=target, autocommit=True, options="") as connection:
        connection.execute("SELECT 1")
        connection.pgconn.send_query(SLOWLY.encode())
        assert wait_until(lambda: rows(world, target, f"{THERE} AND query LIKE '%gatebook_changed%'") == "1", 8)
        yield connection


def waiting_for_people(trying: LiveGateway, target: str) -> list[str]:
    listed = trying.api("/api/v1/approvals?state=open", dana(trying)).json()["approvals"]
    return [one["text"] for one in listed if one["target"] == target and one["text"] == SLOWLY]


def test_a_cancel_during_a_preview_ends_the_wait_and_the_preview_at_once(trying: LiveGateway, world: Any, target: str) -> None:
    with tried_slowly(trying, world, target, agent(trying)) as connection:
        began = time.monotonic()
        connection.cancel()
        result = connection.pgconn.get_result()
        heard = time.monotonic() - began
        assert result is not None
        assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
        assert wait_until(lambda: rows(world, target, THERE) == "0", 2), "rolled back, with its connection"
        assert time.monotonic() - began < STATEMENT_MILLISECONDS / 1000 - 0.5, "not because its own time was over"
        assert heard < 1
        assert connection.pgconn.get_result() is None
        assert connection.execute("SELECT 1").fetchone() == (1,)
        rows(world, target, "SET lock_timeout = '1s'; UPDATE things SET n = n; ALTER TABLE things ADD COLUMN more int")
    assert waiting_for_people(trying, target) == []
    assert trying.entries("preview.result")[-1]["reason"] == "withdrawn by the requester"


def test_a_preview_of_a_client_that_went_away_is_ended(trying: LiveGateway, world: Any, target: str) -> None:
    with tried_slowly(trying, world, target, agent(trying)) as connection:
        began = time.monotonic()
        connection.close()
        assert wait_until(lambda: rows(world, target, THERE) == "0", 2)
        assert time.monotonic() - began < STATEMENT_MILLISECONDS / 1000 - 0.5
    assert waiting_for_people(trying, target) == []
    assert wait_until(lambda: trying.entries("preview.result")[-1]["reason"] == "the requester is gone", 3)


def test_previews_are_off_unless_the_target_and_a_rule_turn_them_on(trying: LiveGateway, world: Any) -> None:
    with trying.connect(agent(trying), database="shop", autocommit=True) as connection:
        preview = held(trying, connection, "DELETE FROM things WHERE id = 1")["preview"]
        assert preview["why"] == "previews are not turned on for this target"
    with trying.connect(agent(trying, agent="sloth"), database="modern", autocommit=True) as connection:
        preview = held(trying, connection, "DELETE FROM things WHERE id = 1")["preview"]
        assert preview["why"].startswith("the policy does not let it be tried: no-rule")


def test_the_book_has_the_preview_before_it_runs_what_came_of_it_and_what_was_held_to(
    trying: LiveGateway, client: psycopg.Connection[Any], target: str
) -> None:
    text = "UPDATE things SET n = 77 WHERE id = 7"
    found = held(trying, client, text)
    approve(trying, found)
    client.execute(text)
    entries = trying.entries("preview", "preview.result", "action", "approval.request")
    mine = [one for one in entries if one.get("sid", one.get("session")) == found["session"]]
    kinds = [one["type"] for one in mine]
    assert kinds == ["action", "preview", "preview.result", "approval.request", "action", "action"]
    asked, begun, came, request, _, ran = mine
    assert (asked["ruling"], begun["verb"], begun["rule"]) == ("approve", "sql.preview", "held-writes-are-tried")
    assert (came["status"], came["rows"], came["shown"]) == ("tried", 1, 1)
    assert came["held_to"] == ran["held_to"]
    assert came["held_to"]["digest"].startswith("hmac-sha256:")
    assert request["tried"] is True
    assert "thing 7" not in json.dumps(mine)


def test_what_a_row_becomes_may_be_another_each_time(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    text = "UPDATE things SET body = now()::text WHERE id = 1"
    approve(trying, held(trying, client, text))
    assert client.execute(text).statusmessage == "UPDATE 1"


def test_what_a_row_becomes_is_held_to_where_it_can_be(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    """The rows that it changes are the same, what they become is read elsewhere."""
    text = "UPDATE things SET n = (SELECT max(id) FROM parts) WHERE id = 1"
    approve(trying, held(trying, client, text))
    servers(world)[target].sql("INSERT INTO parts VALUES (9, 9)", "shop")
    with pytest.raises(errors.InsufficientPrivilege, match="changed-since-preview"):
        client.execute(text)


def test_a_client_that_waits_hears_what_came_of_it(trying: LiveGateway, world: Any, target: str) -> None:
    ran: list[str] = []

    def run() -> None:
        with trying.connect(agent(trying), database=target, autocommit=True, options="") as connection:
            ran.append(str(connection.execute("DELETE FROM things WHERE id = 8").statusmessage))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def open_ones() -> list[dict[str, Any]]:
        listed = trying.api("/api/v1/approvals?state=open", dana(trying)).json()["approvals"]
        return [one for one in listed if one["target"] == target and one["text"] == "DELETE FROM things WHERE id = 8"]

    assert wait_until(lambda: bool(open_ones()), 15)
    found = trying.api(f"/api/v1/approvals/{open_ones()[0]['id']}", dana(trying)).json()
    assert (found["preview"]["rows"], ran) == (1, [])
    approve(trying, found)
    thread.join(15)
    assert ran == ["DELETE 1"]


def test_names_and_values_that_were_written_to_mislead_stay_what_they_are(
    trying: LiveGateway, client: psycopg.Connection[Any], world: Any, target: str
) -> None:
    odd = 'a"b; DROP TABLE parts; --'
    quoted = odd.replace('"', '""')
    servers(world)[target].sql(f'SET ROLE shop_app; ALTER TABLE things RENAME COLUMN n TO "{quoted}"', "shop")
    text = f'UPDATE things AS "old ""x" SET "{quoted}" = 3 WHERE id = 1'
    found = held(trying, client, text)
    assert found["preview"]["columns"][1] == odd
    assert found["preview"]["why"] == ""
    approve(trying, found)
    assert client.execute(text).statusmessage == "UPDATE 1"
    assert rows(world, target, "SELECT count(*) FROM parts") == "3"
