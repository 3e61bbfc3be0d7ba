"""The same statements again and again: whichever twin they go by, they are all in the book, verified, and in the replay."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until
from gatebook.protocols.postgres import native

pytestmark = pytest.mark.real

TIMES = 40


def closed(gateway: LiveGateway) -> str:
    """The newest session, once it is over."""
    assert wait_until(lambda: not gateway.sessions("--limit", "1")[0]["live"], 5)
    return str(gateway.sessions("--limit", "1")[0]["id"])


def in_order(gateway: LiveGateway, kind: str, session: str) -> list[dict[str, Any]]:
    """A session's entries of this kind."""
    return sorted((one for one in gateway.entries(kind) if one["sid"] == session), key=lambda one: int(one["seq"]))


def test_statements_that_come_again_stand_in_book_replay_and_rows_each_by_itself(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway()
    assert native.named() in gateway.log
    with gateway.connect(autocommit=True, prepare_threshold=1) as connection:
        for number in range(TIMES):
            assert connection.execute("SELECT %s::int + 1", (number,)).fetchone() == (number + 1,)
            found = connection.execute("SELECT name, ssn FROM customers WHERE id = %s", (1 + number % 3,)).fetchone()
            assert found is not None
            assert re.fullmatch(r"\*\*\*-\*\*-\d{4}", str(found[1]))
            connection.execute("SELECT id FROM orders WHERE id = %s", (number,)).fetchall()
    session = closed(gateway)
    gateway.verified()
    runs, answers = (in_order(gateway, kind, session) for kind in ("action", "answer"))
    runs = [one for one in runs if one["step"] == "run"]
    texts = [one["text"] for one in runs]
    assert len([text for text in texts if text.startswith("SELECT $1::int")]) == TIMES
    assert len(runs) == len({one["decision"] for one in runs}) == 3 * TIMES
    assert len({one["action"] for one in answers}) == len(answers)
    assert {one["action"] for one in runs} <= {one["action"] for one in answers}
    replayed = gateway.replay("replay", session, "--json")
    assert replayed.status == 0, replayed.output
    items = [json.loads(line) for line in replayed.output.splitlines() if line.startswith("{")]
    asked = [one["d"] for one in items if one["k"] == "q" and one["d"]["step"] == "run"]
    assert len(asked) == 3 * TIMES
    assert [one["text"] for one in asked] == texts
    shown = [one["d"] for one in items if one["k"] == "r"]
    assert len(shown) == 3 * TIMES


def test_simple_queries_of_other_numbers_stand_in_book_and_replay_each_by_itself(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway()
    answer = gateway.psql("-At", stdin="".join(f"SELECT id FROM customers WHERE id = {n};\n" for n in range(TIMES)))
    assert answer.status == 0
    session = closed(gateway)
    gateway.verified()
    runs, answers = (in_order(gateway, kind, session) for kind in ("action", "answer"))
    assert [one["text"] for one in runs] == [f"SELECT id FROM customers WHERE id = {n};" for n in range(TIMES)]
    assert len({one["stmt_h"] for one in runs}) == TIMES
    assert sum(one["rows"] for one in answers) == len(answer.output.split())
