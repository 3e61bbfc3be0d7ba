"""What hosts and repositories cost through Gatebook: output, files, connections, keystrokes, idle sessions and a clone.

    python -m bench.ssh [--megabytes 200] [--repository 100] [--connects 20] [--keys 300] [--sessions 100] [--rounds 3]

OpenSSH's server and git's http-backend are direct, and behind a gateway with policy, detectors, ledger and recording on; what
comes and goes in bulk goes by a bare relay on asyncssh, too (``bench/bare.py``), which tells what the library alone costs.
Clients are OpenSSH's and git's own (asyncssh for keystrokes and idle sessions, on both ways); ways are driven in turn, and the
best of the rounds counts. The machine may be busy: compare ratios within one run. CPU is that of the gateway's processes, or
of the bare relay, alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncssh
import psutil
from bench.connects import cpu
from tests.testbed.gateways import LiveGateway, World, free_port
from tests.testbed.hosted import Hosted
from tests.testbed.hosts import Host, program
from tests.testbed.issuer import LiveIssuer
from tests.testbed.repositories import PASSWORD, GitServer

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.forge import USER, git, surroundings
from gatebook.cli.demo.parts import EmbeddedPostgres

TEXT = b"2026-09-01T12:00:00Z a line of plain text that holds nothing, number %09d\n"
WARMING = 20  # keystrokes that do not count


@dataclass(frozen=True)
class Way:
    """One way to the host and the repository."""

    name: str
    options: Sequence[str]
    environment: Mapping[str, str]
    asked: Mapping[str, Any]
    clone: Sequence[str]

    def run(self, name: str, *words: str, stdin: str = "") -> None:
        argv = [program(name), *self.options, *words]
        subprocess.run(argv, input=stdin.encode(), env=self.environment, stdout=subprocess.DEVNULL, check=True)


def took(task: Callable[[Way], object], way: Way) -> float:
    """Seconds."""
    begun = time.perf_counter()
    task(way)
    return time.perf_counter() - begun


async def echoes(way: Way, keys: int) -> list[float]:
    """Milliseconds until each key that is pressed comes back, in order of size."""
    async with asyncssh.connect(**way.asked) as connection:
        process = await connection.create_process("cat", term_type="xterm", encoding=None)
        found = []
        for _ in range(keys + WARMING):
            begun = time.perf_counter()
            process.stdin.write(b"k")
            await process.stdout.readexactly(1)
            found.append((time.perf_counter() - begun) * 1000)
        process.stdin.write(b"\n\x04")
        await process.wait()
    return sorted(found[WARMING:])


async def idle(way: Way, gateway: LiveGateway, sessions: int) -> float:
    """KiB of the gateway's memory for each session that has a command running and says nothing."""
    async with AsyncExitStack() as stack:
        before = gateway.memory_kilobytes
        for _ in range(sessions):
            connection = await stack.enter_async_context(asyncssh.connect(**way.asked))
            await connection.create_process("cat", encoding=None)
        return (gateway.memory_kilobytes - before) / sessions


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    counts = {"megabytes": 200, "repository": 100, "connects": 20, "keys": 300, "sessions": 100, "rounds": 3}
    for name, usual in counts.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    wish = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatebook-bench-")))
        home.chmod(0o755)
        host = Host(home / "host").start()
        stack.callback(host.close)
        (home / "git").mkdir()
        server = GitServer(home / "git")
        stack.callback(server.close)
        filled(server, wish.repository)
        gateway = opened(stack, home, host, server)
        between = ways(home, host, server, gateway)
        assert gateway.process is not None
        processes = {"gatebook": psutil.Process(gateway.process.pid), "bare": bare(stack, host, between)}
        measure(wish, home, gateway, between, processes)


def filled(server: GitServer, megabytes: int) -> None:
    """A repository of so many megabytes that do not get smaller."""
    folder = server.new("bench/app")
    work = folder.with_suffix(".work")
    git("clone", "-q", str(folder), str(work))
    for number in range(megabytes):
        (work / f"{number}.bin").write_bytes(os.urandom(1_000_000))
    git("-C", str(work), "add", "--all")
    git("-C", str(work), "commit", "-q", "-m", "much")
    git("-C", str(work), "push", "-q", "origin", "main")
    shutil.rmtree(work)


def opened(stack: ExitStack, home: Path, host: Host, server: GitServer) -> LiveGateway:
    issuer = LiveIssuer()
    stack.callback(issuer.close)
    database = EmbeddedPostgres(home / "postgres")  # of the targets that nobody opens here: it is never started
    database.port = free_port()
    world = World(Authority(home / "tls"), issuer, database)
    options: dict[str, Any] = {"hosts": [host.target()], "apis": [server.target()], "allows_all": True}
    gateway = LiveGateway(home / "gateway", world, **options).start()
    stack.callback(gateway.stop)
    return gateway


