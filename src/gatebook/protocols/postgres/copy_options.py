"""The options of a COPY between client and server, read closed: what is not known, or cannot be covered, is not carried.

The server writes rows by these options, and ``copying`` reads them by the same ones, so an option that is taken for another
would shift columns. Where the server would object itself, nothing is checked here twice, but for options given twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gatebook.protocols.postgres.reading import CopyPlan, Relation
from gatebook.protocols.postgres.walk import Node, field_names, named

FORMATS = frozenset({"text", "csv", "binary"})
_ENCODINGS = frozenset({"utf8", "utf-8", "unicode"})
_MARKS = ("delimiter", "quote", "escape")
# What changes only how the server takes data in, or which cells it puts in quotes
_ELSEWHERE = frozenset(
    "freeze force_quote force_not_null force_null default on_error log_verbosity reject_limit convert_selectively".split()
)
_NOT_IN_TEXT = re.compile(rb"[a-z0-9.\\]")  # the server takes none of these as a delimiter
_TEXT_NULL = re.compile(rb"(?:[^\\\r\n]|\\[ -~])*+")


def plan(body: Node) -> CopyPlan:
    """The plan of a CopyStmt without a file or program."""
    relation = named(body["relation"]) if "relation" in body else None
    columns = tuple(field_names(body.get("attlist", [])))
    inward = bool(body.get("is_from"))
    try:
        return _plan(inward, relation, columns, [option["DefElem"] for option in body.get("options", [])])
    except ValueError as fault:
        return CopyPlan(inward, relation, columns, refusal=f"COPY with {fault} is not carried")


def _plan(inward: bool, relation: Relation | None, columns: tuple[str, ...], options: Sequence[Node]) -> CopyPlan:
    given = {str(option["defname"]): option.get("arg") for option in options}
    if len(given) < len(options):
        raise ValueError("an option given twice")
    form = _word(given.pop("format", None) or "text")
    if form not in FORMATS:
        raise ValueError(f"format {form}; use text, csv or binary")
    encoding = _word(given.pop("encoding", None) or "utf8")
    if encoding.lower() not in _ENCODINGS:
        raise ValueError(f"encoding {encoding}; use UTF8")
    if strange := given.keys() - _ELSEWHERE - {*_MARKS, "null", "header"}:
        raise ValueError(f"option {min(strange)}")
    if inward or form == "binary":  # the server reads it itself, or no option changes it
        return CopyPlan(inward, relation, columns, form)
    return _written(CopyPlan(inward, relation, columns, form), given)


def _written(plain: CopyPlan, given: Mapping[str, object]) -> CopyPlan:
    csv = plain.format == "csv"
    quote = _mark("quote", given, b'"')
    made = CopyPlan(
        plain.inward,
        plain.relation,
        plain.columns,
        plain.format,
        delimiter=_mark("delimiter", given, b"," if csv else b"\t"),
        null=_word(given["null"]).encode() if "null" in given else (b"" if csv else rb"\N"),
        header=_header(given["header"]) if "header" in given else False,
        quote=quote,
        escape=_mark("escape", given, quote),
    )
    if not csv and _NOT_IN_TEXT.match(made.delimiter):
        raise ValueError(f"delimiter {made.delimiter.decode()!r}")
    ends = made.delimiter in made.null or (csv and made.quote in made.null) or b"\r" in made.null or b"\n" in made.null
    if ends or (csv and made.delimiter == made.quote) or not (csv or _TEXT_NULL.fullmatch(made.null)):
        raise ValueError(f"null {made.null.decode()!r} between its delimiters and quotes")
    return made


def _mark(name: str, given: Mapping[str, object], otherwise: bytes) -> bytes:
    """A delimiter, quote or escape: one ASCII character that does not end a line."""
    if name not in given:
        return otherwise
    mark = _word(given[name]).encode()
    if len(mark) != 1 or not 0 < mark[0] < 0x80 or mark in b"\r\n":
        raise ValueError(f"{name} {mark.decode()!r}; use one ASCII character")
    return mark


def _word(argument: object) -> str:
    """An option's value that is a string or a name."""
    if isinstance(argument, str):
        return argument
    if isinstance(argument, dict) and "String" in argument:
        return str(argument["String"].get("sval", ""))
    raise ValueError("an option whose value is no string")


_HEADERS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def _header(argument: object) -> bool:
    if argument is None:
        return True
    value = ""
    if isinstance(argument, dict):
        kind, body = next(iter(argument.items()))
        value = {
            "Boolean": lambda: str(body.get("boolval", False)),
            "Integer": lambda: str(body.get("ival", 0)),
            "String": lambda: str(body.get("sval", "")),
        }.get(kind, str)()
    if value.lower() not in _HEADERS:
        raise ValueError(f"header {value}")
    return _HEADERS[value.lower()]
