"""Deciding: who, what and when in; allow, approve or block out.

Each deed is a request of its own. It is evaluated; if it is denied it is evaluated once more as if approved, and if that
allows, the ruling is approve, by the approvers of every forbid that denied. A forbid without ``@approvers`` is final. The
strictest ruling of the deeds is the action's; masks and approvers unite.

Closed unless proven open: an evaluation with any error, a request the schema does not know, a value that cannot be said in
Cedar, an action without a deed and an identity whose time is over are all block. Raising allow to mask is not done here, since
the rules do not know which columns an answer has: ``gateway.judge`` does it.

Masks: those the target is configured with and those of every permit that allowed, less those that such a permit lifts by
``@unmask``. Over several deeds they unite, so that a mask is lifted only where every deed lifts it.

Ceilings: of those of every permit that allowed a deed that is more than a read, over all deeds, the least holds.

Decisions are kept by their exact inputs until the identity's time is over or the next whole minute, whichever is first. This
file reads no clock and knows no protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from cedarpy import Decision as Answer
from cedarpy import Entities, is_authorized

from gatebook.model import Action, Ceiling, Deed, Hold, Identity, Reach, Ruling, Target, Verdict
from gatebook.policy import checks
from gatebook.policy.request import MINUTE, Circumstances, Request, entities, request
from gatebook.policy.rules import Enforced, Policy, Rule
from gatebook.policy.schema import SCHEMA

DEEDS_MAX = 500  # in one text: at 0.1 to 0.3 ms each, more would hold up everybody else
KEPT_DEEDS_MAX = 16  # in a decision that is kept: longer texts seldom come twice and would fill the cache

__all__ = ["Circumstances", "Decision", "decide", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, whole and deed by deed.

    ``unmasked`` are the mask sets that would cover the answer had no rule lifted them. ``shadow`` has, for each rule in shadow
    that would have taken part, the ruling there would have been. ``faults`` is what the engine objected to, for operators.
    """

    verdict: Verdict
    by_deed: tuple[Verdict, ...]
    unmasked: frozenset[str] = frozenset()
    shadow: tuple[tuple[str, Ruling], ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """One answer of the engine: the ``@id``s that determined it, sorted, and its errors."""

    allowed: bool
    rules: tuple[str, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found about one deed; ``rules`` are all that took part, the first is the one to name."""

    ruling: Ruling
    rules: tuple[str, ...]
    reason: str
    masks: frozenset[str] = frozenset()
    lifted: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()
    instead: str = ""
    hold: Hold | None = None
    faults: tuple[str, ...] = ()
    ceiling: Ceiling | None = None

    def told(self, one: Request) -> _Found:
        """With names of what the deed does where the rule's texts leave room for them, as ``{tests_masked}``."""
        return replace(
            self, reason=checks.filled(self.reason, one.contexts[0]), instead=checks.filled(self.instead, one.contexts[0])
        )


def judge(
    policy: Policy,
    *,
    identity: Identity,
    target: Target,
    deeds: Sequence[Deed],
    circumstances: Circumstances,
    masks: frozenset[str] = frozenset(),
) -> tuple[Verdict, ...]:
    """A verdict for each deed. ``masks`` are the target's configured mask sets."""
    return _decide(policy, identity, target, tuple(deeds), circumstances, masks).by_deed


def decide(
    policy: Policy,
    *,
    identity: Identity,
    target: Target,
    action: Action,
    circumstances: Circumstances,
    masks: frozenset[str],
) -> Decision:
    """The verdict on an action as a whole, and how it came about. ``masks`` are the target's configured mask sets."""
    return _decide(policy, identity, target, action.deeds, circumstances, masks)


def _decide(
    policy: Policy,
    identity: Identity,
    target: Target,
    deeds: tuple[Deed, ...],
    circumstances: Circumstances,
    masks: frozenset[str],
) -> Decision:
    until = min(identity.expires_at, (circumstances.now // MINUTE + 1) * MINUTE)
    whole = _whole(identity, deeds, circumstances)
    if whole:
        return _decision(policy, [whole] * len(deeds), whole, masks, until)
    key = _key(identity, target, deeds, circumstances, masks)
    kept: Decision | None = policy.cache.get(key, circumstances.now)
    if kept is None:
        kept = _evaluate_all(policy, identity, target, deeds, circumstances, masks, until)
        if len(deeds) <= KEPT_DEEDS_MAX:
            policy.cache.put(key, kept, until)
    return kept


def _whole(identity: Identity, deeds: Sequence[Deed], circumstances: Circumstances) -> _Found | None:
    """What blocks an action before any rule is asked."""
    if identity.expires_at <= circumstances.now:
        return _blocked(checks.EXPIRED, "the proof of identity is over: connect again with a fresh token")
    if len(deeds) > DEEDS_MAX:
        return _blocked(checks.TOO_MANY, f"the text does more than {DEEDS_MAX} things at once: send it in parts")
    return None if deeds else _failed("an action without a deed")


def _key(
    identity: Identity, target: Target, deeds: Sequence[Deed], circumstances: Circumstances, masks: frozenset[str]
) -> bytes:
    """All that a decision depends on but the policy, under one digest: texts can be long, and many are kept.

    ``repr`` keeps apart what compares equal, as 1 and True; of two equal sets it may make different keys, which costs a miss.
    """
    attributes = [(name, one.value, one.attested) for name, one in identity.attributes.items()]
    who = (identity.issuer, identity.subject, identity.kind, identity.groups, attributes, identity.expires_at)
    where = (target.name, target.protocol, list(target.labels.items()), masks)
    when = (circumstances.now // MINUTE, replace(circumstances, now=0))
    what = [(deed.verb, deed.reach, deed.resource.kind, deed.resource.name, list(deed.facts.items())) for deed in deeds]
    return sha256(repr((who, where, when, what)).encode("utf-8", "surrogatepass")).digest()


def _evaluate_all(
    policy: Policy,
    identity: Identity,
    target: Target,
    deeds: Sequence[Deed],
    circumstances: Circumstances,
    masks: frozenset[str],
    until: int,
) -> Decision:
    try:
        requests = tuple(request(identity, target, deed, circumstances) for deed in deeds)
        known = Entities.from_json_str(entities(identity, target, deeds), SCHEMA)
    except ValueError as error:
        failed = _failed(str(error))
        return _decision(policy, [failed] * len(deeds), failed, masks, until)
    approved = circumstances.approved
    found = {one: _find(policy, policy.enforced, one, known, approved) for one in dict.fromkeys(requests)}
    strictest = max(found.values(), key=lambda one: one.ruling.rank)
    decision = _decision(policy, [found[one] for one in requests], strictest, masks, until)
    return replace(decision, shadow=_shadow(policy, found, known, approved))


def _find(policy: Policy, enforced: Enforced, one: Request, known: Entities, approved: bool) -> _Found:
    """The ruling on one deed by these rules."""
    first = _evaluate(enforced, one, known, approved)
    if first.errors:
        return _failed(*first.errors)
    if first.allowed:
        return _allowed(policy, one, first.rules)
    denied = [policy.rules[name] for name in first.rules]
    final = [rule for rule in denied if not rule.approvers]
    if final or approved or not denied:
        return _denied(final or denied, one)
    second = _evaluate(enforced, one, known, approved=True)
    if second.errors:
        return _failed(*second.errors)
    if not second.allowed:
        return _denied([policy.rules[name] for name in second.rules], one)
    granted = _allowed(policy, one, second.rules)
    return _Found(
        Ruling.APPROVE,
        first.rules,
        _reason(denied),
        granted.masks,
        granted.lifted,
        frozenset().union(*(rule.approvers for rule in denied)),
        denied[0].instead,
        _hold(rule.hold for rule in denied),
        ceiling=granted.ceiling,
    ).told(one)


def _evaluate(enforced: Enforced, one: Request, known: Entities, approved: bool) -> _Evaluated:
    try:
        answer = is_authorized(one.asked(approved=approved), enforced.rules, known, SCHEMA)
    except ValueError as error:
        return _Evaluated(allowed=False, rules=(), errors=(str(error),))
    errors = tuple(answer.diagnostics.errors)
    if answer.decision is Answer.NoDecision and not errors:
        errors = ("the engine gave no decision",)
    rules = tuple(sorted(enforced.ids[place] for place in answer.diagnostics.reasons))
    return _Evaluated(answer.allowed, rules, errors)


def _allowed(policy: Policy, one: Request, names: tuple[str, ...]) -> _Found:
    rules = [policy.rules[name] for name in names]
    masks = frozenset().union(*(rule.masks for rule in rules))
    lifted = frozenset().union(*(rule.unmasks for rule in rules))
    ceiling = _least(rule.ceiling for rule in rules) if one.reach is not Reach.READ else None
    return _Found(Ruling.ALLOW, names, rules[0].reason, masks, lifted, ceiling=ceiling)


def _denied(rules: Sequence[Rule], one: Request) -> _Found:
    """Block, by these forbids; without any, because nothing permits it."""
    if not rules:
        return _blocked(checks.NO_RULE, f"no rule permits {one.action.id} here")
    names = tuple(rule.id for rule in rules)
    return _Found(Ruling.BLOCK, names, _reason(rules), instead=rules[0].instead).told(one)


def _hold(said: Iterable[Hold | None]) -> Hold | None:
    """What becomes of it where several have a say: one that has it answered at once is enough."""
    holds = frozenset(said)
    return next((one for one in (Hold.ANSWER, Hold.WAIT) if one in holds), None)


def _least(ceilings: Iterable[Ceiling | None]) -> Ceiling | None:
    return min((one for one in ceilings if one is not None), default=None)


def _reason(rules: Sequence[Rule]) -> str:
    """The first rule's reason, and the names of the others."""
    others = ", ".join(rule.id for rule in rules[1:])
    also = f"also by {others}" if others else ""
    return f"{rules[0].reason} ({also})" if rules[0].reason and also else rules[0].reason or also


def _blocked(rule: str, reason: str) -> _Found:
    return _Found(Ruling.BLOCK, (rule,), reason)


def _failed(*faults: str) -> _Found:
    """Block, because an evaluation failed. What failed may quote the request, so only operators see it."""
    reason = "the policy could not be evaluated for this, so it is blocked"
    return _Found(Ruling.BLOCK, (checks.POLICY_ERROR,), reason, faults=faults)


def _decision(policy: Policy, found: Sequence[_Found], strictest: _Found, masks: frozenset[str], until: int) -> Decision:
    by_deed = tuple(_verdict(policy, one, masks, until) for one in found)
    united = frozenset().union(*(verdict.masks for verdict in by_deed)) if by_deed else masks
    approvers: frozenset[str] = frozenset().union(*(verdict.approvers for verdict in by_deed))
    held = strictest.ruling is Ruling.APPROVE
    verdict = replace(
        _verdict(policy, strictest, masks, until),
        masks=united,
        approvers=approvers if held else frozenset(),
        hold=_hold(one.hold for one in by_deed) if held else None,
        ceiling=_least(one.ceiling for one in by_deed),
    )
    return Decision(
        verdict=verdict,
        by_deed=by_deed,
        unmasked=masks.union(*(one.masks for one in found)) - united,
        faults=tuple(dict.fromkeys(fault for one in (strictest, *found) for fault in one.faults)),
    )


def _verdict(policy: Policy, found: _Found, masks: frozenset[str], until: int) -> Verdict:
    return Verdict(
        ruling=found.ruling,
        rule=found.rules[0],
        reason=found.reason,
        policy_digest=policy.digest,
        masks=(masks | found.masks) - found.lifted,
        approvers=found.approvers,
        until=until,
        instead=found.instead,
        hold=found.hold,
        ceiling=found.ceiling,
    )


def _shadow(policy: Policy, requests: Iterable[Request], known: Entities, approved: bool) -> tuple[tuple[str, Ruling], ...]:
    """What each rule in shadow would have made of it, one rule at a time."""
    shadow = []
    for name, enforced in policy.shadows.items():
        found = [_find(policy, enforced, one, known, approved) for one in requests]
        if any(name in one.rules or one.faults for one in found):
            shadow.append((name, max((one.ruling for one in found), key=lambda ruling: ruling.rank)))
    return tuple(shadow)
