"""What becomes of what is held: the rule has its say first, then the client."""

from __future__ import annotations

import pytest

from gatebook.errors import AccessError
from gatebook.gateway.holding import holds
from gatebook.model import Hold, Ruling, Verdict


def held(hold: Hold | None) -> Verdict:
    return Verdict(ruling=Ruling.APPROVE, rule="ask", reason="careful", policy_digest="", hold=hold)


@pytest.mark.parametrize(
    ("wanted", "ruled", "found"),
    [
        (Hold.WAIT, None, Hold.WAIT),
        (Hold.ANSWER, None, Hold.ANSWER),
        (Hold.WAIT, Hold.ANSWER, Hold.ANSWER),
        (Hold.ANSWER, Hold.WAIT, Hold.WAIT),
        (Hold.PROPOSE, None, Hold.PROPOSE),
        (Hold.PROPOSE, Hold.ANSWER, Hold.PROPOSE),
        (Hold.RESUME, Hold.ANSWER, Hold.RESUME),
    ],
)
def test_a_rule_has_its_way_and_else_the_client(wanted: Hold, ruled: Hold | None, found: Hold) -> None:
    assert holds(wanted, held(ruled)) is found


@pytest.mark.parametrize("wanted", [Hold.PROPOSE, Hold.RESUME])
def test_what_has_its_requester_wait_cannot_be_proposed_for_later(wanted: Hold) -> None:
    with pytest.raises(AccessError, match="cannot be proposed"):
        holds(wanted, held(Hold.WAIT))
