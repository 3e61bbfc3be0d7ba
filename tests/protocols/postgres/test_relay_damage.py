"""Sessions of real clients through the relay: whole they go to their end, and damaged they keep every promise."""

import pytest
from tests.fuzz.damage import explore, told
from tests.fuzz.recorded import Step, recorded

RECORDED = recorded()


@pytest.mark.parametrize("steps", RECORDED.values(), ids=RECORDED)
def test_a_recorded_session_goes_to_its_end(steps: list[Step]) -> None:
    """Else the relay has changed what it asks for itself: record them anew, ``python -m tests.fuzz.recorded``."""
    story = told(steps, seed=0)
    assert story.why == "the client said goodbye"
    assert len(story.permits) > 5


def test_a_damaged_session_breaks_no_promise() -> None:
    """More of it, for as long as you like: ``python -m tests.fuzz.damage --seconds 600``."""
    stories, ends = explore(seed=1, seconds=60, stories=500)
    assert stories == 500
    assert ends > 40
