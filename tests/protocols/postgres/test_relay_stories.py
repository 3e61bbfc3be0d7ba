"""The relay between peers who send what they like: what holds for the written playbooks holds for stories nobody wrote."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.relays import Story


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**64), st.integers(1, 80))
def test_whatever_client_server_and_verdicts_do_the_relay_keeps_its_promises(seed: int, steps: int) -> None:
    Story(Random(seed)).play(steps)


def test_the_stories_are_about_something() -> None:
    """Else every promise would be kept by a relay that hangs up at once."""
    told = [Story(Random(seed)) for seed in range(80)]
    for story in told:
        story.play(80)
    assert sum(len(story.permits) for story in told) > 250
    assert sum(story.over for story in told) > 5
    assert sum(not story.over for story in told) > 5
