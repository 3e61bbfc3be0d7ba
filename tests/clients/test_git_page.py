"""docs/git.md, done step by step as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.testbed.gateways import LiveGateway
from tests.testbed.repositories import PASSWORD, GitServer

from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.forge import surroundings
from gatebook.cli.demo.world import gatebook_command

pytestmark = pytest.mark.real

PAGE = (Path(__file__).parents[2] / "docs/git.md").read_text()
TARGETS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0]
GATEWAY = "gateway.example.org:16443"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    server = GitServer(tmp_path / "server")
    server.new("org/app")
    yield server
    server.close()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], server: GitServer, monkeypatch: pytest.MonkeyPatch) -> LiveGateway:
    """A gateway as the page says, with the starting rules; only the server's address is this machine's."""
    (target,) = yaml.safe_load(TARGETS)["targets"]
    monkeypatch.setenv("FORGE_TOKEN", PASSWORD)
    return new_gateway(apis=[target | {"origins": server.target()["origins"]}])


class Agent:
    """Somebody with a home of their own, who types what the page says."""

    def __init__(self, door: LiveGateway, home: Path) -> None:
        self._door, self.home = door, home
        home.mkdir()
        folder = Path(gatebook_command()[0]).parent
        self._own = surroundings(
            HOME=str(home),
            PATH=f"{folder}:/usr/bin:/bin",
            GIT_SSL_CAINFO=str(door.world.authority.path),
            GATEBOOK_URL=f"https://127.0.0.1:{door.api_port}",
            GATEBOOK_CA=str(door.world.authority.path),
            GATEBOOK_PROVIDER_TOKEN=door.mint(),
        )

    def types(self, line: str, folder: str = "") -> Answer:
        there = line.replace(GATEWAY, f"127.0.0.1:{self._door.http_port}")
        return run(["sh", "-c", there], self._own, cwd=self.home / folder)


@pytest.fixture
def agent(door: LiveGateway, tmp_path: Path) -> Agent:
    """One whose git has what the page gives it."""
    agent = Agent(door, tmp_path / "home")
    clone, helper = re.findall(r"^    (git .*)$", PAGE, re.MULTILINE)[:2]
    assert clone.startswith("git clone ")
    assert "gatebook git-credential" in helper
    assert agent.types(helper).status == 0
    cloned = agent.types(clone)
    assert cloned.status == 0, cloned.output
    return agent


def test_a_branch_of_its_own_is_pushed(agent: Agent, server: GitServer) -> None:
    agent.types("echo x > new && git add new && git commit -qm new", "app")
    pushed = agent.types("git push origin HEAD:refs/heads/mine", "app")
    assert pushed.status == 0, pushed.output
    assert server.head("org/app", "refs/heads/mine")


def test_a_forced_push_is_refused_in_the_words_of_the_page(agent: Agent, server: GitServer) -> None:
    before = server.head("org/app")
    agent.types("git commit -q --amend -m other", "app")
    pushed = agent.types("git push --force origin HEAD:main", "app")
    said = " ".join(pushed.output.split())
    told = re.findall(r"^    ((?:remote:| !).*)$", PAGE, re.MULTILINE)
    assert len(told) == 2
    assert " ".join(told[0].split()) in said
    assert " ".join(told[1].partition("main -> main ")[2].split()) in said
    assert server.head("org/app") == before


def test_main_waits_for_people_and_passes_when_pushed_again(agent: Agent, server: GitServer, door: LiveGateway) -> None:
    before = server.head("org/app")
    agent.types("echo x > new && git add new && git commit -qm new", "app")
    pushed = agent.types("git push origin HEAD:main", "app")
    assert "approval required" in pushed.output
    assert server.head("org/app") == before
    token = door.mint(sub="dana", kind="person", groups=["dba"])
    (held,) = door.api("/api/v1/approvals?state=open", token).json()["approvals"]
    path = f"/api/v1/approvals/{held['id']}"
    word = {"verdict": "approve", "reason": "for a test", "digest": door.api(path, token).json()["digest"]}
    assert door.send("POST", f"{path}/vote", token, word).status_code == 200
    again = agent.types("git push origin HEAD:main", "app")
    assert again.status == 0, again.output
    assert server.head("org/app") != before
