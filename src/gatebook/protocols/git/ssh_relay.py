"""git on one channel of SSH: what a client asks of a repository is decided request by request, a push ref by ref.

    Asking      that the client learns which refs there are is decided
    Talking     the host's service runs; of a fetch each request with other terms is asked about, all else passes
    Telling     a push is here, whole, and nothing of it at the host: the host is asked what it rests on
    Deciding    it, or a request of a fetch, is decided
    Pushed      it was sent on, as it came; the host reports
    Over        its end was told; every signal gives nothing

A push is kept until its pack has ended. What is refused is told in git's own words, and the host's service ends without having
heard of it. Packs and lists of refs pass as they are; what the host's git writes on stderr is covered.

What this file refuses to know: policy, time, the ledger, where the host is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeAlias, assert_never

from gatebook.errors import WireError
from gatebook.masking.detectors import cover_text
from gatebook.model import Action, Deed, Permit, RefusalClass
from gatebook.protocols.git.answers import report, unread
from gatebook.protocols.git.commands import Wanted
from gatebook.protocols.git.conversation import Fetching, Pushing
from gatebook.protocols.git.fetching import Fetch
from gatebook.protocols.git.inquiry import Inquiry
from gatebook.protocols.git.meaning import fetch_deed
from gatebook.protocols.git.pack import Limits
from gatebook.protocols.git.paths import Service
from gatebook.protocols.git.push_inquiry import PushInquiry, Told, deed
from gatebook.protocols.http.covering.plan import plan_of
from gatebook.protocols.refused import told
from gatebook.protocols.relay import Allowed, Answered, Ask, Ended, Held, Refused, Side, Withdraw
from gatebook.protocols.ssh import refusal
from gatebook.protocols.ssh.messages import (
    Closed,
    Data,
    Eof,
    Errors,
    Exit,
    Killed,
    OfClient,
    OfTarget,
    Resize,
    Signal,
    Start,
    how_it_ended,
)
from gatebook.protocols.ssh.relay import (
    ClientSaid,
    Failed,
    Forward,
    Idle,
    Record,
    Reply,
    SshEffect,
    SshSignal,
    TargetSaid,
    Terms,
)
from gatebook.protocols.streams import Streams
from gatebook.protocols.terminals import Kind

VERSION = "GIT_PROTOCOL"
_VERSIONS = ("version=0", "version=1", "version=2")
_PIECE = 1_048_576  # bytes of a push that are sent on at once
_AGAIN = "Push again once it is approved."


@dataclass(frozen=True, slots=True)
class Inquire:
    """Ask the host what a push rests on, on a channel of its own, and say so with ``Inquired``."""

    inquiry: PushInquiry


@dataclass(frozen=True, slots=True)
class Inquired:
    """What a push does."""

    told: Told


GitEffect: TypeAlias = SshEffect | Inquire
GitSignal: TypeAlias = SshSignal | Inquired


class _State(Enum):
    ASKING = auto()
    TALKING = auto()
    TELLING = auto()
    DECIDING = auto()
    PUSHED = auto()
    OVER = auto()


@dataclass(slots=True)
class _Act:
    """What was let go, and how much came of it."""

    action: Action
    permit: Permit
    terms: tuple[object, ...] = ()
    size: int = 0


@dataclass(slots=True)
class _Asked:
    """What is asked about now, and what of the client's goes on with it."""

    action: Action
    data: bytes = field(repr=False)
    terms: tuple[object, ...] = ()
    fault: str = ""


@dataclass(slots=True)
class Room:
    """What all pushes of one session may hold together, in bytes."""

    left: int


