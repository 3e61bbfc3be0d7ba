"""The demo as a newcomer runs it: it keeps its word, leaves nothing running, and can be kept, tried by hand and ended."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.processes import Roster, Running, wait_until
from gatebook.cli.demo.world import clean_environment, gatebook_command

pytestmark = [pytest.mark.real, pytest.mark.timeout(360)]

README = Path(__file__).parents[2] / "README.md"
SECONDS = 300.0  # for the whole story, beside another test


def demo(folder: Path, *options: str) -> Answer:
    return run([*gatebook_command(), "demo", "--dir", str(folder), *options], clean_environment(), seconds=SECONDS)


def variables(folder: Path) -> dict[str, str]:
    """What a shell has after reading the environment file."""
    script = '. "$1" && env -0'
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(folder / "env")], env={"PATH": os.environ["PATH"]}, capture_output=True
    )
    pairs = (item.partition("=") for item in done.stdout.decode().split("\0") if item)
    return {name: value for name, _, value in pairs}


def test_the_story_keeps_its_word_and_leaves_nothing_running(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    answer = demo(folder, "--acts", "http")
    assert answer.status == 0, answer.output
    assert "Every step did what it says" in answer.output
    assert "✗" not in answer.output
    for word in ("4242424242424242", "987-65-4320 ", "ada.quill@example.com"):
        assert word not in answer.output
    for word in (
        "blocked by no-delete-without-where",
        "another audience",
        "INTACT",
        "DAMAGED",
        "wal/000000000000, offset",
    ):
        assert word in answer.output
    said = plain(answer.output.replace(f"{folder}/", ""))
    assert [line for line in promised() if line not in said] == []
    assert not (folder / "run.json").exists()
    assert not (folder / "postgres").exists()


def plain(text: str) -> str:
    return re.sub(r"[^\S\n]+", " ", text)


def promised() -> list[str]:
    """What the README shows of it, but for what is another each time."""
    block = re.findall(r"^```text\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)[0]
    found = [re.split(r"…|[0-9a-f]{8}[+-]|: all \d|\d+ of=|\d/wal", plain(line))[0].strip() for line in block.splitlines()]
    return [line for line in found if line]


def test_kept_it_can_be_tried_by_hand_and_ended(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    answer = demo(folder, "--keep", "--acts", "ssh git")
    try:
        assert answer.status == 0, answer.output
        for word in ("ssh-no-halt", "approval required", "git-no-force"):
            assert word in answer.output
        assert stat.S_IMODE((folder / "env").stat().st_mode) == 0o600
        found = variables(folder)
        wanted = {
            "GATEBOOK_URL",
            "GATEBOOK_CA",
            "GATEBOOK_HOME",
            "AGENT_TOKEN",
            "APPROVER_TOKEN",
            "TARGET_DSN",
            "PSQL",
            "HTTP_URL",
            "GIT_URL",
            "SSH_COMMAND",
        }
        assert wanted | {"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD"} <= set(found)
        through = run([found["PSQL"], "-XAt", "-c", "SELECT card FROM customers WHERE id = 1"], found)
        assert through.output == "************4242"
        curl = ["curl", "-sS", "--config", "-", "--cacert", found["GATEBOOK_CA"], f"{found['HTTP_URL']}/customers/1"]
        called = run(curl, {}, stdin=f'header = "Authorization: Bearer {found["AGENT_TOKEN"]}"')
        assert json.loads(called.output)["card"] == "************1111"
        said = run(["sh", "-c", f"{found['SSH_COMMAND']} echo hello"], {**found, "PATH": os.environ["PATH"]})
        assert (said.status, said.output) == (0, "hello")
        straight = run([found["PSQL"], "-XAt", "-c", "SELECT card FROM customers WHERE id = 1", found["TARGET_DSN"]], {})
        assert straight.output == "4242424242424242"
        told = run(
            [*gatebook_command(), "sessions", "ls", "--json"], {**clean_environment(), "GATEBOOK_HOME": found["GATEBOOK_HOME"]}
        )
        assert {one["subject"] for one in json.loads(told.output)} == {"shop-agent", "nightly-report"}
        running = Roster.read(folder / "run.json").running
        assert sorted(one.name for one in running if one.alive) == [
            "PostgreSQL",
            "billing",
            "forge",
            "gateway",
            "host",
            "provider",
        ]
    finally:
        ended = demo(folder, "--stop")
    assert ended.output == "ended: gateway, host, forge, billing, provider, PostgreSQL"
    assert not [one for one in running if one.alive]
    assert demo(folder, "--stop").output == "no demo is running"


def test_no_secret_stands_on_a_command_line_or_in_a_log(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    answer = demo(folder, "--keep")
    try:
        assert answer.status == 0, answer.output
        found = variables(folder)
        clients = json.loads((folder / "provider" / "clients.json").read_text())["clients"]
        secrets = [found["PGPASSWORD"], found["APPROVER_TOKEN"], *(one["secret"] for one in clients if one["secret"])]
        secrets += [found["TARGET_DSN"].split(":")[2].split("@")[0], (folder / "secrets" / "shop_app").read_text()]
        secrets.append((folder / "secrets" / "billing").read_text())
        lines = command_lines()
        logs = "".join(path.read_text() for path in folder.glob("*.log"))
        assert not [secret for secret in secrets if secret in lines or secret in logs]
    finally:
        demo(folder, "--stop")


def command_lines() -> str:
    """Of every process that is there and can be read."""
    lines = ""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            lines += path.read_bytes().decode(errors="replace")
    return lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_tidies_up(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "demo"
    argv = [*gatebook_command(), "demo", "--dir", str(folder)]
    with subprocess.Popen(argv, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        assert wait_until(lambda: len(running_of(folder)) >= 3, 30)
        running = running_of(folder)
        child.send_signal(number)
        output, _ = child.communicate(timeout=60)
    assert child.returncode == 130, output
    assert "nothing is left running" in output
    assert "Traceback" not in output
    assert not [one for one in running if one.alive]


def test_killed_outright_its_parts_are_ended_by_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with subprocess.Popen(
        [*gatebook_command(), "demo", "--dir", str(folder)], env=clean_environment(), stdout=subprocess.DEVNULL
    ) as child:
        assert wait_until(lambda: len(running_of(folder)) >= 3, 30)
        running = running_of(folder)
        child.kill()
    assert all(one.alive for one in running)
    ended = demo(folder, "--stop")
    assert ended.status == 0, ended.output
    assert not [one for one in running if one.alive]


def running_of(folder: Path) -> list[Running]:
    return Roster.read(folder / "run.json").running
