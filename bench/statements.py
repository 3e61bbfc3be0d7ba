"""What a statement costs: `pgbench -S`, direct, through a bare splice, Gatebook and pgbouncer, beside each other.

    python -m bench.statements [--seconds 4] [--rounds 3] [--clients 8] [--workers 1] [--sessions 10 100] [--entries 100000]

CPU is that of all processes of the hop: Gatebook's supervisor, workers and web process, with policy, masks, detectors, ledger
and recording on. The splice (`bench/splice.py`) passes bytes on by uvloop and looks at none: the least that a hop in Python
costs. Ways are driven in turn, forwards and backwards; the machine may be busy, so compare ratios within one run. Growth: the
same with so many further sessions open, and the book by itself from its first entry on. It needs what the tests need:
PostgreSQL from a wheel, and the system's pgbench for TLS. Nothing but loopback is used.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from bench.connects import cpu
from bench.ledger import ACTION
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.testbed.gateways import LiveGateway, World, free_port
from tests.testbed.issuer import LiveIssuer
from tests.testbed.servers import APP_PASSWORD, OWNER_PASSWORD, system_programs, with_shop

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.parts import EmbeddedPostgres, PostgresServer
from gatebook.ledger.log import Log
from gatebook.model import Entry

MODES = ("prepared", "simple")
DECADE = 5_000  # entries whose cost is taken at each size of the book


@dataclass(frozen=True)
class Way:
    """One way to a server. ``beside`` names the splice that it is compared with, ``hop`` gives its CPU seconds so far."""

    name: str
    beside: str
    settings: Mapping[str, str]
    hop: Callable[[], float] | None


@dataclass(frozen=True)
class Found:
    """Transactions a second, and microseconds: CPU of the hop for each, and the median as one client sees it."""

    rate: float
    used: float
    p50: float


def pgbench(way: Way, *options: str, seconds: int) -> str:
    """Run it; what it said. The folder of the run gets its logs."""
    command = [str(system_programs() / "pgbench"), "-n", "-S", "-j", "1", "-T", str(seconds), *options]
    settings = {"PATH": os.environ["PATH"], "PGHOST": "127.0.0.1", "PGUSER": "shop_app", "PGDATABASE": "shop", **way.settings}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, env=settings, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{way.name}: {done.stderr}")
        logs = [line for path in Path(folder).glob("pgbench_log*") for line in path.read_text().splitlines()]
    return "\n".join([done.stdout, *(f"took {line.split()[2]}" for line in logs)])


def drive(way: Way, mode: str, asked: argparse.Namespace) -> Found:
    """One round."""
    before = way.hop() if way.hop else 0.0
    said = pgbench(way, "-M", mode, "-c", str(asked.clients), seconds=asked.seconds)
    used = (way.hop() - before) if way.hop else 0.0
    count = int(re.search(r"actually processed: (\d+)", said)[1])
    alone = pgbench(way, "-M", mode, "-c", "1", "-l", seconds=max(1, asked.seconds // 2))
    p50 = statistics.median(int(took) for took in re.findall(r"^took (\d+)", alone, re.M))
    return Found(float(re.search(r"^tps = ([\d.]+)", said, re.M)[1]), used / count * 1e6, p50)


def process(stack: ExitStack, *command: str) -> psutil.Process:
    """A process that ends with the run."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(running.wait)
    stack.callback(running.terminate)
    time.sleep(1)
    if running.poll() is not None:
        raise SystemExit(f"{command}: ended at once")
    return psutil.Process(running.pid)


