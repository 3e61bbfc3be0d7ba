"""Who gets in: tokens bad in every way, targets that are unknown, closed, down, dying or not themselves, and sessions ended."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway
from tests.testbed.issuer import LiveIssuer

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

BAD_TOKENS: dict[str, Callable[[LiveIssuer], str]] = {
    "expired": lambda issuer: issuer.expired(),
    "of another audience": lambda issuer: issuer.mint(aud="payroll"),
    "without audience": lambda issuer: issuer.mint(aud=None),
    "of another issuer": lambda issuer: issuer.mint(iss="http://127.0.0.1:1"),
    "unsigned": lambda issuer: issuer.unsigned(),
    "signed by another key": lambda issuer: issuer.by_another_key(),
    "altered": lambda issuer: issuer.altered(),
    "cut": lambda issuer: issuer.mint()[:-6],
    "without subject": lambda issuer: issuer.mint(sub=None),
    "without expiry": lambda issuer: issuer.mint(exp=None),
    "not yet valid": lambda issuer: issuer.mint(nbf=int(time.time()) + 3600),
    "of no known kind": lambda issuer: issuer.mint(kind="wizard"),
    "without kind": lambda issuer: issuer.mint(kind=None),
    "never given out": lambda issuer: "gbt_" + "A" * 43,
    "empty": lambda issuer: "",
    "a password": lambda issuer: "hunter2",
    "three dots": lambda issuer: "...",
    "very long": lambda issuer: "A" * 9000,
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_opens_nothing_and_is_not_repeated(gateway: LiveGateway, name: str) -> None:
    token = BAD_TOKENS[name](gateway.world.issuer)
    mark, log_mark = len(gateway.world.plain.server_log()), len(gateway.log)
    answer = gateway.psql("-w", "-c", "SELECT 1", token=token)
    assert answer.status == 2, answer.output
    if token:
        assert "FATAL" in answer.output
    pieces = [piece for piece in token.split(".") if len(piece) > 8]
    assert not [piece for piece in pieces if piece in answer.output or piece in gateway.log[log_mark:]]
    assert "connection received" not in gateway.world.plain.server_log()[mark:]


def test_no_token_of_this_run_stands_in_the_book(gateway: LiveGateway) -> None:
    good, bad = gateway.mint(), gateway.world.issuer.expired()
    assert gateway.psql("-c", "SELECT 1", token=good).status == 0
    assert gateway.psql("-c", "SELECT 1", token=bad).status == 2
    book = gateway.book_bytes()
    for token in (good, bad):
        assert token.split(".")[1].encode() not in book
        assert token.split(".")[2].encode() not in book


def test_an_unknown_target_is_answered_like_one_that_is_closed_to_the_client(gateway: LiveGateway) -> None:
    def said(database: str) -> str:
        answer = gateway.psql("-c", "SELECT 1", database=database)
        assert answer.status == 2
        return re.sub(r'"decision":"[^"]*"', "", answer.output).replace(f"'{database.partition('/')[0]}'", "'NAME'")

    assert said("vault") == said("nosuch") == said("shop/other") == said("nosuch/other")
    assert "'NAME'" in said("vault")


def test_a_user_that_is_neither_role_nor_subject_is_refused(gateway: LiveGateway) -> None:
    with gateway.connect(user="agent-7") as made:
        assert made.execute("SELECT current_user").fetchone() == ("shop_app",)
    for user in ("postgres", "shop_owner", "agent-8"):
        with pytest.raises(psycopg.OperationalError, match="or there is no such target"):
            gateway.connect(user=user)


def test_a_target_that_is_down_is_said_so_and_others_work(gateway: LiveGateway) -> None:
    answer = gateway.psql("-c", "SELECT 1", database="down")
    assert answer.status == 2
    assert "FATAL" in answer.output
    assert "target down cannot be reached" in answer.output
    assert gateway.psql("-c", "SELECT 1").status == 0


@pytest.mark.parametrize(("target", "why"), [("shop-misnamed", "cannot prove by TLS"), ("shop-in-clear", "")])
def test_a_target_that_is_not_what_the_configuration_says_gets_no_password(gateway: LiveGateway, target: str, why: str) -> None:
    tls = gateway.world.tls
    assert tls is not None
    mark = len(tls.server_log())
    answer = gateway.psql("-c", "SELECT 1", database=target)
    assert answer.status == 2
    assert "FATAL" in answer.output
    assert why in answer.output
    assert "connection authenticated" not in tls.server_log()[mark:]


def test_a_target_that_dies_in_the_middle_of_an_answer_ends_that_session_alone(gateway: LiveGateway) -> None:
    with gateway.connect(autocommit=True) as other, gateway.connect(autocommit=True) as made:
        pid = made.execute("SELECT pg_backend_pid()").fetchone()
        assert pid is not None
        rows = made.cursor().stream("SELECT repeat('x', 1000) FROM generate_series(1, 2000000)")
        assert next(rows)
        gateway.world.plain.sql(f"SELECT pg_terminate_backend({pid[0]})")
        with pytest.raises(psycopg.OperationalError):
            for _ in rows:
                pass
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert wait_until(lambda: gateway.sessions("--live") == [], 5)


def test_a_client_that_dies_in_the_middle_of_an_answer_is_closed_in_the_book_and_at_the_target(gateway: LiveGateway) -> None:
    made = gateway.connect(autocommit=True)
    pid = made.execute("SELECT pg_backend_pid()").fetchone()
    assert pid is not None
    rows = made.cursor().stream("SELECT repeat('x', 1000) FROM generate_series(1, 2000000)")
    next(rows)
    made.pgconn.finish()
    gone = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid[0]}"
    assert wait_until(lambda: gateway.world.plain.sql(gone) == "0", 10)
    assert wait_until(lambda: gateway.sessions("--live") == [], 5)


def session_of(connection: psycopg.Connection[tuple[Any, ...]]) -> str:
    """The session's id, as the gateway tells the target."""
    row = connection.execute("SHOW application_name").fetchone()
    assert row is not None
    return str(row[0]).removeprefix("gatebook:").split()[0]


