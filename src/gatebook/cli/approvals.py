"""``gatebook approvals``: what waits for a person, and that person's word."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gatebook.cli.asking import ReasonOption, Somebody, signed_in
from gatebook.cli.common import JsonOption, count, duration, escaped, local_time, print_json, print_table, size
from gatebook.cli.preview import print_preview

app = typer.Typer(help="List, read, approve and deny what waits for a person.", no_args_is_help=True)

LESS_NEEDED = ("OPENED", "TARGET", "LEFT", "VERB")  # columns a narrow terminal does without; `show` has them all
SHORT = 18  # characters of an id: its time to the millisecond and twelve random bits
MICROSECONDS = 1_000_000

Id = Annotated[str, typer.Argument(metavar="ID", help="An approval's id, or the beginning of one.")]


class Listed(StrEnum):
    """Which requests are listed."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    VOID = "void"
    USED = "used"
    ALL = "all"


@app.command("ls")
@signed_in("approvals ls")
def ls(
    somebody: Somebody,
    state: Annotated[Listed, typer.Option("--state", help="Only those in this state; all for every one.")] = Listed.OPEN,
    as_json: JsonOption = False,
) -> None:
    """List what you may decide and what you asked for, the newest first."""
    query = "" if state is Listed.ALL else f"?state={state}"
    found = somebody.ask("GET", f"/api/v1/approvals{query}")["approvals"]
    if as_json:
        print_json(found)
    elif found:
        headings = ("ID", "OPENED", "LEFT", "WHO", "TARGET", "VERB", "STATE", "WHAT")
        print_table(headings, [_cells(one, _now()) for one in found], wraps="WHAT", least=16, drops=LESS_NEEDED)
    else:
        print("Nothing waits for a person." if state is Listed.OPEN else "No such approvals.")


@app.command()
@signed_in("approvals show")
def show(
    somebody: Somebody,
    approval: Id,
    as_json: JsonOption = False,
) -> None:
    """Show one request whole: who asks, for what, why a rule held it, and how people voted."""
    found = _find(somebody, approval)
    if as_json:
        print_json(found)
    else:
        _print(found)


@app.command()
@signed_in("approvals approve")
def approve(
    somebody: Somebody,
    approval: Id,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say yes to exactly what is shown. Exit status 1 when the vote does not count."""
    _vote(somebody, approval, "approve", reason, as_json)


@app.command()
@signed_in("approvals deny")
def deny(
    somebody: Somebody,
    approval: Id,
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """Say no; whoever asked reads the reason. Exit status 1 when the vote does not count."""
    _vote(somebody, approval, "deny", reason, as_json)


def _find(somebody: Somebody, approval: str) -> dict[str, Any]:
    return somebody.ask("GET", f"/api/v1/approvals/{quote(approval, safe='')}")


def _vote(somebody: Somebody, approval: str, verdict: str, reason: str, as_json: bool) -> None:
    """Shows what is decided about, then votes on that and on nothing else."""
    found = _find(somebody, approval)
    if not as_json:
        _print(found)
        print()
    ballot = {"verdict": verdict, "reason": reason, "digest": found["digest"]}
    after = somebody.ask("POST", f"/api/v1/approvals/{found['id']}/vote", ballot)
    if as_json:
        print_json(after)
    elif after["state"] == "open":
        yes = sum(vote["approved"] for vote in after["votes"])
        print(f"Your yes counts: {yes} of {after['quorum']} that it needs.")
    else:
        print(f"Approval {after['id']} is {after['state']}.")


def _print(found: Mapping[str, Any]) -> None:
    for name, value in _facts(found):
        print(f"{name:<10} {escaped(value)}")
    if found["script"]:
        print()
        headings = ("LINE", "VERB", "OBJECTS", "SAYS", "RULE")
        print_table(headings, [_part(part) for part in found["script"]["parts"]], wraps="OBJECTS", drops=("VERB",))
    if found["text"]:
        print()
        print(escaped(found["text"], keep="\n"))
        if found["size"] > len(found["text"]):
            print(f"\nThe first {len(found['text']):,} of {found['size']:,} characters: there is more than you see here.")

    if found["preview"]:
        print_preview(found["preview"])


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    asker = found["requester"]
    behind = f" on behalf of {asker['on_behalf_of']}" if asker["on_behalf_of"] else ""
    attributes = ", ".join(f"{name}={one['value']}" for name, one in asker["attributes"].items())
    facts = [
        ("Approval", f"{found['id']}, {found['state']}" + (f": {found['why']}" if found["why"] else "")),
        ("Who", f"{asker['subject']} ({asker['kind']}){behind}, proven by {asker['issuer']}"),
        ("Known as", attributes),
        ("Asks for", _wish(found)),
        ("Objects", ", ".join(found["resources"]) if found["kind"] != "grant" else ""),
        ("Script", _script(found["script"]) if found["script"] else ""),
        ("Held by", f"{found['rule']}: {found['reason']}" if found["rule"] else ""),
        ("Because", "" if found["rule"] else found["reason"]),
        ("Purpose", found["purpose"]),
        ("Masks", ", ".join(found["masks"])),
        ("Approvers", f"{found['quorum']} of {', '.join(found['approvers'])}"),
        ("Opened", local_time(found["opened_at"])),
        ("Ends", local_time(found["expires_at"])),
        ("Digest", found["digest"]),
        *(("Vote", _vote_line(vote)) for vote in found["votes"]),
    ]
    return [(name, value) for name, value in facts if value]


def _wish(found: Mapping[str, Any]) -> str:
    if found["kind"] == "grant":
        return f"{found['reach']} on {found['target']} for {duration(found['seconds'] * MICROSECONDS)}"
    return f"{found['verb']} ({found['reach']}) on {found['target']} as {found['role']}"


def _script(script: Mapping[str, Any]) -> str:
    return f"{count(script['statements'], 'statement')}, {size(script['size'])}, sha256 {script['sha256']}"


def _part(part: Mapping[str, Any]) -> tuple[str, ...]:
    said = "held" if part["ruling"] == "approve" else part["ruling"]
    return str(part["line"]), part["verb"], ", ".join(part["resources"]), said, part["rule"]


def _vote_line(vote: Mapping[str, Any]) -> str:
    word = "yes" if vote["approved"] else "no"
    return f"{word} by {vote['by']} at {local_time(vote['at'])}" + (f": {vote['reason']}" if vote["reason"] else "")


def _cells(found: Mapping[str, Any], now: int) -> tuple[str, ...]:
    alive = found["state"] in ("open", "approved")
    left = duration(found["expires_at"] - now) if alive else ""
    what = found["text"] or f"{_wish(found)}: {found['reason']}"
    state = found["state"] if not (found["yours"] and alive) else f"{found['state']}, yours"
    opened = local_time(found["opened_at"])
    return (found["id"][:SHORT], opened, left, found["requester"]["subject"], found["target"], found["verb"], state, what)


def _now() -> int:
    return time.time_ns() // 1000
