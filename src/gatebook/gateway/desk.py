"""Where it is decided: who may open which target, and which action may go. Policy, book and permit in this order.

An unknown target and one that the policy closes to somebody are answered with the same words, so that nobody learns which
targets exist; the book has the true reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gatebook.config import Config, TargetConfig
from gatebook.gateway.book import Book, new_id
from gatebook.gateway.judge import Judge
from gatebook.model import Action, Deed, Identity, Reach, RefusalClass, Resource, Ruling, Session, Verdict
from gatebook.policy.decide import Circumstances
from gatebook.policy.permit import permit
from gatebook.protocols.postgres.reading import FACTS
from gatebook.protocols.relay import Allowed, Ask, Covering, Credential, Prove, Refused

NOT_OPEN = "not-open-to-you"


@dataclass(frozen=True, slots=True)
class Welcome:
    """A session that may begin, on this target, in this role of it."""

    session: Session
    target: TargetConfig
    role: str
    database: str
    verdict: Verdict

    def credential(self) -> Credential:
        """What the gateway shows to the target; read now, kept nowhere. Raises ConfigError."""
        role = self.target.roles[self.role]
        return Credential(self.role, role.password.read(), self.database)


@dataclass(frozen=True, slots=True)
class Turned:
    """A session that may not begin: what the client hears, and why in truth, for the book."""

    verdict: Verdict
    why: str


class Desk:
    """Decides for one configuration and policy. Used from one event loop."""

    def __init__(self, config: Config, judge: Judge, book: Book, clock: Callable[[], int], key: bytes) -> None:
        self._config, self._judge, self._book, self._clock, self._key = config, judge, book, clock, key

    def welcome(self, identity: Identity, wanted: Prove, address: str, now: int) -> Welcome | Turned:
        """Whether this identity may open this target, in which role."""
        target = self._config.target(wanted.target)
        if target is None or target.protocol != "postgres":
            return _turned(wanted, "no such target")
        database = wanted.database or target.database
        if database not in target.databases:
            return _turned(wanted, f"database {database!r} is not one of the target's")
        role = wanted.role if wanted.role in target.roles else target.default_role
        if wanted.role not in (*target.roles, identity.subject):
            return _turned(wanted, f"user {wanted.role!r} is neither a role of the target nor the token's subject")
        session = Session(id=new_id(now), identity=identity, target=target.target, client_address=address, opened_at=now)
        verdict = self._judge.decide(
            identity, target.target, _opening(session.id, target.name, role), self._circumstances(address, now), frozenset()
        ).verdict
        if verdict.ruling not in (Ruling.ALLOW, Ruling.MASK):
            return _turned(wanted, f"{verdict.rule}: {verdict.reason}")
        return Welcome(session, target, role, database, verdict)

    def may_open(self, identity: Identity, name: str) -> bool:
        """Whether this identity may open the target of that name, by its default role."""
        wanted = Prove("", name, "", identity.subject)
        return isinstance(self.welcome(identity, wanted, "127.0.0.1", self._clock()), Welcome)

    def covering(self, target: TargetConfig) -> Covering:
        """What covers the answers of this target."""
        masking = self._config.masking
        return Covering(dict(masking.sets), frozenset(target.masks), frozenset(masking.detectors), self._key)

    async def decide(self, session: Session, ask: Ask) -> Allowed | Refused:
        """Decide, write down, then permit or refuse. Raises LedgerError: then nothing may move."""
        now, action = self._clock(), ask.action
        decision = self._judge.decide(
            session.identity, session.target, action, self._circumstances(session.client_address, now), ask.columns
        )
        verdict, number = decision.verdict, new_id(now)
        shadow = tuple(rule for rule, _ in decision.shadow)
        receipt = await self._book.decided(session, action, verdict, ask.shown, number, now, shadow)
        if verdict.ruling in (Ruling.ALLOW, Ruling.MASK):
            return Allowed(permit(action, verdict, receipt), number)
        return Refused(action, verdict, refusal_class(verdict), number)

    def _circumstances(self, address: str, now: int) -> Circumstances:
        return Circumstances(now=now, client_address=address)


def refusal_class(verdict: Verdict) -> RefusalClass:
    """What the refused can do: ask where an approval could change it, fix where the rule knows what would be allowed."""
    if verdict.ruling is Ruling.APPROVE:
        return RefusalClass.ASK
    return RefusalClass.FIX if verdict.instead else RefusalClass.NEVER


def _opening(session: str, target: str, role: str) -> Action:
    deed = Deed(
        verb="session.open",
        reach=Reach.READ,
        resource=Resource(kind="target", name=target),
        facts={**FACTS, "role": role},
    )
    return Action(session=session, seq=0, deeds=(deed,), text="")


def _turned(wanted: Prove, why: str) -> Turned:
    verdict = Verdict(
        ruling=Ruling.BLOCK,
        rule=NOT_OPEN,
        reason=f"you may not open {wanted.target!r} as {wanted.role!r}, or there is no such target",
        policy_digest="",
        instead="Ask whoever runs the gateway for access.",
    )
    return Turned(verdict, why)
