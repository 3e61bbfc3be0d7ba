"""The contract that every protocol's relay keeps: signals in, effects out.

A relay is a machine without I/O for one client connection. The session driver in ``gateway`` feeds it one signal at a time
and carries out the effects it returns, in order. There are no callbacks, no generators and nothing to await, so that a test is
a playbook: this signal, those effects.

Order. The relay asks for one thing at a time: after ``Prove`` or ``Ask`` it keeps what the client sends and is not
``hungry``, and goes on only once the answer came (``Opened``, ``Allowed``, ``Refused``). Answers of the target flow all the
while, each covered with the permit of its own question.

Invariants, each with a property test: no ``ToServer`` before its ``Permit``; the same effects however the bytes are cut; a peer
that breaks its protocol gets ``HangUp`` and nothing else happens; after ``HangUp`` every signal returns no effects.

What a relay refuses to know: policy, time, the ledger, where the target is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from gatebook.masking.rules import MaskSet
from gatebook.model import Action, Hold, Permit, RefusalClass, Session, Verdict

ANY_FIELD = "$"  # of an answer, where nobody knows its fields before it comes
NO_IDENTITY = "no-identity"  # the rule's name when a token proved nothing
ANOTHER_SITE = "another-site"  # of a request that a page of another site led a browser to


class Side:
    """Which end of a session is meant."""

    CLIENT = "client"
    SERVER = "server"
    GATEWAY = "gateway"


# Signals: what the driver tells the relay -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credential:
    """What the gateway shows to the target. Its repr never shows the secret.

    ``login`` is the least that the target may ask for, as its configuration says; ``private`` says that nobody on the way can
    read what is sent. Inside TLS ``binding`` is a digest of the target's certificate; with ``insists`` the login must be bound
    to it.
    """

    user: str
    secret: str
    database: str = ""
    login: str = "scram"
    private: bool = False
    binding: bytes = b""
    insists: bool = False

    def __repr__(self) -> str:
        return f"Credential(user={self.user!r}, secret=…, database={self.database!r})"


@dataclass(frozen=True, slots=True)
class Covering:
    """What covers a session's answers: every mask set by name, those that may hold here, the detectors, the hash key.

    ``possible`` are the sets that the target has and those that a rule may add: what a statement does with masked columns is
    told by all of them, since rules are asked afterwards. ``tokens`` are the keys of each mask set whose style is token:
    first the one to make tokens with, then those whose tokens still stand for their values.
    """

    sets: Mapping[str, MaskSet]
    possible: frozenset[str]
    detectors: frozenset[str]
    key: bytes
    tokens: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Covering(sets={sorted(self.sets)}, possible={sorted(self.possible)}, key=…)"


@dataclass(frozen=True, slots=True)
class Opened:
    """The identity is proven, the session stands in the book and the target is dialled; the login to it may begin."""

    session: Session
    credential: Credential
    covering: Covering


@dataclass(frozen=True, slots=True)
class FromClient:
    """Bytes the client sent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FromServer:
    """Bytes the target sent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Allowed:
    """The action that was asked for may go, covered by this permit.

    ``ruled`` is the verdict behind it, and ``decision`` the id under which it stands in the ledger.
    """

    permit: Permit
    ruled: Verdict
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for may not go. ``decision`` is the id under which the refusal stands in the ledger.

    Without ``action`` the identity or the session itself was refused, and the relay says so and hangs up. ``position`` is the
    character, from 1, of the statement that was refused, where the text has several. ``approval`` and ``link`` are those of a
    request that waits for people.
    """

    action: Action | None
    verdict: Verdict
    refusal: RefusalClass
    decision: str
    position: int = 0
    approval: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """The action that was asked for waits for people, at most ``seconds``; the client may be told where to follow it."""

    approval: str
    rule: str
    reason: str
    approvers: frozenset[str]
    link: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Trying:
    """The action that was asked for is tried before people are asked about it: its client may withdraw it from now on."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Some seconds have passed: what was learnt of the target's catalog, and permits not used yet, count no more."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The client wants what is running stopped; it showed the session's cancel key on another connection."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A side is gone, or the gateway ends the session; ``why`` is a sentence the client may see.

    ``timely`` says that its proof is over by its own time, and for nothing else: it may come back with a fresh one.
    """

    side: str
    why: str
    timely: bool = False


Signal: TypeAlias = Opened | FromClient | FromServer | Allowed | Refused | Trying | Held | Stale | Cancelled | Ended


# Effects: what the relay wants done -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartTls:
    """Tell the client yes (``data``), then continue inside TLS, as its server."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Prove:
    """Find out who holds this token and whether they may open a session. Its repr never shows the token."""

    token: str
    target: str
    database: str
    role: str
    purpose: str = ""
    hold: Hold = Hold.WAIT  # what the client wants of a held action
    protocol: str = "postgres"
    browser: bool = False  # the token is a browser's sign-in to this very target
    certificate: int = 0  # the serial number of the one that came in the token's place

    def __repr__(self) -> str:
        return f"Prove(token=…, target={self.target!r}, database={self.database!r}, role={self.role!r})"


@dataclass(frozen=True, slots=True)
class Ask:
    """Have this action decided and, if it may go, written down.

    ``columns`` are the names of what may stand in its answer, "*" for anything, ``ANY_FIELD`` where it has fields; ``shown`` is
    its text, fit for a log, and ``seen`` all of it as people must see it to decide, where that is not the action's text and
    parameters covered. ``fault`` says what is wrong with the text itself, if it is: then there is nothing to ask people about.
    ``parts`` says, of a whole script that is proposed, how many of the action's deeds each of its statements has. ``uncounted``
    says why nobody could tell how many rows it changes, so that no rule with a ceiling lets it go. ``bound`` is what a yes is
    bound to in place of the action's parameters, where they differ each time that the same is sent; None: they are.
    """

    action: Action
    columns: frozenset[str]
    shown: str
    fault: str = ""
    parts: tuple[int, ...] = ()
    uncounted: str = ""
    seen: str = ""
    bound: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The client no longer wants the action that is held."""

    action: Action


@dataclass(frozen=True, slots=True)
class ToServer:
    """Send bytes to the target, by the authority of a permit."""

    permit: Permit
    data: bytes


@dataclass(frozen=True, slots=True)
class Own:
    """Send bytes to the target that the gateway says for itself: ``kind`` is from the protocol's closed list."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send bytes to the client; they are covered already."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The target's answer to an action is complete: how it ended, for the book. ``masked`` counts covered values by kind."""

    action: Action
    status: str
    rows: int
    size: int
    masked: dict[str, int]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Tell the session that has this cancel key that its client wants what is running stopped."""

    key: bytes

    def __repr__(self) -> str:
        return "Cancel(key=…)"


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Send bytes to the target over a connection of their own, then close it: the target's own way to stop what runs."""

    data: bytes

    def __repr__(self) -> str:
        return "Interrupt(data=…)"


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the session: flush what was said to the client, then close both sides."""

    why: str


Effect: TypeAlias = StartTls | Prove | Ask | Withdraw | ToServer | Own | ToClient | Answered | Cancel | Interrupt | HangUp


class Relay(Protocol):
    """One client connection of one protocol."""

    @property
    def hungry(self) -> bool:
        """Whether more bytes of the client are of use now; the driver stops reading when not."""
        ...

    def feed(self, signal: Signal) -> list[Effect]:
        """Take one signal and say what is to be done about it, in order."""
        ...
