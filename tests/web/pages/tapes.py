"""Recordings for pages: made by the recorder, known to a log, readable by the identity that the configuration names."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from typing import Any

from tests.ledger.books import open_log, opening

from gatebook.ledger.log import Log
from gatebook.recording.grec import Segment
from gatebook.recording.reading import new_identity
from gatebook.recording.recorder import Recorder

SECRET, PUBLIC = new_identity()
START = 1_772_618_400_000_000


def recording_keys(folder: Path, **changes: Any) -> dict[str, Any]:
    """The configuration's section, with its identity in a file."""
    secret = folder / "reader.txt"
    secret.write_text(f"# of the pages\n{SECRET}\n")
    secret.chmod(0o600)
    return {"folder": "recordings", "recipients": [PUBLIC], "reader": "file:reader.txt", **changes}


def message(kind: bytes, body: bytes) -> bytes:
    return kind + pack(">I", len(body) + 4) + body


def described(*names: str) -> bytes:
    columns = b"".join(name.encode() + b"\0" + pack(">IhIhih", 0, 0, 25, -1, -1, 0) for name in names)
    return message(b"T", pack(">h", len(names)) + columns)


def row(*cells: bytes | None) -> bytes:
    body = b"".join(pack(">i", -1) if cell is None else pack(">I", len(cell)) + cell for cell in cells)
    return message(b"D", pack(">h", len(cells)) + body)


def done(tag: str) -> bytes:
    return message(b"C", tag.encode() + b"\0")


READY = message(b"Z", b"I")


def fault(code: str, text: str, **more: str) -> bytes:
    fields = {"S": "ERROR", "V": "ERROR", "C": code, "M": text, **more}
    return message(b"E", b"".join(letter.encode() + value.encode() + b"\0" for letter, value in fields.items()) + b"\0")


@dataclass
class Deck:
    """Records one session; time stands still until ``wait``."""

    log: Log
    folder: Path
    session: str
    now: int = START
    seq: int = 0

    def __post_init__(self) -> None:
        self.log.append_now(opening(self.session), durable=False)
        self.recorder = Recorder.open(
            self.session, self.folder / "recordings", [PUBLIC], "test/log/1/1", self._finished, lambda: self.now
        )
        self.recorder.about(subject="shop-agent", kind="agent", target="shop", role="app", protocol="postgres", purpose="")

    def _finished(self, segment: Segment) -> None:
        self.log.append_now(segment.entry(), durable=True)

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * 1_000_000)

    def asked(self, text: str, ruling: str = "allow", rule: str = "agents-read", verb: str = "sql.select", **more: str) -> None:
        self.seq += 1
        self.recorder.request(self.seq, text, verb=verb, reach=more.pop("reach", "read"), ruling=ruling, rule=rule, **more)

    def ran(
        self, text: str, data: bytes, status: str, rows: int = 0, masked: dict[str, int] | None = None, **more: str
    ) -> None:
        """A request, its answer, and that it ended."""
        self.asked(text, **more)
        self.wait(0.004)
        self.recorder.response(data)
        self.recorder.answer(self.seq, status, rows, masked or {})
        self.recorder.response(READY)

    def segment(self) -> None:
        """Let what was recorded so far become a segment."""
        self.wait(6)
        self.recorder.tick()

    def place(self) -> Path:
        return self.folder / "recordings" / self.session


@contextmanager
def open_deck(folder: Path, session: str) -> Iterator[Deck]:
    """A deck with its log, which is closed at the end."""
    log = open_log(folder / "ledger" / "1")
    try:
        yield Deck(log, folder, session)
    finally:
        log.close()


