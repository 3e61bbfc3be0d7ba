"""Checks a package: ``python verify.pyz evidence.zip [--log-key VKEY] [--head FILE] [--strict] [--json]``.

Every byte is accounted for. The structure of the ZIP follows from its members; members are listed with their SHA-256 in the
manifest, which the log's key signed; the log is verified by ``ledger/verifier.py`` itself; all else is made again from the log
and compared. Where a file can be made again, the fault says line and offset, else it names the file.

Without a key or a checkpoint of one's own the report begins with NOT ANCHORED, since whoever holds the log's key could have
made all of it. Standard library only; ``cryptography`` and ``orjson`` make it faster where they are installed.

Exit status 0: all that could be checked passed. 1: damaged, or not anchored where that was demanded. 2: called wrongly.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gatebook import __version__
from gatebook.evidence import package
from gatebook.evidence.archive import CRC_AT, Archive
from gatebook.evidence.criteria import NOT_PROVED, OPINION
from gatebook.evidence.entries import Record, folder, merged, moment, process, records
from gatebook.ledger import verifier
from gatebook.ledger.verifier import Fault, shown

TOOL = f"gatebook/{__version__}"
MOST_FAULTS = 50
NOT_ANCHORED = (
    "NOT ANCHORED: the key comes from the package itself. Whoever holds the log's key could have made all of it;\n"
    "give the key and a checkpoint that you were given by other means: --log-key VKEY --head FILE"
)
ALONE = "that there are no other logs, and that this one was not cut back with its key: no head log is here"
NO_WITNESS = "that entries stood in the log at the time they tell: no witness signed a checkpoint, so the log attests itself"

Progress = Callable[[str], None]


@dataclass
class Report:
    """What was found. ``anchored`` says that a key or checkpoint came from outside the package."""

    package: str
    anchored: bool
    origin: str = ""
    key: str = ""
    tool: str = ""
    period: dict[str, str] = field(default_factory=dict)
    size: int = 0
    logs: dict[str, int] = field(default_factory=dict)  # entries by origin
    files: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0
    notes: list[str] = field(default_factory=list)
    not_proved: list[str] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """No fault was found."""
        return not self.faults

    def fault(self, what: str, **place: Any) -> None:
        """Take down a fault."""
        self.add(Fault(shown(what), **place))

    def add(self, fault: Fault) -> None:
        """Take down a fault that was found elsewhere."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)
        else:
            self.more_faults += 1


@dataclass(frozen=True)
class Demands:
    """What the auditor brings and asks for: a verifier key, the bytes of a checkpoint, and that both must be given."""

    log_key: str | None = None
    head: bytes | None = None
    strict: bool = False


