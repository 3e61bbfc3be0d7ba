"""Drivers of other languages through the gateway, each telling the same story: node-postgres, JDBC, pgx and lib/pq.

The programs stand in drivers/; `make test` has built them (scripts/drivers). Each runs inside verified TLS against the target
with TLS and the one without.
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.world import clean_environment

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
FROM, INTO = ROOT / "tests/clients/drivers", ROOT / ".cache/drivers"
PROGRAMS: dict[str, list[str]] = {
    "node-postgres": ["node", str(FROM / "node/story.mjs")],
    "JDBC, extended": ["java", "-cp", str(INTO / "java/postgresql.jar"), str(FROM / "java/Story.java"), "extended"],
    "JDBC, simple": ["java", "-cp", str(INTO / "java/postgresql.jar"), str(FROM / "java/Story.java"), "simple"],
    "pgx": [str(INTO / "go/story"), "pgx"],
    "lib/pq": [str(INTO / "go/story"), "pq"],
}
SSNS = [f"***-**-43{number}" for number in range(20, 28)]


@cache
def built() -> None:
    subprocess.run([str(ROOT / "scripts/drivers")], check=True, capture_output=True)


@pytest.fixture(scope="module", params=[(name, target) for name in PROGRAMS for target in ("shop", "shop-tls")], ids="-".join)
def told(request: pytest.FixtureRequest, shared_gateway: LiveGateway) -> dict[str, Any]:
    """What a driver's program has to tell of a target."""
    built()
    name, target = request.param
    settings = {
        **clean_environment(), **shared_gateway.psql_environment(database=target), **shared_gateway.tls_settings(),
        "STORY_CACHE": str(INTO),
    }  # fmt: skip
    settings.pop("PGOPTIONS")  # JDBC does not read it, so each says for itself what it would
    done = subprocess.run(PROGRAMS[name], env=settings, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_parameters_and_results_keep_their_values(told: dict[str, Any]) -> None:
    assert told["parameters"] == [7, "naïve"]
    assert told["many"] == [1, 2, 3]


def test_masked_columns_are_covered_in_every_form_a_driver_has(told: dict[str, Any]) -> None:
    assert told["masked"] == "***-**-4320"
    assert told["prepared"] == SSNS[:3]
    assert told.get("paged", SSNS) == SSNS
    assert [line.split("\t")[1] for line in told.get("copied", "").splitlines()] in ([], SSNS)


def test_a_refusal_is_the_drivers_own_error_with_its_state_and_rule(told: dict[str, Any]) -> None:
    for one in ("refused", "refused_prepared", "in_transaction"):
        assert told[one].startswith("42501 "), told[one]
        assert "blocked by no-delete-without-where" in told[one]


def test_the_session_goes_on_after_refusals_and_errors(told: dict[str, Any]) -> None:
    assert told["after"] == 1
    assert told["failed"].startswith("22012 ")
    assert told["in_failed_transaction"].startswith("25P02 ")


def test_a_cancel_stops_what_runs_and_nothing_else(told: dict[str, Any]) -> None:
    assert told["cancelled"].startswith("57014 "), told["cancelled"]
    assert told["after_cancel"] == 1


def test_what_is_notified_comes_covered(told: dict[str, Any]) -> None:
    for payload in told.get("heard", []):
        assert payload.startswith("charged ")
        assert "4242 4242 4242" not in payload
