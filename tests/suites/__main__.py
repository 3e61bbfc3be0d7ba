"""Drivers' own tests, directly and through a gateway that allows everything: each difference must be one that is expected.

    .venv/bin/python -m tests.suites asyncpg pgx pq        # or: make suites

What comes with a registry's package is taken from there, pinned, into .cache/suites. ``expected/NAME`` lists the tests that may
end otherwise through the gateway, each line with its reason; a test that fails directly, too, says nothing about the gateway.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.suites.stage import Way, place

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache/suites"
EXPECTED = Path(__file__).parent / "expected"
ASYNCPG = "0.32.0"
MODULES = {"pgx": ("github.com/jackc/pgx/v5", "v5.12.0"), "pq": ("github.com/lib/pq", "v1.12.3")}
SUITE_SECONDS = 1500
# Those that start servers of their own, or need a certificate of theirs, are not about what stands between.
ASYNCPG_ALONE = {"test__environment", "test__sourcecode", "test_connect", "test_scram", "test_subinterpreters", "test_test"}
PQ_IMPATIENT = "^TestListener"  # panic, and all tests with them, when a connection takes over a tenth of a second

Results = dict[str, str]  # test -> passed, failed or skipped


@dataclass(frozen=True, slots=True)
class Suite:
    """How a driver's tests are fetched and run one way. ``prepare`` are statements that its server needs."""

    fetch: Callable[[], Path]
    run: Callable[[Path, Way], Results]
    database: str
    prepare: tuple[str, ...] = ()


def asyncpg_source() -> Path:
    """The sdist's tests, for the asyncpg that is installed."""
    folder = CACHE / f"asyncpg-{ASYNCPG}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--no-binary", "asyncpg", "--dest", str(CACHE), f"asyncpg=={ASYNCPG}"], check=True)
        with tarfile.open(CACHE / f"asyncpg-{ASYNCPG}.tar.gz") as packed:
            packed.extractall(CACHE, filter="data")
        shutil.rmtree(folder / "asyncpg")  # so that the installed one is tested
    return folder


def run_asyncpg(source: Path, way: Way) -> Results:
    """Its unittest cases, by pytest."""
    modules = sorted(path for path in (source / "tests").glob("test_*.py") if path.stem not in ASYNCPG_ALONE)
    environment = way.environment | {"PGDATABASE": "postgres"}
    environment.pop("PGSSLMODE")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=no", "-o", "addopts=", "--rootdir=."]
        _run([*argv, f"--junitxml={report}", *map(str, modules)], source, environment)
        return {f"{case.get('classname')}.{case.get('name')}": _of(case) for case in ElementTree.parse(report).iter("testcase")}


def _of(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def module_source(name: str) -> Callable[[], Path]:
    """The tests that come with a Go module."""

    def fetch() -> Path:
        module, version = MODULES[name]
        folder = CACHE / f"{name}-{version}"
        if not folder.exists():
            done = subprocess.run(["go", "mod", "download", "-json", f"{module}@{version}"], check=True, capture_output=True)
            shutil.copytree(json.loads(done.stdout)["Dir"], folder, copy_function=shutil.copyfile)
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
        return folder

    return fetch


def run_module(*packages: str) -> Callable[[Path, Way], Results]:
    """``go test`` of these packages."""

    def run(source: Path, way: Way) -> Results:
        settings = way.environment
        keys = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
        dsn = " ".join(f"{key}={settings[variable]}" for key, variable in keys.items())
        more = {"PGX_TEST_DATABASE": dsn, "PGX_TEST_TCP_CONN_STRING": dsn, "GOTOOLCHAIN": "local"}
        argv = ["go", "test", "-p", "1", "-count=1", "-json", "-timeout", f"{SUITE_SECONDS}s", *packages]
        found: Results = {}
        for line in _run(argv, source, settings | more).splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("Test") and event["Action"] in ("pass", "fail", "skip"):
                name = f"{event['Package'].rpartition('/v5')[2].strip('/')}:{event['Test']}"
                found[name] = {"pass": "passed", "fail": "failed", "skip": "skipped"}[event["Action"]]
        return found

    return run


def _run(argv: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(
        argv, cwd=folder, env=kept | dict(environment), capture_output=True, text=True, timeout=2 * SUITE_SECONDS, check=False
    )
    (CACHE / f"{folder.name}.log").write_text(done.stdout + done.stderr)  # of the last way; to look at
    return done.stdout


SUITES = {
    "asyncpg": Suite(asyncpg_source, run_asyncpg, "asyncpg_intro_test"),
    "pgx": Suite(
        module_source("pgx"),
        run_module("./..."),
        "suite",
        ("CREATE EXTENSION hstore", "CREATE EXTENSION ltree", "CREATE DOMAIN uint64 AS numeric(20,0)",
         """CREATE USER " tricky, ' } "" \\ test user " SUPERUSER"""),
    ),
    "pq": Suite(module_source("pq"), run_module("-skip", PQ_IMPATIENT, "."), "pqgo", ("CREATE EXTENSION hstore",)),
}  # fmt: skip


def expected(name: str) -> dict[str, str]:
    """Tests that may end otherwise, with the reason for each; a name that ends in * stands for all that begin so."""
    lines = (EXPECTED / name).read_text().splitlines()
    pairs = [line.split(" # ", 1) for line in lines if line.strip() and not line.startswith("#")]
    return {test.strip(): why.strip() for test, why in pairs}


def differences(direct: Results, through: Results) -> dict[str, str]:
    """What passes directly and not through the gateway; a test's parts are listed, not the whole that failed with them."""
    found = {
        test: f"{end} directly, {through.get(test, 'not run')} through the gateway"
        for test, end in direct.items()
        if end == "passed" and through.get(test) != "passed"
    }
    return {test: what for test, what in found.items() if not any(other.startswith(f"{test}/") for other in found)}


def judge(name: str, direct: Results, through: Results) -> bool:
    """Say what differs; whether all of it was expected."""
    found, known = differences(direct, through), expected(name)

    def reason(test: str) -> str | None:
        return next((why for at, why in known.items() if at == test or (at.endswith("*") and test.startswith(at[:-1]))), None)

    surprises = {test: what for test, what in found.items() if reason(test) is None}
    passed = sum(end == "passed" for end in direct.values())
    _say(f"{name}: {len(direct)} tests, {passed} pass directly, {len(found)} of them not through the gateway")
    for test in sorted(found):
        _say(f"  {'as expected' if test not in surprises else 'UNEXPECTED '}  {test}: {reason(test) or found[test]}")
    return not surprises and passed > 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(name: str) -> bool:
    """One suite, both ways, on a server of its own."""
    suite = SUITES[name]
    source = suite.fetch()
    with tempfile.TemporaryDirectory() as folder, place(Path(folder), suite.database) as found:
        for statement in suite.prepare:
            found.server.sql(statement, suite.database)
        direct = suite.run(source, replace(found.direct, database=suite.database))
        return judge(name, direct, suite.run(source, replace(found.through, database=suite.database)))


def main() -> int:
    """Run the suites that are named, or all."""
    names = sys.argv[1:] or list(SUITES)
    if unknown := sorted(set(names) - set(SUITES)):
        sys.stderr.write(f"no such suite: {', '.join(unknown)}; there are {', '.join(SUITES)}\n")
        return 2
    outcomes = [run(name) for name in names]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
