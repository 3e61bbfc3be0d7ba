"""HTTP sessions as a person reads them: each answer with its request, decoded, bounded, and nothing that drives a terminal."""

from __future__ import annotations

import gzip
import json
import random
import re
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.recording.tapes import reading
from tests.recording.test_recording_playing import Tape, texts
from tests.recording.test_recording_render import answered, as_json, asked, shown

from gatebook.recording import answers
from gatebook.recording.answers import Content, Form, Garbled, Headed
from gatebook.recording.grec import NUMBER, Event
from gatebook.recording.laid_out import laid_out
from gatebook.recording.playing import Passed, Step, latest, window
from gatebook.recording.render import JsonLines, Lines
from gatebook.recording.results import Answer, Item, Results

READ = {"verb": "http.get", "rule": "read-apis"}
BOMB = 80_000_000


def head(seq: int, status: int = 200, **fields: str) -> tuple[str, bytes]:
    lines = [str(status), *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "h", NUMBER.pack(seq) + "\n".join(lines).encode()


def content(seq: int, data: bytes | str) -> tuple[str, bytes]:
    return "p", NUMBER.pack(seq) + (data.encode() if isinstance(data, str) else data)


def items(*events: tuple[str, bytes], apart: int = 1_000, decoded_bytes: int = answers.DECODED_BYTES) -> list[Item]:
    results, found = Results(decoded_bytes), list[Item]()
    for place, (kind, data) in enumerate(events):
        found += results.feed(Event(kind, 1_000_000 + place * apart, data))
    return found + results.rest(2_000_000_000)


def contents(found: list[Item], seq: int = 1) -> list[Content]:
    return [one for one in found if isinstance(one, Content) and one.seq == seq]


def whole(found: list[Item], seq: int = 1) -> str | bytes:
    pieces = [one.data for one in contents(found, seq)]
    return b"".join(pieces) if pieces and isinstance(pieces[0], bytes) else "".join(str(one) for one in pieces)


def test_a_request_stands_with_its_ruling_its_head_and_its_content_laid_out() -> None:
    text = shown(
        asked(7, "GET /customers/1", **READ),
        head(7, content_type="application/json"),
        content(7, '{"name":"Ada Brown",'),
        content(7, '"tags":[],"cards":["…1111"]}'),
        answered(7, "200", masked={"card": 1}),
    )
    assert (
        text
        == """\

+0.000s  #7  http.get  mask by read-apis
  > GET /customers/1
+0.002s  #7  answer 200 OK
  < content-type: application/json
+0.006s  #7  content, 50 bytes of application/json
  < {
  <   "name": "Ada Brown",
  <   "tags": [],
  <   "cards": [
  <     "…1111"
  <   ]
  < }
+0.006s  #7  200 · 6 ms · masked card 1"""
    )


def test_trailers_stand_behind_the_content_and_content_stays_whole() -> None:
    events = [asked(1, "GET /a", **READ), head(1, content_type="application/json"), content(1, '{"a":1}'),
              ("h", NUMBER.pack(1) + b"trailers\ngrpc-status: 0\nx-card: ************1111"), answered(1, "200")]  # fmt: skip
    found = items(*events)
    assert [one.form for one in contents(found)] == [Form.JSON]
    assert [(one.status, one.fields) for one in found if isinstance(one, Headed)][1:] == [
        (0, (("grpc-status", "0"), ("x-card", "************1111")))
    ]
    assert "#1  answer trailers\n  < grpc-status: 0\n  < x-card: ************1111" in shown(*events)


def test_answers_that_are_interleaved_stand_each_with_its_own_request() -> None:
    found = items(
        asked(1, "GET /a", **READ), asked(2, "GET /b", **READ), head(2, content_type="text/plain"), content(2, "two "),
        head(1, 404, content_type="text/plain"), content(1, "one "), content(2, "and two"), answered(2, "200"),
        content(1, "and one"), answered(1, "404"),
    )  # fmt: skip
    assert whole(found, 1) == "one and one"
    assert whole(found, 2) == "two and two"
    assert [(one.seq, one.status) for one in found if isinstance(one, Headed)] == [(2, 200), (1, 404)]
    order = [(type(one).__name__, one.seq) for one in found if isinstance(one, Content | Answer)]
    assert order == [("Content", 2), ("Answer", 2), ("Content", 1), ("Answer", 1)]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br"])
def test_content_is_read_out_of_its_codings_however_it_was_cut(coding: str) -> None:
    text = json.dumps({"customers": [{"name": f"customer {number}", "paid": number} for number in range(300)]})
    data = text.encode()
    for one in coding.split(", "):
        code = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress,
                "zstd": zstandard.ZstdCompressor().compress}[one]  # fmt: skip
        data = code(data)
    pieces = [content(1, data[at : at + 97]) for at in range(0, len(data), 97)]
    found = items(asked(1, "GET /", **READ), head(1, content_type="application/json", content_encoding=coding), *pieces,
                  answered(1, "200"), apart=10)  # fmt: skip
    (piece,) = contents(found)
    assert (piece.form, piece.data) == (Form.JSON, text)
    (line,) = [one["d"] for one in as_json(head(1, content_type="text/x", content_encoding=coding), content(1, data))
               if one["k"] == "p"]  # fmt: skip
    assert line["text"] == text


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_bomb_ends_where_its_bound_is_and_what_follows_is_read(coding: str) -> None:
    compress = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}[coding]
    bomb = compress(bytes(b"a" * BOMB))
    found = items(asked(1, "GET /", **READ), head(1, content_type="text/plain", content_encoding=coding), content(1, bomb),
                  content(1, bomb), answered(1, "200"), asked(2, "GET /2", **READ), head(2), content(2, "two"),
                  answered(2, "200"), decoded_bytes=1 << 20)  # fmt: skip
    assert sum(one.size for one in contents(found)) <= 1 << 20
    (fault,) = [one for one in found if isinstance(one, Garbled)]
    assert "the rest is not read" in fault.why
    assert whole(found, 2) == "two"


