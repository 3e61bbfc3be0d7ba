"""``gatebook sessions replay`` and ``tail``, on recordings and ledgers as a gateway leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests import make
from tests.config.written import changed
from tests.ledger.books import closing, open_log, opening
from typer.testing import CliRunner, Result

from gatebook.cli.main import make_app
from gatebook.db import engine, migrate, writing
from gatebook.errors import GatebookError, RecordingError
from gatebook.gateway import store
from gatebook.ledger.log import Log
from gatebook.protocols.terminals import Kind, frame
from gatebook.recording.reading import new_identity
from gatebook.recording.recorder import Recorder
from gatebook.recording.recovery import recover

SECRET, PUBLIC = new_identity()
PAGE_KEY = "age1n6xjhgm0fpwx8w9qu4rkga6r8jtp6r6d4wh3hqqmweuyx6l6esns2qd3p2"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A gateway's home whose recordings an auditor can read, with one session that is live."""
    changed(tmp_path, (PAGE_KEY, PUBLIC))
    (tmp_path / "auditor.txt").write_text(SECRET)
    database = engine(f"sqlite:///{tmp_path / 'gatebook.db'}")
    migrate(database)
    with writing(database) as connection:
        store.open_session(connection, session=make.session(), role="shop_app")
    database.dispose()
    return tmp_path


@pytest.fixture
def log(home: Path) -> Iterator[Log]:
    opened = open_log(home / "ledger" / "1")
    opened.append_now(opening(make.SESSION_ID), durable=False)
    yield opened
    opened.close()


@pytest.fixture
def recorder(home: Path, log: Log) -> Recorder:
    def finished(segment: object) -> None:
        log.append_now(segment.entry(), durable=True)  # type: ignore[attr-defined]

    made = Recorder.open(make.SESSION_ID, home / "recordings", [PUBLIC], "demo/log/1/1", finished)
    made.request(1, "SELECT 'hello' -- \x1b[2J", verb="sql.select", reach="read", ruling="allow", rule="agents-read")
    return made


def close_row(home: Path) -> None:
    database: Engine = engine(f"sqlite:///{home / 'gatebook.db'}")
    with writing(database) as connection:
        now = make.NOW + 1_000_000
        store.close_session(connection, session=make.SESSION_ID, at=now, reason="left", counts=(1, 0), sizes=(1, 2))
    database.dispose()


def sessions(home: Path, name: str, *words: str, identity: str = "auditor.txt") -> Result:
    where = ["--identity", str(home / identity), "--config", str(home / "gatebook.yaml")]
    return CliRunner().invoke(make_app("sessions"), ["sessions", name, make.SESSION_ID[:13], *words, *where])


def test_a_closed_session_is_replayed_and_found_whole(home: Path, log: Log, recorder: Recorder) -> None:
    recorder.close("left")
    log.append_now(closing(make.SESSION_ID), durable=False)
    close_row(home)
    told = sessions(home, "replay")
    assert told.exit_code == 0, told.output
    assert "#1  sql.select  allow by agents-read\n  > SELECT 'hello' -- \\x1b[2J\n" in told.stdout
    assert "the session ended: left" in told.stdout
    note, ending = told.stderr.splitlines()
    assert "this reading is not in the book: the ledger's key is not here" in note
    assert ending == "The recording is whole, as the ledger has it: 1 segment."


def test_a_replay_in_json_has_a_line_for_each_thing(home: Path, recorder: Recorder) -> None:
    recorder.close("left")
    close_row(home)
    told = sessions(home, "replay", "--json", "--speed", "1000")
    assert [json.loads(line)["k"] for line in told.stdout.splitlines()] == ["q", "x"]
    assert json.loads(told.stdout.splitlines()[0])["d"]["text"] == "SELECT 'hello' -- \x1b[2J"


def test_a_live_session_is_replayed_so_far(home: Path, recorder: Recorder) -> None:
    told = sessions(home, "replay")
    assert told.exit_code == 0
    assert "SELECT 'hello'" in told.stdout
    assert "nothing vouches for it" in told.stderr
    recorder.close()


