"""``gatebook connect TARGET -f FILE --propose``: a script that people approve whole, and that then runs once.

The file's bytes go out as one Query, so they are one action with one digest. Where a rule holds any of it, people are asked
about all of it; the command waits, or ends and is run again later by whoever has the same identity. With the yes it connects
anew and sends the same bytes, which pass once. Nothing is kept here: what is asked, approved and used stands at the gateway.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatebook.cli.apiclient import Gateway, RefusedError, call, said
from gatebook.cli.common import count, duration, escaped, print_json
from gatebook.cli.places import Door, Terms, Tokens, client_options
from gatebook.cli.scriptfile import ScriptFile
from gatebook.cli.sending import Failed, Held, Outcome, Ran, send
from gatebook.model import Hold

PENDING = 3  # the exit code of what still waits for people
POLL_SECONDS = 2.0
TOLD_SECONDS = 60.0  # between two lines of a log that say that it still waits
UNANSWERED = 30  # polls in a row that may fail: a gateway restarts within a minute

RAN, PENDING_STILL, REFUSED = "ran", "pending", "refused"
AGAIN = "Run the same command again, now or later: it finds the approval."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be run, where, and how."""

    script: ScriptFile
    gateway: Gateway
    door: Door
    terms: Terms
    tokens: Tokens

    @property
    def target(self) -> str:
        """The target's name, without the database."""
        return self.door.database.partition("/")[0]


@dataclass(frozen=True, slots=True)
class End:
    """How it ended: ``outcome`` is ran, pending, refused, or the state of the approval that ended it."""

    outcome: str
    said: str
    approval: Mapping[str, Any] | None = None
    result: Outcome | None = None

    @property
    def code(self) -> int:
        """The exit code."""
        return {RAN: 0, PENDING_STILL: PENDING}.get(self.outcome, 1)


def propose(wish: Wish) -> None:
    """Send, wait and send again; say how it ended and leave with its exit code. Raises RefusedError, UsageError."""
    end = _run(wish)
    if wish.terms.as_json:
        print_json(_as_json(wish, end))
    else:
        _print(wish, end)
    raise typer.Exit(end.code)


def _run(wish: Wish) -> End:
    token = wish.tokens.first
    if not wish.terms.again and (denied := _denied_before(wish, token)):
        return End(denied["state"], f"{_why(denied)}; --again asks anew", denied)
    first = _send(wish, token, Hold.PROPOSE)
    if not isinstance(first, Held):
        return _ended(first, None)
    found: Mapping[str, Any] = _approval(wish.gateway, token, first.approval)
    _tell(wish, found, first.link)
    if wish.terms.wait == 0:
        return End(PENDING_STILL, AGAIN, found)
    try:
        found = _wait(wish, token, found)
    except KeyboardInterrupt:
        return End(PENDING_STILL, f"Interrupted. {AGAIN}", found)
    if found["state"] == "open":
        return End(PENDING_STILL, AGAIN, found)
    if found["state"] != "approved":
        return End(found["state"], _why(found), found)
    second = _send(wish, wish.tokens.newer(), Hold.RESUME)
    if isinstance(second, Failed):
        found = _approval(wish.gateway, token, first.approval, found)
    return _ended(second, found)


def _send(wish: Wish, token: str, hold: Hold) -> Outcome:
    options = client_options(os.environ.get("PGOPTIONS", ""), wish.terms.why, hold)
    return send(wish.door, token, wish.script.text, options)


def _ended(outcome: Outcome, approval: Mapping[str, Any] | None) -> End:
    match outcome:
        case Ran(status):
            return End(RAN, status, approval, outcome)
        case Held():
            raise AssertionError("held, where nobody is asked")
        case Failed(text):
            return End(REFUSED, text, approval, outcome)
        case _:
            assert_never(outcome)


# What people said --------------------------------------------------------------------------------------------------------


def _denied_before(wish: Wish, token: str) -> Mapping[str, Any] | None:
    """The denial that ended the newest request for this script, if one did."""
    status, answer = call("GET", f"{wish.gateway.url}/api/v1/approvals?kind=script", wish.gateway.verify, bearer=token)
    if status >= 300 or not isinstance(answer.get("approvals"), list):
        raise RefusedError(said(answer, status))
    same = (
        one
        for one in answer["approvals"]
        if one["yours"] and one["target"] == wish.target and (one["script"] or {}).get("sha256") == wish.script.sha256
    )
    newest = next(same, None)
    return newest if newest is not None and newest["state"] == "denied" else None


