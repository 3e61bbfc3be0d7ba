"""Texts in other character sets than UTF-8: read as UTF-8, and written back as they came."""

from __future__ import annotations

import codecs

from gatebook.errors import WireError
from gatebook.protocols.http.covering.plan import Counts, Coverer

_UTF8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "utf-8-sig", "unicode-1-1-utf-8"})
# Character sets in which ASCII stands for itself and nothing is remembered from one character to the next. Others, such as
# UTF-7, UTF-16 and ISO-2022, can say the same text in many ways, or be taken for ASCII by who does not read the parameter.
_READ = frozenset(
    [f"iso-8859-{number}" for number in (*range(1, 12), 13, 14, 15, 16)]
    + [f"windows-{number}" for number in (874, *range(1250, 1259))]
    + "latin1 latin-1 cp1252 koi8-r koi8-u macintosh gbk gb2312 gb18030 big5 shift_jis euc-jp euc-kr".split()
)


def python_name(charset: str) -> str | None:
    """The codec of a charset parameter, "" for UTF-8; None for one that is not read here."""
    name = charset.strip().strip("\"'").lower()
    if name in ("", *_UTF8):
        return ""
    if name not in _READ:
        return None
    return {"macintosh": "mac-roman", "windows-874": "cp874"}.get(name, name)


class Transcoded:
    """Covers a text in another character set by a coverer of UTF-8."""

    def __init__(self, codec: str, inner: Coverer) -> None:
        self._codec = codec
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder(codec)()
        self._utf8 = codecs.getincrementaldecoder("utf-8")()

    @property
    def masked(self) -> Counts:
        """What was covered inside."""
        return self._inner.masked

    def feed(self, data: bytes) -> bytes:
        """The data covered, in the same character set. Raises WireError."""
        return self._back(self._inner.feed(self._read(data, final=False)), final=False)

    def finish(self) -> bytes:
        """What was held back."""
        rest = self._inner.feed(self._read(b"", final=True)) + self._inner.finish()
        return self._back(rest, final=True)

    def _read(self, data: bytes, *, final: bool) -> bytes:
        try:
            return self._decoder.decode(data, final).encode()
        except UnicodeError:
            raise WireError(f"text that is not {self._codec}, as it says") from None

    def _back(self, covered: bytes, *, final: bool) -> bytes:
        try:
            return self._utf8.decode(covered, final).encode(self._codec)
        except UnicodeError:
            raise WireError(f"covered text that cannot be written as {self._codec}") from None
