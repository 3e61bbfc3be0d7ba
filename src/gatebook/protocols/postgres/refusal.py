"""How PostgreSQL clients hear a refusal: SQLSTATE 42501, the rule in the message, compact JSON in DETAIL, advice in HINT."""

from __future__ import annotations

import json

from gatebook.model import Action, Ceiling, RefusalClass, Verdict
from gatebook.protocols.postgres import wire
from gatebook.protocols.refused import explained, told, why_unknown
from gatebook.protocols.relay import NO_IDENTITY, Held, Refused

INSUFFICIENT_PRIVILEGE = "42501"
NO_PORTAL = "34000"  # invalid_cursor_name, as a portal that ended with its transaction has it
CHANGED = "changed-since-preview"  # the rule's name when an approved write would change other rows than people saw

NOT_LOOKED_UP = wire.error_response(
    "ERROR",
    "58000",
    "a statement of this batch could not be looked up in the target's catalog",
    hint="Send it in a batch of its own, behind a Sync.",
)


def statement_refused(action: Action, refused: Refused, position: int = 0, code: str = "") -> bytes:
    """The ErrorResponse that stands in for the refused statement's own error."""
    return wire.error_response(
        "ERROR",
        code or INSUFFICIENT_PRIVILEGE,
        told(action, refused.verdict),
        detail=json.dumps(explained(action, refused, why_unknown(action)), separators=(",", ":"), ensure_ascii=False),
        hint=_hint(refused.verdict, refused.refusal),
        position=refused.position or position,
    )


def over_ceiling(action: Action, ceiling: Ceiling, decision: str, why: str) -> bytes:
    """The ErrorResponse for a statement that changed too many rows and was undone. It does not say how many."""
    fields: dict[str, object] = {
        "decision": decision,
        "rule": ceiling.rule,
        "class": str(RefusalClass.FIX),
        "verb": action.verb,
        "reach": str(action.reach),
        "resources": [resource.name for resource in action.resources if resource.name],
        "most_rows": ceiling.rows,
    }
    return wire.error_response(
        "ERROR",
        INSUFFICIENT_PRIVILEGE,
        f"blocked by {ceiling.rule}: {why}; it was undone",
        detail=json.dumps(fields, separators=(",", ":"), ensure_ascii=False),
        hint=f"Narrow its condition so that it changes at most {ceiling.rows} rows, and send it again.",
    )


def changed_since(action: Action, decision: str, why: str) -> bytes:
    """The ErrorResponse for an approved statement that would have changed other rows than people saw, and was undone."""
    fields: dict[str, object] = {
        "decision": decision,
        "rule": CHANGED,
        "class": str(RefusalClass.ASK),
        "verb": action.verb,
        "reach": str(action.reach),
        "resources": [resource.name for resource in action.resources if resource.name],
    }
    return wire.error_response(
        "ERROR",
        INSUFFICIENT_PRIVILEGE,
        f"blocked by {CHANGED}: {why}; it was undone, and its approval is used up",
        detail=json.dumps(fields, separators=(",", ":"), ensure_ascii=False),
        hint="Send it again: people are asked anew, and see the rows as they are now.",
    )


def held(waiting: Held) -> bytes:
    """The one NOTICE that a held statement gets."""
    fields = {"approval": waiting.approval, "rule": waiting.rule, "class": "wait", "follow": waiting.link}
    who = ", ".join(sorted(waiting.approvers))
    return wire.notice_response(
        f"held by {waiting.rule}: {waiting.reason}; waiting at most {waiting.seconds} s for {who}",
        detail=json.dumps(fields, separators=(",", ":")),
        hint=f"Follow it at {waiting.link}. Cancel (Ctrl-C in psql) withdraws it.",
    )


def start_held(waiting: Held) -> bytes:
    """The FATAL for startup settings that people would have to approve."""
    return wire.error_response(
        "FATAL",
        "28000",
        f"session refused: its startup settings are held by {waiting.rule}: {waiting.reason}",
        hint="Connect without them and SET them then; or with -c gatebook.hold=answer, and again once they are approved.",
    )


def withdrawn() -> bytes:
    """The error of a held statement whose client cancelled it."""
    return wire.error_response("ERROR", "57014", "canceling statement due to user request: it is withdrawn")


def _hint(verdict: Verdict, refusal: RefusalClass) -> str:
    if refusal is RefusalClass.FIX:
        return verdict.instead or "Change the statement and send it again."
    if refusal is RefusalClass.ASK:
        who = ", ".join(sorted(verdict.approvers)) or "an approver"
        return f"This needs the approval of {who}. {verdict.instead}".strip()
    if refusal is RefusalClass.WAIT:
        return verdict.instead or "An approval is pending; send the same statement again once it is given."
    return verdict.instead or "No approval changes this."


def session_refused(verdict: Verdict, decision: str) -> bytes:
    """The FATAL that ends a session before it began."""
    code, start = ("28P01", "token refused") if verdict.rule == NO_IDENTITY else ("28000", "session refused")
    detail = json.dumps({"decision": decision, "rule": verdict.rule}, separators=(",", ":"))
    return wire.error_response("FATAL", code, f"{start}: {verdict.reason}", detail=detail, hint=verdict.instead)


def too_many(why: str) -> bytes:
    """The FATAL for a client that finds no place, as a server without a free connection says it."""
    return wire.error_response("FATAL", "53300", why)
