"""Several processes behind one port: whatever holds for one gateway holds for all of them, and one dies alone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from tests.testbed import wire
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.clients import run
from gatebook.cli.demo.processes import start_time, wait_until
from gatebook.cli.demo.world import clean_environment, gatebook_command
from gatebook.config import load
from gatebook.db import engine
from gatebook.identity.tokens import ID_CHARACTERS, GatewayTokens, digest_of

pytestmark = pytest.mark.real

WORKERS = ("1", "2")
TRIES = 60  # the kernel spreads connections by a hash of their ports
Opened = tuple[psycopg.Connection[tuple[object, ...]], str]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[LiveGateway]:
    """A gateway with two workers, which all tests share that end none of them."""
    gateway = LiveGateway(tmp_path_factory.mktemp("pair"), world, workers=2).start()
    yield gateway
    assert gateway.stop() == 0, gateway.log
    gateway.verified()


def opened(gateway: LiveGateway, **more: object) -> tuple[str, psycopg.Connection[tuple[object, ...]], str]:
    """A new session: the worker that has it, the connection and the session's id."""
    mark = len(gateway.log)
    made = gateway.connect(autocommit=True, **more)
    line = re.compile(r'"session": "([0-9a-f-]+)".*"session opened", "process": "(\w+)"')
    assert wait_until(lambda: line.search(gateway.log[mark:]) is not None, 5)
    found = line.search(gateway.log[mark:])
    assert found is not None
    return found[2], made, found[1]


@contextlib.contextmanager
def on_each(gateway: LiveGateway, **more: object) -> Iterator[dict[str, Opened]]:
    """A session on each worker."""
    found: dict[str, Opened] = {}
    with contextlib.ExitStack() as stack:
        for _ in range(TRIES):
            worker, made, session = opened(gateway, **more)
            if worker in found:
                made.close()
            else:
                found[worker] = stack.enter_context(made), session
            if set(found) == set(WORKERS):
                break
        else:
            raise AssertionError(f"all sessions went to {set(found)}")
        yield found


