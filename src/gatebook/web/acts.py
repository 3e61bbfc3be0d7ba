"""Who may look at, end and decide what in Gatebook itself: asked of the policy, then written down, then done.

API and pages ask here and nowhere else. An act that no rule permits is answered as if its object were not there, and stands in
the book as a refusal. Of looks the book keeps the first in ten minutes, since pages look again every second; what changes
something is kept each time. Every entry is on disk before the answer is made, so a book that cannot be written shows nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from threading import Lock

from starlette.requests import Request

from gatebook.access.book import Book, shortened
from gatebook.errors import AccessError
from gatebook.identity.certificates import Issued
from gatebook.identity.store import ID_CHARACTERS
from gatebook.masking.detectors import cover_text
from gatebook.model import Entry, Identity, Reach, Verdict
from gatebook.policy.acts import ACTS, Concern, decide_act, permits
from gatebook.policy.rules import Policy

__all__ = ["Acts", "Asker", "Concern", "is_of"]

MINUTE = 60_000_000  # µs
LOOK_AGAIN = 10 * MINUTE  # the same look within this is the same look
LISTED_A_MINUTE = 60  # acts of one identity; past it they are counted, so that nobody fills the book by looking
REMEMBERED = 10_000  # looks, and identities
NOT_THERE = "there is nothing here by this name, or it is not yours to see"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and from which address."""

    identity: Identity
    address: str

    @classmethod
    def of(cls, identity: Identity, request: Request) -> Asker:
        """Whoever sent this request, as ``identity`` was proven by it."""
        return cls(identity, request.client.host if request.client else "")

    @property
    def key(self) -> str:
        """By what the book salts what it says of them."""
        return f"{self.identity.issuer}|{self.identity.subject}"


def is_of(viewer: Identity, issuer: str, names: Collection[str]) -> bool:
    """Whether something of this issuer's is the viewer's own; ``names`` are the subject's and of those it acts for.

    Exact, unlike the comparison that keeps people from voting on their own: that one rather keeps out a namesake than lets
    somebody in, and so does this.
    """
    return viewer.issuer == issuer and viewer.subject in names


class Acts:
    """Decides and writes down. Blocks on the book: call it in a thread, any thread. ``clock`` gives µs since 1970."""

    def __init__(self, policy: Callable[[], Policy], deployment: str, clock: Callable[[], int], book: Book) -> None:
        self._policy, self._deployment, self._clock, self._book = policy, deployment, clock, book
        self._looks: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._listed: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._unlisted = 0
        self._lock = Lock()

    def now(self) -> int:
        """The time in µs."""
        return self._clock()

    def verdict(self, asker: Asker, verb: str, concern: Concern) -> Verdict:
        """What the rules say."""
        return decide_act(
            self._policy(),
            self._deployment,
            identity=asker.identity,
            verb=verb,
            concern=concern,
            address=asker.address,
            now=self._clock(),
        )

    def may(self, asker: Asker, verb: str, concern: Concern) -> bool:
        """Whether the rules permit it; nothing is written down. For what a page offers, and for the rows of a list."""
        return permits(self.verdict(asker, verb, concern))

    def demand(self, asker: Asker, verb: str, concern: Concern, about: str, why: str = "", *, seen: bool = False) -> None:
        """Go on only if the rules permit it and the book has it. Raises AccessError and LedgerError.

        ``about`` is the object's id. ``seen``: the asker knows that it is there, so a no may say why.
        """
        verdict = self.verdict(asker, verb, concern)
        self.note(asker, verb, verdict, about, why)
        if not permits(verdict):
            raise AccessError(verdict.reason, "forbidden") if seen else AccessError(NOT_THERE, "unknown")

    def note(self, asker: Asker, verb: str, verdict: Verdict, about: str = "", why: str = "") -> None:
        """Write an act down, if it is one to be listed. Raises LedgerError."""
        changes = ACTS[verb] is not Reach.READ and permits(verdict)
        look = (asker.key, verb, about, str(verdict.ruling), verdict.rule)
        with self._lock:
            unlisted = self._counted(look, changes)
        if unlisted is None:
            return
        fields = {
            "verb": verb,
            "about": about,
            "actor": self._actor(asker),
            "ruling": str(verdict.ruling),
            "rule": verdict.rule,
            "why": shortened(cover_text(why)),
            "pol": {"digest": verdict.policy_digest},
            "unlisted": unlisted,
        }
        try:
            self._book.keep(Entry(kind="gatebook.act", fields=fields))
        except BaseException:
            with self._lock:
                self._looks.pop(look, None)
            raise

    def read(self, asker: Asker, session: str, why: str) -> None:
        """Write down that somebody is about to see a recording. Raises LedgerError: then they must not."""
        name = self._book.name(asker.identity.issuer, asker.identity.subject)
        fields = {
            "target_sid": session,
            "by": name,
            "why": shortened(cover_text(why)),
            "actor": self._actor(asker),
        }
        self._book.keep(Entry(kind="recording.read", fields=fields))

    def certified(self, asker: Asker, issued: Issued, token: bytes) -> None:
        """Write down that somebody is about to get a certificate. Raises LedgerError: then they must not."""
        fields = {
            "serial": issued.serial,
            "actor": self._actor(asker),
            "token": token.hex()[:ID_CHARACTERS],
            "key": issued.fingerprint,
            "targets": list(issued.principals),
            "exp": issued.valid_before,
        }
        self._book.keep(Entry(kind="certificate.issue", fields=fields))

    def _actor(self, asker: Asker) -> dict[str, object]:
        one = asker.identity
        actor: dict[str, object] = {
            "type": str(one.kind),
            "idp": one.issuer,
            "id_c": self._book.name(one.issuer, one.subject),
            "ip_c": self._book.commit(asker.key, asker.address),
        }
        if one.on_behalf_of:
            actor["on_behalf_of_c"] = self._book.commit(asker.key, one.on_behalf_of)
        return actor

    def _counted(self, look: tuple[str, ...], changes: bool) -> int | None:
        """How many before it were not listed, when this one is to be; else None, and it is counted."""
        now = self._clock()
        if not changes:
            at = self._looks.get(look)
            if at is not None and 0 <= now - at < LOOK_AGAIN:
                return None  # the same look: it stands in the book already
            if not self._has_room(look[0], now):
                self._unlisted += 1
                return None
        _keep(self._looks, look, now)
        unlisted, self._unlisted = self._unlisted, 0
        return unlisted

    def _has_room(self, key: str, now: int) -> bool:
        minute, count = self._listed.get(key, (0, 0))
        minute, count = (minute, count + 1) if minute == now // MINUTE else (now // MINUTE, 1)
        _keep(self._listed, key, (minute, count))
        return count <= LISTED_A_MINUTE


def _keep(kept: OrderedDict, key: object, value: object) -> None:  # type: ignore[type-arg]
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
