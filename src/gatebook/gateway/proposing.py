"""Scripts that are proposed whole: what each statement of one is, and what the policy says to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from gatebook.access.requests import Part, Script
from gatebook.model import Deed, Ruling, Verdict
from gatebook.policy.decide import Decision
from gatebook.protocols.postgres.script import Place, outline
from gatebook.protocols.relay import Ask

RESOURCES = 20  # of one statement that are named
REASON_CHARACTERS = 1_000

Ruled = tuple[tuple[Deed, Verdict], ...]


def script(ask: Ask, by_deed: Sequence[Verdict]) -> Script:
    """The script that this asks for, as people are to see it."""
    data, places = ask.action.text.encode(errors="surrogatepass"), _places(ask)
    parts = tuple(_part(place, ruled) for place, ruled in zip(places, _statements(ask, by_deed), strict=True))
    return Script(sha256=hashlib.sha256(data).hexdigest(), size=len(data), parts=parts)


def reasons(verdict: Verdict, by_deed: Iterable[Verdict]) -> str:
    """Why a whole script is held: each reason once."""
    found = dict.fromkeys(one.reason for one in by_deed if one.ruling is Ruling.APPROVE and one.reason)
    return "; ".join(found)[:REASON_CHARACTERS] or verdict.reason


def blocked_at(ask: Ask, decision: Decision) -> tuple[Decision, int]:
    """The decision that blocks a script, saying by which statement, and the position of that in the text, or 0."""
    verdict, places = decision.verdict, _places(ask)
    for number, (place, ruled) in enumerate(zip(places, _statements(ask, decision.by_deed), strict=True), 1):
        if any(one.ruling is Ruling.BLOCK and one.rule == verdict.rule for _, one in ruled):
            reason = f"statement {number} of {len(places)}, line {place.line}: {verdict.reason}"
            return replace(decision, verdict=replace(verdict, reason=reason)), place.position
    return decision, 0


def _places(ask: Ask) -> tuple[Place, ...]:
    """Where each statement begins; all at the beginning where that cannot be told."""
    places = outline(ask.action.text)
    return places if len(places) == len(ask.parts) else (Place(1, 1),) * len(ask.parts)


def _statements(ask: Ask, by_deed: Sequence[Verdict]) -> Iterator[Ruled]:
    """The deeds of each statement, with their verdicts."""
    ruled, at = tuple(zip(ask.action.deeds, by_deed, strict=True)), 0
    for count in ask.parts:
        yield ruled[at : at + count]
        at += count


def _part(place: Place, ruled: Ruled) -> Part:
    strictest = max((verdict.ruling for _, verdict in ruled), key=lambda ruling: ruling.rank, default=Ruling.BLOCK)
    said = [verdict for _, verdict in ruled if verdict.ruling is strictest]
    furthest = max((deed for deed, _ in ruled), key=lambda deed: deed.reach.rank)
    return Part(
        line=place.line,
        verb=furthest.verb,
        reach=furthest.reach,
        resources=tuple(dict.fromkeys(deed.resource.name for deed, _ in ruled if deed.resource.name))[:RESOURCES],
        ruling=strictest,
        rule=", ".join(dict.fromkeys(verdict.rule for verdict in said)),
        reason="; ".join(dict.fromkeys(verdict.reason for verdict in said if verdict.reason))[:REASON_CHARACTERS],
    )
