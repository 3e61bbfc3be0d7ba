"""Held statements on live clients: they wait, a person decides, exactly that runs, once; or it does not run at all."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real


class Waiting:
    """A statement that runs on a connection of its own, in a thread: what came of it, and the notices on the way."""

    def __init__(self, gateway: LiveGateway, statement: str, parameters: tuple[Any, ...] | None = None, **more: Any) -> None:
        self.connection = gateway.connect(autocommit=True, options="", **more)
        self.notices: list[str] = []
        self.connection.add_notice_handler(lambda said: self.notices.append(f"{said.message_primary} {said.message_detail}"))
        self.error: psycopg.Error | None = None
        self._thread = threading.Thread(target=self._run, args=(statement, parameters), daemon=True)
        self._thread.start()

    def _run(self, statement: str, parameters: tuple[Any, ...] | None) -> None:
        try:
            self.connection.execute(statement, parameters)
        except psycopg.Error as error:
            self.error = error

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def ended(self) -> psycopg.Error | None:
        self._thread.join(10)
        assert self.over, "the statement still waits"
        return self.error


def dana(gateway: LiveGateway) -> str:
    return gateway.mint(sub="dana", kind="person", groups=["dba"])


def pending(gateway: LiveGateway) -> list[dict[str, Any]]:
    return list(gateway.api("/api/v1/approvals?state=open", dana(gateway)).json()["approvals"])


def the_one(gateway: LiveGateway) -> dict[str, Any]:
    assert wait_until(lambda: len(pending(gateway)) == 1, 5)
    return pending(gateway)[0]


def vote(gateway: LiveGateway, approval: str, verdict: str, token: str, reason: str = "looked at it") -> httpx.Response:
    body = {"verdict": verdict, "reason": reason}
    return gateway.send("POST", f"/api/v1/approvals/{approval}/vote", token, body)


@pytest.fixture
def quiet(new_gateway: Callable[[], LiveGateway]) -> LiveGateway:
    """A gateway of one's own, with nothing pending."""
    return new_gateway()


def columns(gateway: LiveGateway, name: str) -> str:
    query = f"SELECT count(*) FROM information_schema.columns WHERE table_name = 'notes' AND column_name = '{name}'"
    return gateway.world.plain.sql(query, "shop")


def test_a_held_statement_waits_gets_one_notice_and_runs_once_a_person_says_yes(quiet: LiveGateway) -> None:
    waiting = Waiting(quiet, "ALTER TABLE notes ADD COLUMN held_one text")
    found = the_one(quiet)
    assert not waiting.over
    assert columns(quiet, "held_one") == "0"
    assert vote(quiet, found["id"], "approve", dana(quiet)).status_code == 200
    assert waiting.ended() is None
    assert len(waiting.notices) == 1
    assert found["id"] in waiting.notices[0]
    assert columns(quiet, "held_one") == "1"
    waiting.connection.close()


def test_a_denied_statement_does_not_run_and_the_client_hears_by_whom_and_why(quiet: LiveGateway) -> None:
    waiting = Waiting(quiet, "ALTER TABLE notes ADD COLUMN held_two text")
    assert vote(quiet, the_one(quiet)["id"], "deny", dana(quiet), "not on a Friday").status_code == 200
    error = waiting.ended()
    assert isinstance(error, errors.InsufficientPrivilege)
    assert "not on a Friday" in (error.diag.message_primary or "")
    assert columns(quiet, "held_two") == "0"
    assert waiting.connection.execute("SELECT 1").fetchone() == (1,)
    waiting.connection.close()


def test_the_requester_cannot_approve_its_own_whatever_groups_it_is_in(quiet: LiveGateway) -> None:
    waiting = Waiting(quiet, "ALTER TABLE notes ADD COLUMN held_three text")
    found = the_one(quiet)
    for token in (quiet.mint(groups=["agents", "dba"]), quiet.mint(kind="person", groups=["dba"])):
        assert vote(quiet, found["id"], "approve", token).status_code == 403
    outsider = quiet.mint(sub="olaf", kind="person", groups=["sales"])
    assert vote(quiet, found["id"], "approve", outsider).status_code in (403, 404)
    assert not waiting.over
    waiting.connection.cancel()
    assert isinstance(waiting.ended(), errors.QueryCanceled)
    assert wait_until(lambda: pending(quiet) == [], 3)
    assert vote(quiet, found["id"], "approve", dana(quiet)).status_code in (404, 409)
    assert columns(quiet, "held_three") == "0"
    waiting.connection.close()


def test_a_requester_who_is_gone_voids_the_request(quiet: LiveGateway) -> None:
    waiting = Waiting(quiet, "ALTER TABLE notes ADD COLUMN held_four text")
    found = the_one(quiet)
    with socket.socket(fileno=os.dup(waiting.connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
    assert isinstance(waiting.ended(), psycopg.OperationalError)
    assert wait_until(lambda: pending(quiet) == [], 5)
    assert vote(quiet, found["id"], "approve", dana(quiet)).status_code in (404, 409)
    assert columns(quiet, "held_four") == "0"
    waiting.connection.close()


def test_an_approval_given_while_nobody_waits_passes_the_same_statement_once(quiet: LiveGateway) -> None:
    statement = "ALTER TABLE notes ADD COLUMN held_five text"
    with quiet.connect(autocommit=True) as connection:
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            connection.execute(statement)
        assert '"class":"wait"' in (caught.value.diag.message_detail or "")
        found = the_one(quiet)
        assert vote(quiet, found["id"], "approve", dana(quiet)).status_code == 200
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement + " ")
        connection.execute(statement)
        assert columns(quiet, "held_five") == "1"
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_a_yes_to_these_parameters_is_no_yes_to_others(quiet: LiveGateway) -> None:
    with quiet.connect(autocommit=True) as connection:
        query = "SELECT set_config('session_replication_role', %s::text, false)"
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(query, ("origin",))
        assert vote(quiet, the_one(quiet)["id"], "approve", dana(quiet)).status_code == 200
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(query, ("replica",))


def test_a_yes_under_these_settings_is_no_yes_under_others(quiet: LiveGateway) -> None:
    statement = "ALTER TABLE notes ADD COLUMN held_eight text"
    with quiet.connect(autocommit=True) as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)
        assert vote(quiet, the_one(quiet)["id"], "approve", dana(quiet)).status_code == 200
        for other in ("datestyle = 'SQL, DMY'", "search_path = pg_temp, public", "timezone = 'Asia/Tokyo'"):
            connection.execute(f"SET {other}")
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.execute("RESET ALL")
        assert columns(quiet, "held_eight") == "0"
        connection.execute(statement)
        assert columns(quiet, "held_eight") == "1"


