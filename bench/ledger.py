"""How fast the book is: ``python bench/ledger.py [SECONDS] [FOLDER]``. Prints one table.

Every entry is an action of about 500 bytes. ``1`` and ``8`` are producers that wait for each receipt before the next entry;
``pipelined`` keeps 2,000 entries in flight. Durable entries wait for the disk, the others for the write alone. Compare rows,
not machines: a shared disk makes all of them slower.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.ledger import verifier
from gatebook.ledger.log import Log
from gatebook.model import Entry

IN_FLIGHT = 2000
ACTION = {
    "action": 1,
    "step": "run",
    "decision": "018f2b1e-7c3a-7b1c-9d2e-3f4a5b6c7d8e",
    "verb": "sql.select",
    "objects": ["shop/public.customers"],
    "reach": "read",
    "ruling": "allow",
    "rule": "agents-read",
    "reason": "",
    "masks": ["pii"],
    "pol": {"digest": "sha256:" + "0" * 64},
    "stmt_h": "x" * 43,
    "size": 44,
    "text": "SELECT id, email, plan FROM customers WHERE id = $1",
}


class Run:
    """Producers against one log, and how long each entry took."""

    def __init__(self, log: Log, seconds: float, durable: bool) -> None:
        self.log, self.durable = log, durable
        self.took: list[float] = []
        self.started = time.perf_counter()
        self.until = self.started + seconds

    async def produce(self, name: str) -> None:
        fields = {"sid": name, "actor": {"type": "agent"}, "src": {}, "res": {}, "auth": {}, "proto": "postgres"}
        await self.log.append(Entry(kind="session.open", fields=fields), durable=True)
        entry = Entry(kind="action", fields={"sid": name, **ACTION})
        while (before := time.perf_counter()) < self.until:
            await self.log.append(entry, durable=self.durable)
            self.took.append(time.perf_counter() - before)

    async def run(self, producers: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(producers):
                group.create_task(self.produce(f"p{number}"))


def row(name: str, run: Run) -> str:
    took = sorted(run.took)
    p50, p99 = (took[min(len(took) - 1, int(len(took) * part))] * 1000 for part in (0.5, 0.99))
    return f"{name:<34}{len(took) / (time.perf_counter() - run.started):>10,.0f}{p50:>10.2f}{p99:>10.2f}"


def measure(name: str, producers: int, *, durable: bool, seconds: float, folder: Path) -> None:
    key = Ed25519PrivateKey.generate()
    log = Log.open(folder, origin="bench/log/0", key=key)
    run = Run(log, seconds, durable)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run.run(producers))
    print(row(name, run), flush=True)
    log.close()
    started = time.perf_counter()
    report = verifier.verify(folder)
    took = time.perf_counter() - started
    if not report.intact or log.failed:
        raise SystemExit(log.failed or verifier.render(report))
    if producers == IN_FLIGHT and durable:
        print(f"{'verified':<34}{report.size / took:>10,.0f}", flush=True)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as place:
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {seconds:g} s a row\n")
        print(f"{'producers':<34}{'events/s':>10}{'p50 ms':>10}{'p99 ms':>10}")
        for durable in (True, False):
            kind = "durable" if durable else "not durable"
            for producers, name in ((1, "1"), (8, "8"), (IN_FLIGHT, "pipelined, 2,000 in flight")):
                folder = Path(place) / f"{kind}-{producers}"
                measure(f"{name}, {kind}", producers, durable=durable, seconds=seconds, folder=folder)


if __name__ == "__main__":
    main()
