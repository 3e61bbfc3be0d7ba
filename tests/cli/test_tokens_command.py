"""``gatebook tokens`` against a running API: what is printed, and what a no looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from tests.cli.test_approvals_and_grants import AGENT, Desk, desk_in
from tests.identity.issuer import NOW, claims, token
from typer.testing import CliRunner, Result

from gatebook.cli import tokens
from gatebook.identity.tokens import ID_CHARACTERS, digest_of

pytestmark = pytest.mark.real

only = typer.Typer()
only.add_typer(tokens.app, name="tokens")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path) as made:
        yield made


def run(desk: Desk, *args: str, sub: str = "dana", groups: tuple[str, ...] = ("dba",), kind: str = "person") -> Result:
    held = token(claims(sub=sub, kind=kind, groups=list(groups)))
    return CliRunner().invoke(only, args, env={"GATEBOOK_URL": desk.url, "GATEBOOK_TOKEN": held})


def give(desk: Desk) -> tuple[str, str]:
    given = desk.place.tokens.issue(AGENT, now=NOW, seconds=300)
    return given, (digest_of(given) or b"").hex()[:ID_CHARACTERS]


def test_an_operator_lists_and_revokes_and_the_token_is_never_printed(desk: Desk) -> None:
    given, number = give(desk)
    listed = run(desk, "tokens", "ls")
    assert number in listed.stdout
    assert "agent-7" in listed.stdout
    done = run(desk, "tokens", "revoke", number[:8], "--reason", "laptop lost")
    assert (done.exit_code, done.stdout) == (0, f"Token {number} of agent-7 is revoked.\n")
    assert run(desk, "tokens", "ls", "--live").stdout == "No live tokens.\n"
    (row,) = json.loads(run(desk, "tokens", "ls", "--json").stdout)
    assert (row["id"], row["live"], row["revoked_at"]) == (number, False, NOW)
    assert "revoked" in run(desk, "tokens", "ls").stdout
    assert given not in listed.output + done.output


def test_several_are_revoked_at_once_and_the_first_that_cannot_be_ends_the_command(desk: Desk) -> None:
    numbers = [give(desk)[1] for _ in range(3)]
    done = run(desk, "tokens", "revoke", *numbers[:2])
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "2 tokens revoked.")
    again = run(desk, "tokens", "revoke", numbers[0], numbers[2])
    assert again.exit_code == 1
    assert "gatebook tokens revoke: the token is revoked or has expired already" in again.stderr
    assert [one["live"] for one in json.loads(run(desk, "tokens", "ls", "--json").stdout)].count(True) == 1


def test_its_owner_revokes_it_and_a_stranger_does_not_learn_of_it(desk: Desk) -> None:
    _, number = give(desk)
    stranger = {"sub": "sven", "groups": ("staff",)}
    assert run(desk, "tokens", "ls", **stranger).stdout == "No tokens.\n"
    refused = run(desk, "tokens", "revoke", number, **stranger)
    assert (refused.exit_code, "there is nothing here by this name" in refused.stderr) == (1, True)
    assert run(desk, "tokens", "revoke", number, sub="agent-7", groups=("agents",), kind="agent").exit_code == 0
