"""Lines typed at a terminal: what of them passes before they are decided, and what they are told as."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.protocols.ssh.lines import BEHIND, FULL, KEYS, LONG, OTHER, UNSEEN, Line, Lines
from gatebook.protocols.ssh.screen import Screen

PROMPT = b"user@host:~$ "


def shell(prompt: bytes = PROMPT) -> Lines:
    """A terminal whose shell has shown its prompt."""
    made = Lines(80)
    made.show(b"\x1b[?2004h" + prompt)
    return made


def typed(lines: Lines, keys: bytes, echo: bytes | None = None) -> bytes:
    """Type, and have it shown; what passed."""
    passed = lines.type(keys)
    return passed + lines.show(passed if echo is None else echo)


# The screen -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (b"$ ls", "$ ls"),
        (b"$ lx\b \bs", "$ ls"),
        (b"$ lx\b\x1b[Ks", "$ ls"),
        (b"old\r\x1b[K$ ls", "$ ls"),
        (b"old\r\n$ ls", "$ ls"),
        (b"$ s\b\x1b[1@l\x1b[C", "$ ls"),
        (b"$ llls\b\b\b\x1b[2P", "$ ls"),
        (b"\x1b]0;title\x07\x1b[01;32m$\x1b[0m ls", "$ ls"),
        (b"\x1b[H\x1b[2J$ ls", "$ ls"),
        ("$ ö".encode(), "$ ö"),
    ],
)
def test_a_line_is_what_the_terminal_shows_however_it_is_cut(written: bytes, text: str) -> None:
    for size in (1, 2, 3, 100):
        screen = Screen(80)
        for at in range(0, len(written), size):
            screen.show(written[at : at + size])
        assert (screen.text().rstrip(), screen.doubtful) == (text, False)


@pytest.mark.parametrize(
    "written", [b"\x1b[5A", b"\x1b[3;4H", b"\x1bM", b"\x1b[6n", "漢".encode(), b"a\xcc\x81", b"x" * 80, b"\x9b2J"]
)
def test_what_is_not_known_makes_a_line_doubtful(written: bytes) -> None:
    screen = Screen(80)
    screen.show(b"$ " + written)
    assert screen.doubtful


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_nothing_that_is_written_to_it_raises_or_grows_without_end(pieces: list[bytes]) -> None:
    screen = Screen(80)
    for piece in pieces:
        screen.show(piece)
    assert len(screen.cells) <= 80 * 64 + 200


# Lines ------------------------------------------------------------------------------------------------------------------


def test_keys_pass_and_the_end_of_a_line_waits_until_it_is_decided() -> None:
    lines = shell()
    assert typed(lines, b"ls -l") == b"ls -l"
    assert typed(lines, b"\r") == b""
    assert lines.ready
    assert lines.line() == Line("ls -l")
    assert lines.go() == b"\r"


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\x04"])
def test_each_key_that_ends_a_line_waits(end: bytes) -> None:
    lines = shell()
    assert typed(lines, b"reboot" + end) == b"reboot"
    assert (lines.ended, lines.ready, lines.line()) == (True, True, Line("reboot"))


def test_a_line_is_told_once_all_of_it_came_back() -> None:
    lines = shell()
    lines.type(b"reboot\r")
    assert not lines.ready
    lines.show(b"reb")
    assert not lines.ready
    lines.show(b"oot")
    assert lines.line() == Line("reboot")
    assert lines.ready


def test_what_is_typed_behind_a_line_waits_for_its_decision_and_the_next_prompt() -> None:
    lines = shell()
    assert typed(lines, b"ls\rreboot\rid\r") == b"ls"
    assert lines.go() == b"\r"
    assert lines.show(b"\r\nfile\r\n") == b""
    assert lines.show(PROMPT) == b"reboot"
    lines.show(b"reboot")
    assert lines.line() == Line("reboot")
    assert lines.drop() == b"\x05\x15\x03"
    assert lines.show(b"^C\r\n" + PROMPT) == b""


def test_a_paste_in_brackets_is_decided_line_by_line() -> None:
    lines = shell()
    assert lines.type(b"\x1b[200~ls\rreboot\x1b[201~\r") == b"ls"
    lines.show(b"ls")
    assert lines.line() == Line("ls")
    assert lines.go() == b"\r"
    assert lines.show(b"\r\nfile\r\n" + PROMPT) == b"reboot"
    lines.show(b"reboot")
    assert lines.line() == Line("reboot")
    assert lines.drop().endswith(b"\x03")


def test_a_program_with_the_whole_screen_is_told_where_a_paste_begins_and_ends() -> None:
    lines = shell(b"\x1b[?1049h")
    assert lines.type(b"\x1b[200~text\x1b[201~") == b"\x1b[200~text\x1b[201~"


def test_keys_between_a_refusal_and_the_next_prompt_wait_for_it() -> None:
    lines = shell()
    typed(lines, b"reboot\r")
    lines.drop()
    assert typed(lines, b"reboot", b"^C") == b""
    assert lines.show(b"\r\n") == b""
    assert lines.show(PROMPT) == b"reboot"
    lines.show(b"reboot")
    lines.type(b"\r")
    assert lines.line() == Line("reboot")


def test_keys_that_passed_before_a_line_was_cleared_make_none_that_can_be_told() -> None:
    lines = shell()
    typed(lines, b"reboot\r")
    lines.drop()
    lines.type(b"reboot")
    assert lines.idle() == b"reboot"
    lines.show(b"reboot^C\r\n" + PROMPT)
    lines.type(b"\r")
    lines.idle()
    assert lines.line() == Line(why=KEYS)


def test_a_line_from_the_history_is_what_the_terminal_shows() -> None:
    lines = shell()
    typed(lines, b"\x1b[A", b"reboot")
    lines.type(b"\r")
    assert not lines.ready
    lines.idle()
    assert (lines.ready, lines.line()) == (True, Line("reboot"))


def test_a_name_that_the_shell_completes_is_what_the_terminal_shows() -> None:
    lines = shell()
    typed(lines, b"cat /etc/sha\t", b"cat /etc/shadow ")
    lines.type(b"\r")
    lines.idle()
    assert lines.line() == Line("cat /etc/shadow")


def test_a_line_that_is_mended_is_what_stands_in_the_end() -> None:
    lines = shell()
    typed(lines, b"lx\x7fs", b"lx\b \bs")
    typed(lines, b"\r", b"")
    assert lines.line() == Line("ls")
    lines = shell()
    typed(lines, b"boot\x01re", b"boot\r" + PROMPT + b"\x1b[1@r\x1b[1@e")
    lines.type(b"\r")
    lines.idle()
    assert lines.line() == Line("reboot")


def test_a_password_is_neither_told_nor_kept() -> None:
    lines = shell(b"[sudo] password for user: ")
    lines.type(b"hunter2\r")
    lines.idle()
    assert lines.line() == Line(why=UNSEEN)
    lines = shell(b"Password: ")
    typed(lines, b"hunter2\r", b"*******")
    lines.idle()
    assert lines.line() == Line(why=OTHER)


@pytest.mark.parametrize(
    ("keys", "echo", "why"),
    [
        (b"\x12reb", b"\r\x1b[K(reverse-i-search)`reb': reboot", KEYS),
        (b"\x16\x03x", b"^Cx", KEYS),
        (b"\x18\x05", b"", KEYS),
        (b"ls", b"ls\x1b[3;4Hx", OTHER),
        (b"ls", b"reboot", OTHER),
        (b"l\x1b[As", b"\r\nls", OTHER),
        (b"x" * 90, b"x" * 90, OTHER),
        (b"y" * 5_000, b"y" * 5_000, LONG),
        (b":wq", b"\x1b[?1049h:wq", FULL),
    ],
)
def test_what_cannot_be_told_says_why(keys: bytes, echo: bytes, why: str) -> None:
    lines = shell()
    typed(lines, keys, echo)
    lines.type(b"\r")
    lines.idle()
    assert lines.line() == Line(why=why)


def test_a_prompt_that_is_typed_over_is_no_line() -> None:
    lines = Lines(80)
    assert lines.type(b"ls\r") == b""
    assert lines.idle() == b"ls"
    lines.show(b"\r\n" + PROMPT + b"reboot")
    lines.idle()
    assert lines.line() == Line(why=OTHER)


def test_an_interrupt_passes_at_once_and_what_waits_is_forgotten() -> None:
    lines = shell()
    typed(lines, b"sleep 9\rid\r")
    assert lines.type(b"\x03") == b"\x03"
    assert not lines.ended
    assert lines.show(b"^C\r\n" + PROMPT) == b""


@pytest.mark.parametrize("key", [b"\x03", b"\x1a", b"\x16\x03"])
def test_what_was_not_cleared_by_an_interrupt_is_no_empty_line(key: bytes) -> None:
    lines = shell()
    typed(lines, b"reboot #")
    typed(lines, key, b"^C")
    lines.type(b"\r")
    lines.idle()
    assert lines.line() == Line(why=KEYS)


def test_a_line_that_was_refused_and_stays_is_not_run_by_another_end() -> None:
    lines = shell()
    typed(lines, b"reboot\r")
    lines.drop()
    lines.type(b"\r")
    lines.idle()
    assert lines.line() == Line(why=KEYS)


def test_behind_a_line_that_was_cleared_the_next_one_is_told() -> None:
    lines = shell()
    typed(lines, b"reboot\r")
    lines.drop()
    lines.show(b"^C\r\n" + PROMPT)
    typed(lines, b"id\r")
    assert lines.line() == Line("id")


def test_an_empty_line_is_one() -> None:
    lines = shell()
    assert typed(lines, b"\r") == b""
    assert (lines.ready, lines.line().empty) == (True, True)


def test_what_waits_behind_a_line_has_an_end() -> None:
    lines = shell()
    typed(lines, b"ls\r")
    lines.type(b"x" * (BEHIND + 1))
    assert lines.full


def test_a_program_that_writes_all_the_time_does_not_keep_keys_for_ever() -> None:
    lines = shell()
    typed(lines, b"top\r")
    lines.go()
    lines.type(b"q")
    assert lines.show(b"x\r\n" * 2_000) == b"q"


@given(st.lists(st.one_of(st.sampled_from([b"\r", b"\n", b"\x04"]), st.binary(max_size=8)), max_size=20))
def test_no_end_of_a_line_passes_undecided(pieces: list[bytes]) -> None:
    lines = shell()
    for piece in pieces:
        passed = lines.type(piece) + lines.show(b"x") + lines.idle()
        assert not {b"\r"[0], b"\n"[0], 0x0F} & set(passed)


# Ways round it ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"\x1b#", b"\x1b1", b"\x18", b"\x1b\r", b"\x0f", b"\x16", b"\x12", b"\x1a", b"\x1c", b"\x1bq"])
def test_a_key_that_is_not_followed_waits_as_an_end_does(key: bytes) -> None:
    lines = shell()
    assert typed(lines, b"#touch x") == b"#touch x"
    assert typed(lines, key) == b""
    assert (lines.ended, lines.ready, lines.line()) == (True, True, Line(why=KEYS))


def test_behind_a_key_that_was_let_go_the_line_is_unknown() -> None:
    lines = shell()
    typed(lines, b"ls\x18")
    lines.go()
    lines.type(b"\x05\r")
    lines.idle()
    assert lines.line().why


def test_a_line_that_is_not_shown_is_never_an_empty_one() -> None:
    for keys in (b"\x05touch x\r", b"touch x\r", b"x\x7f\r"):
        lines = shell()
        typed(lines, keys, b"")
        lines.idle()
        assert lines.line() == Line(why=UNSEEN)


def test_a_line_by_keys_is_not_told_from_a_screen_that_is_older_than_they_are() -> None:
    lines = shell()
    typed(lines, b"ls ")
    typed(lines, b"\t", b"")
    typed(lines, b"\x01\x0btouch x\r", b"")
    lines.idle()
    assert lines.line() == Line(why=OTHER)


def test_nothing_typed_is_nothing_at_the_prompt_of_the_line_before_alone() -> None:
    lines = shell()
    typed(lines, b"ls\r")
    lines.go()
    lines.show(b"\r\nfile\r\n" + PROMPT)
    lines.type(b"\r")
    assert (lines.ready, lines.line()) == (True, Line())
    lines.go()
    lines.show(b"\r\n" + PROMPT + b"touch x")
    lines.type(b"\r")
    lines.idle()
    assert lines.line() == Line(why=OTHER)


def test_a_terminal_that_makes_room_without_end_keeps_no_more_than_its_line() -> None:
    screen = Screen(80)
    screen.show(b"$ " + b"\x1b[90@" * 20_000)
    assert len(screen.cells) <= 80
    assert screen.doubtful


def test_each_line_that_goes_or_is_cleared_is_another_turn() -> None:
    lines = shell()
    typed(lines, b"ls\r")
    before = lines.turn
    lines.type(b"\x03touch x\r")
    assert lines.turn != before
