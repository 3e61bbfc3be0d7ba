"""Text that people wait for: nothing sensitive gets by however it is cut, and nothing else is moved or kept waiting."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import CREDENTIAL, DETECTORS, plan
from tests.protocols.kubernetes.streams import CARD, EMAIL, HIDDEN_CARD, HIDDEN_EMAIL, HIDDEN_KEY, KEY, cut

from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.live import BLOCK, CONTEXT, LINE, TAIL, LiveCover

JWT = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
TEXTS = [
    (b"mail " + EMAIL + b" ok\n", b"mail " + HIDDEN_EMAIL + b" ok\n"),
    (b"card " + CARD + b"\n", b"card " + HIDDEN_CARD + b"\n"),
    (b"export PASSWORD=hunter2!x\n", b"export PASSWORD=*********\n"),
    (b"key AKIAIOSFODNN7EXAMPLE\n", b"key ********************\n"),
    (b"Authorization: Bearer abcdef0123456789abcdef\n", b"Authorization: Bearer **********************\n"),
    (JWT + b"\n", b"*" * len(JWT) + b"\n"),
    (b"before\n" + KEY + b"after\n", b"before\n" + HIDDEN_KEY + b"after\n"),
    (
        b"AKIAIOSFODNN7EXAMPLE\n" + b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\nend\n",
        b"*" * 20 + b"\n" + b"*" * 40 + b"\nend\n",
    ),
]


def fed(data: bytes, cuts: Iterable[int] = (), *, eager: bool = False, chosen: Plan = DETECTORS) -> bytes:
    cover = LiveCover(chosen, eager=eager)
    return b"".join(cover.feed(piece) for piece in cut(data, cuts)) + cover.finish()


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize(("text", "covered"), TEXTS)
def test_a_finding_becomes_stars_wherever_it_is_cut(text: bytes, covered: bytes, eager: bool) -> None:
    assert fed(text, eager=eager) == covered
    for place in range(1, len(text)):
        assert fed(text, [place], eager=eager) == covered
    assert fed(text, range(len(text)), eager=eager) == covered


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [EMAIL, CARD, KEY, JWT, b"password=", b"hunter2!x", b"AKIAIOSFODNN7EXAMPLE", b"\n", b" ", b"-", b"-----"]
        ),
        st.binary(max_size=12),
    ),
    max_size=14,
)


@given(PIECES, st.lists(st.integers(0, 900), max_size=12))
def test_lines_come_out_the_same_however_they_are_cut(pieces: list[bytes], cuts: list[int]) -> None:
    text = b"".join(pieces)
    whole = fed(text)
    assert fed(text, cuts) == whole
    assert len(whole) == len(text)
    assert all(new in (old, ord("*")) for new, old in zip(whole, text, strict=True))


@given(PIECES, st.lists(st.integers(0, 900), max_size=12), st.data())
def test_nothing_is_moved_lost_or_added_whatever_pauses_there_are(
    pieces: list[bytes], cuts: list[int], data: st.DataObject
) -> None:
    text, out = b"".join(pieces), b""
    cover = LiveCover(DETECTORS, eager=data.draw(st.booleans()))
    for piece in cut(text, cuts):
        out += cover.feed(piece)
        if data.draw(st.booleans()):
            out += cover.idle()
            assert not cover.held
    out += cover.finish()
    assert len(out) == len(text)
    assert all(new in (old, ord("*")) for new, old in zip(out, text, strict=True))
    assert not cover.held


def test_a_terminal_is_not_kept_waiting_for_what_begins_nothing() -> None:
    cover = LiveCover(DETECTORS, eager=True)
    prompt = b"\x1b[01;32mroot@web-1\x1b[00m:/app# "
    assert cover.feed(prompt) == prompt
    assert not cover.held
    redraw = b"\x1b[2;1Hload average: high \x1b[K\x1b[12;5H"
    assert cover.feed(redraw) == redraw
    assert cover.feed(b"\b \b") == b"\b \b"


@pytest.mark.parametrize(
    "begun",
    [
        b"ada.bro",
        b"4111 11",
        b"password: ",
        b"api_key = '",
        b"-----BEGIN RSA PRI",
        b"eyJhbGciOiJIUz",
        b"IBAN DE89 3704",
        b"Bearer ",
    ],
)
def test_what_may_begin_a_finding_waits_a_moment_and_no_longer(begun: bytes) -> None:
    cover = LiveCover(DETECTORS, eager=True)
    first = cover.feed(b"out " + begun)
    assert cover.held
    assert first + cover.idle() == b"out " + begun
    assert not cover.held


def test_what_follows_a_pause_is_covered_as_soon_as_it_can_be_told() -> None:
    cover = LiveCover(DETECTORS, eager=True)
    out = b""
    for byte in b"PASSWORD=hunter2!x card 4111 1111 1111 1111 key AKIAIOSFODNN7EXAMPLE end\n":
        out += cover.feed(bytes((byte,))) + cover.idle()
    assert out == b"PASSWORD=hu******* card 4111 1111 1111 111* key AKIAIOSFODNN7EXAMPL* end\n"
    assert cover.masked == {"secret": 1, "card": 1, "aws-access-key": 1}


def test_a_private_key_stays_covered_through_every_pause() -> None:
    cover = LiveCover(DETECTORS, eager=True)
    out = b""
    for piece in cut(b"x\n" + KEY + b"ada\n", range(0, 200, 3)):
        out += cover.feed(piece) + cover.idle()
    lines = out.split(b"\n")
    assert lines[0] == b"x"
    assert lines[2:4] == [b"*" * 16, b"*" * 10]
    assert lines[-2] == b"ada"
    assert cover.masked == {"private-key": 1}


def test_a_key_that_never_ends_is_covered_in_bounded_memory() -> None:
    cover = LiveCover(DETECTORS, eager=False)
    out = cover.feed(b"-----BEGIN PRIVATE KEY-----\n")
    for _ in range(2_000):
        out += cover.feed(b"MIIEpAIBAAKCAQEA" * 64 + b"\n")
    assert not cover.held
    assert b"MIIE" not in out
    assert cover.feed(b"\x1b[0m$ ls\n") == b"\x1b[0m$ ls\n"


def test_a_line_without_end_goes_on_but_for_its_last_words() -> None:
    cover = LiveCover(DETECTORS, eager=False)
    out = b""
    sent = 0
    for _ in range(200):
        out += cover.feed(b"x" * 5_000)
        sent += 5_000
        assert sent - len(out) <= LINE + TAIL + 5_000
    out += cover.feed(b" " + EMAIL + b"\n")
    assert out == b"x" * sent + b" " + HIDDEN_EMAIL + b"\n"


def test_a_token_longer_than_what_is_remembered_is_covered_to_its_end() -> None:
    token = b"gbt_" + b"a1B2" * (10 * CONTEXT)
    out = fed(b"t " + token + b" end\n", range(0, len(token), 1_000))
    assert out == b"t " + b"*" * len(token) + b" end\n"


@pytest.mark.parametrize(
    "found",
    [b"+49 170 1234567", b"DE89 3704 0044 0532 0130 00", b'"password": "alpha,beta;gamma&delta"'],
    ids=["phone", "iban", "password"],
)
def test_a_finding_of_several_words_is_covered_whole_wherever_a_long_line_is_taken_apart(found: bytes) -> None:
    alone = fed(found + b" ")
    for back in range(len(found) + 1):
        before = b"x" * (BLOCK - back - 1) + b" "
        assert fed(before + found + b" " + b"y" * CONTEXT)[len(before) : len(before) + len(alone)] == alone


def test_the_gateways_credential_is_covered_and_its_beginning_is_kept() -> None:
    chosen = plan(detectors=(), needles=(CREDENTIAL,))
    for place in range(1, len(CREDENTIAL)):
        cover = LiveCover(chosen, eager=True)
        out = cover.feed(b"got " + CREDENTIAL[:place])
        out += cover.idle() if place >= 8 else b""
        assert out + cover.feed(CREDENTIAL[place:] + b" ok\n") == b"got " + b"*" * len(CREDENTIAL) + b" ok\n"


def test_where_nothing_is_covered_nothing_is_held() -> None:
    cover = LiveCover(plan(detectors=()), eager=False)
    assert cover.feed(EMAIL) == EMAIL
    assert not cover.held


@settings(max_examples=30)
@given(st.integers(0, 9))
def test_an_archive_keeps_its_sizes(seed: int) -> None:
    block = bytes((seed * 37 + place * 11) % 256 for place in range(512)) + EMAIL + b"\0" * (512 - len(EMAIL))
    out = fed(block * 40, range(0, 40_960, 777 + seed))
    assert len(out) == 40_960
    assert EMAIL not in out
