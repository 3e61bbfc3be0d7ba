"""``gatebook tokens``: which gateway tokens there are, and the end of one. ``gatebook token`` gets one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from gatebook.cli.asking import ReasonOption, Somebody, signed_in
from gatebook.cli.common import JsonOption, count, duration, escaped, local_time, print_json, print_table

app = typer.Typer(help="List and revoke gateway tokens.", no_args_is_help=True)

LESS_NEEDED = ("KIND", "GIVEN")  # columns a narrow terminal does without

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Tokens' ids, or the beginnings of them.")]


@app.command("ls")
@signed_in("tokens ls")
def ls(
    somebody: Somebody,
    live: Annotated[bool, typer.Option("--live", help="Only those that let somebody in now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List gateway tokens that you may see, the newest first: never the tokens themselves, but their ids."""
    found = somebody.ask("GET", "/api/v1/tokens" + ("?live=true" if live else ""))["tokens"]
    if as_json:
        print_json(found)
    elif found:
        now = time.time_ns() // 1000
        print_table(
            ("ID", "WHO", "KIND", "GIVEN", "STATE"), [_cells(one, now) for one in found], wraps="WHO", drops=LESS_NEEDED
        )
    else:
        print("No live tokens." if live else "No tokens.")


@app.command()
@signed_in("tokens revoke")
def revoke(
    somebody: Somebody,
    tokens: Ids,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Revoke gateway tokens: they let nobody in any more, and the sessions that they opened end within two seconds.

    The first that cannot be revoked ends the command; those before it are.
    """
    ended = []
    for token in tokens:
        path = f"/api/v1/tokens/{quote(token, safe='')}?{urlencode({'reason': reason}, errors='replace')}"
        ended.append(somebody.ask("DELETE", path))
        if not as_json:
            print(f"Token {ended[-1]['id']} of {escaped(ended[-1]['subject'])} is revoked.")
    if as_json:
        print_json(ended)
    elif len(ended) > 1:
        print(f"{count(len(ended), 'token')} revoked.")


def _cells(token: Mapping[str, Any], now: int) -> tuple[str, ...]:
    return token["id"], token["subject"], token["kind"], local_time(token["issued_at"]), _state(token, now)


def _state(token: Mapping[str, Any], now: int) -> str:
    if token["revoked_at"]:
        return f"revoked {local_time(token['revoked_at'])}"
    return f"{duration(token['expires_at'] - now)} left" if token["live"] else "expired"