class Verification:
    """One pass over one package."""

    def __init__(self, path: Path, demands: Demands, progress: Progress | None) -> None:
        self._archive = Archive(path)
        self._demands = demands
        self._progress = progress or (lambda step: None)
        self.report = Report(str(path), anchored=demands.log_key is not None or demands.head is not None)
        self._damaged: set[str] = set()  # files whose bytes are not those that the manifest lists
        self._signed = False  # the manifest fits its signature, so that it tells which of two files was changed

    def run(self) -> Report:
        """Check everything that can be checked."""
        if self._demands.strict and (self._demands.log_key is None or self._demands.head is None):
            self.report.fault("not anchored, and --strict demands it: give --log-key and --head, each from outside the package")
        for flaw in self._archive.flaws:
            self.report.fault(flaw.what, file=flaw.file, offset=flaw.offset)
        self._progress("the manifest")
        read = self._manifest()
        if read is not None:
            self._check(*read)
        return self.report

    def _check(self, about: package.About, listed: dict[str, dict[str, Any]]) -> None:
        report = self.report
        report.origin, report.key, report.tool, report.size = about.name, about.signer.vkey, about.tool, about.size
        report.logs = {one.origin: one.size for one in about.logs}
        report.period = {"from": moment(about.period.start), "to": moment(about.period.end)}
        report.files = len(self._archive.members)
        report.not_proved = [NO_WITNESS, *([ALONE] if len(about.logs) == 1 else []), *NOT_PROVED]
        if about.tool != TOOL:
            report.notes.append(f"made by {about.tool}, checked by {TOOL}: if lists differ, use the verifier of {about.tool}")
        self._files(listed)
        self._progress("the logs")
        self._logs(about)
        self._progress("what follows from the log")
        if self._signed and any(_log_of(about, name) for name in self._damaged):
            report.notes.append("a log is damaged, so the lists were held against the manifest and not made again")
        else:
            self._derived(about)
        for name in sorted(self._damaged - {fault.file for fault in report.faults}):
            report.fault("changed: its SHA-256 is not the manifest's", file=name)

    # Manifest and files

    def _manifest(self) -> tuple[package.About, dict[str, dict[str, Any]]] | None:
        """The manifest, from the envelope or, if that is damaged, from the file beside it."""
        plain = self._archive.read(package.MANIFEST)
        try:
            payload, key_id, signature = package.read_envelope(self._archive.read(package.ENVELOPE))
            about, listed = package.read_manifest(payload)
        except ValueError as error:
            self.report.fault(str(error), file=package.ENVELOPE)
            return self._unsigned(plain)
        if plain != payload:
            offset = _first_difference(plain, payload)
            self.report.fault("it is not the manifest that was signed", file=package.MANIFEST, offset=offset)
        self._signature(about, payload, key_id, signature)
        return about, listed

    def _unsigned(self, plain: bytes) -> tuple[package.About, dict[str, dict[str, Any]]] | None:
        try:
            return package.read_manifest(plain)
        except ValueError as error:
            self.report.fault(f"{error}: nothing further can be checked", file=package.MANIFEST)
            return None

    def _key(self, about: package.About) -> verifier.Key | None:
        """The key to check with: the auditor's own, else the package's."""
        try:
            return verifier.Key.parse(self._demands.log_key if self._demands.log_key is not None else about.signer.vkey)
        except ValueError as error:
            self.report.fault(str(error), file="--log-key" if self._demands.log_key is not None else package.MANIFEST)
            return None

    def _signature(self, about: package.About, payload: bytes, key_id: str, signature: bytes) -> None:
        key = self._key(about)
        if key is None:
            return
        odd = [one.origin for one in about.logs if one.vkey != verifier.Key.of(one.origin, key.public).text]
        if odd:
            self.report.fault(f"the package names another key for {', '.join(odd[:5])}", file=package.MANIFEST)
        if key.origin not in {one.origin for one in about.logs}:
            self.report.fault(f"of {about.name}, and not of the log {key.origin}", file=package.MANIFEST)
        right = key_id == package.key_id(about.signer.vkey)
        self._signed = right and verifier.ed25519(key.public, signature, package.pae(payload))
        if not self._signed:
            self.report.fault("the signature does not fit the manifest", file=package.ENVELOPE)

    def _files(self, listed: dict[str, dict[str, Any]]) -> None:
        for name in sorted(listed.keys() - self._archive.members.keys()):
            self.report.fault("the file is missing", file=shown(name))
        for name in sorted(self._archive.members.keys() - listed.keys() - package.UNLISTED):
            self.report.fault("the file is not in the manifest", file=name)
        for name, member in self._archive.members.items():
            whole = name in package.UNLISTED or self._is_listed(name, listed.get(name))
            if not whole:
                self._damaged.add(name)
            elif not self._archive.crc_fits(name):
                self.report.fault("the checksum in its header was changed", file=name, offset=member.header + CRC_AT)
        for name in sorted(package.UNLISTED - self._archive.members.keys()):
            self.report.fault("the file is missing", file=name)

    def _is_listed(self, name: str, listed: dict[str, Any] | None) -> bool:
        data = self._archive.read(name)
        return listed is None or (listed["sha256"] == hashlib.sha256(data).hexdigest() and listed["size"] == len(data))

    # The logs

    def _logs(self, about: package.About) -> None:
        found = self._verified(about)
        for one in about.logs:
            prefix = folder(one.origin) + "/"
            for name in sorted(self._damaged):
                if self._signed and name.startswith(prefix + "tile/entries/"):
                    self._place(name, prefix)
            self._newest(one, prefix + "checkpoint")
        for fault in found.faults:
            if not self._follows(fault, about):
                self.report.add(fault)
        self.report.more_faults += found.more_faults
        self.report.notes += [note for note in found.notes if "write-ahead log" not in note]

    def _verified(self, about: package.About) -> verifier.Report:
        """What the ledger's verifier says of the logs, with the files named as in the package."""
        given = self._demands.log_key if self._demands.log_key is not None else about.signer.vkey
        alone = len(about.logs) == 1
        within = folder(about.name) + "/"
        with tempfile.TemporaryDirectory() as place:
            book = Path(place) / "book"
            book.mkdir()
            for one in about.logs:
                name = process(one.origin)
                if not alone and (not verifier.PROCESS.fullmatch(name) or one.origin != f"{about.name}/{name}"):
                    self.report.fault(f"{one.origin} is not beside the other logs", file=package.MANIFEST)
                    continue
                self._unpack(book if alone else book / name, folder(one.origin) + "/")
            report: verifier.Report | verifier.Book
            report = (verifier.verify if alone else verifier.verify_book)(book, given, self._demands.head)
        found = verifier.Report("", notes=report.notes, more_faults=report.more_faults)
        for fault in report.faults:
            inside = fault.file and not fault.file.startswith("--")
            found.faults.append(replace(fault, file=within + fault.file) if inside else fault)
        return found

    def _unpack(self, place: Path, prefix: str) -> None:
        """A log's files in a folder of their own; the archive gave them names that lead nowhere else."""
        place.mkdir(exist_ok=True)
        for name in self._archive:
            if name.startswith(prefix):
                path = place / name.removeprefix(prefix)
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(self._archive.read(name))
                except (FileExistsError, NotADirectoryError, IsADirectoryError):
                    self.report.fault("a name that is both a file and a folder", file=name)

    def _follows(self, fault: Fault, about: package.About) -> bool:
        """Whether a tile is blamed that the signed manifest shows whole, while a bundle is not: the bundle was changed."""
        prefix = _log_of(about, fault.file)
        bundles = any(name.startswith(f"{prefix}tile/entries/") for name in self._damaged)
        whole = bool(prefix) and fault.file.startswith(f"{prefix}tile/") and fault.file not in self._damaged
        return self._signed and bundles and whole

    def _place(self, name: str, prefix: str) -> None:
        """Which entry of a changed bundle no longer has its hash in the tile beside it."""
        data, at, position = self._archive.read(name), 0, 0
        tile = self._archive.read(name.replace("tile/entries/", "tile/0/", 1))
        number = int(name.removeprefix(prefix + "tile/entries/").partition(".p/")[0].replace("/", "").replace("x", "") or 0)
        while tile[position * 32 : position * 32 + 32]:
            entry = data[at + 2 : at + 2 + int.from_bytes(data[at : at + 2], "big")]
            if hashlib.sha256(b"\x00" + entry).digest() != tile[position * 32 : position * 32 + 32]:
                what = "the bundle was changed in this entry"
                self.report.fault(what, file=name, offset=at, index=number * 256 + position)
                return
            at, position = at + 2 + len(entry), position + 1
        self.report.fault("the bundle goes on after its last entry", file=name, offset=at)

    def _newest(self, about: package.Logged, name: str) -> None:
        """The manifest must be about each log up to its newest checkpoint."""
        try:
            head = verifier.read_head(self._archive.read(name), verifier.Key.parse(about.vkey), name)
        except ValueError:
            return  # the log's own verification said so
        if (head.size, head.root.hex()) != (about.size, about.root):
            what = f"it tells of {about.size} entries, the newest checkpoint of {head.size}, or of another root"
            self.report.fault(what, file=package.MANIFEST)

    # What follows from the log

    def _derived(self, about: package.About) -> None:
        rules = {name: self._archive.read(name) for name in self._archive if name.startswith("policies/")}
        texts = self._rules(rules)
        try:
            made = package.derive(about, merged([self._records(one) for one in about.logs]), texts)
        except RecursionError:
            self.report.fault("an entry is too deep to be read", file=folder(about.name))
            return
        for digest in sorted(texts - made.policies):
            self.report.fault("rules that the log does not name", file=package.policy_folder(digest))
        self.report.rows = dict(made.counts)
        self.report.results = dict(sorted(Counter(one.result for one in made.results).items()))
        for name, wanted in made.files.items():
            if self._archive.read(name) != wanted and name in self._archive:
                self.report.add(compare(name, self._archive.read(name), wanted))
            elif name not in self._archive and not any(fault.file == name for fault in self.report.faults):
                self.report.fault("the file is missing", file=name)
        known = {*made.files, *rules, *package.UNLISTED, package.PROGRAM}
        for name in self._archive:
            if name not in known and not _log_of(about, name):
                self.report.fault("a file that does not belong to a package", file=name)

    def _records(self, log: package.Logged) -> Iterator[Record]:
        prefix = folder(log.origin) + "/"
        return records(log.origin, min(log.size, self._at_most(prefix)), lambda name: self._archive.read(prefix + name))

    def _at_most(self, prefix: str) -> int:
        """As many entries as the bundles here could hold, so that a forged size does not make the reading endless."""
        return 256 * sum(name.startswith(f"{prefix}tile/entries/") for name in self._archive)

    def _rules(self, rules: dict[str, bytes]) -> set[str]:
        """The digests of rules whose text is here, each in the folder of its name."""
        texts = set()
        for at, digest in package.policies_in(rules).items():
            texts.add(at.removeprefix("policies/").replace("-", ":", 1))
            if at != package.policy_folder(digest):
                names = [name for name in rules if name.rpartition("/")[0] == at]
                odd = next((name for name in names if name in self._damaged), at)
                self.report.fault(f"the rules here have the digest {digest}", file=odd)
        return texts


