"""What looks after live sessions, while the database answers, errs or hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import QueuePool
from sqlalchemy.exc import OperationalError
from tests import make
from tests.config.written import written

from gatebook.access.grants import Grants, Live
from gatebook.config import load
from gatebook.db import engine
from gatebook.errors import LedgerError
from gatebook.gateway import child, lookout
from gatebook.gateway.gateway import GATEWAY_TOKEN, UNTOLD, Gateway
from gatebook.gateway.granted import BLIND_MICROSECONDS, Granted
from gatebook.gateway.guesses import Guessed
from gatebook.model import Reach

TOKEN, OTHER = b"the token's digest", b"another token's"
ANSWER_SECONDS = 10


class Swept(Gateway):
    """Blind only where tokens are not answered for: a machine with much to do may rest for longer than the shortest wait."""

    sweep_seconds, blind_seconds = 0.001, ANSWER_SECONDS / 2


class Hasty(Swept):
    """Blind soon, for questions that are never answered."""

    blind_seconds = 0.2


@dataclass(eq=False)
class Somebody:
    """A live connection, as the gateway sees it."""

    token: bytes | None
    expires_at: int = make.NOW + 1_000_000
    browser: bool = False
    why: str = ""
    ticks: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def session(self) -> Any:
        one = make.session(identity=make.identity(expires_at=self.expires_at), browser=self.browser)
        return None if self.why else one

    def end(self, why: str) -> None:
        self.why = self.why or why
        self.ended.set()

    def check_grants(self) -> None:
        pass

    def tick(self) -> None:
        self.ticks += 1

    def stale(self) -> None:
        pass


class Parts:
    """All that the gateway asks. ``hangs`` names questions that get no answer before ``release`` is set."""

    def __init__(self, *hangs: str) -> None:
        self.hangs, self.release = hangs, threading.Event()
        self.failed: str | None = None
        self.revoked: set[bytes] = set()
        self.later: set[bytes] = set()  # revoked after a hundred questions
        self.errs = False
        self.asked: list[str] = []
        self.guesses = self
        self.guessed_at: list[Guessed] = []
        self.news: Guessed | None = None

    def _asked(self, name: str) -> None:
        self.asked.append(name)
        if name in self.hangs:
            self.release.wait(ANSWER_SECONDS)

    def taken_back(self, digests: set[bytes]) -> set[bytes]:
        self._asked("tokens")
        if self.asked.count("tokens") > 100:
            self.revoked |= self.later
        if self.errs:
            raise OperationalError("SELECT", {}, Exception("the disk is gone"))
        return digests & self.revoked

    async def kills(self) -> list[Any]:
        await lookout.ask(self._asked, "kills")
        return []

    async def poll(self) -> None:
        await lookout.ask(self._asked, "approvals")

    async def look(self) -> None:
        await lookout.ask(self._asked, "grants")

    async def exchange(self, _stop: object) -> None:
        await lookout.ask(self._asked, "cancels")

    def told(self) -> Guessed | None:
        news, self.news = self.news, None
        return news

    async def guessed(self, guessed: Guessed) -> None:
        self.guessed_at.append(guessed)
        if self.failed:
            raise LedgerError(self.failed)


@pytest.fixture
def parts() -> Iterator[Parts]:
    made = Parts()
    yield made
    made.release.set()


def gateway(folder: Path, parts: Parts, tasks: asyncio.TaskGroup, *some: Somebody) -> Gateway:
    one = cast(Any, parts)
    kind = Hasty if parts.errs or "tokens" in parts.hangs else Swept
    made = kind(load(written(folder)), *[one] * 11, cast(Any, lambda: make.NOW), tasks)
    made._live |= cast(Any, set(some))
    return made


async def swept(folder: Path, parts: Parts, *some: Somebody, until: Somebody) -> None:
    async with asyncio.TaskGroup() as tasks:
        sweeping = tasks.create_task(gateway(folder, parts, tasks, *some).sweep())
        async with asyncio.timeout(ANSWER_SECONDS):
            await until.ended.wait()
        sweeping.cancel()


@pytest.mark.parametrize("hung", ["kills", "approvals", "grants", "cancels"])
async def test_a_question_that_hangs_holds_up_no_other(tmp_path: Path, parts: Parts, hung: str) -> None:
    parts.hangs, parts.revoked = (hung,), {TOKEN}
    mine, others = Somebody(TOKEN), Somebody(OTHER)
    await swept(tmp_path, parts, mine, others, until=mine)
    assert mine.why.startswith("your gateway token was revoked")
    assert others.why == ""
    assert parts.asked.count(hung) <= 1, "a question that hangs is not asked again meanwhile: threads have an end"


async def test_while_the_database_hangs_what_needs_none_goes_on_and_tokens_end(tmp_path: Path, parts: Parts) -> None:
    parts.hangs = ("kills", "tokens", "approvals", "grants", "cancels")
    expired, by_token, by_proof = Somebody(None, expires_at=make.NOW), Somebody(TOKEN), Somebody(None)
    await swept(tmp_path, parts, expired, by_token, by_proof, until=by_token)
    assert expired.why.startswith("your token expired at")
    assert by_token.why.startswith(UNTOLD.format(GATEWAY_TOKEN))
    assert (by_proof.why, by_proof.ticks > 0) == ("", True), "a provider's own token is not looked up, and holds until its end"


async def test_a_person_in_a_browser_is_told_how_to_sign_in_again(tmp_path: Path, parts: Parts) -> None:
    parts.revoked = {TOKEN}
    ended, expired = Somebody(TOKEN, browser=True), Somebody(None, expires_at=make.NOW, browser=True)
    async with asyncio.TaskGroup() as tasks:
        sweeping = tasks.create_task(gateway(tmp_path, parts, tasks, ended, expired).sweep())
        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.gather(ended.ended.wait(), expired.ended.wait())
        sweeping.cancel()
    assert ended.why == "your sign-in was revoked; open the page again to sign in"
    assert expired.why.startswith("your sign-in expired at")
    assert "gatebook token" not in expired.why


async def test_a_database_that_errs_ends_tokens_as_one_that_hangs_does(tmp_path: Path, parts: Parts) -> None:
    parts.errs = True
    by_token = Somebody(TOKEN)
    await swept(tmp_path, parts, by_token, until=by_token)
    assert by_token.why.startswith(UNTOLD.format(GATEWAY_TOKEN))
    assert parts.asked.count("tokens") > 1, "an error is no answer, and it is asked again"


async def test_while_it_answers_nobody_is_ended(tmp_path: Path, parts: Parts) -> None:
    mine, marker, parts.later = Somebody(TOKEN), Somebody(OTHER), {OTHER}
    async with asyncio.TaskGroup() as tasks:
        made = gateway(tmp_path, parts, tasks, mine, marker)
        sweeping = tasks.create_task(made.sweep())
        async with asyncio.timeout(ANSWER_SECONDS):
            await marker.ended.wait()
        sweeping.cancel()
    assert mine.why == ""


async def test_threads_that_others_filled_do_not_blind_it(tmp_path: Path, parts: Parts) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    mine, others, parts.later = Somebody(TOKEN), Somebody(OTHER), {TOKEN}
    async with asyncio.TaskGroup() as tasks:
        filled = [tasks.create_task(asyncio.to_thread(parts.release.wait, ANSWER_SECONDS)) for _ in range(64)]
        await asyncio.sleep(0)
        await swept(tmp_path, parts, mine, others, until=mine)
        assert not any(task.done() for task in filled)
        parts.release.set()
    assert mine.why.startswith("your gateway token was revoked")
    assert others.why == ""


def test_every_thread_that_asks_the_database_has_a_connection(tmp_path: Path) -> None:
    pool = cast(QueuePool, engine(f"sqlite:///{tmp_path / 'gatebook.db'}").pool)
    assert pool.size() + pool._max_overflow >= lookout.THREADS + child.THREADS


async def test_a_book_that_is_lost_ends_everybody_though_the_database_hangs(tmp_path: Path, parts: Parts) -> None:
    parts.hangs = ("kills", "tokens", "approvals", "grants", "cancels")
    mine = Somebody(None)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(ANSWER_SECONDS):
        sweeping = tasks.create_task(gateway(tmp_path, parts, tasks, mine).sweep())
        parts.failed = "the ledger stopped: the disk is full"
        await sweeping
    assert mine.why == "the book cannot be written, so nothing may go on: the ledger stopped: the disk is full"


async def test_who_guesses_cancel_keys_stands_in_the_book(tmp_path: Path, parts: Parts) -> None:
    parts.news, parts.revoked = Guessed("192.0.2.1", 7), {TOKEN}
    mine = Somebody(TOKEN)
    await swept(tmp_path, parts, mine, until=mine)
    assert parts.guessed_at == [Guessed("192.0.2.1", 7)]


class Given(Grants):
    """Grants that are held, once their database answers."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.live = Live(reach=Reach.WRITE, until=make.NOW + 100 * BLIND_MICROSECONDS)

    def all_held(self, _now: int) -> dict[tuple[str, str, str], Live]:
        self.answers.wait(ANSWER_SECONDS)
        return {(make.identity().issuer, make.identity().subject, "shop"): self.live}

    def held(self, _issuer: str, _subject: str, _target: str, _now: int) -> Live | None:
        return None


async def test_a_look_that_hangs_leaves_nothing_granted() -> None:
    now, grants = make.NOW, Given()
    granted = Granted(grants, lambda: now)
    await granted.look()
    assert granted.reach(make.identity(), "shop") is Reach.WRITE
    grants.answers.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(granted.look())
        await asyncio.sleep(0)
        now += BLIND_MICROSECONDS
        assert granted.reach(make.identity(), "shop") is Reach.WRITE
        now += 1
        assert granted.reach(make.identity(), "shop") is None
        grants.answers.set()
    await granted.look()
    assert granted.reach(make.identity(), "shop") is Reach.WRITE


async def test_what_a_login_learnt_while_a_look_was_under_way_is_not_lost_to_it() -> None:
    grants = Given()
    granted = Granted(grants, lambda: make.NOW)
    grants.answers.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(granted.look())
        await asyncio.sleep(0)
        granted.learn(make.identity(), "books", grants.live)
        grants.answers.set()
    assert granted.reach(make.identity(), "books") is Reach.WRITE
    await granted.look()
    assert granted.reach(make.identity(), "books") is None
