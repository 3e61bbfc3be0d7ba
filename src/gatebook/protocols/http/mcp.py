"""What a message of the Model Context Protocol does: JSON-RPC in the content of a POST, over streamable HTTP or the older SSE.

Revisions 2024-11-05 to 2026-07-28. A tool is asked for by its name; what it does, nobody can tell from here, so a call's reach
is unknown unless the configuration names the tool. Envelopes are read strictly: a name that stands there in other letters, or a
header field that says something else than the message (``Mcp-Method``, ``Mcp-Name``), is a doubt.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gatebook.model import Reach
from gatebook.protocols.http.contents import ABSENT, Content, single_values
from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.paths import Path

BATCH = 50  # messages in one request
NAME_CHARACTERS = 200
URI_CHARACTERS = 4_096
ARGUMENTS = 500
ARGUMENT_CHARACTERS = 1_000

SESSION = frozenset(
    "initialize ping server/discover logging/setLevel completion/complete notifications/initialized notifications/cancelled "
    "notifications/progress notifications/roots/list_changed subscriptions/listen tasks/get tasks/result tasks/list "
    "tasks/cancel".split()
)
LIST = frozenset("tools/list resources/list resources/templates/list prompts/list".split())
READ = frozenset("resources/read resources/subscribe resources/unsubscribe".split())
CALL, PROMPT = "tools/call", "prompts/get"

PASSING = frozenset({b"mcp-session-id"})  # says what connection of an agent's it is, as message ids say which message

_ENVELOPE = frozenset("jsonrpc id method params result error".split())
_PARAMS = frozenset("name uri arguments".split())
_ENCODED = ("=?base64?", "?=")
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Which paths speak MCP, and which tools are known to read or to write."""

    paths: frozenset[str]
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()

    def reach(self, tool: str) -> Reach:
        """How far a call of this tool goes."""
        if tool in self.writes:
            return Reach.WRITE
        return Reach.READ if tool in self.reads else Reach.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message that does something. ``tool``, ``prompt`` and ``uri`` are ``""`` unless it names one."""

    verb: str
    reach: Reach
    method: str
    tool: str = ""
    prompt: str = ""
    uri: str = ""
    arguments: frozenset[str] = frozenset()
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """It in a few words, without values."""
        named = self.tool or self.prompt
        given = ", ".join(sorted(self.given)[:10])
        return f"{self.method} {named}({given})" if named else f"{self.method} {self.uri}".strip()


def messages(
    request: Request, path: Path, content: Content, body: bytes | None, shape: Shape, doubts: Doubts
) -> tuple[Message, ...] | None:
    """What a request does; None where it is none of MCP: then it is read as any other.

    A message of JSON-RPC counts at any path of a target that speaks MCP: the older transport tells its client where to send to.
    """
    here = f"/{'/'.join(path.segments)}".casefold() in shape.paths
    if request.method in ("GET", "DELETE", "HEAD", "OPTIONS"):
        return (Message(verb="mcp.session", reach=Reach.READ, method=""),) if here and request.method != "OPTIONS" else None
    rpc = content.value is not ABSENT and any(isinstance(one, dict) and "jsonrpc" in one for one in _all(content.value))
    if not here and not rpc:
        if content.value is ABSENT and body and body.lstrip()[:1] in (b"{", b"[") and (b"jsonrpc" in body or b"\\u" in body):
            doubts.unsure("its content may be a message of MCP, and is not said to be JSON")
        return None
    if request.method != "POST":
        doubts.unsure(f"a message of MCP by {quoted(request.method)}")
    if not content.read:
        doubts.unsure("its message of MCP was not read")
        return ()
    if not content.is_json or content.value is ABSENT:
        doubts.unsure("its message of MCP is not JSON")
        return ()
    found = _all(content.value)
    if not 0 < len(found) <= BATCH:
        doubts.wrong(f"it has {len(found)} messages of MCP, not 1 to {BATCH}")
        return ()
    read = tuple(_message(one, shape, doubts) for one in found)
    _compare_fields(request, [one for one in read if one is not None], doubts)
    return tuple(one for one in read if one is not None)


def _all(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _message(message: Any, shape: Shape, doubts: Doubts) -> Message | None:
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        doubts.wrong("its message is not JSON-RPC 2.0")
        return None
    if strange := sorted(message.keys() - _ENVELOPE):
        doubts.unsure(f"its message has {quoted(strange[0])}, which is not one of JSON-RPC's names")
    method, params = message.get("method"), message.get("params", {})
    if method is None and ("result" in message) != ("error" in message):
        return Message(verb="mcp.session", reach=Reach.READ, method="")  # the client's answer to the server
    if not isinstance(method, str) or not isinstance(params, dict) or not message.keys().isdisjoint({"result", "error"}):
        doubts.wrong("its message is neither a request nor an answer")
        return None
    for name in params:
        if name not in _PARAMS and name.casefold() in _PARAMS:
            doubts.unsure(f"its message has {quoted(name)} in other letters")
    return _request(method, params, shape, doubts)


def _request(method: str, params: dict[str, Any], shape: Shape, doubts: Doubts) -> Message | None:
    if method in SESSION:
        return Message(verb="mcp.session", reach=Reach.READ, method=method)
    if method in LIST:
        return Message(verb="mcp.list", reach=Reach.READ, method=method)
    if method in READ:
        uri = _text(params, "uri", URI_CHARACTERS, doubts)
        return Message(verb="mcp.read", reach=Reach.READ, method=method, uri=uri)
    if method in (CALL, PROMPT):
        name = _text(params, "name", NAME_CHARACTERS, doubts)
        given = params.get("arguments", {})
        if not isinstance(given, dict):
            doubts.wrong("its arguments are no object")
            given = {}
        told = frozenset(_arguments(given, doubts))
        if method == CALL:
            return Message(verb="mcp.call", reach=shape.reach(name), method=method, tool=name, arguments=told, given=given)
        return Message(verb="mcp.prompt", reach=Reach.READ, method=method, prompt=name, arguments=told, given=given)
    doubts.unsure(f"what MCP's method {quoted(method)} does is not known")
    return None


def _text(params: dict[str, Any], name: str, longest: int, doubts: Doubts) -> str:
    """A name that a message gives; what is not plain ASCII could be taken for another name."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        doubts.wrong(f"its message has no {name}")
        return ""
    if len(value) > longest or not value.isascii() or not value.isprintable() or value != value.strip():
        doubts.unsure(f"its {name} {quoted(value)} has letters that may stand for others, or is too long")
        return ascii(value[:longest])
    return value


