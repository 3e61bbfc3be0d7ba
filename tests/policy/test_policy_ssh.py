"""The starter rules for SSH, and ``gatebook policy`` on commands for a host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.config.test_config_ssh import KEY
from tests.config.written import WHOLE
from tests.policy.parties import action, at, identity
from tests.policy.place import DEMO, placed, run

from gatebook.model import Deed, Reach, Resource, Ruling, Target
from gatebook.policy.decide import decide
from gatebook.policy.rules import load
from gatebook.protocols.ssh.verbs import FACTS, VERBS

CASES = Path(__file__).with_name("ssh-cases.yaml")
STANDING = "agents.cedar"
RULES = load({path.name: path.read_text("utf-8") for path in DEMO.glob("*.cedar") if path.name != STANDING})
WEB1 = Target(name="web1", protocol="ssh", address="web1:22", labels={"env": "test"})
HOSTS = "".join(
    f"  - {{name: {name}, protocol: ssh, address: '{name}:22', host_keys: ['{KEY}'], roles: {{deploy: {{password: env:P}}}},"
    f" default_role: deploy, labels: {{env: {env}}}}}\n"
    for name, env in (("web1", "test"), ("prod1", "production"))
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    found = placed(tmp_path)
    (tmp_path / "policies" / STANDING).unlink()
    text = WHOLE.replace("policy:", f"{HOSTS}policy:", 1)
    found.write_text(text.replace("  api: {bind", "  ssh: {bind: 127.0.0.1:12222}\n  api: {bind", 1))
    return found


def test_the_table_of_the_starter_rules_for_hosts_holds(config: Path) -> None:
    result = run(config, "test", str(CASES))
    assert result.exit_code == 0, result.output


def test_explaining_a_command_says_what_it_was_read_as(config: Path) -> None:
    result = run(config, "explain", "--target", "web1", "--as", "agent", "--granted", "write", "--json", "sudo ls")
    found = json.loads(result.stdout)
    assert (found["verb"], found["reach"], found["ruling"]) == ("ssh.exec", "unknown", "approve")
    assert found["facts"]["programs"] == ["sudo"]
    assert found["facts"]["user"] == "deploy"


def test_explaining_it_in_words_tells_only_facts_that_say_something(config: Path) -> None:
    said = " ".join(run(config, "explain", "--target", "web1", "--as", "agent", "uptime").stdout.split())
    assert "ssh.exec (write) on target: block by no-rule" in said
    assert "programs uptime" in said
    assert "subsystem" not in said


def ruled(verb: str, reach: Reach, granted: Reach | None, **facts: object) -> Ruling:
    told: Any = {**FACTS, **facts}
    deed = Deed(verb=verb, reach=reach, resource=Resource(kind="target", name=""), facts=told)
    around = at(granted=granted)
    return decide(
        RULES, identity=identity(), target=WEB1, action=action(deed), circumstances=around, masks=frozenset()
    ).verdict.ruling


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("reach", Reach)
def test_nothing_reaches_a_host_without_a_grant(verb: str, reach: Reach) -> None:
    assert ruled(verb, reach, None) is Ruling.BLOCK


@pytest.mark.parametrize("verb", VERBS)
def test_what_cannot_be_told_waits_or_does_not_pass(verb: str) -> None:
    asked = {"ssh.exec", "ssh.input", "ssh.shell", "ssh.line", "ssh.upload", "ssh.download"}
    assert ruled(verb, Reach.UNKNOWN, Reach.UNKNOWN) is (Ruling.APPROVE if verb in asked else Ruling.BLOCK)
    assert ruled(verb, Reach.ADMIN, Reach.READ) is Ruling.APPROVE


@pytest.mark.parametrize("path", ["/root/.ssh/id_ed25519", "/home/a/.aws/credentials", "/etc/shadow", "/proc/1/environ"])
def test_files_that_open_something_else_are_read_after_a_yes(path: str) -> None:
    assert ruled("ssh.sftp.read", Reach.READ, Reach.READ, path=path) is Ruling.APPROVE
    assert ruled("ssh.sftp.stat", Reach.READ, Reach.READ, path=path) is Ruling.ALLOW
    assert ruled("ssh.sftp.read", Reach.READ, Reach.READ, path="/srv/report.csv") is Ruling.ALLOW
