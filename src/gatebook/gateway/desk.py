"""Where it is decided: who may open which target, and which action may go. Policy, book and permit in this order.

An unknown target and one that the policy closes to somebody are answered with the same words, so that nobody learns which
targets exist; the book has the true reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from gatebook.config import Config, KubernetesTarget, PostgresTarget, TargetConfig
from gatebook.gateway.book import Book, new_id
from gatebook.gateway.granted import Granted
from gatebook.gateway.judge import Judge, at_fault
from gatebook.gateway.proposing import blocked_at
from gatebook.gateway.recent import Recent, Ruled
from gatebook.gateway.store import Decided
from gatebook.gateway.tokens import token_keys
from gatebook.masking.detectors import cover_text
from gatebook.masking.rules import Style
from gatebook.model import NOTHING, Action, Deed, Identity, Permit, Reach, RefusalClass, Resource, Ruling, Session, Verdict
from gatebook.policy.decide import Circumstances, Decision
from gatebook.policy.permit import permit
from gatebook.protocols.kubernetes.covering import secrets_set
from gatebook.protocols.relay import Allowed, Ask, Covering, Prove, Refused

NOT_OPEN = "not-open-to-you"
OTHER_PURPOSE = "other-purpose"
USED = "the approval was used, perhaps by the same sent beside it, or is over"
SAY_WHY = (
    "Where a purpose is asked for, state one: gatebook connect TARGET --why TICKET, or PGOPTIONS='-c gatebook.why=TICKET'."
)

log = structlog.get_logger("gatebook.desk")


@dataclass(frozen=True, slots=True)
class Welcome:
    """A session that may begin, on this target, in this role of it."""

    session: Session
    target: TargetConfig
    role: str
    database: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Turned:
    """A session that may not begin: what the client hears, and why in truth, for the book."""

    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Needs:
    """An action that goes on only with people's yes; ``by_deed`` is what the policy says to each of its deeds."""

    verdict: Verdict
    decision: str
    by_deed: tuple[Verdict, ...]


