from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.config.written import changed, written
from typer.testing import CliRunner, Result

from gatebook.cli.common import duration, escaped, find_config, size
from gatebook.cli.main import make_app

RULE = '@id("all")\npermit(principal, action, resource);\n'


def check(*words: str) -> Result:
    return CliRunner().invoke(make_app("config"), ["config", "check", *words])


def good(folder: Path, rules: str = RULE) -> Path:
    path = written(folder)
    (folder / "policies/agents.cedar").write_text(rules)
    return path


def test_a_good_config_says_what_is_in_it(tmp_path: Path) -> None:
    told = check(str(good(tmp_path)))
    assert told.exit_code == 0, told.output
    assert "gatebook.yaml: good: 1 target, 1 identity provider, 1 mask set, 1 rule\nsha256:" in told.stdout


def test_faults_go_to_standard_error_one_a_line(tmp_path: Path) -> None:
    told = check(str(changed(tmp_path, ("mode: verify-full", "mode: verify"), ("masks: [pii]", "masks: [pci]"))))
    assert told.exit_code == 2
    assert told.stdout == ""
    lines = told.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("gatebook.yaml: targets[0].tls.mode: 'verify': expected one of disable, require, verify-full")


def test_faults_can_be_had_as_json(tmp_path: Path) -> None:
    told = check(str(changed(tmp_path, ("mode: verify-full", "mode: verify"))), "--json")
    found = json.loads(told.stdout)
    assert told.exit_code == 2
    assert not found["ok"]
    assert len(found["faults"]) == 1


def test_a_good_config_has_its_digest_in_json(tmp_path: Path) -> None:
    assert json.loads(check(str(good(tmp_path)), "--json").stdout)["digest"].startswith("sha256:")


@pytest.mark.parametrize(
    "rules", ["permit(principal, action", '@id("m") @mask("pci") permit(principal, action, resource);', ""]
)
def test_a_policy_that_cannot_be_used_is_a_fault_of_the_config(tmp_path: Path, rules: str) -> None:
    told = check(str(good(tmp_path, rules)))
    assert told.exit_code == 2, told.output
    assert told.stderr


def test_a_config_for_another_machine_is_checked_without_its_files(tmp_path: Path) -> None:
    path = good(tmp_path)
    (tmp_path / "tls/ca.crt").unlink()
    assert check(str(path)).exit_code == 2
    assert check(str(path), "--no-files").exit_code == 0


@pytest.mark.parametrize(
    ("surroundings", "found"),
    [
        ({"GATEBOOK_CONFIG": "/a/b.yaml", "GATEBOOK_HOME": "/h"}, "/a/b.yaml"),
        ({"GATEBOOK_HOME": "/h"}, "/h/gatebook.yaml"),
        ({}, "gatebook.yaml"),
    ],
)
def test_the_config_is_found_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, surroundings: dict[str, str], found: str
) -> None:
    for name in ("GATEBOOK_CONFIG", "GATEBOOK_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    assert find_config(None) == Path(found)
    assert find_config(Path("/o")) == Path("/o")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("a\u202eb", "a\\u202eb"),
        ("naïve 東", "naïve 東"),
        ("\x9b", "\\x9b"),
    ],
)
def test_what_could_drive_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (59, "59s"), (125, "2m 05s"), (3 * 3600 + 7 * 60, "3h 07m"), (187200, "2d 04h")]
)
def test_durations_are_short(seconds: int, shown: str) -> None:
    assert duration(seconds * 1_000_000) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")]
)
def test_sizes_are_short(count: int, shown: str) -> None:
    assert size(count) == shown
