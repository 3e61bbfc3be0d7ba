"""The session's tag in application_name, which the target shows in pg_stat_activity and writes into its log.

The tag comes first, the client's own value behind it, in the 63 bytes that the server keeps. A SET of the client's is sent
with the tag in front of its value; RESET and DISCARD bring back what the login gave, which has it too. A value that changes in
any other way, inside a function say, is seen in what the server reports, and put right by a SET of the gateway's own.
"""

from __future__ import annotations

from gatebook.protocols.postgres import grammar, wire
from gatebook.protocols.postgres.reading import Reading, Statement
from gatebook.protocols.postgres.walk import literal

NAME = "application_name"
INSTEAD = f"{NAME} carries the session's tag; set it by SET {NAME} = '…'"


def tag(session: str) -> str:
    """The tag of a session."""
    return f"gatebook:{session}"


def value(session: str, own: str) -> str:
    """What application_name is to be, given the client's own value: as the server would keep it, in printable ASCII."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in own)
    return f"{tag(session)} {plain}".strip()[: wire.NAME_BYTES]


def setting(session: str, own: str, *, local: bool = False) -> str:
    """The SET for it."""
    quoted = value(session, own).replace("'", "''")
    return f"SET {'LOCAL ' if local else ''}{NAME} = '{quoted}'"


def sets_the_name(reading: Reading) -> bool:
    """Whether this text may need another form before it is sent."""
    return any(deed.facts["setting"] == NAME for deed in reading.deeds)


def body(reading: Reading, session: str, body: bytes, at: int) -> bytes:
    """A message's body as it is sent: its text, which stands at ``at``, keeps the tag in every value it gives the name."""
    if not sets_the_name(reading):
        return body
    text = with_tag(reading, session)
    if text is None:
        raise AssertionError("a text that is not carried")
    return body[:at] + text.encode() + body[body.index(b"\0", at) :]


def with_tag(reading: Reading, session: str) -> str | None:
    """The text with the tag in every value it gives the name; None where it gives one in a way that cannot be written anew."""
    found, data = grammar.parse(reading.text).statements, reading.text.encode()
    said, at = b"", 0
    for raw, statement in zip(found, reading.statements, strict=True):
        kind, body = next(iter(raw["stmt"].items()))
        if kind != "VariableSetStmt":
            if _sets_otherwise(statement):
                return None
            continue
        if body.get("name", "").lower() != NAME or body["kind"] in ("VAR_RESET", "VAR_SET_DEFAULT"):
            continue
        arguments = body.get("args", [])
        own = literal(arguments[0]) if len(arguments) == 1 else None
        if own is None:
            return None
        start = raw.get("stmt_location", 0)
        said += data[at:start] + b" " * bool(start) + setting(session, own, local=bool(body.get("is_local"))).encode()
        at = start + raw["stmt_len"] if raw.get("stmt_len") else len(data)
    return (said + data[at:]).decode()


def _sets_otherwise(statement: Statement) -> bool:
    return any(deed.facts["setting"] == NAME and deed.verb == "sql.session" for deed in statement.deeds)
