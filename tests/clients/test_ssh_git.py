"""git itself over SSH, through a gateway to git on a real OpenSSH server."""

from __future__ import annotations

import random
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, program

from gatebook.cli.demo.forge import head, new_repository, surroundings
from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

KEY = "AKIA" + "Q3EGRZL7XK2M5T4B"
RULES = """
@id("no-commands") @reason("git alone is spoken here") forbid (principal, action in Action::"ssh", resource);
@id("no-force") @reason("history is not rewritten") @instead("Make a new commit that undoes it.")
forbid (principal, action in [Action::"git.force", Action::"git.delete"], resource) when { context.branch == "main" };
@id("no-secrets") @reason("it would bring in what looks like {secrets}")
forbid (principal, action in Action::"git.write", resource) unless { context.secrets.isEmpty() };
@id("migrations-need-dba") @approvers("group:dba") @reason("{paths}: migrations are made with group dba")
forbid (principal, action in Action::"git.write", resource) when { context.folders.contains("migrations/") }
unless { context.approved };
@id("locked-waits") @approvers("group:dba") @hold("wait") @reason("{paths}: locked")
forbid (principal, action in Action::"git.write", resource) when { context.folders.contains("locked/") }
unless { context.approved };
@id("closed") @reason("it is nobody's") forbid (principal, action in Action::"git", resource)
when { context.repository == "org/closed" };
@id("shallow-only") @reason("jobs clone with --depth=1") forbid (principal, action == Action::"git.fetch", resource)
when { principal.kind == "ci" && context.depth != 1 };
"""


@pytest.fixture(scope="module", params=["takes GIT_PROTOCOL", "takes no such variable"])
def host(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Host]:
    more = ("AcceptEnv GIT_PROTOCOL",) if request.param.endswith("PROTOCOL") else ()
    host = Host(tmp_path_factory.mktemp("host"), *more).start()
    yield host
    host.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("ssh")
    targets = [host.target(repositories=str(host.home)), host.target("small", repositories=str(host.home), push_bytes=65_536)]
    with ring_gateway(folder, world, host, hosts=targets, policies={"git": RULES}) as gateway:
        yield gateway


