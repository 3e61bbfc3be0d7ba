"""Contents that anyone can read: type, rules, what comes in, and what the client gets of it or that it gets nothing."""

from pathlib import Path

import pytest
from tests.protocols.http.covering.stage import answer, fed, mask_set, plan

from gatebook.errors import WireError
from gatebook.masking.rules import Style
from gatebook.protocols.http.covering.choosing import Covered

VECTORS = Path(__file__).parents[3] / "vectors" / "covering"
FILES = sorted(VECTORS.glob("*.txt"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("step", [10_000, 7, 1])
def test_a_content_is_covered_as_its_vector_says(file, step):
    head, _, rest = file.read_text("utf-8").removesuffix("\n").partition("\n\n")
    said = dict(line.split(": ", 1) for line in head.splitlines())
    content, _, expected = rest.partition("\n==>\n")
    rules = said.get("rules", "").split()
    chosen = plan(mask_set(Style.REDACT, *rules)) if rules else plan()
    data = content.encode()

    def shown() -> str:
        choice = answer(said["type"], chosen)
        if not isinstance(choice, Covered):
            raise WireError(choice.why)
        return fed(choice.coverer, data, range(step, len(data), step)).decode()

    if said["expect"] == "refuse":
        with pytest.raises(WireError):
            shown()
    else:
        assert shown() == expected
        assert "hush" not in expected


def test_there_are_vectors_of_both_kinds():
    kinds = [file.read_text("utf-8").partition("expect: ")[2].split()[0] for file in FILES]
    assert {"cover", "refuse"} == set(kinds)
    assert len(kinds) >= 20
