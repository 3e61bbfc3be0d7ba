from __future__ import annotations

import json

import pytest
from tests.ledger.books import ORIGIN, VKEY, fill, open_log
from typer.testing import CliRunner

from gatebook.cli.ledger import app


@pytest.fixture
def ledger(tmp_path):
    log = open_log(tmp_path / "ledger")
    fill(log, 2, 5)
    log.close()
    return tmp_path / "ledger"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_verify_says_intact_and_exits_0(ledger):
    result = run("verify", ledger, "--log-key", VKEY)
    assert result.exit_code == 0
    assert "INTACT" in result.stdout
    assert "NOT ANCHORED" not in result.stdout


def test_verify_without_a_key_begins_with_not_anchored(ledger):
    result = run("verify", ledger)
    assert result.exit_code == 0
    assert result.stdout.startswith("NOT ANCHORED")


def test_verify_of_a_damaged_book_names_the_place_and_exits_1(ledger):
    path = ledger / "tile/0/000.p/18"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    result = run("verify", ledger, "--log-key", VKEY, "--json")
    assert result.exit_code == 1
    (fault,) = json.loads(result.stdout)["faults"]
    assert (fault["file"], fault["offset"], fault["index"]) == ("tile/0/000.p/18", 40, 1)


def test_a_kept_checkpoint_is_a_head_to_verify_against(ledger, tmp_path):
    printed = run("checkpoint", ledger)
    assert printed.exit_code == 0
    head = tmp_path / "head"
    head.write_text(printed.stdout.split("\n\n", 1)[1])
    assert head.read_bytes() == (ledger / "checkpoint").read_bytes()
    assert run("verify", ledger, "--log-key", VKEY, "--head", head).exit_code == 0


def test_checkpoint_prints_origin_and_verifier_key(ledger):
    found = json.loads(run("checkpoint", ledger, "--json").stdout)
    assert (found["origin"], found["vkey"]) == (ORIGIN, VKEY)
    assert found["checkpoint"].startswith(f"{ORIGIN}\n{found['size']}\n")


def test_a_checkpoint_that_was_changed_is_not_printed(ledger):
    path = ledger / "checkpoint"
    path.write_text(path.read_text().replace(ORIGIN, "other/log"))
    result = run("checkpoint", ledger)
    assert result.exit_code == 1
    assert "origin" in result.stderr


@pytest.mark.parametrize("command", ["verify", "checkpoint"])
def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path, command):
    result = run(command, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "expected the folder of a ledger" in result.stderr
