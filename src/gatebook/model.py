"""The nouns. Frozen values without I/O: read this file first.

One word stands for one thing in code, docs, API, CLI and pages. An ``Identity`` opens a ``Session`` on a ``Target``; each
thing it asks the target to do is an ``Action``, made of one or more ``Deed``s (one verb on one resource); the policy answers
with a ``Verdict``; the ledger writes an ``Entry`` and gives a ``Receipt``; verdict and receipt together make a ``Permit``,
without which nothing is sent to a target.

Times are whole microseconds since the Unix epoch, UTC. Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

PURPOSE = "purpose"  # the attribute by which a provider vouches for what a session is for
PURPOSE_CHARACTERS = 200  # of the ticket or task that a session or its token states

NOTHING: Mapping[str, str] = MappingProxyType({})


class Kind(StrEnum):
    """What sort of party an identity is."""

    PERSON = "person"
    AGENT = "agent"
    CI = "ci"


class Reach(StrEnum):
    """How far an action can go. ``UNKNOWN`` ranks above ``ADMIN``: what cannot be read may do anything."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """0 for read up to 3 for unknown."""
        return _REACHES.index(self)


_REACHES = (Reach.READ, Reach.WRITE, Reach.ADMIN, Reach.UNKNOWN)


class Ruling(StrEnum):
    """What the policy says to an action, from mildest to strictest."""

    ALLOW = "allow"
    MASK = "mask"
    APPROVE = "approve"
    BLOCK = "block"

    @property
    def rank(self) -> int:
        """0 for allow up to 3 for block; of several rulings the highest rank holds."""
        return _RULINGS.index(self)


_RULINGS = (Ruling.ALLOW, Ruling.MASK, Ruling.APPROVE, Ruling.BLOCK)


class RefusalClass(StrEnum):
    """What the refused can do about it (DESIGN: a refusal, in every protocol)."""

    NEVER = "never"  # no approval changes it
    ASK = "ask"  # request a grant or an approval
    WAIT = "wait"  # an approval is pending: send the same again
    FIX = "fix"  # the text itself is at fault


class Hold(StrEnum):
    """What becomes of a held action. Rules may say one of the first two, clients any."""

    WAIT = "wait"  # the client waits on its connection for people
    ANSWER = "answer"  # it is told at once, and the same action passes when it is sent again after the yes
    PROPOSE = "propose"  # the same for a whole script, which waits longer, whether or not its client is there
    RESUME = "resume"  # only what has its yes already passes: nobody is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A claim about an identity, ``attested`` when its issuer vouches for it, else declared by the client itself."""

    value: str
    attested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody or something that proved who it is. Exists only after verification; its key is (issuer, subject)."""

    subject: str
    issuer: str
    kind: Kind
    groups: frozenset[str] = frozenset()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    proven_at: int
    expires_at: int
    on_behalf_of: str | None = None

    @property
    def purpose(self) -> str:
        """The purpose that its provider vouches for, or ``""``."""
        stated = self.attributes.get(PURPOSE)
        return stated.value if stated is not None and stated.attested else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that Gatebook stands in front of. ``address`` is ``host:port``; ``labels`` are free, as ``env: production``."""

    name: str
    protocol: str
    address: str
    via: str | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One client connection, from proof of identity to its close. ``id`` is a UUIDv7 in text form.

    ``purpose`` is the ticket or task it is for, ``purpose_attested`` where its provider vouches for that. ``browser``: it
    stands on a person's sign-in by browser. ``certificate`` is the serial number of the one that opened it, 0 for none.
    """

    id: str
    identity: Identity
    target: Target
    client_address: str
    opened_at: int
    purpose: str = ""
    purpose_attested: bool = False
    browser: bool = False
    certificate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What a deed touches. ``kind`` is ``target``, ``table``, ``function`` …; ``name`` is qualified as far as it is known."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One verb on one resource, with the facts that policies may ask about.

    ``verb`` comes from the protocol's closed list (``sql.delete``); ``facts`` holds every fact of that protocol's list,
    each a bool, int, str or frozenset of str, so that a policy never meets a missing one.
    """

    verb: str
    reach: Reach
    resource: Resource
    facts: Mapping[str, bool | int | str | frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a session asks the target to do, whole. ``seq`` counts from 1 within the session and is the action's name.

    ``text`` is the exact request as text and ``parameters`` what was bound to it: both may hold secrets and personal data, so
    they go to a log only through masking. ``step`` is ``run``, or ``prepare`` for a text that is only being made ready.
    ``search_path`` is where the target looks names up that are not qualified, as far as it is known; ``settings`` are others
    that say what a text means; ``forms`` has each parameter's format and type: the same bytes are another value in another.
    """

    session: str
    seq: int
    deeds: tuple[Deed, ...]
    text: str
    step: str = "run"
    parameters: tuple[bytes | None, ...] = ()
    search_path: str = ""
    settings: str = ""
    forms: tuple[str, ...] = ()

    @property
    def strictest(self) -> Deed:
        """The deed of the furthest reach; the first of several."""
        return max(self.deeds, key=lambda deed: deed.reach.rank)

    @property
    def verb(self) -> str:
        """The verb of the strictest deed."""
        return self.strictest.verb

    @property
    def reach(self) -> Reach:
        """The furthest reach of any deed."""
        return self.strictest.reach

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Every resource once, in the order of the deeds."""
        return tuple(dict.fromkeys(deed.resource for deed in self.deeds))


@dataclass(frozen=True, slots=True, order=True)
class Ceiling:
    """How many rows one statement may change at most, and the ``@id`` of the rule that says so. The least comes first."""

    rows: int
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the policy says. ``masks`` names the mask sets that cover the answer; ``approvers`` the groups that may approve.

    ``rule`` is the ``@id`` of the rule that decided, or ``no-rule`` when nothing permitted. ``until`` is the time after which
    the verdict must be asked for again. ``instead`` says what would be allowed, where the rule knows it; ``hold`` what becomes
    of a held action whatever its client wants, where a rule says so; ``ceiling`` how many rows it may change.
    """

    ruling: Ruling
    rule: str
    reason: str
    policy_digest: str
    masks: frozenset[str] = frozenset()
    approvers: frozenset[str] = frozenset()
    until: int = 0
    instead: str = ""
    hold: Hold | None = None
    ceiling: Ceiling | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One approver's word on an approval."""

    by: str
    approved: bool
    reason: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's yes to exactly one action, bound by ``digest``. *Held* is an action that waits for one."""

    id: str
    action: Action
    digest: str
    approvers: frozenset[str]
    preview: str
    opened_at: int
    expires_at: int
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record of the ledger before it has a place: ``kind`` from the closed list, ``fields`` as docs/ledger.md says."""

    kind: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the ledger gives back for an entry: in which log it stands, and at which index (from 0)."""

    log: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The only key to a target: made by ``policy.permit`` from a verdict that allows and the receipt of its entry.

    ``masks`` cover the answers to this very action; ``conditions`` are what the execution must hold to, ``ceiling`` how many
    rows it may change.
    """

    action: Action
    masks: frozenset[str]
    receipt: Receipt
    until: int
    conditions: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    ceiling: Ceiling | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Access for a time: who may reach which targets, how far, from when until when, given by whom and why."""

    id: str
    subject: str
    targets: frozenset[str]
    reach: Reach
    not_before: int
    expires_at: int
    given_by: str
    why: str
    only_for: str | None = None
