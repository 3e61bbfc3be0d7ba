"""The stage: tells what happens, shows the command as typed and the output as it came, and checks what it claims."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from gatebook.cli.demo.processes import PartError

OUTPUT_LINES = 40  # of one command; the rest is counted


class BrokenError(PartError):
    """A step did not do what it says."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}")
        self.expected = expected
        self.came = came


@dataclass(slots=True)
class Stage:
    """Where the story is told. Counts its acts and checks."""

    console: Console
    acts: int = 0
    checks: int = 0
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the story has been going on."""
        return time.monotonic() - self.started

    @property
    def plain(self) -> bool:
        """Whether the terminal knows ASCII alone."""
        return not self.console.encoding.lower().startswith("utf")

    def act(self, title: str) -> None:
        """Open an act."""
        self.acts += 1
        self.console.print()
        self.console.rule(Text(f" {self.acts}. {title} ", style="bold"), align="left", characters="-" if self.plain else "─")

    def say(self, text: str) -> None:
        """Tell, in the story's own voice."""
        self.console.print()
        self.console.print(Text(text))

    def command(self, text: str, prompt: str = "$") -> None:
        """Show a command as one would type it."""
        self.console.print()
        self._indented(f"{prompt} {text}", "bold cyan")

    def output(self, text: str) -> None:
        """Show what a program said, uncut in width."""
        lines = text.splitlines()
        for line in lines[:OUTPUT_LINES]:
            self._indented(line, "")
        if len(lines) > OUTPUT_LINES:
            self._indented(f"({len(lines) - OUTPUT_LINES} more lines)", "dim")

    def _indented(self, line: str, style: str) -> None:
        self.console.print(Text("    " + line, style=style), soft_wrap=True)

    def check(self, claim: str, holds: bool, came: str) -> None:
        """Tick a claim off, or raise BrokenError with what came instead."""
        good, bad = ("ok", "FAILED") if self.plain else ("✓", "✗")
        mark, style = (good, "green") if holds else (bad, "bold red")
        self.console.print(Text(f"  {mark} ", style=style) + Text(claim, style="" if holds else "red"))
        if not holds:
            raise BrokenError(claim, came)
        self.checks += 1

    def doing(self, text: str, work: Callable[[], object]) -> None:
        """Do something that takes a moment, and say how long it took."""
        begun = time.monotonic()
        with self.console.status(Text(text)):
            work()
        self.console.print(Text(f"  {text} ", style="dim") + Text(f"{time.monotonic() - begun:.1f} s", style="dim"))
