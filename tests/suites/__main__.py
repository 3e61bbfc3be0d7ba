"""Drivers' own tests, directly and through a gateway that allows everything: each difference must be one that is expected.

    .venv/bin/python -m tests.suites asyncpg pgx pq        # or: make suites

What comes with a registry's package is taken from there, pinned, into .cache/suites. ``expected/NAME`` lists the tests that may
end otherwise through the gateway, each line with its reason; a test that fails directly, too, says nothing about the gateway.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tests.suites import runs, sources
from tests.suites.runs import Results
from tests.suites.stage import place

EXPECTED = Path(__file__).parent / "expected"
PQ_IMPATIENT = "^TestListener"  # panic, and all tests with them, when a connection takes over a tenth of a second


@dataclass(frozen=True, slots=True)
class Suite:
    """How a driver's tests are fetched and run one way. ``prepare`` are statements that its server needs."""

    fetch: sources.Fetch
    run: runs.Run
    database: str
    prepare: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()  # databases that it creates itself


SUITES = {
    "asyncpg": Suite(
        sources.sdist("asyncpg", without="asyncpg"),
        runs.pytest_of("tests", without=runs.ASYNCPG_ALONE, database="postgres"),
        "asyncpg_intro_test",
        makes=("asyncpg_intro_test", "testdb"),
    ),
    "jdbc": Suite(sources.jdbc, runs.maven, "jdbc", ("CREATE EXTENSION hstore",)),
    "pg8000": Suite(
        sources.sdist("pg8000", without="src", needs="pytz==2025.2"),
        runs.pytest_of("test", without=frozenset({"test_readme"}), database="postgres"),
        "suite",
    ),
    "pgx": Suite(
        sources.module("pgx"),
        runs.go_test("./..."),
        "suite",
        ("CREATE EXTENSION hstore", "CREATE EXTENSION ltree", "CREATE DOMAIN uint64 AS numeric(20,0)",
         """CREATE USER " tricky, ' } "" \\ test user " SUPERUSER"""),
    ),
    "pq": Suite(sources.module("pq"), runs.go_test("-skip", PQ_IMPATIENT, "."), "pqgo", ("CREATE EXTENSION hstore",)),
    "psycopg2": Suite(sources.sdist("psycopg2"), runs.pytest_of("tests"), "psycopg2_test", ("CREATE EXTENSION hstore",)),
    "regress": Suite(sources.corpus, runs.psql, "regression"),
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
    """One suite, both ways, each on a server of its own."""
    suite = SUITES[name]
    source = suite.fetch()
    ends: list[Results] = []
    for gated in (False, True):
        with tempfile.TemporaryDirectory() as folder, place(Path(folder), suite.database, makes=suite.makes) as found:
            for statement in suite.prepare:
                found.server.sql(statement, suite.database)
            way = found.through if gated else found.direct
            ends.append(suite.run(source, replace(way, database=suite.database)))
    return judge(name, *ends)


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