class GitRelay:
    """Owned by one channel's driver. ``begin`` is called once, before any signal."""

    def __init__(self, terms: Terms, start: Start, wanted: Wanted, most: int, room: Room | None = None) -> None:
        self._room, self._taken = room or Room(most), 0
        self._terms, self._wanted = terms, wanted
        version = tuple(one for one in start.environment if one[0] == VERSION and one[1] in _VERSIONS)
        self._start = replace(start, command=wanted.command, environment=version)
        self._fetching = Fetching() if wanted.service is Service.UPLOAD else None
        self._pushing = Pushing(most) if wanted.service is Service.RECEIVE else None
        self._state = _State.ASKING
        verb = "git.list" if wanted.service is not None else "git.lfs" if "lfs-" in wanted.command else "git.unknown"
        first = deed(verb, wanted)
        deeds = (first, deed("git.unknown", wanted)) if wanted.service is not None and wanted.why_unknown else (first,)
        self._action = self._new_action(wanted.command, deeds)
        self._asked: _Asked | None = None
        self._acts: list[_Act] = []
        self._pieces: deque[tuple[Fetch | None, bytes]] = deque()
        self._streams: Streams | None = None
        self._end: Exit | Killed | None = None
        self._eof = False

    @property
    def seq(self) -> int:
        """The number of its first action."""
        return self._action.seq

    @property
    def hungry(self) -> bool:
        """Whether more of the client is of use now."""
        return self._state in (_State.TALKING, _State.PUSHED)

    @property
    def waits(self) -> float:
        """Seconds without output after which ``Idle`` is wanted, 0 where nothing is held."""
        return self._streams.waits if self._streams is not None and self._state is not _State.OVER else 0.0

    def begin(self) -> list[GitEffect]:
        """What the client wants is to be decided."""
        wanted = self._wanted
        shown = cover_text(f"{wanted.service or wanted.command[:200]} {wanted.repository or '-'}")
        return [Ask(self._action, frozenset(), shown, fault=wanted.fault, seen=shown)]

    def feed(self, signal: GitSignal) -> list[GitEffect]:
        """Take one signal and say what is to be done about it, in order."""
        if self._state is _State.OVER:
            return []
        try:
            return self._fed(signal)
        except WireError as error:
            return self._told_no(str(error), "", refusal.FAILED, "failed")

    def _fed(self, signal: GitSignal) -> list[GitEffect]:
        match signal:
            case ClientSaid(message):
                return self._client_said(message)
            case TargetSaid(message):
                return self._host_said(message)
            case Allowed():
                return self._allowed(signal)
            case Refused():
                return self._refused(signal)
            case Held():
                return [Reply(Errors(refusal.held(signal)))]
            case Inquired(found):
                return self._inquired(found)
            case Failed(why):
                return self._over("failed", Errors(refusal.line(why)), Exit(refusal.FAILED))
            case Idle():
                return self._flushed(last=False)
            case Ended():
                return self._ended(signal)
            case _:
                assert_never(signal)

    # Decisions ----------------------------------------------------------------------------------------------------------

    def _new_action(self, text: str, deeds: tuple[Deed, ...], parameters: tuple[bytes, ...] = ()) -> Action:
        terms = self._terms
        return Action(session=terms.session, seq=terms.number(), deeds=deeds, text=text, parameters=parameters)

    def _allowed(self, allowed: Allowed) -> list[GitEffect]:
        permit, asked = allowed.permit, self._asked
        if fault := self._wanted.fault if asked is None else asked.fault:
            return self._told_no(f"blocked by {refusal.NOT_PASSED}: {fault}", "", refusal.STATUS, "refused")
        if self._state is _State.ASKING:
            self._acts.append(_Act(self._action, permit))
            self._streams = Streams(plan_of(self._terms.covering, permit.masks, self._terms.needles), tty=False)
            self._state = _State.TALKING
            return [Forward(permit, self._start), *self._go_on()]
        if asked is None:
            raise AssertionError("a permit for what nobody asked")
        self._acts.append(_Act(asked.action, permit, asked.terms))
        self._asked = None
        self._state = _State.TALKING if self._fetching is not None else _State.PUSHED
        data = asked.data
        passed: list[GitEffect] = [Forward(permit, Data(data[at : at + _PIECE])) for at in range(0, len(data), _PIECE)]
        return [*passed, *self._go_on()]

    def _refused(self, refused: Refused) -> list[GitEffect]:
        verdict, action = refused.verdict, self._asked.action if self._asked is not None else self._action
        why, advice = told(action, verdict), verdict.instead
        if refused.refusal is RefusalClass.WAIT and refused.link:
            why, advice = f"approval required ({refused.link})", _AGAIN
        return self._told_no(why, advice, refusal.STATUS, "refused")

    def _told_no(self, why: str, advice: str, status: int, word: str) -> list[GitEffect]:
        """In git's own words, where git hears them."""
        if self._wanted.service is None:
            return self._over(word, Errors(refusal.line(f"{why}. {advice}" if advice else why)), Exit(status))
        push = self._pushing.known if self._pushing is not None else None
        blind = self._pushing is not None and push is None and self._state is not _State.ASKING
        return self._over(word, Data(unread(why, advice) if blind else report(push, why, advice)), Eof(), Exit(status))

    # The client ---------------------------------------------------------------------------------------------------------

    def _client_said(self, message: OfClient) -> list[GitEffect]:
        match message:
            case Data(data):
                if self._fetching is not None:
                    self._fetching.feed(data)
                elif self._pushing is not None:
                    self._take(len(data))
                    self._pushing.feed(data)
            case Eof():
                self._eof = True
            case Resize() | Signal():
                return []
            case _:
                assert_never(message)
        return self._go_on()

    def _take(self, size: int) -> None:
        if size > self._room.left:
            raise WireError("the pushes of this session are more at once than may be held; push one after the other")
        self._room.left -= size
        self._taken += size

    def _go_on(self) -> list[GitEffect]:
        """What the client said meanwhile."""
        effects: list[GitEffect] = []
        if self._state is _State.TALKING and self._pushing is not None:
            effects += self._push(self._pushing)
        if self._fetching is not None and self._state is _State.TALKING:
            self._pieces.extend(self._fetching.pieces())
            while self._pieces and self._state is _State.TALKING:
                effects += self._fetch(*self._pieces.popleft())
        if self._eof and not self._pieces and self._state in (_State.TALKING, _State.PUSHED):
            self._eof = False
            effects.append(Forward(self._acts[-1].permit, Eof()))
        return effects

    def _fetch(self, fetch: Fetch | None, data: bytes) -> list[GitEffect]:
        """It goes on under the permit that fits, or is asked about."""
        if fetch is None or fetch.lists:
            return [Forward(self._acts[0 if fetch is not None else -1].permit, Data(data))]
        terms = (fetch.depth, fetch.filter)
        act = next((one for one in self._acts if one.terms == terms), None)
        if act is not None:
            return [Forward(act.permit, Data(data))]
        deeds = (fetch_deed(fetch, self._wanted.repository),)
        action = self._new_action(self._wanted.command, deeds, (data,))
        self._asked, self._state = _Asked(action, data, terms), _State.DECIDING
        shown = cover_text(f"fetch {self._wanted.repository}" + "".join(f" {one}" for one in terms if one))
        return [Ask(action, frozenset(), shown, seen=shown)]

    def _push(self, pushing: Pushing) -> list[GitEffect]:
        push = pushing.known
        if pushing.whole is None or push is None:
            return []
        if push.probes:
            self._state = _State.PUSHED
            return [Forward(self._acts[0].permit, Data(pushing.whole))]
        self._state = _State.TELLING
        return [Inquire(PushInquiry(self._wanted, Inquiry(push, pushing.whole, Limits())))]

    def _inquired(self, found: Told) -> list[GitEffect]:
        if self._state is not _State.TELLING or self._pushing is None or self._pushing.whole is None:
            raise AssertionError("an answer to what nobody asked")
        action = self._new_action(self._wanted.command, found.deeds)
        self._asked, self._state = _Asked(action, self._pushing.whole, fault=found.fault), _State.DECIDING
        return [Ask(action, frozenset(), found.shown, fault=found.fault, seen=found.seen, bound=found.bound)]

    # The host -----------------------------------------------------------------------------------------------------------

    def _host_said(self, message: OfTarget) -> list[GitEffect]:
        if self._streams is None:
            return []
        match message:
            case Data(data):
                self._acts[-1].size += len(data)
                return [Reply(message)]
            case Errors(data):
                out = self._streams.said(Kind.ERRORS, data)
                return [*self._recorded(), *([Reply(Errors(out))] if out else [])]
            case Eof():
                return [Reply(message)]
            case Exit() | Killed():
                self._end = message
                return []
            case Closed():
                return self._over(how_it_ended(self._end), *([self._end] if self._end is not None else []))
            case _:
                assert_never(message)

    def _flushed(self, *, last: bool) -> list[GitEffect]:
        if self._streams is None:
            return []
        rest = self._streams.finish() if last else self._streams.idle()
        return [*self._recorded(), *(Reply(Errors(data)) for kind, data in rest if kind is Kind.ERRORS)]

    def _recorded(self) -> list[GitEffect]:
        shown = self._streams.take_shown() if self._streams is not None else b""
        return [Record(self.seq, shown)] if shown else []

    # The end ------------------------------------------------------------------------------------------------------------

    def _ended(self, ended: Ended) -> list[GitEffect]:
        if ended.side != Side.CLIENT:
            return self._over("ended", Errors(refusal.line(ended.why)), Exit(refusal.STATUS))
        asked = self._action if self._state is _State.ASKING else self._asked.action if self._asked is not None else None
        withdrawn: list[GitEffect] = [Withdraw(asked)] if asked is not None else []
        return [*withdrawn, *self._over("the client went away")]

    def _over(self, word: str, *words: Data | Errors | Eof | Exit | Killed) -> list[GitEffect]:
        """All that was held, then how it ended. What never ran has no answer."""
        effects = self._flushed(last=True)
        self._state = _State.OVER
        self._room.left += self._taken
        self._taken = 0
        if self._streams is not None:
            size = sum(one.size for one in self._acts)
            self._streams.show(Kind.TOLD, f"{self._wanted.service} {self._wanted.repository}: {size} bytes, {word}".encode())
            effects += self._recorded()
        effects += [Reply(one) for one in words] + [Reply(Closed())]
        masked = self._streams.masked if self._streams is not None else {}
        effects += [Answered(one.action, word, 0, one.size, masked if one is self._acts[0] else {}) for one in self._acts]
        return effects
