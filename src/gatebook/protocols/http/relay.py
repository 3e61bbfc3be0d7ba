"""One request and its answer: a relay of its own, whichever version of HTTP carried them, and however many share a connection.

It keeps the contract of ``protocols/relay.py``, with messages in the place of bytes: the codecs have made them of bytes already
(``h1.py``, ``h2.py``), so that nothing here depends on how a message was framed, and what goes on is framed anew.

States: ``gathering`` the content that a decision needs -> ``asking`` -> ``sending`` -> ``over``; ``hearing`` the rest before a
refusal is told, for clients that read none earlier. What is decided about is the head and, up to ``Shape.body_bytes``, the
content: longer content is decided about unread, which rules can see, and flows on once it may. The client is not read while
``asking``. What is asked inside of an upgrade that is read, as GraphQL in a WebSocket, is an action of its own (``inside.py``).

Invariants, each with a test: no ``Forward`` before its ``Permit``; a client's token, and what it says of other hops, is in no
``Forward``; an answer that cannot be covered is replaced by a problem while its head is not out, and cut short after that;
after ``HangUp`` every signal returns no effects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias, assert_never

from gatebook.errors import WireError
from gatebook.model import Action, Permit, Reach
from gatebook.protocols.http import grpc, refusal
from gatebook.protocols.http.answering import Answering, shown
from gatebook.protocols.http.asking import asked, outgoing, stated, whole_instead
from gatebook.protocols.http.browsers import own_page, shows_pages
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.dialect import HEARD_BYTES, Opening, Passage
from gatebook.protocols.http.graphql_socket import Conversation
from gatebook.protocols.http.inside import Inside
from gatebook.protocols.http.known import Meant
from gatebook.protocols.http.lane import Went, again
from gatebook.protocols.http.message import Data, End, Message, Request, Response
from gatebook.protocols.http.signals import ClientSaid, Failed, Idle, Inquired, TargetSaid
from gatebook.protocols.http.terms import Terms
from gatebook.protocols.http.trying import Inquirable, Tryable
from gatebook.protocols.http.tunnel import Moved
from gatebook.protocols.relay import ANOTHER_SITE, Allowed, Answered, Ask, Ended, HangUp, Held, Refused, Side, Withdraw

Signal: TypeAlias = ClientSaid | TargetSaid | Allowed | Refused | Held | Failed | Idle | Inquired | Ended

# Effects -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Forward:
    """Send a message to the target, by the authority of a permit. ``length`` is that of all content; None: not known."""

    permit: Permit
    message: Message
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Send a message to the client; it is covered already. ``length`` as above.

    ``shown`` is what a replay shows in the place of its bytes, where those are frames of another protocol.
    """

    message: Message
    length: int | None = None
    shown: bytes | None = None


@dataclass(frozen=True, slots=True)
class Continue:
    """Tell a client that waits for it to send its content (RFC 9110, section 10.1.1)."""


@dataclass(frozen=True, slots=True)
class Inquire:
    """Ask the target what has to be known before the request is read."""

    inquirable: Inquirable


Effect: TypeAlias = Ask | Inquire | Withdraw | Forward | Reply | Continue | Answered | HangUp


EARLY_BYTES = 65_536  # that a client may say to a WebSocket before it stands


class Step(StrEnum):
    """Where an exchange is."""

    GATHERING = "gathering"
    ASKING = "asking"
    SENDING = "sending"
    HEARING = "hearing"  # the rest of a request whose answer is known: its client reads none before it has said all
    OVER = "over"


