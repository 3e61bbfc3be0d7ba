"""Settings that stay as they are: with others the server would read another statement than the one that was decided.

A SET that says otherwise is not carried. Where a setting changes in a way that no text shows, the server's own report of it
ends the session.
"""

from __future__ import annotations

from gatebook.errors import WireError
from gatebook.protocols.postgres import grammar
from gatebook.protocols.postgres.reading import Reading

_STAYS = {
    "client_encoding": "client_encoding stays UTF8; let the client convert",
    "standard_conforming_strings": "standard_conforming_strings stays on; write E'…' where a backslash escapes",
}
_SETS = frozenset({"VAR_SET_VALUE", "VAR_SET_CURRENT"})


def contrary(reading: Reading) -> str:
    """Why a text is not carried that gives this session another value than the pinned one; empty for any other."""
    if not any(deed.verb == "sql.setting" and deed.facts["setting"] in _STAYS for deed in reading.deeds):
        return ""
    for raw in grammar.parse(reading.text).statements:
        body = raw["stmt"].get("VariableSetStmt", {})
        name = body.get("name", "").lower()
        if name in _STAYS and body.get("kind") in _SETS:
            return _STAYS[name]
    return ""


def check_pinned(name: str, value: str) -> None:
    """Raise WireError when the server says that it reads statements otherwise than the gateway does."""
    if name == "standard_conforming_strings" and value != "on":
        raise WireError("standard_conforming_strings is off: the target would read strings otherwise than they were decided")
    if name == "client_encoding" and value not in ("UTF8", "UNICODE"):
        raise WireError(f"client_encoding is {value}: statements were decided as UTF8")
