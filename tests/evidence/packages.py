"""Packages for tests: a ledger of two runs, the first of which crashed, with approvals, grants and everything that deviates."""

from __future__ import annotations

import io
import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.ledger.books import KEY, VKEY, action, closing, open_log

from gatebook.evidence import archive, export, package
from gatebook.evidence.entries import Period
from gatebook.evidence.verification import Demands, Report, render, verify
from gatebook.ledger.log import Log
from gatebook.ledger.verifier import Key
from gatebook.model import Entry

RULES = {"agents.cedar": '@id("read")\npermit (principal, action, resource);\n', "never ask.cedar": "// nothing\n"}
DIGEST = package.policy_digest(RULES)
START = 1_700_000_000_000_000
SECOND = 1_000_000
AGENT, PERSON, OTHER = "agent_" + "a" * 37, "person_" + "p" * 36, "other_" + "o" * 37
HOSTILE = '=cmd|"/c calc"!A1 <script>alert(1)</script>\x1b[2J\u202e, "quoted"\nnext'


def entry(kind: str, /, **fields: Any) -> Entry:
    return Entry(kind=kind, fields=fields)


def opening(sid: str, who: str = AGENT, time: int = START) -> Entry:
    actor = {"type": "agent", "id_c": who, "idp": "https://idp.example", "groups": ["agents"], "agent": {"model": "m"}}
    return entry(
        "session.open",
        sid=sid,
        actor=actor,
        src={"ip_c": "ip"},
        res={"kind": "postgres", "name": "shop", "labels": {"env": "test"}},
        auth={"iss": "https://idp.example", "exp": time + 86_400 * SECOND, "proven": time},
        proto="postgres",
        role="shop_app",
        rule="agents-connect",
        pol={"digest": DIGEST},
        purpose="",
    )


def act(sid: str, number: int, /, **changes: Any) -> Entry:
    return action(sid, number, **({"pol": {"digest": DIGEST}} | changes))


def answer(sid: str, number: int) -> Entry:
    return entry("answer", sid=sid, action=number, status="SELECT 1", rows=1, bytes=9, ms=2, masked={"partial": 1})


def request(name: str, session: str, /, **changes: Any) -> Entry:
    fields = {
        "approval": name,
        "digest": "sha256:01",
        "approvers": ["group:dba"],
        "quorum": 1,
        "expires": START + 300 * SECOND,
        "kind": "action",
        "actor": {"type": "agent", "idp": "https://idp.example", "id_c": AGENT},
        "session": session,
        "target": "shop",
        "verb": "sql.alter",
        "reach": "admin",
        "rule": "admin-needs-dba",
        "purpose": "",
        "pol": {"digest": DIGEST},
    }
    return Entry(kind="approval.request", fields=fields | changes)


def vote(name: str, by: str, verdict: str = "approve", *, own: bool = False) -> Entry:
    return entry(
        "approval.vote", approval=name, approver=by, idp="i", verdict=verdict, self=own, seats=[], reason="", digest="sha256:01"
    )


def result(name: str, verdict: str) -> Entry:
    return entry("approval.result", approval=name, verdict=verdict, digest="sha256:01", reason="")


def grant(name: str, /, **changes: Any) -> Entry:
    scope = {"id_c": AGENT, "idp": "https://idp.example", "targets": ["shop"], "reach": "write"}
    fields = {"grant": name, "scope": scope, "ttl": 3600, "ticket": "T-1", "approval": "p1", "by": PERSON, "why": "load"}
    return Entry(kind="grant.create", fields=fields | changes)


def begin(log: Log) -> None:
    put(
        log,
        entry("config.change", old="", new="sha256:c1", diff_h="", by="operator:0", approved_by=""),
        entry("policy.publish", digest=DIGEST, by="operator:0"),
    )


def put(log: Log, *entries: Entry) -> None:
    for one in entries:
        log.append_now(one, durable=True)


def busy(log: Log) -> None:
    """What happens in a day: reads, a refusal, a held change approved by another, a grant used, somebody at the door."""
    put(log, opening("s1"), act("s1", 1, ruling="mask"), answer("s1", 1))
    put(log, act("s1", 2, ruling="block", verb="sql.delete", rule="no-delete", reason="empties it", text=HOSTILE))
    put(log, act("s1", 3, ruling="approve", rule="admin-needs-dba", reason="ask dba"), request("p1", "s1"))
    put(log, vote("p1", AGENT, "refused", own=True), vote("p1", PERSON), result("p1", "approved"), result("p1", "used"))
    put(log, act("s1", 3, ruling="allow", rule="admin-needs-dba", approval="p1"), answer("s1", 3))
    put(log, request("p2", "s1"), vote("p2", PERSON, "deny"), result("p2", "denied"))
    put(log, request("p3", "s1"), entry("approval.expire", approval="p3"))
    put(log, grant("g1"), entry("grant.use", grant="g1", session="s1", target="shop"), entry("grant.expire", grant="g1"))
    put(log, entry("session.refuse", decision="d", src={}, res={"name": "vault"}, rule="not-open", reason="no", unlisted=0))
    put(log, closing("s1"))


def make_ledger(folder: Path, **options: Any) -> Path:
    """Two runs: the first crashes with an action under way, the second is longer than a bundle and ends in order."""
    ticks = count(START, 50_000)
    crashed = folder.with_name("crashed")
    log = open_log(crashed, clock=lambda: next(ticks), **options)
    begin(log)
    put(log, opening("s0"), act("s0", 1))
    shutil.copytree(crashed, folder)
    log.close()
    shutil.rmtree(crashed)
    log = open_log(folder, clock=lambda: next(ticks), **options)
    begin(log)
    busy(log)
    for number in range(60):
        put(log, opening(f"t{number}"), act(f"t{number}", 1), answer(f"t{number}", 1), closing(f"t{number}"))
    log.close()
    return folder


def ledger_of(folder: Path, *entries: Entry, **options: Any) -> Path:
    """A small ledger of exactly these entries after a beginning."""
    log = open_log(folder, **options)
    begin(log)
    put(log, *entries)
    log.close()
    return folder


def build(ledger: Path, period: Period | None = None, rules: dict[str, str] | None = None) -> dict[str, bytes]:
    logs = export.copy_book(ledger)
    found = period or export.whole_period(logs, None, None)
    return dict(export.build(logs, KEY, found, RULES if rules is None else rules))


def written(path: Path, files: dict[str, bytes]) -> Path:
    made = io.BytesIO()
    archive.write(made, files)
    path.write_bytes(made.getvalue())
    return path


def signed(files: dict[str, bytes], key: Ed25519PrivateKey = KEY, /, **changes: Any) -> dict[str, bytes]:
    """The files with a manifest made new, as somebody does who holds the key (or another)."""
    about, _ = package.read_manifest(files[package.MANIFEST])
    rest = {name: data for name, data in files.items() if name not in package.UNLISTED}
    listed = json.loads(package.manifest(about, rest)) | changes
    payload = (json.dumps(listed, sort_keys=True, indent=2) + "\n").encode()
    known = Key.parse(VKEY)
    sealed = package.envelope(payload, f"{known.origin}+{known.id.hex()}", key.sign(package.pae(payload)))
    return rest | {package.MANIFEST: payload, package.ENVELOPE: sealed}


def intact(path: Path, demands: Demands | None = None) -> Report:
    report = verify(path, demands or Demands(log_key=VKEY))
    assert report.intact, render(report)
    return report


def damaged(path: Path, demands: Demands | None = None) -> Report:
    report = verify(path, demands or Demands(log_key=VKEY))
    assert not report.intact
    assert "DAMAGED" in render(report)
    return report