def in_one_batch(connection: psycopg.Connection[Any], *statements: str) -> str:
    """What the first refusal among them says."""
    try:
        with connection.pipeline():
            for statement in statements:
                connection.execute(statement)
    except errors.InsufficientPrivilege as refusal:
        return str(refusal)
    return ""


def test_nobody_is_asked_about_what_follows_a_setting_in_a_pipeline(quiet: LiveGateway) -> None:
    change = "ALTER TABLE public.notes ADD COLUMN held_seven pg_catalog.text"
    with quiet.connect(autocommit=True) as connection:
        said = in_one_batch(connection, "SET search_path = pg_temp, public", change)
        assert "send it in a batch of its own" in said
        assert pending(quiet) == []
        assert '"class":"wait"' in in_one_batch(connection, "BEGIN", change)
        the_one(quiet)
    assert columns(quiet, "held_seven") == "0"


def test_a_text_that_is_at_fault_is_refused_at_once_and_nobody_is_asked(quiet: LiveGateway) -> None:
    begun = time.monotonic()
    waiting = Waiting(quiet, "SELEC 1")
    error = waiting.ended()
    assert isinstance(error, errors.InsufficientPrivilege)
    assert time.monotonic() - begun < 5
    assert '"class":"fix"' in (error.diag.message_detail or "")
    assert pending(quiet) == []
    waiting.connection.close()


def test_the_approver_sees_all_that_would_run(quiet: LiveGateway) -> None:
    body = "DO $$ BEGIN RAISE NOTICE 'the very body'; END $$" + " " * 3000 + "/* to its end */"
    with quiet.connect(autocommit=True) as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(body)
        text = quiet.api(f"/api/v1/approvals/{the_one(quiet)['id']}", dana(quiet)).json()["text"]
        assert "the very body" in text
        assert text.endswith("/* to its end */")


RULED = """
@id("notes-at-once")
@approvers("group:dba")
@hold("answer")
forbid (principal, action == Action::"sql.insert", resource in Table::"shop/notes") unless { context.approved };

@id("orders-wait")
@approvers("group:dba")
@hold("wait")
forbid (principal, action == Action::"sql.insert", resource in Table::"shop/orders") unless { context.approved };
"""


@pytest.mark.parametrize("wanted", ["", "-c gatebook.hold=wait", "-c gatebook.hold=answer"])
def test_a_rule_that_has_it_answered_at_once_has_its_way_with_every_client(
    new_gateway: Callable[..., LiveGateway], wanted: str
) -> None:
    ruled = new_gateway(policies={"ruled": RULED})
    waiting = Waiting(ruled, "INSERT INTO notes (body) VALUES ('x')")
    error = waiting.ended()
    assert isinstance(error, errors.InsufficientPrivilege)
    detail = json.loads(error.diag.message_detail or "{}")
    assert (detail["class"], detail["approval"]) == ("wait", the_one(ruled)["id"])
    assert detail["follow"].endswith(detail["approval"])
    waiting.connection.close()


def test_a_rule_that_has_it_wait_has_its_way_with_every_client(new_gateway: Callable[..., LiveGateway]) -> None:
    ruled = new_gateway(policies={"ruled": RULED})
    insert = "INSERT INTO orders (status) SELECT 'held' WHERE false"
    waiting = Waiting(ruled, insert)
    found = the_one(ruled)
    assert not waiting.over
    assert vote(ruled, found["id"], "approve", dana(ruled)).status_code == 200
    assert waiting.ended() is None
    waiting.connection.close()
    for hold in ("propose", "resume"):
        options = f"-c gatebook.hold={hold}"
        with ruled.connect(options=options) as connection, pytest.raises(errors.InsufficientPrivilege, match="be proposed"):
            connection.execute(insert)
    assert pending(ruled) == []


def test_with_its_approvals_away_the_gateway_says_no_and_nothing_runs(quiet: LiveGateway) -> None:
    with closing(sqlite3.connect(quiet.home / "gatebook.db")) as rows, rows:
        rows.execute("ALTER TABLE approvals RENAME TO away")
    waiting = Waiting(quiet, "ALTER TABLE notes ADD COLUMN held_six text")
    error = waiting.ended()
    assert isinstance(error, errors.InsufficientPrivilege)
    assert "cannot be read or kept, so the answer is no" in (error.diag.message_primary or "")
    assert waiting.connection.execute("SELECT 1").fetchone() == (1,)
    waiting.connection.close()
    assert columns(quiet, "held_six") == "0"
    with closing(sqlite3.connect(quiet.home / "gatebook.db")) as rows, rows:
        rows.execute("ALTER TABLE away RENAME TO approvals")
