"""A session's recording as the driver sees it: there, or not configured, or failed and not required.

What the client gets is recorded before it is released. Where a recording is required, one that fails ends the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from gatebook.config import Config
from gatebook.errors import RecordingError
from gatebook.gateway.store import Decided
from gatebook.ledger.log import Log
from gatebook.model import Session
from gatebook.protocols.relay import Answered, Ask
from gatebook.recording.grec import Segment
from gatebook.recording.recorder import Recorder
from gatebook.recording.recovery import recover

ENDING = 4  # recordings that wait for the disk at once; those who log in meanwhile have threads of their own

UNRECORDED = "the recording cannot be written, so nothing may go on: {}"  # said where one is required

_ending = ThreadPoolExecutor(ENDING, thread_name_prefix="recording-end")

log = structlog.get_logger("gatebook.recording")


class Tape:
    """Owned by one connection. Each call may raise RecordingError, and then nothing may be released."""

    def __init__(self, recorder: Recorder | None, required: bool) -> None:
        self._recorder, self._required = recorder, required

    def asked(self, ask: Ask, said: Decided, decision: str, at: int = 0) -> None:
        """A request as far as people may see it, with what was decided about it; ``at`` is when it was recorded, if not now."""
        if self._recorder is None:
            return
        action = ask.action
        try:
            self._recorder.request(
                action.seq,
                ask.seen or ask.shown,
                verb=said.verb,
                reach=said.reach,
                ruling=said.ruling,
                rule=said.rule,
                reason=said.reason,
                decision=decision,
                step=action.step,
                noted=True,
                at=at,
            )
        except RecordingError as error:
            self._lost(error)

    def said(self, data: bytes) -> None:
        """Bytes that the client is about to get."""
        if self._recorder is not None:
            try:
                self._recorder.response(data)
            except RecordingError as error:
                self._lost(error)

    def head(self, seq: int, shown: bytes) -> None:
        """The head of an answer to a request, as it is shown: with the first of its content it survives a crash."""
        if self._recorder is not None:
            try:
                self._recorder.head(seq, shown)
            except RecordingError as error:
                self._lost(error)

    def content(self, seq: int, data: bytes) -> None:
        """Content that the client of that request is about to get."""
        if self._recorder is not None and data:
            try:
                self._recorder.content(seq, data)
            except RecordingError as error:
                self._lost(error)

    def answered(self, answer: Answered) -> None:
        """How a request ended."""
        if self._recorder is not None:
            try:
                self._recorder.answer(answer.action.seq, answer.status, answer.rows, answer.masked, noted=True)
            except RecordingError as error:
                self._lost(error)

    def now(self) -> int:
        """The time by which a request is recorded; 0 where nothing is."""
        return self._recorder.now() if self._recorder is not None else 0

    def together(self, write: Callable[[int], bytes], count: int) -> None:
        """A request, its end and the bytes that the client is about to get, as so many events that ``write`` gives."""
        if self._recorder is not None:
            try:
                self._recorder.add_together(write, count)
            except RecordingError as error:
                self._lost(error)

    def tick(self) -> None:
        """Some time has passed."""
        if self._recorder is not None:
            try:
                self._recorder.tick()
            except RecordingError as error:
                self._lost(error)

    async def close(self, why: str) -> int:
        """The session is over; returns how many segments the ledger has of it."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return 0
        try:
            return await asyncio.get_running_loop().run_in_executor(_ending, recorder.close, why)
        except RecordingError as error:
            log.error("a recording is not whole; the next start mends it", why=str(error))
            return 0

    def _lost(self, error: RecordingError) -> None:
        self._recorder = None
        log.error("a recording failed", why=str(error))
        if self._required:
            raise error


class Tapes:
    """Begins recordings as the configuration says."""

    def __init__(self, config: Config, ledger: Log, origin: str) -> None:
        self._settings, self._ledger, self._origin = config.recording, ledger, origin

    def mend(self, mine: Callable[[str], bool]) -> None:
        """Put what a crash left into the ledger, of the logs that are ``mine``. Raises RecordingError.

        Before any session of these logs opens; other processes may record meanwhile.
        """
        if self._settings is not None:
            recover(self._settings.folder, self._recovered, mine)

    def begin(self, session: Session, role: str) -> Tape:
        """A new recording. Raises RecordingError where one is required."""
        settings = self._settings
        if settings is None:
            return Tape(None, required=False)
        try:
            recorder = Recorder.open(session.id, settings.folder, settings.recipients, self._origin, self._finished)
            recorder.about(
                subject=session.identity.subject,
                kind=str(session.identity.kind),
                target=session.target.name,
                role=role,
                protocol=session.target.protocol,
                purpose=session.purpose,
            )
        except RecordingError as error:
            if settings.required:
                raise
            log.error("a session is not recorded", session=session.id, why=str(error))
            return Tape(None, required=False)
        return Tape(recorder, settings.required)

    def _finished(self, segment: Segment) -> None:
        self._ledger.append_now(segment.entry(), durable=True)

    def _recovered(self, segment: Segment) -> None:
        self._ledger.append_now(segment.entry(recovered=True), durable=True)
