"""What can a request do? ``read`` answers from its head, its content and the target's shape; it asks nobody.

    request -> path, query, content (each strictly) -> kind: plain, WebSocket, gRPC, GraphQL, MCP -> deeds, facts

Closed unless proven open: whatever another server may read in another way, and whatever could not be read, adds the deed
``http.unknown`` to those that the request seems to have, and says why. A deed's reach is its method's, or what the
configuration says of its route; the strictest of several holds. docs/what-a-request-can-do.md says all of it.

Pure: the same request and shape give the same reading, and no request makes it raise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from gatebook.masking.detectors import cover_text
from gatebook.model import Deed, Reach, Resource
from gatebook.protocols.http import graphql, graphql_socket, mcp
from gatebook.protocols.http.bodyfacts import BodyFact, body_facts
from gatebook.protocols.http.contents import FORM, Content, is_json, media_type_of, read_content
from gatebook.protocols.http.doubts import Doubts, quoted, visible
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.paths import Path, read_path, read_query
from gatebook.protocols.http.projections import UNTOLD, renamed
from gatebook.protocols.http.routes import Match, Pattern, Routes

VERBS: Mapping[str, Reach] = MappingProxyType(
    {
        "http.get": Reach.READ,
        "http.head": Reach.READ,
        "http.options": Reach.READ,
        "http.post": Reach.WRITE,
        "http.put": Reach.WRITE,
        "http.patch": Reach.WRITE,
        "http.delete": Reach.WRITE,
        "http.grpc": Reach.WRITE,  # a call of gRPC, whatever its method does
        "http.websocket": Reach.UNKNOWN,  # what is said inside is not read
        "http.connect": Reach.UNKNOWN,  # a tunnel
        "http.other": Reach.UNKNOWN,  # any other method
        "http.unknown": Reach.UNKNOWN,  # besides the others, where something could not be told for sure
        "graphql.session": Reach.READ,  # a WebSocket in which each operation is decided by itself
        "graphql.query": Reach.READ,
        "graphql.subscription": Reach.READ,
        "graphql.mutation": Reach.WRITE,
        "mcp.session": Reach.READ,  # beginning, ending and keeping up a session of MCP
        "mcp.list": Reach.READ,  # which tools, resources and prompts there are
        "mcp.read": Reach.READ,  # a resource's contents
        "mcp.prompt": Reach.READ,  # a prompt's text
        "mcp.call": Reach.UNKNOWN,  # a tool, unless the configuration says what it does
    }
)

# Every deed of a request carries each of these facts; policies see them as context attributes of the same name.
FACTS: Mapping[str, bool | int | str | frozenset[str]] = MappingProxyType(
    {
        "method": "",  # as it was sent
        "host": "",  # that the client means, in lower case, without port
        "path": "",  # decoded, without query
        "words": frozenset(),  # that its path, tool and GraphQL fields are made of, in small letters, and its segments whole
        "names_one": False,  # its last segment is the name of one thing, as far as document or shape tell
        "route": "",  # the path's template in the target's document; "" where it has none
        "operation": "",  # the operation's id there
        "tags": frozenset(),  # the operation's tags there
        "documented": False,  # the document has this path with this method
        "parameters": frozenset(),  # "name=value" of path and query, decoded, all of those that come again
        "media_type": "",  # of its content, in lower case, without parameters
        "size": -1,  # of its content, in bytes; -1 where it is not known yet
        "body_read": False,  # its content was read
        "body": frozenset(),  # what the configuration's facts find in its content
        "origin": "",  # the page that sends it, as its browser says
        "upgrade": "",  # the protocol it asks the connection to speak from here on
        "service": "",  # of gRPC, with its package
        "rpc_method": "",  # of gRPC or MCP
        "tool": "",  # that it calls, of MCP
        "prompt": "",  # that it asks for, of MCP
        "uri": "",  # that it reads, of MCP
        "arguments": frozenset(),  # "name=value" of MCP, "field.name=value" of GraphQL
        "graphql_operation": "",  # its name
        "fields": frozenset(),  # of GraphQL, at the top; never by their aliases
        "all_fields": frozenset(),  # of GraphQL, at any depth
        "introspection": False,  # it asks GraphQL for its schema
        "batch": 1,  # how many operations of GraphQL, or messages of MCP, the request has
        "why_unknown": "",  # why something could not be told for sure
    }
)

Facts = dict[str, bool | int | str | frozenset[str]]

TARGET = Resource(kind="target", name="")
SHOWN_CHARACTERS = 2_000
SEEN_CHARACTERS = 64 * 1024  # of a request's content that people are shown
HIDDEN = "…"
BODY_BYTES = 1024 * 1024

_METHODS = frozenset("GET HEAD OPTIONS POST PUT PATCH DELETE".split())
_GRPC = "application/grpc"
_OVERRIDES = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
_REROUTES = frozenset({b"x-original-url", b"x-original-uri", b"x-rewrite-url", b"x-override-url", b"x-http-path-override"})
_PARAMETER = "_method"
_SUBPROTOCOL, _GRAPHQL = b"sec-websocket-protocol", b"graphql"
_ALL = frozenset({"all", "_all", "any", "-"})
_VERSION = re.compile(r"v[0-9]+(\.[0-9]+)*", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteReach:
    """What the configuration says of a route: how far requests to it go, by these methods or (none named) by any."""

    pattern: Pattern
    reach: Reach
    methods: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is known of a target before any request. ``graphql`` are paths, in small letters and without a slash at the end."""

    routes: Routes | None = None
    undocumented: Literal["allow", "unknown"] = "allow"
    reaches: tuple[RouteReach, ...] = ()
    graphql: frozenset[str] = frozenset()
    mcp: mcp.Shape | None = None
    facts: tuple[BodyFact, ...] = ()
    method_override: Literal["unknown", "ignored"] = "unknown"
    encoded_slashes: Literal["unknown", "kept"] = "unknown"
    body_bytes: int = BODY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A request, read. ``shown`` is one line of it, fit for a log: without values of the query and the content.

    ``fault`` says what is wrong with it by any reading: nobody is asked to approve it. ``calls`` are the messages of MCP that
    it sends. ``aliases`` are names that fields have in its answer alone, with those that they stand for, and ``renames`` says
    why these cannot be told: then nothing goes on under a rule on fields. ``request`` and
    ``body`` are what was read.
    """

    deeds: tuple[Deed, ...]
    shown: str
    fault: str
    request: Request = field(repr=False)
    body: bytes | None = field(repr=False)
    calls: tuple[mcp.Message, ...] = ()
    aliases: Mapping[str, frozenset[str]] = field(default_factory=dict)
    renames: str = ""

    @property
    def seen(self) -> str:
        """What people are shown who decide about it: all of it, covered by detectors alone. Made anew each time."""
        return _seen(self.request, self.body)


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing that the request does; ``facts`` are those of its own, ``names`` what it calls besides its path."""

    verb: str
    reach: Reach
    facts: Facts = field(default_factory=dict)
    resource: Resource | None = None
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class _Read:
    """A request while it is read."""

    request: Request
    body: bytes | None
    shape: Shape
    doubts: Doubts
    path: Path
    query: tuple[tuple[str, str], ...]
    content: Content
    match: Match = field(default_factory=Match)
    calls: tuple[mcp.Message, ...] = ()
    aliases: dict[str, frozenset[str]] = field(default_factory=dict)
    renames: str = ""
    said: str = ""


