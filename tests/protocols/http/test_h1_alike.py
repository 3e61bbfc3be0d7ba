"""Any bytes: cut anywhere they are the same messages, damaged they are refused, and no parser sees another request."""

from __future__ import annotations

from itertools import pairwise

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.stage import VECTORS, Vector, by_h11, by_lenient, by_llhttp, forwarded, told

from gatebook.protocols.http import h1
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.message import End, Message, Request, Response

SEEDS = [Vector.of(path).data for path in VECTORS]
TOKEN = st.text(alphabet="abcXYZ-_!09", min_size=1, max_size=8).map(str.encode)
TEXT = st.binary(max_size=12).map(lambda data: bytes(one for one in data if one in b"\t" or 32 <= one != 127).strip(b" \t"))
PIECES = [
    *(b"\r\n \t\x00:;,0159azGET/*#@\\ \x0b\xa0".split()),
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"content_length: 0\r\n",
    b"Host: b.test\r\n",
    b"Connection: close, content-length\r\n",
    b"Upgrade: websocket\r\n",
    b"0\r\n\r\n",
    b"GET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n",
]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Sound ones, one behind the other."""
    data = b""
    for _ in range(draw(st.integers(1, 3))):
        fields = draw(st.lists(st.tuples(TOKEN.map(lambda name: b"x" + name), TEXT), max_size=4))
        content = draw(st.binary(max_size=40))
        lines = [b"%b: %b\r\n" % field for field in fields]
        if draw(st.booleans()):
            lines.append(b"Content-Length: %d\r\n" % len(content))
            body = content
        else:
            at = draw(st.integers(0, len(content)))
            lines.append(b"Transfer-Encoding: chunked\r\n")
            body = b"".join(b"%X;a=b\r\n%b\r\n" % (len(one), one) for one in (content[:at], content[at:]) if one) + b"0\r\n\r\n"
        lines.insert(draw(st.integers(0, len(lines))), b"Host: a.test\r\n")
        data += b"POST /x HTTP/1.1\r\n" + b"".join(lines) + b"\r\n" + body
    return data


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Sound or unsound ones, with pieces put in, taken out or doubled."""
    data = draw(st.one_of(st.sampled_from(SEEDS), requests()))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, 6))
        data = data[:at] + draw(st.sampled_from([b"", *PIECES])) + data[at + gone :]
    return data


def run(data: bytes, cuts: list[int]) -> tuple[list[list[Message]], list[int | None], bool]:
    """The whole requests that were served, their lengths, and whether the bytes were refused."""
    side = h1.ServerSide()
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    whole: list[list[Message]] = []
    lengths: list[int | None] = []
    messages: list[Message] = []
    try:
        for begin, end in pairwise(edges):
            messages += side.feed(data[begin:end])
            while side.complete:
                whole.append(messages)
                lengths.append(side.length)
                side.respond(Response(200, ()), length=0)
                side.end()
                messages = []
                if not side.keeps_alive:
                    return whole, lengths, False
                messages += side.next()
    except MalformedError:
        return whole, lengths, True
    return whole, lengths, False


@given(data=damaged(), cuts=st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=250)
def test_cut_anywhere_the_messages_are_the_same(data: bytes, cuts: list[int]) -> None:
    whole, lengths, refused = run(data, [])
    again, lengths_again, refused_again = run(data, cuts)
    assert [told(one) for one in again] == [told(one) for one in whole]
    assert (lengths_again, refused_again) == (lengths, refused)


@given(data=damaged())
@settings(max_examples=500)
def test_what_is_served_is_one_request_to_every_other_parser(data: bytes) -> None:
    whole, lengths, _ = run(data, [])
    for messages, length in zip(whole, lengths, strict=True):
        sent = forwarded(messages, length)
        try:
            strict = [by_h11(sent), by_llhttp(sent)]
        except httptools.HttpParserInvalidMethodError:  # it has a closed list
            strict = [by_h11(sent)] * 2
        seen = [
            *strict,
            *(by_lenient(sent, chunks_first=first, bare=bare) for first in (False, True) for bare in (False, True)),
        ]
        assert [len(one) for one in seen] == [1] * len(seen), sent
        assert seen[0] == seen[1]
        heads = {(one[0].method, one[0].target, one[0].content) for one in seen}
        assert len(heads) == 1


@given(data=requests())
@settings(max_examples=100)
def test_what_is_sound_is_served_as_others_see_it(data: bytes) -> None:
    whole, _, refused = run(data, [])
    assert not refused
    theirs = by_llhttp(data)
    assert [b"".join(one.data for one in messages[1:-1]) for messages in whole] == [one.content for one in theirs]  # type: ignore[union-attr]
    assert [one[0].fields for one in whole if isinstance(one[0], Request)] == [one.fields for one in theirs]


@given(
    data=st.one_of(st.binary(max_size=200), damaged()), method=st.sampled_from(["GET", "HEAD", "POST"]), cut=st.integers(0, 400)
)
@settings(max_examples=250)
def test_damaged_answers_raise_one_error_and_cut_anywhere_are_the_same(data: bytes, method: str, cut: int) -> None:
    stories = []
    for cuts in ((0, len(data)), (0, cut % (len(data) + 1), len(data))):
        side = h1.ClientSide()
        side.request(Request(method, "http", "a.test", "/", ()), length=0)
        side.end()
        messages: list[Message] = []
        story = "open"
        try:
            for begin, end in pairwise(cuts):
                if not any(isinstance(one, End) for one in messages):
                    messages += side.feed(data[begin:end])
            if not side.complete:
                messages += side.closed()
        except MalformedError:
            story = "refused"
        stories.append((story, told(messages) if story == "open" else []))
    assert stories[0] == stories[1]


@given(data=st.binary(max_size=300))
@settings(max_examples=150)
def test_random_bytes_raise_one_error_and_no_other(data: bytes) -> None:
    run(data, [3, 7])
    run(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" + data, [70, 80])