def _approval(gateway: Gateway, token: str, approval: str, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The request as it stands; raises RefusedError, unless what is ``known`` will do."""
    status, answer = call("GET", f"{gateway.url}/api/v1/approvals/{quote(approval, safe='')}", gateway.verify, bearer=token)
    if status >= 300 and known is None:
        raise RefusedError(said(answer, status))
    return dict(known or {}) if status >= 300 else answer


def _wait(wish: Wish, token: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Poll until people have decided, or the command's own time is over. Raises RefusedError when the API stays away."""
    console, began, told, missed = Console(stderr=True, highlight=False), time.monotonic(), time.monotonic(), 0
    with console.status("", spinner="dots") as spinner:
        while found["state"] == "open" and (wish.terms.wait is None or time.monotonic() - began < wish.terms.wait):
            left = duration(found["expires_at"] - time.time_ns() // 1000)
            spinner.update(f"waiting for {escaped(', '.join(found['approvers']))}; it ends in {left}")
            if not console.is_terminal and not wish.terms.as_json and time.monotonic() - told >= TOLD_SECONDS:
                told = time.monotonic()
                print(f"still waiting; it ends in {left}", file=sys.stderr)
            time.sleep(POLL_SECONDS if wish.terms.wait is None else min(POLL_SECONDS, max(0.05, wish.terms.wait / 4)))
            try:
                found, missed = _approval(wish.gateway, token, found["id"]), 0
            except RefusedError as error:
                missed += 1
                if missed == 1:
                    token = wish.tokens.newer()  # the other may have expired
                if missed >= UNANSWERED:
                    raise RefusedError(f"{error}. The request waits on. {AGAIN}") from None
    return found


def _why(found: Mapping[str, Any]) -> str:
    """Who ended a request, and why."""
    votes = [vote for vote in found["votes"] if not vote["approved"]]
    if found["state"] == "denied" and votes:
        reason = f": {votes[-1]['reason']}" if votes[-1]["reason"] else ""
        return f"denied by {votes[-1]['by']}{reason}"
    words = {"used": "another run of this script used the approval", "expired": "nobody approved it in time"}
    return words.get(found["state"]) or found["why"] or found["state"]


# What is said ------------------------------------------------------------------------------------------------------------


def _tell(wish: Wish, found: Mapping[str, Any], link: str) -> None:
    if wish.terms.as_json:
        return
    facts = {
        "Held by": f"{found['rule']}: {found['reason']}",
        "Needs": f"{found['quorum']} yes of {', '.join(found['approvers'])}",
        "Script": f"{wish.script.name}, {count(wish.script.statements, 'statement')}",
        "sha256": wish.script.sha256,
        "Approval": f"{found['id']}, {found['state']}",
        "Follow": link,
    }
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(escaped(value), overflow="fold"))
    console.print(table)


def _print(wish: Wish, end: End) -> None:
    result = end.result
    for notice in result.notices if isinstance(result, Ran | Failed) else ():
        print(escaped(notice), file=sys.stderr)
    if end.outcome == RAN:
        last = f"; the last: {escaped(end.said)}" if end.said else ""
        print(f"Ran {count(wish.script.statements, 'statement')} as one{last}.")
    elif end.outcome == PENDING_STILL:
        print(f"Still waiting for people. {end.said}", file=sys.stderr)
    else:
        place = f":{wish.script.line_of(result.position)}" if isinstance(result, Failed) and result.position else ""
        print(f"gatebook connect: {wish.script.name}{place}: {escaped(end.said)}", file=sys.stderr)
        if isinstance(result, Failed) and result.hint:
            print(escaped(result.hint), file=sys.stderr)


_APPROVAL = ("id", "state", "rule", "reason", "approvers", "expires_at")


def _as_json(wish: Wish, end: End) -> dict[str, Any]:
    result = end.result
    approval = end.approval and {name: end.approval[name] for name in _APPROVAL}
    return {
        "outcome": end.outcome,
        "said": end.said,
        "sha256": wish.script.sha256,
        "statements": wish.script.statements,
        "approval": approval
        and {name: approval[name] for name in ("id", "state", "rule", "reason", "approvers", "expires_at")},
        "line": wish.script.line_of(result.position) if isinstance(result, Failed) and result.position else None,
        "notices": list(result.notices) if isinstance(result, Ran | Failed) else [],
    }