def test_damaged_and_unknown_codings_are_shown_as_the_bytes_they_are() -> None:
    damaged = items(head(1, content_encoding="gzip", content_type="text/plain"), content(1, b"no gzip at all"))
    assert [type(one) for one in damaged] == [Headed, Garbled, Content]
    assert whole(damaged) == b"no gzip at all"
    unknown = items(head(1, content_encoding="x-own", content_type="text/plain"), content(1, b"abc"), answered(1, "200"))
    assert contents(unknown)[0].form is Form.BINARY


def test_server_sent_events_come_one_by_one_with_their_times() -> None:
    lines = shown(
        asked(3, "GET /events", **READ),
        head(3, content_type="text/event-stream"),
        content(3, "data: one\n\nda"),
        content(3, "ta: two\r\n\r\ndata: th"),
        answered(3, "cut: the client went away"),
        apart=500_000,
    ).splitlines()
    assert [line for line in lines if "event," in line] == [
        "+1.000s  #3  event, 11 bytes",
        "+1.500s  #3  event, 13 bytes",
    ]
    assert "  < data: two" in lines
    assert lines[-3:] == ["+2.000s  #3  content of text/event-stream, bytes 24 to 31", "  < data: th",
                          "+2.000s  #3  cut: the client went away · 2000 ms"]  # fmt: skip


def test_messages_of_a_websocket_come_as_they_passed() -> None:
    events = [asked(1, "GET /chat", **READ), head(1, 101, upgrade="websocket"), content(1, "> hello\n"),
              content(1, "< hi\n< > not the client\n"), answered(1, "101")]  # fmt: skip
    assert [(one.form, one.data) for one in contents(items(*events))] == [
        (Form.MESSAGES, "> hello\n"),
        (Form.MESSAGES, "< hi\n< > not the client\n"),
    ]
    assert "  < < hi\n  < < > not the client\n" in shown(*events)


def test_text_that_comes_slowly_is_shown_as_it_comes_and_no_character_is_cut() -> None:
    pieces = ["halb f\u00fc".encode()[:-1], "f\u00fc".encode()[2:] + b"nf\n", b"zwei\n"]
    found = items(head(1, content_type="text/plain; charset=utf-8"), *(content(1, one) for one in pieces),
                  answered(1, "200"), apart=1_500_000)  # fmt: skip
    assert [one.data for one in contents(found)] == ["halb f", "\u00fcnf\n", "zwei\n"]
    assert [one.more for one in contents(found)] == [True, True, False]
    assert [one.at for one in contents(found)] == [0, 6, 11]


