"""Ctrl-C of unmodified clients: what runs at the target stops there, and nobody else's does."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until
from gatebook.gateway.guesses import EACH

pytestmark = pytest.mark.real


def sleeping(gateway: LiveGateway) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(20%'"
    return int(gateway.world.plain.sql(query))


def test_a_cancelled_statement_stops_at_the_target_and_the_session_goes_on(gateway: LiveGateway) -> None:
    with gateway.connect(autocommit=True) as mine, gateway.connect(autocommit=True) as other:
        other.pgconn.send_query(b"SELECT pg_sleep(20.1)")
        assert wait_until(lambda: sleeping(gateway) == 1, 5)
        timer = threading.Timer(0.5, mine.cancel)
        timer.start()
        begun = time.monotonic()
        with pytest.raises(errors.QueryCanceled):
            mine.execute("SELECT pg_sleep(20.2)")
        assert time.monotonic() - begun < 5
        assert mine.execute("SELECT 1").fetchone() == (1,)
        assert sleeping(gateway) == 1
        other.close()


def test_a_cancel_never_stops_what_its_client_asks_for_after_it(gateway: LiveGateway) -> None:
    with gateway.connect(autocommit=True) as mine:
        for number in range(200):
            mine.pgconn.send_query(b"SELECT pg_sleep(%.4f)" % (number % 40 / 5000))
            mine.cancel()
            while mine.pgconn.get_result() is not None:
                pass
            assert mine.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_whose_client_went_away_stops_at_the_target(gateway: LiveGateway) -> None:
    gone = gateway.connect(autocommit=True)
    gone.pgconn.send_query(b"SELECT pg_sleep(20.3)")
    assert wait_until(lambda: sleeping(gateway) == 1, 5)
    gone.close()
    assert wait_until(lambda: sleeping(gateway) == 0, 3)


def test_who_guesses_cancel_keys_is_not_heard_any_more_and_stands_in_the_book(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway()
    with gateway.connect(autocommit=True) as mine:
        for _ in range(EACH + 5):
            with gateway.raw() as stranger:
                stranger.sendall(b"\0\0\0\x10\x04\xd2\x16\x2e" + secrets.token_bytes(8))
                assert stranger.recv(1) == b"", "right or wrong, it is closed without a word"
        mine.pgconn.send_query(b"SELECT pg_sleep(1)")
        mine.cancel()
        result = mine.pgconn.get_result()
        assert result is not None
        assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, "by a short key, from the same address"
        assert mine.pgconn.get_result() is None
    assert wait_until(lambda: gateway.entries("exception")[-1]["what"] == "cancel keys are guessed", 3)
    assert b'127.0.0.1"' not in gateway.book_bytes()


def test_a_made_up_cancel_key_stops_nothing(gateway: LiveGateway) -> None:
    with gateway.connect(autocommit=True) as mine:
        mine.pgconn.send_query(b"SELECT pg_sleep(1)")
        with gateway.raw() as stranger:
            stranger.sendall(b"\0\0\0\x10\x04\xd2\x16\x2e" + b"\0" * 8)
            assert stranger.recv(1) == b""
        result = mine.pgconn.get_result()
        assert result is not None
        assert result.status == psycopg.pq.ExecStatus.TUPLES_OK
        assert mine.pgconn.get_result() is None
