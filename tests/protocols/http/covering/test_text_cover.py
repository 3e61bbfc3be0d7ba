import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import DETECTORS, both, fed

from gatebook.errors import WireError
from gatebook.protocols.http.covering.text import LINE, MarkupCover, TextCover, UnnamedCover

KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + ("MIIB" * 16 + "\n") * 3 + "-----END RSA PRIVATE KEY-----"
PAIR = "AKIA" + "ABCDEFGHIJKLMNOP"
SECRET = "abcdefghij" * 4
TEXT = f"""hello password=foo12345 there
mail bob@example.com, call +49 30 12345678
{KEY} and more
{PAIR}
{SECRET}
last 4111 1111 1111 1111"""


def test_lines_are_covered_as_the_whole_text_is():
    out, masked = both(TextCover, DETECTORS, TEXT.encode())
    assert out.decode().splitlines() == [
        "hello password=<secret> there",
        "mail b***@example.com, call <phone>",
        "<private-key> and more",
        "<aws-access-key>",
        "<aws-secret-key>",
        "last ************1111",
    ]
    assert masked == {
        "secret": 1,
        "email": 1,
        "phone": 1,
        "private-key": 1,
        "aws-access-key": 1,
        "aws-secret-key": 1,
        "card": 1,
    }


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_cut_anywhere_the_same_text_comes_out(cuts):
    assert both(TextCover, DETECTORS, TEXT.encode(), cuts) == both(TextCover, DETECTORS, TEXT.encode())


def test_a_line_goes_on_as_soon_as_it_is_complete():
    coverer = TextCover(DETECTORS)
    assert coverer.feed(b"a bob@exam") == b""
    assert coverer.feed(b"ple.com\nb") == b"a b***@example.com\n"
    assert coverer.finish() == b"b"


def test_a_private_key_too_long_to_hold_is_swallowed_to_its_end():
    body = ("MIIB" * 16 + "\n") * 2_000
    text = f"a\n-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\nb\n".encode()
    for size in (1_000, 4_096, 65_536, len(text)):
        assert both(TextCover, DETECTORS, text, range(0, len(text), size)) == (b"a\n<private-key>\nb\n", {"private-key": 1})


@pytest.mark.parametrize("size", [700, 8_192, 50_000, 10**9])
def test_a_line_without_end_is_covered_in_windows_that_hide_nothing(size):
    chance = random.Random(3)
    words = [
        chance.choice(["4111111111111111", "bob@example.com", "word", "x" * 50, "password=hush12345"]) for _ in range(9_000)
    ]
    text = " ".join(words).encode()
    out, masked = both(TextCover, DETECTORS, text, range(0, len(text), size))
    assert (out, masked) == both(TextCover, DETECTORS, text, range(0, len(text), 5_000))
    assert b"4111111111111111" not in out
    assert b"hush" not in out
    assert masked["card"] == words.count("4111111111111111")
    assert masked["secret"] == words.count("password=hush12345")


def test_a_finding_longer_than_a_window_is_covered_unread_to_its_end():
    token = "ghp_" + "b" * (LINE * 3) + "hush"
    out, masked = both(TextCover, DETECTORS, f"x {token} tail".encode(), range(0, LINE * 3, 10_000))
    assert b"hush" not in out
    assert out.endswith(b" tail")
    assert masked["unread"] == 1


def test_text_made_to_be_slow_costs_a_bounded_time():
    text = (b"4242 4242 4242 4241 " * 5_000 + b"\n") * 2
    before = time.process_time()
    both(TextCover, DETECTORS, text)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<b>bob@example.com</b>", "<b>b***@example.com</b>"),
        ("<b>bob&#64;example&#x2e;com</b>", "<b>b***@example.com</b>"),
        ("<b>bob&commat;example&period;com</b>", "<b>b***@example.com</b>"),
        ("<a>&#x34;111111111111111</a>", "<a>************1111</a>"),
        ("<phone>+49 30 12345678</phone>", "<phone>&lt;phone&gt;</phone>"),
        ("<a href='x?a=1&amp;b=2'>&lt;x&gt; &#60; &eacute;</a>", "<a href='x?a=1&amp;b=2'>&lt;x&gt; &#60; &eacute;</a>"),
        ("password=hunter22&lt;", "password=&lt;secret&gt;&lt;"),
    ],
)
def test_markup_stays_markup_and_references_hide_nothing(markup, expected):
    for cuts in ((), range(len(markup))):
        assert both(MarkupCover, DETECTORS, markup.encode(), cuts)[0].decode() == expected


def test_content_without_a_type_must_be_text():
    assert fed(UnnamedCover(DETECTORS), "é bob@example.com".encode(), [1]) == "é b***@example.com".encode()
    for data in (b"\xff\xd8\xff", "é".encode()[:1]):
        with pytest.raises(WireError, match="not UTF-8"):
            fed(UnnamedCover(DETECTORS), data)
