"""Files that are proposed: what is sent are their very bytes, and what could not be run is refused before anybody is asked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gatebook.cli.apiclient import UsageError
from gatebook.cli.connect import connect
from gatebook.cli.scriptfile import SCRIPT_BYTES, read_script

APP = typer.Typer()
APP.command()(connect)


def test_a_script_is_its_bytes(tmp_path: Path) -> None:
    data = "-- é\r\nALTER TABLE t ADD a text;\n\nSELECT 1".encode()
    (tmp_path / "m.sql").write_bytes(data)
    script = read_script(str(tmp_path / "m.sql"))
    assert script.text.encode() == data
    assert (script.sha256, script.statements) == (hashlib.sha256(data).hexdigest(), 2)
    assert script.line_of(script.text.index("SELECT") + 1) == 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no statement in it"),
        (b" \n\t", "no statement in it"),
        (b"-- only words\n;;", "no statement in it"),
        (b"SELECT 1;\nSELECT '\xff'", "m.sql:2: not UTF-8"),
        (b"\xff\xfeS\0E\0L\0", "m.sql:1: not UTF-8"),
        (b"SELECT 1;\nSELECT '\0'", "m.sql:2: a NUL byte"),
        (b"SELECT '\\d';\n\\dt\n", "m.sql:2: a command of psql"),
        (b"COPY notes FROM STDIN;\n1\tx\n\\.\n", "m.sql:3: a command of psql"),
        (b"SELECT 1; COPY notes FROM STDIN", "COPY … FROM STDIN reads data that is not in the script"),
        (b"COPY notes TO STDOUT", "writes to nobody"),
        (b"SELECT 1 --" + b"x" * SCRIPT_BYTES, "longer than 1,048,576 bytes"),
    ],
)
def test_what_cannot_be_run_as_one_text_is_refused_in_words(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "m.sql").write_bytes(data)
    with pytest.raises(UsageError, match="expected") as refused:
        read_script(str(tmp_path / "m.sql"))
    assert said in str(refused.value)


def test_a_text_that_does_not_parse_is_left_to_the_gateway_to_say(tmp_path: Path) -> None:
    (tmp_path / "m.sql").write_text("SELEC 1")
    assert read_script(str(tmp_path / "m.sql")).statements == 0


@pytest.mark.parametrize("name", ["nowhere.sql", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected a file of SQL that can be read"):
        read_script(str(tmp_path / name))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--propose",), "--propose: which script? Give -f FILE"),
        (("--no-wait",), "--no-wait goes with --propose alone"),
        (("--wait", "0"), "--wait goes with --propose alone"),
        (("--again",), "--again goes with --propose alone"),
        (("--json",), "--json goes with --propose alone"),
        (("-f", "-", "--propose", "--hold", "answer"), "--hold is for psql"),
        (("-f", "-", "--propose", "--client", "psql"), "--client is for psql"),
        (("-f", "-", "--propose", "--", "-c", "SELECT 1"), "-- is for psql"),
        (("-f", "-", "--from", "-", "--propose"), "standard input is read once"),
        (("-f", "/nowhere.sql", "--propose"), "/nowhere.sql: No such file"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_is_asked(options: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(APP, ["shop", *options])
    assert done.exit_code == 2
    assert said in done.stderr
