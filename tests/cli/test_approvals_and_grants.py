"""``gatebook approvals`` and ``gatebook grants`` against a running API: what is printed, what counts, what a no looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.access.party import known_as, request
from tests.identity.issuer import ISSUER, NOW, SECOND, claims, token
from tests.make import identity
from tests.web.place import Place, open_place
from tests.web.running import serving
from typer.testing import CliRunner, Result

from gatebook.access.approvals import State
from gatebook.access.previews import Preview
from gatebook.cli import approvals, grants
from gatebook.cli.grants import seconds

pytestmark = pytest.mark.real

AGENT = identity(subject="agent-7", issuer=ISSUER, expires_at=NOW + 600 * SECOND)
ONE = request().id

both = typer.Typer()
both.add_typer(approvals.app, name="approvals")
both.add_typer(grants.app, name="grants")


@dataclass
class Desk:
    place: Place
    url: str

    def run(
        self, *args: str, sub: str = "dana", groups: tuple[str, ...] = ("dba",), kind: str = "person", **env: str
    ) -> Result:
        held = token(claims(sub=sub, kind=kind, groups=list(groups)))
        return CliRunner().invoke(both, args, env={"GATEBOOK_URL": self.url, "GATEBOOK_TOKEN": held, **env})

    def agent(self, *args: str) -> Result:
        return self.run(*args, sub="agent-7", groups=("agents",), kind="agent")

    def ask(self, number: int = 1, **changes: Any) -> None:
        times = {"opened_at": NOW, "expires_at": NOW + 300 * SECOND}
        self.place.approvals.open(request(number, **({"requester": AGENT} | times | changes)))


@contextmanager
def desk_in(folder: Path) -> Iterator[Desk]:
    listeners = {"postgres": {"bind": "127.0.0.1:15432"}, "api": {"bind": "127.0.0.1:0"}, "public_url": "http://127.0.0.1:1"}
    with open_place(folder, listeners=listeners) as place, serving(place.config, place.app) as port:
        yield Desk(place, f"http://127.0.0.1:{port}")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path) as made:
        yield made


def test_an_approver_lists_reads_and_approves(desk: Desk) -> None:
    desk.ask()
    listed = desk.run("approvals", "ls")
    assert ONE[:18] in listed.stdout
    assert "ALTER TABLE customers ADD note text" in listed.stdout
    assert json.loads(desk.run("approvals", "ls", "--json").stdout)[0]["id"] == ONE
    shown = desk.run("approvals", "show", ONE[:18]).stdout
    for said in ("agent-7 (agent)", "ddl-needs-a-dba: changes to tables need a DBA", "1 of group:dba", "sha256:one", "OPS-7"):
        assert said in shown
    done = desk.run("approvals", "approve", ONE[:18], "--reason", "looks right")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, f"Approval {ONE} is approved.")
    assert "ALTER TABLE customers ADD note text" in done.stdout
    assert desk.run("approvals", "ls").stdout == "Nothing waits for a person.\n"
    assert "approved" in desk.run("approvals", "ls", "--state", "all").stdout
    assert "yes by dana" in desk.run("approvals", "show", ONE).stdout


def test_a_denial_needs_a_reason_and_shows_it(desk: Desk) -> None:
    desk.ask()
    assert desk.run("approvals", "deny", ONE).exit_code == 2
    assert desk.run("approvals", "deny", ONE, "--reason", "  ").exit_code == 1
    assert desk.run("approvals", "deny", ONE, "--reason", "not on a Friday").exit_code == 0
    assert "denied: not on a Friday" in desk.agent("approvals", "show", ONE).stdout


def test_the_agents_own_approval_is_refused(desk: Desk) -> None:
    desk.ask()
    refused = desk.agent("approvals", "approve", ONE)
    assert refused.exit_code == 1
    assert "gatebook approvals approve: this is your own" in refused.stderr
    assert desk.place.approvals.states([ONE]) == {ONE: State.OPEN}


def test_one_vote_of_two_says_how_many_are_missing(desk: Desk) -> None:
    desk.ask(quorum=2)
    assert "Your yes counts: 1 of 2 that it needs." in desk.run("approvals", "approve", ONE).stdout
    voted = json.loads(desk.run("approvals", "approve", ONE, "--json", sub="erik").stdout)
    assert (voted["state"], [vote["by"] for vote in voted["votes"]]) == ("approved", ["dana", "erik"])


@pytest.mark.parametrize("action", ["show", "approve"])
def test_what_is_not_there_is_said(desk: Desk, action: str) -> None:
    done = desk.run("approvals", action, "nowhere/../../whoami")
    assert done.exit_code == 1
    assert "there is no such approval" in done.stderr or "Nothing matches" in done.stderr


def test_what_a_requester_wrote_moves_no_terminal(desk: Desk) -> None:
    requester = known_as(replace(AGENT, subject="agent-7"), model="\x1b[2Jopus")
    desk.ask(text="SELECT 1 --\x1b[1A\u202e\nDROP TABLE t", purpose="\r\x1b[8m", requester=requester)
    for args in (("ls",), ("show", ONE), ("approve", ONE), ("ls", "--state", "all", "--json")):
        out = desk.run("approvals", *args).stdout
        assert not {"\x1b", "\u202e", "\r"} & set(out)
    assert "\\x1b[1A\\u202e\nDROP TABLE t" in desk.run("approvals", "show", ONE).stdout


def test_a_diff_is_printed_with_what_a_yes_is_held_to_and_moves_no_terminal(desk: Desk) -> None:
    text = "...\n   a: b\n-  c: d\n+  c: e\u202e\x1b[31m"
    notes = ("It belongs to ReplicaSet/web.",)
    preview = Preview(form="diff", text=text, notes=notes, held_to={"uid": "u", "version": "1"}, at=NOW)
    desk.ask(verb="k8s.patch", preview=preview)
    said = desk.run("approvals", "show", ONE).output
    assert "What changes, by the target's own dry run:" in said
    assert "It belongs to ReplicaSet/web. It runs only if the object is still the same, in the same version." in said
    assert "\n   a: b\n-  c: d\n+  c: e" in said
    assert "\u202e" not in said
    assert "\x1b" not in said
    shown = json.loads(desk.run("approvals", "show", ONE, "--json").output)["preview"]
    assert (shown["form"], shown["text"], shown["notes"]) == ("diff", text, list(notes))


def test_what_was_not_tried_says_why_and_what_it_is_held_to(desk: Desk) -> None:
    desk.ask(preview=Preview(why="the cluster refuses it", held_to={"uid": "u", "version": "1"}, at=NOW))
    said = desk.run("approvals", "show", ONE).output
    assert "Text alone, no preview: the cluster refuses it." in said
    assert "in the same version" in said


def test_listings_fit_a_narrow_pipe_and_say_whose_a_request_is(desk: Desk) -> None:
    desk.ask(text="x" * 5_000)
    lines = desk.agent("approvals", "ls").stdout.splitlines()
    assert max(map(len, lines)) <= 200
    assert "open, yours" in lines[1]


def test_a_grant_is_asked_for_given_listed_and_ended(desk: Desk) -> None:
    asked = desk.agent("grants", "request", "shop", "vault", "--reach", "write", "--for", "90m", "--reason", "restore orders")
    assert asked.exit_code == 0, asked.stderr
    (waiting,) = json.loads(desk.run("approvals", "ls", "--json").stdout)
    assert waiting["id"] in asked.stdout
    assert "write on shop, vault for 1h 30m" in desk.run("approvals", "show", waiting["id"]).stdout
    assert "restore orders" in desk.run("approvals", "ls").stdout
    assert desk.agent("grants", "ls").stdout == "No grants.\n"
    desk.run("approvals", "approve", waiting["id"])
    assert "restore orders" in desk.agent("grants", "ls", "--live").stdout
    (grant,) = json.loads(desk.run("grants", "ls", "--json").stdout)
    assert (grant["targets"], grant["reach"], grant["live"]) == (["shop", "vault"], "write", True)
    ended = desk.run("grants", "revoke", grant["id"][:18], "--reason", "done early")
    assert (ended.exit_code, ended.stdout) == (0, f"Grant {grant['id']} of agent-7 is ended.\n")
    assert "revoked by dana" in desk.agent("grants", "ls").stdout
    assert desk.agent("grants", "ls", "--live").stdout == "No live grants.\n"
    assert "has ended already" in desk.run("grants", "revoke", grant["id"]).stderr


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("shop", "--reach", "admin", "--for", "3h", "--reason", "x"), 1),
        (("shop", "--for", "soon", "--reason", "x"), 2),
        (("shop", "--for", "1h"), 2),
        (("--reason", "x"), 2),
        (("shop", "--reach", "root", "--reason", "x"), 2),
    ],
)
def test_a_wish_that_cannot_be_is_refused(desk: Desk, args: tuple[str, ...], status: int) -> None:
    assert desk.agent("grants", "request", *args).exit_code == status
    assert desk.place.approvals.list() == []


def test_without_a_token_or_an_address_the_command_says_what_to_give(desk: Desk) -> None:
    for command in (("approvals", "ls"), ("grants", "ls")):
        nobody = desk.run(*command, GATEBOOK_TOKEN="")
        assert (nobody.exit_code, "GATEBOOK_PROVIDER_TOKEN" in nobody.stderr) == (2, True)
        nowhere = desk.run(*command, GATEBOOK_URL="")
        assert (nowhere.exit_code, "GATEBOOK_URL" in nowhere.stderr) == (2, True)
        assert desk.run(*command, GATEBOOK_TOKEN="gbt_nothing").exit_code == 1


@pytest.mark.parametrize(("written", "meant"), [("90", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400), ("45s", 45)])
def test_times_are_written_short(written: str, meant: int) -> None:
    assert seconds(written) == meant
