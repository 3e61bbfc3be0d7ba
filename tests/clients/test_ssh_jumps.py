"""``ssh -J`` through the gateway: what answers is the gateway, as the target it was asked for, and never a tunnel."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, program

from gatebook.identity.tokens import digest_of

pytestmark = pytest.mark.real

RULES = """
@id("no-web2") @reason("web2 is for nobody") forbid (principal, action == Action::"session.open", resource == Target::"web2");
@id("no-rm") @reason("nothing is removed") forbid (principal, action in Action::"ssh", resource)
when { context.programs.contains("rm") };
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    hosts = [host.target(), host.target(name="web2")]
    with ring_gateway(tmp_path_factory.mktemp("ssh"), world, host, hosts=hosts, policies={"jumps": RULES}) as gateway:
        yield gateway


@pytest.fixture
def web1(door: LiveGateway, host: Host, tmp_path: Path) -> Hosted:
    made = Hosted(door, host, tmp_path)
    authority = made.known_hosts.read_text().replace("@cert-authority ", "@cert-authority web1,web2,shop,127.0.0.1,")
    made.known_hosts.write_text(authority)
    return made


def jump(web1: Hosted, *words: str, outer: str = "jump", token: str | None = None) -> subprocess.CompletedProcess[bytes]:
    """ssh -J, where both ends trust the gateway's authority and the outer one is asked for the token."""
    config = web1.folder / "config"
    known = f"UserKnownHostsFile {web1.known_hosts}\nStrictHostKeyChecking yes\nIdentityAgent none\nIdentityFile none\n"
    hop = f"Host hop\n  HostName 127.0.0.1\n  Port {web1.gateway.ssh_port}\n  User {outer}\n"
    config.write_text(f"{known}NumberOfPasswordPrompts 1\n{hop}")
    argv = [program("ssh"), "-F", str(config), "-J", "hop", *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=web1.environment(token), timeout=SECONDS)


def test_a_jump_ends_in_the_targets_own_session(web1: Hosted) -> None:
    done = jump(web1, "deploy@web1", "echo over; exit 3")
    assert (done.returncode, done.stdout) == (3, b"over\n")
    opened = web1.gateway.entries("session.open")[-1]
    assert (opened["res"]["name"], opened["role"], opened["auth"]["by"]) == ("web1", "deploy", "token")
    assert [(one["verb"], one["status"]) for one in web1.actions()] == [("ssh.exec", "exit 3")]


def test_rules_hold_behind_a_jump_as_before_it(web1: Hosted) -> None:
    done = jump(web1, "web1@web1", "rm x")
    assert (done.returncode, b"blocked by no-rm" in done.stderr) == (77, True)


def test_a_target_that_may_not_be_opened_is_none_behind_a_jump(web1: Hosted) -> None:
    done = jump(web1, "deploy@web2", "id")
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"blocked by not-open-to-you" in done.stderr
    assert web1.gateway.entries("session.refuse")[-1]["res"]["name"] == "web2"


@pytest.mark.parametrize("user", ["root%web1", "nobody", "deploy%web2"])
def test_a_role_that_the_target_has_not_is_none(web1: Hosted, user: str) -> None:
    done = jump(web1, "-l", user, "web1", "id")
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"blocked by not-open-to-you" in done.stderr


@pytest.mark.parametrize("place", ["127.0.0.1", "shop", "nowhere"])
def test_a_jump_leads_nowhere_else(web1: Hosted, place: str) -> None:
    done = jump(web1, "-p", str(web1.host.port), f"deploy@{place}", "id")
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"a jump leads to hosts of this gateway alone" in done.stderr


def test_nothing_runs_on_the_jump_itself(web1: Hosted) -> None:
    done = web1.ssh("id", user="jump")
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"nothing runs here" in done.stderr
    assert web1.ssh("true", user="jump", options=["-R", "0:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"]).returncode == 255


def test_who_proves_nothing_does_not_jump(web1: Hosted) -> None:
    done = jump(web1, "deploy@web1", "id", token="no-token")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_a_jump_by_a_certificate_reaches_the_targets_that_it_names(web1: Hosted) -> None:
    folder = web1.certified()
    config = folder / "jumps"
    known = f"UserKnownHostsFile {web1.known_hosts}\nStrictHostKeyChecking yes\nIdentitiesOnly yes\nIdentityAgent none\n"
    keys = f"IdentityFile {folder}/id_ed25519\nCertificateFile {folder}/id_ed25519-cert.pub\n"
    config.write_text(f"{known}{keys}Host hop\n  HostName 127.0.0.1\n  Port {web1.gateway.ssh_port}\n  User jump\n")
    argv = [program("ssh"), "-F", str(config), "-o", "BatchMode=yes", "-J", "hop", "deploy@web1", "echo in"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr
    assert web1.gateway.entries("session.open")[-1]["auth"]["by"] == "certificate"


def test_a_token_that_was_revoked_meanwhile_opens_nothing_more(web1: Hosted) -> None:
    token = web1.gateway.gateway_token()
    shared = ["-o", f"ControlPath={web1.folder}/c"]
    outer = web1.open_ssh(token=token, options=["-N", "-M", *shared], user="jump")
    try:
        assert outer.poll() is None
        first = _through(web1, shared)
        assert (first.returncode, first.stdout) == (0, b"in\n"), first.stderr
        number = (digest_of(token) or b"").hex()[:16]
        answer = web1.gateway.send("DELETE", f"/api/v1/tokens/{number}", web1.gateway.mint(), {})
        assert answer.status_code == 200
        then = _through(web1, shared)
        assert (then.returncode, then.stdout) == (255, b"")
        assert "was revoked" in web1.gateway.entries("session.refuse")[-1]["reason"]
    finally:
        outer.terminate()
        outer.communicate(timeout=SECONDS)


def _through(web1: Hosted, shared: list[str]) -> subprocess.CompletedProcess[bytes]:
    """A command on web1 through an outer connection that stands."""
    options = web1.options(*shared, user="jump")
    proxy = [program("ssh"), *options, "-W", "web1:22", "127.0.0.1"]
    script = web1.folder / "proxy"
    waits = f"for i in $(seq 300); do [ -S {web1.folder}/c ] && break; sleep 0.1; done"  # until it stands
    script.write_text(f"#!/bin/sh\n{waits}\nexec {' '.join(proxy)}\n")
    script.chmod(0o700)
    argv = [
        program("ssh"), "-F", "/dev/null", "-o", f"ProxyCommand={script}", "-o", f"UserKnownHostsFile={web1.known_hosts}",
        "-o", "BatchMode=yes", "-o", "IdentityAgent=none", "deploy@web1", "echo in",
    ]  # fmt: skip
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
