"""Commands in containers as a person reads and sees them again: streams, sizes, the exit status, and nothing that harms."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.recording.test_recording_http import HttpTape, answered, as_json, asked, content, head, items, shown

from gatebook.errors import RecordingError
from gatebook.protocols.terminals import Kind, frame
from gatebook.recording.grec import NUMBER, Event
from gatebook.recording.playing import Passed
from gatebook.recording.terminal import COLUMNS, LINES, Harmless, asciicast, plain
from gatebook.recording.terminal import shown as terminal_of

EXEC = {"verb": "k8s.exec", "rule": "agents-exec"}
OPENED = head(3, 101, sec_websocket_protocol="v5.channel.k8s.io")
FAILED = {"status": "Failure", "message": "command terminated", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}


def flow(seq: int, *frames: tuple[Kind, bytes]) -> tuple[str, bytes]:
    kind, data = content(seq, b"".join(frame(*one) for one in frames))
    return kind, data


RUN = [
    asked(3, "POST /api/v1/namespaces/shop/pods/web/exec", **EXEC),
    OPENED,
    flow(3, (Kind.RESIZE, b"100x30")),
    flow(3, (Kind.OUTPUT, b"\x1b[01;32mroot@web\x1b[0m:/# ")),
    flow(3, (Kind.OUTPUT, b"l")),
    flow(3, (Kind.OUTPUT, b"s")),
    flow(3, (Kind.INPUT, b"ls\r"), (Kind.OUTPUT, b"\r\nbin\r\n")),
    flow(3, (Kind.ERRORS, b"no such file\n")),
    flow(3, (Kind.UNSEEN, b"9")),
    flow(3, (Kind.CLOSED, b"stdin"), (Kind.STATUS, json.dumps(FAILED).encode())),
    answered(3, "101"),
]


def test_a_command_reads_as_lines_with_whose_they_are() -> None:
    assert (
        shown(*RUN).replace("  < \n", "  <\n")
        == """\

+0.000s  #3  k8s.exec  mask by agents-exec
  > POST /api/v1/namespaces/shop/pods/web/exec
+0.002s  #3  answer 101 Switching Protocols
  < sec-websocket-protocol: v5.channel.k8s.io
+0.003s  #3  the terminal is 100x30
+0.004s  #3  stdout
  < root@web:/# ls
+0.009s  #3  stdin
  > ls
+0.009s  #3  stdout
  <
  < bin
+0.011s  #3  stderr
  < no such file
+0.012s  #3  9 bytes of input that are not recorded
+0.013s  #3  stdin is closed
+0.013s  #3  exit status 7
+0.015s  #3  101 · 15 ms"""
    )  # fmt: skip


def test_programs_get_each_piece_with_its_time() -> None:
    found = [line["d"] for line in as_json(*RUN) if line["k"] == "p"]
    assert [(one["form"], one["text"]) for one in found[1:4]] == [
        ("stdout", "\x1b[01;32mroot@web\x1b[0m:/# "), ("stdout", "l"), ("stdout", "s"),
    ]  # fmt: skip
    assert found[0]["form"] == "stream"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"status": "Success"}, "exit status 0"),
        (FAILED, "exit status 7"),
        ({"status": "Failure", "message": "no such container"}, "failed: no such container"),
        ([], "failed: []"),
        ({"status": "Failure", "details": 7}, None),
    ],
)
def test_the_last_word_says_how_it_ended(status: Any, told: str | None) -> None:
    found = as_json(OPENED, flow(3, (Kind.STATUS, json.dumps(status).encode())))[1]["d"]["text"]
    assert found == (told or f"failed: {json.dumps(status)}")


def test_forwarded_connections_are_told_by_their_sizes() -> None:
    text = shown(OPENED, flow(3, (Kind.OPENED, b"3 5432"), (Kind.SENT, b"3 63"), (Kind.RECEIVED, b"3 21")), apart=0)
    assert text.splitlines()[-3:] == [
        "+0.000s  #3  connection 3 to port 5432", "+0.000s  #3  connection 3: 63 bytes sent",
        "+0.000s  #3  connection 3: 21 bytes received",
    ]  # fmt: skip


def test_a_character_that_is_cut_is_whole_again() -> None:
    word = "für".encode()
    found = items(OPENED, flow(3, (Kind.OUTPUT, word[:2])), flow(3, (Kind.OUTPUT, word[2:] + b"\n")))
    assert "".join(str(one.data) for one in found[1:]) == "für\n"  # type: ignore[union-attr]


def test_a_beginning_of_a_line_is_shown_before_another_has_its_turn() -> None:
    lines = shown(OPENED, flow(3, (Kind.OUTPUT, b"half")), flow(3, (Kind.ERRORS, b"oops\n")), flow(3, (Kind.OUTPUT, b"rest\n")))
    assert [line for line in lines.splitlines() if line.startswith("  <")][1:] == ["  < half", "  < oops", "  < rest"]


def test_a_page_joins_what_a_stream_carries(tmp_path: Any) -> None:
    tape = HttpTape(tmp_path)
    tape.ask("POST /exec", verb="k8s.exec")
    tape.recorder.head(1, b"101\nsec-websocket-protocol: v5.channel.k8s.io")
    for frames in ([(Kind.OUTPUT, b"one ")], [(Kind.OUTPUT, b"\x1b[31mtwo\x1b[0m\r\n")], [(Kind.ERRORS, b"three\n")]):
        tape.recorder.content(1, b"".join(frame(*one) for one in frames))
    tape.recorder.answer(1, "101", 0, {})
    tape.end()
    (step,) = tape.window().steps
    assert [(one.form, one.text) for one in step.outputs if isinstance(one, Passed)] == [
        ("stdout", "one two\n"), ("stderr", "three\n"),
    ]  # fmt: skip
    assert len(tape.window(text="three").steps) == 1
    assert not tape.window(text="four").steps


