"""``gatebook controls``: which criteria the book gives evidence for, by which control and test."""

from __future__ import annotations

from dataclasses import asdict

from gatebook.cli.common import JsonOption, print_json, print_table
from gatebook.evidence.controls import TESTS
from gatebook.evidence.criteria import CRITERIA, OPINION, Criterion


def controls(as_json: JsonOption = False) -> None:
    """List the Trust Services Criteria by number, in our own words, with what a gateway's book can show about each.

    Strong, partial or none. The results for a period are in its package: gatebook evidence export.
    """
    if as_json:
        print_json([_described(one) for one in CRITERIA])
        return
    rows = [(one.number, one.strength, "; ".join(one.tests) or "-", one.words) for one in CRITERIA]
    print_table(("CRITERION", "SHOWN", "TESTS", "ABOUT"), rows, wraps="ABOUT", drops=("TESTS",))
    print(f"\nThe criteria themselves are the AICPA's; their text is not here. {OPINION}")


def _described(one: Criterion) -> dict[str, object]:
    return {**asdict(one), "tests": {name: TESTS[name].asks for name in one.tests}}
