"""Grants: access for a time, asked for with a reason and given by a person's yes.

A grant begins with the vote that gives it and ends by itself. Nothing is cached here: what ``live`` says is what the rows say
at that moment, so an end and a revocation hold from then on. Its holder may give it back; whoever could have approved it may
revoke it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from gatebook.access import standing, store
from gatebook.access.approvals import Approvals, database
from gatebook.access.book import Book, shortened
from gatebook.access.digests import grant_digest
from gatebook.access.requests import GRANT, Given, Live, Request
from gatebook.db import writing
from gatebook.errors import AccessError
from gatebook.model import PURPOSE_CHARACTERS, Identity, Reach

__all__ = ["Given", "Grants", "Live", "Terms"]

MICROSECONDS = 1_000_000
SHORTEST_SECONDS = 5  # a person has to be able to use it at all
TARGETS = 20  # of one grant: approvers must be able to read them
REASON_CHARACTERS = 500
LISTED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may be asked for, and who decides: nobody while ``approvers`` is empty. A request waits ``answer_seconds``."""

    approvers: frozenset[str] = frozenset()
    quorum: int = 1
    furthest: Reach = Reach.ADMIN
    longest_seconds: int = 8 * 3600
    answer_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for: these targets, so far, for so long, and why; ``purpose`` is a ticket or task."""

    targets: Sequence[str]
    reach: Reach
    seconds: int
    why: str
    purpose: str = ""


class Grants:
    """All grants of a deployment. Calls block on database and ledger, from any thread, and raise as ``Approvals`` does."""

    def __init__(self, engine: Engine, clock: Callable[[], int], book: Book, approvals: Approvals, terms: Terms) -> None:
        self._engine, self._clock, self._book, self._approvals, self._terms = engine, clock, book, approvals, terms

    def now(self) -> int:
        """The time in µs, as this deployment's clock has it."""
        return self._clock()

    def request(self, identity: Identity, wish: Wish, *, id: str, now: int, policy_digest: str = "") -> Request:
        """Let a wish wait for its approvers; ``id`` is a new UUIDv7."""
        terms = self._terms
        if not terms.approvers:
            raise AccessError(
                "grants are not given here: the configuration names nobody who could (grants.approvers)", "forbidden"
            )
        targets, why = _checked(wish, terms)
        asked = Request(
            id=id,
            digest=grant_digest(requester=identity, targets=targets, reach=wish.reach, seconds=wish.seconds, why=why),
            session="",
            requester=identity,
            target=", ".join(targets),
            role="",
            verb="grant",
            reach=wish.reach,
            resources=targets,
            text="",
            rule="",
            reason=why,
            approvers=terms.approvers,
            quorum=terms.quorum,
            purpose=identity.purpose or wish.purpose,
            policy_digest=policy_digest,
            opened_at=now,
            expires_at=now + terms.answer_seconds * MICROSECONDS,
            kind=GRANT,
            seconds=wish.seconds,
        )
        self._approvals.open(asked)
        return asked

    def live(self, issuer: str, subject: str, target: str, now: int) -> Reach | None:
        """The furthest reach that this identity holds on this target now."""
        held = self.held(issuer, subject, target, now)
        return held.reach if held else None

    def held(self, issuer: str, subject: str, target: str, now: int) -> Live | None:
        """The same, with the time at which the first of these grants ends and the question must be asked again."""
        with database(), self._engine.connect() as connection:
            found = store.live_grants_of(connection, issuer, subject, max(now, store.latest(connection)))
        return store.live_by_target(found).get((issuer, subject, target))

    def all_held(self, now: int) -> dict[tuple[str, str, str], Live]:
        """What everybody holds now, by issuer, subject and target: one query, for whoever looks after many sessions."""
        with database(), self._engine.connect() as connection:
            return store.live_by_target(store.live_grants(connection, max(now, store.latest(connection))))

    def use(self, identity: Identity, target: str, session: str, now: int) -> tuple[str, ...]:
        """Write down that a session stands on grants; their ids. None of them when none is live."""
        with database(), self._engine.connect() as connection:
            found = store.live_grants_of(connection, identity.issuer, identity.subject, max(now, store.latest(connection)))
        used = tuple(grant.id for grant in found if target in grant.targets)
        for grant in used:
            self._book.grant_used(grant, session, target)
        return used

    def revoke(self, grant: str, by: Identity, now: int, reason: str = "") -> Given:
        """Take a grant back, at once. ``grant`` may be the beginning of an id that no other has."""
        with database():
            name = self._book.name(by.issuer, by.subject)
            with writing(self._engine) as connection:
                found = _only(store.find_grants(connection, grant), grant)
                now = max(now, store.latest(connection))
                if not self.may_see(found, by):
                    raise AccessError("there is no such grant", "unknown")
                if not found.live(now):
                    raise AccessError("the grant has ended already", "closed")
                self._book.grant_revoked(found.id, name, shortened(reason))
                store.end_grant(connection, found.id, at=now, revoked_by=by.subject)
                return _only(store.find_grants(connection, found.id), found.id)

    def expire(self, now: int) -> list[str]:
        """Write down the end of every grant that ran out."""
        with database():
            with self._engine.connect() as connection:
                if not store.run_out(connection, max(now, store.latest(connection))):
                    return []
            with writing(self._engine) as connection:
                now = max(now, store.latest(connection))
                ended = [one for one in store.run_out(connection, now) if store.end_grant(connection, one, at=now)]
                for grant in ended:
                    self._book.grant_expired(grant)
                return ended

    def list(self, limit: int = LISTED) -> list[Given]:
        """The newest grants first."""
        self.expire(self._clock())
        with database(), self._engine.connect() as connection:
            return store.list_grants(connection, limit)

    def may_see(self, grant: Given, viewer: Identity) -> bool:
        """Its holder and those behind it see a grant and may give it back; those who could have given it may take it."""
        if standing.own(grant.chain, viewer):
            return True
        return bool(standing.seats(grant.approvers, grant.issuer, viewer, viewer.groups))


def _checked(wish: Wish, terms: Terms) -> tuple[tuple[str, ...], str]:
    """Targets and reason as they will stand; raises AccessError."""
    targets, why = tuple(sorted(set(wish.targets))), wish.why.strip()
    if not 1 <= len(targets) <= TARGETS or not all(targets):
        raise AccessError(f"expected 1 to {TARGETS} targets", "wrong")
    if not why or len(why) > REASON_CHARACTERS:
        raise AccessError(f"expected a reason, of at most {REASON_CHARACTERS} characters", "wrong")
    if len(wish.purpose) > PURPOSE_CHARACTERS or not wish.purpose.isprintable():
        raise AccessError(f"expected a purpose of at most {PURPOSE_CHARACTERS} printable characters", "wrong")
    if wish.reach.rank > terms.furthest.rank:
        raise AccessError(f"grants reach {terms.furthest} at most, not {wish.reach}", "wrong")
    if not SHORTEST_SECONDS <= wish.seconds <= terms.longest_seconds:
        raise AccessError(f"grants last {SHORTEST_SECONDS} to {terms.longest_seconds} seconds, not {wish.seconds}", "wrong")
    return targets, why


def _only(found: list[Given], prefix: str) -> Given:
    if len(found) != 1 or not prefix:
        raise AccessError("there is no such grant" if not found else "several grants' ids begin so: give more of it", "unknown")
    return found[0]
