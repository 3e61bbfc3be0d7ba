"""PostgreSQL side by side in one run: straight to the server, through Gatebook, through pgbouncer as a raw hop.

    python bench/postgres.py [--seconds 3] [--rounds 2] [--megabytes 50]

Starts `gatebook demo --keep` in a folder of its own, adds tables of pgbench and one for bulk reads, and drives each workload
over each way in turn, forwards and backwards. The machine may be busy: compare ratios and the CPU seconds of the hop, not
the absolute rates. pgbouncer is left out where it is not installed. Nothing but loopback is used.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

CLIENTS = 8
BULK = "SELECT id, a, email FROM bulk"


@dataclass(frozen=True)
class Way:
    """One way to the server: how clients are told, and whose CPU counts."""

    name: str
    settings: dict[str, str]
    hop: Callable[[], float]


def cpu(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        times = one.cpu_times()
        total += times.user + times.system
    return total


def pgbench(programs: Path, way: Way, seconds: int, *options: str) -> tuple[float, float]:
    """Transactions a second, and CPU seconds of the hop per 1,000."""
    command = [str(programs / "pgbench"), "-n", "-c", str(CLIENTS), "-j", "1", "-T", str(seconds), *options]
    before = way.hop()
    done = subprocess.run(command, env=way.settings, capture_output=True, text=True, check=True).stdout
    used = way.hop() - before
    count = int(re.search(r"actually processed: (\d+)", done)[1])
    return float(re.search(r"^tps = ([\d.]+)", done, re.M)[1]), used / count * 1000


def bulk(programs: Path, way: Way, statement: str) -> tuple[float, float]:
    """Megabytes a second as the client gets them, and CPU seconds of the hop per gigabyte."""
    before, begun = way.hop(), time.monotonic()
    command = [str(programs / "psql"), "-XqAt", "-c", statement]
    with subprocess.Popen(command, env=way.settings, stdout=subprocess.PIPE) as reader:
        size = 0
        while data := reader.stdout.read1(1 << 20):
            size += len(data)
    if reader.returncode:
        raise SystemExit(f"{way.name}: {statement} failed")
    return size / 1e6 / (time.monotonic() - begun), (way.hop() - before) / size * 1e9


def pgbouncer(folder: Path, direct: dict[str, str], password: str) -> tuple[subprocess.Popen[bytes], int] | None:
    """A pgbouncer in session mode before the same server; None where it is not installed."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        return None
    port = int(direct["PGPORT"]) + 1
    users = folder / "users.txt"
    users.write_text(f'"shop_app" "{password}"\n')
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\nshop = host=127.0.0.1 port={direct['PGPORT']} dbname=shop user=shop_app password={password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = plain\nauth_file = {users}\n"
        "pool_mode = session\nmax_client_conn = 200\ndefault_pool_size = 50\nignore_startup_parameters = extra_float_digits\n"
    )
    folder.chmod(0o755)
    drop = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    running = subprocess.Popen([*drop, program, "-q", str(settings)], stderr=subprocess.DEVNULL)
    time.sleep(1)
    return (running, port) if running.poll() is None else None


def main() -> None:
    """Measure and print the table."""
    wants = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    wants.add_argument("--seconds", type=int, default=3)
    wants.add_argument("--rounds", type=int, default=2)
    wants.add_argument("--megabytes", type=int, default=50)
    asked = wants.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatebook-bench-") as name:
        folder = Path(name)
        gatebook = str(Path(sys.executable).parent / "gatebook")
        subprocess.run([gatebook, "demo", "--keep", "--dir", str(folder / "demo")], check=True, stdout=subprocess.DEVNULL)
        try:
            measure(folder, asked)
        finally:
            subprocess.run([gatebook, "demo", "--stop", "--dir", str(folder / "demo")], check=False, stdout=subprocess.DEVNULL)


