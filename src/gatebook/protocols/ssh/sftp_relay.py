"""SFTP on one channel: each request is read, decided by its path and sent on; each answer goes back to its request.

    a request with a path -> the host resolves it (REALPATH) -> Ask -> the same request about the resolved path
    a request with a handle -> sent by the permit under which the handle was opened
    a read -> asked for with what stands around it, so that the middle can be covered whatever a client picks out

One path at a time is resolved and asked about; what comes behind it waits, in order. What people took their time for is
resolved once more after their yes, and does not go on where its path leads elsewhere by then. Numbers of requests are the
gateway's own towards the host. What is refused is answered PERMISSION_DENIED with the reason, and the client goes on.

What this file refuses to know: policy, time, the ledger, where the host is.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import assert_never

from gatebook.errors import WireError
from gatebook.model import Action, Deed, Permit
from gatebook.protocols.http.covering.plan import Plan, count, plan_of
from gatebook.protocols.refused import told
from gatebook.protocols.relay import Allowed, Answered, Ask, Ended, Held, Refused, Side, Withdraw
from gatebook.protocols.ssh import refusal
from gatebook.protocols.ssh.messages import Closed, Data, Eof, Errors, Exit, Killed, OfClient, OfTarget, Resize, Signal, Start
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
from gatebook.protocols.ssh.sftp_files import CHANNEL_BYTES, FILE_BYTES, File
from gatebook.protocols.ssh.sftp_packets import LONGEST, Fields, Kind, Reader, Status, packet, status, string, u32, u64
from gatebook.protocols.ssh.sftp_reading import HARMLESS, PathRequest, deeds, path_request, session_deeds, shown, split, visible
from gatebook.protocols.terminals import Kind as Frame
from gatebook.protocols.terminals import frame

VERSION = 3
AROUND = 4_096  # bytes before and behind what a client reads that are looked at with it
FAR = 16_384  # bytes before it, where it stands amid a long code; hosts give 32 KiB and more at once
READ_BYTES = LONGEST - FAR - AROUND - 1_024
UNDER_WAY = 512  # requests that the host has not answered
WAITING = 2_048  # packets of a client that wait
FILES = 256  # that one channel has open

_KEPT = (b"posix-rename@openssh.com", b"hardlink@openssh.com", b"lsetstat@openssh.com", b"statvfs@openssh.com")
_BY_HANDLE = (b"fsync@openssh.com", b"fstatvfs@openssh.com")
_OFFERED = frozenset((*_KEPT, *_BY_HANDLE, *HARMLESS))
# All base64, in lines or not: a private key or a token may have begun before it.
_AMID_CODE = re.compile(
    rb"[\w+/=.-]*+(?:(?:\s|\\++[nrt/]|[\"',])++[\w+/=.-]{32,}+)*+(?:\s|\\++[nrt/]?|[\"',])*+[\w+/=.-]*+", re.ASCII
)
_WORDS = {0: "done", 1: "end of file", 2: "no such file", 3: "permission denied", 5: "bad message", 8: "not supported"}


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request that the host has: as what it answers it, and to which number of the client's."""

    number: int
    kind: Kind
    file: File | None = None
    action: Action | None = None
    offset: int = 0
    before: int = 0  # bytes in front of what a read wants
    wanted: int = 0
    handle: bytes = b""


@dataclass(slots=True)
class _Current:
    """A request whose paths are resolved, or that is asked about."""

    number: int
    request: PathRequest
    names: list[bytes] = field(default_factory=list)  # behind what is being resolved
    resolved: list[bytes] = field(default_factory=list)
    action: Action | None = None
    held: bool = False
    permitted: tuple[Permit, list[bytes]] | None = None  # by people, about these paths


