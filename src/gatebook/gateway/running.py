"""What one process of the gateway runs: a data worker serves sessions, the web process serves the API and what is done once.

Each opens its own log, and on that all it does rests: when the log fails, the process ends, closed, and the supervisor starts
another; the other processes go on with theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine

from gatebook.access import book as access
from gatebook.access.approvals import Approvals
from gatebook.access.grants import Grants, Terms
from gatebook.config import Config
from gatebook.db import engine
from gatebook.errors import GatebookError, LedgerError
from gatebook.gateway.book import Book, operator
from gatebook.gateway.cancels import Cancels, Keyring
from gatebook.gateway.clock import Clock
from gatebook.gateway.crowd import Crowd
from gatebook.gateway.desk import Desk
from gatebook.gateway.gateway import Gateway
from gatebook.gateway.granted import Granted
from gatebook.gateway.guesses import Guesses
from gatebook.gateway.holding import Holding
from gatebook.gateway.prepared import WEB, Prepared, close_abandoned
from gatebook.gateway.rows import Rows
from gatebook.gateway.tape import Tapes
from gatebook.identity.browsers import BrowserSignIns
from gatebook.identity.oidc import Verifier
from gatebook.identity.prove import Prover
from gatebook.identity.tokens import GatewayTokens
from gatebook.ledger import folders
from gatebook.ledger.commitments import Commitments
from gatebook.ledger.heads import Heads, finish
from gatebook.ledger.log import Log
from gatebook.model import Entry
from gatebook.policy.rules import Policy

LOOK_SECONDS = 0.25  # at grants, by the API; and at a log that may have failed
EXPIRY_SECONDS = 1.0  # what ran out is written down this soon; it gives nothing from its last moment on

log = structlog.get_logger("gatebook.gateway")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API shares with the data path."""

    config: Config
    engine: Engine
    prover: Prover
    tokens: GatewayTokens
    desk: Desk
    ledger: Log
    approvals: Approvals
    grants: Grants
    serving: Callable[[], bool]


Api = Callable[[Parts, Callable[[], None]], Awaitable[None]]  # serves until cancelled; says when its address is its own


@dataclass(frozen=True, slots=True)
class _Own:
    """What each process opens for itself."""

    name: str
    origin: str
    ledger: Log
    clock: Clock
    rows: Rows
    book: Book
    granted: Granted
    parts: Parts
    tapes: Tapes


async def serve_sessions(prepared: Prepared, number: int, ready: Callable[[], None], stop: asyncio.Event) -> None:
    """One data worker, until ``stop``. Raises ConfigError or LedgerError when it cannot begin, or its log is lost."""
    with _opened(prepared, str(number)) as own:
        await asyncio.to_thread(own.tapes.mend, own.origin.__eq__)
        await own.granted.look()
        keys = Keyring(prepared.cancel_key, prepared.config.replica, number)
        others = {one: end for one, end in prepared.outboxes.items() if one != number}
        guesses = Guesses(prepared.tally, number, own.clock)
        cancels = Cancels(keys, prepared.inboxes[number], others, own.parts.engine, own.clock, guesses)
        crowd = Crowd(prepared.config.limits.sessions, tally=prepared.tally, row=number)
        holding = Holding(own.parts.approvals, prepared.config, own.clock)
        async with asyncio.TaskGroup() as tasks:
            gateway = Gateway(
                prepared.config,
                own.parts.desk,
                own.book,
                own.parts.prover,
                own.parts.tokens,
                BrowserSignIns(own.parts.engine),
                holding,
                own.granted,
                own.tapes,
                own.rows,
                crowd,
                cancels,
                own.clock,
                tasks,
            )
            servers = await gateway.listen()
            sweeping = tasks.create_task(gateway.sweep())
            sweeping.add_done_callback(lambda _: stop.set())
            writing = tasks.create_task(own.rows.run())
            prepared.tally.ready(number)
            ready()
            await stop.wait()
            for server in servers:
                server.close()
            await gateway.stop()
            sweeping.cancel()
            writing.cancel()


async def serve_web(prepared: Prepared, api: Api, first: bool, ready: Callable[[], None], stop: asyncio.Event) -> None:
    """The API and what is done once, until ``stop``. ``first``: no data worker of this gateway has begun yet."""
    with _heads(prepared) as heads, _opened(prepared, WEB) as own:
        await asyncio.to_thread(_mend_others, prepared, own, first)
        await _publish(own.ledger, prepared.config, prepared.judge.policy)
        await own.granted.look()
        async with asyncio.TaskGroup() as tasks:
            pinning = tasks.create_task(heads.run())
            pinning.add_done_callback(lambda _: stop.set())
            looking_after = [tasks.create_task(_look(own, stop)), tasks.create_task(_expire(own)), pinning]
            serving = tasks.create_task(_serve(api(own.parts, ready)))
            await stop.wait()
            for task in (*looking_after, serving):
                task.cancel()


