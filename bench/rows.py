"""Rows side by side in one run: direct, through Gatebook with its compiled twin and with Python alone, through pgbouncer.

    python bench/rows.py [--megabytes 250] [--rounds 2]

Starts `gatebook demo --keep` in a folder of its own, and beside it a gateway for each twin with and without detectors, every
one with policy, ledger and recording. The ways take turns, forwards and backwards. The machine may be busy: compare the CPU
seconds of the hop for each gigabyte that the client printed, within one run. The Python twin gets a tenth of the rows.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from postgres import Way, bulk, cpu, pgbouncer

ROW_BYTES = 105  # about, as psql prints it
WORDS = "order shipped to the north store after review by our team and returned late because stock was short again"
TABLES = f"""
CREATE FUNCTION prose(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT string_agg((string_to_array('{WORDS}', ' '))[1 + abs(hashint8(n * 31 + i) %% {len(WORDS.split())})], ' ')
  FROM generate_series(1, 10) i $$;
CREATE TABLE plain AS SELECT g AS id, 'customer ' || (hashint8(g) & 65535) AS name, prose(g %% 10007) AS note,
  timestamptz '2026-01-01' + g * interval '7 second' AS at FROM generate_series(1::bigint, %d) g;
CREATE TABLE ruled AS SELECT id, 'c' || id || '@example.com' AS email, '4111111111111111'::text AS card, note, at FROM plain;
CREATE TABLE few AS SELECT id, name, note || CASE WHEN id %% 100 = 0 THEN ' to c' || id || '@example.com' ELSE '' END AS note,
  at FROM plain;
CREATE TABLE every AS SELECT id, name, note || ' to c' || id || '@example.com' AS note, at FROM plain;
"""
TENTH = """
CREATE TABLE {0}_tenth AS SELECT * FROM {0} WHERE id <= {1}; GRANT SELECT ON {0}, {0}_tenth TO shop_app;
VACUUM ANALYZE {0}; VACUUM ANALYZE {0}_tenth
"""
LOADS = (  # what it shows, its table, and whether detectors look
    ("no rule", "plain", False),
    ("two columns of five by rules", "ruled", False),
    ("detectors, no hit", "plain", True),
    ("detectors, 1 % of rows hit", "few", True),
    ("detectors, every row hit", "every", True),
)

KINDS = (
    ("SELECT", "SELECT * FROM {}"),
    ("COPY", "COPY {} TO STDOUT"),
    ("COPY csv", "COPY {} TO STDOUT (FORMAT csv)"),
    ("COPY bin", "COPY {} TO STDOUT (FORMAT binary)"),
)


@dataclass(frozen=True)
class Served:
    """A gateway of ours beside the demo's own."""

    process: subprocess.Popen[bytes]
    port: int


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def copied_home(demo: Path, home: Path) -> None:
    """A home with what the demo's has in it: only one gateway may live in each."""
    if home.exists():
        return
    shutil.copytree(demo / "keys", home / "keys")
    with closing(sqlite3.connect(demo / "gatebook.db")) as known, closing(sqlite3.connect(home / "gatebook.db")) as copy:
        known.backup(copy)


def serve(demo: Path, name: str, native: bool, detectors: Any, workers: Any = "auto", sessions: int = 500) -> Served:
    """Start a gateway on the demo's files with ports, ledger and recordings of its own."""
    config = yaml.safe_load((demo / "gatebook.yaml").read_text())
    ports = free_port(), free_port()
    for listener, port in zip(("postgres", "api"), ports, strict=True):
        config["listeners"][listener]["bind"] = f"127.0.0.1:{port}"
    config["masking"]["detectors"], config["home"] = detectors, f"home-{name}"
    copied_home(demo, demo / f"home-{name}")
    config["ledger"]["folder"], config["recording"]["folder"] = f"ledger-{name}", f"recordings-{name}"
    config["workers"], config["limits"] = workers, {"sessions": sessions}
    place = demo / f"{name}.yaml"
    place.write_text(yaml.safe_dump(config))
    command = [str(Path(sys.executable).parent / "gatebook"), "serve", "--config", str(place)]
    settings = os.environ | {"GATEBOOK_NATIVE": str(int(native))}
    with (demo / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(command, env=settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    for _ in range(300):
        time.sleep(0.1)
        said = (demo / f"{name}.log").read_text()
        if '"ready"' in said:
            wanted = "native" if native else "python"
            if f'"rows": "{wanted}' not in said:
                raise SystemExit(f"{name}: not served by the {wanted} twin; is native/ built?")
            return Served(running, ports[0])
        if running.poll() is not None:
            break
    raise SystemExit(f"{name} did not start: {said[-2000:]}")


def main() -> None:
    """Measure and print the table."""
    wants = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    wants.add_argument("--megabytes", type=int, default=250)
    wants.add_argument("--rounds", type=int, default=2)
    asked = wants.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatebook-bench-") as name:
        folder = Path(name)
        demo = [str(Path(sys.executable).parent / "gatebook"), "demo"]
        subprocess.run([*demo, "--keep", "--dir", str(folder / "demo")], check=True, stdout=subprocess.DEVNULL)
        try:
            measure(folder, asked)
        finally:
            subprocess.run([*demo, "--stop", "--dir", str(folder / "demo")], check=False, stdout=subprocess.DEVNULL)


def measure(folder: Path, asked: argparse.Namespace) -> None:
    """Make the tables and the ways, then drive each load over each way."""
    demo = folder / "demo"
    said = dict(re.findall(r"^export (\w+)=(\S+)", (demo / "env").read_text(), re.M))
    programs, dsn, rows = Path(said["PSQL"]).parent, said["TARGET_DSN"], asked.megabytes * 1_000_000 // ROW_BYTES
    tenths = [TENTH.format(name, rows // 10) for name in sorted({load[1] for load in LOADS})]
    for statement in "".join([TABLES % rows, ";".join(tenths)]).split(";"):
        subprocess.run([str(programs / "psql"), "-Xq", "-v", "ON_ERROR_STOP=1", dsn, "-c", statement], check=True)
    password = (demo / "secrets" / "shop_app").read_text().strip()
    base = {"PATH": os.environ["PATH"], "PGDATABASE": "shop", "PGUSER": "shop_app", "PGHOST": "127.0.0.1"}
    direct = base | {"PGPORT": str(urlsplit(dsn).port), "PGPASSWORD": password}
    served: list[Served] = []
    bouncer = pgbouncer(folder, direct, password)
    try:
        for looks in (False, True):
            ways = [Way("direct", direct, lambda: 0.0)]
            for name, native in (("native", True), ("python", False)):
                one = serve(demo, f"{name}-{int(looks)}", native, "all" if looks else [])
                served.append(one)
                hop = psutil.Process(one.process.pid)
                settings = base | {"PGPORT": str(one.port), "PGPASSWORD": said["PGPASSWORD"]}
                ways.append(Way(name, settings, lambda hop=hop: cpu(hop)))
            if bouncer is not None:
                hop = psutil.Process(bouncer[0].pid)
                ways.append(Way("pgbouncer", direct | {"PGPORT": str(bouncer[1])}, lambda hop=hop: cpu(hop)))
            for load in LOADS:
                if load[2] == looks:
                    table(programs, ways, load[0], load[1], asked.rounds)
    finally:
        for one in served:
            one.process.send_signal(signal.SIGTERM)
        if bouncer is not None:
            bouncer[0].terminate()
        for one in served:
            one.process.wait(30)


def table(programs: Path, ways: list[Way], title: str, name: str, rounds: int) -> None:
    """Print rate and CPU of the hop for one load, as a SELECT and as each form of COPY."""
    for kind, statement in KINDS:
        found: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
        for turn in range(rounds):
            for way in ways if turn % 2 == 0 else reversed(ways):
                read = f"{name}_tenth" if way.name == "python" else name
                found[way.name].append(bulk(programs, way, statement.format(read)))
        for way in ways:
            rate, used = (statistics.median(column) for column in zip(*found[way.name], strict=True))
            print(f"{title:30}{kind:10}{way.name:11}{rate:8.1f} MB/s{used:9.2f} CPU s/GB", flush=True)


if __name__ == "__main__":
    main()
