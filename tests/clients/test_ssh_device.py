"""A bare ``ssh``: its user has no token at hand and signs in with a browser."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, program
from tests.testbed.people import people_at

from gatebook.cli.demo.processes import wait_until
from gatebook.gateway.ssh.device import BUSY, WAITING_OF_ONE

pytestmark = pytest.mark.real

ASK = """#!/bin/sh
case "$1" in *token*|*password*) exit 0;; esac
touch "$TEST_FOLDER/asked"
while ! [ -e "$TEST_FOLDER/signed-in" ]; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[dict[str, Any]]:
    with people_at("https://127.0.0.1:1") as found:
        yield found


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host, provider: dict[str, Any]) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("ssh"), world, host, more_providers=[provider]) as gateway:
        yield gateway


class Bare:
    """An ssh whose user answers no prompt for a token, and presses Enter at the next once they have signed in."""

    def __init__(self, web1: Hosted, command: str, *options: str) -> None:
        self.folder = web1.folder
        ask = web1.folder / "bare-askpass"
        ask.write_text(ASK)
        ask.chmod(0o700)
        surroundings = web1.environment("") | {"SSH_ASKPASS": str(ask), "TEST_FOLDER": str(web1.folder)}
        argv = [program("ssh"), *web1.options(*options), "127.0.0.1", command]
        self.said = web1.folder / "said"
        with self.said.open("wb") as file:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, env=surroundings
            )

    def told(self) -> tuple[str, str]:
        """Where its user is to sign in, with which code."""
        found: list[re.Match[str]] = []

        def shown() -> bool:
            found.extend(re.finditer(r"open (\S+) and enter the code (\S+)\.", self.said.read_text()))
            return bool(found)

        assert wait_until(shown, SECONDS), self.said.read_text()
        return found[0][1], found[0][2]

    def enter(self) -> tuple[int, bytes, str]:
        """Press it, and see the end."""
        (self.folder / "signed-in").touch()
        out, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, self.said.read_text()


def test_somebody_signs_in_elsewhere_and_is_let_in(web1: Hosted):
    bare = Bare(web1, "echo in")
    address, code = bare.told()
    page = httpx.get(address, params={"user_code": code})
    assert "Dana" in page.text
    assert httpx.post(address, data={"user_code": code, "person": "dana"}).status_code == 200
    status, out, said = bare.enter()
    assert (status, out) == (0, b"in\n"), said
    assert web1.gateway.sessions()[0]["subject"] == "dana"
    assert code not in web1.gateway.log
    assert b"gbt_" not in web1.gateway.book_bytes()


def test_who_refuses_at_the_provider_is_not_let_in_and_hears_why(web1: Hosted):
    bare = Bare(web1, "echo in", "-o", "NumberOfPasswordPrompts=1")
    address, code = bare.told()
    httpx.post(address, data={"user_code": code})
    status, out, said = bare.enter()
    assert (status, out) == (255, b"")
    assert "refused" in said


def test_a_token_is_taken_at_the_same_prompt(web1: Hosted):
    assert web1.ssh("echo in").stdout == b"in\n"


def test_who_goes_away_gives_their_place_to_others(web1: Hosted, tmp_path: Path):
    for number in range(WAITING_OF_ONE + 1):
        folder = tmp_path / str(number)
        one = Bare(Hosted(web1.gateway, web1.host, folder), "echo in")
        one.told()
        one.process.kill()
        one.process.communicate()


def test_nobody_waits_in_more_than_a_few_connections_of_one_address(web1: Hosted, tmp_path: Path):
    waiting = [Bare(Hosted(web1.gateway, web1.host, tmp_path / str(number)), "true") for number in range(WAITING_OF_ONE)]
    for one in waiting:
        one.told()
    late = Bare(Hosted(web1.gateway, web1.host, tmp_path / "late"), "true")
    late.process.communicate(timeout=SECONDS)
    assert BUSY in late.said.read_text()
    for one in waiting:
        one.process.kill()
        one.process.communicate()
