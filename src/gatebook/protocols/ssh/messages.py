"""What passes through one channel of SSH, either way, as the relay knows it (RFC 4254, section 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias, assert_never

SIDES = 65_535  # columns or lines of a terminal
SIGNALS = frozenset("ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT SEGV TERM USR1 USR2".split())  # RFC 4254, section 6.10
TERMINAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")  # the name of a kind of terminal, as terminfo has them


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal that a client wants: its kind, its size, and its modes by their numbers (RFC 4254, section 8)."""

    kind: str
    columns: int
    lines: int
    modes: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Start:
    """The client wants this run: a command, a subsystem, or its user's shell where there is neither."""

    command: str | None
    terminal: Terminal | None = None
    environment: tuple[tuple[str, str], ...] = ()
    subsystem: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """Input, or what a command writes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Errors:
    """What a command writes on stderr."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Eof:
    """The side says nothing more."""


@dataclass(frozen=True, slots=True)
class Resize:
    """The client's terminal has another size."""

    columns: int
    lines: int


@dataclass(frozen=True, slots=True)
class Signal:
    """The client wants this signal sent, by its name without SIG."""

    name: str


@dataclass(frozen=True, slots=True)
class Exit:
    """The command has ended, with this status."""

    status: int


@dataclass(frozen=True, slots=True)
class Killed:
    """A signal has ended the command."""

    name: str
    dumped: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """The side has closed the channel."""


def how_it_ended(end: Exit | Killed | None) -> str:
    """As the book has it; None where the host closed a channel without a word."""
    match end:
        case Exit(status):
            return f"exit {status}"
        case Killed(name):
            return f"killed by {name}"
        case None:
            return "ended without a status"
        case _:
            assert_never(end)


OfClient: TypeAlias = Data | Eof | Resize | Signal
OfTarget: TypeAlias = Data | Errors | Eof | Exit | Killed | Closed
