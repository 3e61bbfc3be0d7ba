"""The demo's parts that need no server: its roster, its folder, its certificates, its stage and its book."""

from __future__ import annotations

import io
import json
import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from gatebook.cli.demo import story
from gatebook.cli.demo.book import alter, find_block
from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.clients import Psql, run, shown
from gatebook.cli.demo.processes import PartError, Roster, Running, start_time, wait_until, write_private
from gatebook.cli.demo.stage import BrokenError, Stage
from gatebook.cli.demo.world import MARK, prepare_folder

WAITING = [sys.executable, "-c", "input()"]


def waiting_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen(WAITING, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def stage() -> tuple[Stage, io.StringIO]:
    out = io.StringIO()
    return Stage(Console(file=out, width=80)), out


def test_a_process_is_known_by_its_start_time_and_ends_when_stopped() -> None:
    with waiting_process() as child:
        running = Running.of("waiting", child.pid)
        assert running.alive
        running.stop()
        assert not running.alive
        assert child.wait() == -15


def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone() -> None:
    with waiting_process() as child:
        stranger = Running("waiting", child.pid, "some other time")
        assert not stranger.alive
        stranger.stop()
        assert child.poll() is None
        child.kill()


def test_a_process_that_only_waits_to_be_reaped_counts_as_ended() -> None:
    with waiting_process() as child:
        child.kill()
        assert wait_until(lambda: start_time(child.pid) is None, 5)


def test_a_roster_ends_what_an_earlier_demo_left_running(tmp_path: Path) -> None:
    left = tmp_path / "data"
    left.mkdir()
    with waiting_process() as child:
        roster = Roster(tmp_path / "run.json")
        roster.add(Running.of("waiting", child.pid))
        roster.add_folder(left)
        assert stat.S_IMODE(roster.path.stat().st_mode) == 0o600
        assert Roster.read(tmp_path / "run.json").stop() == ["waiting"]
        assert child.wait() == -15
    assert not left.exists()
    assert not (tmp_path / "run.json").exists()


def test_a_roster_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    with waiting_process() as child:
        roster = Roster(tmp_path / "run.json")
        roster.add(Running.of("waiting", child.pid))
        roster.path.chmod(0o666)
        with pytest.raises(PartError, match="not believed"):
            Roster.read(roster.path)
        assert child.poll() is None
        child.kill()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"running": [{"pid": 1}], "folders": []}'])
def test_a_damaged_roster_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    write_private(tmp_path / "run.json", text)
    with pytest.raises(PartError, match="cannot be read"):
        Roster.read(tmp_path / "run.json")


def test_without_a_roster_nothing_runs(tmp_path: Path) -> None:
    assert Roster.read(tmp_path / "run.json").stop() == []


def test_a_folder_that_a_demo_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PartError, match="not from a demo"):
        prepare_folder(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_of_an_earlier_demo_is_emptied_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    prepare_folder(folder)
    (folder / "old").write_text("")
    prepare_folder(folder)
    assert [path.name for path in folder.iterdir()] == [MARK]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_private_file_replaces_one_that_was_readable(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def handshake(authority: Authority, name: str, key_owner: Authority) -> None:
    """TLS in memory between a client that trusts ``authority`` and a server certified by ``key_owner``."""
    made = key_owner.certificate("server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.cert, made.key)
    client = ssl.create_default_context(cafile=str(authority.path))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    for end in [*ends, *ends]:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_authority_vouches_for_loopback(tmp_path: Path, name: str) -> None:
    authority = Authority(tmp_path)
    handshake(authority, name, authority)


def test_the_authority_vouches_for_nothing_else(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(authority, "gatebook.example", authority)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        handshake(Authority(tmp_path / "other"), "localhost", authority)


def test_keys_of_certificates_are_private_and_the_authoritys_own_is_not_kept(tmp_path: Path) -> None:
    Authority(tmp_path).certificate("server")
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.crt", "server.crt", "server.key"]


def test_a_claim_that_holds_is_ticked_and_counted() -> None:
    told, out = stage()
    told.check("all is well", True, "it is")
    assert told.checks == 1
    assert "all is well" in out.getvalue()


def test_a_claim_that_does_not_hold_ends_the_story_with_what_came() -> None:
    told, _ = stage()
    with pytest.raises(BrokenError) as caught:
        told.check("all is well", False, "nothing is")
    assert (caught.value.expected, caught.value.came, told.checks) == ("all is well", "nothing is", 0)


def test_output_is_shown_as_it_came_without_markup_or_cuts() -> None:
    told, out = stage()
    line = "[bold]not markup[/bold] " + "x" * 200
    told.output(line)
    assert line in out.getvalue()


def test_a_long_output_is_shortened_and_says_so() -> None:
    told, out = stage()
    told.output("\n".join(str(number) for number in range(100)))
    assert "(60 more lines)" in out.getvalue()


def test_an_act_that_is_not_there_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    out = io.StringIO()
    assert story.play(Console(file=out, width=200), tmp_path / "demo", ["juggling"], keep=False) == 2
    assert "no act is called juggling" in out.getvalue()
    assert not (tmp_path / "demo").exists()


def test_stopping_where_nothing_runs_says_so(tmp_path: Path) -> None:
    out = io.StringIO()
    assert story.end(Console(file=out), tmp_path) == 0
    assert "no demo is running" in out.getvalue()


def test_the_block_is_found_in_the_log_and_one_byte_is_changed(tmp_path: Path) -> None:
    entry = json.dumps({"rule": "r", "ruling": "block"}, separators=(",", ":")).encode()
    (tmp_path / "1/wal").mkdir(parents=True)
    file = tmp_path / "1/wal/000000000000"
    file.write_bytes(bytes(512) + entry + bytes(512))
    found, offset = find_block(tmp_path)
    alter(found, offset)
    after = file.read_bytes()
    assert after[offset : offset + 5] == b"clock"
    assert after == bytes(512) + entry.replace(b"block", b"clock") + bytes(512)


def test_a_book_without_a_block_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    with pytest.raises(PartError, match="no blocked action"):
        find_block(tmp_path)


def test_a_command_is_shown_as_one_would_type_it() -> None:
    assert shown(["psql", "-c", "SELECT 1"], {"PGPASSWORD": "…"}) == "PGPASSWORD='…' psql -c 'SELECT 1'"


def test_what_a_program_says_on_both_outputs_comes_with_its_status() -> None:
    script = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"
    answer = run([sys.executable, "-c", script], {})
    assert (answer.status, answer.output) == (3, "out\nerr")


def test_a_client_that_ends_by_itself_is_heard_to_the_end() -> None:
    """Stands in for psql: says a word to each line, and leaves in the middle."""
    script = "import sys\nfor line in sys.stdin:\n    print(line.split()[-1], flush=True)\n    if 'leave' in line: sys.exit(4)"
    client = Psql([sys.executable, "-c", script], {"PATH": os.environ["PATH"]})
    assert client.ask("hello") == "hello"
    assert client.ask("leave") == "leave"
    assert client.ask("anybody?") == ""
    assert client.close() == 4
