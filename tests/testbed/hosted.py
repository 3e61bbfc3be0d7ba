"""A gateway in front of a real host, and OpenSSH's clients as their users start them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosts import Host, program

from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.processes import wait_until
from gatebook.cli.demo.world import clean_environment, gatebook_command

SECONDS = 60.0  # for a command of a test, on a busy machine
RULES = """
@id("no-rm") @reason("nothing is removed") @instead("Leave it there.") forbid (principal, action in Action::"ssh", resource)
when { context.programs.contains("rm") };
@id("no-scripts") @reason("scripts stand in files") forbid (principal, action == Action::"ssh.input", resource)
when { context.programs.contains("perl") };
@id("touch-needs-dba") @approvers("group:dba") @reason("files are made with group dba")
forbid (principal, action in Action::"ssh", resource) when { context.programs.contains("touch") } unless { context.approved };
@id("shells-of-ci") @reason("jobs have no shells") forbid (principal, action == Action::"ssh.shell", resource)
when { principal.kind == "ci" };
"""


class Hosted:
    """What tests of SSH share."""

    def __init__(self, gateway: LiveGateway, host: Host, folder: Path) -> None:
        self.gateway, self.host, self.folder = gateway, host, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.asked = folder / "askpass"
        self.asked.write_text('#!/bin/sh\nprintf %s "$TEST_TOKEN"\n')
        self.asked.chmod(0o700)
        self.known_hosts = folder / "known_hosts"
        key = gateway.home / "keys" / "ssh_host_authority"
        made = subprocess.run([program("ssh-keygen"), "-y", "-f", str(key)], check=True, capture_output=True, text=True)
        self.known_hosts.write_text(f"@cert-authority [127.0.0.1]:{gateway.ssh_port} {made.stdout}")

    def options(self, *more: str, user: str = "web1") -> list[str]:
        given = {
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "IdentityAgent": "none",
            "IdentitiesOnly": "yes",
            "NumberOfPasswordPrompts": "1",
            "ConnectTimeout": "20",
            "User": user,
            "Port": str(self.gateway.ssh_port),
        }
        return ["-F", "/dev/null", *(word for name, value in given.items() for word in ("-o", f"{name}={value}")), *more]

    def environment(self, token: str | None = None) -> dict[str, str]:
        held = self.gateway.mint() if token is None else token
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return kept | {"TEST_TOKEN": held, "SSH_ASKPASS": str(self.asked), "SSH_ASKPASS_REQUIRE": "force"}

    def ssh(
        self, *command: str, stdin: bytes = b"", token: str | None = None, options: Sequence[str] = (), user: str = "web1"
    ) -> subprocess.CompletedProcess[bytes]:
        """ssh to its end."""
        argv = [program("ssh"), *self.options(*options, user=user), "127.0.0.1", *command]
        return subprocess.run(argv, input=stdin, capture_output=True, env=self.environment(token), timeout=SECONDS)

    def open_ssh(
        self, *command: str, token: str | None = None, options: Sequence[str] = (), user: str = "web1"
    ) -> subprocess.Popen[bytes]:
        """An ssh that stays open."""
        argv = [program("ssh"), *self.options(*options, user=user), "127.0.0.1", *command]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment(token))

    def gatebook(self, *arguments: str, token: str | None = None, **more: str) -> Answer:
        """The `gatebook` command as somebody runs it who has a token."""
        settings = {
            **clean_environment(),
            "GATEBOOK_URL": f"https://127.0.0.1:{self.gateway.api_port}",
            "GATEBOOK_CA": str(self.gateway.world.authority.path),
            "GATEBOOK_TOKEN": self.gateway.mint() if token is None else token,
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            **more,
        }
        return run([*gatebook_command(), *arguments], settings)

    def certified(self, *more: str, token: str | None = None) -> Path:
        """A folder with a key, its certificate and a configuration of OpenSSH, as `gatebook ssh-config` makes it."""
        folder = self.folder / "identity"
        answer = self.gatebook("ssh-config", "--folder", str(folder), *more, token=token)
        assert answer.status == 0, answer.output
        return folder

    def by_name(self, *words: str, folder: Path, client: str = "ssh", stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A client of OpenSSH with that configuration and nothing else: nobody can be asked for anything."""
        argv = [program(client), "-F", str(folder / "config"), "-o", "BatchMode=yes", *words]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return subprocess.run(argv, input=stdin, capture_output=True, env=kept, timeout=SECONDS)

    def actions(self, *, ended: bool = True) -> list[dict[str, Any]]:
        """The actions of the latest session with their answers where they came; ``ended``: once it is closed in the book."""
        sid = self.gateway.entries("session.open")[-1]["sid"]
        if ended:
            assert wait_until(lambda: sid in [one["sid"] for one in self.gateway.entries("session.close")], SECONDS)
        entries = self.gateway.entries("action", "answer")
        answers = {one["action"]: one["status"] for one in entries if one["type"] == "answer" and one["sid"] == sid}
        found = [one for one in entries if one["type"] == "action" and one["sid"] == sid]
        return [one | {"status": answers.get(one["action"])} for one in found]

    def approve(self, approved: bool = True) -> str:
        """Decide what is held next, as somebody of group dba; the text that they saw."""
        token = self.gateway.mint(sub="dana", kind="person", groups=["dba"])
        found: list[dict[str, Any]] = []

        def held() -> bool:
            found[:] = self.gateway.api("/api/v1/approvals?state=open", token).json()["approvals"]
            return bool(found)

        assert wait_until(held, SECONDS)
        path = f"/api/v1/approvals/{found[0]['id']}"
        shown = self.gateway.api(path, token).json()
        word = {"verdict": "approve" if approved else "deny", "reason": "for a test", "digest": shown["digest"]}
        answer = self.gateway.send("POST", f"{path}/vote", token, word)
        assert answer.status_code == 200, answer.text
        return str(shown["text"])


def gathered(process: subprocess.Popen[bytes]) -> tuple[Callable[[], bytes], threading.Thread]:
    """What a process wrote on stdout so far, while it is read."""
    said = bytearray()

    def read() -> None:
        assert process.stdout is not None
        while data := os.read(process.stdout.fileno(), 65_536):
            said.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    return lambda: bytes(said), thread


@contextmanager
def ring_gateway(folder: Path, world: World, host: Host, **options: Any) -> Iterator[LiveGateway]:
    """A gateway whose target is the host; at its end its book is whole and its log without tracebacks."""
    settings: dict[str, Any] = {"hosts": [host.target()], "policies": {"hosts": RULES}, "allows_all": True, **options}
    gateway = LiveGateway(folder, world, **settings).start()
    yield gateway
    assert gateway.stop() == 0, gateway.log
    assert "Traceback" not in gateway.log
    gateway.verified()