class Desk:
    """Decides for one configuration and policy. Used from one event loop."""

    def __init__(
        self, config: Config, judge: Judge, book: Book, clock: Callable[[], int], key: bytes, granted: Granted
    ) -> None:
        self._config, self._judge, self._book, self._clock, self._key = config, judge, book, clock, key
        self._granted = granted

    def welcome(self, identity: Identity, wanted: Prove, address: str, now: int) -> Welcome | Turned:
        """Whether this identity may open this target, in which role.

        A purpose that the provider vouches for is the session's; a client that states another is turned away.
        """
        if identity.purpose and wanted.purpose not in ("", identity.purpose):
            return _another_purpose(identity.purpose, wanted.purpose)
        target = self._config.target(wanted.target)
        if target is None or target.protocol != wanted.protocol:
            return _turned(wanted, "no such target")
        database = ""
        if isinstance(target, PostgresTarget):
            database = wanted.database or target.database
            if database not in target.databases:
                return _turned(wanted, f"database {database!r} is not one of the target's")
        role = wanted.role if wanted.role in target.role_names else target.default_role
        if wanted.role not in ("", *target.role_names, identity.subject):
            return _turned(wanted, "the user name is neither a role of the target nor the token's subject")
        session = Session(
            id=new_id(now),
            identity=identity,
            target=target.target,
            client_address=address,
            opened_at=now,
            purpose=cover_text(identity.purpose or wanted.purpose),
            purpose_attested=bool(identity.purpose),
            browser=wanted.browser,
            certificate=wanted.certificate,
        )
        verdict = self._opens(session, role)
        if verdict.ruling not in (Ruling.ALLOW, Ruling.MASK):
            return _turned(wanted, f"{verdict.rule}: {verdict.reason}")
        return Welcome(session, target, role, database, verdict)

    def may_open(self, identity: Identity, name: str, purpose: str) -> bool:
        """Whether this identity may open the target of that name for this purpose, by its default role."""
        target = self._config.target(name)
        wanted = Prove("", name, "", identity.subject, purpose, protocol=target.protocol if target else "")
        return isinstance(self.welcome(identity, wanted, "127.0.0.1", self._clock()), Welcome)

    def covering(self, session: Session, target: TargetConfig) -> Covering:
        """What covers the answers of this session."""
        masking = self._config.masking
        sets, possible = dict(masking.sets), frozenset(target.masks) | self._judge.added
        if isinstance(target, KubernetesTarget) and target.secrets != "shown":
            own = secrets_set(Style(target.secrets))
            sets[own.name], possible = own, possible | {own.name}
        tokens = token_keys(session, masking.tokens, sets, self._key)
        return Covering(sets, possible, frozenset(masking.detectors), self._key, tokens)

    def decide_at_once(self, session: Session, ask: Ask, recent: Recent) -> tuple[Allowed, Decided] | None:
        """The same as ``decide`` without waiting, for a plain yes whose entry need not be durable; None for all else.

        With it comes what rows and recordings say of it. Raises LedgerError: then nothing may move.
        """
        now, action = self._clock(), ask.action
        granted = self.granted(session.identity, session.target.name)
        ruled = recent.find(self._judge, action.deeds, ask.columns, granted, now)
        if ruled is None:
            ruled = self._ruled(session, ask, granted)
            recent.keep(ruled)
        if ruled.said is None:
            return None
        number = new_id(now)
        receipt = self._book.decided_at_once(session, action, ruled.verdict, ask.shown, number, now, ruled.said)
        if receipt is None:
            return None
        return Allowed(permit(action, ruled.verdict, receipt), ruled.verdict, number), ruled.said.row

    def ruled_before(
        self, session: Session, deeds: tuple[Deed, ...], columns: frozenset[str], recent: Recent, now: int
    ) -> Ruled | None:
        """What was decided of these very deeds, if it counts still: for what went by itself when it was asked for last."""
        granted = self.granted(session.identity, session.target.name)
        ruled = recent.find(self._judge, deeds, columns, granted, now)
        return ruled if ruled is not None and ruled.said is not None else None

    def _ruled(self, session: Session, ask: Ask, granted: Reach | None) -> Ruled:
        decision, action = self._decide(session, ask, approved=False), ask.action
        verdict, shadow = decision.verdict, tuple(rule for rule, _ in decision.shadow)
        plain = verdict.ruling is Ruling.ALLOW and not decision.faults
        at_once = plain and not self._book.must_sync(action, verdict)
        said = self._book.said(session, action, verdict, shadow) if at_once else None
        return Ruled(self._judge, action.deeds, ask.columns, granted, verdict, said)

    async def decide(self, session: Session, ask: Ask) -> Allowed | Refused | Needs:
        """Decide, write down, then permit, refuse or say whom it needs. Raises LedgerError: then nothing may move.

        Making a statement ready (step ``prepare``) runs nothing, so it passes where running it would be held: people are asked
        about the very parameters that it is run with.
        """
        decision = self._decide(session, ask, approved=False)
        if decision.verdict.ruling is Ruling.APPROVE and ask.action.step == "prepare":
            ready = self._decide(session, ask, approved=True)
            why = f"only made ready: running it is held by {decision.verdict.rule}"
            decision = replace(ready, verdict=replace(ready.verdict, reason=why))
        else:
            decision = at_fault(decision, ask.fault)
        return await self._settle(session, ask, decision, "")

    async def decide_approved(
        self, session: Session, ask: Ask, approval: str, held_to: Mapping[str, str]
    ) -> Allowed | Refused | Needs:
        """The same once people said yes to exactly this; the policy may have changed since and still says no.

        ``held_to`` is what the execution must keep to, by what they saw.
        """
        return await self._settle(session, ask, self._decide(session, ask, approved=True), approval, held_to)

    async def refuse(self, session: Session, ask: Ask, verdict: Verdict) -> Refused:
        """Write down a no that is no rule's, and say it. Raises LedgerError."""
        now = self._clock()
        number = new_id(now)
        await self._book.decided(session, ask.action, verdict, ask.shown, number, now)
        return Refused(ask.action, verdict, refusal_class(verdict), number)

    async def decide_preview(self, session: Session, action: Action) -> Permit | str:
        """Decide whether what is held may be tried, and write that down; or why not. Raises LedgerError.

        ``action`` is what the trial is.
        """
        now = self._clock()
        around = self._circumstances(session, approved=False)
        verdict = self._judge.decide(session.identity, session.target, action, around, frozenset()).verdict
        receipt = await self._book.previewing(session, action, verdict, new_id(now))
        if verdict.ruling in (Ruling.ALLOW, Ruling.MASK):
            return permit(action, verdict, receipt)
        return f"{verdict.rule}: {verdict.reason}"

    def _decide(self, session: Session, ask: Ask, *, approved: bool) -> Decision:
        around = self._circumstances(session, approved=approved)
        return self._judge.decide(session.identity, session.target, ask.action, around, ask.columns, ask.uncounted)

    async def _settle(
        self, session: Session, ask: Ask, decision: Decision, approval: str, held_to: Mapping[str, str] = NOTHING
    ) -> Allowed | Refused | Needs:
        now, action, verdict = self._clock(), ask.action, decision.verdict
        number, position = new_id(now), 0
        if ask.parts and verdict.ruling is Ruling.BLOCK:
            decision, position = blocked_at(ask, decision)
            verdict = decision.verdict
        shadow = tuple(rule for rule, _ in decision.shadow)
        if decision.faults:
            log.error("policy failed on an action", session=session.id, decision=number, faults=decision.faults)
        receipt = await self._book.decided(
            session, action, verdict, ask.shown, number, now, shadow=shadow, approval=approval, held_to=held_to
        )
        if verdict.ruling in (Ruling.ALLOW, Ruling.MASK):
            return Allowed(permit(action, verdict, receipt, held_to), verdict, number)
        if verdict.ruling is Ruling.APPROVE:
            return Needs(verdict, number, decision.by_deed)
        return Refused(action, verdict, refusal_class(verdict), number, position)

    def may(self, session: Session, deed: Deed) -> bool:
        """Whether the policy would let this deed go, or hold it for people."""
        return self._ruling(session, (deed,)) is not Ruling.BLOCK

    def holds(self, session: Session, deeds: tuple[Deed, ...]) -> bool:
        """Whether the policy would hold these deeds for people."""
        return self._ruling(session, deeds) is Ruling.APPROVE

    def _ruling(self, session: Session, deeds: tuple[Deed, ...]) -> Ruling:
        action, around = Action(session=session.id, seq=0, deeds=deeds, text=""), self._circumstances(session, approved=False)
        return self._judge.decide(session.identity, session.target, action, around, frozenset()).verdict.ruling

    def still_open(self, session: Session, role: str) -> bool:
        """Whether the policy would still open this session: a grant may have ended."""
        return self._opens(session, role).ruling in (Ruling.ALLOW, Ruling.MASK)

    def granted(self, identity: Identity, target: str) -> Reach | None:
        """The furthest reach of the live grants that this identity has on this target."""
        return self._granted.reach(identity, target)

    def _opens(self, session: Session, role: str) -> Verdict:
        action = _opening(session.id, session.target.name, role)
        around = self._circumstances(session, approved=False)
        return self._judge.decide(session.identity, session.target, action, around, frozenset()).verdict

    def _circumstances(self, session: Session, *, approved: bool) -> Circumstances:
        return Circumstances(
            now=self._clock(),
            client_address=session.client_address,
            purpose=session.purpose,
            purpose_attested=session.purpose_attested,
            granted=self.granted(session.identity, session.target.name),
            approved=approved,
        )


