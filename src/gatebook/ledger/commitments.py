"""Commitments: what stands in the book for a personal value.

``commit(subject, value)`` is HMAC-SHA256 under a salt that belongs to the subject. The same value of the same subject gives the
same commitment, so that entries can be joined; without the salt it can be neither guessed nor checked. Erasing the salt makes
every commitment of the subject meaningless while the book stays whole.
"""

from __future__ import annotations

import hmac
import os
import threading
from binascii import b2a_base64
from collections import OrderedDict
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gatebook.errors import LedgerError
from gatebook.ledger import store
from gatebook.ledger.log import wall_clock

SALT_BYTES = 32
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
KEPT = 1024  # salts in memory; a session commits the same subject's values over and over


class Commitments:
    """Salts in the database, a few of them in memory, as keyed HMACs. Any thread may use it."""

    def __init__(self, engine: Engine, clock: Callable[[], int] = wall_clock, *, kept: int = KEPT) -> None:
        self._most = kept
        self._engine = engine
        self._clock = clock
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.erased = 0  # salts, by this process

    def commit(self, subject: str, value: str) -> str:
        """The commitment to a value: 43 characters of URL-safe base64. LedgerError if the salt cannot be kept."""
        digest = hmac.digest(self._salt(subject), value.encode(errors="surrogatepass"), "sha256")
        return b2a_base64(digest, newline=False)[:-1].translate(_URL_SAFE).decode()

    def forget(self, subject: str) -> bool:
        """Erase the subject's salt, here and in the database; whether there was one."""
        with self._lock:
            self._kept.pop(subject, None)
            self.erased += 1
            return store.remove_salt(self._engine, subject)

    def salt(self, subject: str) -> bytes:
        """The salt that ``commit`` works with, for one who keeps it no longer than ``erased`` stays what it is. LedgerError."""
        return self._salt(subject)

    def _salt(self, subject: str) -> bytes:
        with self._lock:
            salt = self._kept.get(subject)
            if salt is None:
                salt = self._kept[subject] = self._fetch(subject)
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(subject)
            return salt

    def _fetch(self, subject: str) -> bytes:
        try:
            found = store.find_salt(self._engine, subject)
            if found is None:
                store.add_salt(self._engine, subject, os.urandom(SALT_BYTES), self._clock())
                found = store.find_salt(self._engine, subject)
        except SQLAlchemyError as error:
            raise LedgerError(f"the salt of a commitment cannot be read or kept: {type(error).__name__}") from error
        if found is None:
            raise LedgerError("the salt of a commitment was not kept")
        return found
