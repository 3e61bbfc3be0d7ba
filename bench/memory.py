"""Memory of the gateway: per process, per idle session, and with clients that ask for 100 MB and never read it.

    python bench/memory.py [--sessions 500] [--clients 1000] [--workers 2] [--twins 2]

Starts `gatebook demo --keep` in a folder of its own and a gateway beside it, with ledger and recording. RSS counts pages that
processes share for each of them, PSS divides them. The target is asked for 100 MB by COPY, so that it keeps nothing itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from rows import serve

ANSWER = b"COPY (SELECT g, repeat('x', 1000) FROM generate_series(1, 100000) g) TO STDOUT"


def told(kind: bytes, body: bytes) -> bytes:
    """One message of a client."""
    return kind + struct.pack("!I", len(body) + 4) + body


def session(port: int, token: str) -> socket.socket:
    """A client that has logged in."""
    made = socket.create_connection(("127.0.0.1", port))
    asked = struct.pack("!I", 0x30000) + b"user\0shop_app\0database\0shop\0\0"
    made.sendall(struct.pack("!I", len(asked) + 4) + asked)
    until(made, b"R")
    made.sendall(told(b"p", token.encode() + b"\0"))
    until(made, b"Z")
    return made


def until(made: socket.socket, wanted: bytes) -> None:
    """Read messages up to one of this kind."""
    with made.makefile("rb", buffering=0) as file:
        while True:
            head = exactly(file, 5)
            exactly(file, int.from_bytes(head[1:]) - 4)
            if head[:1] == b"E":
                raise SystemExit("a session was refused")
            if head[:1] == wanted:
                return


def exactly(file: object, size: int) -> bytes:
    """So many bytes."""
    found = b""
    while len(found) < size:
        piece = file.read(size - len(found))
        if not piece:
            raise SystemExit("the gateway closed a session")
        found += piece
    return found


def memory(pid: int) -> dict[str, tuple[int, int]]:
    """RSS and PSS in KiB of each process below this one, by its place: the web process is forked first."""
    found = {}
    names = ["web", *(f"worker {number}" for number in range(1, 100))]
    for name, child in zip(names, sorted(psutil.Process(pid).children(), key=lambda one: one.pid), strict=False):
        rolled = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
        found[name] = tuple(int(re.search(rf"^{key}:\s+(\d+)", rolled, re.M)[1]) for key in ("Rss", "Pss"))
    return found


def workers(found: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """RSS and PSS of all workers together."""
    rows = [sizes for name, sizes in found.items() if name != "web"]
    return sum(rss for rss, _ in rows), sum(pss for _, pss in rows)


def settled(pid: int) -> dict[str, tuple[int, int]]:
    """The memory once it stays as it is."""
    last = workers(memory(pid))[1]
    for _ in range(120):
        time.sleep(1)
        now = workers(memory(pid))[1]
        if abs(now - last) < 256:
            break
        last = now
    return memory(pid)


def main() -> None:
    """Measure and print."""
    wants = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    wants.add_argument("--sessions", type=int, default=500)
    wants.add_argument("--clients", type=int, default=1000)
    wants.add_argument("--workers", type=int, default=2)
    wants.add_argument("--twins", type=int, choices=(1, 2), default=2, help="1: the compiled one alone")
    asked = wants.parse_args()
    files = 4 * max(asked.sessions, asked.clients) + 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    with tempfile.TemporaryDirectory(prefix="gatebook-bench-") as name:
        demo = Path(name) / "demo"
        program = str(Path(sys.executable).parent / "gatebook")
        subprocess.run([program, "demo", "--keep", "--dir", str(demo)], check=True, stdout=subprocess.DEVNULL)
        try:
            measure(demo, asked)
        finally:
            subprocess.run([program, "demo", "--stop", "--dir", str(demo)], check=False, stdout=subprocess.DEVNULL)


def measure(demo: Path, asked: argparse.Namespace) -> None:
    """Prints a line for each state."""
    said = dict(re.findall(r"^export (\w+)=(\S+)", (demo / "env").read_text(), re.M))
    most = max(asked.sessions, asked.clients) + 50
    with restarted(demo, most):
        each_way(demo, said, asked, most)


def each_way(demo: Path, said: dict[str, str], asked: argparse.Namespace, most: int) -> None:
    """Idle sessions and those that never read, over either twin."""
    for native in (True, False)[: asked.twins]:
        for what, count, request in (("idle", asked.sessions, b""), ("never read", asked.clients, ANSWER)):
            one = serve(demo, f"memory-{int(native)}-{len(request)}", native, "all", workers=asked.workers, sessions=most)
            try:
                one_state(one.process.pid, one.port, said["PGPASSWORD"], what, count, request, native)
            finally:
                one.process.send_signal(signal.SIGTERM)
                one.process.wait(60)


def one_state(pid: int, port: int, token: str, what: str, count: int, request: bytes, native: bool) -> None:
    """Memory before, with the sessions, and with what they asked for."""
    twin = "native" if native else "python"
    with ExitStack() as stack:
        first = stack.enter_context(session(port, token))
        first.sendall(told(b"Q", b"SELECT 1\0"))
        until(first, b"Z")
        before = settled(pid)
        if not request:
            for name, (rss, pss) in before.items():
                print(f"{twin:8}{name:12}{rss / 1024:8.1f} MiB RSS{pss / 1024:8.1f} MiB PSS", flush=True)
        made = [stack.enter_context(session(port, token)) for _ in range(count)]
        idle = settled(pid)
        grown = (workers(idle)[1] - workers(before)[1]) / count
        print(f"{twin:8}{count} idle sessions: {grown:.1f} KiB each", flush=True)
        if request:
            for each in made:
                each.sendall(told(b"Q", request + b"\0"))
            for each in made:
                each.recv(1, socket.MSG_PEEK)
            stuck = settled(pid)
            grown = (workers(stuck)[1] - workers(idle)[1]) / 1024
            print(f"{twin:8}{count} clients that {what} 100 MB: {grown:.1f} MiB more", flush=True)


@contextmanager
def restarted(demo: Path, most: int) -> Iterator[None]:
    """The demo's PostgreSQL, begun again with room for so many; ended behind it."""
    (folder,) = json.loads((demo / "run.json").read_text())["folders"]
    data = Path(folder) / "data"
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(f"\nmax_connections = {most}\n")
    owner = data.stat().st_uid
    user = {"user": owner, "group": owner, "extra_groups": []} if os.geteuid() == 0 and owner else {}
    program = Path((data / "postmaster.opts").read_text().split()[0]).with_name("pg_ctl")
    control = [str(program), "-D", str(data), "-m", "fast", "-s"]
    subprocess.run([*control, "restart"], check=True, stdout=subprocess.DEVNULL, cwd="/", **user)
    try:
        yield
    finally:
        subprocess.run([*control, "stop"], check=False, cwd="/", **user)


if __name__ == "__main__":
    main()