def refusal_class(verdict: Verdict) -> RefusalClass:
    """What the refused can do: ask where an approval could change it, fix where the rule knows what would be allowed."""
    if verdict.ruling is Ruling.APPROVE:
        return RefusalClass.ASK
    return RefusalClass.FIX if verdict.instead else RefusalClass.NEVER


def refused_for_now(ask: Ask, needs: Needs, approval: str, link: str) -> Refused:
    """Held, and answered at once: the same action passes when it is sent again after the approval."""
    said = replace(needs.verdict, instead=f"Follow it at {link}, and send the same again once it is approved.")
    return Refused(ask.action, said, RefusalClass.WAIT, needs.decision, approval=approval, link=link)


def refused_by_people(ask: Ask, verdict: Verdict, decision: str, why: str) -> Refused:
    """Held, and not approved."""
    again = "Send it again in ten seconds, if it should be done again: people are asked anew." if why == USED else ""
    said = replace(verdict, ruling=Ruling.BLOCK, reason=f"{verdict.reason}: {why}", instead=again)
    return Refused(ask.action, said, RefusalClass.ASK if why == USED else RefusalClass.NEVER, decision)


def _opening(session: str, target: str, role: str) -> Action:
    deed = Deed(
        verb="session.open",
        reach=Reach.READ,
        resource=Resource(kind="target", name=target),
        facts={"role": role},
    )
    return Action(session=session, seq=0, deeds=(deed,), text="")


def _turned(wanted: Prove, why: str) -> Turned:
    """Whoever puts a token where a name belongs does not find it in answers and logs."""
    target, role = cover_text(wanted.target), cover_text(wanted.role)
    verdict = Verdict(
        ruling=Ruling.BLOCK,
        rule=NOT_OPEN,
        reason=f"you may not open {target!r} as {role!r}, or there is no such target",
        policy_digest="",
        instead="Ask whoever runs the gateway for access." + ("" if wanted.purpose else f" {SAY_WHY}"),
    )
    return Turned(verdict, cover_text(why))


def _another_purpose(attested: str, stated: str) -> Turned:
    attested, stated = cover_text(attested), cover_text(stated)
    why = f"the token is for {attested!r}, and the session states {stated!r}"
    instead = "State none (gatebook.why, --why), or get a token for that purpose."
    return Turned(Verdict(ruling=Ruling.BLOCK, rule=OTHER_PURPOSE, reason=why, policy_digest="", instead=instead), why)