def fill(deck: Deck, hostile: str = "") -> None:
    """An ordinary session: rows, a mask, a refusal, an error, many rows."""
    rows = row(b"1", b"a***@example.com", None) + row(b"2", b"b***@example.org", b"gift \xff")
    deck.ran("SELECT id, email, note FROM customers WHERE id < 3", described("id", "email", "note") + rows + done("SELECT 2"),
             "SELECT 2", 2, {"partial": 2}, ruling="mask")  # fmt: skip
    deck.wait(1.2)
    deck.asked("DELETE FROM customers", "block", "no-delete-without-where", "sql.delete", reason="DELETE without a WHERE would"
               " empty the table", reach="write")  # fmt: skip
    deck.recorder.response(fault("42501", "blocked by no-delete-without-where", H="Use DELETE with a WHERE.") + READY)
    deck.segment()
    deck.ran("SELECT nosuch FROM orders", fault("42703", 'column "nosuch" does not exist'), "ERROR 42703")
    many = b"".join(row(str(number).encode(), b"order %d" % number) for number in range(523))
    deck.ran(
        "SELECT id, title FROM orders ORDER BY id", described("id", "title") + many + done("SELECT 523"), "SELECT 523", 523
    )
    deck.segment()
    deck.asked("ALTER TABLE orders ADD COLUMN gift boolean", "approve", "admin-needs-dba", "sql.alter", reach="admin",
               reason="this changes the schema")  # fmt: skip
    if hostile:
        cells = described(hostile.replace("\0", ""), "b") + row(hostile.encode(), b"\xff\xfe<b>x</b>")
        deck.ran(hostile, cells + done("SELECT 1"), "SELECT 1", 1)
        deck.recorder.response(fault("00000", hostile.replace("\0", ""), D=hostile.replace("\0", ""), H="<img src=x>"))
        deck.recorder.add("q", json.dumps({"seq": 99, "text": hostile, "verb": "<i>v</i>", "ruling": '"><b>', "rule": "<u>",
                                           "reach": "x onclick=1", "step": "<s>"}).encode())  # fmt: skip
        deck.recorder.add("?", b"<script>1</script>")


def answered(deck: Deck, seq: int, kind: str, *pieces: bytes, status: int = 200, **fields: str) -> None:
    """An HTTP answer of several pieces; without a piece it is only begun."""
    lines = [str(status), f"content-type: {kind}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    deck.recorder.head(seq, "\n".join(lines).encode())
    for piece in pieces:
        deck.wait(0.2)
        deck.recorder.content(seq, piece)


def fill_http(deck: Deck, hostile: str = "") -> None:
    """A session on an API: JSON in gzip, a refusal, events beside an image, what is sent."""
    deck.asked("GET /customers?limit=2\nhost: billing.example.org", "mask", "read-apis", "http.get")
    listed = json.dumps({"customers": [{"name": "Ada Brown", "email": "a***@example.com"}, {"name": "Ben Gray", "tags": []}]})
    answered(deck, 1, "application/json", gzip.compress(listed.encode()), content_encoding="gzip", etag='"7"')
    deck.recorder.answer(1, "200", 0, {"partial": 2})
    deck.wait(1.2)
    deck.asked("DELETE /customers/1\nhost: billing.example.org", "block", "no-deletes", "http.delete", reach="write",
               reason="customers are not deleted")  # fmt: skip
    answered(deck, 2, "application/problem+json", b'{"status":403,"rule":"no-deletes"}', status=403)
    deck.segment()
    deck.asked("GET /events?n=3", "allow", "read-apis", "http.get")
    answered(deck, 3, "text/event-stream", b"event: paid\ndata: 1\n\n")
    deck.asked("GET /logo.png", "allow", "read-apis", "http.get")
    answered(deck, 4, "image/png", b"\x89PNG\r\n" + bytes(40_000))
    deck.recorder.answer(4, "200", 0, {})
    deck.recorder.content(3, b"data: two\n\ndata: three\n\n")
    deck.recorder.answer(3, "200", 0, {})
    deck.segment()
    deck.asked("POST /notes\ncontent: text/plain, 5 bytes\n\nhello", "allow", "write-notes", "http.post", reach="write")
    answered(deck, 5, hostile.replace("\n", " ") or "text/plain", *[(hostile or "line\n" * 6_000).encode()] * 2, status=201)
    deck.recorder.answer(5, hostile or "201", 0, {})


__all__ = ["Deck", "fill", "fill_http", "open_deck", "recording_keys"]
