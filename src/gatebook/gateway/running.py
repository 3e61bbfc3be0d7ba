"""From a configuration to a running gateway: everything is opened, checked and joined here, and closed again in order."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from gatebook.access import book as access
from gatebook.access.approvals import Approvals
from gatebook.access.grants import Grants, Terms
from gatebook.config import Config
from gatebook.db import engine, migrate, writing
from gatebook.errors import ConfigError, LedgerError
from gatebook.gateway import store
from gatebook.gateway.book import Book, operator
from gatebook.gateway.clock import Clock
from gatebook.gateway.desk import Desk
from gatebook.gateway.gateway import Gateway
from gatebook.gateway.granted import Granted
from gatebook.gateway.holding import Holding
from gatebook.gateway.judge import Judge, make_judge
from gatebook.gateway.rows import Rows
from gatebook.gateway.tape import Tapes
from gatebook.identity.oidc import Verifier
from gatebook.identity.prove import Prover
from gatebook.identity.tokens import GatewayTokens
from gatebook.ledger import folders
from gatebook.ledger.commitments import Commitments
from gatebook.ledger.heads import Heads, finish
from gatebook.ledger.keys import load_or_create
from gatebook.ledger.log import Log
from gatebook.model import Entry
from gatebook.policy.rules import Policy

KEY_BYTES = 32
WORKER = "1"  # the name of this process's log

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


Api = Callable[[Parts], Awaitable[None]]


async def run(config: Config, api: Api, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError or LedgerError when it cannot begin, or the book is lost."""
    judge = make_judge(config)
    database = engine(config.database_url)
    migrate(database)
    key = load_or_create(config.home / "keys" / "ledger.key")
    ledger = Log.open(folders.place(config.ledger.folder, WORKER), origin=folders.origin(config.deployment, WORKER), key=key)
    with writing(database) as connection:  # the ledger's lock is ours: no other gateway runs on this home
        store.close_abandoned(connection, at=Clock()(), reason="gateway crashed")
    try:
        heads = await asyncio.to_thread(_open_heads, config, key)
        try:
            await _run(config, judge, database, ledger, heads, api, ready)
            if ledger.failed:
                raise LedgerError(ledger.failed)
        finally:
            await asyncio.to_thread(ledger.close)
            await asyncio.to_thread(heads.close)
    finally:
        await asyncio.to_thread(ledger.close)
        database.dispose()


def _open_heads(config: Config, key: Ed25519PrivateKey) -> Heads:
    finish(config.ledger.folder, config.deployment, key, {WORKER})
    return Heads.open(config.ledger.folder, config.deployment, key)


async def _run(
    config: Config, judge: Judge, database: Engine, ledger: Log, heads: Heads, api: Api, ready: Callable[[], None]
) -> None:
    clock, rows, tokens = Clock(), Rows(database), GatewayTokens(database)
    commitments = Commitments(database)
    book = Book(ledger, commitments, rows, all_durable=config.ledger.durability == "all")
    kept = access.Book(lambda entry: ledger.append_now(entry, durable=True), commitments.commit)
    approvals = Approvals(database, clock, kept)
    grants = Grants(database, clock, kept, approvals, _terms(config))
    granted, tapes = Granted(grants, clock), Tapes(config, ledger, folders.origin(config.deployment, WORKER))
    await asyncio.to_thread(tapes.mend)
    await granted.look()
    prover = Prover(database, Verifier(config.identity.providers), tokens)
    desk = Desk(config, judge, book, clock, mask_key(config.home / "keys" / "mask.key"), granted)
    await _publish(ledger, config, judge.policy)
    stop = _stop_signal()
    async with asyncio.TaskGroup() as tasks:
        holding = Holding(approvals, config, clock)
        gateway = Gateway(config, desk, book, prover, holding, granted, tapes, rows, clock, tasks)
        server = await gateway.listen()
        looking_after = [
            tasks.create_task(gateway.sweep()),
            tasks.create_task(rows.run()),
            tasks.create_task(heads.run()),
            tasks.create_task(_serve_api(api(Parts(config, database, prover, tokens, desk, ledger, approvals, grants)))),
        ]
        ready()
        await stop.wait()
        log.info("stopping")
        server.close()
        await gateway.stop()
        for task in looking_after:
            task.cancel()


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


async def _serve_api(serving: Awaitable[None]) -> None:
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
    if config.listeners.postgres.bind.loopback:
        why = "clients share this machine: an account that runs both client and gateway could reach the book"
        found.append(("co-located: not protected", why))
    if config.recording is None:
        found.append(("sessions are not recorded", "the configuration has no recording section"))
    return found


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def mask_key(path: Path) -> bytes:
    """The deployment's key for covering by hash; made on first use, readable by its owner alone. Raises ConfigError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise ConfigError(
                [f"{path}: {len(key)} bytes: expected {KEY_BYTES}; restore it, or remove it for a new one"]
            ) from None
        return key
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(opened, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key
