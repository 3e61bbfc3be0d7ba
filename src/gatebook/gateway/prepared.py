"""What all processes of one gateway share: checked, opened and locked once, before the first of them is forked.

Nothing here may hold a thread, an open database connection or an event loop: a fork would copy it broken.
"""

from __future__ import annotations

import fcntl
import gc
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from gatebook.config import Address, Config
from gatebook.db import engine, migrate, writing
from gatebook.errors import ConfigError
from gatebook.gateway import store
from gatebook.gateway.child import apart
from gatebook.gateway.clock import Clock
from gatebook.gateway.judge import Judge, make_judge
from gatebook.gateway.ssh.keys import make_sure
from gatebook.gateway.tally import Tally
from gatebook.ledger.keys import key_path, load_or_create

KEY_BYTES = 32
WEB = "web"
CRASHED = "gateway crashed"
PATIENCE_SECONDS = 10.0  # for the processes of a gateway that was killed: they end by themselves
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Prepared:
    """``inboxes`` and ``outboxes`` are two ends of a way to each data worker, by its number."""

    config: Config
    judge: Judge
    key: Ed25519PrivateKey
    mask_key: bytes
    cancel_key: bytes
    tally: Tally
    inboxes: dict[int, socket.socket]
    outboxes: dict[int, socket.socket]
    lock: int
    ports: tuple[socket.socket, ...]

    @property
    def workers(self) -> range:
        """The numbers of the data workers."""
        return range(1, self.config.worker_count + 1)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all processes that write."""
        return (WEB, *map(str, self.workers))

    def place(self, name: str) -> str:
        """A process as rows have it."""
        return f"{self.config.replica}/{name}"


def prepare(config: Config) -> Prepared:
    """Raises ConfigError or LedgerError where the gateway cannot begin."""
    judge = make_judge(config)
    lock = _lock(config.home)
    apart(partial(_migrate, config))
    ports = _claim(config)
    if config.listeners.ssh is not None:
        apart(partial(make_sure, config.home))  # once, before workers would each make their own
    keys, numbers = config.home / "keys", range(1, config.worker_count + 1)
    pairs = {number: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for number in numbers}
    for end in (end for pair in pairs.values() for end in pair):
        end.setblocking(False)
    prepared = Prepared(
        config=config,
        judge=judge,
        key=load_or_create(key_path(config.home)),
        mask_key=secret_key(keys / "mask.key"),
        cancel_key=secret_key(keys / "cancel.key"),
        tally=Tally(config.worker_count + 1),
        inboxes={number: pair[0] for number, pair in pairs.items()},
        outboxes={number: pair[1] for number, pair in pairs.items()},
        lock=lock,
        ports=ports,
    )
    gc.collect()
    gc.freeze()  # what is there now stays shared memory in every process
    return prepared


def _lock(home: Path) -> int:
    """The home is this gateway's as long as any process of it lives: they inherit the lock. Raises ConfigError."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / "gatebook.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError([f"home: {home}: {error.strerror}: expected a folder this user may write"]) from error
    end = time.monotonic() + PATIENCE_SECONDS
    while not _locked(lock):
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        if _alive(holder) or time.monotonic() > end:
            raise ConfigError([f"home: {home}: another gateway (process {holder or '?'}) runs on it; end that one first"])
        time.sleep(POLL_SECONDS)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _migrate(config: Config) -> None:
    """The tables in this version's shape, without sessions that nobody serves any more."""
    database = engine(config.database_url)
    try:
        migrate(database)
        close_abandoned(database, f"{config.replica}/")
    finally:
        database.dispose()


def close_abandoned(database: Engine, process: str) -> None:
    """Close what a process that died left open in the rows; it does so in its log by itself, when that is opened again."""
    with writing(database) as connection:
        store.close_abandoned(connection, process=process, at=Clock()(), reason=CRASHED)


def _claim(config: Config) -> tuple[socket.socket, ...]:
    """Sockets that keep the data ports ours: workers share them, so each alone would not notice that one is taken."""
    claimed: list[socket.socket] = []
    doors = {"postgres": config.listeners.postgres, "http": config.listeners.http, "ssh": config.listeners.ssh}
    for name, listener in doors.items():
        if listener is not None:
            claimed += _claimed(listener.bind, f"listeners.{name}: bind: {listener.bind}")
    return tuple(claimed)


def _claimed(bind: Address, where: str) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError([f"{where}: {error.strerror}: expected an address of this machine"]) from error
    for family, address in {(each[0], each[4]) for each in found}:
        try:
            _bound(family, address, shared=False).close()
            yield _bound(family, address, shared=True)
        except OSError as error:
            raise ConfigError([f"{where}: {error.strerror}: expected an address that is free"]) from error


def _bound(family: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def secret_key(path: Path) -> bytes:
    """A key of the deployment; made on first use, readable by its owner alone. Raises ConfigError."""
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
