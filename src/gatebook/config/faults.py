"""What pydantic found, in words: file, key, value, what was expected, and never a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from gatebook.config.document import Path, spelled
from gatebook.config.shape import Config, parts_of

SHOWN = 80  # characters of a value

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "int_type": "a whole number",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "string_type": "text (quote what looks like a number)",
    "tuple_type": "a list",
    "model_attributes_type": "keys and values",
}


def sentences(file: str, errors: Iterable[ErrorDetails], lines: Mapping[Path, int]) -> list[str]:
    """One line for each fault, in the order of the file as far as it tells."""
    return [text for _, text in sorted((_sentence(file, one, lines) for one in errors), key=lambda found: found[0])]


def _sentence(file: str, error: ErrorDetails, lines: Mapping[Path, int]) -> tuple[int, str]:
    """The line that it is in, 0 where nothing tells, and the fault."""
    found = tuple(part for part in error["loc"] if part != "[key]")
    path, kind = _without_kind(found)
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, "protocol")
    where = spelled(path) or "the whole file"
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 0)
    text = f"{file}: {where}: {_found(error, path)}{_expected(error, path, kind)}"
    return line, f"{text} (line {line})" if line else text


def _without_kind(found: Path) -> tuple[Path, str]:
    """A place as the file has it; of a target pydantic also says of which protocol it is."""
    if found[:1] == ("targets",) and len(found) > 2 and isinstance(found[1], int):
        return (*found[:2], *found[3:]), str(found[2])
    return found, ""


def _found(error: ErrorDetails, path: Path) -> str:
    if error["type"] in ("missing", "union_tag_not_found"):
        return "missing: "
    if error["type"] == "extra_forbidden":
        return "unknown key: "
    value = error["ctx"]["tag"] if error["type"] == "union_tag_invalid" else error["input"]
    if isinstance(value, dict | list):
        return "keys and values: " if isinstance(value, dict) else "a list: "
    return "a value not shown here: " if _may_be_secret(path, value) else f"{_shown(value)}: "


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _may_be_secret(path: Path, value: Any) -> bool:
    """Roles hold references to passwords; an ``@`` is where a URL has its password before it; other keys may be misspelt.

    Who puts an identity where its public key belongs must not find it in a log.
    """
    inside = {str(part).lower() for part in path}
    return bool(inside & {"roles", "password", "recipients"}) or (isinstance(value, str) and "@" in value)


def _expected(error: ErrorDetails, path: Path, kind: str) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "gatebook":
            return f"expected {context['expected']}"
        case "missing":
            return f"expected {_meaning(path, kind) or 'a value here'}"
        case "extra_forbidden":
            return _nearest(path, kind)
        case "union_tag_invalid" | "union_tag_not_found":
            return f"expected one of {_listed(context.get('expected_tags', '')) or _protocols()}"
        case "literal_error" | "enum":
            return f"expected one of {_listed(context['expected'])}"
        case "greater_than_equal":
            return f"expected at least {context['ge']}"
        case "less_than_equal":
            return f"expected at most {context['le']}"
        case kind:
            return f"expected {_EXPECTED.get(kind) or error['msg']}"


def _listed(alternatives: str) -> str:
    return ", ".join(re.findall(r"'([^']*)'", alternatives))


def _protocols() -> str:
    return ", ".join(sorted(_protocol(one) for one in parts_of(Config.model_fields["targets"].annotation)))


def _protocol(target: type[BaseModel]) -> str:
    return str(*get_args(target.model_fields["protocol"].annotation))


def _meaning(path: Path, kind: str) -> str:
    """What the key is for, from its description in the shape."""
    owner = _owner(path, kind)
    described = owner.model_fields.get(str(path[-1])) if owner and path else None
    return (described.description or "") if described else ""


def _nearest(path: Path, kind: str) -> str:
    owner = _owner(path, kind)
    known = sorted(owner.model_fields) if owner else []
    near = difflib.get_close_matches(str(path[-1]).lower(), known, n=1)
    return f"expected {near[0]}, perhaps" if near else f"expected one of {', '.join(known)}"


def _owner(path: Path, kind: str) -> type[BaseModel] | None:
    """The part of the shape whose key ends the path; ``kind`` is the protocol of the target that it is in."""
    owner: type[BaseModel] | None = Config
    for part in path[:-1]:
        if owner is not None and isinstance(part, str) and part in owner.model_fields:
            found = parts_of(owner.model_fields[part].annotation)
            owner = next((one for one in found if part == "targets" and _protocol(one) == kind), found[0] if found else None)
    return owner
