from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gatebook import __version__
from gatebook.cli.main import COMMANDS, Entry, _load, main, make_app
from gatebook.errors import GatebookError
from gatebook.protocols.postgres import native


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gatebook", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_help_is_a_map_of_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    told = capsys.readouterr().out
    assert all(f" {name} " in told and entry.panel in told for name, entry in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_on_the_map_leads_somewhere(name: str) -> None:
    told = CliRunner().invoke(make_app(name), [name, "--help"])
    assert told.exit_code == 0, told.output
    assert "Usage" in told.output


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from gatebook.cli.main import make_app; make_app(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "cryptography", "pydantic", "cedarpy", "uvicorn", "httpx"} & set(loaded)


def test_where_cargo_is_the_compiled_twin_is_too() -> None:
    """It may be left out by hand, and is where there is no cargo; else `make install` has built it."""
    asked = "from gatebook.protocols.postgres import native; print(native.named())"
    environment = {name: value for name, value in os.environ.items() if name != "GATEBOOK_NATIVE"}
    cargo = shutil.which("cargo")  # rustup's stand-in is there without a toolchain too
    if cargo and subprocess.run([cargo, "--version"], capture_output=True, check=False).returncode == 0:
        said = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True).stdout
        assert said.startswith("native ")
    said = subprocess.run(
        [sys.executable, "-c", asked], env=environment | {"GATEBOOK_NATIVE": "0"}, capture_output=True, text=True
    )
    assert said.stdout == "python\n"


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"gatebook {__version__}, rows by {native.named()}\n"


@pytest.mark.parametrize("words", [("confg",), ("config", "chek"), ("config", "check", "--nope"), ("sessions", "kill", "x")])
def test_usage_that_is_not_one_leaves_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *words) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [("sessions", "ls"), ("ledger", "verify"), ("serve",), ("policy", "check")])
def test_a_config_that_is_missing_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    nowhere = tmp_path / "gatebook.yaml"
    assert run(monkeypatch, *words, "--config", str(nowhere)) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(nowhere) in told


def test_a_part_that_is_not_installed_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_a_part.py").write_text("raise ModuleNotFoundError(\"No module named 'flask'\", name='flask')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(GatebookError, match=r"gatebook demo needs flask: pip install 'gatebook\[demo\]'"):
        _load("demo", Entry("Run", "needs_a_part", "demo", ""))


def test_a_module_of_our_own_that_is_missing_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError):
        _load("demo", Entry("Run", "gatebook.nowhere", "demo", ""))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    group = typer.main.get_command(make_app(name))
    todo, silent = [(name, group.commands[name])], []  # type: ignore[attr-defined]
    while todo:
        path, command = todo.pop()
        todo += [(f"{path} {inner}", one) for inner, one in getattr(command, "commands", {}).items()]
        silent += [f"{path} {one.name}" for one in command.params if not getattr(one, "help", None)]
        silent += [path] * (not command.help)
    assert silent == []
