"""What outlives a session at the server, beside what the gateway read the statement as.

Every statement of PostgreSQL's own regression tests (they come with libpg_query's sources, in the sdist of postgast) runs
through a gateway whose policy allows everything, each in a transaction of its own. A transaction that got a number wrote
something: what the gateway read as mere reading must not have got one. Files, slots and counters leave no number, so the
server's folder is looked at too.

    python -m tests.corpus SDIST [FILE ...]
"""

from __future__ import annotations

import re
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import postgast
import psycopg
from psycopg import pq
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.parts import SUPERUSER, PostgresServer
from gatebook.cli.demo.processes import wait_until

FOLDER = "/test/sql/postgres_regress/"
# Gets a number, and leaves nothing: what a session made for itself goes, and asking for one's own number takes one.
HARMLESS = re.compile(
    r"DISCARD (TEMP|TEMPORARY|ALL)|select \* from my_locks|.*\b(txid_current|pg_current_xact_id)\(\)", re.IGNORECASE | re.DOTALL
)
LONGEST_MS = 4_000  # of a statement: the corpus has some that wait for others
# Ends the transaction it stands in, or starts one: no transaction is put around it.
_CONTROL = re.compile(r"\s*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b", re.IGNORECASE)
_NOT_INSIDE = "25001"
_NUMBERED = re.compile(r"SELECT pg_current_xact_id_if_assigned\(\), (\d+)")  # asked right behind the statement of that number


@dataclass(frozen=True, slots=True)
class Finding:
    """A statement that was read as harmless and was not."""

    file: str
    text: str
    verb: str
    why: str


def statements(sdist: Path, only: Sequence[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """Each file of the corpus with its statements; what psql alone understands is left out."""
    with tarfile.open(sdist) as archive:
        for member in sorted(archive.getmembers(), key=lambda one: one.name):
            name = member.name.rpartition("/")[2].removesuffix(".sql")
            content = archive.extractfile(member) if FOLDER in member.name and (not only or name in only) else None
            if content is None:
                continue
            lines = content.read().decode("utf-8", "replace").splitlines()
            text = "\n".join(line for line in lines if not line.lstrip().startswith("\\"))
            try:
                yield name, [one.strip() for one in postgast.split(text, method="scanner") if one.strip()]
            except postgast.PgQueryError:
                continue


def everything(home: Path, world: World, server: PostgresServer) -> LiveGateway:
    """A gateway that allows everything, to a superuser of the server, and covers nothing there."""
    home.mkdir(parents=True)
    password = home / "superuser"
    password.write_text(server.password)
    password.chmod(0o600)
    target = {
        "name": "everything", "address": f"127.0.0.1:{server.port}", "tls": {"mode": "disable"}, "masks": [],
        "database": "regression", "databases": ["regression"], "default_role": SUPERUSER,
        "roles": {SUPERUSER: {"password": f"file:{password}"}},
    }  # fmt: skip
    return LiveGateway(home, world, allows_all=True, extra_targets=[target]).start()


class Comparison:
    """One connection through the gateway, its statements numbered so that their rows are found again."""

    def __init__(self, gateway: LiveGateway, data: Path) -> None:
        self._gateway, self._home, self._data = gateway, gateway.home, data
        self._pg = self._connect()
        self._wrote: dict[int, tuple[str, str]] = {}
        self._seen = self._files()
        self._count = 0
        self.tally: Counter[tuple[str, str]] = Counter()

    def _connect(self) -> pq.abc.PGconn:
        self._connection = self._gateway.connect(database="everything", user=SUPERUSER, autocommit=True)
        return self._connection.pgconn

    def run(self, text: str) -> None:
        """One statement, in a transaction of its own where there is none yet; anew where the last one ended the session."""
        self._count += 1
        try:
            self._run(text)
        except psycopg.OperationalError:
            self._connection.close()
            self._pg = self._connect()

    def _run(self, text: str) -> None:
        idle = self._pg.transaction_status == pq.TransactionStatus.IDLE
        if _CONTROL.match(text) or not idle:
            self._say(text)
            return
        self._say("BEGIN")
        result = self._say(text)
        if result == _NOT_INSIDE:
            self._say("ROLLBACK")
            self._say(text)
        elif self._pg.transaction_status == pq.TransactionStatus.INTRANS:
            if self._number():
                self._wrote[self._count] = (text, "its transaction got a number")
            self._say("COMMIT")
        else:
            self._say("ROLLBACK")
        files = self._files()
        if files != self._seen:
            self._wrote[self._count] = (text, f"files changed: {files ^ self._seen}")
            self._seen = files

    def _number(self) -> bool:
        answer = self._pg.exec_(f"SELECT pg_current_xact_id_if_assigned(), {self._count}".encode())
        return answer.status == pq.ExecStatus.TUPLES_OK and answer.get_value(0, 0) is not None

    def _say(self, text: str) -> str:
        answer = self._pg.exec_(text.encode())
        if answer.status == pq.ExecStatus.COPY_IN:
            self._pg.put_copy_end()
            answer = self._pg.get_result() or answer
            while self._pg.get_result() is not None:
                pass
        while answer.status == pq.ExecStatus.COPY_OUT and self._pg.get_copy_data(0)[0] > 0:
            pass
        if answer.status == pq.ExecStatus.COPY_OUT:
            while self._pg.get_result() is not None:
                pass
        code = answer.error_field(pq.DiagnosticField.SQLSTATE)
        return code.decode() if code else ""

    def _files(self) -> frozenset[tuple[str, int]]:
        slots = self._data / "pg_replslot"
        settings = self._data / "postgresql.auto.conf"
        found = {(f"slot {path.name}", 0) for path in slots.iterdir()}
        return frozenset(found | {("postgresql.auto.conf", settings.stat().st_mtime_ns)})

    def findings(self, file: str) -> list[Finding]:
        """What was read as harmless and was not; closes the connection."""
        self._connection.close()

        def closed() -> bool:
            with sqlite3.connect(self._home / "gatebook.db") as database:
                return database.execute("SELECT count(*) FROM sessions WHERE closed_at IS NULL").fetchone() == (0,)

        wait_until(closed, 20)
        with sqlite3.connect(self._home / "gatebook.db") as database:
            rows = database.execute("SELECT text, verb, reach FROM actions ORDER BY at").fetchall()
        found = []
        for (_, verb, reach), (asked, _, _) in pairwise(rows):
            mark = _NUMBERED.fullmatch(asked)
            if mark is None:
                continue
            wrote = self._wrote.get(int(mark[1]))
            self.tally["wrote" if wrote else "left nothing", reach] += 1
            if wrote and reach == "read" and not HARMLESS.match(wrote[0]):
                found.append(Finding(file, wrote[0], verb, wrote[1]))
        with sqlite3.connect(self._home / "gatebook.db") as database:
            database.execute("DELETE FROM actions")
        return found
