"""What MCP clients hear: lists without the tools that are not open, and refusals that an agent can read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.http.shapes import SHAPES

from gatebook.errors import WireError
from gatebook.model import Reach
from gatebook.protocols.http.mcp_answers import ANSWER_BYTES, META, TOOLS, ToolFilter, call_of, lists_tools, refusal
from gatebook.protocols.http.reading import FACTS, read
from gatebook.protocols.http.written import parse

OPEN = {"get_ticket", "add_note"}
API = SHAPES["api"]


def listed(*names: Any, id: int = 1, **more: Any) -> dict[str, Any]:
    tools = [{"name": name, "description": "…", "inputSchema": {"type": "object"}} for name in names]
    return {"jsonrpc": "2.0", "id": id, "result": {"tools": tools, **more}}


def filtered(
    data: bytes, kind: str = "application/json", opens: Callable[[str], bool] = OPEN.__contains__
) -> tuple[bytes, int]:
    one = ToolFilter(kind, opens)
    return one.feed(data) + one.finish(), one.left_out


def names(message: Any) -> list[str]:
    return [tool["name"] for tool in message["result"]["tools"]]


def event(message: Any, end: str = "\n", **fields: str) -> bytes:
    lines = [f"{name}: {value}" for name, value in fields.items()] + [f"data: {json.dumps(message)}", "", ""]
    return end.join(lines).encode()


def test_a_list_has_the_tools_that_are_open_and_says_how_many_were_left_out() -> None:
    data, left_out = filtered(json.dumps(listed("get_ticket", "drop_all", "add_note", "close", nextCursor="x")).encode())
    assert names(json.loads(data)) == ["get_ticket", "add_note"]
    assert json.loads(data)["result"]["nextCursor"] == "x"
    assert left_out == 2


def test_a_list_that_is_open_whole_goes_on_as_it_came() -> None:
    data = b'{ "jsonrpc":"2.0", "id": 1,\n "result": {"tools": [ {"name": "get_ticket"} ] } }'
    assert filtered(data) == (data, 0)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_list_in_a_character_set_that_only_its_reader_guesses_does_not_pass(codec: str, kind: str) -> None:
    text = json.dumps(listed("drop_all"))
    with pytest.raises(WireError):
        filtered((text if kind == "application/json" else f"data: {text}\n\n").encode(codec), kind)


@pytest.mark.parametrize("tool", [7, None, {}, {"name": 7}, {"name": None}, {"Name": "get_ticket"}, [], "get_ticket"])
def test_what_is_no_tool_is_left_out(tool: Any) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [tool]}}
    data, left_out = filtered(json.dumps(message).encode())
    assert json.loads(data)["result"]["tools"] == []
    assert left_out == 1


def test_every_list_of_a_batch_is_read() -> None:
    batch = [listed("get_ticket", "drop_all"), {"jsonrpc": "2.0", "id": 2, "result": {}}, listed("drop_all", id=3)]
    data, left_out = filtered(json.dumps(batch).encode())
    first, second, third = json.loads(data)
    assert (names(first), second["result"], names(third), left_out) == (["get_ticket"], {}, [], 2)


def test_the_name_of_the_list_may_be_written_in_other_letters() -> None:
    data, left_out = filtered(b'{"jsonrpc": "2.0", "id": 1, "result": {"\\u0074ools": [{"name": "drop_all"}]}}')
    assert json.loads(data)["result"]["tools"] == []
    assert left_out == 1


def test_of_a_list_without_end_only_so_many_are_asked_about() -> None:
    asked: list[str] = []
    data, left_out = filtered(
        json.dumps(listed(*(f"t{n}" for n in range(TOOLS + 7)))).encode(), opens=lambda name: not asked.append(name)
    )
    assert len(asked) == TOOLS
    assert len(names(json.loads(data))) == TOOLS
    assert left_out == 7


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_events_of_a_stream_are_read_one_by_one(end: str) -> None:
    ping = f": ping{end}{end}".encode()
    other = event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}, end, id="1")
    stream = ping + other + event(listed("get_ticket", "drop_all"), end, event="message", id="2") + other
    data, left_out = filtered(stream, "text/event-stream")
    assert left_out == 1
    assert data.startswith(ping + other)
    assert data.endswith(other)
    changed = data.removeprefix(ping + other).removesuffix(other).decode().splitlines()
    assert changed[:2] == ["event: message", "id: 2"]
    assert names(json.loads(changed[2].removeprefix("data: "))) == ["get_ticket"]


def test_an_event_of_several_lines_of_data_is_one_message() -> None:
    lines = json.dumps(listed("drop_all"), indent=1).splitlines()
    stream = "".join(f"data:{line}\n" for line in lines).encode() + b"\n"
    data, left_out = filtered(stream, "text/event-stream")
    assert left_out == 1
    assert b"drop_all" not in data


def test_an_event_that_the_stream_breaks_off_in_is_read_too() -> None:
    data, left_out = filtered(event(listed("drop_all")).rstrip(b"\n"), "text/event-stream")
    assert left_out == 1
    assert b"drop_all" not in data


def test_a_mark_at_the_beginning_hides_no_event() -> None:
    data, left_out = filtered(b"\xef\xbb\xbf" + event(listed("drop_all")), "text/event-stream")
    assert left_out == 1
    assert b"drop_all" not in data


@given(st.lists(st.integers(min_value=1, max_value=9), max_size=60), st.sampled_from(["\n", "\r\n", "\r"]))
def test_cut_anywhere_the_stream_says_the_same(cuts: list[int], end: str) -> None:
    stream = event(listed("get_ticket", "drop_all"), end, id="1") + event({"a": 1}, end) + event(listed("drop_all"), end)
    one, said, at = ToolFilter("text/event-stream", OPEN.__contains__), b"", 0
    for cut in cuts:
        said += one.feed(stream[at : at + cut])
        at += cut
    said += one.feed(stream[at:]) + one.finish()
    assert (said, one.left_out) == filtered(stream, "text/event-stream")


@given(st.binary(max_size=200), st.sampled_from(["application/json", "text/event-stream"]))
def test_any_answer_goes_on_or_is_refused_as_broken(data: bytes, kind: str) -> None:
    one = ToolFilter(kind, OPEN.__contains__)
    try:
        said = one.feed(data) + one.finish()
    except WireError:
        assert b"tools" in data or b"\\u" in data or b"\0" in data
    else:
        assert said == data


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_message_without_end_is_not_kept(kind: str) -> None:
    one = ToolFilter(kind, OPEN.__contains__)
    one.feed(b"data: " + b"x" * (ANSWER_BYTES - 6))
    with pytest.raises(WireError):
        one.feed(b"x")


def test_a_list_with_a_name_twice_is_not_passed_on() -> None:
    with pytest.raises(WireError):
        filtered(b'{"result": {"tools": [], "tools": [{"name": "drop_all"}]}}')


def message(*methods: str) -> str:
    messages = [{"jsonrpc": "2.0", "id": number, "method": method} for number, method in enumerate(methods)]
    return f"POST /mcp\ncontent-type: application/json\n\n{json.dumps(messages if len(messages) > 1 else messages[0])}"


@pytest.mark.parametrize(
    ("text", "lists"),
    [
        (message("tools/list"), True),
        (message("ping", "tools/list"), True),
        (message("ping"), False),
        ("GET /mcp", True),
        ("GET /customers", False),
    ],
)
def test_which_answers_may_hold_a_list(text: str, lists: bool) -> None:
    request, body = parse(text.encode())
    assert lists_tools(request, read(request, body, API)) is lists


def test_whether_a_tool_is_open_is_asked_as_of_its_call() -> None:
    request, body = parse(b'POST /mcp\ncontent-type: application/json\n\n{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}')
    (like,) = read(request, body, API).deeds
    deed = call_of("close_ticket", like, API)
    called, _ = parse(b"POST /mcp\ncontent-type: application/json\n\n"), b""
    call = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "close_ticket"}}'
    (same,) = read(called[0], call, API).deeds
    assert (deed.verb, deed.reach, deed.resource) == (same.verb, same.reach, same.resource)
    assert deed.facts.keys() == FACTS.keys()
    assert {name for name in FACTS if deed.facts[name] != same.facts[name]} == {"size"}
    assert call_of("get_ticket", like, API).reach is Reach.READ


FIELDS = {"decision": "d1", "rule": "tool-needs-dba", "class": "wait", "follow": "https://gatebook.example/a/1"}


def test_an_agent_reads_why_its_call_was_refused() -> None:
    call = {"jsonrpc": "2.0", "id": "7", "method": "tools/call", "params": {"name": "drop_all"}}
    answer = json.loads(refusal(json.dumps(call).encode(), "blocked by tool-needs-dba: …", FIELDS) or b"")
    assert (answer["id"], answer["result"]["isError"]) == ("7", True)
    first, second = (part["text"] for part in answer["result"]["content"])
    assert first == "blocked by tool-needs-dba: …"
    assert json.loads(second) == FIELDS == answer["result"]["_meta"][META]
    assert "structuredContent" not in answer["result"]


def test_a_refused_list_is_an_error_of_json_rpc() -> None:
    answer = json.loads(refusal(b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}', "blocked", FIELDS) or b"")
    assert (answer["id"], answer["error"]["message"], answer["error"]["data"]) == (1, "blocked", FIELDS)


def test_a_refused_batch_is_answered_message_by_message() -> None:
    batch = b'[{"id": 1, "method": "ping"}, {"method": "notifications/x"}, {"id": 2, "method": "tools/call"}]'
    answers = json.loads(refusal(batch, "blocked", FIELDS) or b"")
    assert [(one["id"], "error" in one) for one in answers] == [(1, True), (2, False)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"7",
        b"[]",
        b"{}",
        b"{",
        b'{"jsonrpc": "2.0", "method": "notifications/x"}',
        b'{"id": 1, "result": {}}',
        b'{"id": [1], "method": "ping"}',
        b'{"id": null, "method": "ping"}',
    ],
)
def test_who_waits_for_no_answer_gets_none(content: bytes) -> None:
    assert refusal(content, "blocked", FIELDS) is None
