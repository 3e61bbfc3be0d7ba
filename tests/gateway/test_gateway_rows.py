"""What a session's row counts."""

from gatebook.gateway.rows import Counts
from gatebook.model import Ruling


def test_a_held_action_counts_as_refused_until_people_said_yes() -> None:
    counts = Counts()
    for seq, ruling in ((1, Ruling.ALLOW), (2, Ruling.APPROVE), (3, Ruling.BLOCK)):
        counts.decided(seq, ruling)
    assert (counts.actions, counts.refused) == (3, 2)
    counts.decided(2, Ruling.ALLOW)
    assert (counts.actions, counts.refused) == (3, 1)
    assert not counts.held