class SftpRelay:
    """Owned by one channel's driver. ``begin`` is called once, before any signal."""

    def __init__(self, terms: Terms, start: Start, user: str, *, contents: bool = False) -> None:
        """``contents``: what passes is recorded, covered, as far as it has room."""
        self._terms, self._start, self._user = terms, start, user
        self._client, self._host = Reader(), Reader()
        self._action = self._new_action(session_deeds(user), "sftp")
        self._permit: Permit | None = None
        self._plan: Plan | None = None
        self._queue: deque[bytes] = deque()
        self._current: _Current | None = None
        self._sent: dict[int, _Sent | None] = {}  # None: the host resolves a path for us
        self._files: dict[bytes, File] = {}
        self._number = self._size = 0
        self._greeted = self._said_all = self._over_ = False
        self._end: Exit | Killed | None = None
        self._of_file = FILE_BYTES if contents else 0
        self._room = CHANNEL_BYTES

    @property
    def seq(self) -> int:
        """The number of its first action."""
        return self._action.seq

    @property
    def hungry(self) -> bool:
        """Whether more of the client is of use now."""
        return self._permit is not None and self._current is None and not self._queue

    @property
    def waits(self) -> float:
        """Nothing is held back."""
        return 0.0

    def begin(self) -> list[SshEffect]:
        """That SFTP is spoken is decided like anything else."""
        seen = f"as {self._user}: SFTP, each request of which is decided by itself"
        return [Ask(self._action, frozenset(), "sftp", seen=seen)]

    def feed(self, signal: SshSignal) -> list[SshEffect]:
        """Take one signal and say what is to be done about it, in order."""
        if self._over_:
            return []
        try:
            return self._fed(signal)
        except WireError as error:
            return self._over("failed", Errors(refusal.line(str(error))), Exit(refusal.FAILED))

    def _fed(self, signal: SshSignal) -> list[SshEffect]:
        match signal:
            case ClientSaid(said):
                return self._client_said(said)
            case Idle():
                return []
            case TargetSaid(message):
                return self._host_said(message)
            case Allowed():
                return self._allowed(signal)
            case Refused():
                return self._refused(signal)
            case Held():
                if self._current is not None:
                    self._current.held = True
                return [Reply(Errors(refusal.held(signal)))]
            case Failed(why):
                return self._over("failed", Errors(refusal.line(why)), Exit(refusal.FAILED))
            case Ended():
                return self._ended(signal)
            case _:
                assert_never(signal)

    # The client ---------------------------------------------------------------------------------------------------------

    def _client_said(self, message: OfClient) -> list[SshEffect]:
        match message:
            case Data(data):
                self._queue.extend(self._client.feed(data))
                if len(self._queue) > WAITING:
                    raise WireError(f"more than {WAITING} requests of SFTP that wait")
            case Eof():
                self._said_all = True
            case Resize() | Signal():
                return []
            case _:
                assert_never(message)
        return self._go_on()

    def _go_on(self) -> list[SshEffect]:
        effects: list[SshEffect] = []
        while self._permit is not None and self._current is None and self._queue and len(self._sent) < UNDER_WAY:
            effects += self._take(self._queue.popleft(), self._permit)
        if self._said_all and not self._queue and self._current is None and self._permit is not None:
            self._said_all = False
            effects.append(Forward(self._permit, Eof()))
        return effects

    def _take(self, body: bytes, permit: Permit) -> list[SshEffect]:
        fields = Fields(body)
        code = fields.byte()
        if not self._greeted:
            if code != Kind.INIT:
                raise WireError("a request of SFTP before its greeting")
            self._greeted = True
            return [Forward(permit, Data(packet(Kind.INIT, u32(VERSION))))]
        number, rest = fields.u32(), fields.rest()
        try:
            kind = Kind(code)
        except ValueError:
            return [self._tell(number, Status.UNSUPPORTED, "gatebook: a request of SFTP that is not known here")]
        found = path_request(kind, rest)
        if found is not None:
            self._current = _Current(number, found)
            return self._resolve(self._current, permit)
        return self._by_handle(kind, number, rest, permit)

    def _by_handle(self, kind: Kind, number: int, rest: bytes, permit: Permit) -> list[SshEffect]:
        fields = Fields(rest)
        if kind is Kind.REALPATH:
            return [self._send(_Sent(number, kind), permit, rest)]
        extension = fields.string() if kind is Kind.EXTENDED else b""
        if kind is Kind.EXTENDED and extension in HARMLESS:
            return [self._send(_Sent(number, kind), permit, rest)]
        known = (Kind.CLOSE, Kind.READ, Kind.WRITE, Kind.FSTAT, Kind.FSETSTAT, Kind.READDIR)
        if kind not in known and extension not in _BY_HANDLE:
            return [self._tell(number, Status.UNSUPPORTED, "gatebook: a request of SFTP that is not passed on")]
        handle = fields.string()
        file = self._files.get(handle)
        if file is None:
            return [self._tell(number, Status.FAILURE, "gatebook: no such handle")]
        verbs = {deed.verb for deed in file.action.deeds}
        if kind is Kind.READ:
            return self._read(number, handle, file, fields) if "ssh.sftp.read" in verbs else self._denied(number, "read")
        if kind in (Kind.WRITE, Kind.FSETSTAT) or extension == b"fsync@openssh.com":
            if "ssh.sftp.write" not in verbs:
                return self._denied(number, "written")
            if kind is Kind.WRITE:
                self._room -= file.hold(fields.u64(), fields.string(), self._room)
        if kind is Kind.CLOSE:
            del self._files[handle]
        return [self._send(_Sent(number, kind, file), file.permit, rest)]

    def _denied(self, number: int, what: str) -> list[SshEffect]:
        return [self._tell(number, Status.PERMISSION_DENIED, f"gatebook: the file was not opened to be {what}")]

    def _read(self, number: int, handle: bytes, file: File, fields: Fields) -> list[SshEffect]:
        offset, wanted = fields.u64(), min(fields.u32(), READ_BYTES)
        before = min(offset, AROUND) if self._reads else 0
        return [self._ask_for(_Sent(number, Kind.READ, file, offset=offset, before=before, wanted=wanted, handle=handle), file)]

    def _ask_for(self, sent: _Sent, file: File) -> Forward:
        behind = AROUND if self._reads else 0
        asked = string(sent.handle) + u64(sent.offset - sent.before) + u32(sent.before + sent.wanted + behind)
        return self._send(sent, file.permit, asked)

    @property
    def _reads(self) -> bool:
        return self._plan is not None and bool(self._plan.names or self._plan.needles)

    def _send(self, sent: _Sent | None, permit: Permit, rest: bytes, kind: Kind = Kind.REALPATH) -> Forward:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._sent[self._number] = sent
        return Forward(permit, Data(packet(sent.kind if sent is not None else kind, u32(self._number), rest)))

    def _tell(self, number: int, code: Status, words: str) -> Reply:
        return Reply(Data(status(number, code, words)))

    # Paths --------------------------------------------------------------------------------------------------------------

    def _resolve(self, current: _Current, permit: Permit) -> list[SshEffect]:
        """Have the next path resolved, or ask once all are."""
        done, request = len(current.resolved), current.request
        if done == len(request.paths):
            return self._still(current, *current.permitted) if current.permitted else [self._ask(current)]
        path = current.permitted[1][done] if current.permitted else request.paths[done]
        folder, name = (path or b".", b"") if request.follows else split(path)
        current.names.append(name)
        return [self._send(None, permit, string(folder))]

    def _resolved(self, body: Fields, kind: Kind) -> list[SshEffect]:
        current, permit = self._current, self._permit
        if current is None or permit is None:
            raise WireError("the host resolves a path that nobody asked about")
        if kind is Kind.STATUS:
            if current.permitted is not None:
                return self._elsewhere(current)
            self._current, code = None, body.u32()
            said = packet(Kind.STATUS, u32(current.number), u32(code), string(_words(code)), string(b"en"))
            return [Reply(Data(said)), *self._go_on()]
        if kind is not Kind.NAME or body.u32() != 1:
            raise WireError("the host resolves a path to none, or to several")
        path, name = body.string(), current.names[-1]
        if not path.startswith(b"/"):
            raise WireError("the host resolves a path to one that is none")
        current.resolved.append(path.rstrip(b"/") + b"/" + name if name else path)
        return self._resolve(current, permit)

    def _ask(self, current: _Current) -> Ask:
        request, resolved = current.request, tuple(current.resolved)
        line = shown(request.verbs, request, resolved)
        exact = f"{request.kind.name} {' '.join(map(visible, resolved))} {visible(request.aside)} {request.rest.hex()}"
        current.action = self._new_action(deeds(request, resolved, self._user), exact)
        return Ask(current.action, frozenset(), line, seen=f"as {self._user}, by SFTP:\n{line}")

    def _new_action(self, of: tuple[Deed, ...], text: str) -> Action:
        return Action(session=self._terms.session, seq=self._terms.number(), deeds=of, text=text)

    # Decisions ----------------------------------------------------------------------------------------------------------

    def _allowed(self, allowed: Allowed) -> list[SshEffect]:
        permit = allowed.permit
        if self._permit is None:
            self._permit = permit
            self._plan = plan_of(self._terms.covering, permit.masks, self._terms.needles)
            return [Forward(permit, self._start), *self._go_on()]
        current = self._current
        if current is None or current.action is None:
            raise AssertionError("a permit for what nobody asked about")
        if current.held:
            current.permitted, current.resolved = (permit, current.resolved), []
            return self._resolve(current, self._permit)
        return self._do(current, current.action, permit)

    def _still(self, current: _Current, permit: Permit, asked: list[bytes]) -> list[SshEffect]:
        """What people said yes to, if the host's paths lead there as they did."""
        if current.action is None or current.resolved != asked:
            return self._elsewhere(current)
        return self._do(current, current.action, permit)

    def _elsewhere(self, current: _Current) -> list[SshEffect]:
        self._current = None
        words = "gatebook: since it was asked for, its path came to lead elsewhere, or nowhere: nothing was done; ask again"
        told: list[SshEffect] = [self._tell(current.number, Status.FAILURE, words)]
        if current.action is not None:
            told.append(Answered(current.action, "failed", 0, 0, {}))
        return [*told, *self._go_on()]

    def _do(self, current: _Current, action: Action, permit: Permit) -> list[SshEffect]:
        self._current = None
        request, file = current.request, None
        if request.kind in (Kind.OPEN, Kind.OPENDIR):
            if len(self._files) >= FILES:
                return [self._tell(current.number, Status.FAILURE, "gatebook: too many files are open"), *self._go_on()]
            room = self._of_file and self._of_file + (AROUND if "ssh.sftp.write" in request.verbs else 0)
            file = File(action, permit, visible(current.resolved[0]), room)
        sent = _Sent(current.number, request.kind, file, action)
        return [self._send(sent, permit, request.said(tuple(current.resolved))), *self._go_on()]

    def _refused(self, refused: Refused) -> list[SshEffect]:
        if self._permit is None:
            self._over_ = True
            return [Reply(Errors(refusal.refused(self._action, refused))), Reply(Exit(refusal.STATUS)), Reply(Closed())]
        current, self._current = self._current, None
        if current is None or current.action is None:
            raise AssertionError("a refusal of what nobody asked about")
        words = f"gatebook: {told(current.action, refused.verdict)} (decision {refused.decision})"
        line = Reply(Errors(refusal.refused(current.action, refused)))
        return [line, self._tell(current.number, Status.PERMISSION_DENIED, words), *self._go_on()]

    # The host -----------------------------------------------------------------------------------------------------------

    def _host_said(self, message: OfTarget) -> list[SshEffect]:
        match message:
            case Data(data):
                effects = [effect for body in self._host.feed(data) for effect in self._answered(body)]
                return [*effects, *self._go_on()]
            case Errors(data):
                return [Reply(Errors(self._plan.looked(data, {}, b"<unread>")))] if self._plan is not None else []
            case Eof():
                return [Reply(message)]
            case Exit() | Killed():
                self._end = message
                return []
            case Closed():
                return self._over("done", *([self._end] if self._end is not None else []))
            case _:
                assert_never(message)

    def _answered(self, body: bytes) -> list[SshEffect]:
        fields = Fields(body)
        code = fields.byte()
        if code == Kind.VERSION:
            return [Reply(Data(_version(fields)))]
        try:
            kind = Kind(code)
        except ValueError:
            raise WireError("an answer of SFTP that is not known here") from None
        number = fields.u32()
        if number not in self._sent:
            raise WireError("the host answers a request of SFTP that it was not sent")
        sent = self._sent.pop(number)
        if sent is None:
            return self._resolved(fields, kind)
        if kind is Kind.STATUS:
            return self._ended_with(sent, fields.u32())
        return self._gave(sent, kind, fields)

    def _ended_with(self, sent: _Sent, code: int) -> list[SshEffect]:
        said = Reply(Data(packet(Kind.STATUS, u32(sent.number), u32(code), string(_words(code)), string(b"en"))))
        word = "ok" if code == Status.OK else f"status {code}"
        if sent.kind is Kind.CLOSE and sent.file is not None:
            return [*self._closed(sent.file, word), said]
        if sent.action is not None:
            return [said, Answered(sent.action, word, 0, 0, {})]
        return [said]

    def _gave(self, sent: _Sent, kind: Kind, fields: Fields) -> list[SshEffect]:
        """What the host gives in answer, where that is what was asked for."""
        expected = {
            Kind.OPEN: Kind.HANDLE, Kind.OPENDIR: Kind.HANDLE, Kind.READ: Kind.DATA, Kind.READDIR: Kind.NAME,
            Kind.REALPATH: Kind.NAME, Kind.READLINK: Kind.NAME, Kind.LSTAT: Kind.ATTRS, Kind.STAT: Kind.ATTRS,
            Kind.FSTAT: Kind.ATTRS, Kind.EXTENDED: Kind.EXTENDED_REPLY,
        }.get(sent.kind)  # fmt: skip
        if kind is not expected:
            raise WireError(f"the host answers {sent.kind.name} of SFTP by {kind.name}")
        if kind is Kind.DATA and sent.file is not None:
            return self._gave_data(sent, sent.file, fields.string())
        rest = fields.rest()
        if kind is Kind.HANDLE and sent.file is not None:
            handle = Fields(rest).string()
            if handle in self._files:
                raise WireError("the host gives a handle of SFTP that it gave before")
            self._files[handle] = sent.file
            return [Reply(Data(packet(kind, u32(sent.number), string(handle))))]
        self._size += len(rest)
        said = Reply(Data(packet(kind, u32(sent.number), rest)))
        return [said, Answered(sent.action, "ok", 0, len(rest), {})] if sent.action is not None else [said]

    def _gave_data(self, sent: _Sent, file: File, data: bytes) -> list[SshEffect]:
        if self._reads and self._plan is not None:
            far = min(sent.offset, FAR)
            if sent.before < far and len(data) > sent.before and _AMID_CODE.fullmatch(data, 0, sent.before):
                return [self._ask_for(replace(sent, before=far), file)]
            data = self._covered(data, sent, file)
        out = data[sent.before : sent.before + sent.wanted]
        if not out:
            return [self._tell(sent.number, Status.EOF, "end of file")]
        kept = file.keep(sent.offset, out)
        self._size += len(out)
        shown: list[SshEffect] = [Record(file.action.seq, frame(Frame.OUTPUT, kept))] if kept else []
        return [*shown, Reply(Data(packet(Kind.DATA, u32(sent.number), string(out))))]

    def _covered(self, data: bytes, sent: _Sent, file: File) -> bytes:
        """It with stars for what is covered, each byte in its place: what a client reads next lines up with it."""
        if self._plan is None:
            return data
        covered, spots = self._plan.blotted(data, file.masked)
        for spot in spots:
            if sent.before <= spot.start < sent.before + sent.wanted:
                count(file.masked, spot.name)
        return covered

    def _closed(self, file: File, word: str) -> list[SshEffect]:
        line = frame(Frame.TOLD, file.sentence.encode("utf-8", "backslashreplace"))
        if file.held:
            held, file.held = bytes(file.held), bytearray()
            self._room += len(held)
            line = frame(Frame.INPUT, self._blotted(held)[:FILE_BYTES]) + line
        return [Record(file.action.seq, line), Answered(file.action, word, 0, file.size, file.masked)]

    def _blotted(self, data: bytes) -> bytes:
        """What a client wrote, as a recording may have it."""
        if self._plan is None or not self._reads:
            return data
        return self._plan.blotted(data, {})[0]

    # The end ------------------------------------------------------------------------------------------------------------

    def _ended(self, ended: Ended) -> list[SshEffect]:
        if ended.side == Side.GATEWAY:
            return self._over("ended", Errors(refusal.line(ended.why)), Exit(refusal.STATUS))
        current = self._current if self._current is not None and self._current.permitted is None else None
        asked = self._action if self._permit is None else current.action if current is not None else None
        withdrawn: list[SshEffect] = [Withdraw(asked)] if asked is not None else []
        return [*withdrawn, *self._over("the client went away")]

    def _over(self, word: str, *words: Errors | Exit | Killed) -> list[SshEffect]:
        self._over_ = True
        effects: list[SshEffect] = [effect for file in self._files.values() for effect in self._closed(file, "not closed")]
        effects += [Reply(one) for one in words] + [Reply(Closed())]
        if self._permit is not None:
            effects.append(Answered(self._action, word, 0, self._size, {}))
        return effects


def _words(code: int) -> bytes:
    """A host's own words may say anything."""
    return _WORDS.get(code, "failure").encode()


def _version(fields: Fields) -> bytes:
    """The host's greeting, with those of its extensions that are passed on."""
    fields.u32()
    pairs, rest = [], Fields(fields.rest())
    while True:
        try:
            name, value = rest.string(), rest.string()
        except WireError:
            break
        if name in _OFFERED:
            pairs += [string(name), string(value)]
    return packet(Kind.VERSION, u32(VERSION), *pairs)