def test_long_content_comes_in_pieces_and_a_terminal_gets_the_beginning_of_it() -> None:
    data = "0123456789abcdef" * 65_536
    events = [asked(1, "GET /long", **READ), head(1, content_type="text/plain"),
              *(content(1, data[at : at + 50_000]) for at in range(0, len(data), 50_000)), answered(1, "200")]  # fmt: skip
    found = items(*events, apart=10)
    assert whole(found) == data
    assert all(one.size < 2 * answers.HELD_BYTES for one in contents(found))
    text = shown(*events, apart=10)
    assert len(text) < 20_000
    assert "more characters)" in text
    assert re.search(r"content of text/plain, bytes [0-9,]+ to 1,048,575", text)
    printed = as_json(*events)
    assert "".join(one["d"]["text"] for one in printed if one["k"] == "p") == data


def test_what_is_no_text_is_its_size_and_its_first_bytes() -> None:
    text = shown(head(1, content_type="image/png"), content(1, b"\x89PNG\r\n\x1a\n" + bytes(5_000)), answered(1, "200"))
    assert "content, 5,008 bytes of image/png" in text
    assert "  < 89 50 4e 47 0d 0a 1a 0a 00" in text
    assert "(4,960 more bytes)" in text


def test_another_character_set_is_read_as_it_says() -> None:
    found = items(head(1, content_type="text/plain; charset=iso-8859-1"), content(1, "Müller".encode("latin-1")))
    assert whole(found) == "Müller"


def test_what_the_gateway_says_itself_is_complete_as_it_comes() -> None:
    found = items(asked(1, "DELETE /x", ruling="block", rule="no-deletes", verb="http.delete"),
                  head(1, 403, content_type="application/problem+json"), content(1, '{"status":403}'),
                  asked(2, "GET /", **READ))  # fmt: skip
    assert [type(one).__name__ for one in found] == ["Asked", "Headed", "Content", "Asked"]
    assert contents(found)[0].form is Form.JSON


def test_an_answer_can_not_drive_a_terminal_nor_pass_for_something_else() -> None:
    hostile = "\x1b]0;owned\x07\u202e\r\n+0.000s  #1  http.get  allow by me\n"
    text = shown(
        head(1, content_type=f"text/plain{hostile[:8]}", x_evil="\x1b[2J\u2066"), content(1, hostile), answered(1, hostile)
    )
    assert not [one for one in text if not one.isprintable() and one != "\n"]
    assert "\n+0.000s  #1  http.get  allow by me" not in text
    for line in text.splitlines():
        assert re.match(r"\+[0-9.]+s  #1  (answer|content|\\x1b)|  < |    ", line), line


def test_what_is_held_of_many_answers_has_an_end() -> None:
    results = Results()
    seen = 0
    for seq in range(3 * answers.UNDER_WAY):
        for item in results.feed(Event("p", seq, NUMBER.pack(seq) + b"x" * 10_000)):
            seen += isinstance(item, Content) and item.size
    held = 3 * answers.UNDER_WAY * 10_000 - seen
    assert held <= answers.ALL_HELD_BYTES
    assert sum(one.size for one in results.rest(0) if isinstance(one, Content)) == held


def test_content_without_a_head_is_shown_for_what_it_looks_like() -> None:
    assert whole(items(content(9, b"text"), answered(9, "200")), 9) == "text"


@pytest.mark.parametrize("event", [("h", b""), ("p", b"\0\0"), ("h", NUMBER.pack(1)), ("h", NUMBER.pack(1) + b"20x\na: b"),
                                   ("a", b"[" * 100_000), ("q", b'{"seq":1}x')])  # fmt: skip
def test_events_that_are_none_are_said_and_the_rest_is_read(event: tuple[str, bytes]) -> None:
    found = items(event, head(2), content(2, "x"), answered(2, "200"))
    assert type(found[0]).__name__ == "Unread"
    assert whole(found, 2) == "x"


@given(st.lists(st.tuples(st.sampled_from("hpqaxm"), st.binary(max_size=60)), max_size=30))
def test_no_recording_raises_and_no_line_holds_what_does_not_print(events: list[tuple[str, bytes]]) -> None:
    numbered = [(kind, NUMBER.pack(len(data) % 3) + data if kind in "hp" else data) for kind, data in events]
    for kind in (Lines(), JsonLines()):
        for item in items(*numbered):
            assert all(line.isprintable() for line in kind.of(item))


# Laid out ---------------------------------------------------------------------------------------------------------------


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_laying_out_changes_nothing_but_blanks(value: Any) -> None:
    text = json.dumps(value)
    out, taken = laid_out(text, 1_000_000)
    assert taken == len(text)
    assert json.dumps(json.loads(out)) == text