class HttpRelay:
    """Owned by one exchange. ``seq`` is the action's number in its session."""

    def __init__(self, terms: Terms, seq: int) -> None:
        self._terms, self.seq = terms, seq
        self.step = Step.GATHERING
        self._request: Request | None = None
        self._kept: list[Data] = []
        self._kept_bytes = 0
        self._whole = False  # the client has said all
        self._bare = False  # it says that there is no content, and nobody wants any
        self._expects = False
        self._content: bytes | None = None  # None: not read
        self._meant: Meant | None = None
        self._action: Action | None = None
        self._permit: Permit | None = None
        self._answering: Answering | None = None
        self._opening: Opening | None = None
        self._tunnel: Passage | None = None
        self._inside: Inside | None = None  # where what is said in the tunnel is decided
        self._went: Went | None = None
        self._replied = self._inquires = False
        self._late: tuple[Response, bytes] | None = None
        self._tells_status = False  # its answer is gRPC's, whose trailers say how it ended

    @property
    def hungry(self) -> bool:
        """Whether more of the client's content is of use now."""
        if self._request is not None and self._request.upgrade:
            return self._tunnel is not None and not (self._inside is not None and self._inside.full)
        return not self._whole and self.step in (Step.GATHERING, Step.SENDING, Step.HEARING)

    @property
    def waits(self) -> float:
        """After how many seconds without a message ``Idle`` is wanted; 0 where nothing is held back."""
        return self._tunnel.waits if self._tunnel is not None else 0.0

    @property
    def keeps(self) -> bool:
        """Whether content is kept until the request was decided about."""
        return self.step in (Step.GATHERING, Step.ASKING)

    @property
    def only_reads(self) -> bool:
        """Whether what is asked changes nothing, as far as rules know: then it may be asked twice."""
        return self._permit is not None and self._action is not None and self._action.reach is Reach.READ

    @property
    def went(self) -> Went | None:
        """What can go by the lane when it comes again, now that it is answered; None for what cannot."""
        return self._went if self.step is Step.OVER else None

    def tryable(self, *, again: bool = False) -> Tryable | None:
        """What of the request that is asked about may be tried; ``again``: what of it may be looked at once more."""
        if self._request is None or self._meant is None:
            raise AssertionError("nothing to try")
        if self._meant.fault:
            return None  # nobody is asked about it
        request, resolved = self._request, self._meant.resolved
        if resolved is not None:
            request = replace(request, target=resolved.target)
        content = resolved.content if resolved is not None else None
        draft = self._terms.dialect.draft(request, content, self._meant.reading, again=again)
        return Tryable(draft, request, self._meant, self._terms) if draft is not None else None

    def feed(self, signal: Signal) -> list[Effect]:
        """Take one signal and say what is to be done about it, in order."""
        if self.step is Step.OVER or (self.step is Step.HEARING and not isinstance(signal, ClientSaid | Failed | Ended)):
            return []
        match signal:
            case ClientSaid(message) if self._late is not None:
                return self._heard(message, self._late)
            case ClientSaid(message):
                if self._tunnel is not None:
                    return self._through(self._tunnel, message, self._tunnel.from_client)
                return self._from_client(message)
            case TargetSaid(message):
                try:
                    if self._tunnel is not None:
                        return self._through(self._tunnel, message, self._tunnel.from_target)
                    return self._from_target(message)
                except WireError as error:
                    why = f"the target's answer cannot be passed on: {error}"
                    return self._failed(502, why, grpc.Status.PERMISSION_DENIED)  # nobody is to try it again
            case Allowed() | Refused() if self._inside is not None:
                return self._settled(self._inside, signal)
            case Allowed():
                return self._allowed(signal)
            case Refused():
                return self._refused(signal)
            case Held():
                return []
            case Failed(status, why, permit):
                if permit is not None and self._inside is not None and self._inside.asks:
                    return self._went_on(self._inside.failed(status, why))
                self._permit = self._permit or permit
                return self._failed(status, why)
            case Inquired(ask, meant):
                self._action, self._meant = ask.action, meant
                return [ask]
            case Idle():
                return self._moved(self._tunnel.idle()) if self._tunnel is not None else []
            case Ended():
                return self._ended(signal)
            case _:
                assert_never(signal)

    # The request --------------------------------------------------------------------------------------------------------

    def _from_client(self, message: Message) -> list[Effect]:
        match message:
            case Request():
                return self._begun(message)
            case Data():
                if self._request is not None and self._request.upgrade:
                    return self._keep_for_tunnel(message)
                if self.step is Step.SENDING and self._permit is not None:
                    return [Forward(self._permit, message)]
                if self._bare:
                    self._bare = False
                    return [*self._ask(None), *self._keep(message)]
                return self._keep(message)
            case End():
                if self._request is not None and self._request.upgrade:
                    return []  # of an opening there is no content, and its end is said with its head
                self._whole = True
                if self.step is Step.GATHERING:
                    return self._ask(None if self._bare else b"".join(one.data for one in self._kept))
                if self.step is Step.SENDING and self._permit is not None:
                    return [Forward(self._permit, message)]
                return []
            case Response():
                raise AssertionError("a client that answers")
            case _:
                assert_never(message)

    def _begun(self, request: Request) -> list[Effect]:
        self._request = request
        if request.upgrade:
            try:
                self._opening = self._terms.dialect.opening(request, self._terms.random)
            except MalformedError as error:
                return self._problem(refusal.Problem(error.status, str(error)))
        self._expects = (request.get(b"expect") or b"").lower() == b"100-continue"
        if not self._terms.dialect.wants(request) and not self._held(request):
            self._bare = request.method in ("GET", "HEAD") and not request.upgrade and not self._announces(request)
            return [] if self._bare else self._ask(None)  # its end is at hand: then it is known whole
        return self._go_on()

    def _announces(self, request: Request) -> bool:
        """Whether content comes, or its client waits for a word before it says."""
        return self._expects or bool(stated(request)) or request.get(b"transfer-encoding") is not None

    def _held(self, request: Request) -> bool:
        """Whether a call of gRPC needs people: then it is kept to its end, since they say yes to exactly what is sent."""
        return grpc.spoken(request.fields) and self._terms.held(self._terms.dialect.read(request, None).deeds)

    def _go_on(self) -> list[Effect]:
        if not self._expects:
            return []
        self._expects = False
        return [Continue()]

    def _keep(self, message: Data) -> list[Effect]:
        self._kept.append(message)
        self._kept_bytes += len(message.data)
        if self.step is Step.GATHERING and self._kept_bytes > self._terms.dialect.body_bytes:
            return self._ask(None)
        return []

    def _keep_for_tunnel(self, message: Data) -> list[Effect]:
        """What a client says to a WebSocket that does not stand yet is nobody's before it does."""
        self._kept.append(message)
        self._kept_bytes += len(message.data)
        if self._kept_bytes > EARLY_BYTES:
            return self._failed(400, "a WebSocket is spoken to at length before it stands")
        return []

    def _ask(self, content: bytes | None) -> list[Effect]:
        if self._request is None:
            raise AssertionError("content without a head")
        self.step = Step.ASKING
        self._content = content = self._terms.dialect.plainly(self._request, content) if content else content
        inquiry = self._terms.dialect.inquiry(self._request, content)
        if inquiry is not None:
            self._inquires = True
            return [Inquire(Inquirable(inquiry, self._request, content, self._terms, self.seq))]
        ask, meant = asked(self._request, content, self._terms, self.seq)
        self._action, self._meant = ask.action, meant
        return [ask]

    def _allowed(self, allowed: Allowed) -> list[Effect]:
        if self._request is None or self._meant is None or self.step is not Step.ASKING:
            raise AssertionError("allowed without having asked")
        self._permit, self.step = allowed.permit, Step.SENDING
        terms, said, resolved = self._terms, self._request, self._meant.resolved
        needles, aliases = terms.injected().needles, self._meant.reading.aliases
        plan = terms.dialect.plan(said, terms.covering, allowed.permit.masks, needles, aliases)
        if resolved is not None and resolved.values:
            said, plan = replace(said, target=resolved.target), plan.hiding(resolved.values)
        content = resolved.content if resolved is not None else b""
        if resolved is None and allowed.permit.conditions:
            raise AssertionError("held to what people saw, and not read")
        try:
            said, content = terms.dialect.bound(said, content, allowed.permit.conditions)
        except MalformedError as error:
            return self._problem(refusal.Problem(error.status, str(error), {"class": "ask", "decision": allowed.decision}))
        shows = terms.dialect.shows(said, self._meant.reading, terms.may)
        told = outgoing(said, terms, plan, self._opening, plain=shows is not None)
        self._answering = Answering(self._request, terms, plan, told, shows, self._opening)
        fix = {"class": "fix", "decision": allowed.decision}
        if terms.dialect.strict and self._meant.reading.fault:
            problem = refusal.Problem(400, self._meant.reading.fault, fix)
            return self._say(*terms.dialect.refusal(problem, self._meant.reading, self._content))
        if resolved is not None and resolved.refusal:
            return self._problem(refusal.Problem(403, resolved.refusal, fix))
        if plan.rules_fields and self._meant.reading.renames:
            return self._problem(refusal.Problem(403, f"a rule covers fields, and {self._meant.reading.renames}", fix))
        as_it_came = content == b"".join(one.data for one in self._kept) and said is self._request
        plainly = as_it_came and not self._inquires and shows is None and not grpc.spoken(said.fields)
        if self._whole and (self._content is not None or self._bare) and plainly:
            self._went = again(Went(self._request, self._content or b"", self._meant, allowed.permit.masks, plan, told, terms))
        kept = self._kept if resolved is None else [Data(content)] if content else []
        if said.upgrade:
            return [Forward(self._permit, told, 0), Forward(self._permit, End())]
        length = sum(len(one.data) for one in kept) if self._whole else stated(self._request)
        effects: list[Effect] = [Forward(self._permit, told, length), *(Forward(self._permit, one) for one in kept)]
        self._kept = []
        effects += [Forward(self._permit, End())] if self._whole else self._go_on()
        return effects

    def _refused(self, refused: Refused) -> list[Effect]:
        """The client hears why; what it still sends is nobody's."""
        self._kept = []
        if refused.action is None:
            return self._problem(refusal.not_let_in(refused))
        page = own_page(self._request.target) if self._request is not None and refused.verdict.rule == ANOTHER_SITE else ""
        problem = refusal.refused(refused.action, refused, page)
        if self._request is not None and grpc.spoken(self._request.fields):
            return self._problem(problem)
        reading = self._meant.reading if self._meant is not None else None
        return self._say(*self._terms.dialect.refusal(self._read_by(problem), reading, self._content))

    # The answer ---------------------------------------------------------------------------------------------------------

    def _from_target(self, message: Message) -> list[Effect]:
        if self._answering is None:
            raise AssertionError("an answer to what was not asked")
        match message:
            case Response():
                if again := self._whole_instead(self._answering, message):
                    return again
                said = self._answering.head(message)
                if said is None:
                    return []
                self._replied = True
                self._tells_status = grpc.spoken(said.head.fields) and said.length is None
                if said.head.status == 101 and self._opening is not None:
                    self._tunnel = tunnel = self._opening.passage(self._answering.plan, self._terms.passes)
                    self._inside = Inside(tunnel, self._terms) if isinstance(tunnel, Conversation) else None
                    opened: list[Effect] = [Reply(self._opening.answer(said.head.fields))]
                    for early in self._kept:
                        opened += self._through(tunnel, early, tunnel.from_client)
                    self._kept = []
                    return opened
                return [Reply(said.head, said.length)]
            case Data():
                data = self._answering.data(message.data)
                return [Reply(Data(data))] if data else []
            case End():
                rest, trailers = self._answering.end(message.trailers)
                effects: list[Effect] = [Reply(Data(rest))] if rest else []
                return [*effects, Reply(End(trailers)), *self._over(str(self._answering.status))]
            case Request():
                raise AssertionError("a target that asks")
            case _:
                assert_never(message)

    def _whole_instead(self, answering: Answering, response: Response) -> list[Effect]:
        """Where a part of a content came that nobody can look through, ask for all of it: a server may always give that."""
        if self._permit is None or not self.only_reads or response.status != 206:
            return []
        if self._content or answering.passes(response):
            return []
        told = whole_instead(answering.told)
        if told is None:
            return []
        self._answering, self._went = answering.anew(told), None
        return [Forward(self._permit, told, 0), Forward(self._permit, End())]

    def _through(self, tunnel: Passage, message: Message, move: Callable[[bytes], Moved]) -> list[Effect]:
        """A piece of what an upgrade opened; its end is that of its connection."""
        if not isinstance(message, Data):
            return self._moved(replace(tunnel.ended(), over=True))
        return self._moved(move(message.data))

    def _settled(self, inside: Inside, said: Allowed | Refused) -> list[Effect]:
        """What was asked for inside is decided; behind it goes what the client said meanwhile."""
        return self._went_on(*inside.settled(said))

    def _went_on(self, moved: Moved, permit: Permit | None = None) -> list[Effect]:
        if self._tunnel is None:
            raise AssertionError("inside of nothing")
        effects = self._moved(moved, permit)
        return effects if self.step is Step.OVER else [*effects, *self._moved(self._tunnel.idle())]

    def _moved(self, moved: Moved, permit: Permit | None = None, status: str = "101") -> list[Effect]:
        if self._permit is None:
            raise AssertionError("a WebSocket without a permit")
        effects: list[Effect] = [Forward(permit or self._permit, Data(moved.to_target))] if moved.to_target else []
        if moved.to_client or moved.shown:
            effects.append(Reply(Data(moved.to_client), shown=moved.shown))
        effects += moved.answered
        if moved.over:
            return [*effects, Reply(End()), *self._over(status)]
        if moved.asks is not None and self._inside is not None:
            effects.append(self._inside.ask(*moved.asks))
        return effects

    def _over(self, status: str) -> list[Effect]:
        self.step = Step.OVER
        if self._action is None or self._permit is None:
            return []
        said = self._tunnel or self._answering
        inside = self._inside.over(status) if self._inside is not None else []
        return [*inside, Answered(self._action, status, 0, said.size if said else 0, said.masked if said else {})]

    # What goes wrong ----------------------------------------------------------------------------------------------------

    def _failed(self, status: int, why: str, called: grpc.Status | None = None) -> list[Effect]:
        return self._stopped(refusal.Problem(status, why, {"class": "ask" if status < 500 else "fix"}, called=called))

    def _stopped(self, problem: refusal.Problem, *, timely: bool = False) -> list[Effect]:
        """What was begun does not go on; an answer whose head is out must not look whole."""
        if not self._replied:
            return self._problem(problem)
        farewell = self._farewell(problem, timely)
        over = self._over(f"cut: {problem.detail}")
        if farewell is not None:
            return [*([Reply(Data(farewell))] if farewell else []), Reply(End()), *over]
        return [Reply(End(problem.of_call()[1])), *over] if self._tells_status else [*over, HangUp(problem.detail)]

    def _farewell(self, problem: refusal.Problem, timely: bool) -> bytes | None:
        if self._request is None or self._answering is None or self._tunnel is not None or not self._answering.between:
            return None
        return self._terms.dialect.farewell(self._request, problem, timely=timely)

    def _ended(self, ended: Ended) -> list[Effect]:
        if ended.side == Side.CLIENT:
            withdrawn: list[Effect] = []
            if self.step is Step.ASKING and self._action is not None:
                withdrawn = [Withdraw(self._action)]
            return [*withdrawn, *self._over("the client went away"), HangUp(ended.why)]
        if ended.side == Side.SERVER:
            return self._failed(502, ended.why)
        if self._tunnel is not None:
            return self._moved(replace(self._tunnel.stop(ended.why), over=True), status=f"cut: {ended.why}")
        problem = refusal.turned(401, ended.why, "Get a new token with `gatebook token` and send it again.")
        return self._stopped(problem, timely=ended.timely)

    def _problem(self, problem: refusal.Problem) -> list[Effect]:
        """An answer of the gateway's own."""
        if self._request is not None and grpc.spoken(self._request.fields):
            self._replied = True
            head, trailers = problem.of_call()
            return [Reply(head), Reply(End(trailers)), *self._over(str(head.status))]
        return self._say(*self._terms.dialect.said(self._read_by(problem)))

    def _read_by(self, problem: refusal.Problem) -> refusal.Problem:
        """A problem for whoever reads it: a program, or a person in a browser's window."""
        return replace(problem, page=True) if self._request is not None and shows_pages(self._request) else problem

    def _say(self, head: Response, content: bytes) -> list[Effect]:
        if self._terms.dialect.patient and self._late is None and self._kept_bytes and not self._whole:
            self._kept, self._late, self.step = [], (head, content), Step.HEARING
            return []
        self._replied = True
        replies: list[Effect] = [Reply(head, len(content)), Reply(Data(content)), Reply(End())]
        if self._request is not None and self._request.method == "HEAD":
            del replies[1]
        return [*replies, *self._over(str(head.status))]

    def _heard(self, message: Message, late: tuple[Response, bytes]) -> list[Effect]:
        self._whole = isinstance(message, End)
        self._kept_bytes += len(message.data) if isinstance(message, Data) else 0
        return self._say(*late) if self._whole or self._kept_bytes > HEARD_BYTES else []


__all__ = [
    "ClientSaid",
    "Continue",
    "Effect",
    "Failed",
    "Forward",
    "HttpRelay",
    "Idle",
    "Inquire",
    "Inquired",
    "Reply",
    "Signal",
    "Step",
    "TargetSaid",
    "Terms",
    "shown",
]
