"""git itself, through a gateway to ``git http-backend``."""

from __future__ import annotations

import random
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.repositories import PASSWORD, SECONDS, GitServer

from gatebook.cli.demo.forge import surroundings
from gatebook.cli.demo.processes import wait_until
from gatebook.cli.demo.world import gatebook_command

pytestmark = pytest.mark.real

KEY = "AKIA" + "Q3EGRZL7XK2M5T4B"
RULES = """
@id("no-force") @reason("history is not rewritten") @instead("Make a new commit that undoes it.")
forbid (principal, action in [Action::"git.force", Action::"git.delete"], resource) when { context.branch == "main" };
@id("no-secrets") @reason("it would bring in what looks like {secrets}")
forbid (principal, action in Action::"git.write", resource) unless { context.secrets.isEmpty() };
@id("migrations-need-dba") @approvers("group:dba") @reason("{paths}: migrations are made with group dba")
forbid (principal, action in Action::"git.write", resource) when { context.folders.contains("migrations/") }
unless { context.approved };
@id("what-is-unknown") @reason("it cannot be told what it does")
forbid (principal, action == Action::"git.unknown", resource);
@id("closed") @reason("it is nobody's") forbid (principal, action in Action::"git", resource)
when { context.repository == "org/closed" };
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    server = GitServer(tmp_path_factory.mktemp("git"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, server: GitServer) -> Iterator[LiveGateway]:
    home = tmp_path_factory.mktemp("gateway")
    roles = {name: server.target()["roles"]["agent"] for name in ("agent", "release")}
    apis = [server.target(roles=roles), server.target(name="small", push_bytes=65_536)]
    gateway = LiveGateway(home, world, apis=apis, allows_all=True, policies={"git": RULES})
    gateway.start()
    yield gateway
    gateway.stop()


class Desk:
    """One who works with a repository of their own on the server."""

    def __init__(self, door: LiveGateway, server: GitServer, folder: Path, name: str) -> None:
        self.door, self.server, self.folder, self.name = door, server, folder, name
        server.new(name)
        self.token = door.mint()
        self.url = f"https://127.0.0.1:{door.http_port}/git/forge/{name}.git"

    def git(self, *argv: str, ends: int | None = 0, folder: Path | None = None) -> str:
        """What git prints, on both of its streams."""
        helper = f'!f() {{ echo username=agent; echo "password={self.token}"; }}; f'
        done = subprocess.run(
            ["git", "-c", f"credential.helper={helper}", "-c", f"http.sslCAInfo={self.door.world.authority.path}", *argv],
            cwd=folder or self.work, env=surroundings(), capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert ends is None or done.returncode == ends, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def clone(self, *argv: str) -> None:
        self.git("clone", "-q", *argv, self.url, str(self.work), folder=self.folder)

    def commit(self, message: str = "change", **files: str) -> str:
        for name, text in files.items():
            path = self.work / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    @property
    def head(self) -> str:
        return self.server.head(self.name)


@pytest.fixture
def desk(door: LiveGateway, server: GitServer, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return Desk(door, server, tmp_path, f"org/{abs(hash(request.node.name)) % 10**9}")


def verbs(door: LiveGateway) -> list[tuple[str, str]]:
    return [(one["verb"], one["ruling"]) for one in door.entries("action")]


def test_a_repository_is_cloned_changed_and_pushed(desk: Desk) -> None:
    desk.clone()
    assert (desk.work / "readme.txt").read_text() == "hello\n"
    new = desk.commit("second", app="print(1)\n" * 3_000)
    said = desk.git("push", "origin", "main")
    assert "main -> main" in said
    assert desk.head == new
    assert verbs(desk.door)[-1] == ("git.push", "allow")
    desk.git("fetch", "-q")
    desk.git("push", "origin", "HEAD:refs/heads/topic")
    desk.git("push", "origin", "--delete", "topic")
    assert desk.server.head(desk.name, "refs/heads/topic") == ""


def test_shallow_and_partial_clones_tags_and_options_work(desk: Desk) -> None:
    desk.clone("--depth=1", "--filter=blob:none")
    desk.git("tag", "-a", "v1", "-m", "one")
    desk.git("push", "origin", "v1")
    assert desk.server.head(desk.name, "refs/tags/v1")
    assert "refs/tags/v1" in desk.git("ls-remote", "origin")


def test_gatebooks_own_helper_gives_git_its_token(desk: Desk) -> None:
    ca = desk.door.world.authority.path
    api = f"https://127.0.0.1:{desk.door.api_port}"
    helper = f"!{shlex.join(gatebook_command())} git-credential --url {api} --ca {ca}"
    done = subprocess.run(
        ["git", "-c", f"credential.helper={helper}", "-c", f"http.sslCAInfo={ca}", "ls-remote", desk.url],
        env=surroundings(GATEBOOK_TOKEN=desk.token), capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, "refs/heads/main" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_each_version_of_the_protocol_clones(desk: Desk, version: str) -> None:
    desk.git("-c", f"protocol.version={version}", "clone", "-q", desk.url, str(desk.work), folder=desk.folder)
    assert (desk.work / "readme.txt").exists()


def test_a_forced_push_is_refused_in_gits_own_words(desk: Desk) -> None:
    desk.clone()
    before = desk.commit("second", a="1")
    desk.git("push", "-q", "origin", "main")
    desk.git("reset", "-q", "--hard", "HEAD~1")
    desk.commit("instead", b="1")
    said = desk.git("push", "--force", "origin", "main", ends=1)
    assert "! [remote rejected] main -> main (blocked by no-force: history is not rewritten)" in said
    assert "remote: blocked by no-force" in said
    assert "Make a new commit that undoes it." in said
    assert desk.head == before
    assert "refused" not in desk.git("push", "origin", "--delete", "main", ends=1)
    assert desk.head == before


def test_a_push_that_brings_a_secret_is_refused_wherever_it_hides(desk: Desk) -> None:
    desk.clone()
    before = desk.head
    desk.commit("oops", settings=f"key = {KEY}\n")
    desk.commit("gone", settings="key = none\n")
    said = desk.git("push", "origin", "main", ends=1)
    assert "blocked by no-secrets: it would bring in what looks like" in said
    assert KEY not in said
    assert desk.head == before


def test_a_held_push_passes_when_it_comes_again_after_the_yes(desk: Desk) -> None:
    desk.clone()
    before = desk.head
    new = desk.commit("migrate\n\nAssisted-by: model-x", migrations__1="DROP TABLE a;\n")
    said = desk.git("push", "origin", "main", ends=1)
    assert "(approval required (https://127.0.0.1" in said
    assert desk.head == before
    (asked,) = [one for one in desk.door.api("/api/v1/approvals", desk.token).json()["approvals"] if one["state"] == "open"]
    dana = desk.door.mint(sub="dana", kind="person", groups=["dba"])
    shown = desk.door.api(f"/api/v1/approvals/{asked['id']}", dana).text
    assert "migrations/1" in shown
    assert "DROP TABLE a;" in shown
    assert "model-x" in shown
    voted = desk.door.send("POST", f"/api/v1/approvals/{asked['id']}/vote", dana, {"verdict": "approve", "reason": "OPS-7"})
    assert voted.status_code == 200, voted.text
    desk.git("gc", "-q")  # so that the pack has other bytes
    desk.git("push", "origin", "main")
    assert desk.head == new


def test_a_yes_is_for_one_push_alone(desk: Desk) -> None:
    desk.clone()
    desk.commit("migrate", migrations__1="DROP TABLE a;\n")
    desk.git("push", "origin", "main", ends=1)
    (asked,) = [one for one in desk.door.api("/api/v1/approvals", desk.token).json()["approvals"] if one["state"] == "open"]
    dana = desk.door.mint(sub="dana", kind="person", groups=["dba"])
    desk.door.send("POST", f"/api/v1/approvals/{asked['id']}/vote", dana, {"verdict": "approve", "reason": "OPS-7"})
    before = desk.head
    desk.commit("another", migrations__2="DROP TABLE b;\n")
    assert "approval required" in desk.git("push", "origin", "main", ends=1)
    assert desk.head == before


def test_role_and_purpose_stand_behind_the_targets_name(desk: Desk) -> None:
    desk.clone()
    said = desk.url.replace("/git/forge/", "/git/forge+role=release+why=OPS-7/")
    assert "refs/heads/main" in desk.git("ls-remote", said)
    found = {(one["role"], one["purpose"]) for one in desk.door.sessions() if one["live"]}
    assert found >= {("agent", ""), ("release", "OPS-7")}
    unknown = said.replace("role=release", "role=owner")
    assert "remote: blocked by" in desk.git("ls-remote", unknown, ends=128)


@pytest.mark.parametrize("size", [100_000, 3_000_000])  # at once, and in chunks
def test_a_push_that_is_longer_than_is_read_says_so_and_moves_nothing(desk: Desk, size: int) -> None:
    desk.clone()
    before, _ = desk.head, desk.commit("much", much=random.Random(7).randbytes(size).hex())
    said = desk.git("push", desk.url.replace("/git/forge/", "/git/small/"), "main", ends=None)
    assert "push it in parts" in said
    assert desk.head == before
    desk.git("push", "-q", "origin", "main")
    assert desk.head != before


def test_what_the_server_itself_prints_passes_as_it_is(desk: Desk) -> None:
    hook = desk.server.repositories / f"{desk.name}.git/hooks/post-receive"
    hook.write_text("#!/bin/sh\necho 'Open a request at https://git.internal/new?card=4111111111111111'\n")
    hook.chmod(0o755)
    desk.clone()
    desk.commit("second", a="1")
    assert "remote: Open a request at https://git.internal/new?card=4111111111111111" in desk.git("push", "origin", "main")


def test_who_shows_no_token_is_asked_for_one_and_a_wrong_one_opens_nothing(desk: Desk) -> None:
    desk.token = "wrong"
    said = desk.git("ls-remote", desk.url, ends=128, folder=desk.folder)
    assert "Authentication failed" in said


def test_what_is_forbidden_to_read_is_refused_in_words(desk: Desk) -> None:
    if not (desk.server.repositories / "org/closed.git").exists():
        desk.server.new("org/closed")
    said = desk.git("ls-remote", desk.url.replace(desk.name, "org/closed"), ends=128, folder=desk.folder)
    assert "remote error: blocked by closed: it is nobody's" in said


@pytest.mark.parametrize(
    "path",
    ["HEAD", "info/refs", "objects/info/packs", "info/refs?service=git-evil", "info/lfs/objects/batch"],
)
def test_what_git_does_not_ask_goes_nowhere(desk: Desk, path: str) -> None:
    before = list(desk.server.seen)
    with desk.door.http(desk.token) as client:
        said = client.get(f"{desk.url}/{path}")
    assert said.status_code in (200, 400, 403), said.text
    assert desk.server.seen == before


def test_a_push_that_lies_is_refused_and_the_next_one_works(desk: Desk) -> None:
    desk.clone()
    kind = {"content-type": "application/x-git-receive-pack-request"}
    zero, one = "0" * 40, "1" * 40
    for content in (b"", b"zzzz", f"0067{zero} {one} refs/heads/x\0report-status".encode() + b"0000PACKgarbage", b"0000" * 9):
        with desk.door.http(desk.token) as client:
            said = client.post(f"{desk.url}/git-receive-pack", content=content, headers=kind)
        assert said.status_code in (200, 400, 403)
    desk.commit("second", a="1")
    desk.git("push", "-q", "origin", "main")


def test_the_session_is_closed_in_the_book_and_replays(desk: Desk) -> None:
    desk.clone()
    desk.commit("second", a="1")
    desk.git("push", "-q", "origin", "main")
    session = desk.door.sessions()[0]["id"]
    assert wait_until(lambda: "git" in desk.door.replay("replay", session).output, 20)
    assert "main" in desk.door.replay("replay", session).output
