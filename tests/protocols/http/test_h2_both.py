"""Both our sides with a wire between them that cuts where it likes: whatever windows do, content arrives whole and in order."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.protocols.http import h2
from gatebook.protocols.http.h2_frames import Setting
from gatebook.protocols.http.h2_frames import settings as settings_frame
from gatebook.protocols.http.message import Data, End, Request, Response

SIZES = st.integers(0, 60_000)
STEPS = st.lists(st.tuples(st.sampled_from(["carry", "pass on", "shrink"]), st.integers(0, 40_000)), max_size=25)


class Wire:
    """Two sides, what is on its way between them, and what each has heard and not passed on."""

    def __init__(self) -> None:
        self.server, self.client = h2.ServerSide(), h2.ClientSide()
        self.to_server, self.to_client = b"", b""
        self.heard: dict[tuple[bool, int], bytes] = defaultdict(bytes)
        self.over: set[tuple[bool, int]] = set()
        self.unread: dict[tuple[bool, int], int] = defaultdict(int)

    def collect(self) -> None:
        self.to_server += self.client.due()
        self.to_client += self.server.due()

    def carry(self, most: int) -> None:
        """At most so many bytes each way."""
        self.collect()
        for at_server, side in ((True, self.server), (False, self.client)):
            waiting = self.to_server if at_server else self.to_client
            piece, rest = waiting[:most], waiting[most:]
            if at_server:
                self.to_server = rest
            else:
                self.to_client = rest
            for number, one in side.feed(piece):
                if isinstance(one, Data):
                    self.heard[at_server, number] += one.data
                    self.unread[at_server, number] += len(one.data)
                elif isinstance(one, End):
                    self.over.add((at_server, number))
                else:
                    assert not isinstance(one, h2.Reset), one
        self.collect()

    def pass_on(self, most: int) -> None:
        for (at_server, number), count in self.unread.items():
            side = self.server if at_server else self.client
            some = min(count, most)
            sent = side.consumed(number, some)
            self.unread[at_server, number] -= some
            if at_server:
                self.to_client += sent
            else:
                self.to_server += sent


@given(asked=st.lists(SIZES, min_size=1, max_size=3), answered=SIZES, steps=STEPS)
@settings(max_examples=80, deadline=None)
def test_content_arrives_whole_and_in_order_whatever_windows_do(
    asked: list[int], answered: int, steps: list[tuple[str, int]]
) -> None:
    wire = Wire()
    wire.carry(10_000)
    wire.carry(10_000)
    contents = {2 * at + 1: bytes([65 + at]) * size for at, size in enumerate(asked)}
    for number, content in contents.items():
        given_number, sent = wire.client.request(Request("POST", "https", "a.test", "/", ()), length=len(content))
        assert given_number == number
        wire.to_server += sent + wire.client.data(number, content) + wire.client.end(number)
    wire.carry(1_000_000)
    for number in contents:
        wire.to_client += wire.server.respond(number, Response(200, ()), length=None)
        wire.to_client += wire.server.data(number, b"z" * answered) + wire.server.end(number, ((b"x-sum", b"1"),))
    for step, most in steps:
        match step:
            case "carry":
                wire.carry(most)
            case "pass on":
                wire.pass_on(most)
            case _:
                wire.to_server += settings_frame({Setting.INITIAL_WINDOW_SIZE: most})
    wire.to_server += settings_frame({Setting.INITIAL_WINDOW_SIZE: 100_000})
    for _ in range(40):
        wire.carry(1_000_000)
        wire.pass_on(1_000_000)
    for number, content in contents.items():
        assert wire.heard[True, number] == content
        assert wire.heard[False, number] == b"z" * answered
        assert {(True, number), (False, number)} <= wire.over
    assert wire.server.idle
    assert wire.client.idle