def measure(folder: Path, asked: argparse.Namespace) -> None:
    """Prepare the tables, then drive each workload over each way."""
    said = dict(re.findall(r"^export (\w+)=(\S+)", (folder / "demo" / "env").read_text(), re.M))
    programs, dsn = Path(said["PSQL"]).parent, said["TARGET_DSN"]
    password = (folder / "demo" / "secrets" / "shop_app").read_text().strip()
    prepare(programs, dsn, asked.megabytes)
    base = {"PATH": os.environ["PATH"], "PGDATABASE": "shop", "PGUSER": "shop_app", "PGHOST": "127.0.0.1"}
    direct = base | {"PGPORT": str(urlsplit(dsn).port), "PGPASSWORD": password}
    running = json.loads((folder / "demo" / "run.json").read_text())["running"]
    gateway = psutil.Process(next(one["pid"] for one in running if one["name"] == "gateway"))  # its workers are its children
    ways = [
        Way("direct", direct, lambda: 0.0),
        Way("gatebook", base | {"PGPORT": said["PGPORT"], "PGPASSWORD": said["PGPASSWORD"]}, lambda: cpu(gateway)),
    ]
    bouncer = pgbouncer(folder, direct, password)
    if bouncer is not None:
        hop = psutil.Process(bouncer[0].pid)
        ways.append(Way("pgbouncer", direct | {"PGPORT": str(bouncer[1])}, lambda: cpu(hop)))
    try:
        table(programs, ways, asked)
    finally:
        if bouncer is not None:
            bouncer[0].terminate()


def prepare(programs: Path, dsn: str, megabytes: int) -> None:
    """pgbench's tables, and one whose rows are about 100 bytes."""
    subprocess.run([str(programs / "pgbench"), "-i", "-q", "-s", "1", dsn], check=True, capture_output=True)
    rows = megabytes * 10_000
    statements = (
        f"CREATE TABLE bulk AS SELECT g AS id, repeat('x', 70) AS a, 'user' || g AS email FROM generate_series(1, {rows}) g;"
        "GRANT SELECT ON bulk, pgbench_accounts, pgbench_branches, pgbench_tellers TO shop_app; VACUUM ANALYZE bulk;"
    )
    for statement in statements.split(";")[:-1]:
        subprocess.run([str(programs / "psql"), "-Xq", dsn, "-c", statement], check=True, capture_output=True)


def table(programs: Path, ways: list[Way], asked: argparse.Namespace) -> None:
    """Print rate, ratio to direct and CPU of the hop for each workload."""
    loads: list[tuple[str, str, Callable[[Way], tuple[float, float]]]] = [
        ("pgbench -S simple", "tps, CPU s/1k", lambda way: pgbench(programs, way, asked.seconds, "-S", "-M", "simple")),
        ("pgbench -S prepared", "tps, CPU s/1k", lambda way: pgbench(programs, way, asked.seconds, "-S", "-M", "prepared")),
        ("pgbench -C connects", "tps, CPU s/1k", lambda way: pgbench(programs, way, asked.seconds, "-S", "-C")),
        ("bulk SELECT", "MB/s, CPU s/GB", lambda way: bulk(programs, way, BULK)),
        ("bulk COPY", "MB/s, CPU s/GB", lambda way: bulk(programs, way, f"COPY ({BULK}) TO STDOUT")),
    ]
    print(f"{'workload':22}{'way':11}{'rate':>10}{'ratio':>8}{'CPU':>9}  unit")
    for title, unit, drive in loads:
        found: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
        for turn in range(asked.rounds):
            for way in ways if turn % 2 == 0 else reversed(ways):
                found[way.name].append(drive(way))
        direct = statistics.median(rate for rate, _ in found["direct"])
        for way in ways:
            rate, used = (statistics.median(column) for column in zip(*found[way.name], strict=True))
            print(f"{title:22}{way.name:11}{rate:10.1f}{rate / direct:8.3f}{used:9.3f}  {unit}", flush=True)


if __name__ == "__main__":
    main()
