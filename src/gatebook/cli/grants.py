"""``gatebook grants``: access for a time. People decide about it under ``gatebook approvals``."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from gatebook.cli.approvals import SHORT
from gatebook.cli.asking import ReasonOption, Somebody, signed_in
from gatebook.cli.common import JsonOption, duration, escaped, local_time, print_json, print_table
from gatebook.model import Reach

app = typer.Typer(help="Ask for access for a time, list it, end it.", no_args_is_help=True)

LESS_NEEDED = ("FROM", "BY", "UNTIL")  # columns a narrow terminal does without
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

Targets = Annotated[list[str], typer.Argument(metavar="TARGET...", help="The targets.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="A grant's id, or the beginning of one.")]
Time = Annotated[str, typer.Option("--for", metavar="TIME", help="For how long, as 30m, 2h or 1d.")]


@app.command()
@signed_in("grants request")
def request(
    somebody: Somebody,
    targets: Targets,
    reason: ReasonOption,
    lasting: Time = "1h",
    reach: Annotated[Reach, typer.Option("--reach", help="How far.")] = Reach.READ,
    purpose: Annotated[str, typer.Option("--purpose", help="The ticket or task it is for.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Ask for access to targets for a time. It begins when enough people said yes."""
    wish = {"targets": targets, "reach": reach.value, "seconds": seconds(lasting), "reason": reason, "purpose": purpose}
    asked = somebody.ask("POST", "/api/v1/grants", wish)
    if as_json:
        print_json(asked)
        return
    print(f"Asked: {asked['id']}. It waits for {asked['quorum']} of {escaped(', '.join(asked['approvers']))}")
    print(f"until {local_time(asked['expires_at'])}; see `gatebook approvals show {asked['id'][:SHORT]}`.")


@app.command("ls")
@signed_in("grants ls")
def ls(
    somebody: Somebody,
    live: Annotated[bool, typer.Option("--live", help="Only those that give access now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the grants that you hold, and those that you may revoke, the newest first."""
    found = somebody.ask("GET", "/api/v1/grants")["grants"]
    found = [one for one in found if one["live"] or not live]
    if as_json:
        print_json(found)
    elif found:
        headings = ("ID", "WHO", "TARGETS", "REACH", "FROM", "UNTIL", "BY", "STATE", "REASON")
        print_table(headings, [_cells(one, time.time_ns() // 1000) for one in found], wraps="REASON", drops=LESS_NEEDED)
    else:
        print("No live grants." if live else "No grants.")


@app.command()
@signed_in("grants revoke")
def revoke(
    somebody: Somebody,
    grant: Id,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """End a grant now: your own, or one that you could have approved."""
    path = f"/api/v1/grants/{quote(grant, safe='')}?{urlencode({'reason': reason}, errors='replace')}"
    ended = somebody.ask("DELETE", path)
    if as_json:
        print_json(ended)
    else:
        print(f"Grant {ended['id']} of {escaped(ended['subject'])} is ended.")


def seconds(written: str) -> int:
    """``90``, ``30m``, ``2h`` or ``1d`` in seconds."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", written)
    if found is None:
        raise typer.BadParameter("expected a time as 30m, 2h or 1d", param_hint="--for")
    return int(found[1]) * _UNITS[found[2]]


def _cells(grant: Mapping[str, Any], now: int) -> tuple[str, ...]:
    return (
        grant["id"][:SHORT],
        grant["subject"],
        ", ".join(grant["targets"]),
        grant["reach"],
        local_time(grant["not_before"]),
        local_time(grant["expires_at"]),
        grant["given_by"],
        _state(grant, now),
        grant["reason"],
    )


def _state(grant: Mapping[str, Any], now: int) -> str:
    if grant["revoked_by"]:
        return f"revoked by {grant['revoked_by']}"
    return f"{duration(grant['expires_at'] - now)} left" if grant["live"] else "ended"
