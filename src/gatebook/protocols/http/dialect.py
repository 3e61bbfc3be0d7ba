"""What differs between kinds of servers that speak HTTP: how a request is read, what covers its answer, how a refusal sounds.

The relay (``relay.py``) carries any of them; ``plain.py`` has that of HTTP APIs, ``protocols.kubernetes`` another. A dialect is
made once for a target, keeps nothing of any request, and is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gatebook.model import Deed
from gatebook.protocols.http.covering.choosing import Choice
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.reading import Reading
from gatebook.protocols.http.refusal import Problem
from gatebook.protocols.http.tunnel import Moved
from gatebook.protocols.relay import Covering

HEARD_BYTES = 1_073_741_824  # of a request whose refusal is known: then even a patient client hears it


class Passage(Protocol):
    """What an upgrade has opened: bytes from side to side. Owned by one exchange."""

    @property
    def masked(self) -> dict[str, int]:
        """What was covered, by style or detector."""
        ...

    @property
    def size(self) -> int:
        """How many bytes the client was sent."""
        ...

    @property
    def waits(self) -> float:
        """After how many seconds without a byte ``idle`` is wanted; 0 where nothing is held back."""
        ...

    def idle(self) -> Moved:
        """Nothing came for that long: what was held back."""
        ...

    def from_client(self, data: bytes) -> Moved:
        """Bytes of the client."""
        ...

    def from_target(self, data: bytes) -> Moved:
        """Bytes of the target."""
        ...

    def ended(self) -> Moved:
        """A side's connection has ended: likewise, and nothing comes any more."""
        ...

    def stop(self, why: str) -> Moved:
        """The gateway ends it: both sides hear that, as far as they can."""
        ...


class Opening(Protocol):
    """An upgrade that a client asks for, and that is sound."""

    def offered(self, fields: Fields) -> Fields:
        """The fields as the target hears them."""
        ...

    def agreed(self, told: Request, response: Response) -> None:
        """Look at the target's 101. Raises WireError for what nobody offered."""
        ...

    def answer(self, fields: Fields) -> Response:
        """The 101 for the client."""
        ...

    def passage(self, plan: Plan, passes: Collection[str]) -> Passage:
        """What carries the bytes from then on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What people are shown of a request that was tried; with ``why`` nothing, and that is the reason. All of it is covered.

    ``form`` says what ``text`` is: a "diff" of what is there with what it becomes, what "comes", what "goes", or "names" of
    what goes. ``notes`` are sentences about it, ``held_to`` is what its execution must keep to.
    """

    why: str = ""
    form: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()
    held_to: Mapping[str, str] = field(default_factory=dict)


class Draft(Protocol):
    """What a request would do, asked of its target without doing it, question by question. Owned by one exchange."""

    @property
    def why(self) -> str:
        """Why nothing of it may be tried; "" where something may."""
        ...

    def question(self) -> tuple[Request, bytes] | None:
        """The next request to ask, with its content; None once all is known."""
        ...

    def answered(self, status: int, content: bytes, covered: bytes) -> None:
        """Its answer, as it came and as it may be shown."""
        ...

    def shown(self) -> Shown:
        """What there is to see once all is known. Takes time."""
        ...


class Inquiry(Protocol):
    """What a target has to be asked before a request can be read. Owned by one exchange; each call takes time."""

    def question(self) -> tuple[Request, bytes] | None:
        """The next request to ask, with its content; None once all is known."""
        ...

    def answered(self, response: Response, content: bytes) -> None:
        """Its answer."""
        ...

    def reading(self) -> Reading:
        """What the request does."""
        ...

    def bound(self) -> tuple[bytes, ...]:
        """What a yes is bound to in place of the content."""
        ...


class Dialect(Protocol):
    """Of one target."""

    @property
    def body_bytes(self) -> int:
        """How much of a request's content is kept to be decided about."""
        ...

    @property
    def strict(self) -> bool:
        """Whether a request that is wrong by any reading is never sent, whatever the policy says."""
        ...

    @property
    def patient(self) -> bool:
        """Whether who asks reads no answer before all of the request was said."""
        ...

    def wants(self, request: Request) -> bool:
        """Whether the content is kept until the request was decided about, as far as there is room for it."""
        ...

    def plainly(self, request: Request, content: bytes) -> bytes:
        """The content in the form in which it is decided about and sent on: one that all servers read alike."""
        ...

    def meant(self, request: Request) -> Request:
        """The request with its content's type as ``plainly`` has made it."""
        ...

    def exact(self, request: Request) -> str:
        """A request's head as a yes is bound to it."""
        ...

    def read(self, request: Request, content: bytes | None) -> Reading:
        """What the request does; ``content`` is None where it was not read."""
        ...

    def inquiry(self, request: Request, content: bytes | None) -> Inquiry | None:
        """What has to be asked before the request is read; None where it says all itself."""
        ...

    def seen(self, told: Request, content: bytes | None, reading: Reading, plan: Plan) -> str:
        """All of a request as people see it who decide about it, and as a replay shows it: covered."""
        ...

    def plan(
        self,
        request: Request,
        covering: Covering,
        masks: Collection[str],
        needles: Collection[bytes],
        aliases: Mapping[str, Collection[str]] | None = None,
    ) -> Plan:
        """What covers the answer to a request under these mask sets."""
        ...

    def kept(self, request: Request, fields: Fields, plan: Plan) -> Fields:
        """Those of a client's fields that go on to this kind of target, before the gateway says its own."""
        ...

    def opening(self, request: Request, random: Callable[[int], bytes]) -> Opening:
        """The upgrade that a request asks for. Raises MalformedError for one that is not known, or not sound."""
        ...

    def cover(self, request: Request, response: Response, plan: Plan, passes: Collection[str]) -> Choice:
        """What becomes of an answer."""
        ...

    def shows(self, request: Request, reading: Reading, may: Callable[[Deed], bool]) -> Callable[[str], bool] | None:
        """Which names of a list the client may see, where the answer is a list of MCP; None where it is not."""
        ...

    def refusal(self, problem: Problem, reading: Reading | None, content: bytes | None) -> tuple[Response, bytes]:
        """How a client hears that what it asked for is refused."""
        ...

    def said(self, problem: Problem) -> tuple[Response, bytes]:
        """How a client hears of anything else that goes wrong."""
        ...

    def bound(self, request: Request, content: bytes, conditions: Mapping[str, str]) -> tuple[Request, bytes]:
        """The request as it may go under a permit's conditions. Raises MalformedError for one that cannot be held to them."""
        ...

    def draft(self, request: Request, content: bytes | None, reading: Reading, *, again: bool) -> Draft | None:
        """What of a request may be tried before people are asked, None where there is nothing to see.

        ``content`` is what would be sent, None where it was not read.
        With ``again`` it asks only whether what they saw is there still.
        """
        ...

    def farewell(self, request: Request, problem: Problem, *, timely: bool) -> bytes | None:
        """What ends an answer that streams and does not go on, between two of its documents; None where it is cut.

        ``timely`` says that only the client's proof is over, by its own time.
        """
        ...
