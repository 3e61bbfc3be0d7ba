"""What a refusal tells, whichever protocol's form it takes: a sentence for people, and all that a program needs to go on."""

from __future__ import annotations

from typing import Any

from gatebook.model import Action, Verdict
from gatebook.protocols.relay import Refused


def told(action: Action, verdict: Verdict) -> str:
    """The refusal in a sentence."""
    why = why_unknown(action)
    return f"blocked by {verdict.rule}: {verdict.reason}" + (f" ({why})" if why else "")


def explained(action: Action, refused: Refused, why: str = "") -> dict[str, Any]:
    """What a program may want to know of it; ``why`` is why the text could not be read, where nothing else says that."""
    verdict = refused.verdict
    found: dict[str, Any] = {
        "decision": refused.decision,
        "rule": verdict.rule,
        "class": str(refused.refusal),
        "verb": action.verb,
        "reach": str(action.reach),
        "resources": [resource.name for resource in action.resources if resource.name],
    }
    if why:
        found["why"] = why
    if verdict.instead:
        found["instead"] = verdict.instead
    if verdict.approvers:
        found["approvers"] = sorted(verdict.approvers)
    if refused.approval:
        found |= {"approval": refused.approval, "follow": refused.link}
    return found


def why_unknown(action: Action) -> str:
    """Why its text could not be inspected, or ``""``."""
    return next((str(deed.facts["why_unknown"]) for deed in action.deeds if deed.facts.get("why_unknown")), "")
