"""``gatebook connect TARGET``: starts the target's usual client with identity in place.

The token reaches the client in its environment, never in its arguments, which other users of a machine can read. What the
surroundings say of other servers (PGHOSTADDR, PGSERVICE …) is taken away: it would send the token elsewhere or switch off
the check of the gateway's certificate. The client replaces this process, so signals, terminal and exit code are its own.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from gatebook.cli.apiclient import Gateway, RefusedError, UsageError, call, check_token, find_gateway, plain, said
from gatebook.cli.token import CaOption, FromOption, IssuerOption, UrlOption, fail, get_token
from gatebook.errors import GatebookError
from gatebook.identity.keys import LOOPBACK
from gatebook.model import PURPOSE_CHARACTERS

# libpq settings that say nothing of where to connect or how to check it; all other PG* variables are taken away.
KEPT_SETTINGS = frozenset({"PGAPPNAME", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGDATESTYLE", "PGGEQO", "PGOPTIONS", "PGTZ"})
SECRETS = frozenset({"GATEBOOK_TOKEN", "GATEBOOK_PROVIDER_TOKEN", "GATEBOOK_CLIENT_ID", "GATEBOOK_CLIENT_SECRET"})
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")

TARGET_HELP = "Target to open, or TARGET/DATABASE."
ARGS_HELP = "Arguments for the client, after --."
ROLE_HELP = "Role to ask for at the target; the target's default role otherwise."
CLIENT_HELP = "The client to run instead of the first psql on PATH."


WHY_HELP = "The ticket or task this session is for: it stands in every entry of the ledger."
HOLD_HELP = "What becomes of a held statement: wait for people, or answer at once, to be sent again after their yes."


class Hold(StrEnum):
    """What becomes of a statement that needs an approval."""

    WAIT = "wait"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the gateway takes connections for a target, as the API says."""

    protocol: str
    host: str
    port: int
    tls: bool
    user: str


def connect(
    target: Annotated[str, typer.Argument(help=TARGET_HELP)],
    args: Annotated[list[str] | None, typer.Argument(metavar="[-- ARGS]", help=ARGS_HELP)] = None,
    role: Annotated[str | None, typer.Option("--role", help=ROLE_HELP, show_default=False)] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="FILE", help=CLIENT_HELP, show_default=False)] = None,
    why: Annotated[str, typer.Option("--why", metavar="TICKET", help=WHY_HELP)] = "",
    hold: Annotated[Hold, typer.Option("--hold", help=HOLD_HELP)] = Hold.WAIT,
    url: UrlOption = None,
    ca: CaOption = None,
    source: FromOption = None,
    issuer: IssuerOption = None,
) -> None:
    """Open a target with its usual client, identity in place: gatebook connect shop -- -c 'SELECT 1'.

    The token is $GATEBOOK_TOKEN, else a new one as `gatebook token` gets it.

    Runs psql for PostgreSQL targets; the exit code is the client's.
    """
    try:
        program = find_client(client)
        gateway = find_gateway(url, ca)
        token = _token(gateway, source, issuer)
        place = find_place(gateway, token, target.partition("/")[0], check_why(why))
        environment = client_environment(os.environ, place, target, token, gateway.ca, role)
        if options := client_options(os.environ.get("PGOPTIONS", ""), why, hold):
            environment["PGOPTIONS"] = options
    except GatebookError as error:
        fail("connect", error)
    os.execve(program, [program, *(args or [])], environment)  # noqa: S606 - no shell is wanted


def check_why(why: str) -> str:
    """The purpose, if it can be one; raises UsageError."""
    if len(why) > PURPOSE_CHARACTERS or not why.isprintable():
        raise UsageError(f"--why: expected a ticket or task of at most {PURPOSE_CHARACTERS} printable characters")
    return why


def client_options(given: str, why: str, hold: Hold) -> str:
    """What libpq sends as startup options: the caller's own, the purpose, and what becomes of held statements."""
    spoken = [given] if given else []
    if why:
        escaped = "".join(f"\\{char}" if char.isspace() or char == "\\" else char for char in why)
        spoken.append(f"-c gatebook.why={escaped}")
    if hold is not Hold.WAIT:
        spoken.append(f"-c gatebook.hold={hold}")
    return " ".join(spoken)


def find_client(named: str | None) -> str:
    """The client's path; raises UsageError."""
    found = shutil.which(named or "psql")
    if found is None:
        raise UsageError(f"{named or 'psql'} was not found: install PostgreSQL's client, or name one with --client FILE")
    return found


def find_place(gateway: Gateway, token: str, target: str, why: str = "") -> Place:
    """Where ``target`` is, if this identity may open it for this purpose; raises RefusedError."""
    query = f"?{urlencode({'why': why})}" if why else ""
    status, answer = call("GET", f"{gateway.url}/api/v1/targets{query}", gateway.verify, bearer=token)
    listed = answer.get("targets")
    if status != 200 or not isinstance(listed, list):
        raise RefusedError(f"Gatebook does not list targets: {said(answer, status)}")
    places = {one.get("name"): one for one in listed if isinstance(one, dict)}
    if target not in places:
        names = plain(", ".join(str(name) for name in places)) or "none"
        raise RefusedError(f"{target} is not a target that you may open; you may open: {names}")
    return _place(places[target])


def client_environment(
    surroundings: Mapping[str, str], place: Place, database: str, token: str, ca: Path | None, role: str | None
) -> dict[str, str]:
    """The environment that psql starts with; raises RefusedError when the token would travel in clear."""
    if not place.tls and place.host not in LOOPBACK:
        raise RefusedError(f"Gatebook's listener at {place.host} has no TLS: a token must not travel in clear")
    kept = {name: value for name, value in surroundings.items() if _is_kept(name)}
    return kept | {
        "PGHOST": place.host,
        "PGPORT": str(place.port),
        "PGDATABASE": database,
        "PGUSER": role or place.user,
        "PGPASSWORD": token,
        "PGPASSFILE": os.devnull,
        "PGGSSENCMODE": "disable",
        **(
            {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(ca) if ca else "system"}
            if place.tls
            else {"PGSSLMODE": "disable"}
        ),
    }


def _is_kept(name: str) -> bool:
    return name in KEPT_SETTINGS or not (name.startswith("PG") or name in SECRETS)


def _token(gateway: Gateway, source: str | None, issuer: str | None) -> str:
    held = os.environ.get("GATEBOOK_TOKEN")
    if held and source is None:
        return check_token(held, "GATEBOOK_TOKEN")
    return get_token(gateway, source, issuer).token


def _place(listed: Mapping[str, Any]) -> Place:
    """Checked: libpq takes a host that begins with / for a socket, and one with commas for several."""
    protocol, host, port, user = (listed.get(name) for name in ("protocol", "host", "port", "user"))
    if protocol != "postgres":
        raise RefusedError(f"no client is known for {plain(protocol)} targets: connect opens postgres targets")
    if not isinstance(host, str) or not HOST.fullmatch(host) or not isinstance(port, int) or not 0 < port < 65_536:
        raise RefusedError("Gatebook names no host and port for this target: is it running the same version?")
    if not isinstance(user, str) or not user:
        raise RefusedError("Gatebook names no user for this target: is it running the same version?")
    return Place(protocol, host, port, listed.get("tls") is True, user)