class Desk(Hosted):
    """One who works with a repository of their own on the host."""

    def __init__(self, door: LiveGateway, host: Host, folder: Path, name: str) -> None:
        super().__init__(door, host, folder)
        self.name, self.token = name, door.mint()
        self.there = host.home / f"{name}.git"
        new_repository(self.there, **{"readme.txt": "hello\n"})
        self.work = folder / "work"

    @property
    def url(self) -> str:
        return f"ssh://web1@127.0.0.1:{self.gateway.ssh_port}{self.there}"

    def git(self, *argv: str, ends: int | None = 0, folder: Path | None = None, user: str = "web1") -> str:
        """What git prints, on both of its streams."""
        ssh = shlex.join([program("ssh"), *self.options(user=user)])
        done = subprocess.run(
            ["git", *argv], cwd=folder or self.work, env=surroundings(GIT_SSH_COMMAND=ssh, **self.environment(self.token)),
            capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert ends is None or done.returncode == ends, done.stdout + done.stderr
        return done.stdout + done.stderr

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

    def head(self, ref: str = "refs/heads/main") -> str:
        return head(self.there, ref)

    def told(self) -> list[tuple[str, str]]:
        return [(one["verb"], one["ruling"]) for one in self.actions()]


@pytest.fixture
def desk(door: LiveGateway, host: Host, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return Desk(door, host, tmp_path, f"org/{abs(hash(request.node.name)) % 10**9}")


def test_a_repository_is_cloned_changed_and_pushed(desk: Desk) -> None:
    desk.clone()
    assert (desk.work / "readme.txt").read_text() == "hello\n"
    assert desk.told() == [("git.list", "allow"), ("git.fetch", "allow")]
    new = desk.commit("second", app="print(1)\n" * 300_000)
    assert "main -> main" in desk.git("push", "origin", "main")
    assert desk.head() == new
    assert desk.told() == [("git.list", "allow"), ("git.push", "allow")]
    desk.git("fetch", "-q")
    assert "Everything up-to-date" in desk.git("push", "origin", "main")
    desk.git("push", "origin", "HEAD:refs/heads/topic")
    desk.git("push", "origin", "--delete", "topic")
    assert desk.told()[-1] == ("git.delete", "allow")
    assert desk.head("refs/heads/topic") == ""


def test_the_replay_and_the_book_tell_what_was_pushed(desk: Desk) -> None:
    desk.clone()
    new = desk.commit("second", app="1")
    desk.git("push", "-q", "origin", "main")
    (_, pushed) = desk.actions()
    assert f"push {desk.name}: main {desk.git('rev-parse', 'HEAD~1')[:12]}..{new[:12]}" in pushed["text"]
    assert pushed["status"] == "exit 0"
    assert f"git-receive-pack {desk.name}: " in desk.gateway.replay("replay", desk.gateway.sessions()[0]["id"]).output


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_each_version_of_the_protocol_clones_and_fetches(desk: Desk, version: str) -> None:
    desk.git("-c", f"protocol.version={version}", "clone", "-q", desk.url, str(desk.work), folder=desk.folder)
    other = desk.folder / "other"
    desk.git("clone", "-q", desk.url, str(other), folder=desk.folder)
    new = desk.commit("second", a="1")
    desk.git("push", "-q", "origin", "main")
    desk.git("-c", f"protocol.version={version}", "fetch", "-q", folder=other)
    assert desk.git("rev-parse", "origin/main", folder=other).strip() == new


def test_shallow_and_partial_clones_are_told_as_such_and_tags_and_options_work(desk: Desk) -> None:
    desk.clone("--depth=1", *(["--filter=blob:none"] if desk.host.more else []))
    desk.git("tag", "-a", "v1", "-m", "one")
    desk.git("push", "origin", "v1")
    assert desk.head("refs/tags/v1")
    assert "refs/tags/v1" in desk.git("ls-remote", "origin")
    assert desk.told() == [("git.list", "allow")]


def test_rules_see_how_much_of_the_history_a_clone_wants(desk: Desk) -> None:
    desk.token = desk.gateway.mint(sub="job-1", kind="ci")
    said = desk.git("clone", desk.url, str(desk.work), ends=128, folder=desk.folder)
    assert "remote error: blocked by shallow-only: jobs clone with --depth=1" in said
    desk.clone("--depth=1")
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
    assert desk.head() == before
    desk.git("push", "origin", "--delete", "main", ends=1)
    assert desk.head() == before


def test_a_push_that_brings_a_secret_is_refused_wherever_it_hides(desk: Desk) -> None:
    desk.clone()
    before = desk.head()
    desk.commit("oops", settings=f"key = {KEY}\n")
    desk.commit("gone", settings="key = none\n")
    said = desk.git("push", "origin", "main", ends=1)
    assert "blocked by no-secrets: it would bring in what looks like" in said
    assert KEY not in said
    assert desk.head() == before


def test_a_held_push_passes_when_it_comes_again_after_the_yes(desk: Desk) -> None:
    desk.clone()
    before = desk.head()
    new = desk.commit("migrate\n\nAssisted-by: model-x", migrations__1="DROP TABLE a;\n")
    said = desk.git("push", "origin", "main", ends=1)
    assert "(approval required (https://127.0.0.1" in said
    assert desk.head() == before
    seen = desk.approve()
    assert "migrations/1" in seen
    assert "DROP TABLE a;" in seen
    assert "model-x" in seen
    desk.git("gc", "-q")  # so that the pack has other bytes
    desk.git("push", "origin", "main")
    assert desk.head() == new


@pytest.mark.parametrize("approved", [True, False])
def test_a_push_that_its_rule_has_wait_goes_on_or_not_as_people_say(desk: Desk, approved: bool) -> None:
    desk.clone()
    before, new = desk.head(), desk.commit("locked", locked__1="DROP TABLE a;\n")
    ssh = shlex.join([program("ssh"), *desk.options()])
    environment = surroundings(GIT_SSH_COMMAND=ssh, **desk.environment(desk.token))
    with subprocess.Popen(
        ["git", "push", "origin", "main"], cwd=desk.work, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as push:  # fmt: skip
        seen = desk.approve(approved)
        assert (push.poll(), desk.head()) == (None, before)
        said, _ = push.communicate(timeout=SECONDS)
    assert "DROP TABLE a;" in seen
    assert "/approvals/" in said, "who waits hears where to follow it"
    assert desk.head() == (new if approved else before)
    assert push.returncode == (0 if approved else 1)
    assert ("denied by dana: for a test" in said) is not approved
    wanted = [("git.list", "allow"), ("git.push", "approve"), *([("git.push", "allow")] if approved else [])]
    assert [one for one in desk.told() if one in wanted] == wanted


def test_a_push_that_is_longer_than_is_read_says_so_and_moves_nothing(desk: Desk) -> None:
    desk.clone()
    before = desk.head()
    desk.commit("much", much=random.Random(7).randbytes(3_000_000).hex())
    said = desk.git("push", "origin", "main", ends=1, user="small")
    assert "a push of more than 65,536 bytes; push it in parts" in said
    assert desk.head() == before


def test_a_link_on_the_host_is_told_by_its_own_name(desk: Desk) -> None:
    """So rules that close a repository do not close what leads to it, as the page says."""
    (desk.host.home / "org/alias.git").unlink(missing_ok=True)
    (desk.host.home / "org/alias.git").symlink_to(desk.there)
    assert "refs/heads/main" in desk.git("ls-remote", desk.url.replace(desk.name, "org/alias"), folder=desk.folder)
    assert desk.actions()[0]["text"] == "git-upload-pack org/alias"


def test_what_is_forbidden_to_read_is_refused_in_words(desk: Desk) -> None:
    if not (closed := desk.host.home / "org/closed.git").exists():
        new_repository(closed)
    said = desk.git("ls-remote", desk.url.replace(desk.name, "org/closed"), ends=128, folder=desk.folder)
    assert "remote error: blocked by closed: it is nobody's" in said


@pytest.mark.parametrize(
    "path", ["/org/../org/closed.git", "/org//closed.git", "/./org/closed.git", "/org/closed.git/../closed.git", "/x/.git"]
)
def test_a_name_that_leads_elsewhere_is_refused(desk: Desk, path: str) -> None:
    said = desk.ssh(f"git-upload-pack '{desk.host.home}{path}'", stdin=b"0000", token=desk.token)
    assert said.returncode == 77
    assert b"blocked by" in said.stderr
    assert said.stdout == b""


@pytest.mark.parametrize(
    "command",
    [
        "git-upload-pack '{}' ; id",
        "git-receive-pack '{}'\nid",
        "git-upload-pack --timeout=1 '{}'",
        "GIT_TRACE=1 git-upload-pack '{}'",
        "/usr/bin/git-receive-pack '{}'",
        "git-upload-pack '/etc/closed.git'",
        "git-shell -c \"git-receive-pack '{}'\"",
        "git-lfs-authenticate '{}' upload",
        "git lfs-transfer '{}' upload",
        "git-upload-archive '{}'",
    ],
)
def test_what_is_not_quite_gits_own_is_a_command_or_nothing(desk: Desk, command: str) -> None:
    said = desk.ssh(command.format(desk.there), stdin=b"0000", token=desk.token)
    assert said.returncode == 77
    assert (said.stdout, b"blocked by" in said.stderr) == (b"", True)
    assert all(one["ruling"] == "block" or one["status"] is None for one in desk.actions())


def test_a_push_that_lies_is_refused_and_the_next_one_works(desk: Desk) -> None:
    desk.clone()
    zero, one = "0" * 40, "1" * 40
    lies = (b"zzzz", f"0067{zero} {one} refs/heads/x\0report-status".encode() + b"0000PACKgarbage", b"ffff", b"0004" * 9)
    for said in lies:
        ended = desk.ssh(f"git-receive-pack '{desk.there}'", stdin=said, token=desk.token)
        assert desk.head("refs/heads/x") == "", ended.stderr
    desk.commit("second", a="1")
    desk.git("push", "-q", "origin", "main")


def test_a_repository_that_is_not_there_says_so_in_the_hosts_words(desk: Desk) -> None:
    said = desk.git("ls-remote", desk.url.replace(desk.name, "org/nothing"), ends=128, folder=desk.folder)
    assert "does not appear to be a git repository" in said
    assert wait_until(lambda: desk.actions()[-1]["status"] == "exit 128", SECONDS)
