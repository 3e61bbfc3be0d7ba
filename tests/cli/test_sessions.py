from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests import make
from tests.config.written import written
from typer.testing import CliRunner, Result

from gatebook.cli.main import make_app
from gatebook.db import engine, migrate, writing
from gatebook.errors import GatebookError
from gatebook.gateway import store
from gatebook.ledger.folders import logs
from gatebook.ledger.keys import key_path, load_or_create
from gatebook.ledger.reader import Reader
from gatebook.model import Ruling

LASTED = 125_000_000
OTHER = "01999999-1111-7000-8000-000000000002"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    """A gateway's database with a live session of two actions and a closed one."""
    written(tmp_path)
    load_or_create(key_path(tmp_path))
    made = engine(f"sqlite:///{tmp_path / 'gatebook.db'}")
    migrate(made)
    with writing(made) as connection:
        store.open_session(connection, session=make.session(purpose="ticket 7"), role="shop_app")
        add(connection, 1, Ruling.MASK, "SELECT name, ssn FROM customers")
        store.finish_action(connection, session=make.SESSION_ID, seq=1, status="SELECT 5", rows=5)
        add(connection, 2, Ruling.BLOCK, "DELETE FROM customers -- \x1b[2J\u202e[red]")
        other = make.session(id=OTHER, identity=make.identity(subject="ann"), target=make.target(name="vault"))
        store.open_session(connection, session=other, role="ro")
        store.close_session(connection, session=OTHER, at=make.NOW + LASTED, reason="client left", counts=(0, 0), sizes=(1, 2))
    yield made
    made.dispose()


def add(connection: object, seq: int, ruling: Ruling, text: str) -> None:
    action = make.action(text, make.deed("sql.delete" if ruling is Ruling.BLOCK else "sql.select"), seq=seq)
    verdict = make.verdict(ruling, rule="no-where" if ruling is Ruling.BLOCK else "agents-read")
    store.add_action(
        connection,  # type: ignore[arg-type]
        session=make.SESSION_ID,
        action=action,
        verdict=verdict,
        text_=text,
        decision=f"d{seq}",
        at=make.NOW + seq,
    )


def sessions(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(make_app("sessions"), ["sessions", *words, "--config", str(folder / "gatebook.yaml")])


@pytest.mark.usefixtures("database")
def test_sessions_are_listed_with_who_where_and_how_they_stand(tmp_path: Path) -> None:
    told = sessions(tmp_path, "ls")
    assert told.exit_code == 0, told.output
    live, closed = (line for line in told.stdout.splitlines() if line.startswith("0199"))
    if "shop-agent" not in live:
        live, closed = closed, live
    assert live.split()[-1] == "live"
    assert "vault" in closed
    assert closed.rstrip().endswith("closed: client left")
    assert "2m 05s" in closed


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("words", "subjects"),
    [
        ((), {"shop-agent", "ann"}),
        (("--live",), {"shop-agent"}),
        (("--target", "vault"), {"ann"}),
        (("--subject", "ann"), {"ann"}),
        (("--subject", "nobody"), set()),
    ],
)
def test_a_listing_in_json_is_exact(tmp_path: Path, words: tuple[str, ...], subjects: set[str]) -> None:
    found = json.loads(sessions(tmp_path, "ls", "--json", *words).stdout)
    assert {one["subject"] for one in found} == subjects
    assert all(one["opened_at"] == make.NOW for one in found)


@pytest.mark.usefixtures("database")
def test_a_session_shows_what_was_asked_decided_and_answered(tmp_path: Path) -> None:
    told = sessions(tmp_path, "show", make.SESSION_ID).stdout
    assert "shop-agent (agent), proven by https://id.example" in told
    assert "ticket 7" in told
    assert "agents-read" in told
    assert "SELECT 5" in told
    assert "no-where" in told
    assert "not sent" in told


@pytest.mark.usefixtures("database")
def test_what_a_client_wrote_cannot_drive_the_readers_terminal(tmp_path: Path) -> None:
    told = sessions(tmp_path, "show", make.SESSION_ID)
    exact = sessions(tmp_path, "show", make.SESSION_ID, "--json").stdout
    assert not {"\x1b", "\u202e"} & set(told.stdout + exact)
    assert "\\x1b[2J\\u202e[red]" in told.stdout
    assert json.loads(exact)["list"][1]["text"].endswith("\x1b[2J\u202e[red]")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("prefix", "said"), [("ffff", "no session's id begins with"), ("01999999", "several sessions' ids begin with")]
)
def test_an_id_that_names_no_session_or_several_is_refused(tmp_path: Path, prefix: str, said: str) -> None:
    told = sessions(tmp_path, "show", prefix)
    assert isinstance(told.exception, GatebookError)
    assert said in str(told.exception)


