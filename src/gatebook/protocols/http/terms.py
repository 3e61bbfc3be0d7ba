"""What holds for a session's requests: what covers answers, what the target calls itself, what is shown to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gatebook.model import Deed
from gatebook.protocols.http.covering.media import PASSES
from gatebook.protocols.http.dialect import Dialect
from gatebook.protocols.http.known import Known
from gatebook.protocols.http.message import Fields
from gatebook.protocols.relay import Covering


@dataclass(frozen=True, slots=True)
class Injected:
    """What the gateway shows to the target in the client's place. Its repr never shows it.

    ``needles`` are the secrets in it, in each form in which a target could say them back: none of them leaves in an answer.
    """

    fields: Fields = ()
    needles: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Injected(fields={[name.decode() for name, _ in self.fields]}, …)"


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one exchange.

    ``origins`` are the target's own, as ``https://host:port``; ``base`` is how the client addresses the target, without a last
    slash: ``https://billing.targets.example.org``, or a path as ``/http/billing``. ``introduces`` tells the target who asks.
    ``elsewhere`` are hosts that the target may send a client to, ``passes`` the types of content that go on unread. ``may``
    says whether the policy would let this session do a deed; ``held`` whether it would hold deeds for people;
    ``random`` gives so many bytes that nobody could foresee, ``number`` that of the session's next action.
    ``injected`` is what the target is shown, as far as it is at hand, and all of it once the action was allowed. What the
    session's requests meant so far is ``known``.
    """

    session: str
    covering: Covering
    dialect: Dialect
    injected: Callable[[], Injected]
    origins: tuple[str, ...]
    base: str
    client_address: str
    introduces: Fields
    may: Callable[[Deed], bool]
    random: Callable[[int], bytes]
    number: Callable[[], int]
    held: Callable[[tuple[Deed, ...]], bool] = lambda deeds: False
    elsewhere: frozenset[str] = frozenset()
    passes: tuple[str, ...] = PASSES
    known: Known = field(default_factory=Known, compare=False, repr=False)

    @property
    def shared(self) -> bool:
        """Whether the target is reached by path, on a host that it shares with others."""
        return self.base.startswith("/")
