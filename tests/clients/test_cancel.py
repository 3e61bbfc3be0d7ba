"""Ctrl-C of unmodified clients: what runs at the target stops there, and nobody else's does."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

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


def test_a_statement_whose_client_went_away_stops_at_the_target(gateway: LiveGateway) -> None:
    gone = gateway.connect(autocommit=True)
    gone.pgconn.send_query(b"SELECT pg_sleep(20.3)")
    assert wait_until(lambda: sleeping(gateway) == 1, 5)
    gone.close()
    assert wait_until(lambda: sleeping(gateway) == 0, 3)


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
