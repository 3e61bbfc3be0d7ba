"""Every file in tests/vectors/sql: header lines that say what is expected, a blank line, the text."""

from pathlib import Path

import pytest

from gatebook.protocols.postgres.reading import FACTS, VERBS, Output, Reading
from gatebook.protocols.postgres.statement import read

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "sql").glob("*.sql"))
WHERE_VERBS = ("sql.update", "sql.delete", "sql.merge")


def parsed(path: Path) -> tuple[dict[str, str], str]:
    header, _, text = path.read_text().partition("\n\n")
    return dict(line.split(": ", 1) for line in header.splitlines()), text


def words(values: frozenset[str]) -> str:
    return " ".join(sorted(values)) or "-"


def shown(outputs: tuple[Output, ...] | None) -> str:
    if outputs is None:
        return "unknown"
    items = [("star " if o.star else "") + (",".join(sorted(o.columns)) or "-") + ("" if o.certain else "?") for o in outputs]
    return " | ".join(items) or "none"


def fact(reading: Reading, name: str) -> frozenset[str]:
    return frozenset().union(*(deed.facts[name] for deed in reading.deeds))


def found(reading: Reading, asked: str) -> str:
    match asked:
        case "expect":
            reach = max((deed.reach for deed in reading.deeds), key=lambda reach: reach.rank)
            return " ".join([*sorted({deed.verb for deed in reading.deeds}), reach])
        case "where":
            conditions = {deed.facts["has_where"] for deed in reading.deeds if deed.verb in WHERE_VERBS}
            return "yes" if conditions == {True} else "no"
        case "outputs":
            return shown(reading.statements[-1].outputs)
        case "moves":
            return words(frozenset().union(*(statement.moves for statement in reading.statements)))
        case "tables" | "columns" | "functions":
            return words(fact(reading, asked))
        case "setting":
            named = [str(deed.facts[asked]) for deed in reading.deeds if deed.verb in ("sql.session", "sql.setting")]
            return " ".join(named or [str(reading.deeds[-1].facts[asked])])
        case "statements" | "copies_to":
            return str(reading.deeds[-1].facts[asked])
        case "unknown":
            return next((str(deed.facts["why_unknown"]) for deed in reading.deeds if deed.facts["why_unknown"]), "")
        case _:
            raise AssertionError(f"no header line is called {asked!r}")


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_text_does_what_its_vector_says(path: Path) -> None:
    expected, text = parsed(path)
    reading = read(text)
    for asked, value in expected.items():
        said = found(reading, asked)
        if asked == "unknown":
            assert value in said
        elif asked in ("tables", "columns", "functions", "moves"):
            assert said.split() == sorted(value.split()), asked
        else:
            assert said == value.replace(" ?", "?"), asked


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_every_deed_of_a_vector_carries_every_fact(path: Path) -> None:
    for deed in read(parsed(path)[1]).deeds:
        assert deed.facts.keys() == FACTS.keys()
        assert deed.reach is VERBS[deed.verb]
        assert all(type(deed.facts[name]) is type(value) for name, value in FACTS.items())


def test_there_are_enough_vectors_and_every_verb_has_one() -> None:
    verbs = {deed.verb for path in VECTORS for deed in read(parsed(path)[1]).deeds}
    assert len(VECTORS) >= 150
    assert verbs == set(VERBS)
