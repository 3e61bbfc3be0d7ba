"""What is typed at a terminal is recorded as far as the terminal showed it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import DETECTORS
from tests.protocols.kubernetes.streams import EMAIL

from gatebook.protocols.terminals import Kind, frames
from gatebook.protocols.typed import BEHIND_BYTES, LINE_BYTES, LINES, Typed


def told(data: bytes) -> list[tuple[Kind, bytes]]:
    return list(frames(data))


def test_a_line_whose_characters_come_back_is_recorded_once_it_ends() -> None:
    typed, shown = Typed(DETECTORS), b""
    for byte in b"ls -la":
        shown += typed.typed(bytes((byte,)))
        assert typed.is_echo(bytes((byte,)))
        shown += typed.answered(bytes((byte,)))
    assert shown == b""
    assert told(typed.typed(b"\r")) == [(Kind.INPUT, b"ls -la\r")]
    assert not typed.waits


def test_a_line_that_is_pasted_is_recorded_with_its_echo() -> None:
    typed = Typed(DETECTORS)
    assert typed.typed(b"echo one\recho two\r") == b""
    assert typed.waits
    assert told(typed.answered(b"echo one\r\none\r\n# ")) == [(Kind.INPUT, b"echo one\r")]
    assert told(typed.answered(b"echo two\r\n")) == [(Kind.INPUT, b"echo two\r")]


def test_a_password_that_is_not_shown_is_not_recorded() -> None:
    typed = Typed(DETECTORS)
    typed.answered(b"Password: ")
    shown = b"".join(typed.typed(bytes((byte,))) for byte in b"correct horse\r")
    assert shown == b""
    assert typed.waits
    assert told(typed.idle()) == [(Kind.UNSEEN, b"14")]


def test_a_password_is_not_recorded_because_of_what_is_said_long_after_it() -> None:
    typed = Typed(DETECTORS)
    typed.typed(b"zebra\r")
    shown = typed.answered(b"\r\n" + b"." * (BEHIND_BYTES + 24) + b"z e b r a")
    assert told(shown) == [(Kind.UNSEEN, b"6")]


def test_a_line_that_comes_back_says_that_those_before_it_did_not() -> None:
    typed = Typed(DETECTORS)
    typed.typed(b"correct-horse\r")
    assert typed.answered(b"\r\ngot 13\r\n> ") == b""
    typed.typed(b"echo me\r")
    assert told(typed.answered(b"echo me\r\n")) == [(Kind.UNSEEN, b"14"), (Kind.INPUT, b"echo me\r")]


def test_keys_that_show_nothing_are_no_part_of_what_must_come_back() -> None:
    typed = Typed(DETECTORS)
    typed.typed(b"\x1b[A\x1bOBab\x7fc\t\x01\r")
    assert told(typed.answered(b"ab\b \bc")) == [(Kind.INPUT, b"\x1b[A\x1bOBab\x7fc\t\x01\r")]
    assert told(typed.typed(b"\x03")) == [(Kind.INPUT, b"\x03")]


def test_what_is_recorded_is_covered() -> None:
    typed = Typed(DETECTORS)
    typed.typed(b"mail " + EMAIL + b"\r")
    (line,) = told(typed.answered(b"mail " + EMAIL + b"\r\n"))
    assert EMAIL not in line[1]


def test_what_was_begun_is_recorded_at_the_end() -> None:
    typed = Typed(DETECTORS)
    typed.typed(b"exi")
    typed.answered(b"exi")
    assert told(typed.finish()) == [(Kind.INPUT, b"exi")]
    typed.typed(b"hidden")
    assert told(typed.finish()) == [(Kind.UNSEEN, b"6")]
    assert typed.finish() == b""


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=20))
def test_every_byte_is_recorded_or_counted(said: list[tuple[bool, bytes]]) -> None:
    typed, shown, sent = Typed(DETECTORS), b"", 0
    for mine, data in said:
        shown += typed.typed(data) if mine else typed.answered(data)
        sent += len(data) if mine else 0
    shown += typed.finish()
    counted = sum(int(data) for kind, data in told(shown) if kind is Kind.UNSEEN)
    assert counted + sum(len(data) for kind, data in told(shown) if kind is Kind.INPUT) == sent


def test_lines_without_echo_have_an_end() -> None:
    typed = Typed(DETECTORS)
    shown = b"".join(typed.typed(b"x" * 1_000) for _ in range(2 * LINES * LINE_BYTES // 1_000))
    assert len(told(shown)) >= LINES - 1
    assert {kind for kind, _ in told(shown)} == {Kind.UNSEEN}
