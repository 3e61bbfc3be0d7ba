"""Pushes that people have to allow, by git itself: waited for on the connection, done once, and of no use to anybody else."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.clients.test_git import RULES, Desk
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.repositories import SECONDS, GitServer

from gatebook.cli.demo.forge import surroundings
from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

WAITS = """
@id("locked-waits") @approvers("group:dba") @hold("wait") @reason("{paths}: locked")
forbid (principal, action in Action::"git.write", resource) when { context.folders.contains("locked/") }
unless { context.approved };
"""
HELD = {"the address says so": ("+hold=wait", "migrations__1"), "the rule says so": ("", "locked__1")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    server = GitServer(tmp_path_factory.mktemp("git"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, server: GitServer) -> Iterator[LiveGateway]:
    home = tmp_path_factory.mktemp("gateway")
    gateway = LiveGateway(home, world, apis=[server.target()], allows_all=True, policies={"git": RULES, "waits": WAITS})
    yield gateway.start()
    assert gateway.stop() == 0, gateway.log
    assert "Traceback" not in gateway.log
    gateway.verified()


@pytest.fixture
def desk(door: LiveGateway, server: GitServer, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    desk = Desk(door, server, tmp_path, f"org/{abs(hash(request.node.name)) % 10**9}")
    desk.clone()
    return desk


def dana(desk: Desk) -> str:
    return desk.door.mint(sub="dana", kind="person", groups=["dba"])


def asked(desk: Desk, state: str = "open") -> list[dict[str, Any]]:
    """What people are asked about this test's repository."""
    found = desk.door.api(f"/api/v1/approvals?state={state}", dana(desk)).json()["approvals"]
    return [one for one in found if desk.name in str(one["resources"])]


def vote(desk: Desk, verdict: str = "approve") -> str:
    """Decide about the one push that waits; the id of its approval."""
    assert wait_until(lambda: len(asked(desk)) == 1, SECONDS)
    path = f"/api/v1/approvals/{asked(desk)[0]['id']}"
    word = {"verdict": verdict, "reason": "seen", "digest": desk.door.api(path, dana(desk)).json()["digest"]}
    answer = desk.door.send("POST", f"{path}/vote", dana(desk), word)
    assert answer.status_code == 200, answer.text
    return path.rpartition("/")[2]


def waiting_url(desk: Desk, option: str = "+hold=wait") -> str:
    return desk.url.replace("/git/forge/", f"/git/forge{option}/")


@contextmanager
def pushing(desk: Desk, url: str) -> Iterator[subprocess.Popen[str]]:
    """A push that goes on beside the test."""
    helper = f'!f() {{ echo username=agent; echo "password={desk.token}"; }}; f'
    argv = ["git", "-c", f"credential.helper={helper}", "-c", f"http.sslCAInfo={desk.door.world.authority.path}"]
    with subprocess.Popen(
        [*argv, "push", url, "main"], cwd=desk.work, env=surroundings(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def pushes(desk: Desk) -> list[dict[str, Any]]:
    """The book's actions that move a ref of this repository."""
    return [one for one in desk.door.entries("action") if one["verb"] != "git.list" and f"push {desk.name}:" in one["text"]]


def answers(desk: Desk) -> list[dict[str, Any]]:
    """What the book says came of them."""
    told = {(one["sid"], one["action"]) for one in pushes(desk)}
    return [one for one in desk.door.entries("answer") if (one["sid"], one["action"]) in told]


@pytest.mark.parametrize("how", HELD)
def test_a_push_waits_until_people_say_yes_and_is_done_and_written_down_once(desk: Desk, how: str) -> None:
    option, name = HELD[how]
    before, new = desk.head, desk.commit("migrate", **{name: "DROP TABLE a;\n"})
    with pushing(desk, waiting_url(desk, option)) as push:
        assert wait_until(lambda: bool(asked(desk)), SECONDS)
        assert (push.poll(), desk.head) == (None, before)
        assert "DROP TABLE a;" in desk.door.api(f"/api/v1/approvals/{asked(desk)[0]['id']}", dana(desk)).text
        approval = vote(desk)
        said, _ = push.communicate(timeout=SECONDS)
    assert (push.returncode, desk.head) == (0, new), said
    assert "main -> main" in said
    assert [one["id"] for one in asked(desk, "used")] == [approval]
    assert [(one["verb"], one["ruling"]) for one in pushes(desk)] == [("git.push", "approve"), ("git.push", "allow")]
    assert pushes(desk)[-1]["approval"] == approval
    assert wait_until(lambda: bool(answers(desk)), SECONDS)
    assert [one["status"] for one in answers(desk)] == ["200"]
    session = pushes(desk)[-1]["sid"]
    shown = f"push {desk.name}: main {before[:12]}..{new[:12]}"
    assert wait_until(lambda: shown in desk.door.replay("replay", session).output, SECONDS)
    assert desk.door.replay("replay", session).output.count(shown) == 1


def test_a_push_that_people_deny_hears_who_and_why_and_moves_nothing(desk: Desk) -> None:
    before = desk.head
    desk.commit("migrate", migrations__1="DROP TABLE a;\n")
    with pushing(desk, waiting_url(desk)) as push:
        vote(desk, "deny")
        said, _ = push.communicate(timeout=SECONDS)
    assert push.returncode == 1
    assert "! [remote rejected] main -> main" in said
    assert "denied by dana: seen" in said
    assert desk.head == before


def test_who_stops_waiting_withdraws_the_push(desk: Desk) -> None:
    before = desk.head
    desk.commit("migrate", migrations__1="DROP TABLE a;\n")
    with pushing(desk, waiting_url(desk)) as push:
        assert wait_until(lambda: bool(asked(desk)), SECONDS)
        os.killpg(push.pid, signal.SIGINT)  # as a terminal does, to git and its helpers
        assert push.wait(SECONDS) != 0
    assert wait_until(lambda: asked(desk) == [], SECONDS), "nobody need decide any more"
    assert len(asked(desk, "void")) == 1
    assert desk.head == before


def test_what_moved_while_people_decided_is_not_moved_again(desk: Desk) -> None:
    desk.commit("migrate", migrations__1="DROP TABLE a;\n")
    with pushing(desk, waiting_url(desk)) as push:
        assert wait_until(lambda: bool(asked(desk)), SECONDS)
        other = desk.git("commit-tree", "-m", "somebody else's", "HEAD^{tree}", "-p", "origin/main").strip()
        there = desk.server.repositories / f"{desk.name}.git"
        desk.git("push", "-q", str(there), f"{other}:refs/heads/main")
        vote(desk)
        said, _ = push.communicate(timeout=SECONDS)
    assert push.returncode == 1, said
    assert "! [remote rejected] main -> main" in said
    assert desk.head == other


def test_a_yes_moves_a_ref_once(desk: Desk) -> None:
    before, new = desk.head, desk.commit("migrate", migrations__1="DROP TABLE a;\n")
    desk.git("push", "origin", "main", ends=1)
    first = vote(desk)
    desk.git("push", "origin", "main")
    assert desk.head == new
    there = desk.server.repositories / f"{desk.name}.git"
    desk.git("--git-dir", str(there), "update-ref", "refs/heads/main", before)
    assert "approval required" in desk.git("push", "origin", "main", ends=1)
    assert desk.head == before
    assert [one["id"] for one in asked(desk)] != [first]
