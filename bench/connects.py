"""What a connection costs: `pgbench -C`, a connection for each transaction, straight to the server and through Gatebook.

    python -m bench.connects [--seconds 5] [--rounds 3] [--clients 8] [--workers 2]

The server asks for SCRAM either way; through Gatebook a token is checked, and the session is opened and closed in the book and
recorded. Ways are driven in turn, forwards and backwards. CPU counts over all of Gatebook's processes. It needs what the tests
need: PostgreSQL from a wheel, and the system's for TLS. Nothing but loopback is used.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.issuer import LiveIssuer
from tests.testbed.servers import APP_PASSWORD, embedded, system_programs, with_tls

from gatebook.cli.demo.certificates import Authority


@dataclass(frozen=True)
class Way:
    """One way to a server. ``beside`` names the direct one that it is compared with."""

    name: str
    beside: str
    settings: Mapping[str, str]


def cpu(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        times = one.cpu_times()
        total += times.user + times.system
    return total


def drive(way: Way, gateway: psutil.Process, asked: argparse.Namespace) -> tuple[float, float]:
    """Connections a second, and Gatebook's CPU milliseconds for each."""
    program, script = system_programs() / "pgbench", f"--file={asked.script}"
    command = [str(program), "-n", "-C", "-c", str(asked.clients), "-j", "1", "-T", str(asked.seconds), script]
    settings = {"PATH": os.environ["PATH"], "PGHOST": "127.0.0.1", "PGUSER": "shop_app", **way.settings}
    before = cpu(gateway)
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way.name}: {done.stderr}")
    used = cpu(gateway) - before
    count = int(re.search(r"actually processed: (\d+)", done.stdout)[1])
    return float(re.search(r"^tps = ([\d.]+)", done.stdout, re.M)[1]), used / count * 1000


def ways(gateway: LiveGateway) -> list[Way]:
    """Straight and through Gatebook, in the clear on loopback and inside TLS."""
    clear, inside = {"PGSSLMODE": "disable"}, {"PGSSLMODE": "require"}
    direct = {"PGDATABASE": "shop", "PGPASSWORD": APP_PASSWORD}
    through = {"PGDATABASE": "shop", "PGPASSWORD": gateway.gateway_token(), "PGPORT": str(gateway.port)}
    plain, tls = {"PGPORT": str(gateway.world.plain.port)}, {"PGPORT": str(gateway.world.tls.port)}
    return [
        Way("direct", "direct", direct | plain | clear),
        Way("gatebook", "direct", through | clear),
        Way("gatebook, provider's token", "direct", through | clear | {"PGPASSWORD": gateway.mint()}),
        Way("gatebook, client by TLS", "direct", through | inside),
        Way("direct, TLS", "direct, TLS", direct | tls | inside),
        Way("gatebook, both by TLS", "direct, TLS", through | inside | {"PGDATABASE": "shop-tls"}),
    ]


def main() -> None:
    """Measure and print the table."""
    wants = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    wants.add_argument("--seconds", type=int, default=5)
    wants.add_argument("--rounds", type=int, default=3)
    wants.add_argument("--clients", type=int, default=8)
    wants.add_argument("--statement", default="SELECT name FROM customers WHERE id = 1", help="of each connection")
    wants.add_argument("--workers", type=int, default=2, help="of Gatebook")
    asked = wants.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatebook-bench-")))
        folder.chmod(0o755)
        asked.script = folder / "one.sql"
        asked.script.write_text(f"{asked.statement};\n")
        authority, issuer = Authority(folder / "authority", "bench"), LiveIssuer()
        stack.callback(issuer.close)
        (folder / "plain").mkdir()
        (folder / "tls").mkdir()
        plain = embedded(folder / "plain")
        stack.callback(plain.remove)
        tls = with_tls(folder / "tls", authority)
        stack.callback(tls.remove)
        gateway = LiveGateway(folder / "gateway", World(authority, issuer, plain, tls), workers=asked.workers).start()
        stack.callback(gateway.stop)
        table(ways(gateway), psutil.Process(gateway.process.pid), asked)


def table(driven: list[Way], gateway: psutil.Process, asked: argparse.Namespace) -> None:
    """Print the rate, its ratio to direct, and Gatebook's CPU for each connection."""
    found: dict[str, list[tuple[float, float]]] = {way.name: [] for way in driven}
    for turn in range(asked.rounds):
        for way in driven if turn % 2 == 0 else reversed(driven):
            found[way.name].append(drive(way, gateway, asked))
    middle = {name: [statistics.median(column) for column in zip(*each, strict=True)] for name, each in found.items()}
    print(f"{'way':28}{'connects/s':>12}{'ratio':>8}{'CPU ms':>9}")
    for way in driven:
        rate, used = middle[way.name]
        shown = "" if way.name == way.beside else f"{used:9.2f}"
        print(f"{way.name:28}{rate:12.1f}{rate / middle[way.beside][0]:8.2f}{shown:>9}", flush=True)


if __name__ == "__main__":
    main()
