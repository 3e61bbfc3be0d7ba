"""Ansible through a gateway to a real OpenSSH server, with what it gives ssh by itself: a shared connection that stays open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, program

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
RULES = """
@id("no-rm-by-hand") @reason("nothing is removed") @instead("Use state: absent.")
forbid (principal, action in Action::"ssh", resource)
when { context.programs.contains("rm") && !(context.command like "*/ansible-tmp-*") };
@id("agents-run-no-modules") @reason("modules are programs that nobody reads") @instead("Use raw with the command itself.")
forbid (principal, action == Action::"ssh.input", resource) when { principal.kind == "agent" };
@id("not-for-mallory") @reason("mallory is known")
forbid (principal, action == Action::"session.open", resource) when { principal.subject == "mallory" };
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    subprocess.run([str(ROOT / "scripts/drivers"), "ansible"], check=True, capture_output=True)
    with ring_gateway(tmp_path_factory.mktemp("ssh"), world, host, policies={"ansible": RULES}) as gateway:
        yield gateway


@pytest.fixture
def sockets() -> Iterator[Path]:
    """Where connections that are shared have their sockets; they are ended with the test, as they would be in a minute."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        for one in Path(folder).iterdir():
            argv = [program("ssh"), "-F", "/dev/null", "-o", f"ControlPath={one}", "-O", "exit", "web1"]
            subprocess.run(argv, check=True, capture_output=True, timeout=SECONDS)


def ansible(web1: Hosted, sockets: Path, *tasks: dict[str, Any], pipelining: bool = True, **inventory: Any) -> str:
    """What Ansible prints of a playbook with these tasks; it goes on where one fails."""
    play = {"hosts": "all", "gather_facts": False, "ignore_errors": True, "ignore_unreachable": True, "tasks": tasks}
    book, hosts = web1.folder / "play.json", web1.folder / "hosts.json"
    book.write_text(json.dumps([play]))
    hosts.write_text(json.dumps({"all": {"hosts": {"web1": inventory}}}))
    settings = {
        "ANSIBLE_HOME": str(web1.folder / "ansible"),
        "ANSIBLE_PIPELINING": str(pipelining),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_REMOTE_TMP": str(web1.folder / "there"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        "ANSIBLE_STDOUT_CALLBACK": "minimal",
        "HOME": str(web1.folder),
        "LC_ALL": "C.UTF-8",
        "PATH": os.environ["PATH"],
    }
    argv = [str(ROOT / ".cache/drivers/ansible/bin/ansible-playbook"), "-i", str(hosts), str(book)]
    return subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=2 * SECONDS).stdout


def by_certificate(web1: Hosted, **claims: Any) -> dict[str, Any]:
    """What an inventory says of a host that is reached by `gatebook ssh-config`; a deployer's job where nobody is named."""
    who = {"sub": "deployer", "kind": "ci", **claims}
    return {"ansible_ssh_common_args": f"-F {web1.certified(token=web1.gateway.mint(**who))}/config"}


def by_token(web1: Hosted, **who: str) -> dict[str, Any]:
    """The same of one that is reached by a token."""
    return {
        "ansible_host": "127.0.0.1", "ansible_port": web1.gateway.ssh_port, "ansible_user": "web1",
        "ansible_password": web1.gateway.mint(**who),
        "ansible_ssh_common_args": f"-F /dev/null -o UserKnownHostsFile={web1.known_hosts}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pipelining", "verbs"),
    [
        (True, {"ssh.exec", "ssh.input"}),
        (False, {"ssh.exec", "ssh.shell", "ssh.sftp", "ssh.sftp.stat", "ssh.sftp.write"}),
    ],
)
def test_a_playbook_runs_on_one_connection(web1: Hosted, sockets: Path, pipelining: bool, verbs: set[str]) -> None:
    (web1.folder / "from").write_text("as it was\n")
    (web1.folder / "greeting.j2").write_text("hello {{ name }}\n")
    said = ansible(
        web1,
        sockets,
        {"ping": {}},
        {"command": "uptime"},
        {"copy": {"src": str(web1.folder / "from"), "dest": str(web1.folder / "to")}},
        {"template": {"src": str(web1.folder / "greeting.j2"), "dest": str(web1.folder / "greeting")}, "vars": {"name": "ada"}},
        {"setup": {"gather_subset": "!all,!min,distribution"}},
        pipelining=pipelining,
        **by_certificate(web1),
    )
    assert [said.count(word) for word in ("FAILED", "UNREACHABLE", '"ping": "pong"', "load average")] == [0, 0, 1, 1], said
    assert '"ansible_distribution"' in said
    assert ((web1.folder / "to").read_text(), (web1.folder / "greeting").read_text()) == ("as it was\n", "hello ada\n")
    actions = web1.actions(ended=False)
    assert verbs <= {one["verb"] for one in actions}
    assert {one["ruling"] for one in actions} == {"allow"}
    told = {one["reach"] for one in actions if sys.executable in one["text"]}
    assert told == {"unknown"}, "nobody reads what a module does"


def test_a_token_is_ansibles_password(web1: Hosted, sockets: Path) -> None:
    assert '"ping": "pong"' in ansible(web1, sockets, {"ping": {}}, **by_token(web1, sub="deployer", kind="ci"))


def test_a_refused_command_fails_its_task_with_the_reason(web1: Hosted, sockets: Path) -> None:
    said = ansible(web1, sockets, {"raw": f"rm {web1.folder}/hosts.json"}, {"raw": "echo went on"}, **by_certificate(web1))
    assert "web1 | FAILED | rc=77 >>" in said
    assert "gatebook: blocked by no-rm-by-hand: nothing is removed" in said
    assert '"instead": "Use state: absent."' in said
    assert "went on" in said
    assert (web1.folder / "hosts.json").exists()


def test_modules_that_rules_refuse_fail_with_the_reason_and_do_nothing(web1: Hosted, sockets: Path) -> None:
    made = web1.folder / "made"
    agent = by_certificate(web1, sub="agent-7", kind="agent")
    said = ansible(web1, sockets, {"file": {"path": str(made), "state": "directory"}}, {"raw": "echo by hand"}, **agent)
    assert "web1 | FAILED" in said
    assert "gatebook: blocked by agents-run-no-modules: modules are programs that nobody reads" in said
    assert "by hand" in said
    assert not made.exists()


def test_whoever_may_not_open_the_host_finds_it_unreachable_and_is_told_why(web1: Hosted, sockets: Path) -> None:
    said = ansible(web1, sockets, {"raw": "uptime"}, **by_token(web1, sub="mallory", kind="ci"))
    assert "web1 | UNREACHABLE!" in said
    assert "gatebook: blocked by not-open-to-you" in said