class Sleeping:
    """A session whose client waits for a long statement, in a thread; ``ended`` is when the client heard of its end."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.plain = gateway.world.plain
        self.connection = gateway.connect(autocommit=True)
        self.session = session_of(self.connection)
        self.ended: float | None = None
        self._waiting = threading.Thread(target=self._wait)
        self._waiting.start()
        assert wait_until(lambda: self.runs_at_the_target, 5)

    def _wait(self) -> None:
        try:
            self.connection.execute("SELECT pg_sleep(20)")
        except psycopg.OperationalError:
            self.ended = time.monotonic()

    @property
    def runs_at_the_target(self) -> bool:
        tagged = f"application_name LIKE 'gatebook:{self.session}%' AND state = 'active'"
        return self.plain.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {tagged}") == "1"

    def join(self) -> None:
        self._waiting.join()
        self.connection.close()


def kill(gateway: LiveGateway, session: str) -> float:
    """End a session by the command line; when that was done."""
    answer = gateway.gatebook("sessions", "kill", session, "--reason", "went astray")
    assert answer.status == 0, answer.output
    return time.monotonic()


def test_killing_a_session_ends_it_within_two_seconds_and_no_other(gateway: LiveGateway) -> None:
    with gateway.connect(autocommit=True) as other:
        sleeping = Sleeping(gateway)
        told = kill(gateway, sleeping.session)
        sleeping.join()
        assert sleeping.ended, "the session went on"
        assert sleeping.ended < told + 2
        assert other.execute("SELECT 1").fetchone() == (1,)
    found = next(one for one in gateway.sessions() if one["id"] == sleeping.session)
    assert "went astray" in str(found)


def test_what_a_killed_session_was_running_ends_at_the_target_too(gateway: LiveGateway) -> None:
    sleeping = Sleeping(gateway)
    kill(gateway, sleeping.session)
    sleeping.join()
    assert wait_until(lambda: not sleeping.runs_at_the_target, 2), "its statement still runs"


def test_a_session_ends_when_its_token_does(gateway: LiveGateway) -> None:
    now = int(time.time())
    with gateway.connect(token=gateway.mint(exp=now + 4), autocommit=True) as made:
        assert made.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            made.execute("SELECT pg_sleep(20)")
        assert time.time() < now + 8


def test_sessions_past_the_limit_are_turned_away_and_there_is_room_again(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(limits={"sessions": 2})
    with gateway.connect() as first, gateway.connect() as second:
        with pytest.raises(psycopg.OperationalError):
            gateway.connect()
        assert first.execute("SELECT 1").fetchone() == second.execute("SELECT 1").fetchone() == (1,)
    with gateway.connect() as again:
        assert again.execute("SELECT 1").fetchone() == (1,)


def test_a_gateway_that_is_told_to_end_says_goodbye_and_closes_its_book(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    with gateway.connect(autocommit=True) as made:
        assert made.execute("SELECT 1").fetchone() == (1,)
        assert gateway.stop() == 0, gateway.log
        with pytest.raises((psycopg.OperationalError, errors.AdminShutdown)):
            made.execute("SELECT 1")
    report = gateway.verified()
    assert report.closed
    assert report.counts.get("open sessions", 0) == 0


def test_a_gateway_that_was_killed_starts_again_on_an_intact_book(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    with gateway.connect(autocommit=True) as made:
        for number in range(50):
            made.execute("UPDATE orders SET status = status WHERE id = %s", (number,))
        gateway.crash()
    gateway.verified()
    gateway.start()
    with gateway.connect() as made:
        assert made.execute("SELECT 1").fetchone() == (1,)
    report = gateway.verified()
    assert report.logs["1"].counts.get("crashes") == 1
    assert gateway.sessions("--live") == []
