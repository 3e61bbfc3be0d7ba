"""What a client of git says on a connection that stays, cut into what is decided at once: pieces, each whole.

Over HTTP each request has its length. Here a fetch goes on as a conversation, and a push ends where its pack does, which
nothing says: where the digest of all of the pack stands behind it and nothing more came (gitformat-pack). Whether it is a pack
is looked at later; what comes behind that place goes nowhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gatebook.errors import WireError
from gatebook.protocols.git.fetching import Fetch, read_fetch
from gatebook.protocols.git.pktline import Line, Mark, is_object, read_line
from gatebook.protocols.git.pushing import Push, read_commands, read_push

SECTION_BYTES = 16 * 1024 * 1024  # of what a client asks for at once: 200,000 lines are some 10 MB
_FLUSH = b"0000"


@dataclass(slots=True)
class _Sections:
    """Finds where sections end while they come, each line looked at once."""

    data: bytearray = field(default_factory=bytearray)
    at: int = 0

    def end(self) -> int | None:
        """Behind the next flush, None where it has not come. Raises WireError."""
        while (found := self.line()) is not None:
            if found is Mark.FLUSH:
                return self.at
        return None

    def line(self) -> Line | Mark | None:
        """The next line, None where it has not come whole. Raises WireError for what can be none."""
        head = bytes(self.data[self.at : self.at + 4])
        if len(head) < 4:
            return None
        try:
            length = max(int(head, 16), 4)
        except ValueError:
            length = 4  # which is told below
        if len(self.data) < self.at + length:
            if len(self.data) > SECTION_BYTES:
                raise WireError(f"more than {SECTION_BYTES} bytes of git's protocol at once")
            return None
        found = read_line(bytes(self.data[self.at : self.at + length]))
        self.at += length
        if self.at > SECTION_BYTES:
            raise WireError(f"more than {SECTION_BYTES} bytes of git's protocol at once; ask for less at once")
        return found

    def take(self, end: int) -> bytes:
        """All up to there."""
        taken = bytes(self.data[:end])
        del self.data[:end]
        self.at = 0
        return taken


class Fetching:
    """What a client says to ``git-upload-pack``. Owned by one channel.

    ``pieces`` gives what may go on, each with what it asks for, or None where it only goes on with what was asked for before.
    """

    def __init__(self) -> None:
        self._sections = _Sections()
        self._speaks_2: bool | None = None
        self._asked = False  # in versions 0 and 1, once

    def feed(self, data: bytes) -> None:
        """The client says this."""
        self._sections.data += data

    def pieces(self) -> Iterator[tuple[Fetch | None, bytes]]:
        """What came whole. Raises WireError."""
        while (found := self._piece()) is not None:
            yield found

    def _piece(self) -> tuple[Fetch | None, bytes] | None:
        sections = self._sections
        if self._asked and not self._speaks_2:
            return self._has()
        if sections.at == 0 and sections.data[:4] == _FLUSH:
            return None, sections.take(4)  # it wants nothing, or nothing more
        end = sections.end()
        if end is None:
            return None
        data = sections.take(end)
        fetch = read_fetch(data)
        speaks_2 = bool(fetch.command)
        if self._speaks_2 not in (None, speaks_2):
            raise WireError("a request of another version of git's protocol than before")
        self._speaks_2, self._asked = speaks_2, True
        return fetch, data

    def _has(self) -> tuple[Fetch | None, bytes] | None:
        """In versions 0 and 1 nothing is asked for behind the first request: the client says what it has."""
        end = 0
        while (found := self._sections.line()) is not None:
            end = self._sections.at
            if isinstance(found, Line):
                word, _, digest = found.text.partition(" ")
                if found.text != "done" and not (word == "have" and is_object(digest)):
                    raise WireError(f"not what a client of git has: {found.text[:80]!r}")
            elif found is not Mark.FLUSH:
                raise WireError(f"a mark of git's protocol that is out of place: {found.value}")
            if end >= 65_536:
                break
        return (None, self._sections.take(end)) if end else None


class Pushing:
    """What a client says to ``git-receive-pack``, which is one push. Owned by one channel."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sections = _Sections()
        self._commands: Push | None = None
        self._push: Push | None = None
        self._digest: Any = None
        self._digested = self._trailer = 0
        self.whole: bytes | None = None

    def feed(self, data: bytes) -> None:
        """The client says this; all of it is here once ``whole`` is. Raises WireError."""
        if self.whole is not None:
            raise WireError("more behind the end of a push")
        sections = self._sections
        sections.data += data
        if len(sections.data) > self._most:
            raise WireError(f"a push of more than {self._most:,} bytes; push it in parts")
        if self._push is None:
            self._read_commands()
        if self._push is not None:
            self._look(self._push)

    def _read_commands(self) -> None:
        sections = self._sections
        if self._commands is None:
            end = sections.end()
            if end is None:
                return
            self._commands = read_commands(bytes(sections.data[:end]))
        if self._commands.states and sections.end() is None:
            return
        self._push = read_push(bytes(sections.data[: sections.at]))
        length = 64 if (self._push.capability("object-format") or "sha1") == "sha256" else 40
        self._trailer, self._digested = length // 2, self._push.pack
        self._digest = hashlib.sha256() if length == 64 else hashlib.sha1(usedforsecurity=False)

    def _look(self, push: Push) -> None:
        data = self._sections.data
        if push.brings:
            end = len(data) - self._trailer
            if end < push.pack:
                return
            with memoryview(data) as view:
                self._digest.update(view[self._digested : end])
                self._digested = end
                if view[end:] != self._digest.digest():
                    return
        elif len(data) > push.pack:
            raise WireError("more behind the end of a push")
        self.whole = bytes(data)
        self._sections = _Sections()

    @property
    def known(self) -> Push | None:
        """What is known of it so far."""
        return self._push or self._commands
