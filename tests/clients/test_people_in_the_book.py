"""People stand in the book as commitments: whatever they do, neither their names nor their addresses are in its bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from tests.clients.test_holding import Waiting, pending, vote
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until
from gatebook.ledger import folders
from gatebook.ledger.reader import Reader

pytestmark = pytest.mark.real

AGENT, BEHIND, OPERATOR, STRANGER = "agent-of-agnes", "agnes@example.org", "dana-the-operator", "sven-from-elsewhere"


@pytest.fixture
def quiet(new_gateway: Callable[[], LiveGateway]) -> LiveGateway:
    """A gateway of one's own: every entry is of this test."""
    return new_gateway()


def entries(gateway: LiveGateway) -> Iterator[dict[str, Any]]:
    places = folders.logs(gateway.home / "ledger").values()
    return (json.loads(one) for place in places for one in Reader(place).everything())


def test_no_person_and_no_address_stands_in_the_book_in_the_clear(quiet: LiveGateway) -> None:
    agent = quiet.mint(sub=AGENT, act={"sub": BEHIND})
    operator = quiet.mint(sub=OPERATOR, kind="person", groups=["dba"])
    stranger = quiet.mint(sub=STRANGER, kind="person", groups=["staff"])
    with pytest.raises(psycopg.OperationalError):
        quiet.connect(stranger, user="agnes")
    waiting = Waiting(quiet, "ALTER TABLE notes ADD COLUMN of_people text", token=agent)
    assert wait_until(lambda: len(pending(quiet)) == 1, 5)
    (asked,) = pending(quiet)
    assert vote(quiet, asked["id"], "approve", stranger).status_code == 404
    assert vote(quiet, asked["id"], "deny", operator, "not today").status_code == 200
    waiting.ended()
    (session,) = (one["id"] for one in quiet.sessions("--live"))
    assert quiet.api(f"/api/v1/sessions/{session}", stranger).status_code == 404
    ended = quiet.send("POST", f"/api/v1/sessions/{session}/end", operator, {"reason": "it writes to agnes@example.org"})
    assert ended.status_code == 202
    assert wait_until(lambda: not quiet.sessions("--live"), 5)
    waiting.connection.close()
    book = quiet.book_bytes()
    for name in (AGENT, BEHIND, "agnes", OPERATOR, STRANGER):
        assert name.encode() not in book, name
    assert b'127.0.0.1"' not in book, "a client's address"
    closed = next(one for one in entries(quiet) if one["type"] == "session.close")
    assert closed["reason"].startswith("ended by a person: it writes to ")
    asked_by = next(one for one in entries(quiet) if one["type"] == "gatebook.act" and one["verb"] == "gatebook.sessions.kill")
    decided_by = next(one for one in entries(quiet) if one["type"] == "approval.vote")
    assert asked_by["actor"]["id_c"] == decided_by["approver"]