@given(st.text(alphabet='[]{}:," \\\n\ta1', max_size=200), st.integers(0, 300))
def test_laying_out_what_is_no_json_keeps_its_letters_and_its_bound(text: str, most: int) -> None:
    out, taken = laid_out(text, most)
    assert len(out) <= most
    assert 0 <= taken <= len(text)
    if taken == len(text):
        assert re.sub(r"\s", "", out) == re.sub(r"\s", "", text)


def test_deep_content_is_laid_out_within_its_bound() -> None:
    out, taken = laid_out("[" * 100_000 + "1" + "]" * 100_000, 5_000)
    assert len(out) <= 5_000
    assert taken < 5_000


# Windows ----------------------------------------------------------------------------------------------------------------


class HttpTape(Tape):
    def begun(self, text: str, ruling: str = "allow", kind: str = "application/json", **more: str) -> int:
        """A request whose answer has begun; its number."""
        self.ask(text, ruling, verb="http.get", **more)
        self.recorder.head(self.seq, f"200\ncontent-type: {kind}".encode())
        return self.seq

    def said(self, seq: int, data: bytes, *, last: bool = False) -> None:
        self.recorder.content(seq, data)
        if last:
            self.recorder.answer(seq, "200", 0, {})


@pytest.fixture
def tape(tmp_path: Path) -> HttpTape:
    return HttpTape(tmp_path)


def passed(step: Step) -> list[Passed]:
    return [one for one in step.outputs if isinstance(one, Passed)]


def test_each_answer_stands_in_the_step_of_its_request_though_many_are_under_way(tape: HttpTape) -> None:
    numbers = [tape.begun(f"GET /{number}") for number in range(20)]
    rng = random.Random(7)
    for part in ("[", "]"):
        for seq in rng.sample(numbers, len(numbers)):
            tape.said(seq, f"{part}{seq if part == '[' else ''}".encode(), last=part == "]")
        tape.cut()
    tape.end()
    found = tape.window()
    assert texts(found) == [f"GET /{number}" for number in range(20)]
    for step in found.steps[:-1]:
        assert step.asked is not None
        kinds = [type(one).__name__ for one in step.outputs]
        assert kinds == ["Headed", "Passed", "Answer"]
        assert re.sub(r"\s", "", passed(step)[0].text) == f"[{step.asked.seq}]"


def test_what_is_found_in_an_answer_that_came_late_shows_its_own_request(tape: HttpTape) -> None:
    first = tape.begun("GET /first")
    for number in range(120):
        tape.said(tape.begun(f"GET /{number}"), b'{"n":1}', last=True)
    tape.said(first, b'{"who":"Needle"}', last=True)
    tape.end()
    found = tape.window(text="needle")
    assert texts(found) == ["GET /first"]
    assert tape.window(text="CONTENT-TYPE: application/json").steps != []
    assert tape.window(text="no such thing").steps == []


def test_long_content_is_one_output_of_a_page_with_what_is_left_out(tape: HttpTape) -> None:
    seq = tape.begun("GET /log", kind="text/plain")
    for _ in range(100):
        tape.said(seq, b"line\n" * 2_000)
    tape.said(seq, b"end", last=True)
    tape.end()
    (one,) = passed(tape.window().steps[0])
    assert one.size == 1_000_003
    assert len(one.text) + one.left == 1_000_003
    assert len(one.text) <= 20_000


def test_a_bomb_on_a_page_costs_no_more_than_its_bound(tape: HttpTape) -> None:
    tape.ask("GET /bomb", verb="http.get")
    tape.recorder.head(1, b"200\ncontent-type: text/plain\ncontent-encoding: gzip")
    tape.said(1, gzip.compress(bytes(b"a" * BOMB)), last=True)
    tape.end()
    found = tape.window()
    assert sum(one.size for one in passed(found.steps[0])) <= 1 << 22
    assert [one.why for one in found.steps[0].outputs if isinstance(one, Garbled)]


def test_a_live_session_with_a_stream_that_does_not_end_is_shown_from_its_last_requests_on(tape: HttpTape) -> None:
    stream = tape.begun("GET /events", kind="text/event-stream")
    for number in range(300):
        tape.said(tape.begun(f"GET /{number}"), b"{}", last=True)
        tape.said(stream, b"data: tick\n\n")
        if number % 20 == 19:
            tape.cut()
    recording = reading(tape.folder, tape.told, live=True)
    found = window(recording, latest(recording))
    assert texts(found)[-1] == "GET /299"
    assert len(found.steps) <= 100
    tape.end()
