"""Agents of keys with OpenSSH's clients: what rules open, a host may have signed; nothing else passes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, make_key, program

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

RULES = """
@id("agents-of-people-alone") @reason("keys are lent by people alone") @instead("Use a key of the host's own.")
forbid (principal, action == Action::"ssh.agent", resource) when { principal.kind == "agent" };
@id("no-sockets") forbid (principal, action == Action::"ssh.forward", resource);
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    hosts = [host.target(forwards=["agent"]), host.target(name="closed", forwards=["local", "remote"])]
    folder = tmp_path_factory.mktemp("ssh")
    with ring_gateway(folder, world, host, hosts=hosts, policies={"agents": RULES}) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of somebody's agent, with one key; its public half lies beside it."""
    folder = tmp_path_factory.mktemp("agent")
    socket, key = folder / "socket", folder / "key"
    subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with subprocess.Popen([program("ssh-agent"), "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as running:
        assert wait_until(socket.exists, SECONDS)
        settings = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run([program("ssh-add"), "-q", str(key)], env=settings, check=True)
        yield socket
        running.terminate()


def lent(
    web1: Hosted, agent: Path, command: str, *, kind: str = "person", user: str = "web1"
) -> subprocess.CompletedProcess[bytes]:
    options = [one.replace("IdentityAgent=none", f"IdentityAgent={agent}") for one in web1.options("-A", user=user)]
    argv = [program("ssh"), *options, "127.0.0.1", command]
    environment = web1.environment(web1.gateway.mint(sub="ada", kind=kind))
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=SECONDS)


def fingerprint(agent: Path) -> str:
    told = subprocess.run([program("ssh-keygen"), "-l", "-f", str(agent.with_name("key.pub"))], check=True, capture_output=True)
    return told.stdout.decode().split()[1]


def test_keys_are_listed_and_sign_what_is_ssh_and_the_recording_says_for_what(web1: Hosted, agent: Path) -> None:
    (web1.folder / "commit").write_text("what is signed\n")
    key = agent.with_name("key.pub")
    sign = f"{program('ssh-keygen')} -Y sign -n git -f {key} {web1.folder}/commit"
    done = lent(web1, agent, f"{program('ssh-add')} -l; {sign}")
    assert done.returncode == 0, done.stderr
    assert fingerprint(agent).encode() in done.stdout
    assert (web1.folder / "commit.sig").read_text().startswith("-----BEGIN SSH SIGNATURE-----")
    asked, _ = web1.actions()
    assert [asked[name] for name in ("verb", "reach", "ruling", "text")] == [
        "ssh.agent",
        "unknown",
        "allow",
        "use of the agent of keys",
    ]
    assert re.fullmatch(r"closed: \d connections, 1 signatures, 0 requests refused", asked["status"])
    said = web1.gateway.replay("replay", web1.gateway.sessions()[0]["id"]).output
    assert f"keys: {fingerprint(agent)}" in said
    assert f"signed by {fingerprint(agent)}: a signature for git" in said


def test_a_host_logs_in_further_by_it(web1: Hosted, agent: Path) -> None:
    authorized = Path(f"{web1.host.client_key}.pub")
    before = authorized.read_text()
    authorized.write_text(before + agent.with_name("key.pub").read_text())
    try:
        hop = f"{program('ssh')} -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes"
        done = lent(web1, agent, f"{hop} -p {web1.host.port} {web1.host.user}@127.0.0.1 echo there")
    finally:
        authorized.write_text(before)
    assert done.stdout == b"there\n", done.stderr
    web1.actions()
    said = web1.gateway.replay("replay", web1.gateway.sessions()[0]["id"]).output
    assert f"signed by {fingerprint(agent)}: a login as {web1.host.user} at the host with SHA256:" in said


@pytest.mark.parametrize("command", ["ssh-add -D", "ssh-add -x", "ssh-add {folder}/mine"])
def test_a_host_changes_nothing_in_it(web1: Hosted, agent: Path, command: str) -> None:
    make_key(web1.folder / "mine")
    done = lent(web1, agent, f"SSH_ASKPASS=/bin/true SSH_ASKPASS_REQUIRE=force {command.format(folder=web1.folder)}")
    assert done.returncode != 0
    assert lent(web1, agent, "ssh-add -l").stdout.count(b"SHA256:") == 1


def test_who_may_not_hears_why_and_goes_on_without(web1: Hosted, agent: Path) -> None:
    done = lent(web1, agent, "echo went on; env", kind="agent")
    assert b"gatebook: blocked by agents-of-people-alone: keys are lent by people alone" in done.stderr
    assert b"went on" in done.stdout
    assert b"SSH_AUTH_SOCK" not in done.stdout
    assert [(one["verb"], one["ruling"], one["status"]) for one in web1.actions()] == [
        ("ssh.agent", "block", None),
        ("ssh.exec", "allow", "exit 0"),
    ]


def test_what_the_target_does_not_list_is_written_down_and_no_rule_is_asked(web1: Hosted, agent: Path) -> None:
    done = lent(web1, agent, "env", user="closed")
    assert (done.returncode, done.stderr, b"SSH_AUTH_SOCK" in done.stdout) == (0, b"", False)
    assert {(one["verb"], one["rule"]) for one in web1.actions()} == {
        ("ssh.agent", "not-passed-on"),
        ("ssh.exec", "everything"),
    }


def test_who_does_not_lend_it_has_none(web1: Hosted) -> None:
    assert b"SSH_AUTH_SOCK" not in web1.ssh("env").stdout
