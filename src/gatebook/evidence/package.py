"""What a package holds: all that follows from the log, made the same way by exporter and verifier; manifest and envelope.

The manifest lists the SHA-256 of every file but itself. Its canonical bytes are signed by the log's own key in a DSSE envelope,
whose prefix keeps the signature from passing for that of a checkpoint or a seal. Standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

from gatebook.evidence import controls, happenings, populations, report
from gatebook.evidence.coverage import coverage
from gatebook.evidence.criteria import NOT_PROVED, OPINION
from gatebook.evidence.entries import Period, Record, escaped, moment, process
from gatebook.evidence.tables import Table, as_json

MANIFEST, ENVELOPE = "manifest.json", "manifest.dsse.json"
UNLISTED = frozenset({MANIFEST, ENVELOPE})
PAYLOAD_TYPE = "application/vnd.gatebook.evidence.v1+json"
VKEYS = "trust/log.vkeys"
PROGRAM = "verify.pyz"
HEAD = "head"


@dataclass(frozen=True, slots=True)
class Logged:
    """One log up to its newest checkpoint."""

    origin: str
    vkey: str
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class About:
    """Which logs, which period, and the tool that made the package."""

    logs: tuple[Logged, ...]
    period: Period
    tool: str

    @property
    def signer(self) -> Logged:
        """The log whose key signs the package: the head log where there is one. All have the same key."""
        return next((one for one in self.logs if process(one.origin) == HEAD), self.logs[0])

    @property
    def name(self) -> str:
        """What all origins begin with; of a single log, its origin."""
        return self.logs[0].origin if len(self.logs) == 1 else self.logs[0].origin.rpartition("/")[0]

    @property
    def size(self) -> int:
        """Entries of all logs."""
        return sum(one.size for one in self.logs)

    def span(self) -> dict[str, object]:
        """Range of the logs and of time, as it stands beside each list."""
        return {
            "ledger": self.name,
            "logs": [{"origin": one.origin, "first": 0, "last": one.size - 1, "root": one.root} for one in self.logs],
            "period": {"from": moment(self.period.start), "to": moment(self.period.end)},
        }


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything in a package that follows from the log; ``counts`` are rows by file, ``policies`` what was published."""

    files: Mapping[str, bytes]
    counts: Mapping[str, int]
    results: tuple[controls.Result, ...]
    policies: frozenset[str]


def derive(about: About, records: Iterable[Record], texts: Collection[str]) -> Derived:
    """Make it. ``texts`` are the digests of rules of which the package has the text."""
    facts = populations.read(records)
    lists = populations.populations(facts, about.period)
    found = controls.results(facts, about.period)
    published = {one.text("digest") for one in facts.policies}
    tables: list[Table] = [
        *lists.values(),
        happenings.restarts(facts, about.period),
        happenings.history(facts, about.period),
        happenings.exceptions(facts, about.period, texts),
        happenings.heads(facts, about.period),
        coverage(facts.runs.values(), about.period),
    ]
    files = {table.file: table.csv() for table in tables}
    files |= {f"{table.name}.query.json": table.about(about.tool, about.span()) for table in tables}
    files["controls.json"] = as_json({"note": OPINION, **about.span(), "results": controls.as_dicts(found)})
    shared = bool(happenings.co_located(facts, about.period))
    files["report.html"] = report.render(
        about.span(), about.signer.vkey, about.tool, found, {one.name: one for one in tables}, shared
    )
    files["README.txt"] = readme(about)
    files[VKEYS] = "".join(f"{one.vkey}\n" for one in about.logs).encode()
    return Derived(files, {table.file: table.count for table in tables}, tuple(found), frozenset(published))


def readme(about: About) -> bytes:
    """README.txt: how to check, and what is not proved."""
    proved = "\n".join(f"  - {one}" for one in NOT_PROVED)
    logs = "\n".join(f"  log      {one.origin}, entries 0 to {one.size - 1}" for one in about.logs)
    text = f"""Evidence from a Gatebook ledger

{logs}
  period   {moment(about.period.start)} up to {moment(about.period.end)}
  made by  {about.tool}

How to check

  python3 verify.pyz evidence.zip --log-key VKEY --head FILE --strict

VKEY is the verifier key of any of the logs and FILE has checkpoints of one or more of them, both as you were given them
earlier, by other means than this package. Take verify.pyz from a release of Gatebook, not from the package itself: a forger
would have changed both. It is a ZIP of Python source that you can read; it needs Python 3.11 and nothing else, and no network.

It checks the signature of the manifest and every file against it, verifies each log entry by entry and against the head log,
and makes every other file again from the logs. Exit status 0: all that could be checked passed. 1: something is damaged; each
line names file and place.
Any tool for C2SP logs (tlog-tiles, tlog-checkpoint) can check the folder logs/ instead.

What is in it

  report.html          to read and to print
  controls.json        criterion, control, test, result: operated, deviations, no-occurrence or not-covered
  populations/         complete lists; beside each, how it was made. Rows have origin, index and leaf hash of their entry
  exceptions.csv       everything that deviates
  coverage.csv, restarts.csv, config-history.csv, heads.csv
  policies/            the rules, as far as their text was at hand
  logs/, trust/        the logs themselves, each up to its newest checkpoint, and their keys
  manifest.json        SHA-256 of every file; manifest.dsse.json is signed with the log's key

Names that end in _c are commitments that stand for personal values: the same for the same person, and not to be guessed.
In the CSV files, text that a spreadsheet would run begins with an apostrophe.

What it does not prove

{proved}

{OPINION}
"""
    return text.encode()


