"""Every file in tests/vectors/http: header lines that say what is expected, a blank line, the request."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.protocols.http.shapes import SHAPES

from gatebook.protocols.http.reading import FACTS, VERBS, Reading, read
from gatebook.protocols.http.written import parse

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "http").glob("*.http"))


def parsed(path: Path) -> tuple[dict[str, str], bytes]:
    header, _, request = path.read_bytes().partition(b"\n\n")
    lines = (line.partition(":") for line in header.decode().splitlines())
    return {name: value.strip() for name, _, value in lines}, request


def reading(path: Path) -> Reading:
    expected, request = parsed(path)
    return read(*parse(request), SHAPES[expected.get("shape", "api")])


def told(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case frozenset():
            return " ".join(sorted(one.replace(" ", "_") for one in value)) or "-"
    return str(value)


def found(read: Reading, asked: str) -> str:
    match asked:
        case "expect":
            reach = max((deed.reach for deed in read.deeds), key=lambda reach: reach.rank)
            return " ".join([*sorted({deed.verb for deed in read.deeds}), reach])
        case "resource":
            return f"{read.deeds[0].resource.kind} {read.deeds[0].resource.name}".strip()
        case "shown":
            return read.shown
        case _:
            return told(read.deeds[0].facts[asked])


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_request_does_what_its_vector_says(path: Path) -> None:
    expected, _ = parsed(path)
    one = reading(path)
    why = str(one.deeds[-1].facts["why_unknown"])
    for asked, value in expected.items():
        if asked == "unknown":
            assert value in why
        elif asked == "fault":
            assert value in one.fault
            assert bool(value) is bool(one.fault)
        elif asked != "shape":
            assert found(one, asked) == value, asked
    if "unknown" in expected.get("expect", "").rpartition(" ")[0]:
        assert why
        assert "fault" in expected or not one.fault


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_every_deed_of_a_request_carries_every_fact(path: Path) -> None:
    for deed in reading(path).deeds:
        assert deed.facts.keys() == FACTS.keys()
        assert all(type(deed.facts[name]) is type(value) for name, value in FACTS.items())
        assert deed.reach.rank >= 0
        assert deed.verb in VERBS


def test_there_are_enough_requests_and_every_verb_has_one() -> None:
    assert len(VECTORS) >= 150
    assert {deed.verb for path in VECTORS for deed in reading(path).deeds} == VERBS.keys()