def read(request: Request, body: bytes | None, shape: Shape) -> Reading:
    """Read a request. ``body`` is its whole content, ``b""`` where it has none, None where it was not read."""
    doubts = Doubts()
    one = _Read(
        request=request,
        body=body,
        shape=shape,
        doubts=doubts,
        path=read_path(request.path, doubts, slashes=shape.encoded_slashes == "kept"),
        query=read_query(request.query, doubts),
        content=read_content(request, body, doubts),
    )
    if shape.routes is not None and one.path.known:
        one.match = shape.routes.match(one.path, request.method, doubts)
        if not one.match.documented and shape.undocumented == "unknown":
            doubts.unsure("its path, or its method there, is not in the target's document")
    _look_for_overrides(one)
    one.aliases, one.renames = renamed(one.query)
    parts = tuple(_parts(one))
    told = body_facts(shape.facts, one.content, one.path, request.method, doubts)
    facts = {**FACTS, **_facts(one), "body": told, "batch": max(len(parts), 1), "why_unknown": doubts.why}
    return Reading(
        deeds=tuple(_deeds(one, parts, facts)),
        shown=_shown(one),
        fault=doubts.fault,
        request=request,
        body=body,
        calls=one.calls,
        aliases=one.aliases,
        renames=one.renames,
    )