def _arguments(given: dict[str, Any], doubts: Doubts) -> Iterator[str]:
    for number, (name, value) in enumerate(single_values("", given, ARGUMENTS)):
        if number == ARGUMENTS or len(value) > ARGUMENT_CHARACTERS:
            doubts.unsure("its arguments are more, or longer, than are told to rules") if number == ARGUMENTS else None
            continue
        yield f"{name}={value}"


def _compare_fields(request: Request, read: list[Message], doubts: Doubts) -> None:
    """Header fields that repeat the message must say the same: a server may go by either."""
    for name, known in (
        (b"mcp-method", {one.method for one in read}),
        (b"mcp-name", {one.tool or one.prompt or one.uri for one in read}),
    ):
        values = {_field(value) for value in request.all(name)}
        if values and values != known:
            doubts.unsure(f"its field {name.decode()} is not what its message says")


def _field(value: bytes) -> str | None:
    """The value of a mirrored field, which may be in Base64; None where it is broken."""
    text = value.strip().decode("latin-1")
    if not (text.startswith(_ENCODED[0]) and text.endswith(_ENCODED[1])):
        return text
    try:
        return base64.b64decode(text[len(_ENCODED[0]) : -len(_ENCODED[1])], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def numberless(content: bytes) -> bytes:
    """A message that was read, without what numbers it: ids and progress tokens, which clients count on with each message.

    All else stands as it stood, byte for byte, since a yes is bound to it.
    """
    text = content.decode()
    message = _members(text, 0)
    meta = _inside(text, _inside(text, message, "params"), "_meta")
    numbers = [spans[name] for spans, name in ((message, "id"), (meta, "progressToken")) if name in spans]
    for begin, end in sorted(numbers, reverse=True):
        if type(json.loads(text[begin:end])) in (int, str):
            text = f"{text[:begin]}0{text[end:]}"
    return text.encode()


def _inside(text: str, spans: dict[str, tuple[int, int]], name: str) -> dict[str, tuple[int, int]]:
    return _members(text, spans[name][0]) if name in spans else {}


def _members(text: str, at: int) -> dict[str, tuple[int, int]]:
    """Where the values of the object's members stand that begins here, or behind some space; nothing where none does."""
    found: dict[str, tuple[int, int]] = {}
    at = _after_space(text, at)
    if not text.startswith("{", at):
        return found
    at = _after_space(text, at + 1)
    while not text.startswith("}", at):
        name, at = _DECODER.raw_decode(text, at)
        begin = _after_space(text, _after_space(text, at) + 1)
        _, end = _DECODER.raw_decode(text, begin)
        found[name] = (begin, end)
        at = _after_space(text, end)
        if text.startswith(",", at):
            at = _after_space(text, at + 1)
    return found


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
