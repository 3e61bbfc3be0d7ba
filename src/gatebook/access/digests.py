"""The digest that binds a yes to exactly one thing: SHA-256 over canonical JSON of all that gives it its meaning.

A field that is added or left out changes every digest, so a yes given under other rules of digesting never fits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from gatebook.model import Identity, Reach

FORM = "gatebook approval 2"


def digest(
    *,
    text: str,
    parameters: Sequence[bytes | None],
    forms: Sequence[str],
    settings: str,
    role: str,
    database: str,
    search_path: Sequence[str],
    target: str,
    server: str,
    policy_digest: str,
    requester: Identity,
    resources: Sequence[str],
    purpose: str,
) -> str:
    """``sha256:…`` of one action: its exact text and parameters, and where, as what, by whom, what for, under which rules."""
    return _sealed(
        {
            "kind": "action",
            "text": text,
            "parameters": [None if value is None else value.hex() for value in parameters],
            "forms": list(forms),
            "settings": settings,
            "role": role,
            "database": database,
            "search_path": list(search_path),
            "target": target,
            "server": server,
            "policy_digest": policy_digest,
            "requester": _party(requester),
            "resources": list(resources),
            "purpose": purpose,
        }
    )


def grant_digest(*, requester: Identity, targets: Sequence[str], reach: Reach, seconds: int, why: str) -> str:
    """``sha256:…`` of a grant that is asked for."""
    asked = {"targets": sorted(targets), "reach": str(reach), "seconds": seconds, "why": why}
    return _sealed({"kind": "grant", "requester": _party(requester), **asked})


def _party(identity: Identity) -> dict[str, str | None]:
    return {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "kind": str(identity.kind),
        "on_behalf_of": identity.on_behalf_of,
    }


def _sealed(fields: Mapping[str, object]) -> str:
    data = json.dumps({"form": FORM, **fields}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(data.encode('ascii')).hexdigest()}"