def wants(request: Request, shape: Shape) -> bool:
    """Whether what this request means depends on its content, so that it is to be waited for (``Shape.body_bytes`` at most)."""
    media_type, _ = media_type_of(request, Doubts())
    if request.upgrade or media_type.startswith(_GRPC):
        return False
    return is_json(media_type) or media_type in (FORM, "multipart/form-data", graphql.RAW) or bool(shape.facts)


def converses(request: Request, shape: Shape) -> bool:
    """Whether it opens a WebSocket of GraphQL whose messages are read: at a path of GraphQL, by its own subprotocols alone."""
    path = read_path(request.path, Doubts(), slashes=shape.encoded_slashes == "kept")
    return request.upgrade == "websocket" and path.text.casefold() in shape.graphql and graphql_socket.offered(request)


# What it does ------------------------------------------------------------------------------------------------------------


def _parts(one: _Read) -> Iterator[_Part]:
    request, content = one.request, one.content
    if request.method == "CONNECT" and request.upgrade != "websocket":
        yield _part(one, "http.connect", "CONNECT")
    elif request.upgrade == "websocket":
        if request.method not in ("GET", "CONNECT"):
            one.doubts.wrong(f"it asks for a WebSocket by {quoted(request.method)}")
        if converses(request, one.shape):
            graphql.only_opens(one.query, one.doubts)
            yield _Part("graphql.session", _reach(one, VERBS["graphql.session"], None))
            return
        if one.path.text.casefold() in one.shape.graphql or any(_GRAPHQL in value for value in request.all(_SUBPROTOCOL)):
            one.renames = UNTOLD.format("GraphQL inside of a WebSocket is not read")
        yield _part(one, "http.websocket", "WEBSOCKET")
    elif request.upgrade:
        one.doubts.unsure(f"it asks the connection to speak {quoted(request.upgrade)} from here on")
        yield _by_method(one)
    elif content.media_type.startswith(_GRPC):
        yield _grpc(one)
    elif one.path.text.casefold() in one.shape.graphql and not _asks_nothing(one):
        yield from _graphql(one)
    else:
        sent = _mcp(one)
        yield from [_by_method(one)] if sent is None else sent


def _asks_nothing(one: _Read) -> bool:
    """Whether a request to a path of GraphQL can hold no operation: a browser that looks at its page."""
    request = one.request
    return request.method == "OPTIONS" or (request.method in ("GET", "HEAD") and not request.query and one.content.size == 0)


def _by_method(one: _Read) -> _Part:
    method = one.request.method
    return _part(one, f"http.{method.lower()}" if method in _METHODS else "http.other", method)


def _part(one: _Read, verb: str, method: str, facts: Facts | None = None) -> _Part:
    return _Part(verb, _reach(one, VERBS[verb], method), facts or {})


def _grpc(one: _Read) -> _Part:
    if one.request.method != "POST" or len(one.path.segments) != 2:
        one.doubts.wrong("a call of gRPC is a POST to /service/method")
        return _part(one, "http.grpc", "GRPC")
    service, method = one.path.segments
    return _part(one, "http.grpc", "GRPC", {"service": service, "rpc_method": method})


def _graphql(one: _Read) -> Iterator[_Part]:
    inner = Doubts()
    asked = graphql.operations(one.request.method, one.query, one.content, one.body, inner)
    one.doubts.add(inner)
    if inner.found:
        one.renames = UNTOLD.format(next(iter(inner.found)))
    one.said = "; ".join(operation.shown for operation in asked)
    if not asked:
        yield _by_method(one)
    for operation in asked:
        for alias, names in operation.aliases.items():
            one.aliases[alias] = one.aliases.get(alias, frozenset()) | names
        verb = f"graphql.{operation.kind}"
        facts: Facts = {
            "graphql_operation": operation.name,
            "fields": frozenset(operation.fields),
            "all_fields": frozenset(operation.all_fields),
            "arguments": frozenset(operation.arguments),
            "introspection": operation.introspects,
        }
        yield _Part(verb, _reach(one, VERBS[verb], None), facts, names=(*operation.fields,))


