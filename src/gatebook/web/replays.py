"""Recordings for those whom the rules let see them: why they look is asked first, and in the book before anything is shown.

One reading lasts half an hour, for one identity and one recording; it may turn pages meanwhile. Of a recording of one's own no
reason is asked: the book says that it was that.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from gatebook.db import writing
from gatebook.errors import AccessError, LedgerError
from gatebook.ledger.entries import uuid7
from gatebook.ledger.vouching import Vouching
from gatebook.policy.acts import REPLAY
from gatebook.recording.playing import START, Mark, Wanted, Window, latest, window
from gatebook.recording.reader import Reader
from gatebook.recording.reading import Known, Recording
from gatebook.web import store
from gatebook.web.acts import Acts, Asker
from gatebook.web.sessions import Sessions, concern
from gatebook.web.store import SessionRow

READING = 30 * 60 * 1_000_000  # µs; then the reason is asked again
REASON_CHARACTERS = 300
OWN = "their own session"


@dataclass(frozen=True, slots=True)
class Reading:
    """A session whose recording somebody wants; ``why`` is their reason, None while they owe one."""

    session: SessionRow
    why: str | None
    own: bool


class Replays:
    """Blocks on database, ledger and recordings: call it in threads. Without a ``reader`` nothing can be shown here."""

    def __init__(
        self, engine: Engine, acts: Acts, sessions: Sessions, reader: Reader | None, vouching: Vouching, *, recorded: bool
    ) -> None:
        self._engine, self._acts, self._sessions = engine, acts, sessions
        self._reader, self._vouching, self.recorded = reader, vouching, recorded

    @property
    def readable(self) -> bool:
        """Whether this gateway can read recordings at all."""
        return self._reader is not None

    def find(self, asker: Asker, session: str) -> Reading:
        """A session whose recording this asker may see. Raises AccessError, LedgerError.

        A first look at one's own begins a reading.
        """
        found = self._sessions.find(asker, session)
        about = concern(found, asker.identity)
        self._acts.demand(asker, REPLAY, about, found.id, seen=True)
        why = self._why(asker, found.id)
        if why is None and about.own and self.readable and self._is_there(found.id):
            self._begin(asker, found.id, OWN)
            why = OWN
        return Reading(found, why, about.own)

    def begin(self, asker: Asker, session: str, why: str) -> None:
        """Say why, and have it written down. Raises AccessError, LedgerError."""
        found = self.find(asker, session)
        why = why.strip()
        if not why or len(why) > REASON_CHARACTERS or not why.isprintable():
            text = f"say why, in one line of at most {REASON_CHARACTERS} characters that can be seen"
            raise AccessError(text, "wrong")
        if not self.readable:
            raise AccessError("this gateway cannot read recordings", "away")
        if found.why is None:
            self._begin(asker, found.session.id, why)

    def state(self, session: SessionRow) -> str:
        """Differs once more of a recording is there: cheap, since it looks at names and sizes alone."""
        if self._reader is None:
            return ""
        place = self._reader.folder / session.id
        files = sorted((path.name, path.stat().st_size) for path in place.iterdir()) if place.is_dir() else []
        return repr((files, session.closed_at, session.kill_requested_at))

    def window(self, reading: Reading, mark: Mark | None, wanted: Wanted) -> Window:
        """Some steps of a reading; without a mark the last ones of a live session. Raises RecordingError, LedgerError."""
        if reading.why is None or self._reader is None:
            raise AssertionError("a recording is shown to those alone who said why, and only with a key")
        session = reading.session
        place, key = self._reader.folder / session.id, self._reader.key(session.id)
        try:
            known = self._vouching.segments(session.id, session.opened_at)
        except OSError as error:
            raise LedgerError(f"the ledger cannot be read: {error.strerror}") from error
        segments = {n: Known(one.sha256, one.last) for n, one in known.items()}
        recording = Recording(place, key, segments, live=session.live)
        if mark is None:
            follows = session.live and wanted.everything
            mark = latest(Recording(place, key, segments, live=True)) if follows else START
        return window(recording, mark, wanted)

    def counts(self, session: str) -> dict[str, int]:
        """How many of a session's actions were ruled how."""
        with self._engine.connect() as connection:
            return store.count_rulings(connection, session)

    def _is_there(self, session: str) -> bool:
        return self._reader is not None and (self._reader.folder / session).is_dir()

    def _why(self, asker: Asker, session: str) -> str | None:
        reader = (asker.identity.issuer, asker.identity.subject)
        with self._engine.connect() as connection:
            return store.reading_why(connection, session, reader, self._acts.now())

    def _begin(self, asker: Asker, session: str, why: str) -> None:
        if not self._is_there(session):
            raise AccessError("this session was not recorded, or its recording is elsewhere", "unknown")
        now = self._acts.now()
        self._acts.read(asker, session, why)
        reader = (asker.identity.issuer, asker.identity.subject)
        with writing(self._engine) as connection:
            store.begin_reading(connection, id=uuid7(now), session=session, reader=reader, why=why, at=now, until=now + READING)