def _log_of(about: package.About, name: str) -> str:
    """The folder of the log that this file of the package is of; empty if it is of none."""
    folders = (folder(one.origin) + "/" for one in about.logs)
    return next((prefix for prefix in folders if name.startswith(prefix)), "")


def compare(name: str, have: bytes, wanted: bytes) -> Fault:
    """The place where a file is not what the log gives, and, of a list, what is missing and what too many."""
    offset = _first_difference(have, wanted)
    line = have[:offset].count(b"\n") + 1
    what = f"line {line} is not what the log gives"
    if name.endswith(".csv"):
        here, there = Counter(have.splitlines(keepends=True)), Counter(wanted.splitlines(keepends=True))
        missing, surplus = (there - here).total(), (here - there).total()
        order = ", though every row is there: they are in another order" if not missing and not surplus else ""
        what += order or f"; rows of the log that are not here: {missing}, rows here that are not of the log: {surplus}"
    entry = _entry(wanted, line) if name.endswith(".csv") else None
    return Fault(what, file=name, offset=offset, index=entry)


def _entry(wanted: bytes, line: int) -> int | None:
    """Which entry the log has in that line of a list."""
    lines = wanted.splitlines()
    cells = lines[line - 1].split(b",", 2) if 1 < line <= len(lines) else []
    return int(cells[1]) if len(cells) == 3 and cells[1].isdigit() else None


