"""Where a target is, and what its client starts with: address and user as the API says, environment and startup options.

What the surroundings say of other servers (PGHOSTADDR, PGSERVICE …) is taken away: it would send the token elsewhere or switch
off the check of the gateway's certificate.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gatebook.cli.apiclient import Gateway, RefusedError, UsageError, call, plain, said
from gatebook.cli.asking import held_or_new
from gatebook.errors import GatebookError
from gatebook.identity.keys import LOOPBACK
from gatebook.model import PURPOSE_CHARACTERS, Hold

# libpq settings that say nothing of where to connect or how to check it; all other PG* variables are taken away.
KEPT_SETTINGS = frozenset({"PGAPPNAME", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGDATESTYLE", "PGGEQO", "PGOPTIONS", "PGTZ"})
SECRETS = frozenset({"GATEBOOK_TOKEN", "GATEBOOK_PROVIDER_TOKEN", "GATEBOOK_CLIENT_ID", "GATEBOOK_CLIENT_SECRET"})
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")


WHY_HELP = "The ticket or task this session is for: it stands in every entry of the ledger."
HOLD_HELP = "What becomes of what is held: wait for people, or answer at once, to be sent again after their yes."


class Choice(StrEnum):
    """What becomes of a statement or request that needs an approval, as --hold has it."""

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


@dataclass(frozen=True, slots=True)
class Door:
    """Where a script goes in: the target's place, its database, and how the gateway's certificate is checked."""

    place: Place
    database: str
    role: str | None
    verify: ssl.SSLContext | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a script is proposed: what for, and how long the command waits for people, None for as long as they may answer."""

    why: str
    wait: float | None
    again: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token, and where a newer one comes from."""

    first: str = field(repr=False)
    gateway: Gateway
    source: str | None
    issuer: str | None

    def newer(self) -> str:
        """A new token; the first one again where none can be had."""
        try:
            return self.first if self.source == "-" else held_or_new(self.gateway, self.source, self.issuer)
        except GatebookError:
            return self.first


def check_why(why: str) -> str:
    """The purpose, if it can be one; raises UsageError."""
    if len(why) > PURPOSE_CHARACTERS or not why.isprintable():
        raise UsageError(f"--why: expected a ticket or task of at most {PURPOSE_CHARACTERS} printable characters")
    return why


def client_options(given: str, why: str, hold: str) -> str:
    """What libpq sends as startup options: the caller's own, the purpose, and what becomes of held statements."""
    spoken = [given] if given else []
    if why:
        escaped = "".join(f"\\{char}" if char.isspace() or char == "\\" else char for char in why)
        spoken.append(f"-c gatebook.why={escaped}")
    if hold != Hold.WAIT:
        spoken.append(f"-c gatebook.hold={hold}")
    return " ".join(spoken)


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


def _place(listed: Mapping[str, Any]) -> Place:
    """Checked: libpq takes a host that begins with / for a socket, and one with commas for several."""
    protocol, host, port, user = (listed.get(name) for name in ("protocol", "host", "port", "user"))
    if protocol not in ("postgres", "http", "kubernetes", "ssh", "git"):
        raise RefusedError(f"no client is known for {plain(protocol)} targets: is this command as new as the gateway?")
    if not isinstance(host, str) or not HOST.fullmatch(host) or not isinstance(port, int) or not 0 < port < 65_536:
        raise RefusedError("Gatebook names no host and port for this target: is it running the same version?")
    if not isinstance(user, str) or not user:
        raise RefusedError("Gatebook names no user for this target: is it running the same version?")
    return Place(protocol, host, port, listed.get("tls") is True, user)
