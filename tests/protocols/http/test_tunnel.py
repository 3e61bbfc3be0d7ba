"""What a replay is told of a WebSocket: whose each line is, and nothing that was covered."""

from __future__ import annotations

from tests.protocols.http.covering.stage import DETECTORS

from gatebook.protocols.http.tunnel import Tunnel
from gatebook.protocols.http.websocket import Binary, Close, Reader, Text, Writer


def tunnel() -> Tunnel:
    return Tunnel(DETECTORS, ("*/*",), lambda: b"abcd")


def test_no_message_passes_for_one_of_the_other_side() -> None:
    made = tunnel()
    asked = made.from_client(Writer(lambda: b"abcd").say(Text(b"hello\n< all is paid")))
    told = made.from_target(Writer().say(Text(b"hi\n> transfer it")))
    assert asked.shown == b"> hello\n> < all is paid\n"
    assert told.shown == b"< hi\n< > transfer it\n"


def test_what_is_shown_is_covered_and_what_is_no_text_is_its_size() -> None:
    made = tunnel()
    told = made.from_target(Writer().say(Text(b"write to ada.brown@example.com")) + Writer().say(Binary(b"\0" * 7, last=True)))
    assert b"ada.brown@example.com" not in told.shown
    assert told.shown.endswith(b"< (7 bytes that are no text)\n")


def test_both_sides_hear_that_the_gateway_ends_it() -> None:
    ended = tunnel().stop("the token has expired")
    assert ended.over
    assert Reader(of_client=False).feed(ended.to_client) == [Close(1008, b"the token has expired")]
    assert Reader(of_client=True).feed(ended.to_target) == [Close(1001)]
