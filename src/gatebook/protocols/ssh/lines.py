"""Lines that are typed at a terminal, each kept back at its end until it was decided; keys pass, and come back as it shows.

    waiting     the terminal stands at the beginning of a line: keys wait for its prompt, or until nothing more comes
    typing      keys pass; the first says where the line begins
    ended       its end is kept, and what is typed behind it, until the line is shown whole or nothing more comes

What a line is: what was typed, if it is nothing but letters and the terminal shows the very same; else what the terminal shows
behind its prompt, if that can be told. A line that is typed unseen, in a program that has the whole screen, or by keys that
are not followed here is none that could be read, and why is said; of one that is not shown nothing is kept. A key that is not
followed may run the line by itself, so it counts as an end; and so does an Enter behind which something may stand that nobody
typed: only at the prompt of the line before it is it nothing.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from gatebook.protocols.ssh.screen import Screen

BEHIND = 65_536  # bytes that are typed behind the end of a line that is not decided
LINE_CHARACTERS = 4_096
PATIENCE = 4_096  # bytes of output after which nobody waits for a line to be shown
INTERRUPT = b"\x03"  # by which a shell forgets its line
STOPS = b"\x1a\x1c"  # by which a terminal stops what runs; a shell that reads a line keeps it
ENDS = (b"\r", b"\n")
EOF = b"\x04"  # ends a line where a terminal gathers it, and nothing where a shell does
CLEAR = b"\x05\x15\x03"  # to its end, all of it away, and an interrupt: any one of them may mean something else there
UNSEEN = "the terminal does not show what was typed"
FULL = "a program has the whole screen"
OTHER = "the terminal shows something else than a line behind its prompt"
KEYS = "it was typed with keys that are not followed"
LONG = "it is longer than the terminal's line, or than is read"
_KEY = re.compile(
    rb"\x1b\[[0-?]{0,32}[ -/]{0,4}[@-~]|\x1bO[A-Za-z]|\x1b[^\r\n\x03\x04\x0f\x1a\x1b\x1c]"
    rb"|[\x20-\x7e\x80-\xff]+|[\x00-\x1f\x7f]",
    re.DOTALL,
)
_BEGUN_KEY = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}|O)?")
_PASTE = (b"\x1b[200~", b"\x1b[201~")
_FOLLOWED = re.compile(
    rb"\x1b\[(?:[ABCDHF]|[1-8]~|1;[2-8][ABCDHF])|\x1bO[ABCDHF]|[\x01\x02\x05\x06\x09\x0b\x0c\x0e\x10\x14\x17\x19]"
)


@dataclass(frozen=True, slots=True)
class Line:
    """``why`` says why it cannot be read, and ``text`` is empty then."""

    text: str = ""
    why: str = ""

    @property
    def empty(self) -> bool:
        """Nothing was typed, and nothing shows."""
        return not self.text and not self.why


class Lines:
    """Owned by one terminal's relay."""

    def __init__(self, columns: int) -> None:
        self.screen = Screen(columns)
        self._waits = True
        self._behind = bytearray()
        self._end = b""
        self._typed, self._prompt = "", ""
        self._start = 0
        self._begun = self._followed = self._odd = self._quiet = False
        self._shown = 0
        self._since = 0  # bytes of output since the last key passed
        self._known: str | None = None  # the prompt of the line before
        self.turn = 0  # another one with each line that goes, or is cleared
        self._cleared: int | None = None  # the row in which a line was cleared, until the terminal shows that it was
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._forget()

    @property
    def ended(self) -> bool:
        """The line's end is kept back."""
        return bool(self._end)

    @property
    def full(self) -> bool:
        """No more can be kept behind it."""
        return len(self._behind) > BEHIND

    @property
    def waits(self) -> bool:
        """Whether something goes on once nothing comes from the host."""
        return bool(self._end) or bool(self._behind)

    def type(self, data: bytes) -> bytes:
        """The client types this; what passes now. An interrupt passes at once, and what waits is forgotten."""
        quick = INTERRUPT if self._begun or self._end else INTERRUPT + STOPS
        if (self._end or self._behind or self._waits) and (at := max(data.rfind(byte) for byte in quick)) >= 0:
            self._behind.clear()
            self._end = b""
            passed, data = self._clear(data[at : at + 1]), data[at + 1 :]
            return passed + self.type(data) if data else passed
        self._behind += data
        return self._go_on()

    def show(self, data: bytes) -> bytes:
        """The host writes this; what passes of what waited."""
        self._shown += len(data)
        self._since += len(data)
        self.screen.show(data)
        if self._cleared is not None and self.screen.rows != self._cleared:
            self._cleared = None
            if self._begun:
                self._odd = True  # by keys that passed before anybody knew where the next line begins
            else:
                self._forget()
        return self._go_on()

    def idle(self) -> bytes:
        """Nothing came for some time."""
        self._quiet = True
        return self._go_on()

    @property
    def ready(self) -> bool:
        """Whether the line that has ended can be told now: its end comes back, or nothing more does."""
        return bool(self._end) and (self._quiet or self._shown > PATIENCE or self._end not in ENDS or self._is_shown)

    @property
    def _is_shown(self) -> bool:
        """All that was typed is what shows, letter for letter, or nothing is."""
        if self.screen.full:
            return True
        if not self._begun:
            return self._is_bare
        return not self._followed and not self._odd and bool(self._typed) and self._seen == self._typed

    @property
    def _seen(self) -> str | None:
        """What stands behind the prompt; None where that cannot be told."""
        screen = self.screen
        if screen.doubtful or screen.full or screen.text(0, self._start) != self._prompt:
            return None
        return screen.text(self._start)

    @property
    def _is_bare(self) -> bool:
        """Nothing was typed, and nothing but the prompt of the line before stands there."""
        screen = self.screen
        return self._known in (None, screen.text(0)) and not screen.doubtful and not screen.full

    def line(self) -> Line:
        """What was typed."""
        if self.screen.full:
            return Line(why=FULL)
        if self._cleared is not None or self._odd or self._end not in (*ENDS, EOF):
            return Line(why=KEYS)
        if not self._begun:
            return Line() if self._is_bare else Line(why=OTHER)
        seen = self._seen
        if len(self._typed) > LINE_CHARACTERS:
            return Line(why=LONG)
        if seen is None:
            return Line(why=OTHER)
        if not seen.strip():
            return Line(why=UNSEEN)
        if self._followed:
            return Line(seen.rstrip(" ")) if self._since else Line(why=OTHER)
        if seen.rstrip(" ") == self._typed.rstrip(" "):
            return Line(self._typed)
        return Line(why=OTHER)

    def go(self) -> bytes:
        """The line may go: its end, and what passes behind it."""
        end, self._end = self._end, b""
        self.turn += 1
        self._begin()
        if end not in ENDS:
            self._odd = True  # it may have run the line, or have changed it
        return end + self._go_on()

    def drop(self) -> bytes:
        """It may not: what clears it. What was typed behind it is forgotten, since it was typed to follow it."""
        self._end = b""
        self._behind.clear()
        return self._clear(CLEAR)

    def _clear(self, keys: bytes) -> bytes:
        """By these keys the line is gone, as far as what runs there takes them so: that it was, another row says."""
        self.turn += 1
        self._begin()
        self._cleared = self.screen.rows
        return keys

    def _begin(self) -> None:
        """Another line, whose prompt is to come."""
        self._forget()
        self._waits = True
        self.screen.begin()

    def _forget(self) -> None:
        self._typed, self._begun, self._followed, self._odd, self._shown = "", False, False, False, 0
        self._quiet = False
        self._decoder.reset()

    def _go_on(self) -> bytes:
        """Keys, up to the end of a line."""
        passed = bytearray()
        while self._behind and not self._end:
            if self._waits and not self._quiet and self._unprompted:
                break
            key = self._key()
            if key is None:
                break
            self._waits = False
            self._quiet = False
            del self._behind[: len(key)]
            if key in _PASTE and not self.screen.full:
                continue  # a shell shows nothing of a paste before its end, and takes all of its lines at once
            if self._ends(key):
                self._end, self._shown = key, 0
            else:
                self._follow(key)
                passed += key
        return bytes(passed)

    @property
    def _unprompted(self) -> bool:
        """Whether the prompt of the line is still to come, as far as anybody can know."""
        if self.screen.full or self._shown >= PATIENCE:
            return False
        return self.screen.column == 0 or self._cleared is not None

    def _key(self) -> bytes | None:
        """The next key, or letters; None where it may go on."""
        data = bytes(self._behind[:LINE_CHARACTERS])
        found = _KEY.match(data)
        if found is None or (not self._quiet and _BEGUN_KEY.fullmatch(data)):
            return data[:1] if self._quiet or len(data) > 64 else None
        return found.group()

    def _ends(self, key: bytes) -> bool:
        """Whether a key ends the line, or may: what is not followed can be bound to whatever a shell can do."""
        if key[0] in STOPS + EOF:
            return self._begun
        return not (key in _PASTE or key[0] >= 0x20 or key[0] in b"\x03\x08\x15" or _FOLLOWED.fullmatch(key))

    def _follow(self, key: bytes) -> None:
        self._since = 0
        if key[0] in INTERRUPT + STOPS:
            self._clear(key)
            return
        if not self._begun:
            self._begun, self._start = True, self.screen.column
            self._prompt = self._known = self.screen.text(0, self._start)
        if key[0] >= 0x20 and key != b"\x7f":
            self._typed = (self._typed + self._decoder.decode(key))[: LINE_CHARACTERS + 1]
        elif key in (b"\x7f", b"\x08"):
            self._typed = self._typed[:-1]
        elif key == b"\x15":
            self._typed = ""
        elif _FOLLOWED.fullmatch(key):
            self._followed = True
        else:
            self._odd = True