@contextmanager
def _opened(prepared: Prepared, name: str) -> Iterator[_Own]:
    """The log of a process and all that writes to it. Raises LedgerError when it cannot be opened, or failed meanwhile."""
    config = prepared.config
    ledger, origin = _open_log(prepared, name)
    database = engine(config.database_url)
    try:
        close_abandoned(database, prepared.place(name))
        yield _own(prepared, name, ledger, origin, database)
    finally:
        ledger.close()
        database.dispose()
    if ledger.failed:
        raise LedgerError(ledger.failed)


def _open_log(prepared: Prepared, name: str) -> tuple[Log, str]:
    config = prepared.config
    origin = folders.origin(config.deployment, name, config.replica)
    return Log.open(folders.place(config.ledger.folder, name), origin=origin, key=prepared.key), origin


def _own(prepared: Prepared, name: str, ledger: Log, origin: str, database: Engine) -> _Own:
    config, clock = prepared.config, Clock()
    commitments, rows = Commitments(database), Rows(database, prepared.place(name))
    book = Book(ledger, commitments, rows, all_durable=config.ledger.durability == "all")
    kept = access.Book(lambda entry: ledger.append_now(entry, durable=True), commitments.commit)
    approvals = Approvals(database, clock, kept)
    grants = Grants(database, clock, kept, approvals, _terms(config))
    granted, tokens = Granted(grants, clock), GatewayTokens(database)
    prover = Prover(database, Verifier(config.identity.providers), tokens)
    desk = Desk(config, prepared.judge, book, clock, prepared.mask_key, granted)
    parts = Parts(config, database, prover, tokens, desk, ledger, approvals, grants, lambda: prepared.tally.serving > 0)
    return _Own(name, origin, ledger, clock, rows, book, granted, parts, Tapes(config, ledger, origin))


@contextmanager
def _heads(prepared: Prepared) -> Iterator[Heads]:
    """The head log, which outlives every other. Raises LedgerError where it tells of more than is there, or failed meanwhile.

    Logs of workers that there are no more are closed first; those that there are close what was open by themselves.
    """
    config, folder = prepared.config, prepared.config.ledger.folder
    finish(folder, config.deployment, prepared.key, prepared.names, replica=config.replica)
    heads = Heads.open(folder, config.deployment, prepared.key, replica=config.replica)
    try:
        yield heads
    finally:
        heads.close()
    if heads.failed:
        raise LedgerError(heads.failed)


def _mend_others(prepared: Prepared, own: _Own, first: bool) -> None:
    """Mend the recordings of workers that there are no more; those that there are do it themselves.

    A recording that names no log is only mended when nobody can be at work on it.
    """
    config = prepared.config
    live = {folders.origin(config.deployment, name, config.replica) for name in prepared.names if name != WEB}
    own.tapes.mend(lambda origin: origin not in live and (first or origin != ""))


async def _look(own: _Own, stop: asyncio.Event) -> None:
    """Keep at hand what grants give, for what the API says of targets; and notice that the log is lost."""
    while own.ledger.failed is None:
        await own.granted.look()
        await asyncio.sleep(LOOK_SECONDS)
    stop.set()


async def _expire(own: _Own) -> None:
    """Write down the end of what ran out."""
    while True:
        await asyncio.sleep(EXPIRY_SECONDS)
        try:
            now = own.clock()
            await asyncio.to_thread(own.parts.grants.expire, now)
            await asyncio.to_thread(own.parts.approvals.expire, now)
        except GatebookError as error:
            log.error("what ran out cannot be written down", why=str(error))


def _terms(config: Config) -> Terms:
    wanted = config.grants
    if wanted is None:
        return Terms()
    return Terms(
        approvers=frozenset(wanted.approvers),
        quorum=wanted.quorum,
        furthest=wanted.furthest,
        longest_seconds=wanted.longest_seconds,
        answer_seconds=wanted.answer_seconds,
    )


async def _serve(serving: Awaitable[None]) -> None:
    await serving


async def _publish(ledger: Log, config: Config, policy: Policy) -> None:
    """Which configuration and which rules are in force from here on."""
    by = operator()
    change = {"old": "", "new": config.digest, "diff_h": "", "by": by, "approved_by": ""}
    await ledger.append(Entry(kind="config.change", fields=change), durable=True)
    for what, why in _warnings(config):
        log.warning(what, why=why)
        await ledger.append(Entry(kind="exception", fields={"what": what, "why": why}), durable=True)
    await ledger.append(Entry(kind="policy.publish", fields={"digest": policy.digest, "by": by}), durable=True)


def _warnings(config: Config) -> list[tuple[str, str]]:
    """What this configuration does not give, said at every start and kept in the book for whoever reads the evidence."""
    found = []
    doors = (config.listeners.postgres, config.listeners.http, config.listeners.ssh)
    if any(one.bind.loopback for one in doors if one is not None):
        why = "clients share this machine: an account that runs both client and gateway could reach the book"
        found.append(("co-located: not protected", why))
    if config.recording is None:
        found.append(("sessions are not recorded", "the configuration has no recording section"))
    return found
