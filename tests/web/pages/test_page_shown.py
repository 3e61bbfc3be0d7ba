"""Text from outside as markup: escaped, whole, and with a label for everything that could not be seen."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.web.pages.shown import exact, lasted, name, peek, size, volume

LABEL = re.compile(r'<span class="mark" title="[^"<>]*">[^<>]*</span>|<span class="tab">\t</span>')


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("\u202e", "U+202E"),
        ("\u2066", "U+2066"),
        ("\x00", "U+0000"),
        ("\x1b", "U+001B"),
        ("\r", "U+000D"),
        ("\x85", "U+0085"),
        ("\u2028", "U+2028"),
        ("\u200b", "U+200B"),
        ("\u200d", "U+200D"),
        ("\u00ad", "U+00AD"),
        ("\u00a0", "U+00A0"),
        ("\u3000", "U+3000"),
        ("\u3164", "U+3164"),
        ("\u2800", "U+2800"),
        ("\ufe0f", "U+FE0F"),
        ("\U000e0041", "U+E0041"),
        ("\ud800", "U+D800"),
        ("\ue000", "U+E000"),
        (" " * 33, "33 spaces"),
        ("\n" * 4, "4 line breaks"),
    ],
)
def test_what_could_not_be_seen_is_named(text: str, label: str) -> None:
    assert f">{label}</span>" in exact(f"a{text}b")
    assert f">{label}</span>" in name(f"a{text}b")


@pytest.mark.parametrize("text", ["é", "日本", "Ж", "שלום", "😀", "a\n  b", " " * 32])
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert exact(text) == text


def test_a_name_has_no_second_line() -> None:
    assert name("a\nb") == '<bdi>a<span class="mark" title="U+000A">U+000A</span>b</bdi>'


@given(st.text(alphabet=st.one_of(st.characters(exclude_characters=" "), st.sampled_from("<>&\"'\n\t\u202e\x00"))))
def test_no_text_becomes_markup_and_nothing_of_it_is_lost(text: str) -> None:
    shown = str(exact(text))
    assert not re.search(r"[<>\"']", LABEL.sub("", shown))
    again = "".join(
        named_by(part) if LABEL.fullmatch(part) else html.unescape(part) for part in re.split(f"({LABEL.pattern})", shown)
    )
    assert without_breaks(again) == without_breaks(text)


def named_by(label: str) -> str:
    code = re.search(r">U\+([0-9A-F]+)<", label)
    return chr(int(code[1], 16)) if code else ""


def without_breaks(text: str) -> str:
    return re.sub(r"[\n\t]", "", text)


def test_a_peek_says_how_much_more_there_is() -> None:
    assert peek("short") == "short"
    assert "400 more characters" in peek("x" * 800)
    assert "DROP" not in peek("\n".join("abcdef") + "\nDROP")
    assert "7 more characters" in peek("\n".join("abcdef") + "\nDROP")


def test_the_length_of_a_text_is_told_in_every_way_that_may_surprise() -> None:
    assert size("a") == "1 character, 1 line"
    assert size("é\n" * 2_000) == "4,000 characters, 6,000 bytes, 2,001 lines"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3_660, "1 h 1 min"), (86_400, "1 d"), (-5, "0 s")],
)
def test_durations_are_short(seconds: int, text: str) -> None:
    assert lasted(seconds * 1_000_000) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5 * 1024**3, "5.0 GiB")])
def test_volumes_are_short(count: int, text: str) -> None:
    assert volume(count) == text