def bouncer(stack: ExitStack, folder: Path, port: int) -> tuple[int, psutil.Process] | None:
    """A pgbouncer in session mode before this server; None where it is not installed."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        return None
    own, settings = free_port(), folder / "pgbouncer.ini"
    (folder / "users.txt").write_text(f'"shop_app" "{APP_PASSWORD}"\n')
    settings.write_text(
        f"[databases]\nshop = host=127.0.0.1 port={port} dbname=shop user=shop_app password={APP_PASSWORD}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nauth_type = plain\nauth_file = {folder}/users.txt\n"
        "pool_mode = session\nmax_client_conn = 200\ndefault_pool_size = 50\n"
    )
    drop = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return own, process(stack, *drop, program, "-q", str(settings))


def ways(stack: ExitStack, folder: Path, gateway: LiveGateway, port: int) -> list[Way]:
    """Straight, and through each hop: in the clear, and with the client inside TLS."""
    clear, inside = {"PGSSLMODE": "disable"}, {"PGSSLMODE": "require"}
    direct, token = {"PGPASSWORD": APP_PASSWORD}, gateway.gateway_token()
    made = gateway.world.authority.certificate("splice")
    ports = free_port(), free_port()
    splice = (sys.executable, "-m", "bench.splice")
    plain = process(stack, *splice, str(ports[0]), str(port))
    tls = process(stack, *splice, str(ports[1]), str(port), str(made.cert), str(made.key))
    own = psutil.Process(gateway.process.pid)
    through = {"PGPORT": str(gateway.port), "PGPASSWORD": token}
    found = [
        Way("direct", "", direct | clear | {"PGPORT": str(port)}, None),
        Way("splice", "splice", direct | clear | {"PGPORT": str(ports[0])}, lambda: cpu(plain)),
        Way("gatebook", "splice", through | clear, lambda: cpu(own)),
        Way("splice, client by TLS", "splice, client by TLS", direct | inside | {"PGPORT": str(ports[1])}, lambda: cpu(tls)),
        Way("gatebook, client by TLS", "splice, client by TLS", through | inside, lambda: cpu(own)),
    ]
    pooled = bouncer(stack, folder, port)
    if pooled is not None:
        found.append(Way("pgbouncer", "splice", direct | clear | {"PGPORT": str(pooled[0])}, lambda: cpu(pooled[1])))
    return found


def table(driven: list[Way], asked: argparse.Namespace) -> None:
    """Print rate, ratio to direct, CPU for each statement and what it is of the splice's, and the median at one client."""
    print(f"{'workload':10}{'way':25}{'tps':>9}{'ratio':>7}{'CPU us':>8}{'splice':>8}{'p50 us':>8}{'added':>7}")
    for mode in MODES:
        rounds: dict[str, list[Found]] = {way.name: [] for way in driven}
        for turn in range(asked.rounds):
            for way in driven if turn % 2 == 0 else reversed(driven):
                rounds[way.name].append(drive(way, mode, asked))
        middle = {
            name: Found(
                *(statistics.median(column) for column in zip(*((one.rate, one.used, one.p50) for one in each), strict=True))
            )
            for name, each in rounds.items()
        }
        direct = middle["direct"]
        for way in driven:
            found = middle[way.name]
            times = f"{found.used / middle[way.beside].used:8.1f}" if way.beside else " " * 8
            shown = f"{found.rate:9.0f}{found.rate / direct.rate:7.2f}{found.used:8.1f}{times}"
            print(f"{mode:10}{way.name:25}{shown}{found.p50:8.0f}{found.p50 - direct.p50:7.0f}", flush=True)


def growth(way: Way, gateway: LiveGateway, asked: argparse.Namespace) -> None:
    """Print what a statement costs, and what a session weighs, with so many more of them open and idle."""
    workers = [psutil.Process(pid) for name, pid in gateway.processes().items() if name != "web"]
    weight = lambda: sum(one.memory_info().rss for one in workers) / 1024  # noqa: E731
    print(f"\n{'idle sessions':>13}{'CPU us':>9}{'MB':>8}{'kB each':>9}")
    with ExitStack() as stack:
        before, count = weight(), 0
        for wanted in (0, *asked.sessions):
            for _ in range(wanted - count):
                stack.enter_context(psycopg.connect(**idle(way), autocommit=True)).execute("SELECT 1")
            count = wanted
            used = statistics.median(drive(way, "prepared", asked).used for _ in range(asked.rounds))
            each = f"{(weight() - before) / wanted:9.0f}" if wanted else ""
            print(f"{wanted:13}{used:9.1f}{weight() / 1024:8.0f}{each:>9}", flush=True)