def _first_difference(have: bytes, wanted: bytes) -> int:
    return next((i for i, (a, b) in enumerate(zip(have, wanted, strict=False)) if a != b), min(len(have), len(wanted)))


def verify(path: Path, demands: Demands | None = None, progress: Progress | None = None) -> Report:
    """Verify a package; OSError if it cannot be read."""
    return Verification(path, demands or Demands(), progress).run()


# The report -----------------------------------------------------------------------------------------------------------------


def render(report: Report) -> str:
    """The report for people."""
    lines = [] if report.anchored else [NOT_ANCHORED, ""]
    lines += [f"Package      {shown(report.package)}"]
    if report.origin:
        lines += _body(report)
    lines += [f"Note         {shown(note)}" for note in report.notes]
    if report.not_proved:
        lines += ["", "Not proved:", *(f"  - {one}" for one in report.not_proved), OPINION]
    lines.append("")
    if report.intact:
        what = f"all {report.files} files are as they were signed, and the lists are those that the log gives."
        return "\n".join([*lines, f"INTACT: {what}"])
    lines.append(f"DAMAGED: {len(report.faults) + report.more_faults} found")
    lines += [f"  {number}. {fault}" for number, fault in enumerate(report.faults, 1)]
    lines += [f"  … and {report.more_faults} more"] if report.more_faults else []
    return "\n".join(lines)


def _body(report: Report) -> list[str]:
    rows = ", ".join(
        f"{count:,} {name.removeprefix('populations/').removesuffix('.csv')}"
        for name, count in report.rows.items()
        if name.startswith("populations/")
    )
    results = ", ".join(f"{count} {name}" for name, count in report.results.items())
    return [
        *(f"Log          {shown(origin)}, {size:,} entries" for origin, size in report.logs.items()),
        f"Key          {shown(report.key)}{'' if report.anchored else '   (from the package)'}",
        f"Period       {report.period['from']} up to {report.period['to']}",
        f"Made by      {shown(report.tool)}",
        f"Made again   {rows or 'nothing'}",
        f"Exceptions   {report.rows.get('exceptions.csv', 0):,}",
        f"Results      {results or 'none'}",
    ]


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps({"intact": report.intact, **asdict(report)}, indent=2)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="verify.pyz", description="Verify a package of evidence without Gatebook.")
    parser.add_argument("package", type=Path, metavar="FILE")
    parser.add_argument("--log-key", metavar="VKEY", help="the verifier key of any of the logs, obtained outside the package")
    parser.add_argument("--head", type=Path, metavar="FILE", help="checkpoints that were kept outside the package")
    parser.add_argument("--strict", action="store_true", help="exit 1 unless both are given")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)
    try:
        head = options.head.read_bytes() if options.head else None
        report = verify(options.package, Demands(options.log_key, head, options.strict))
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    sys.stdout.write((as_json(report) if options.json else render(report)) + "\n")
    return 0 if report.intact else 1
