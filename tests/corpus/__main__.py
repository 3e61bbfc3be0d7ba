"""Run the comparison and print what it found: `python -m tests.corpus SDIST [FILE ...]`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.corpus import outlives
from tests.testbed.gateways import World
from tests.testbed.issuer import LiveIssuer

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.parts import SUPERUSER, EmbeddedPostgres

FIRST = ("test_setup", "create_index", "create_table")


def main() -> int:
    """Print each finding; 1 when there are any."""
    sdist, only = Path(sys.argv[1]), sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = EmbeddedPostgres(folder / "server", settings={"max_prepared_transactions": "4", "wal_level": "logical"})
        server.start()
        issuer = LiveIssuer()
        gateway = None
        try:
            server.sql("CREATE DATABASE regression")
            server.sql(f"ALTER ROLE {SUPERUSER} SET statement_timeout = '{outlives.LONGEST_MS}ms'")
            world = World(Authority(folder / "ca", "corpus"), issuer, server)
            gateway = outlives.everything(folder / "gateway", world, server)
            return _compare(sdist, only, gateway, server)
        finally:
            if gateway is not None:
                gateway.stop()
            issuer.close()
            server.remove()


def _compare(sdist: Path, only: list[str], gateway: outlives.LiveGateway, server: EmbeddedPostgres) -> int:
    files = dict(outlives.statements(sdist, [*only, "test_setup"] if only else ()))
    order = sorted(files, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    found, count, begun = 0, 0, time.monotonic()
    tally: Counter[tuple[str, str]] = Counter()
    for name in order:
        comparison = outlives.Comparison(gateway, server.data)
        for text in files[name]:
            comparison.run(text)
        count += len(files[name])
        for one in comparison.findings(name):
            found += 1
            print(f"{one.file}: {one.verb}: {one.why}\n    {one.text[:400]}", flush=True)
        tally += comparison.tally
        print(f"-- {name}: {len(files[name])} statements, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    for (what, reach), times in sorted(tally.items()):
        print(f"{times:6} {what}, read as {reach}")
    print(f"{count} statements, {found} findings")
    wrote = sum(times for (what, reach), times in tally.items() if what == "wrote" and reach != "read")
    if wrote < count // 10:  # else this looked at a gateway that lets nothing through
        print(f"only {wrote} of {count} statements wrote: nothing was compared")
        return 1
    return 1 if found else 0


sys.exit(main())
