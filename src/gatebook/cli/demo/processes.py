"""Processes and folders of the demo, kept on a roster so that they end, whatever happens to the demo itself.

Each is written down as soon as it runs, by pid and start time: a pid alone may belong to somebody else by the time it is
ended. A roster is believed only when its file belongs to this very user and nobody else may write it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ENDINGS = (signal.SIGTERM, signal.SIGKILL)
STOP_SECONDS = 6.0  # patience with each of the signals
POLL_SECONDS = 0.05
PORTS = range(20_000, 32_000)  # below those that systems give to outgoing connections: from 32768 on, elsewhere from 49152 on


class PartError(Exception):
    """A part of the demo did not start; the message says which, why and what to do."""


def free_port() -> int:
    """A loopback port that was free a moment ago, and that the system gives to no connection that somebody opens meanwhile."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise PartError("a hundred loopback ports were tried, and none was free: end what listens there, and try again")


def start_time(pid: int) -> str | None:
    """When a process started, in whatever words the system has for it; None when it is gone or only waits to be reaped."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return answer.stdout.strip() or None
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until ``ready``, or until the time is over: then False."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def answers(port: int) -> bool:
    """Whether something on this loopback port takes connections."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was seen running: still the same one as long as its start time is."""

    name: str
    pid: int
    started: str
    endings: tuple[int, ...] = ENDINGS

    @classmethod
    def of(cls, name: str, pid: int, endings: tuple[int, ...] = ENDINGS) -> Running:
        """Recognise a process that runs now."""
        started = start_time(pid)
        if started is None:
            raise PartError(f"{name} ended as soon as it had started")
        return cls(name, pid, started, tuple(int(ending) for ending in endings))

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return start_time(self.pid) == self.started

    def stop(self) -> None:
        """End it, each signal harder than the last; silent when it is gone already."""
        for ending in self.endings:
            if not self.alive:
                return
            os.kill(self.pid, ending)
            if wait_until(lambda: not self.alive, STOP_SECONDS):
                return


@dataclass(slots=True)
class Roster:
    """What runs and what to remove afterwards, in a file. One demo at a time owns it."""

    path: Path
    running: list[Running] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Roster:
        """What an earlier demo left running; empty when there is nothing, PartError when the file is not ours to believe."""
        try:
            with path.open() as file:
                status = os.fstat(file.fileno())
                if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                    raise PartError(f"{path} belongs to another user or may be written by one: not believed, remove it by hand")
                data = json.load(file)
            running = [Running(one["name"], one["pid"], one["started"], tuple(one["endings"])) for one in data["running"]]
            return cls(path, running, [str(folder) for folder in data["folders"]])
        except FileNotFoundError:
            return cls(path)
        except (ValueError, KeyError, TypeError) as error:
            raise PartError(f"{path} cannot be read ({error}): remove it by hand, after a look at what still runs") from error

    def save(self) -> None:
        """Write it down, readable by this user alone."""
        text = json.dumps({"running": [asdict(one) for one in self.running], "folders": self.folders}, indent=1)
        write_private(self.path, text)

    def add(self, running: Running) -> None:
        """Write down a process at once, so that it is ended even if this one is killed."""
        self.running.append(running)
        self.save()

    def add_folder(self, folder: Path) -> None:
        """Write down a folder outside the demo's own that is removed at the end."""
        self.folders.append(str(folder))
        self.save()

    def start(self, name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> Running:
        """Start a process of its own session (Ctrl-C in the terminal is ours to handle), its output in ``log``."""
        with log.open("ab") as output:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env), cwd=cwd, start_new_session=True
            )
        self.children.append(child)
        running = Running.of(name, child.pid)
        self.add(running)
        return running

    def stop(self) -> list[str]:
        """End everything, last started first, and remove the folders; says the names of what was still running."""
        ended = []
        for running in reversed(self.running):
            if running.alive:
                ended.append(running.name)
            running.stop()
        for child in self.children:
            child.poll()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        self.path.unlink(missing_ok=True)
        self.running, self.folders = [], []
        return ended


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, never for a moment otherwise."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
