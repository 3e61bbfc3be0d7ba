"""A file of SQL that is sent whole: read within limits, and refused in words where a gateway or a server could not take it."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from gatebook.cli.apiclient import UsageError
from gatebook.protocols.postgres.grammar import LONGEST_BYTES
from gatebook.protocols.postgres.script import first_meta_command, outline
from gatebook.protocols.postgres.statement import read

SCRIPT_BYTES = LONGEST_BYTES  # what is longer is not read by the gateway either


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A script as it will be sent: the file's very bytes. ``statements`` is 0 where the grammar objects to it."""

    name: str
    text: str
    sha256: str
    statements: int

    def line_of(self, position: int) -> int:
        """The line of a character, both from 1."""
        return self.text.count("\n", 0, position - 1) + 1


def read_script(name: str) -> ScriptFile:
    """The script in a file, ``-`` for standard input; raises UsageError."""
    shown = "standard input" if name == "-" else name
    data = _bytes(name, shown)
    text = _text(data, shown)
    line = first_meta_command(text)
    if line is not None:
        raise UsageError(f"{shown}:{line}: a command of psql (\\…): expected SQL alone, which is sent and approved as one text")
    reading = read(text)
    plans = [one.copy for one in reading.statements if one.copy is not None]
    if plans:
        what = (
            "COPY … FROM STDIN reads data that is not in the script" if plans[0].inward else "COPY … TO STDOUT writes to nobody"
        )
        raise UsageError(f"{shown}: {what}: expected INSERT or SELECT, or run it with psql (without --propose)")
    return ScriptFile(shown, text, hashlib.sha256(data).hexdigest(), len(outline(text)))


def _bytes(name: str, shown: str) -> bytes:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(SCRIPT_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(SCRIPT_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise UsageError(f"{shown}: {why}: expected a file of SQL that can be read") from None
    if len(data) > SCRIPT_BYTES:
        raise UsageError(f"{shown}: longer than {SCRIPT_BYTES:,} bytes: expected a shorter script, or several")
    return data


def _text(data: bytes, shown: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{shown}:{line}: not UTF-8: expected SQL as UTF-8 text") from None
    if "\0" in text:
        raise UsageError(f"{shown}:{text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL byte: expected text")
    reading = read(text)
    if not text.strip() or (not reading.error and not outline(text)):
        raise UsageError(f"{shown}: no statement in it: expected SQL")
    return text
