"""Child processes of the crash tests: ``python writer.py produce|starve|open FOLDER [HOW]``."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from itertools import count
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.errors import LedgerError
from gatebook.ledger import verifier
from gatebook.ledger.keys import vkey
from gatebook.ledger.log import Log
from gatebook.model import Entry

ORIGIN = "test/log/0"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


def open_log(folder: Path) -> Log:
    return Log.open(folder, origin=ORIGIN, key=KEY, checkpoint_seconds=0.01, heartbeat_seconds=0.02, segment_bytes=1 << 16 | 8)


def tell(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def session(log: Log, name: str) -> None:
    """One session after the other, telling of each entry that was acknowledged."""
    for turn in count():
        sid = f"{name}-{turn}"
        fields = {"sid": sid, "actor": {}, "src": {}, "res": {}, "auth": {}, "proto": "postgres"}
        entries = [Entry(kind="session.open", fields=fields)]
        entries += [Entry(kind="exception", fields={"sid": sid, "what": f"{n}", "why": "x" * 200}) for n in range(20)]
        entries += [Entry(kind="session.close", fields={"sid": sid, "reason": "client left"})]
        for number, entry in enumerate(entries):
            receipt = await log.append(entry, durable=number % 3 == 0)
            tell(index=receipt.index, sid=sid, seq=receipt.seq)


async def produce(folder: Path) -> None:
    log = open_log(folder)
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(session(log, f"p{number}"))


async def append_until_refused(log: Log) -> tuple[int, str]:
    for n in count():
        try:
            await log.append(Entry(kind="exception", fields={"what": f"{n}", "why": "x" * 500}), durable=True)
        except LedgerError as error:
            return n, str(error)
    raise AssertionError


async def starve(folder: Path, how: str) -> None:
    log = open_log(folder)
    filler = folder.parent / "filler"
    if how == "full":
        with filler.open("wb") as file:
            free = os.statvfs(folder)
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - (1 << 18)))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, resource.RLIM_INFINITY))
    kept, said = await append_until_refused(log)
    again = (await append_until_refused(log))[1]
    log.close()
    if how == "full":
        filler.unlink()
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    crashed = verifier.verify(folder, vkey(ORIGIN, KEY))
    open_log(folder).close()
    report = verifier.verify(folder, vkey(ORIGIN, KEY))
    tell(kept=kept, said=said, again=again, failed=log.failed, crashed=verifier.render(crashed), report=verifier.render(report),
         exceptions=report.kinds["exception"])  # fmt: skip


def try_to_open(folder: Path, how: str) -> None:
    if how == "as nobody" and os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        open_log(folder)
    except LedgerError as error:
        tell(said=str(error))


if __name__ == "__main__":
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "produce":
        asyncio.run(produce(folder))
    elif command == "starve":
        asyncio.run(starve(folder, sys.argv[3]))
    else:
        try_to_open(folder, sys.argv[3])
