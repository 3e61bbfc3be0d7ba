"""The book as an auditor meets it: a folder of files, a key noted down beforehand, and one file that verifies it."""

from __future__ import annotations

import importlib.resources
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.processes import PartError, wait_until
from gatebook.cli.demo.stage import Stage
from gatebook.cli.demo.world import AGENT, PEOPLE, World

SIGNED_SECONDS = 10.0  # until the newest entries stand under a checkpoint
COPIES = 5  # of a folder that is written to meanwhile; one of them is whole
WHERE = b'"ruling":"block"'


@dataclass(frozen=True, slots=True)
class Auditor:
    """Somebody with Python and nothing of Gatebook but the verifier's one file and the log's key."""

    folder: Path
    key: str

    @classmethod
    def arrive(cls, world: World) -> Auditor:
        """Copy the verifier out of the package and note the log's public key."""
        folder = world.folder / "auditor"
        folder.mkdir(exist_ok=True)
        source = importlib.resources.files("gatebook.ledger").joinpath("verifier.py")
        (folder / "verifier.py").write_bytes(source.read_bytes())
        visitor = cls(folder, "")
        if not wait_until(lambda: bool(visitor.key_of(world.ledger)), SIGNED_SECONDS):
            raise PartError(f"the book shows no key:\n{visitor.verify(world.ledger).output}")
        return cls(folder, visitor.key_of(world.ledger))

    def key_of(self, ledger: Path) -> str:
        """The public key that the book itself shows; empty before its first checkpoint."""
        return str(json.loads(self.verify(ledger, "--json").output)["key"])

    def arguments(self, ledger: Path) -> list[str]:
        """The verifier's arguments."""
        return [str(ledger), *(["--log-key", self.key] if self.key else [])]

    def verify(self, ledger: Path, *options: str) -> Answer:
        """Run the verifier on Python's standard library alone, outside the package."""
        argv = [sys.executable, "-I", "-S", "verifier.py", *self.arguments(ledger), *options]
        return run(argv, {}, cwd=self.folder)

    def blocked(self, ledger: Path) -> int:
        """How many blocked actions stand under the newest checkpoint."""
        return int(json.loads(self.verify(ledger, "--json").output)["rulings"].get("block", 0))


def verified_book(stage: Stage, world: World, auditor: Auditor) -> None:
    """Verify the book as it stands, while the gateway goes on writing."""
    stage.say(
        "One file of Python, no network, nothing of Gatebook, and the log's public key, noted down before the agent came."
    )
    wait_until(lambda: auditor.blocked(world.ledger) >= 1, SIGNED_SECONDS)
    stage.command(f"python3 -I -S verifier.py {world.ledger} --log-key {auditor.key}")
    answer = auditor.verify(world.ledger)
    stage.output(answer.output)
    stage.check("the book is intact", answer.status == 0 and "INTACT" in answer.output, answer.output)
    report = json.loads(auditor.verify(world.ledger, "--json").output)
    told = json.dumps(report["rulings"])
    stage.check("what was allowed, masked and blocked stands in it", {"mask", "block"} <= set(report["rulings"]), told)
    spilled = [value for value in _real_values(world) if value in _all_bytes(world.ledger)]
    stage.check("and no customer's card, SSN or address", not spilled, f"{len(spilled)} real values in {world.ledger}")
    named = [name for name in (AGENT, *(one.subject for one in PEOPLE)) if f'"{name}"'.encode() in _all_bytes(world.ledger)]
    stage.check("and nobody by name: people are commitments, which evidence opens", not named, f"{named} in {world.ledger}")


def _real_values(world: World) -> list[bytes]:
    rows = world.database.sql("SELECT email, ssn, card FROM customers", "shop")
    return rows.replace("|", "\n").encode().split(b"\n")


def _all_bytes(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def altered_book(stage: Stage, world: World, auditor: Auditor) -> None:
    """Change one byte in a copy: the verifier must find it, and say where."""
    copy = _whole_copy(auditor, world.ledger, world.folder / "copy")
    file, offset = find_block(copy)
    stage.say("In a copy, the entry of the blocked DELETE gets one other letter: somebody would like it to have been a clock.")
    name = file.relative_to(copy).as_posix()
    stage.command(f"printf c | dd conv=notrunc bs=1 seek={offset} of=copy/{name}")
    alter(file, offset)
    stage.command(f"python3 -I -S verifier.py copy --log-key {auditor.key}")
    answer = auditor.verify(copy)
    stage.output(answer.output)
    stage.check(
        "the verifier says damaged, by exit status too", answer.status == 1 and "DAMAGED" in answer.output, answer.output
    )
    stage.check(f"and names the place: {name}, offset {offset}", f"{name}, offset {offset}," in answer.output, answer.output)
    still = auditor.verify(world.ledger)
    stage.check("the book itself is untouched", still.status == 0, still.output)


def _whole_copy(auditor: Auditor, ledger: Path, copy: Path) -> Path:
    """A copy that verifies. The gateway writes meanwhile, so a copy may fall between two of its files: then another is made."""
    answer = Answer(1, "")
    for _ in range(COPIES):
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(ledger, copy)
        except shutil.Error:  # a partial tile gave way to its next while it was copied
            continue
        answer = auditor.verify(copy)
        if answer.status == 0:
            return copy
    raise PartError(f"{COPIES} copies of the book were not whole:\n{answer.output}")


def find_block(folder: Path) -> tuple[Path, int]:
    """Where the first blocked action says so, in the write-ahead log: file and offset of the ruling's first letter."""
    for file in sorted(folder.glob("*/wal/*")):
        at = file.read_bytes().find(WHERE)
        if at >= 0:
            return file, at + len(WHERE) - len(b'block"')
    raise PartError(f"no blocked action stands in {folder}")


def alter(file: Path, offset: int) -> None:
    """Write one other byte."""
    with file.open("r+b") as book:
        book.seek(offset)
        book.write(b"c")
