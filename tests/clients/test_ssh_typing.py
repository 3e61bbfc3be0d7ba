"""A shell whose lines are decided, with real bash behind a real OpenSSH server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncssh
import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host

pytestmark = pytest.mark.real

RULES = """
@id("no-rm-lines") @reason("nothing is removed") @instead("Leave it there.")
forbid (principal, action == Action::"ssh.line", resource) when { context.programs.contains("rm") };
@id("touch-lines-need-dba") @approvers("group:dba") @reason("files are made with group dba")
forbid (principal, action == Action::"ssh.line", resource) when { context.programs.contains("touch") }
unless { context.approved };
@id("plain-lines") @reason("only lines that are written out")
forbid (principal, action == Action::"ssh.line", resource) when { context.reach == "unknown" && principal.kind == "ci" };
"""
PROMPT = "ready> "


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("ssh")
    with ring_gateway(folder, world, host, hosts=[host.target(lines="decided")], policies={"lines": RULES}) as gateway:
        yield gateway


class Shell:
    """A person at a terminal, who waits for the prompt."""

    def __init__(self, process: asyncssh.SSHClientProcess[str]) -> None:
        self.process, self.said = process, ""

    async def until(self, text: str, times: int = 1) -> str:
        """What came until this did."""
        async with asyncio.timeout(SECONDS):
            while self.said.count(text) < times:
                piece = await self.process.stdout.read(4_096)
                assert piece, self.said
                self.said += piece
        said, self.said = self.said, ""
        return said

    async def told(self, text: str) -> str:
        """What came on stderr until this did."""
        said = ""
        async with asyncio.timeout(SECONDS):
            while text not in said:
                said += await self.process.stderr.read(4_096)
        return said

    def type(self, keys: str) -> None:
        self.process.stdin.write(keys)

    async def run(self, line: str) -> str:
        self.type(f"{line}\r")
        return await self.until(PROMPT)


@asynccontextmanager
async def shell(web1: Hosted, token: str | None = None) -> AsyncIterator[Shell]:
    async with asyncssh.connect(
        "127.0.0.1", web1.gateway.ssh_port, username="web1", password=token or web1.gateway.mint(),
        known_hosts=str(web1.known_hosts), config=None, agent_path=None, client_keys=None,
    ) as connection:  # fmt: skip
        command = f"env HISTFILE=/dev/null PS1='{PROMPT}' bash --norc --noprofile -i"
        process = await connection.create_process(command, term_type="xterm", term_size=(120, 30))
        found = Shell(process)
        await found.until(PROMPT)
        yield found
        process.close()


def lines(web1: Hosted) -> list[tuple[str, str]]:
    return [(one["text"], one["ruling"]) for one in web1.actions() if one["verb"] == "ssh.line"]


async def test_lines_are_actions_and_a_refused_one_is_not_run(web1: Hosted) -> None:
    precious = web1.folder / "precious"
    precious.touch()
    async with shell(web1) as at:
        assert (await at.run("echo hello")).count("hello\r\n") == 2
        at.type(f"rm {precious}\r")
        assert "blocked by no-rm-lines: nothing is removed" in await at.told("no-rm-lines")
        await at.until(PROMPT)
        assert (await at.run("echo still here")).count("still here\r\n") == 2
    assert precious.exists()
    assert ("echo hello", "allow") in lines(web1)
    assert (f"rm {precious}", "block") in lines(web1)


async def test_a_line_of_the_history_and_a_completed_one_are_decided_too(web1: Hosted) -> None:
    (web1.folder / "precious").touch()
    async with shell(web1) as at:
        await at.run(f"cd {web1.folder}")
        await at.run("history -s rm precious")
        at.type("\x1b[A")
        await at.until("rm precious")
        at.type("\r")
        assert "blocked by no-rm-lines" in await at.told("no-rm-lines")
        await at.until(PROMPT)
        at.type("rm pre\t")
        await at.until("cious ")
        at.type("\r")
        assert "blocked by no-rm-lines" in await at.told("no-rm-lines")
        await at.until(PROMPT)
    assert (web1.folder / "precious").exists()


async def test_a_paste_of_many_lines_is_decided_line_by_line(web1: Hosted) -> None:
    (web1.folder / "precious").touch()
    async with shell(web1) as at:
        at.type(f"echo one\rrm {web1.folder}/precious\recho two\r")
        await at.told("no-rm-lines")
        await at.until(PROMPT, 2)
        at.type(f"\x1b[200~echo three\rrm {web1.folder}/precious\recho four\x1b[201~\r")
        await at.told("no-rm-lines")
        await at.until(PROMPT, 2)
        await at.run("echo end")
    assert (web1.folder / "precious").exists()
    assert [text for text, ruling in lines(web1) if ruling == "allow"] == ["echo one", "echo three", "echo end"]


async def test_a_held_line_runs_after_the_yes_and_an_interrupt_withdraws_one(web1: Hosted) -> None:
    made = web1.folder / "made"
    async with shell(web1) as at:
        at.type(f"touch {made}\r")
        assert "held by touch-lines-need-dba" in await at.told("touch-lines-need-dba")
        assert not made.exists()
        seen = await asyncio.to_thread(web1.approve)
        await at.until(PROMPT)
        assert made.exists()
        assert seen.endswith(f"typed at a terminal:\ntouch {made}")
        at.type(f"touch {made}2\r")
        await at.told("touch-lines-need-dba")
        at.type("\x03")
        await at.until(PROMPT)
        assert (await at.run("echo goes on")).count("goes on\r\n") == 2
    assert not (web1.folder / "made2").exists()


async def test_what_is_typed_unseen_is_decided_as_such_and_stands_nowhere(web1: Hosted) -> None:
    async with shell(web1) as at:
        at.type("read -s x; echo got ${#x} characters\r")
        await at.until("\r\n")
        at.type("hunter2-secret\r")
        assert "got 14 characters" in await at.until(PROMPT)
    assert ("(a line: the terminal does not show what was typed)", "allow") in lines(web1)
    latest = web1.gateway.sessions()[0]["id"]
    assert "hunter2-secret" not in web1.gateway.replay("replay", latest).output
    assert b"hunter2-secret" not in web1.gateway.book_bytes()


async def test_rules_may_ask_for_lines_that_can_be_read(web1: Hosted) -> None:
    async with shell(web1, web1.gateway.mint(sub="job-1", kind="ci")) as at:
        assert (await at.run("echo fine")).count("fine\r\n") == 2
        at.type("echo $(id -u)\r")
        assert "blocked by plain-lines" in await at.told("plain-lines")
        await at.until(PROMPT)
        at.type("\x12")
        assert "blocked by plain-lines" in await at.told("plain-lines")


@pytest.mark.parametrize("keys", ["\x1b1\x1b#", "\x18\x05", "\x0f"])
async def test_a_key_that_would_run_a_line_by_itself_waits_for_its_decision(web1: Hosted, keys: str) -> None:
    made = web1.folder / "made-by-keys"
    async with shell(web1, web1.gateway.mint(sub="job-1", kind="ci")) as at:
        await at.run("echo fine")
        at.type(f"#: > {made}" if "#" in keys else f": > {made}")
        await at.until(made.name)
        at.type(keys)
        assert "blocked by plain-lines" in await at.told("plain-lines")
        await at.until(PROMPT)
        assert (await at.run("echo more")).count("more\r\n") == 2
    assert not made.exists()


def test_a_shell_without_a_terminal_is_none_where_lines_are_decided(web1: Hosted) -> None:
    done = web1.ssh(stdin=b"echo ran\n")
    assert (done.returncode, done.stdout) == (77, b"")
    assert b"lines of shells are decided here" in done.stderr
