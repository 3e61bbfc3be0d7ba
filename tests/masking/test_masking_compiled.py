"""What the compiled twin covers with stars is what the Python one does: same bytes, same spots, same limit."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.masking.pieces import PIECES, VECTORS, numberish, texts

from gatebook.masking import compiled
from gatebook.masking.detectors import NAMES, WORK, OverworkError, Spot, Work, scan

pytestmark = pytest.mark.skipif(compiled.crate is None, reason="the compiled twin is not installed")

lines = st.lists(
    st.one_of(texts, numberish, st.sampled_from([b"\n", b"\n", b"\r\n", b" 2026-11-22 12:34:56.789 200 4829201 12ms "])),
    max_size=12,
).map(b"".join)


def covered(data: bytes, names: frozenset[str], limit: int = WORK) -> tuple[bytes, list[Spot]] | None:
    """By the Python twin; None where the work does not suffice."""
    chosen, work = scan(names), Work(limit)
    try:
        return chosen.blot(data, chosen.suspects(data, work), work)
    except OverworkError:
        return None


def compiled_covered(data: bytes, names: frozenset[str], limit: int = WORK) -> tuple[bytes, list[Spot]] | None:
    try:
        found = compiled.blot(names, data, limit)
    except OverworkError:
        return None
    assert found is not None, "no limit of the engine is met by so little"
    return found


@settings(max_examples=600)
@given(lines)
@example(b"\\u00390123 456789 ")
@example(b"4111 1111 1111 1111.0")
@example(b"4111111111111111.01")
@example(b"(030) 123456 (0301) 123 4567/1")
@example(b"3782 822463 10005-x")
@example(b"01 23 45 67 89 01.23.45.67.89x")
def test_a_text_is_covered_alike(data: bytes) -> None:
    assert compiled_covered(data, NAMES) == covered(data, NAMES)


@given(lines, st.sets(st.sampled_from(sorted(NAMES))))
def test_by_any_choice_of_detectors(data: bytes, names: set[str]) -> None:
    assert compiled_covered(data, frozenset(names)) == covered(data, frozenset(names))


@given(lines, st.integers(0, 20_000))
def test_with_any_limit_of_work(data: bytes, limit: int) -> None:
    assert compiled_covered(data, NAMES, limit) == covered(data, NAMES, limit)


@pytest.mark.parametrize("piece", [*PIECES, *VECTORS])
@pytest.mark.parametrize(
    "around", [b" %b ", b"\n%b\n%b\n", b"1%b1", b"12 %b/3", b"(%b)", b"x%b%b", b"4111 1111 1111 1111 %b-%b"]
)
def test_wherever_it_stands(piece: bytes, around: bytes) -> None:
    data = around.replace(b"%b", piece)
    assert compiled_covered(data, NAMES) == covered(data, NAMES)


def test_what_has_nothing_to_cover_stays_the_same_object() -> None:
    data = b"2026-11-22 12:34:56 GET /orders/4829201 200 1048576 12ms\n" * 50
    found = compiled_covered(data, NAMES)
    assert found is not None
    assert found[0] is data
    assert found[1] == []
