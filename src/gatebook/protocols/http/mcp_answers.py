"""What an MCP client hears: the tools that it may call, and refusals that an agent can read.

Answers to ``tools/list`` come as JSON, or as events of a stream (Server-Sent Events); on the stream of a GET they come again
after a lost connection, and in the older transport they come nowhere else. So every event of such a stream is looked at. A list
is only what a client is shown: a call is decided by itself, whether or not the tool was listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from gatebook.errors import WireError
from gatebook.model import Deed, Reach, Resource
from gatebook.protocols.http import mcp
from gatebook.protocols.http.contents import ABSENT, JSON_TYPE, read_json
from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.reading import FACTS, Reading, Shape, words_of

EVENTS_TYPE = "text/event-stream"
LIST = "tools/list"
ANSWER_BYTES = 16 * 1024 * 1024  # of one list, or one event: more is no list that anybody reads
TOOLS = 500  # of one list that are asked about; the policy is asked for each
REFUSED = -32050  # of JSON-RPC's range for servers; MCP itself has taken -32001, -32002, -32020 and -32042
META = "gatebook/refusal"

_LINE_END = rb"(?>\r\n|\n|\r)"
_EVENT_END = re.compile(_LINE_END + _LINE_END)
_LINES = re.compile(_LINE_END)
_MARK = b"\xef\xbb\xbf"


def lists_tools(request: Request, reading: Reading) -> bool:
    """Whether the answer may hold a list of tools."""
    if not reading.calls:
        return False
    return request.method == "GET" or any(call.method == LIST for call in reading.calls)


def call_of(name: str, like: Deed, shape: Shape) -> Deed:
    """The deed of calling a tool, without arguments, at the path of another request: for asking whether it is open."""
    reach = shape.mcp.reach(name) if shape.mcp is not None else Reach.UNKNOWN
    kept = ("method", "host", "path", "names_one", "route", "operation", "tags", "documented", "origin")
    facts = {**FACTS, **{fact: like.facts[fact] for fact in kept}, "method": "POST", "media_type": JSON_TYPE, "body_read": True}
    facts |= {"rpc_method": mcp.CALL, "tool": name, "words": words_of(like, name)}
    return Deed(verb="mcp.call", reach=reach, resource=Resource(kind="tool", name=name), facts=facts)


class ToolFilter:
    """Leaves out of an answer the tools that are not open. Owned by one answer; takes its content decoded, in UTF-8.

    What has no list in it goes on as it came, byte by byte.
    """

    def __init__(self, media_type: str, opens: Callable[[str], bool]) -> None:
        self._opens, self._events = opens, media_type == EVENTS_TYPE
        self._held = bytearray()
        self._looked = 0
        self.masked: dict[str, int] = {}

    @property
    def left_out(self) -> int:
        """How many tools were not shown."""
        return self.masked.get("tool", 0)

    def feed(self, data: bytes) -> bytes:
        """What may go on now. Raises WireError."""
        if b"\0" in data:
            raise WireError("an answer of MCP that holds NUL, as in UTF-16")
        self._held += data
        ready = self._whole_events() if self._events else b""
        if len(self._held) > ANSWER_BYTES:
            raise WireError(f"an answer of MCP of more than {ANSWER_BYTES} bytes in one message")
        return ready

    def finish(self) -> bytes:
        """What was held back. Raises WireError."""
        ready = self._whole_events(final=True) if self._events else b""
        rest = bytes(self._held)
        self._held.clear()
        if not rest:
            return ready
        return ready + (self._event(rest) if self._events else self._message(rest))

    def _whole_events(self, *, final: bool = False) -> bytes:
        ready = b""
        while found := _EVENT_END.search(self._held, self._looked):
            if found.end() == len(self._held) and not final and self._held.endswith(b"\r"):
                break  # a line feed may follow that belongs to it
            ready += self._event(bytes(self._held[: found.end()]))
            del self._held[: found.end()]
            self._looked = 0
        self._looked = max(0, len(self._held) - 4)
        return ready

    def _event(self, raw: bytes) -> bytes:
        """One event: its data is a message, over one line or several."""
        lines = _LINES.split(raw.removeprefix(_MARK))
        data = b"\n".join(line.partition(b":")[2].removeprefix(b" ") for line in lines if line.partition(b":")[0] == b"data")
        if not data:
            return raw
        said = self._message(data)
        if said == data:
            return raw
        others = [line for line in lines if line and line.partition(b":")[0] != b"data"]
        return b"\n".join((*others, b"data: " + said, b"", b""))

    def _message(self, data: bytes) -> bytes:
        """A message, or several, without the tools that are not open. What does not parse holds no list."""
        if b"tools" not in data and b"\\u" not in data:
            return data
        doubts = Doubts()
        value = read_json(data, doubts)
        if value is ABSENT:
            raise WireError(f"an answer of MCP that cannot be read: {doubts.why}")
        before = self.left_out
        for message in value if isinstance(value, list) else [value]:
            self._filter(message)
        return data if self.left_out == before else json.dumps(value, separators=(",", ":")).encode()

    def _filter(self, message: Any) -> None:
        result = message.get("result") if isinstance(message, dict) else None
        tools = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(tools, list):
            return
        kept = [tool for tool in tools[:TOOLS] if self._is_open(tool)]
        if len(kept) < len(tools):
            result["tools"] = kept
            self.masked["tool"] = self.left_out + len(tools) - len(kept)

    def _is_open(self, tool: Any) -> bool:
        name = tool.get("name") if isinstance(tool, dict) else None
        return isinstance(name, str) and self._opens(name)


def refusal(content: bytes, told: str, fields: Mapping[str, Any]) -> bytes | None:
    """The JSON-RPC answer to a refused request; None where nobody waits for one, or the content is no message.

    A refused call is a result that says that it is an error, so that the agent itself reads it: a sentence, and all the rest as
    JSON. Not as ``structuredContent``: clients hold that against the tool's own schema, and then show neither.
    """
    value = read_json(content, Doubts())
    messages = value if isinstance(value, list) else [value]
    answers = [one for one in (_refused(message, told, fields) for message in messages) if one is not None]
    if not answers:
        return None
    return orjson.dumps(answers if isinstance(value, list) else answers[0], default=str)


def _refused(message: Any, told: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    if not isinstance(message, dict) or "method" not in message or not isinstance(message.get("id"), str | int):
        return None
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] != mcp.CALL:
        return answer | {"error": {"code": REFUSED, "message": told, "data": dict(fields)}}
    texts: Iterable[str] = (told, orjson.dumps(dict(fields), default=str).decode())
    content = [{"type": "text", "text": text} for text in texts]
    return answer | {"result": {"content": content, "isError": True, "_meta": {META: dict(fields)}}}
