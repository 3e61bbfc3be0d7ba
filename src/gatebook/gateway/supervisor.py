"""The process that runs the others: one for API and pages, and as many data workers as the configuration says.

It prepares what they share, forks them (web first: it mends what a crash left, before any session opens), says ready once all
serve, and waits. It has no event loop and no threads, so that it can fork at any time, and touches neither clients nor book.

A process that dies is forked again, after a pause that doubles with each death within a minute; past ``DEATHS`` of them all
stop, in order, and with a fault: whoever runs the gateway should know. The others go on meanwhile, each with its own log. At
SIGTERM or SIGINT data workers stop first, the web process after them, since people's votes go through it.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog

from gatebook.config import Config
from gatebook.errors import ConfigError, GatebookError, LedgerError
from gatebook.gateway.child import be, fault_of
from gatebook.gateway.prepared import WEB, Prepared, prepare
from gatebook.gateway.running import Api, serve_sessions, serve_web

DEATHS = 5  # of one process within DEATHS_SECONDS; one more and the gateway stops
DEATHS_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.25
STOP_SECONDS = 10.0  # for a process to end by itself; then it is killed
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

log = structlog.get_logger("gatebook.gateway")


@dataclass(slots=True, eq=False)
class Process:
    """One of the supervisor's, alive (``pid``) or waiting to be forked again (``due``)."""

    name: str
    row: int
    pid: int = 0
    report: int = -1
    said: bytes = b""
    ready: bool = False
    starts: int = 0
    due: float | None = None
    deaths: deque[float] = field(default_factory=deque)


class _StopError(Exception):
    """Somebody wants the gateway to end."""


def supervise(config: Config, api: Api, ready: Callable[[], None]) -> None:
    """Run the gateway until SIGTERM or SIGINT. Raises GatebookError when it cannot begin or go on."""
    try:
        prepared = prepare(config)
    except LedgerError as error:
        raise ConfigError([str(error)]) from error
    Supervisor(prepared, api).run(ready)


class Supervisor:
    """Owns the processes. Used from one thread, the only one of its process."""

    def __init__(self, prepared: Prepared, api: Api) -> None:
        self._prepared, self._api = prepared, api
        self._web = Process(WEB, 0)
        self._workers = [Process(str(number), number) for number in prepared.workers]
        self._selector = selectors.DefaultSelector()
        self._lifeline = os.pipe2(os.O_CLOEXEC)
        self._wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stopping = False
        self._fault: GatebookError | None = None

    def run(self, ready: Callable[[], None]) -> None:
        """Until somebody wants the gateway to end, or it cannot go on. Raises GatebookError."""
        with self._signals():
            try:
                self._begin(ready)
                while True:
                    self._wait(self._next_due())
                    self._fork_what_is_due()
            except _StopError:
                log.info("stopping")
            finally:
                self._stopping = True
                self._end(self._workers)
                self._end([self._web])
        if self._fault is not None:
            raise self._fault

    # Beginning ------------------------------------------------------------------------------------------------------

    def _begin(self, ready: Callable[[], None]) -> None:
        for some in ([self._web], self._workers):
            for process in some:
                self._fork(process)
            while not all(process.ready for process in some):
                self._wait(None)
        ready()

    def _fork(self, process: Process) -> None:
        self._prepared.tally.wipe(process.row)
        report, end = os.pipe2(os.O_CLOEXEC)
        process.said, process.ready, process.due = b"", False, None
        process.starts += 1
        work = self._work(process)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        pid = os.fork()
        if not pid:
            self._forget(report)
            be(process.name, work, end, self._lifeline[0])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(end)
        process.pid, process.report = pid, report
        self._selector.register(report, selectors.EVENT_READ, process)

    def _work(self, process: Process) -> Callable[[Callable[[], None], asyncio.Event], Awaitable[None]]:
        if process is self._web:
            return partial(serve_web, self._prepared, self._api, process.starts == 1)
        return partial(serve_sessions, self._prepared, process.row)

    def _forget(self, report: int) -> None:
        """In the new process: let go of what is the supervisor's alone."""
        self._selector.close()
        for descriptor in (report, self._lifeline[1], *self._wakeup, *(one.report for one in self._all if one.report >= 0)):
            os.close(descriptor)
        for held in self._prepared.ports:
            held.close()

    # Going on -------------------------------------------------------------------------------------------------------

    @property
    def _all(self) -> list[Process]:
        return [self._web, *self._workers]

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals wake the selector; what they want is read from the pipe they leave their number in."""
        before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        woken = signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ, None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()

    def _wait(self, seconds: float | None) -> None:
        """Take in what happens next. Raises _StopError."""
        wanted = False
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                numbers = os.read(self._wakeup[0], 512)
                wanted = wanted or bool({signal.SIGTERM, signal.SIGINT} & set(numbers))
            else:
                self._hear(key.data)
        self._reap()
        if wanted and not self._stopping:
            raise _StopError

    def _hear(self, process: Process) -> None:
        said = os.read(process.report, 4096)
        process.said += said
        if not said:
            self._selector.unregister(process.report)
            os.close(process.report)
            process.report = -1
        while b"\n" in process.said and not process.ready and b'"ready"' in process.said:
            _, _, process.said = process.said.partition(b"\n")
            process.ready = True
            if process.starts > 1:
                log.info("a process serves again", process=process.name, pid=process.pid)

    def _reap(self) -> None:
        for process in self._all:
            if not process.pid:
                continue
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                while process.report >= 0:
                    self._hear(process)
                self._buried(process, os.waitstatus_to_exitcode(status))

    def _buried(self, process: Process, status: int) -> None:
        process.pid = 0
        self._prepared.tally.wipe(process.row)
        fault = fault_of(process.said) or GatebookError(f"process {process.name} {_ended(status)}")
        if self._stopping:
            if status and not (status == -signal.SIGTERM and not process.ready):  # it had not begun
                log.error("a process did not end in order", process=process.name, why=str(fault))
                self._fault = self._fault or fault
            return
        if process.starts == 1 and not process.ready:
            self._fault = ConfigError([str(fault)]) if isinstance(fault, LedgerError) else fault
            raise _StopError
        now = time.monotonic()
        process.deaths.append(now)
        while process.deaths[0] < now - DEATHS_SECONDS:
            process.deaths.popleft()
        if len(process.deaths) > DEATHS:
            self._fault = GatebookError(f"process {process.name} ended {len(process.deaths)} times within a minute: {fault}")
            raise _StopError
        pause = FIRST_PAUSE_SECONDS * 2 ** (len(process.deaths) - 1)
        process.due = now + pause
        log.error("a process ended; another takes its place", process=process.name, why=str(fault), seconds=pause)

    def _next_due(self) -> float | None:
        due = [process.due for process in self._all if process.due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _fork_what_is_due(self) -> None:
        for process in self._all:
            if process.due is not None and process.due <= time.monotonic():
                self._fork(process)

    # Ending ---------------------------------------------------------------------------------------------------------

    def _end(self, some: list[Process]) -> None:
        """Let these processes stop in order, and kill those that do not."""
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            end = time.monotonic() + seconds
            for process in some:
                if process.pid:
                    os.kill(process.pid, number)
            while any(process.pid for process in some) and time.monotonic() < end:
                self._wait(max(0.0, end - time.monotonic()))


def _ended(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