def _mcp(one: _Read) -> list[_Part] | None:
    """What its messages do, or None where it has none."""
    shape = one.shape.mcp
    sent = mcp.messages(one.request, one.path, one.content, one.body, shape, one.doubts) if shape is not None else None
    if sent is None:
        if shape is not None and one.request.method == "POST" and one.body is None:
            one.doubts.unsure("its content was not read, and may call a tool")
        return None
    one.calls = sent
    one.said = "; ".join(message.shown for message in sent if message.method)
    return [_sent(one, message) for message in sent] or [_by_method(one)]


def _sent(one: _Read, message: mcp.Message) -> _Part:
    names = (message.tool,) if message.tool else ()
    return _Part(message.verb, _reach(one, message.reach, None), _told(message), _tool(message), names)


def _told(message: mcp.Message) -> Facts:
    return {
        "rpc_method": message.method,
        "tool": message.tool,
        "prompt": message.prompt,
        "uri": message.uri,
        "arguments": message.arguments,
    }


def _tool(message: mcp.Message) -> Resource | None:
    return Resource(kind="tool", name=message.tool) if message.tool else None


def _reach(one: _Read, usual: Reach, method: str | None) -> Reach:
    """How far a deed goes, by what the configuration says of its route.

    An entry that names the method says how far it goes, be that less than usual; one that does not can only raise it. One whose
    letters fit only without regard to capitals can only raise it, too, as can any for GraphQL and MCP (``method`` None).
    """
    path = one.path
    fitting = [
        entry
        for entry in one.shape.reaches
        if (not entry.methods or method is None or method in entry.methods) and entry.pattern.matches(path.segments)
    ]
    stated = [
        entry.reach
        for entry in fitting
        if method is not None and entry.methods and path.known and entry.pattern.matches(path.segments, exactly=True)
    ]
    base = max(stated, key=lambda reach: reach.rank) if stated else usual
    return max((base, *(entry.reach for entry in fitting)), key=lambda reach: reach.rank)


def _look_for_overrides(one: _Read) -> None:
    """Whether the request tells its server to take it for another one."""
    request, doubts = one.request, one.doubts
    names = {name.replace(b"_", b"-") for name, _ in request.fields}
    for name in sorted(names & _REROUTES):
        doubts.unsure(f"its field {name.decode()} tells some servers another path")
    if one.shape.method_override == "ignored":
        return
    method = request.method.encode("latin-1", "replace")
    for name, value in request.fields:
        if name.replace(b"_", b"-") in _OVERRIDES and value.strip() != method:
            doubts.unsure(f"its field {name.decode('latin-1')} tells some servers another method")
    if any(name.casefold() == _PARAMETER for name, _ in one.query):
        doubts.unsure(f"its query has {_PARAMETER}, which tells some servers another method")
    content = one.content
    if isinstance(content.value, dict) and any(name.casefold() == _PARAMETER for name in content.value):
        doubts.unsure(f"its content has {_PARAMETER}, which tells some servers another method")
    if content.media_type == "multipart/form-data" and one.body and _PARAMETER.encode() in one.body.lower():
        doubts.unsure(f"its content may have {_PARAMETER}, which tells some servers another method")
    if content.is_form and not content.read and content.size != 0:
        doubts.unsure("its form was not read, and may tell some servers another method")


# What it is told as ------------------------------------------------------------------------------------------------------


def _facts(one: _Read) -> Facts:
    request, match, content = one.request, one.match, one.content
    pairs = (*match.parameters, *one.query)
    return {
        "method": visible(request.method),
        "host": _host(request.authority),
        "path": one.path.text,
        "words": frozenset(_words(one.path.segments)),
        "names_one": _names_one(one),
        "route": match.template,
        "operation": match.operation,
        "tags": match.tags,
        "documented": match.documented,
        "parameters": frozenset(f"{name}={value}" for name, value in pairs),
        "media_type": content.media_type,
        "size": content.size,
        "body_read": content.read,
        "origin": visible(", ".join(value.decode("latin-1") for value in request.all(b"origin"))),
        "upgrade": visible(request.upgrade),
    }


