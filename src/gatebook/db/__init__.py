"""The database: one engine, short transactions, migrations. SQL itself lives in ``*/store.py``.

SQLite in WAL mode unless told otherwise. The file holds who was seen, digests of tokens and the salts of the ledger's
commitments, so nobody but its owner may read it. Every commit is synced to disk: a revoked token must not come back, nor a
salt be lost, with the power. A transaction that reads and then writes must be ``writing``: SQLite refuses to turn a reader
into a writer once somebody else has written, whatever the busy timeout.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from gatebook.errors import ConfigError

BUSY_MILLISECONDS = 5_000  # a writer waits this long for another before it gives up
_SCRIPTS = Path(__file__).parent / "migrations"


def engine(url: str) -> Engine:
    """An engine on ``url``. A SQLite file is made with mode 0600, a missing folder with 0700; raises ConfigError."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(["database: expected a URL as sqlite:////var/lib/gatebook/gatebook.db"]) from None
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    _private_file(parsed)
    made = create_engine(parsed, hide_parameters=True)  # errors are logged, what was bound is not
    event.listen(made, "connect", _on_connect)
    event.listen(made, "begin", _on_begin)
    return made


@contextmanager
def writing(source: Engine) -> Iterator[Connection]:
    """A transaction that may read before it writes; committed at the end, undone by any exception."""
    with source.connect() as connection, connection.execution_options(gatebook_writes=True).begin():
        yield connection


def migrate(source: Engine) -> None:
    """Bring the tables to this version's shape, in one transaction; raises ConfigError when that cannot be done."""
    from alembic import command  # 11 MB, which nothing but this needs
    from alembic.config import Config as AlembicConfig
    from alembic.util import CommandError

    settings = AlembicConfig()
    settings.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    try:
        with writing(source) as connection:
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")
    except CommandError as error:
        raise ConfigError([f"database: {error}; it was written by a newer Gatebook: run that one"]) from error
    except DatabaseError as error:
        raise ConfigError([f"database: {error.orig}: expected a database of Gatebook that can be written"]) from error


def _on_connect(raw: SQLiteConnection, _record: object) -> None:
    raw.isolation_level = None  # the begin event below says when a transaction starts, not the driver's guess
    raw.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute("PRAGMA foreign_keys = ON")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("gatebook_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _private_file(url: URL) -> None:
    """SQLite gives its -wal and -shm files the mode of the database, so one mode set before first use covers all three."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigError(["database: expected the path of a file: Gatebook's threads share it"])
    path = Path(url.database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_folder(path.parent)
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(opened, 0o600)
        finally:
            os.close(opened)
    except OSError as error:
        raise ConfigError([f"database: {path}: {error.strerror}: expected a file this user may write"]) from error


def _close_folder(folder: Path) -> None:
    """Whoever may write the folder can put another database in place; a folder shared by design cannot be closed."""
    found = folder.stat()
    if not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return
    if found.st_mode & stat.S_ISVTX or found.st_uid != os.geteuid():
        raise ConfigError([f"database: {folder}: others may write here: expected a folder of this user alone (chmod 700)"])
    folder.chmod(found.st_mode & ~(stat.S_IRWXG | stat.S_IRWXO) & 0o7777)