def test_what_a_crash_left_is_replayed_once_the_next_start_mended_it(home: Path, log: Log, recorder: Recorder) -> None:
    del recorder
    log.append_now(closing(make.SESSION_ID), durable=False)
    close_row(home)
    before = sessions(home, "replay")
    assert before.exit_code == 1
    assert "the ledger knows nothing of it" in str(before.exception)
    recover(home / "recordings", lambda one: log.append_now(one.entry(recovered=True), durable=True) and None)
    after = sessions(home, "replay")
    assert after.exit_code == 0, after.output
    assert "SELECT 'hello'" in after.stdout
    assert "cut by a crash" in after.stderr


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [change, Path.unlink])
def test_a_recording_that_was_changed_is_told_and_not_shown(
    home: Path, recorder: Recorder, harm: Callable[[Path], None]
) -> None:
    recorder.close()
    close_row(home)
    harm(home / "recordings" / make.SESSION_ID / "0.seg")
    told = sessions(home, "replay")
    assert told.exit_code == 1
    assert isinstance(told.exception, RecordingError)
    assert "not whole: segment 0" in str(told.exception)
    assert "not whole: the recording has no end" in str(told.exception)
    assert "SELECT" not in told.stdout


@pytest.mark.parametrize("name", ["replay", "tail"])
def test_another_identity_is_refused_without_a_byte_shown(home: Path, recorder: Recorder, name: str) -> None:
    recorder.close()
    (home / "other.txt").write_text(new_identity()[0])
    told = sessions(home, name, identity="other.txt")
    assert told.exit_code == 1
    assert "other recipients" in str(told.exception)
    assert told.stdout == ""


@pytest.mark.parametrize("name", ["replay", "tail"])
def test_a_session_that_was_not_recorded_is_said_to_be_so(home: Path, name: str) -> None:
    told = sessions(home, name)
    assert isinstance(told.exception, GatebookError)
    assert "was not recorded" in str(told.exception)


def test_a_tail_ends_with_the_session(home: Path, recorder: Recorder) -> None:
    recorder.close("killed")
    told = sessions(home, "tail")
    assert told.exit_code == 0, told.output
    assert "SELECT 'hello'" in told.stdout
    assert told.stdout.endswith("the session ended: killed\n")


def test_a_tail_of_a_session_that_died_ends_too(home: Path, recorder: Recorder) -> None:
    del recorder
    close_row(home)
    told = sessions(home, "tail", "--from-start", "--json")
    assert [json.loads(line)["k"] for line in told.stdout.splitlines()] == ["q"]


def test_a_terminal_is_printed_for_other_players(home: Path, recorder: Recorder) -> None:
    recorder.request(2, "POST /exec", verb="k8s.exec", reach="unknown", ruling="allow", rule="agents-exec")
    recorder.head(2, b"101\nsec-websocket-protocol: v5.channel.k8s.io")
    recorder.content(2, frame(Kind.RESIZE, b"100x30") + frame(Kind.OUTPUT, b"\x1b]0;owned\x07# \x1b[1mls\x1b[0m\r\n"))
    recorder.close("left")
    close_row(home)
    told = sessions(home, "replay", "--cast", "2")
    assert told.exit_code == 0, told.output
    first, *rest = [json.loads(line) for line in told.stdout.splitlines()]
    assert (first["version"], first["width"], first["height"]) == (2, 100, 30)
    assert [one[1:] for one in rest] == [["r", "100x30"], ["o", "# \x1b[1mls\x1b[0m\r\n"]]
    assert "  < # ls\n" in sessions(home, "replay").stdout


def test_a_terminal_is_played_on_a_terminal_alone(home: Path, recorder: Recorder) -> None:
    recorder.close("left")
    close_row(home)
    assert "--cast prints it" in str(sessions(home, "replay", "--play", "1").exception)
    assert "request 1 has no terminal" in str(sessions(home, "replay", "--cast", "1").exception)
    assert sessions(home, "replay", "--play", "1", "--json").exit_code == 2
