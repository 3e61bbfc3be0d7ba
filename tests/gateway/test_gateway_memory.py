"""When free pages of the heap are given back."""

from __future__ import annotations

from gatebook.gateway.memory import FREE_BYTES, Heap


def gives_back(*free: int) -> list[int]:
    """What was free when it was given back, of looks that find so much."""
    given: list[int] = []
    at = iter(free)
    now = [0]

    def look() -> int:
        now[0] = next(at)
        return now[0]

    heap = Heap(look, lambda: given.append(now[0]))
    for _ in free:
        heap.look()
    return given


def test_much_that_became_free_is_given_back_once() -> None:
    assert gives_back(1000, FREE_BYTES, FREE_BYTES, FREE_BYTES + 1000) == [FREE_BYTES]


def test_what_became_free_since_is_given_back_too() -> None:
    assert gives_back(FREE_BYTES, 2 * FREE_BYTES) == [FREE_BYTES, 2 * FREE_BYTES]


def test_what_was_taken_again_counts_anew_once_it_is_free() -> None:
    assert gives_back(FREE_BYTES, 0, FREE_BYTES - 1, FREE_BYTES) == [FREE_BYTES, FREE_BYTES]


def test_the_allocator_of_this_machine_can_be_asked() -> None:
    Heap().look()
