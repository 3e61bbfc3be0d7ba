"""Unmodified clients, driven as a person would drive them: one psql that stays open, and programs that run once."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ANSWER_SECONDS = 20.0
PLAIN_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "TERM": "dumb",
    "PSQLRC": os.devnull,
    "PSQL_HISTORY": os.devnull,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said, and how it ended."""

    status: int
    output: str


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    stdin: str = "",
    seconds: float = ANSWER_SECONDS * 3,
) -> Answer:
    """Run a program to its end; both of its outputs in one, in order."""
    done = subprocess.run(
        argv, input=stdin, env={**PLAIN_ENVIRONMENT, **env}, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=seconds, check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout.rstrip())


def shown(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """The command as one would type it; secrets are not in ``env`` as given here."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in env.items()), *(shlex.quote(part) for part in argv)])


class Psql:
    """One psql process that is asked one statement after another, as at a prompt.

    Its standard input is a pipe, so that it neither prompts nor edits lines; its outputs are one terminal, so that rows and
    errors come in the order in which psql says them.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._screen, side = pty.openpty()
        settings = termios.tcgetattr(side)
        settings[1] &= ~termios.OPOST  # line ends as psql writes them
        termios.tcsetattr(side, termios.TCSANOW, settings)
        self._process = subprocess.Popen(
            argv, env={**PLAIN_ENVIRONMENT, **env}, stdin=subprocess.PIPE, stdout=side, stderr=side, start_new_session=True
        )
        os.close(side)
        self._asked = 0
        self._rest = b""

    def __enter__(self) -> Psql:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process, the same for as long as the session lives."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether psql still runs."""
        return self._process.poll() is None

    def ask(self, text: str) -> str:
        """Type a line and wait for all that psql says to it. A psql that has ended says what it said last."""
        self.start(text)
        return self.finish()

    def start(self, text: str) -> None:
        """Type a line, and do not wait."""
        self._asked += 1
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # a pipe was asked for
        with suppress(BrokenPipeError):  # it has ended; what it said last is still to be read
            stdin.write(f"{text}\n\\echo {self._end}\n".encode())
            stdin.flush()

    def until(self, word: str) -> str:
        """What psql says up to and with the line that holds this word, while it goes on."""
        return self._until(word.encode()) + word + self._until(b"\n")

    def finish(self) -> str:
        """All the rest that psql says to what was started."""
        return self._until(self._end.encode()).strip("\n")

    @property
    def _end(self) -> str:
        return f"--answered-{self.pid}-{self._asked}--"

    def _until(self, end: bytes) -> str:
        got, self._rest = self._rest, b""
        deadline = time.monotonic() + ANSWER_SECONDS
        while end not in got:
            ready, _, _ = select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(
                    f"psql said nothing more for {ANSWER_SECONDS:.0f} s after: {got.decode(errors='replace')[-500:]}"
                )
            try:
                chunk = os.read(self._screen, 65536)
            except OSError:  # the terminal's other side is closed: psql has ended
                break
            if not chunk:
                break
            got += chunk
        said, _, self._rest = got.partition(end)
        return said.decode(errors="replace")

    def close(self) -> int:
        """End the session as ``\\q`` does; the exit status."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended by itself
                self._process.stdin.close()
        try:
            status = self._process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if self._screen >= 0:
            os.close(self._screen)
            self._screen = -1
        return status