def idle(way: Way) -> dict[str, str]:
    """How psycopg is told the same as pgbench."""
    known = {"PGPORT": "port", "PGPASSWORD": "password", "PGSSLMODE": "sslmode"}
    return {"host": "127.0.0.1", "user": "shop_app", "dbname": "shop"} | {known[key]: one for key, one in way.settings.items()}


def book(folder: Path, most: int) -> None:
    """Print what an entry of the book costs, all threads of the log with it, at each size of the book."""
    log = Log.open(folder, origin="bench/log/0", key=Ed25519PrivateKey.generate())
    opened = {"sid": "s1", "actor": {"type": "agent"}, "src": {}, "res": {}, "auth": {}, "proto": "postgres"}
    log.append_now(Entry(kind="session.open", fields=opened), durable=True)
    entry, count = Entry(kind="action", fields={"sid": "s1", **ACTION}), 0
    sizes = [1, *(size for size in (10**power for power in range(4, 9)) if size <= most)]
    print(f"\n{'entries':>9}{'CPU us each':>13}{'MB':>7}")
    for size in sizes:
        while count < size - 1:
            count += add(log, entry, min(DECADE, size - 1 - count))
        gc.collect()
        before = time.process_time()
        count += add(log, entry, DECADE)
        used = (time.process_time() - before) / DECADE * 1e6
        print(f"{size:9}{used:13.1f}{psutil.Process().memory_info().rss / 2**20:7.0f}", flush=True)
    log.close()


def add(log: Log, entry: Entry, count: int) -> int:
    """So many entries, each written where it stands where the log takes it so."""
    for _ in range(count):
        if log.append_at_once(entry) is None:
            log.append_now(entry, durable=False)
    return count


def prepare(server: PostgresServer) -> None:
    """pgbench's tables, which the role may read."""
    dsn = f"host=127.0.0.1 port={server.port} dbname=shop user=shop_owner password={OWNER_PASSWORD}"
    subprocess.run([str(system_programs() / "pgbench"), "-i", "-q", "-s", "1", dsn], check=True, capture_output=True)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON pgbench_accounts, pgbench_branches, pgbench_tellers TO shop_app")


def main() -> None:
    """Measure and print the tables."""
    wants = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    wants.add_argument("--seconds", type=int, default=4)
    wants.add_argument("--rounds", type=int, default=3)
    wants.add_argument("--clients", type=int, default=8)
    wants.add_argument("--workers", type=int, default=1, help="of Gatebook")
    wants.add_argument("--sessions", type=int, nargs="*", default=[10, 100], help="open and idle, for the table of growth")
    wants.add_argument("--entries", type=int, default=100_000, help="that the book grows to")
    asked = wants.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatebook-bench-")))
        folder.chmod(0o755)
        authority, issuer = Authority(folder / "authority", "bench"), LiveIssuer()
        stack.callback(issuer.close)
        (folder / "server").mkdir()
        most = max([*asked.sessions, 0]) + asked.clients + 20
        server = with_shop(EmbeddedPostgres(folder / "server", settings={"max_connections": str(max(100, most))}))
        stack.callback(server.remove)
        prepare(server)
        world = World(authority, issuer, server, None)
        gateway = LiveGateway(folder / "gateway", world, workers=asked.workers, limits={"sessions": max(500, most)}).start()
        stack.callback(gateway.stop)
        driven = ways(stack, folder, gateway, server.port)
        table(driven, asked)
        growth(next(way for way in driven if way.name == "gatebook"), gateway, asked)
        book(folder / "book", asked.entries)


if __name__ == "__main__":
    main()