@given(st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=30)), max_size=10), st.binary(max_size=10))
def test_no_recording_of_streams_raises_or_prints_what_does_not_print(frames: list[tuple[Kind, bytes]], more: bytes) -> None:
    events = [OPENED, *(flow(3, one) for one in frames), content(3, b"\0" + more)]
    assert all(one.isprintable() or one == "\n" for one in shown(*events))


# Terminals ----------------------------------------------------------------------------------------------------------------

HARM = [
    b"\x1b]52;c;cm0gLXJmIC8=\x07", b"\x1b]0;title\x1b\\", b"\x1b[c", b"\x1b[>c", b"\x1b[6n", b"\x1b[?6n", b"\x1b[21t",
    b"\x1b[5i", b"\x1bP$qm\x1b\\", b"\x1b_apc\x1b\\", b"\x1b^pm\x1b\\", b"\x1b[?1000h", b"\x1b[?2004h", b"\x1b[?25;1003h",
    b"\x1bZ", b"\x1bc\x1b[!p",
    b"\x1b[5q", b"\x9b6n", b"\x07", b"\x05", b"\xc2\x9b6n", b"\x1b#8", b"\x1b[=1;2c", b"\x1b%G", b"\x1bXsos\x1b\\",
]  # fmt: skip
FINE = [
    b"plain \xc3\xbc\r\n", b"\x1b[1;31mred\x1b[0m", b"\x1b[38:5:1m", b"\x1b[2J\x1b[H", b"\x1b[?25l", b"\x1b[?1049h", b"\x1b(B",
    b"\x1b[10;20H", b"\x1b[K", b"\x1b7\x1b8", b"\b \b", b"\x1bM", b"\x1b[2;20r",
]  # fmt: skip


def harmless(*pieces: bytes) -> str:
    made = Harmless()
    return "".join(made.feed(piece) for piece in pieces)


@pytest.mark.parametrize("harm", HARM)
def test_what_could_harm_a_terminal_is_left_out_however_it_is_cut(harm: bytes) -> None:
    assert "\x1b" not in harmless(b"a" + harm + b"b")
    whole = harmless(b"a" + harm + b"b")
    assert whole.startswith("a")
    assert whole.endswith("b")
    for place in range(len(harm) + 1):
        assert harmless(b"a" + harm[:place], harm[place:] + b"b") == whole
    assert not re.search("[\x00-\x07\x0b\x0c\x0e-\x1a\x7f-\x9f]", whole)


@pytest.mark.parametrize("fine", FINE)
def test_what_shows_something_stays_however_it_is_cut(fine: bytes) -> None:
    for place in range(len(fine) + 1):
        assert harmless(fine[:place], fine[place:]) == fine.decode()


@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([*HARM, *FINE])), max_size=12))
def test_whatever_comes_only_known_commands_are_left(pieces: list[bytes]) -> None:
    text = harmless(*pieces)
    left = re.sub(r"\x1b(?:\[[0-9;:]*[A-MPSTXZ@ad-fmrsu`]|\[\?[0-9;]*[hl]|[()][0AB]|[78DEM=>])", "", text)
    assert all(one.isprintable() or one in "\r\n\t\b" for one in left)


def test_what_is_held_of_a_terminal_has_an_end() -> None:
    made = Harmless()
    for _ in range(1_000):
        made.feed(b"\x1b[" + b"1;" * 500)
        made.feed(b"\x1b]0;" + b"x" * 1_000)
    assert len(made._held) < 100


def events(*told: tuple[str, bytes]) -> list[Event]:
    return [Event(kind, 5_000_000 + place * 500_000, data) for place, (kind, data) in enumerate(told)]


def test_a_terminal_is_an_asciicast_for_other_players() -> None:
    first, *rest = (json.loads(line) for line in asciicast(terminal_of(events(*RUN), 3), "ada on shop"))
    assert first == {"version": 2, "width": 100, "height": 30, "timestamp": 6, "title": "ada on shop"}
    assert rest == [
        [0.0, "r", "100x30"], [0.5, "o", "\x1b[01;32mroot@web\x1b[0m:/# "], [1.0, "o", "l"], [1.5, "o", "s"],
        [2.0, "o", "\r\nbin\r\n"], [2.5, "o", "no such file\n"],
    ]  # fmt: skip
    untold = next(asciicast(terminal_of(events(flow(3, (Kind.OUTPUT, b"x"))), 3), ""))
    assert (json.loads(untold)["width"], json.loads(untold)["height"]) == (COLUMNS, LINES)


def test_a_request_without_a_terminal_has_none() -> None:
    with pytest.raises(RecordingError, match="request 4 has no terminal"):
        list(terminal_of(events(*RUN), 4))
    with pytest.raises(RecordingError):
        list(terminal_of([Event("p", 1, NUMBER.pack(4) + b"> text\n"), Event("p", 1, b"")], 4))


def test_lines_are_read_without_what_commands_a_terminal() -> None:
    assert plain("\x1b[01;31mred\x1b[0m\x1b]0;title\x07 text\r\nnext\x1b(B") == "red text\nnext"
