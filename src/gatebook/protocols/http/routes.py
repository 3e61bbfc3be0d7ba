"""Which route a path takes: by the configuration's patterns, and by the templates of an OpenAPI document.

Templates are matched as OpenAPI says: a segment that is written out beats one with a parameter. Where two templates fit and
neither is the more concrete in every segment, servers differ, and so there is a doubt. OpenAPI 3.x and Swagger 2 are read; a
``$ref`` may lead to another place of the same document only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.paths import SEGMENTS, Path, read_path

REST = "**"  # of a pattern: any number of segments, none included
METHODS = frozenset("get put post delete options head patch trace".split())
FITTING = 64  # templates that are weighed against each other for one path
TEMPLATES = 20_000  # of one document
BASES = 16
REFERENCES = 8  # one after the other

_HOST = re.compile(r"(?:(?:[A-Za-z][A-Za-z0-9+.-]*|\{[^{}]*\}):)?//[^/]*")
_VARIABLE = re.compile(r"\{([^{}/]*)\}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """``/iam/**``: each segment a text, ``*`` or ``{…}`` for any one, ``**`` at the end for any that follow."""

    text: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Raises ValueError."""
        doubts = Doubts()
        bare = text.replace("*", "x").replace("{", "x").replace("}", "x")
        if not text.startswith("/") or "?" in text or not read_path(bare, doubts).known:
            raise ValueError("a path as /users, /users/*/roles or /iam/**")
        segments = tuple(part for part in text.split("/") if part)
        if any(REST in part for part in segments[:-1]) or any("*" in part and part not in ("*", REST) for part in segments):
            raise ValueError("a path with * for one whole segment, and ** at its end only")
        return cls(text, tuple("*" if _VARIABLE.fullmatch(part) else part for part in segments))

    def matches(self, segments: tuple[str, ...], *, exactly: bool = False) -> bool:
        """Whether a path takes it; capitals count only where ``exactly``, since to many servers they mean nothing."""
        own = self.segments
        if own and own[-1] == REST:
            own = own[:-1]
            segments = segments[: len(own)]
        return len(own) == len(segments) and all(
            one == "*" or one == part or (not exactly and one.casefold() == part.casefold())
            for one, part in zip(own, segments, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method does on one template."""

    id: str
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Template:
    """``/customers/{id}`` with its base path in front. Each segment is its pieces of text, with a parameter between two."""

    text: str
    segments: tuple[tuple[str, ...], ...]
    names: tuple[tuple[str, ...], ...]
    operations: Mapping[str, Operation]

    def fits(self, segments: tuple[str, ...]) -> tuple[tuple[str, str], ...] | None:
        """Name and value of each parameter, or None where the path is another."""
        found: list[tuple[str, str]] = []
        for pieces, names, segment in zip(self.segments, self.names, segments, strict=True):
            values = _values(pieces, segment)
            if values is None:
                return None
            found += zip(names, values, strict=True)
        return tuple(found)

    def more_concrete(self, other: Template) -> bool:
        """Whether it says at least as much as the other in every segment that is not the same."""
        pairs = zip(self.segments, other.segments, strict=True)
        return all(_weight(mine) >= _weight(theirs) for mine, theirs in pairs)


def _weight(pieces: tuple[str, ...]) -> tuple[bool, int]:
    return len(pieces) == 1, sum(map(len, pieces))


def _values(pieces: tuple[str, ...], segment: str) -> tuple[str, ...] | None:
    """What stands between the pieces, each at least one character."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return () if segment == first else None
    if not (segment.startswith(first) and segment.endswith(last) and len(segment) > len(first) + len(last)):
        return None
    values, at, end = [], len(first), len(segment) - len(last)
    for piece in pieces[1:-1]:
        next_at = segment.find(piece, at + 1, end) if piece else at + 1
        if next_at < 0 or next_at >= end:
            return None
        values.append(segment[at:next_at])
        at = next_at + len(piece)
    values.append(segment[at:end])
    return tuple(values) if values[-1] else None


@dataclass(frozen=True, slots=True)
class Match:
    """Where a path belongs. ``documented`` says that its method is, too."""

    template: str = ""
    operation: str = ""
    tags: frozenset[str] = frozenset()
    parameters: tuple[tuple[str, str], ...] = ()
    documented: bool = False


@dataclass(slots=True)
class _Node:
    """The templates whose first segments are the way here: by text, and those with a parameter in the next one."""

    texts: dict[str, _Node] = field(default_factory=dict)
    parameters: dict[tuple[str, ...], _Node] = field(default_factory=dict)
    ends: list[Template] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Routes:
    """All templates of a document, to be asked for a path."""

    templates: tuple[Template, ...]
    _root: _Node = field(default_factory=_Node, repr=False, compare=False)
    _folded: _Node = field(default_factory=_Node, repr=False, compare=False)

    def __post_init__(self) -> None:
        for template in self.templates:
            _put(self._root, template, template.segments)
            _put(self._folded, template, tuple(tuple(piece.casefold() for piece in pieces) for pieces in template.segments))

    def match(self, path: Path, method: str, doubts: Doubts) -> Match:
        """The route of a path; none where the document has none."""
        found = list(_fitting(self._root, path.segments))
        if not found:
            if next(_fitting(self._folded, tuple(part.casefold() for part in path.segments)), None) is not None:
                doubts.unsure("its path is that of a documented route in other letters")
            return Match()
        best = next((one for one in found if all(one.more_concrete(other) for other in found)), None)
        rivals = [one for one in found if one is not best and best is not None and one.more_concrete(best)]
        if best is None or rivals or len(found) > FITTING:
            doubts.unsure("its path fits several documented routes, and servers differ in which they take")
            best = best or found[0]
        operation = best.operations.get(method.lower())
        if operation is None and method == "HEAD":
            operation = best.operations.get("get")
        return Match(
            template=best.text,
            operation=operation.id if operation else "",
            tags=operation.tags if operation else frozenset(),
            parameters=best.fits(path.segments) or (),
            documented=operation is not None or method == "OPTIONS",
        )


def _put(node: _Node, template: Template, segments: tuple[tuple[str, ...], ...]) -> None:
    for pieces in segments:
        below: dict[Any, _Node] = node.texts if len(pieces) == 1 else node.parameters
        node = below.setdefault(pieces[0] if len(pieces) == 1 else pieces, _Node())
    node.ends.append(template)


def _fitting(root: _Node, segments: tuple[str, ...]) -> Iterator[Template]:
    """Every template that fits, up to one more than are weighed."""
    nodes = [root]
    for segment in segments:
        below = [node.texts[segment] for node in nodes if segment in node.texts]
        below += [inner for node in nodes for pieces, inner in node.parameters.items() if _values(pieces, segment) is not None]
        nodes = below[: FITTING + 1]
    ends = [template for node in nodes for template in node.ends]
    yield from ends[: FITTING + 1]


# Documents ---------------------------------------------------------------------------------------------------------------


def read_document(text: str) -> Routes:
    """The routes of an OpenAPI document, JSON or YAML. Raises ValueError that says where and what was expected."""
    document = _parsed(text)
    version = str(document.get("openapi", ""))
    if not version.startswith("3.") and str(document.get("swagger")) != "2.0":
        raise ValueError(f"openapi: {version!r}: expected 3.x, or swagger: 2.0")
    paths = document.get("paths") or {}
    if not isinstance(paths, dict):
        raise ValueError("paths: expected a table of paths")
    templates: dict[tuple[tuple[str, ...], ...], Template] = {}
    for path, written in paths.items():
        if not isinstance(path, str) or not path.startswith("/"):
            if not str(path).startswith("x-"):
                raise ValueError(f"paths.{path}: expected a path that begins with a slash")
            continue
        item = _resolved(document, written, f"paths.{path}")
        for base in _bases(document, item):
            template = _template(base + path, item)
            known = templates.setdefault(template.segments, template)
            if known is not template:
                both = {**template.operations, **known.operations}
                templates[template.segments] = replace(known, operations=both)
        if len(templates) > TEMPLATES:
            raise ValueError(f"paths: more than {TEMPLATES}: expected fewer")
    if not templates:
        raise ValueError("paths: expected at least one path")
    return Routes(tuple(templates.values()))


def _parsed(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        try:
            document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ValueError(f"{' '.join(str(error).split())[:200]}: expected JSON or YAML") from None
    if not isinstance(document, dict):
        raise ValueError("expected an OpenAPI document")
    return document


def _resolved(document: Mapping[str, Any], item: Any, place: str) -> Mapping[str, Any]:
    """A path's item, by way of its ``$ref``."""
    for _ in range(REFERENCES):
        if not isinstance(item, dict):
            raise ValueError(f"{place}: expected a table of operations")
        reference = item.get("$ref")
        if reference is None:
            return item
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise ValueError(f"{place}: $ref {reference!r}: expected a place in the same document, as #/components/pathItems/x")
        item = document
        for part in reference.removeprefix("#/").split("/"):
            item = item.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(item, dict) else None
    raise ValueError(f"{place}: $ref: expected at most {REFERENCES} one after the other")


def _bases(document: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths in front of a path: those of the servers that are nearest to it."""
    if "swagger" in document:
        return (_base(str(document.get("basePath") or "")),)
    operations = [item[method] for method in sorted(METHODS & item.keys()) if isinstance(item[method], dict)]
    own = [one for operation in operations for one in operation.get("servers") or ()]
    servers = [*own, *(item.get("servers") or document.get("servers") or ())]
    found = tuple(dict.fromkeys(base for one in servers for base in _server(one)))
    if len(found) > BASES:
        raise ValueError(f"servers: {len(found)} base paths: expected at most {BASES}")
    return found or ("",)


def _server(server: Any) -> Iterator[str]:
    """The base paths of one server; a variable stands for each of its values, or for any."""
    url = server.get("url") if isinstance(server, dict) else None
    if not isinstance(url, str):
        raise ValueError("servers: url: expected a URL")
    variables = server.get("variables") or {}
    first = _VARIABLE.match(url)
    about = variables.get(first[1]) if first is not None and isinstance(variables, dict) else None
    if first is not None and isinstance(about, dict) and "://" in str(about.get("default")):
        url = f"{about['default']}{url[first.end() :]}"
    host = _HOST.match(url)
    written = [re.split("[?#]", url[host.end() :] if host else url)[0]]
    for name in _VARIABLE.findall(written[0]):
        about = variables.get(name) if isinstance(variables, dict) else None
        values = about.get("enum") if isinstance(about, dict) else None
        if isinstance(values, list) and values:
            written = [one.replace(f"{{{name}}}", str(value)) for one in written for value in values[:BASES]]
    yield from (_base(one) for one in written)


def _base(path: str) -> str:
    path = path.rstrip("/")
    return path if not path or path.startswith("/") else f"/{path}"


def _template(text: str, item: Mapping[str, Any]) -> Template:
    parts = [part for part in text.split("/") if part]
    if len(parts) > SEGMENTS:
        raise ValueError(f"paths.{text}: expected at most {SEGMENTS} segments")
    split = [_VARIABLE.split(part) for part in parts]
    return Template(
        text="/" + "/".join(parts),
        segments=tuple(tuple(_decoded(piece, text, whole=len(part) == 1) for piece in part[::2]) for part in split),
        names=tuple(tuple(part[1::2]) for part in split),
        operations={method: _operation(item[method]) for method in METHODS & item.keys() if isinstance(item[method], dict)},
    )


def _decoded(piece: str, text: str, *, whole: bool) -> str:
    """A piece of a template as requests' paths have it; those may be written with % in the document."""
    if not whole and "%" not in piece:
        return piece
    doubts = Doubts()
    found = read_path(f"/{piece}", doubts)
    if not found.known:
        raise ValueError(f"paths.{text}: expected a path of which there is no doubt: {doubts.why}")
    return found.text.removeprefix("/")


def _operation(written: Mapping[str, Any]) -> Operation:
    tags = written.get("tags")
    return Operation(
        id=str(written.get("operationId") or ""),
        tags=frozenset(map(str, tags)) if isinstance(tags, list) else frozenset(),
    )