def ways(home: Path, host: Host, server: GitServer, gateway: LiveGateway) -> list[Way]:
    hosted = Hosted(gateway, host, home / "client")
    token = gateway.gateway_token()
    key = home / "direct.key"
    shutil.copy(host.client_key, key)
    key.chmod(0o600)
    plain = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR", "IdentityAgent": "none"}
    own = plain | {"IdentityFile": str(key), "User": host.user, "Port": str(host.port)}
    direct = ["-F", "/dev/null", *(word for name, value in own.items() for word in ("-o", f"{name}={value}"))]
    here: dict[str, Any] = {"host": "127.0.0.1", "known_hosts": None, "agent_path": None, "config": []}
    straight = here | {"port": host.port, "username": host.user, "client_keys": [str(key)]}
    asked = here | {"port": gateway.ssh_port, "username": "web1", "password": token, "client_keys": []}
    origin = str(server.target()["origins"][0])
    clones = (f"{origin}/bench/app.git", f"https://127.0.0.1:{gateway.http_port}/git/forge/bench/app.git")
    trust = str(gateway.world.authority.path)
    told = surroundings(BENCH_PASSWORD=PASSWORD), surroundings(BENCH_PASSWORD=token, GIT_SSL_CAINFO=trust)
    return [
        Way("direct", direct, {**os.environ, **told[0]}, straight, ["git", *helper(), "clone", "-q", clones[0]]),
        Way(
            "gatebook",
            hosted.options(),
            hosted.environment(token) | told[1],
            asked,
            ["git", *helper(), "clone", "-q", clones[1]],
        ),
    ]


def bare(stack: ExitStack, host: Host, between: list[Way]) -> psutil.Process:
    """A bare relay, as one way more."""
    port, direct = free_port(), between[0]
    argv = [sys.executable, "-m", "bench.bare", str(port), str(host.port), host.user, str(direct.asked["client_keys"][0])]
    process = subprocess.Popen(argv)
    stack.callback(process.wait)
    stack.callback(process.kill)
    options = [f"Port={port}" if word == f"Port={host.port}" else word for word in direct.options]
    between.append(replace(direct, name="bare", options=options))
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return psutil.Process(process.pid)
        time.sleep(0.1)
    raise RuntimeError("the bare relay does not listen")


def helper() -> list[str]:
    """How git has its password from the environment."""
    return ["-c", f'credential.helper=!f() {{ echo username={USER}; echo "password=$BENCH_PASSWORD"; }}; f']


def measure(
    wish: argparse.Namespace,
    home: Path,
    gateway: LiveGateway,
    between: list[Way],
    processes: Mapping[str, psutil.Process],
) -> None:
    """Print each measure, direct beside Gatebook, and a bare relay where it has it."""
    big = home / "big.log"
    with big.open("wb") as file:
        written, number = 0, 0
        while written < wish.megabytes * 1_000_000:
            written, number = written + file.write(TEXT % number), number + 1
    there = home / "there"
    there.mkdir()
    tasks: dict[str, tuple[float, Callable[[Way], object]]] = {
        "cat": (wish.megabytes, lambda way: way.run("ssh", "127.0.0.1", f"cat {big}")),
        "sftp down": (wish.megabytes, lambda way: way.run("sftp", "-q", "127.0.0.1", stdin=f"get {big} {there}/down\n")),
        "sftp up": (wish.megabytes, lambda way: way.run("sftp", "-q", "127.0.0.1", stdin=f"put {big} {there}/up\n")),
        "clone": (wish.repository, lambda way: cloned(way, home / "clone")),
        "connect": (0, lambda way: [way.run("ssh", "127.0.0.1", "true") for _ in range(wish.connects)]),
    }
    print(f"{'':20} {'seconds':>9} {'of direct':>9} {'CPU s/GB':>9}")
    for name, (megabytes, task) in tasks.items():
        bulk = name in ("cat", "sftp down", "sftp up")
        found = compared(wish.rounds, processes, between if bulk else between[:2], task)
        for way, (seconds, used) in found.items():
            each = f"{used / megabytes * 1000:9.1f}" if megabytes else f"{used / wish.connects * 1000:6.0f} ms each"
            share, told = found["direct"][0] / seconds, "" if way == "direct" else each
            print(f"{name:10} {way:9} {seconds:9.2f} {share:9.2f} {told}", flush=True)
    for way in between[:2]:
        rounds = [asyncio.run(echoes(way, wish.keys)) for _ in range(wish.rounds)]
        half, most = (min(one[int(len(one) * share)] for one in rounds) for share in (0.5, 0.99))
        print(f"a key's echo, {way.name}: p50 {half:.2f} ms, p99 {most:.2f} ms")
    print(f"an idle session of {wish.sessions}: {asyncio.run(idle(between[1], gateway, wish.sessions)):.0f} KiB")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, best of {wish.rounds}, recording on")


def compared(
    rounds: int, processes: Mapping[str, psutil.Process], between: list[Way], task: Callable[[Way], object]
) -> dict[str, tuple[float, float]]:
    """The least seconds of each way, and the least CPU seconds of its processes."""
    found: dict[str, list[tuple[float, float]]] = {way.name: [] for way in between}
    for number in range(rounds):
        for way in between if number % 2 == 0 else between[::-1]:
            process = processes.get(way.name)
            before = cpu(process) if process else 0.0
            seconds = took(task, way)
            found[way.name].append((seconds, cpu(process) - before if process else 0.0))
    return {name: (min(one[0] for one in each), min(one[1] for one in each)) for name, each in found.items()}


def cloned(way: Way, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([*way.clone, str(folder)], env=way.environment, check=True)


if __name__ == "__main__":
    main()
