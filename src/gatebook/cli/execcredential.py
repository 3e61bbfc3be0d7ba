"""A token that is kept, as Kubernetes' clients take it (client.authentication.k8s.io/v1, ExecCredential).

kubectl runs its plugin anew for each command, and git its helper. So that a terminal's or an agent's commands are one session
in the book, and none of them waits for the identity provider, a token is kept in a file that only its owner can read, until
shortly before its end.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gatebook.cli.apiclient import Gateway, check_token
from gatebook.cli.token import get_token, provider_token
from gatebook.errors import GatebookError

EARLY_SECONDS = 60  # before its end a kept token is no longer given out
KEPT_BYTES = 64 * 1024
OLD_SECONDS = 86_400

_WHOSE = ("GATEBOOK_PROVIDER_TOKEN", "GATEBOOK_CLIENT_ID", "GATEBOOK_CLIENT_SECRET")


@dataclass(frozen=True, slots=True)
class Kept:
    """A token and when it ends, in seconds since the Unix epoch; None where nobody has said."""

    token: str = field(repr=False)
    ends_at: float | None


def held_token(gateway: Gateway, source: str | None, issuer: str | None) -> Kept:
    """``$GATEBOOK_TOKEN`` where it is set, else one that is kept, else a new one. Raises RefusedError and UsageError."""
    held = os.environ.get("GATEBOOK_TOKEN")
    if held and source is None:
        return Kept(check_token(held, "GATEBOOK_TOKEN"), None)
    file = _file(gateway, source, issuer)
    kept = _kept(file)
    if kept is None:
        issued = get_token(gateway, source, issuer)
        kept = Kept(issued.token, time.time() + issued.seconds)
        _keep(file, kept)
    return kept


def forget(gateway: Gateway, source: str | None, issuer: str | None) -> None:
    """Keep it no longer: it was refused. Raises RefusedError and UsageError."""
    _file(gateway, source, issuer).unlink(missing_ok=True)


def credential(gateway: Gateway, source: str | None, issuer: str | None) -> dict[str, Any]:
    """The plugin's answer. Raises RefusedError and UsageError."""
    held = held_token(gateway, source, issuer)
    status = {"token": held.token}
    if held.ends_at is not None:
        status["expirationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(held.ends_at - EARLY_SECONDS))
    return {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}


def _file(gateway: Gateway, source: str | None, issuer: str | None) -> Path:
    """Where the token of this identity at this gateway is kept; its name tells nothing of either."""
    whose = [gateway.url, str(gateway.ca), issuer or ""]
    whose += [os.environ.get(name, "") for name in _WHOSE] if source is None else [provider_token(gateway, source, issuer)]
    name = hashlib.sha256("\0".join(whose).encode()).hexdigest()[:32]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gatebook" / "tokens" / f"{name}.json"


def _kept(file: Path) -> Kept | None:
    """The token of the file, if it is ours alone and lives for a while."""
    try:
        with file.open("rb") as source:
            about = os.fstat(source.fileno())
            data = source.read(KEPT_BYTES + 1)
        found = json.loads(data)
        token, ends_at = check_token(found["token"], str(file)), float(found["ends_at"])
    except (OSError, ValueError, KeyError, TypeError, GatebookError):
        return None
    if about.st_uid != os.getuid() or about.st_mode & 0o077 or ends_at - EARLY_SECONDS <= time.time():
        return None
    return Kept(token, ends_at)


def _keep(file: Path, kept: Kept) -> None:
    """Write it where nobody else can read it; where that cannot be done, the next command asks anew."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = file.with_suffix(f".{os.getpid()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump(asdict(kept), out)
        os.replace(temporary, file)
        _sweep(file.parent)
    except OSError:
        return


def _sweep(folder: Path) -> None:
    """Remove what nobody has asked for since yesterday: tokens end within hours."""
    for one in folder.iterdir():
        if one.stat().st_mtime < time.time() - OLD_SECONDS:
            one.unlink(missing_ok=True)
