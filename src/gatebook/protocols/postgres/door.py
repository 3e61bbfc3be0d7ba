"""The startup packet: what the client calls itself, where it wants to go, with which settings.

Two options are the gateway's own and go no further: ``-c gatebook.why=TICKET`` states the session's purpose, and
``-c gatebook.hold=answer`` has held statements answered at once instead of waiting (``model.Hold`` has the other values).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatebook.errors import WireError
from gatebook.model import PURPOSE_CHARACTERS, Hold
from gatebook.protocols.postgres import wire

# Settings that drivers send at every start and that change only how values are written.
HARMLESS = frozenset({"datestyle", "timezone", "intervalstyle", "extra_float_digits", "bytea_output", "application_name"})
_ENCODINGS = frozenset({"utf8", "utf-8", "unicode", "sql_ascii", "auto"})  # what psql sends by itself; the session is UTF8


@dataclass(frozen=True, slots=True)
class Knock:
    """What a startup packet asks for.

    ``settings`` are those that count as SET, ``unknown`` are protocol options to negotiate, ``minor`` is the protocol's minor
    version that is spoken, and ``asked`` the one that was asked for.
    """

    user: str
    target: str
    database: str
    application: str
    settings: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    minor: int = 0
    asked: int = 0
    purpose: str = ""
    hold: Hold = Hold.WAIT


def knock(packet: bytes) -> Knock:
    """Read a StartupMessage. Raises WireError with a sentence that says what to change."""
    code = wire.code_of(packet)
    if code >> 16 != 3:
        raise WireError(f"protocol version {code >> 16}.{code & 0xFFFF} is not spoken here; use protocol 3")
    given = wire.startup_parameters(packet)
    user, database = given.pop("user", ""), given.pop("database", "")
    if not user:
        raise WireError("the startup packet names no user; give a role of the target, or your own subject")
    if given.pop("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise WireError("replication connections are not carried: what they stream cannot be decided or covered")
    target, _, name = (database or user).partition("/")
    options = tuple(key for key in given if key.startswith("_pq_."))
    settings = {key: value for key, value in given.items() if key not in options and key != "options"}
    settings |= _options(given.get("options", ""))
    purpose, hold = settings.pop("gatebook.why", ""), settings.pop("gatebook.hold", "wait")
    if hold not in frozenset(Hold):
        raise WireError(f"gatebook.hold {hold!r}: expected wait, answer to hear of a held statement at once, propose or resume")
    if len(purpose) > PURPOSE_CHARACTERS or not purpose.isprintable():
        raise WireError(f"gatebook.why: expected a ticket or task of at most {PURPOSE_CHARACTERS} printable characters")
    application = settings.get("application_name", "")
    return Knock(
        user,
        target,
        name,
        application,
        _checked(settings),
        options,
        wire.minor_of(code),
        code & 0xFFFF,
        purpose,
        Hold(hold),
    )


def _checked(settings: dict[str, str]) -> dict[str, str]:
    encoding = next((value for key, value in settings.items() if key.lower() == "client_encoding"), "UTF8")
    if encoding.lower().strip("'") not in _ENCODINGS:  # asyncpg sends it in quotes
        raise WireError(f"client_encoding {encoding!r} is not carried; set PGCLIENTENCODING=UTF8")
    return {key: value for key, value in settings.items() if key.lower() != "client_encoding"}


def _options(text: str) -> dict[str, str]:
    """The command line in ``options``: only ``-c name=value`` and ``--name=value`` (manual: "libpq options")."""
    words, found = _words(text), {}
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            word = words.pop(0)
        elif (word.startswith("-c") and len(word) > 2) or word.startswith("--"):
            word = word[2:]
        else:
            raise WireError(f"startup option {word!r} is not carried; use -c name=value")
        name, is_set, value = word.partition("=")
        if not is_set or not name:
            raise WireError(f"startup option {word!r} has no value; use -c name=value")
        found[name.replace("-", "_")] = value
    return found


def _words(text: str) -> list[str]:
    """Split as the server does: at white space, with a backslash taking the next character as it is."""
    words: list[str] = []
    word, escaped = "", False
    for char in text:
        if escaped:
            word, escaped = word + char, False
        elif char == "\\":
            escaped = True
        elif char.isspace():
            words, word = ([*words, word], "") if word else (words, "")
        else:
            word += char
    return [*words, word] if word else words


def as_statements(settings: Mapping[str, str]) -> str:
    """The settings as the SET statements they amount to, without those that only change how values are written."""
    return "; ".join(
        f"SET {_name(name)} = {_literal(value)}" for name, value in settings.items() if name.lower() not in HARMLESS
    )


def _name(name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.lower().split("."))


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
