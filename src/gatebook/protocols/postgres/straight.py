"""Answers that come as they mostly do, several messages in one go, to the very effects that they have one by one.

That is: BindComplete with RowDescription, the first row's plan, and CommandComplete with ReadyForQuery, of what only reads and
is known in all it names (``Meaning.plain``). Whatever is not whole yet, or not as expected, is left to ``answers.py``, which
says what is wrong with it. So the effects are the same however the server's bytes were cut.
"""

from __future__ import annotations

from abc import abstractmethod
from struct import Struct

from gatebook.protocols.postgres import rows, wire
from gatebook.protocols.postgres.expected import Bound, Described, Executed, Portal, Running, Simple, Synced
from gatebook.protocols.postgres.owed import Owed
from gatebook.protocols.postgres.plans import Plans
from gatebook.protocols.postgres.reading import Reading

_BOUND = wire.message(b"2")
_READY = wire.message(b"Z", b"I")[:-1]  # and the state of the transaction, one byte
_HEAD_BYTES = 5
_U32 = Struct("!I")
_T, _D, _C = b"TDC"


class Straight(Owed):
    """The part of ``Answers`` that takes several messages at once."""

    def _straight(self, server: wire.Frames) -> bool:
        """Take what comes next, if it is such; False when nothing was taken."""
        match head := self._queue[0]:
            case Bound():
                return self._bound(head, server)
            case Simple(running) | Executed(running):
                return running.plain and self._running(head, running, server)
            case _:
                return False

    def _bound(self, bound: Bound, server: wire.Frames) -> bool:
        described = self._queue[1] if len(self._queue) > 1 else None
        if bound.made.hashes is not None:
            return False  # its client may not see all of what it is
        data, at = server.rest()
        if not isinstance(described, Described) or described.portal is not bound.made or not data.startswith(_BOUND, at):
            return False
        start = at + len(_BOUND)
        end = _whole(data, start, _T)
        if not end:
            return False
        bound.made.bound = self.batch.bound = True
        bound.made.described = described_by = data[start:end]
        columns = self._plans.columns(described_by[_HEAD_BYTES:])
        self._describe_portal(bound.made, columns, first=described.first)
        self._queue.popleft()
        self._queue.popleft()
        self._said.append(data[at:start] if described.own else data[at:end])
        server.skip(end)
        return True

    def _running(self, head: Simple | Executed, running: Running, server: wire.Frames) -> bool:
        data, at = server.rest()
        kind = data[at] if at < len(data) else 0
        if kind == _D and running.cover is None and isinstance(head, Executed):
            running.cover = self._portal_plan(head.portal, running)
            return running.cover is not None
        end = _whole(data, at, kind) if kind in (_T, _C) else 0
        if not end:
            return False
        if kind == _C:
            return self._complete(head, running, server, data[at:end])
        if isinstance(head, Executed):
            return False
        running.described = described = data[at:end]
        running.cover = self._plan(described[_HEAD_BYTES:], running)
        self._said.append(described)
        server.skip(end)
        return True

    def _complete(self, head: Simple | Executed, running: Running, server: wire.Frames, message: bytes) -> bool:
        tag = message[_HEAD_BYTES:].rstrip(b"\0").decode("utf-8", "replace")
        if not tag.startswith("SELECT "):
            return False
        _, at = server.rest()
        server.skip(at + len(message))
        running.rows += wire.rows_of(tag)
        running.status = tag
        running.keep_masked()
        running.at += 1
        self.batch.ran = self.batch.sees = True
        self._said.append(message)
        if isinstance(head, Executed):
            self._queue.popleft()
            self._answered(running)
        self._take_ready(server)
        return True

    def _take_ready(self, server: wire.Frames) -> None:
        """ReadyForQuery, where it stands there and is due."""
        head = self._queue[0] if self._queue else None
        data, at = server.rest()
        end = at + len(_READY) + 1
        if self.own_block or not isinstance(head, Simple | Synced) or not data.startswith(_READY, at) or len(data) < end:
            return
        self._queue.popleft()
        server.skip(end)
        self._ready(data[end - 1 : end])
        if isinstance(head, Simple):
            self._answered(head.running)
        self._said.append(data[at:end])

    def cover_again(self, described: bytes, reading: Reading, masks: frozenset[str]) -> rows.RowCover:
        """How rows so described are covered, by what is known now, in an answer to one statement."""
        columns = self._plans.columns(described[_HEAD_BYTES:])
        return self._plans.rows(columns, self._plans.covers(columns, reading.statements[0], masks))

    @property
    @abstractmethod
    def _plans(self) -> Plans: ...

    @abstractmethod
    def _describe_portal(self, portal: Portal, columns: tuple[rows.Column, ...], *, first: bool) -> None: ...

    @abstractmethod
    def _plan(self, body: bytes, running: Running) -> rows.RowCover: ...

    @abstractmethod
    def _portal_plan(self, portal: Portal, running: Running) -> rows.RowCover | None: ...


def _whole(data: bytes, at: int, kind: int) -> int:
    """Where the message of this kind that begins there ends; 0 where there is none, or not all of it."""
    if len(data) - at < _HEAD_BYTES or data[at] != kind:
        return 0
    (length,) = _U32.unpack_from(data, at + 1)
    return at + 1 + length if 4 <= length <= wire.SERVER_BYTES and length < len(data) - at else 0
