"""Sessions of real clients, replayed: what they saw is there, what was covered is not, and a killed gateway loses nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real


def newest(gateway: LiveGateway) -> str:
    return str(gateway.sessions("--limit", "1")[0]["id"])


def closed(gateway: LiveGateway, session: str) -> bool:
    return any(one["id"] == session and not one["live"] for one in gateway.sessions())


def replayed(gateway: LiveGateway, session: str) -> list[dict[str, Any]]:
    assert wait_until(lambda: closed(gateway, session), 5)
    answer = gateway.replay("replay", session, "--json")
    assert answer.status == 0, answer.output
    return [json.loads(line) for line in answer.output.splitlines() if line.startswith("{")]


def of_kind(items: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one["d"] for one in items if one["k"] == kind]


def test_a_recording_shows_what_the_client_saw_and_not_what_was_covered(gateway: LiveGateway, world: World) -> None:
    seen = gateway.psql("-At", "-F", "|", "-c", "SELECT id, email, ssn FROM customers ORDER BY id")
    items = replayed(gateway, newest(gateway))
    (table,) = of_kind(items, "r")
    assert table["columns"] == ["id", "email", "ssn"]
    assert ["|".join(row) for row in table["rows"]] == seen.output.splitlines()
    values = world.plain.sql("SELECT email, ssn FROM customers", "shop").replace("|", "\n").split("\n")
    assert [value for value in values if value in json.dumps(items)] == []
    (asked,) = of_kind(items, "q")
    assert (asked["verb"], asked["ruling"]) == ("sql.select", "mask")


def test_a_refusal_is_recorded_with_its_rule_and_the_clients_error(gateway: LiveGateway) -> None:
    gateway.psql("-c", "DELETE FROM customers")
    items = replayed(gateway, newest(gateway))
    assert of_kind(items, "q")[0]["ruling"] == "block"
    assert of_kind(items, "q")[0]["rule"] in of_kind(items, "e")[0]["M"]
    assert [one["k"] for one in items][-1] == "x"


def test_a_replay_for_people_has_statement_table_and_timing(gateway: LiveGateway) -> None:
    gateway.psql("-c", "SELECT 7 AS seven, E'\\x1b[31m' AS colour")
    session = newest(gateway)
    assert wait_until(lambda: closed(gateway, session), 5)
    answer = gateway.replay("replay", session, "--speed", "1000")
    assert answer.status == 0
    assert "    seven | colour\n    ------+---------\n" in answer.output
    assert "    7     | \\x1b[31m\n    (1 row)\n    SELECT 1\n" in answer.output
    assert "\x1b" not in answer.output
    assert "The recording is whole" in answer.output


def test_who_reads_a_recording_and_why_is_in_the_book(gateway: LiveGateway) -> None:
    gateway.psql("-c", "SELECT 8")
    session = newest(gateway)
    assert wait_until(lambda: closed(gateway, session), 5)
    assert gateway.replay("replay", session, "--why", "audit sample 17").status == 0
    written = gateway.book_bytes()
    assert b'"target_sid":"%s"' % session.encode() in written
    assert b'"why":"audit sample 17"' in written


def test_a_prepared_statement_of_a_driver_is_recorded(gateway: LiveGateway) -> None:
    with gateway.connect() as connection:
        for number in range(3):
            found = connection.execute("SELECT %s::int AS n, 'x' AS t", (number,), prepare=True, binary=True).fetchone()
            assert found == (number, "x")
    tables = of_kind(replayed(gateway, newest(gateway)), "r")
    assert [(table["columns"], table["rows"]) for table in tables] == [(["n", "t"], [[str(n), "x"]]) for n in range(3)]


def test_a_long_result_is_recorded_in_several_segments(gateway: LiveGateway) -> None:
    hardly_compressed = "(SELECT string_agg(md5(format('%s %s', n, i)), '') FROM generate_series(1, 30) i)"
    gateway.psql("-At", "-c", f"SELECT n, {hardly_compressed} FROM generate_series(1, 8000) n")
    session = newest(gateway)
    tables = of_kind(replayed(gateway, session), "r")
    assert [int(row[0]) for table in tables for row in table["rows"]] == list(range(1, 8001))
    assert len(list((gateway.home / "recordings" / session).glob("*.seg"))) > 2


def test_a_live_session_can_be_followed(gateway: LiveGateway) -> None:
    with gateway.connect() as connection:
        connection.execute("SELECT 'so far'")
        session = newest(gateway)
        connection.close()
    answer = gateway.replay("tail", session, "--from-start")
    assert answer.status == 0
    assert "  > SELECT 'so far'" in answer.output
    assert "the session ended" in answer.output


def test_a_killed_gateway_leaves_what_its_clients_saw(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    with gateway.connect(autocommit=True) as connection:
        seen = [connection.execute("SELECT %s::text", (f"row {number}",)).fetchone() for number in range(20)]
        session = newest(gateway)
        gateway.crash()
    gateway.start()
    answer = gateway.replay("replay", session, "--json")
    assert answer.status == 0, answer.output
    assert "cut by a crash" in answer.output
    items = [json.loads(line) for line in answer.output.splitlines() if line.startswith("{")]
    assert [tuple(row) for table in of_kind(items, "r") for row in table["rows"]] == seen


def test_a_session_that_cannot_be_recorded_does_not_begin(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    folder: Path = gateway.home / "recordings"
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("in the way")
    answer = gateway.psql("-c", "SELECT 1")
    assert answer.status != 0
    assert "recording" in answer.output
    folder.unlink()
    assert gateway.psql("-At", "-c", "SELECT 1").output == "1"


def test_a_recording_that_fails_ends_the_session_before_more_is_seen(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    with gateway.connect(autocommit=True) as connection:
        connection.execute("SELECT 1")
        shutil.rmtree(gateway.home / "recordings" / newest(gateway))
        with pytest.raises(psycopg.Error, match="recording"):
            connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
