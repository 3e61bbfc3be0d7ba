"""A process below the supervisor: how it begins, tells that it is ready or why it is not, and ends with its supervisor.

It is forked, so what the supervisor loaded is shared memory. Through a pipe it says one line: that it serves, or what is wrong.
It stops in order at SIGTERM, and likewise when the supervisor is gone: then the pipe that only the supervisor holds open ends.
Whatever happens to its event loop, it is gone ``LAST_SECONDS`` later.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import structlog
import uvloop

from gatebook.errors import ConfigError, GatebookError, LedgerError
from gatebook.gateway import memory

LAST_SECONDS = 8.0  # for the orderly end of a process whose supervisor is gone
FAILED = 1  # exit status of a process that could not begin, or could not go on
LINE_BYTES = 65_536  # of what a process says about itself
THREADS = 8  # of asyncio's own, whatever the machine; with the lookout's fewer than an engine has connections

Work = Callable[[Callable[[], None], asyncio.Event], Awaitable[None]]

log = structlog.get_logger("gatebook.gateway")


def be(name: str, work: Work, report: int, lifeline: int) -> NoReturn:
    """Become the process that does ``work``; never returns. Call it right after the fork, with signals still blocked."""
    status = FAILED
    try:
        structlog.contextvars.bind_contextvars(process=name)
        memory.settle()
        log.info("a process begins", pid=os.getpid())
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the supervisor says when to stop
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        threading.Thread(target=_end_with_supervisor, args=(lifeline,), name="lifeline", daemon=True).start()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(work, report))
        status = 0
    except BaseExceptionGroup as group:
        _say_why(report, group)
    except BaseException as error:
        _say_why(report, error)
    finally:
        os._exit(status)  # what the supervisor would do at its end is not ours to do


async def _run(work: Work, report: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="asyncio"))
    await work(lambda: _say(report, {"ready": True}), stop)


def _end_with_supervisor(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: it returns when the supervisor is gone
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(LAST_SECONDS)
    os._exit(FAILED)


def _say(report: int, what: dict[str, object]) -> None:
    line = json.dumps(what).encode()[: LINE_BYTES - 1] + b"\n"
    while line:
        line = line[os.write(report, line) :]


def _say_why(report: int, error: BaseException) -> None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, GatebookError):
        log.error("process failed", exc_info=error)
    kind = "config" if isinstance(error, ConfigError) else "ledger" if isinstance(error, LedgerError) else "other"
    lines = error.faults if isinstance(error, ConfigError) else [str(error) or type(error).__name__]
    try:
        _say(report, {"fault": kind, "lines": lines})
    except OSError:
        return  # the supervisor is gone


def apart(work: Callable[[], None]) -> None:
    """Do ``work`` in a process of its own, with which all that it loaded is gone. Raises GatebookError as ``work`` did."""
    report, end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        status = FAILED
        try:
            work()
            status = 0
        except BaseException as error:
            _say_why(end, error)
        finally:
            os._exit(status)
    os.close(end)
    with os.fdopen(report, "rb") as told:
        said = told.read(LINE_BYTES)
    _, status = os.waitpid(pid, 0)
    if status:
        raise fault_of(said) or GatebookError("a process that should have prepared the database ended")


def fault_of(line: bytes) -> GatebookError | None:
    """What a process said is wrong; None when it said something else, or nothing."""
    try:
        said = json.loads(line)
        kind, lines = said["fault"], [str(each) for each in said["lines"]]
    except (ValueError, KeyError, TypeError):
        return None
    if kind == "config":
        return ConfigError(lines)
    return LedgerError(lines[0]) if kind == "ledger" else GatebookError(lines[0])