def test_a_gateway_that_never_ran_here_is_said_so_and_no_database_is_made(tmp_path: Path) -> None:
    written(tmp_path)
    assert "has a gateway run" in str(sessions(tmp_path, "ls").exception)
    assert not (tmp_path / "gatebook.db").exists()


@contextmanager
def gateway(database: Engine) -> Iterator[list[tuple[str, str, str]]]:
    """Ends sessions as the gateway does: looks for requests, closes the row."""
    done, seen = threading.Event(), []

    def look() -> None:
        while not done.wait(0.01):
            with writing(database) as connection:
                for session, by, reason in store.kills_requested(connection):
                    seen.append((session, by, reason))
                    store.close_session(
                        connection, session=session, at=make.NOW + 9, reason=f"ended: {reason}", counts=(2, 1), sizes=(0, 0)
                    )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def test_a_kill_names_who_asked_and_waits_until_the_session_is_over(database: Engine, tmp_path: Path) -> None:
    with gateway(database) as seen:
        told = sessions(tmp_path, "kill", make.SESSION_ID[:13], "--reason", "leaks")
    assert told.exit_code == 0, told.output
    assert f"Session {make.SESSION_ID} of shop-agent on shop is ended: ended: leaks" in told.stdout
    ((session, by, reason),) = seen
    assert (session, reason) == (make.SESSION_ID, "leaks")
    assert by.startswith("operator:")


def acts(folder: Path) -> list[dict[str, object]]:
    entries = [json.loads(one) for place in logs(folder / "ledger").values() for one in Reader(place).everything()]
    return [one for one in entries if one["type"] == "gatebook.act"]


def test_a_kill_stands_in_the_book_with_who_and_why_and_that_no_rule_was_asked(database: Engine, tmp_path: Path) -> None:
    with gateway(database):
        sessions(tmp_path, "kill", make.SESSION_ID[:13], "--reason", "leaks 4111111111111111")
    (act,) = acts(tmp_path)
    told = act["verb"], act["about"], act["ruling"], act["rule"]
    assert told == ("gatebook.sessions.kill", make.SESSION_ID, "allow", "on-this-machine")
    assert str(act["actor"]["by"]).startswith("operator:")  # type: ignore[index]
    assert "leaks" in str(act["why"])
    assert "4111111111111111" not in str(act)


def test_without_a_book_nothing_is_killed(database: Engine, tmp_path: Path) -> None:
    key_path(tmp_path).unlink()
    told = sessions(tmp_path, "kill", make.SESSION_ID, "--reason", "leaks")
    assert "it runs where the gateway runs" in str(told.exception)
    with database.connect() as connection:
        assert list(store.kills_requested(connection)) == []


def test_what_cannot_be_killed_leaves_no_entry(database: Engine, tmp_path: Path) -> None:
    assert sessions(tmp_path, "kill", OTHER, "--reason", "late").exit_code != 0
    assert sessions(tmp_path, "kill", "no-such", "--reason", "late").exit_code != 0
    assert acts(tmp_path) == []
    database.dispose()


def test_a_kill_in_json_says_that_it_is_done(database: Engine, tmp_path: Path) -> None:
    with gateway(database):
        told = sessions(tmp_path, "kill", make.SESSION_ID, "--reason", "leaks", "--json")
    assert json.loads(told.stdout) == {"session": make.SESSION_ID, "ended": True, "close_reason": "ended: leaks"}


@pytest.mark.usefixtures("database")
def test_a_kill_that_nobody_carries_out_is_no_success(tmp_path: Path) -> None:
    told = sessions(tmp_path, "kill", make.SESSION_ID, "--reason", "leaks")
    assert "still open after 3 s: is the gateway running?" in str(told.exception)


@pytest.mark.usefixtures("database")
def test_a_session_that_is_over_cannot_be_killed(tmp_path: Path) -> None:
    assert "is closed already: client left" in str(sessions(tmp_path, "kill", OTHER, "--reason", "late").exception)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("words", [("--reason", ""), ("--reason", " ")])
def test_a_kill_with_an_empty_reason_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert sessions(tmp_path, "kill", make.SESSION_ID, *words).exit_code == 2
