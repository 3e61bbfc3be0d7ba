"""What somebody asks a person for, and what became of it: the values of this package."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gatebook.access.previews import Preview
from gatebook.model import Identity, Reach, Ruling, Vote


class State(StrEnum):
    """Where a request stands. Open becomes approved, denied, expired or void; approved becomes used, expired or void."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    VOID = "void"
    USED = "used"


ENDED = frozenset({State.DENIED, State.EXPIRED, State.VOID, State.USED})

ACTION, GRANT, SCRIPT = "action", "grant", "script"  # kinds of request


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One statement of a script, and what the policy says to it. ``rule`` and ``reason`` may be those of several deeds."""

    line: int
    verb: str
    reach: Reach
    resources: tuple[str, ...]
    ruling: Ruling
    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script that is decided as one. ``sha256`` is that of its bytes, as sha256sum says it of the file."""

    sha256: str
    size: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something that waits for a person's yes. ``id`` is a UUIDv7; ``digest`` binds the yes to exactly this (``digests``).

    ``text`` is fit to show: covered. ``approvers`` are ``group:NAME`` or ``subject:NAME``, the latter of the requester's own
    issuer; any one of them may vote, and ``quorum`` different people must. A grant's ``resources`` are its targets, and it
    lives for ``seconds`` from the yes on. ``resent`` says that its client was answered at once and sends the same again after
    the yes; else it waits on its connection. ``masks`` are the mask sets that will cover the answer, ``preview`` is what a
    write was found to change. Times in µs.
    """

    id: str
    digest: str
    session: str
    requester: Identity
    target: str
    role: str
    verb: str
    reach: Reach
    resources: tuple[str, ...]
    text: str
    rule: str
    reason: str
    approvers: frozenset[str]
    quorum: int = 1
    purpose: str
    policy_digest: str
    opened_at: int
    expires_at: int
    kind: str = ACTION
    seconds: int = 0
    masks: frozenset[str] = frozenset()
    script: Script | None = None
    preview: Preview | None = None
    resent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it stands now. ``why`` is the reason of its end, where there is one; ``grant`` what a yes has given."""

    request: Request
    state: State
    votes: tuple[Vote, ...]
    changed_at: int
    why: str = ""
    grant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A grant as it stands: ``ended_at`` is 0 until it is revoked, or its end is written down."""

    id: str
    approval: str
    issuer: str
    subject: str
    kind: str
    targets: tuple[str, ...]
    reach: Reach
    not_before: int
    expires_at: int
    given_by: str
    why: str
    approvers: frozenset[str]
    chain: frozenset[str]
    revoked_by: str = ""
    ended_at: int = 0

    def live(self, now: int) -> bool:
        """Whether it gives anything at ``now``."""
        return not self.ended_at and self.not_before <= now < self.expires_at


@dataclass(frozen=True, slots=True)
class Live:
    """What live grants give one identity on one target: the furthest reach, and when the first of them ends."""

    reach: Reach
    until: int
