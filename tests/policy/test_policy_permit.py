"""Permits: made in one place, from a verdict that lets the action go."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.policy.parties import action, deed

import gatebook
from gatebook.model import Receipt, Ruling, Verdict
from gatebook.policy.permit import permit

RECEIPT = Receipt(log="demo", index=7)


def verdict(ruling: Ruling) -> Verdict:
    return Verdict(ruling=ruling, rule="r", reason="", policy_digest="", masks=frozenset({"pii"}), until=5)


@pytest.mark.parametrize("ruling", [Ruling.ALLOW, Ruling.MASK])
def test_a_permit_carries_the_action_its_masks_and_its_receipt(ruling: Ruling) -> None:
    asked = action(deed())
    made = permit(asked, verdict(ruling), RECEIPT)
    assert (made.action, made.masks, made.receipt, made.until) == (asked, {"pii"}, RECEIPT, 5)


@pytest.mark.parametrize("ruling", [Ruling.APPROVE, Ruling.BLOCK])
def test_what_may_not_go_gets_no_permit(ruling: Ruling) -> None:
    with pytest.raises(AssertionError, match=f"no permit for ruling {ruling}"):
        permit(action(deed()), verdict(ruling), RECEIPT)


def test_permits_are_made_in_one_place_only() -> None:
    root = Path(gatebook.__file__).parent
    calls = [path for path in root.rglob("*.py") if re.search(r"\bPermit\(", path.read_text("utf-8"))]
    assert [path.relative_to(root).as_posix() for path in calls] == ["policy/permit.py"]