def _words(names: Iterable[str]) -> Iterator[str]:
    """Names in small letters, and words: of ``api-keys`` are ``api``, ``keys``, of ``deleteUser`` ``delete``, ``user``."""
    for name in names:
        yield name.casefold()
        yield from (word.casefold() for word in _WORD.findall(name))


def words_of(like: Deed, name: str) -> frozenset[str]:
    """The words of a call of this name at another deed's path."""
    return frozenset(_words([*str(like.facts["path"]).split("/")[1:], name]))


def _names_one(one: _Read) -> bool:
    """Whether the path ends with what stands for one thing: a parameter by the document; without one, a segment with a digit.

    A star or a comma in it stands for several.
    """
    if not one.path.known or not one.path.segments:
        return False
    last = one.path.segments[-1].replace("%2F", "/")
    if any(letter in last for letter in "*,?") or last.casefold() in _ALL:
        return False
    if one.match.template:
        return one.match.template.rpartition("/")[2].count("{") > 0
    return any(letter.isdigit() for letter in last) and _VERSION.fullmatch(last) is None


def _host(authority: str) -> str:
    host, colon, port = visible(authority).lower().rpartition(":")
    return host if colon and port.isdigit() else visible(authority).lower()


def _deeds(one: _Read, parts: Iterable[_Part], facts: Facts) -> Iterator[Deed]:
    # A resource's name goes to the book: rules find the path itself among what the route is in (policy/request.py).
    name = one.match.template or cover_text(one.path.text)
    here = Resource(kind="route", name=name) if one.path.segments != ("*",) else TARGET
    for part in parts:
        own = {**facts, **part.facts}
        named = frozenset(_words([*part.names]))
        if named:
            own["words"] = frozenset(_words(one.path.segments)) | named
        yield Deed(verb=part.verb, reach=part.reach, resource=part.resource or here, facts=own)
    if one.doubts.found:
        yield Deed(verb="http.unknown", reach=VERBS["http.unknown"], resource=here, facts=facts)


def _shown(one: _Read) -> str:
    """The request in one line, for logs: the path covered, of the query only the names."""
    names = "&".join(f"{cover_text(name)}={HIDDEN}" for name, _ in one.query)
    head = f"{one.request.method} {cover_text(one.path.text)}{'?' if names else ''}{names}"
    line = f"{head} {cover_text(one.said)}" if one.said else head
    return visible(line[:SHOWN_CHARACTERS]).replace("\n", "\\n")


def _seen(request: Request, body: bytes | None) -> str:
    nobody = Doubts()
    path, query = read_path(request.path, nobody), read_query(request.query, nobody)
    pairs = "".join(f"\n  {name} = {value}" for name, value in query)
    kind = media_type_of(request, nobody)[0]
    lines = [f"{request.method} {path.text}{pairs}", f"host: {request.authority}"]
    if body is None:
        lines.append(f"content: {kind or 'of no type'}, not read")
    elif body:
        digest = hashlib.sha256(body).hexdigest()
        lines += [f"content: {kind or 'of no type'}, {len(body)} bytes, sha256 {digest}", *_text(body, kind)]
    return visible(cover_text("\n".join(lines)))


def _text(body: bytes, kind: str) -> list[str]:
    """The content as far as people can read it."""
    if not (is_json(kind) or kind in (FORM, graphql.RAW, "") or kind.startswith(("text/", "multipart/")) or "xml" in kind):
        return []
    shown = body[:SEEN_CHARACTERS].decode("utf-8", "backslashreplace")
    rest = len(body) - SEEN_CHARACTERS
    return ["", shown] if rest <= 0 else ["", shown, f"({rest} bytes more)"]


def no_facts(**known: Any) -> Facts:
    """All facts with these values; the rest say nothing."""
    return {**FACTS, **known}
