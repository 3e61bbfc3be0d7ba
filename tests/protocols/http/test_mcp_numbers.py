"""What a yes to a message of MCP is bound to: all of it but what numbers it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.protocols.http.mcp import numberless

CALL = (
    b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":{"name":"a","arguments":{"id":7},"_meta":{"progressToken":%b}}}'
)


def test_the_same_call_with_other_numbers_is_the_same() -> None:
    assert numberless(CALL % (b"1", b"1")) == numberless(CALL % (b"12345", b'"t-9"')) == numberless(CALL % (b'"a\\"b"', b"0"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CALL % (b"1", b"1"), (CALL % (b"1", b"1")).replace(b'"id":7', b'"id":8')),
        (CALL % (b"1", b"1"), (CALL % (b"1", b"1")).replace(b'"name":"a"', b'"name":"b"')),
        (CALL % (b"1", b"1"), (CALL % (b"1", b"1")).replace(b'"id":1,', b"")),
        (CALL % (b"1", b"1"), CALL % (b"null", b"1")),
        (CALL % (b"1", b"1"), CALL % (b'{"a":1}', b"1")),
        (CALL % (b"1", b"1"), CALL % (b"1", b'["x"]')),
        (b'{"id":1,"params":{"amount":1.0}}', b'{"id":1,"params":{"amount":1.00000000000000000001}}'),
        (b'{"id":1,"params":{"progressToken":1}}', b'{"id":1,"params":{"progressToken":2}}'),
        (b'{"id":1,"_meta":{"progressToken":1}}', b'{"id":1,"_meta":{"progressToken":2}}'),
        (b'[{"id":1,"method":"a"}]', b'[{"id":2,"method":"a"}]'),
    ],
)
def test_anything_else_that_differs_makes_another(one: bytes, other: bytes) -> None:
    assert numberless(one) != numberless(other)


def test_names_may_be_written_in_escapes_and_with_space_between() -> None:
    spaced = b' {\n"\\u0069d" : 4 ,\t"params" : { "_meta" : {"progressToken":"x"} , "a": [ ] } } '
    assert numberless(spaced) == b' {\n"\\u0069d" : 0 ,\t"params" : { "_meta" : {"progressToken":0} , "a": [ ] } } '


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["id", "_meta"]), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(["id", "jsonrpc", "method", "params", "_meta", "progressToken"]), VALUES), st.booleans())
def test_what_is_no_number_stays_as_it_is(message: dict[str, Any], ascii_only: bool) -> None:
    content = json.dumps(message, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass" if ascii_only else "replace")
    wanted = json.loads(content)
    if type(wanted.get("id")) in (int, str):
        wanted["id"] = 0
    meta = (wanted.get("params") or {}) if isinstance(wanted.get("params"), dict) else {}
    if isinstance(meta.get("_meta"), dict) and type(meta["_meta"].get("progressToken")) in (int, str):
        meta["_meta"]["progressToken"] = 0
    assert json.loads(numberless(content)) == wanted