def ended_within(made: psycopg.Connection[tuple[object, ...]], seconds: float) -> str:
    """Why a session ended, which it must do by itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            made.execute("SELECT 1")
        except (psycopg.OperationalError, errors.AdminShutdown) as error:
            return str(error)
        time.sleep(0.05)
    raise AssertionError("the session goes on")


def is_live(gateway: LiveGateway, session: str) -> bool:
    return session in {row["id"] for row in gateway.sessions("--live")}


def tokens(gateway: LiveGateway) -> GatewayTokens:
    return GatewayTokens(engine(load(gateway.config).database_url))


def dana(gateway: LiveGateway) -> str:
    return gateway.mint(sub="dana", kind="person", groups=["dba"])


# What holds for one holds for all ---------------------------------------------------------------------------------------


def test_sessions_are_spread_over_the_workers_and_listed_together(pair: LiveGateway) -> None:
    with on_each(pair) as each:
        for made, _ in each.values():
            assert made.execute("SELECT 1").fetchone() == (1,)
        sessions = {session for _, session in each.values()}
        assert wait_until(lambda: sessions <= {row["id"] for row in pair.sessions("--live")}, 3)
    assert {"1", "2", "web"} <= {path.name for path in (pair.home / "ledger").iterdir() if path.is_dir()}


def test_every_cancel_request_reaches_its_session_whichever_worker_it_arrives_at(pair: LiveGateway) -> None:
    with on_each(pair) as each:
        for made, _ in each.values():
            for number in range(6):
                timer = threading.Timer(0.2, made.cancel)
                timer.start()
                begun = time.monotonic()
                with pytest.raises(errors.QueryCanceled):
                    made.execute(f"SELECT pg_sleep(20.{number})")
                assert time.monotonic() - begun < 5
                timer.join()
            assert made.execute("SELECT 1").fetchone() == (1,)


def test_ctrl_c_in_psql_stops_its_statement_on_any_worker(pair: LiveGateway) -> None:
    for _ in range(4):
        with pair.open_psql() as psql:
            psql.start("SELECT pg_sleep(21.5);")
            assert wait_until(lambda: pair.world.plain.sql(_asleep("SELECT pg_sleep(21.5)%")) == "1", 5)
            os.kill(psql.pid, signal.SIGINT)
            assert "canceling statement due to user request" in psql.finish()


def _asleep(like: str) -> str:
    return f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{like}'"


def test_made_up_cancel_keys_stop_nothing_and_leave_nothing_behind(pair: LiveGateway) -> None:
    with on_each(pair) as each:
        for worker, (made, _) in each.items():
            made.pgconn.send_query(b"SELECT pg_sleep(1)")
            for home in range(0, 256, 8):
                with pair.raw() as stranger:
                    stranger.sendall(b"\0\0\0\x10\x04\xd2\x16\x2e" + bytes([home, int(worker)]) + b"\1" * 6)
                    assert wire.rest(stranger) == b""
            result = made.pgconn.get_result()
            assert result is not None
            assert result.status == psycopg.pq.ExecStatus.TUPLES_OK
            assert made.pgconn.get_result() is None
    with engine(load(pair.config).database_url).connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM cancels").scalar_one() == 0


def test_a_session_can_be_killed_on_either_worker(pair: LiveGateway) -> None:
    with on_each(pair) as each:
        for made, session in each.values():
            assert wait_until(partial(is_live, pair, session), 3)
            answer = pair.gatebook("sessions", "kill", session, "--reason", "leaking")
            assert answer.status == 0, answer.output
            assert "leaking" in ended_within(made, 2)


def test_a_revoked_gateway_token_ends_its_live_sessions_and_no_others(pair: LiveGateway) -> None:
    taken, kept = pair.gateway_token(), pair.gateway_token()
    with on_each(pair, token=taken) as each, on_each(pair, token=kept) as others:
        assert tokens(pair).revoke(taken, time.time_ns() // 1000)
        for made, _ in each.values():
            assert "your gateway token was revoked" in ended_within(made, 2)
        for made, _ in others.values():
            assert made.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="revoked"):
        pair.connect(token=taken)


def test_a_token_revoked_by_command_ends_its_live_sessions_with_a_word_and_stands_in_the_book(pair: LiveGateway) -> None:
    taken, kept = pair.gateway_token(), pair.gateway_token()
    number = (digest_of(taken) or b"").hex()[:ID_CHARACTERS]
    operator = {"GATEBOOK_URL": f"https://127.0.0.1:{pair.api_port}", "GATEBOOK_TOKEN": dana(pair)}
    settings = {**clean_environment(), **operator, "GATEBOOK_CA": str(pair.world.authority.path)}
    with on_each(pair, token=taken) as each, on_each(pair, token=kept) as others:
        answer = run([*gatebook_command(), "tokens", "revoke", number, "--reason", "laptop lost"], settings)
        assert answer.status == 0, answer.output
        for made, _ in each.values():
            assert "your gateway token was revoked; get a new one with `gatebook token`" in ended_within(made, 2)
        for made, _ in others.values():
            assert made.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="revoked"):
        pair.connect(token=taken)
    act = pair.entries("gatebook.act")[-1]
    assert (act["verb"], act["about"], act["why"]) == ("gatebook.tokens.revoke", number, "laptop lost")
    assert taken.encode() not in pair.book_bytes()


def test_a_revoked_token_ends_a_session_that_waits_for_people_too(pair: LiveGateway) -> None:
    taken = pair.gateway_token()
    _, made, _ = opened(pair, token=taken, options="")
    made.pgconn.send_query(b"ALTER TABLE notes ADD COLUMN revoked_one text")
    assert wait_until(lambda: len(pending(pair)) == 1, 5)
    assert tokens(pair).revoke_all(*whose(pair, taken), time.time_ns() // 1000) >= 1
    assert wait_until(lambda: pending(pair) == [], 3)
    result = made.pgconn.get_result()
    assert result is not None
    assert b"your gateway token was revoked" in result.error_message
    made.close()


def whose(gateway: LiveGateway, token: str) -> tuple[str, str]:
    held = tokens(gateway).look_up(token)
    assert held is not None
    return held.identity.issuer, held.identity.subject


def pending(gateway: LiveGateway) -> list[dict[str, object]]:
    return list(gateway.api("/api/v1/approvals?state=open", dana(gateway)).json()["approvals"])


def test_a_yes_given_in_the_web_process_wakes_a_held_client_on_either_worker(pair: LiveGateway) -> None:
    with on_each(pair, options="") as each:
        for worker, (made, _) in each.items():
            made.pgconn.send_query(f"ALTER TABLE notes ADD COLUMN woken_{worker} text".encode())
            assert wait_until(lambda: len(pending(pair)) == 1, 5)
            (found,) = pending(pair)
            body = {"verdict": "approve", "reason": "looked at it"}
            assert pair.send("POST", f"/api/v1/approvals/{found['id']}/vote", dana(pair), body).status_code == 200
            begun = time.monotonic()
            result = made.pgconn.get_result()
            assert result is not None
            assert result.status == psycopg.pq.ExecStatus.COMMAND_OK
            assert time.monotonic() - begun < 1
            assert made.pgconn.get_result() is None


def test_the_same_sent_on_both_workers_at_once_is_one_approval_and_runs_once(pair: LiveGateway) -> None:
    with on_each(pair, options="") as each:
        found = held_together([made for made, _ in each.values()], "ALTER TABLE notes ADD COLUMN beside text", pair)
        body = {"verdict": "approve", "reason": "looked at it"}
        assert pair.send("POST", f"/api/v1/approvals/{found}/vote", dana(pair), body).status_code == 200
        results = [made.pgconn.get_result() for made, _ in each.values()]
        said = sorted(result.error_message.decode() for result in results if result is not None)
        assert said[0] == ""
        assert "used, perhaps by the same sent beside it" in said[1]
        assert "people are asked anew" in said[1]
        assert [made.pgconn.get_result() for made, _ in each.values()] == [None, None]
        assert not pending(pair)
    with on_each(pair, options="") as each:
        one, other = (made for made, _ in each.values())
        found = held_together([one, other], "ALTER TABLE notes ADD COLUMN left_alone text", pair)
        one.close()
        assert wait_until(lambda: askers(pair, found) == 1, 5)
        assert [each["id"] for each in pending(pair)] == [found]
        other.close()
        assert wait_until(lambda: pending(pair) == [], 5)


def held_together(each: list[psycopg.Connection[tuple[object, ...]]], statement: str, gateway: LiveGateway) -> str:
    """The one approval that all of these wait for."""
    for made in each:
        made.pgconn.send_query(statement.encode())
    assert wait_until(lambda: len(pending(gateway)) == 1, 5)
    (found,) = pending(gateway)
    assert wait_until(lambda: askers(gateway, str(found["id"])) == len(each), 5)
    assert len(pending(gateway)) == 1
    return str(found["id"])


def askers(gateway: LiveGateway, approval: str) -> int:
    with engine(load(gateway.config).database_url).connect() as connection:
        query = "SELECT askers FROM approvals WHERE id = ?"
        return int(connection.exec_driver_sql(query, (approval,)).scalar_one())


def test_a_grant_that_is_taken_back_ends_its_sessions_on_either_worker(pair: LiveGateway) -> None:
    job = pair.mint(sub="nightly", kind="ci", groups=["jobs"])
    wish = {"targets": ["shop"], "reach": "read", "seconds": 600, "reason": "month-end report"}
    asked = pair.send("POST", "/api/v1/grants", job, wish)
    assert asked.status_code in (201, 202), asked.text
    (found,) = pending(pair)
    body = {"verdict": "approve", "reason": "as every month"}
    assert pair.send("POST", f"/api/v1/approvals/{found['id']}/vote", dana(pair), body).status_code == 200
    with on_each(pair, token=job) as each:
        (grant,) = pair.api("/api/v1/grants", job).json()["grants"]
        assert pair.send("DELETE", f"/api/v1/grants/{grant['id']}?reason=done", dana(pair), {}).status_code == 200
        for made, _ in each.values():
            assert "your grant for this target has ended" in ended_within(made, 2)


def test_the_number_of_sessions_is_limited_for_all_workers_together(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(workers=2, limits={"sessions": 4})
    with contextlib.ExitStack() as stack:
        live = [stack.enter_context(gateway.connect(autocommit=True)) for _ in range(4)]
        for _ in range(6):
            with pytest.raises(psycopg.OperationalError, match="all 4 sessions of the gateway are taken"):
                gateway.connect()
        assert all(made.execute("SELECT 1").fetchone() == (1,) for made in live)


def test_one_addresss_share_of_the_door_is_of_all_workers_together(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(workers=2)
    with contextlib.ExitStack() as stack:
        knocking = [stack.enter_context(knock(gateway)) for _ in range(64)]
        for one in knocking:  # each has been let in: either worker takes its connections when it finds time
            one.sendall(wire.SSL_REQUEST)
            assert one.recv(1) in b"SN"
        for _ in range(4):
            turned = stack.enter_context(knock(gateway))
            with contextlib.suppress(ConnectionResetError):
                assert b"C53300\0" in wire.rest(turned)
        assert len(knocking) == 64
        assert gateway.psql("-At", "-c", "SELECT 1").output == "1"


def knock(gateway: LiveGateway) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", gateway.port), timeout=10, source_address=("127.0.0.9", 0))
    made.settimeout(10)
    return made


# Deaths -----------------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_takes_only_its_own_sessions_and_another_takes_its_place(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway(workers=2)
    with on_each(gateway) as each:
        for made, _ in each.values():
            assert made.execute("SELECT 'seen'").fetchone() == ("seen",)
        assert wait_until(lambda: len(gateway.sessions("--live")) == 2, 3)
        victim = gateway.processes()["2"]
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: gateway.processes().get("2", victim) != victim, 10)
        assert each["1"][0].execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            each["2"][0].execute("SELECT 1")
        assert wait_until(lambda: [row["id"] for row in gateway.sessions("--live")] == [each["1"][1]], 5)
        closed = {row["id"]: row["close_reason"] for row in gateway.sessions()}
        assert closed[each["2"][1]] == "gateway crashed"
        assert wait_until(lambda: "a process serves again" in gateway.log, 5)
        with on_each(gateway) as again:
            assert all(made.execute("SELECT 1").fetchone() == (1,) for made, _ in again.values())
        dead, living = each["2"][1], each["1"][1]
    answer = gateway.replay("replay", dead, "--json")
    assert answer.status == 0, answer.output
    assert "cut by a crash" in answer.output
    assert "cut by a crash" not in gateway.replay("replay", living, "--json").output
    assert gateway.stop() == 0, gateway.log
    assert gateway.verified().counts.get("crashes") == 1


def test_places_that_a_dead_worker_held_are_free_again(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(workers=2, limits={"sessions": 2})
    worker, made, _ = opened(gateway)
    other = gateway.connect(autocommit=True)
    victims = gateway.processes()
    os.kill(victims[worker], signal.SIGKILL)
    assert wait_until(lambda: gateway.processes().get(worker, victims[worker]) != victims[worker], 10)
    assert wait_until(lambda: "a process serves again" in gateway.log, 10)
    with gateway.connect() as again:
        assert again.execute("SELECT 1").fetchone() == (1,)
    made.close()
    other.close()


def test_a_web_process_that_is_killed_leaves_sessions_alone_and_comes_back(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(workers=2)
    with on_each(gateway) as each:
        victim = gateway.processes()["web"]
        os.kill(victim, signal.SIGKILL)
        for made, _ in each.values():
            assert made.execute("SELECT 1").fetchone() == (1,)
        assert wait_until(lambda: gateway.processes().get("web", victim) != victim, 10)
        assert wait_until(gateway._ready, 10)
        for made, _ in each.values():
            assert made.execute("SELECT 1").fetchone() == (1,)


def test_a_process_that_dies_again_and_again_ends_the_gateway(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    assert gateway.process is not None
    seen = set()
    while gateway.alive:
        pid = gateway.processes().get("1")
        if pid is not None and pid not in seen:
            seen.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    assert gateway.process.wait(20) == 1
    assert len(seen) == 6
    assert "process 1 ended 6 times within a minute: process 1 was ended by SIGKILL" in gateway.log


def test_no_process_outlives_its_supervisor_and_sessions_end_in_order(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(workers=2)
    with on_each(gateway) as each:
        pids = gateway.processes().values()
        begun = {pid: start_time(pid) for pid in pids}
        assert gateway.process is not None
        gateway.process.kill()
        gateway.process.wait()
        for made, _ in each.values():
            assert "the gateway is stopping" in ended_within(made, 5)
        assert wait_until(lambda: all(start_time(pid) != at for pid, at in begun.items()), 8)
    assert gateway.verified().closed
    gateway.start()
    assert gateway.sessions("--live") == []


def test_a_gateway_that_is_told_to_stop_tells_every_session_and_leaves_no_process(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway(workers=2)
    with on_each(gateway) as each:
        begun = {pid: start_time(pid) for pid in gateway.processes().values()}
        assert len(begun) == 3
        assert gateway.stop() == 0, gateway.log
        for made, _ in each.values():
            assert "the gateway is stopping" in ended_within(made, 1)
        assert all(start_time(pid) != at for pid, at in begun.items())
    report = gateway.verified()
    assert report.closed
    assert report.counts.get("open sessions", 0) == 0


# Beginnings -------------------------------------------------------------------------------------------------------------


def test_fewer_workers_after_a_crash_leave_no_session_open_and_no_recording_unmended(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway(workers=2)
    with on_each(gateway) as each:
        for made, _ in each.values():
            made.execute("SELECT 'seen'")
        sessions = [session for _, session in each.values()]
        assert wait_until(lambda: len(gateway.sessions("--live")) == 2, 3)
        gateway.crash()
    gateway.workers = 1
    gateway.start()
    assert gateway.sessions("--live") == []
    assert "1" in gateway.processes()
    assert "2" not in gateway.processes()
    for session in sessions:
        assert "cut by a crash" in gateway.replay("replay", session, "--json").output
    assert gateway.stop() == 0, gateway.log
    assert gateway.verified().closed
    gateway.workers = 2
    gateway.start()
    with on_each(gateway):
        assert set(gateway.processes()) == {"1", "2", "web"}


def test_a_second_gateway_on_the_same_home_is_refused_and_the_first_goes_on(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    answer = gateway.gatebook("serve")
    assert answer.status == 2
    assert f"another gateway (process {gateway.process.pid}) runs on it" in answer.output  # type: ignore[union-attr]
    assert gateway.psql("-At", "-c", "SELECT 1").output == "1"


def test_a_port_that_is_taken_is_said_once_and_nothing_starts(
    new_gateway: Callable[..., LiveGateway], tmp_path: Path, world: World
) -> None:
    first = new_gateway()
    for number, taken in enumerate(({"port": first.port}, {"api_port": first.api_port})):
        other = LiveGateway(tmp_path / str(number), world, workers=2, **taken)
        other.write()
        answer = other.gatebook("serve")
        assert answer.status == 2
        assert answer.output.count("expected an address that is free") == 1
        assert "Traceback" not in answer.output


def test_a_damaged_log_of_one_worker_is_said_once_and_nothing_serves(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(workers=2)
    gateway.psql("-c", "SELECT 1")
    assert gateway.stop() == 0
    segment = gateway.home / "ledger" / "2" / "wal" / "000000000000"
    data = bytearray(segment.read_bytes())
    data[40] ^= 1
    segment.write_bytes(data)
    answer = gateway.gatebook("serve")
    assert answer.status == 2
    assert answer.output.count("the ledger cannot be opened") == 1
    assert "Traceback" not in answer.output
    data[40] ^= 1
    segment.write_bytes(data)
