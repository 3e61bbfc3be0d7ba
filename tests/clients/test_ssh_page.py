"""docs/ssh.md, done step by step as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.testbed.gateways import LiveGateway
from tests.testbed.hosts import Host, make_key, program

from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.world import gatebook_command

pytestmark = pytest.mark.real

PAGE = (Path(__file__).parents[2] / "docs/ssh.md").read_text()
LINES = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)
EMAIL = "ada.brown@example.com"


def line(beginning: str) -> str:
    """The line of the page that begins so."""
    return next(one for one in LINES if one.startswith(beginning))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path / "host").start()
    yield host
    host.close()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], host: Host) -> LiveGateway:
    """A gateway as the page says, with the starting rules; only where the host is, its keys and its user are this machine's."""
    (target,) = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0])["targets"]
    here = host.target()
    return new_gateway(hosts=[target | {name: here[name] for name in ("address", "host_keys", "roles")}])


class Agent:
    """Somebody with a home of their own, whose ssh finds the gateway where the page has it."""

    def __init__(self, door: LiveGateway, home: Path) -> None:
        self._door, self.home = door, home
        (home / ".ssh").mkdir(parents=True)
        config = home / ".ssh" / "config"
        settings = {
            "HostName": "127.0.0.1",
            "HostKeyAlias": f"[gateway.example.org]:{door.ssh_port}",
            "UserKnownHostsFile": home / ".ssh" / "known_hosts",
            "IdentityAgent": "none",
        }
        told = "".join(f"  {name} {value}\n" for name, value in settings.items())
        config.write_text(f"Host gateway.example.org\n{told}")
        self._wrap("ssh", f'exec {program("ssh")} -F {config} "$@"')
        self._wrap("askpass", 'printf %s "$TEST_TOKEN"')
        self.token = door.mint()

    def _wrap(self, name: str, text: str) -> None:
        (self.home / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.home / name).chmod(0o700)

    def types(self, typed: str) -> Answer:
        own = {
            "HOME": str(self.home),
            "PATH": f"{self.home}:{Path(gatebook_command()[0]).parent}:/usr/bin:/bin",
            "GATEBOOK_HOME": str(self._door.home),
            "SSH_ASKPASS": str(self.home / "askpass"),
            "SSH_ASKPASS_REQUIRE": "force",
            "TEST_TOKEN": self.token,
        }
        there = typed.replace("2222", str(self._door.ssh_port)).replace("HOME/keys", f"{self._door.home}/keys")
        return run(["sh", "-c", there], own, cwd=self.home)


@pytest.fixture
def agent(door: LiveGateway, tmp_path: Path) -> Agent:
    """One who trusts the gateway as the page says."""
    agent = Agent(door, tmp_path / "home")
    assert agent.types(line("echo ")).status == 0
    return agent


def test_a_key_is_made_as_the_page_says(tmp_path: Path) -> None:
    assert run(["sh", "-c", line("ssh-keygen ")], {}, cwd=tmp_path).status == 0
    assert (tmp_path / "web1.key").read_text().startswith(make_key(tmp_path / "another").read_text().splitlines()[0])


def test_a_command_runs_and_what_it_says_is_covered(agent: Agent, door: LiveGateway, host: Host) -> None:
    assert "load average" in agent.types(line("ssh -p ")).output
    (host.folder / "customers").write_text(f"Ada, {EMAIL}\n")
    said = agent.types(line("ssh -p ").replace("uptime", f"cat {host.folder}/customers")).output
    assert said == "Ada, *********@example.com"
    assert EMAIL.encode() not in door.book_bytes()


def test_explain_says_beforehand_what_becomes_of_a_command(agent: Agent) -> None:
    told = agent.types(line("gatebook policy explain"))
    assert told.status == 0
    assert "ssh-unknown-needs-dba" in told.output


def test_a_refused_command_ends_as_the_page_says(agent: Agent, host: Host) -> None:
    disk = host.folder / "disk"
    disk.write_bytes(b"a disk")
    told = agent.types(line("ssh -p ").replace("uptime", f"wipefs --all {disk}"))
    assert "**status 77**" in PAGE
    assert told.status == 77
    assert '"rule": "ssh-no-halt"' in told.output
    assert disk.read_bytes() == b"a disk"
