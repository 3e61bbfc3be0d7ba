"""The one place where permits are made: from a verdict that lets an action go, and the receipt that it stands in the book."""

from __future__ import annotations

from collections.abc import Mapping

from gatebook.model import NOTHING, Action, Permit, Receipt, Ruling, Verdict


def permit(action: Action, verdict: Verdict, receipt: Receipt, held_to: Mapping[str, str] = NOTHING) -> Permit:
    """The key to the target for this one action. Raises AssertionError for a verdict that does not let it go.

    ``held_to`` is what its execution must keep to.
    """
    if verdict.ruling not in (Ruling.ALLOW, Ruling.MASK):
        raise AssertionError(f"no permit for ruling {verdict.ruling}")
    return Permit(
        action=action,
        masks=verdict.masks,
        receipt=receipt,
        until=verdict.until,
        conditions=held_to,
        ceiling=verdict.ceiling,
    )