# Rules ----------------------------------------------------------------------------------------------------------------------


def policy_digest(files: Mapping[str, str]) -> str:
    """The digest of a folder of rules, as the ledger has it (docs/evidence.md)."""
    hashed = hashlib.sha256()
    for name, text in sorted(files.items()):
        for part in (name.encode(), text.encode()):
            hashed.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{hashed.hexdigest()}"


def policy_folder(digest: str) -> str:
    """Where the rules of a digest stand."""
    return f"policies/{digest.replace(':', '-')}"


def policy_members(files: Mapping[str, str]) -> dict[str, bytes]:
    """The rules as files of the package."""
    at = policy_folder(policy_digest(files))
    return {f"{at}/{escaped(name)}": text.encode() for name, text in files.items()}


def policies_in(members: Mapping[str, bytes]) -> dict[str, str]:
    """Digest of the text in each folder of rules, by folder; members that are not text count as empty."""
    folders: dict[str, dict[str, str]] = {}
    for name, data in members.items():
        at, _, file = name.rpartition("/")
        folders.setdefault(at, {})[unquote(file)] = data.decode(errors="replace")
    return {at: policy_digest(files) for at, files in folders.items()}


# Manifest -------------------------------------------------------------------------------------------------------------------


def manifest(about: About, files: Mapping[str, bytes]) -> bytes:
    """The manifest of these files."""
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    return as_json(
        {
            "v": 1,
            "type": "gatebook-evidence",
            "tool": about.tool,
            "from": about.period.start,
            "to": about.period.end,
            "logs": [asdict(one) for one in about.logs],
            "files": listed,
        }
    )


def read_manifest(data: bytes) -> tuple[About, dict[str, dict[str, Any]]]:
    """What a manifest says; ValueError if it is none."""
    try:
        said = json.loads(data)
        files = said["files"]
        logs = tuple(Logged(log["origin"], log["vkey"], log["size"], log["root"]) for log in said["logs"])
        about = About(logs, Period(said["from"], said["to"]), said["tool"])
        texts = (about.tool, *(text for one in logs for text in (one.origin, one.vkey, one.root)))
        numbers = (about.period.start, about.period.end, *(one.size for one in logs))
        listed = all(isinstance(one["sha256"], str) and isinstance(one["size"], int) for one in files.values())
        right = said["v"] == 1 and said["type"] == "gatebook-evidence" and as_json(said) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a manifest of a package") from error
    plain = all(type(one) is str and one.isascii() and one.isprintable() for one in texts) and all(
        type(one) is int for one in numbers
    )
    once = plain and len({one.origin for one in logs}) == len(logs) > 0 and all(one.size > 0 for one in logs)
    if not right or not listed or not plain or not once or not about.period.start < about.period.end:
        raise ValueError("not a manifest of a package")
    return about, files


def pae(payload: bytes) -> bytes:
    """What DSSE signs: pre-authentication encoding of type and payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def envelope(payload: bytes, key_id: str, signature: bytes) -> bytes:
    """The signed manifest."""
    signatures = [{"keyid": key_id, "sig": base64.b64encode(signature).decode()}]
    body = {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
    return as_json(body)


def key_id(vkey: str) -> str:
    """How a signature names its key: origin and id of the verifier key."""
    return "+".join(vkey.split("+", 2)[:2])


def read_envelope(data: bytes) -> tuple[bytes, str, bytes]:
    """Payload, key id and signature; ValueError if it is no envelope of a manifest in its one form."""
    try:
        said = json.loads(data)
        (one,) = said["signatures"]
        payload = base64.b64decode(said["payload"], validate=True)
        signature = base64.b64decode(one["sig"], validate=True)
        key_id = one["keyid"]
        right = said["payloadType"] == PAYLOAD_TYPE and envelope(payload, key_id, signature) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a signed manifest") from error
    if not right:
        raise ValueError("not a signed manifest")
    return payload, key_id, signature
