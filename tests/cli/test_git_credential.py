"""``gatebook git-credential`` gives a token to the gateway's host alone."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gatebook.cli.gitcredential import LINES, is_for, read_asked
from gatebook.cli.main import make_app

URL = "https://gate.example:8443"
TOKEN = "gbt_" + "a" * 40


@pytest.mark.parametrize(
    ("protocol", "host", "fits"),
    [
        ("https", "gate.example:6443", True),
        ("https", "GATE.example", True),
        ("http", "gate.example:6443", False),
        ("https", "gate.example.evil.test", False),
        ("https", "evil.test", False),
        ("https", "gate.example@evil.test", False),
        ("https", "evil.test/gate.example", False),
        ("https", "", False),
        ("https", "[", False),
        ("ssh", "gate.example", False),
    ],
)
def test_a_token_is_for_the_gateways_host_alone(protocol: str, host: str, fits: bool) -> None:
    assert is_for({"protocol": protocol, "host": host}, URL) is fits


def test_what_git_says_ends_with_an_empty_line() -> None:
    said = io.StringIO("protocol=https\nhost=a\npath=b=c\n\nhost=evil\n")
    assert read_asked(said) == {"protocol": "https", "host": "a", "path": "b=c"}
    assert len(read_asked(io.StringIO("".join(f"{at}=x\n" for at in range(1_000))))) == LINES


def run(what: str, asked: str, **env: str) -> tuple[int, str]:
    surroundings = {"GATEBOOK_URL": URL, "GATEBOOK_TOKEN": TOKEN, **env}
    done = CliRunner().invoke(make_app("git-credential"), ["git-credential", what], input=asked, env=surroundings)
    return done.exit_code, done.stdout


def test_git_gets_the_token_that_is_held_and_other_hosts_get_nothing() -> None:
    assert run("get", "protocol=https\nhost=gate.example:6443\n\n") == (0, f"username=gatebook\npassword={TOKEN}\n")
    assert run("get", "protocol=https\nhost=evil.test\n\n") == (0, "")
    assert run("get", "protocol=http\nhost=gate.example\n\n") == (0, "")
    assert run("store", f"protocol=https\nhost=gate.example\npassword={TOKEN}\n\n") == (0, "")


def test_what_was_refused_is_forgotten(tmp_path: Path) -> None:
    asked = "protocol=https\nhost=gate.example\n\n"
    assert run("erase", asked, GATEBOOK_TOKEN="", GATEBOOK_PROVIDER_TOKEN="x", XDG_CACHE_HOME=str(tmp_path)) == (0, "")
