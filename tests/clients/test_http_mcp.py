"""The SDK that agents are built with, through the gateway to a server that has all that MCP has."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import answers, free_port, wait_until

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
SERVER = ROOT / ".cache/drivers/mcp/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
READS = "echo get-sum trigger-long-running-operation trigger-sampling-request toggle-simulated-logging".split()
CARD = "4111 1111 1111 1111"
RULES = """
@id("no-images")
@reason("agents need no images")
forbid (principal, action == Action::"mcp.call", resource == Tool::"everything/get-tiny-image");
"""


@dataclass
class Everything:
    """The server, as a process; what it says of its sessions."""

    port: int
    log: Path

    def said(self, text: str) -> int:
        return self.log.read_text().count(text)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    subprocess.run([str(ROOT / "scripts/drivers"), "mcp"], check=True, capture_output=True)
    made = Everything(free_port(), tmp_path_factory.mktemp("everything") / "log")
    argv = ["node", str(SERVER), "streamableHttp"]
    with made.log.open("wb") as log, subprocess.Popen(
        argv, env={**os.environ, "PORT": str(made.port)}, stdout=log, stderr=log
    ) as running:  # fmt: skip
        assert wait_until(lambda: answers(made.port), 60)
        yield made
        running.kill()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], everything: Everything) -> LiveGateway:
    target = {
        "name": "everything", "protocol": "http", "origins": [f"http://127.0.0.1:{everything.port}"],
        "default_role": "agent", "roles": {"agent": {}}, "mcp": {"paths": ["/mcp"], "reads": READS},
    }  # fmt: skip
    return new_gateway(apis=[target], policies={"mcp": RULES})


@asynccontextmanager
async def connected(door: LiveGateway, fields: dict[str, str] | None = None, **callbacks: Any) -> AsyncIterator[ClientSession]:
    trust = ssl.create_default_context(cafile=str(door.world.authority.path))
    headers = {"Authorization": f"Bearer {door.mint()}", **(fields or {})}
    url = f"{door.http_url}/everything/mcp"
    async with (
        httpx2.AsyncClient(headers=headers, verify=trust, trust_env=False, timeout=60) as client,
        streamable_http_client(url, http_client=client) as streams,
        ClientSession(streams[0], streams[1], **callbacks) as session,
    ):
        await session.initialize()
        yield session


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(90):
            await story()

    asyncio.run(limited())


def told(result: Any) -> str:
    return "".join(getattr(part, "text", "") for part in result.content)


def rulings(door: LiveGateway) -> list[str]:
    return [one["ruling"] for one in door.entries("action") if one["verb"] == "mcp.call"]


def test_an_agent_sees_and_calls_the_tools_that_rules_let_it(door: LiveGateway) -> None:
    async def story() -> None:
        async with connected(door) as session:
            listed = {tool.name for tool in (await session.list_tools()).tools}
            assert {"echo", "get-sum"} <= listed
            assert "get-env" in listed, "people may say yes to it"
            assert "get-tiny-image" not in listed, "no rule lets it call this"
            assert told(await session.call_tool("echo", {"message": "hi"})) == "Echo: hi"
            assert "5" in told(await session.call_tool("get-sum", {"a": 2, "b": 3}))

    run(story)
    assert rulings(door) == ["allow", "allow"]
    assert [one["masked"].get("tool") for one in door.entries("answer") if one.get("masked")] == [1]


def test_a_refused_tool_is_told_to_the_agent_and_its_session_goes_on(door: LiveGateway) -> None:
    async def story() -> None:
        async with connected(door) as session:
            refused = await session.call_tool("get-tiny-image", {})
            assert refused.is_error
            assert "agents need no images" in told(refused)
            assert "no-images" in told(refused)
            assert told(await session.call_tool("echo", {"message": "still here"})) == "Echo: still here"

    run(story)
    assert rulings(door) == ["block", "allow"]


def test_a_held_call_passes_once_when_the_agent_calls_again_after_a_yes(door: LiveGateway) -> None:
    async def story() -> None:
        async with connected(door) as session:
            held = await session.call_tool("get-structured-content", {"location": "Chicago"})
            assert held.is_error
            refusal = (held.meta or {})["gatebook/refusal"]
            assert (refusal["class"], refusal["rule"]) == ("wait", "tool-needs-dba")
            await asyncio.to_thread(vote, door, refusal["approval"])
            other = await session.call_tool("get-structured-content", {"location": "New York"})
            assert (other.meta or {})["gatebook/refusal"]["class"] == "wait", "people said yes to other arguments"
        async with connected(door) as session:  # an agent that was started again, with a session of its own
            passed = await session.call_tool("get-structured-content", {"location": "Chicago"})
            assert not passed.is_error
            assert "temperature" in told(passed)
            again = await session.call_tool("get-structured-content", {"location": "Chicago"})
            assert again.is_error, "a yes is good once"

    run(story)
    assert rulings(door) == ["approve", "approve", "approve", "allow", "approve"], "asked, another asked, found, let go, asked"


def test_an_agent_that_says_so_waits_in_its_call(door: LiveGateway) -> None:
    async def story() -> None:
        async with connected(door, {"Gatebook-Hold": "wait"}) as session:
            async with asyncio.TaskGroup() as tasks:
                call = tasks.create_task(session.call_tool("get-structured-content", {"location": "Los Angeles"}))
                waiting = await asyncio.to_thread(asked, door)
                assert told(await session.call_tool("echo", {"message": "meanwhile"})) == "Echo: meanwhile"
                await asyncio.to_thread(vote, door, waiting)
            assert not call.result().is_error

    run(story)


def test_what_a_tool_tells_is_covered(door: LiveGateway) -> None:
    async def story() -> None:
        async with connected(door) as session:
            said = told(await session.call_tool("echo", {"message": f"card {CARD}"}))
            assert said.startswith("Echo: card ")
            assert CARD not in said

    run(story)
    assert CARD.encode() not in door.book_bytes()
    masked = [one["masked"] for one in door.entries("answer") if one.get("masked")]
    assert {"card": 1} in masked


def test_progress_and_notifications_come_while_a_tool_works(door: LiveGateway) -> None:
    steps: list[float] = []
    noted = asyncio.Event()

    async def progress(done: float, _total: float | None, _message: str | None) -> None:
        steps.append(done)

    async def log(_params: types.LoggingMessageNotificationParams) -> None:
        noted.set()

    async def story() -> None:
        async with connected(door, logging_callback=log) as session:
            await session.call_tool("toggle-simulated-logging", {})
            long = await session.call_tool(
                "trigger-long-running-operation", {"duration": 1, "steps": 4}, progress_callback=progress
            )
            assert "completed" in told(long)
            await noted.wait()  # by the stream of a GET, which stays open

    run(story)
    assert steps == [1, 2, 3, 4]


def test_a_server_asks_its_client_in_the_middle_of_a_call(door: LiveGateway) -> None:
    async def sample(_context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        (message,) = params.messages
        text = f"I read: {getattr(message.content, 'text', '')}"
        return types.CreateMessageResult(role="assistant", model="none", content=types.TextContent(type="text", text=text))

    async def story() -> None:
        async with connected(door, sampling_callback=sample) as session:
            assert "trigger-sampling-request" in {tool.name for tool in (await session.list_tools()).tools}
            said = told(await session.call_tool("trigger-sampling-request", {"prompt": "well?", "maxTokens": 10}))
            assert "I read:" in said
            assert "well?" in said

    run(story)


def test_prompts_and_resources_are_read_and_stand_in_the_book(door: LiveGateway) -> None:
    async def story() -> None:
        async with connected(door) as session:
            assert "simple-prompt" in {prompt.name for prompt in (await session.list_prompts()).prompts}
            assert (await session.get_prompt("simple-prompt")).messages
            resources = (await session.list_resources()).resources
            assert (await session.read_resource(str(resources[0].uri))).contents

    run(story)
    verbs = [one["verb"] for one in door.entries("action")]
    assert {"mcp.list", "mcp.prompt", "mcp.read"} <= set(verbs)


def test_an_agent_ends_its_session_at_the_server(door: LiveGateway, everything: Everything) -> None:
    ended = everything.said("Received session termination request")

    async def story() -> None:
        async with connected(door) as session:
            await session.send_ping()

    run(story)
    assert wait_until(lambda: everything.said("Received session termination request") == ended + 1, 10)
    last = door.entries("action")[-1]
    assert (last["text"], last["verb"]) == ("DELETE /mcp", "mcp.session")


def vote(door: LiveGateway, approval: str) -> None:
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    said = door.send("POST", f"/api/v1/approvals/{approval}/vote", dana, {"verdict": "approve", "reason": "OPS-7"})
    assert said.status_code == 200, said.text


def asked(door: LiveGateway) -> str:
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    found: list[str] = []

    def look() -> bool:
        found[:] = [one["id"] for one in door.api("/api/v1/approvals", dana).json()["approvals"]]
        return bool(found)

    assert wait_until(look, 20)
    return found[0]
