"""How each suite is run one way, and what its tests ended as."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.suites.sources import CACHE
from tests.suites.stage import Way

from gatebook.cli.demo.parts import SUPERUSER, wheel_programs

SUITE_SECONDS, JDBC_SECONDS = 1500, 4 * 3600  # a test of the latter has a connection, tables and time zones of its own
FILE_SECONDS, STATEMENT_SECONDS = 600, 60  # what a file defines is asked for anew before the next text
Results = dict[str, str]  # test -> passed, failed or skipped
Run = Callable[[Path, Way], Results]

# Those that start servers of their own, or need a certificate of theirs, are not about what stands between.
ASYNCPG_ALONE = {"test__environment", "test__sourcecode", "test_connect", "test_scram", "test_subinterpreters", "test_test"}
_FIRST = ("test_setup", "create_index", "create_table")  # of the files, since others use what they make


def pytest_of(folder: str, *, without: frozenset[str] = frozenset(), database: str = "") -> Run:
    """Unittest cases and the like in this folder of a sdist, by pytest."""

    def run(source: Path, way: Way) -> Results:
        modules = sorted(path for path in (source / folder).rglob("test_*.py") if path.stem not in without)
        environment = {**way.environment, "PSYCOPG2_TESTDB": way.database}
        environment |= {"PGDATABASE": database} if database else {}
        environment.pop("PGSSLMODE")
        with tempfile.TemporaryDirectory() as into:
            report = Path(into) / "report.xml"
            argv = [
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
                "-q",
                "--tb=short",
                "-o",
                "addopts=",
                "--rootdir=.",
            ]
            _say([*argv, f"--junitxml={report}", *map(str, modules)], source, way, environment)
            return {
                f"{case.get('classname')}.{case.get('name')}": _of(case) for case in ElementTree.parse(report).iter("testcase")
            }

    return run


def _of(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def go_test(*packages: str) -> Run:
    """``go test`` of these packages."""

    def run(source: Path, way: Way) -> Results:
        settings = way.environment
        keys = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
        dsn = " ".join(f"{key}={settings[variable]}" for key, variable in keys.items())
        more = {"PGX_TEST_DATABASE": dsn, "PGX_TEST_TCP_CONN_STRING": dsn, "GOTOOLCHAIN": "local"}
        argv = ["go", "test", "-p", "1", "-count=1", "-json", "-timeout", f"{SUITE_SECONDS}s", *packages]
        found: Results = {}
        for line in _say(argv, source, way, settings | more).splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("Test") and event["Action"] in ("pass", "fail", "skip"):
                test = re.sub(r"'/\S*/\d+/", "'", event["Test"])  # in a folder of its own each time
                name = f"{event['Package'].rpartition('/v5')[2].strip('/')}:{test}"
                found[name] = {"pass": "passed", "fail": "failed", "skip": "skipped"}[event["Action"]]
        return found

    return run


def maven(source: Path, way: Way) -> Results:
    """The JDBC driver's, by Maven's surefire."""
    settings = {
        "test.url.PGHOST": "127.0.0.1", "test.url.PGPORT": way.port, "test.url.PGDBNAME": way.database, "user": "suite",
        "password": way.password, "privilegedUser": SUPERUSER, "privilegedPassword": way.password, "preparethreshold": 5,
    }  # fmt: skip
    (source / "build.local.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    reports = source / "target/surefire-reports"
    for old in reports.glob("*.xml") if reports.exists() else ():
        old.unlink()
    _say(["mvn", "-B", "-o" if reports.exists() else "-q", "-Dmaven.test.failure.ignore=true", "test"], source, way, {},
         JDBC_SECONDS)  # fmt: skip
    (source / "build.local.properties").unlink()
    found: Results = {}
    times: Counter[str] = Counter()
    for report in reports.glob("*.xml"):
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname', '').removeprefix('org.postgresql.')}.{case.get('name')}"
            times[name] += 1  # what is run with several parameters has one name for all of them
            found[f"{name}#{times[name]}" if times[name] > 1 else name] = _of(case)
    return found


def psql(source: Path, way: Way) -> Results:
    """Each file of PostgreSQL's own regression tests, by psql: through the gateway it must say what it says directly."""
    into = CACHE / "regress" / ("through" if way.gated else "direct")
    into.mkdir(parents=True, exist_ok=True)
    environment = way.environment | {
        "PGTZ": "America/Los_Angeles", "PGDATESTYLE": "Postgres, MDY", "LC_MESSAGES": "C",
        "PGOPTIONS": f"-c intervalstyle=postgres_verbose -c statement_timeout={STATEMENT_SECONDS}s",
        "PG_ABS_SRCDIR": "/nowhere", "PG_ABS_BUILDDIR": "/nowhere", "PG_LIBDIR": "/nowhere", "PG_DLSUFFIX": ".so",
    }  # fmt: skip
    argv = [str(wheel_programs() / "psql"), "-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]
    found: Results = {}
    took: dict[str, float] = {}
    for path in sorted(
        source.glob("*.sql"), key=lambda path: (_FIRST.index(path.stem) if path.stem in _FIRST else 9, path.stem)
    ):
        begun = time.monotonic()
        with path.open() as text:
            try:
                done = subprocess.run(
                    argv,
                    stdin=text,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=FILE_SECONDS,
                    check=False,
                )
                said = _alike(done.stdout.decode("utf-8", "replace"))
            except subprocess.TimeoutExpired:
                said = "it did not end"
        (into / f"{path.stem}.out").write_text(said)
        took[path.stem] = round(time.monotonic() - begun, 2)
        other = CACHE / "regress/direct" / f"{path.stem}.out"
        found[path.stem] = "passed" if other.read_text() == said else "failed"
    (into / "seconds.json").write_text(json.dumps(took))  # to look at
    return found


# Log positions, process ids, and numbers of objects, which are handed out in the order that servers happen to take.
_OF_CHANCE = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b|(?<=with PID )\d+|\b[12]\d{4}\b")


def _alike(said: str) -> str:
    return _OF_CHANCE.sub("?", said)


def _say(argv: list[str], folder: Path, way: Way, environment: Mapping[str, str], seconds: int = 2 * SUITE_SECONDS) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(
        argv, cwd=folder, env=kept | dict(environment), capture_output=True, text=True, timeout=seconds, check=False
    )
    (CACHE / f"{folder.name}.{'through' if way.gated else 'direct'}.log").write_text(done.stdout + done.stderr)  # to look at
    return done.stdout
