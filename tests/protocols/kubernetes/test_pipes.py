"""Commands and forwarded ports over SPDY: what goes on to either side, what does not, and how it ends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import CREDENTIAL, DETECTORS, plan
from tests.protocols.kubernetes.streams import (
    CARD,
    EMAIL,
    HIDDEN_CARD,
    HIDDEN_EMAIL,
    SUCCESS,
    Between,
    content,
    keys,
    messages,
    opened,
    replied,
    socket_client,
    socket_target,
    spdy_bytes,
)

from gatebook.protocols.http.websocket import Binary, Close, Closing, Text
from gatebook.protocols.kubernetes.command import STATUS_BYTES
from gatebook.protocols.kubernetes.pipes import CommandPipe, PortPipe, TunnelledPipe
from gatebook.protocols.kubernetes.spdy import (
    Data,
    Frame,
    GoAway,
    More,
    Opened,
    Ping,
    Reader,
    Replied,
    Reset,
    Settings,
    Window,
    Writer,
)
from gatebook.protocols.kubernetes.spdy_streams import AT_ONCE
from gatebook.protocols.terminals import Kind

ALL = ("error", "stdin", "stdout", "stderr")
ERROR, STDIN, STDOUT, STDERR = 1, 3, 5, 7


def command(*, tty: bool = False) -> Between:
    return Between(CommandPipe(DETECTORS, tty=tty))


def to_client(between: Between) -> list[Frame]:
    return Reader().feed(between.to_client)


def to_target(between: Between) -> list[Frame]:
    return Reader().feed(between.to_target)


def port(number: int, name: str, at: str = "5432", request: str = "0") -> Opened:
    return Opened(number, {"streamtype": name, "port": at, "requestid": request})


def test_a_command_runs_through_with_its_output_covered() -> None:
    run = command()
    run.client(spdy_bytes(*opened(*ALL), Data(STDIN, b"cat people\n"), Data(STDIN, b"", last=True)))
    assert to_target(run) == [*opened(*ALL), Data(STDIN, b"cat people\n"), Data(STDIN, b"", last=True)]
    run.target(spdy_bytes(*replied(4), Data(STDOUT, b"mail " + EMAIL[:7]), Data(STDOUT, EMAIL[7:] + b"\n"),
                          Data(STDERR, b"card " + CARD + b"\n"), Data(STDOUT, b"", last=True), Data(STDERR, b"", last=True),
                          Data(ERROR, SUCCESS, last=True)))  # fmt: skip
    assert content(to_client(run), STDOUT) == b"mail " + HIDDEN_EMAIL + b"\n"
    assert content(to_client(run), STDERR) == b"card " + HIDDEN_CARD + b"\n"
    assert json.loads(content(to_client(run), ERROR)) == json.loads(SUCCESS)
    assert run.passage.masked == {"email": 1, "card": 1}
    assert run.shown[:2] == [(Kind.INPUT, b"cat people\n"), (Kind.CLOSED, b"stdin")]
    assert run.told(Kind.OUTPUT) == b"mail " + HIDDEN_EMAIL + b"\n"
    assert run.told(Kind.ERRORS) == b"card " + HIDDEN_CARD + b"\n"
    assert json.loads(run.told(Kind.STATUS))["status"] == "Success"
    assert not run.over


SAID = st.lists(
    st.builds(
        Data,
        st.sampled_from([STDOUT, STDERR]),
        st.sampled_from([b" " + EMAIL + b" ", b" " + CARD + b" ", b"\n", b" plain ", b" passw", b"ord=hunter2!"]),
    ),
    max_size=10,
)


@given(SAID, st.lists(st.integers(0, 500), max_size=10))
def test_the_client_gets_the_same_however_frames_are_cut(said: list[Frame], cuts: list[int]) -> None:
    ends = [Data(STDOUT, b"", last=True), Data(STDERR, b"", last=True)]
    whole, pieces = (command().client(spdy_bytes(*opened(*ALL))) for _ in range(2))
    told = spdy_bytes(*replied(4), *said, *ends)
    whole.target(told)
    pieces.target(told, cuts)
    for stream in (STDOUT, STDERR):
        assert content(to_client(whole), stream) == content(to_client(pieces), stream)
        sent = b"".join(one.data for one in said if isinstance(one, Data) and one.stream == stream)
        assert len(content(to_client(pieces), stream)) == len(sent)
    assert EMAIL not in pieces.to_client
    assert CARD not in pieces.told(Kind.OUTPUT, Kind.ERRORS)


def test_what_is_held_goes_on_when_nothing_comes() -> None:
    run = command(tty=True).client(spdy_bytes(*opened("error", "stdin", "stdout")))
    run.target(spdy_bytes(*replied(3), Data(STDOUT, b"Password: ")))
    assert content(to_client(run), STDOUT) == b""
    assert 0 < run.passage.waits < 0.1
    run.idle()
    assert content(to_client(run), STDOUT) == b"Password: "
    assert run.passage.waits == 0


def test_what_is_held_goes_on_before_a_connection_ends() -> None:
    for ending in (Reset(STDOUT), GoAway(0)):
        run = command().client(spdy_bytes(*opened(*ALL)))
        run.target(spdy_bytes(*replied(4), Data(STDOUT, b"no line end"), ending))
        assert content(to_client(run), STDOUT) == b"no line end"
        assert to_client(run)[-1] == ending
    run = command().client(spdy_bytes(*opened(*ALL))).target(spdy_bytes(*replied(4), Data(STDOUT, b"no line end"))).ended()
    assert content(to_client(run), STDOUT) == b"no line end"


def test_pings_settings_and_windows_go_on_and_headers_of_no_meaning_do_not() -> None:
    run = command().client(
        spdy_bytes(*opened(*ALL), Ping(1), Settings(((4, 100),)), Window(1, 5), More(STDIN, {"x": "y"}), GoAway(0))
    )
    assert to_target(run) == [*opened(*ALL), Ping(1), Settings(((4, 100),)), Window(1, 5), GoAway(0)]
    run.target(spdy_bytes(Ping(1), Replied(1, {"server": "x"}), More(1, {"a": "b"}, last=True)))
    assert to_client(run) == [Ping(1), Replied(1, {}), Data(1, b"", last=True)]


def test_only_known_headers_of_a_stream_go_on() -> None:
    run = command().client(spdy_bytes(Opened(1, {"streamtype": "stdin", "impersonate-user": "root", ":path": "/"})))
    assert to_target(run) == [Opened(1, {"streamtype": "stdin"})]


BAD_CLIENT: list[list[Frame]] = [
    [Opened(2, {"streamtype": "stdin"})],
    [Opened(1, {"streamtype": "shell"})],
    [Opened(1, {})],
    [Opened(1, {"streamtype": "stdin"}), Opened(3, {"streamtype": "stdin"})],
    [Opened(3, {"streamtype": "stdin"}), Opened(1, {"streamtype": "stdout"})],
    [Opened(1, {"streamtype": "stdin"}), Opened(1, {"streamtype": "stdout"})],
    [Data(1, b"x")],
    [Data(2, b"x")],
    [Opened(1, {"streamtype": "stdin"}), Data(1, b"x", last=True), Data(1, b"y")],
    [Opened(1, {"streamtype": "stdin"}, last=True), Data(1, b"y")],
    [Opened(1, {"streamtype": "stdout"}), Data(1, b"x")],
    [Opened(1, {"streamtype": "error"}), Data(1, b"x")],
    [Opened(1, {"streamtype": "resize"}), Data(1, b"[80]")],
    [Opened(1, {"streamtype": "resize"}), Data(1, b'{"Width":80', last=True)],
    [Opened(1, {"streamtype": "resize"}), Data(1, b'{"Width":' + b" " * 300)],
    [Opened(1, {"streamtype": "resize"}), Data(1, b'{"Width":-1}')],
    [Opened(1, {"streamtype": "resize"}), Data(1, b'{"Width":80.5}')],
    [Opened(1, {"streamtype": "resize"}), Data(1, b"\xff")],
    [Opened(1, {"streamtype": "stdin"}), Replied(1, {})],
    [Reset(1)],
]


@pytest.mark.parametrize("said", BAD_CLIENT)
def test_a_client_that_breaks_the_protocol_is_hung_up_on_and_told_why(said: list[Frame]) -> None:
    run = command().client(spdy_bytes(*said))
    assert run.over
    assert to_client(run)[-1] == GoAway(0, 1)
    assert to_target(run)[-1] == GoAway(0, 1)
    before = run.to_target
    assert run.client(spdy_bytes(Ping(1))).to_target == before


BAD_TARGET: list[list[Frame]] = [
    [Opened(2, {"streamtype": "stdin"})],
    [Data(9, b"x")],
    [Data(STDIN, b"x")],
    [Replied(1, {}), Replied(1, {})],
    [Data(STDOUT, b"", last=True), Data(STDOUT, b"x")],
    [Data(ERROR, b"{" + b" " * STATUS_BYTES)],
]


@pytest.mark.parametrize("said", BAD_TARGET)
def test_a_target_that_breaks_the_protocol_ends_it_for_both(said: list[Frame]) -> None:
    run = command().client(spdy_bytes(*opened(*ALL))).target(spdy_bytes(*said))
    assert run.over
    assert to_client(run)[-1] == GoAway(0, 1)
    told = json.loads(content(to_client(run), ERROR))
    assert (told["status"], told["reason"]) == ("Failure", "Forbidden")


def test_what_was_on_its_way_to_a_stream_that_is_over_is_nobodys() -> None:
    run = command().client(spdy_bytes(*opened(*ALL), Reset(STDOUT)))
    run.target(spdy_bytes(*replied(4), Data(STDOUT, b"late"), Reset(STDOUT)))
    assert not run.over
    assert content(to_client(run), STDOUT) == b""


def test_the_client_hears_why_the_gateway_ends_a_command() -> None:
    run = command().client(spdy_bytes(*opened(*ALL))).target(spdy_bytes(*replied(4), Data(STDOUT, b"half")))
    run.take(run.passage.stop("the token has expired"))
    assert content(to_client(run), STDOUT) == b"half"
    assert json.loads(content(to_client(run), ERROR))["message"] == "the token has expired"
    assert run.over


def test_sizes_of_the_terminal_are_told_anew_and_recorded() -> None:
    run = command(tty=True).client(spdy_bytes(*opened("error", "stdin", "stdout", "resize")))
    run.client(spdy_bytes(Data(7, b'{"Width":80,"Hei'), Data(7, b'ght":24,"Depth":9}\n{"width":100,"HEIGHT":30}')))
    assert content(to_target(run), 7) == b'{"Width":80,"Height":24}\n{"Width":100,"Height":30}\n'
    assert run.shown == [(Kind.RESIZE, b"80x24"), (Kind.RESIZE, b"100x30")]


# Ports --------------------------------------------------------------------------------------------------------------------


def forward(chosen: object = None) -> Between:
    return Between(PortPipe(plan(detectors=(), needles=(CREDENTIAL,)) if chosen is None else DETECTORS))


def test_a_forwarded_connection_passes_as_it_is_and_is_recorded_by_its_sizes() -> None:
    run = forward().client(spdy_bytes(port(1, "error"), Data(1, b"", last=True), port(3, "data"), Data(3, EMAIL * 3)))
    assert to_target(run) == [port(1, "error"), Data(1, b"", last=True), port(3, "data"), Data(3, EMAIL * 3)]
    run.target(spdy_bytes(*replied(2), Data(3, b"\0\1" + CARD), Data(3, b"", last=True), Data(1, b"", last=True)))
    assert content(to_client(run), 3) == b"\0\1" + CARD
    assert run.shown == [(Kind.OPENED, b"3 5432"), (Kind.SENT, b"3 63"), (Kind.RECEIVED, b"3 21")]


def test_much_that_passes_one_way_is_counted_together() -> None:
    run = forward().client(spdy_bytes(port(1, "error"), port(3, "data")))
    run.client(b"".join(Writer().say(Data(3, b"x" * 65_536)) for _ in range(20)))
    assert run.shown == [(Kind.OPENED, b"3 5432"), (Kind.SENT, b"3 1048576")]
    run.target(spdy_bytes(*replied(2), Reset(3)))
    assert run.shown[2:] == [(Kind.SENT, b"3 262144")]


def test_the_gateways_credential_does_not_come_back_through_a_port() -> None:
    for place in range(len(CREDENTIAL)):
        run = forward().client(spdy_bytes(port(1, "error"), port(3, "data")))
        run.target(spdy_bytes(*replied(2), Data(3, b"x" + CREDENTIAL[:place]), Data(3, CREDENTIAL[place:] + b"y", last=True)))
        assert content(to_client(run), 3) == b"x" + b"*" * len(CREDENTIAL) + b"y"
        assert run.passage.masked == {"credential": 1}


def test_a_byte_that_a_credential_might_begin_with_does_not_wait_for_ever() -> None:
    run = (
        forward()
        .client(spdy_bytes(port(1, "error"), port(3, "data")))
        .target(spdy_bytes(*replied(2), Data(3, b"x" + CREDENTIAL[:1])))
    )
    assert content(to_client(run), 3) == b"x"
    assert run.passage.waits > 0
    run.idle()
    assert content(to_client(run), 3) == b"x" + CREDENTIAL[:1]
    assert run.passage.waits == 0


def test_what_went_wrong_with_a_port_is_covered() -> None:
    run = forward(DETECTORS).client(spdy_bytes(port(1, "error"), port(3, "data")))
    run.target(spdy_bytes(*replied(2), Data(1, b"error forwarding for " + EMAIL, last=True)))
    assert content(to_client(run), 1) == b"error forwarding for " + HIDDEN_EMAIL
    assert run.told(Kind.ERRORS) == b"error forwarding for " + HIDDEN_EMAIL


@pytest.mark.parametrize(
    "said",
    [port(1, "data", "0"), port(1, "data", "65536"), port(1, "data", "08"), port(1, "data", ""), port(1, "data", "22", "a b"),
     port(1, "stdin"), port(1, "data", "22", "9" * 65), Opened(1, {"streamtype": "data"})],
)  # fmt: skip
def test_a_stream_that_is_no_ports_is_refused(said: Opened) -> None:
    run = forward().client(spdy_bytes(said))
    assert run.over
    assert to_target(run) == [GoAway(0, 1)]


def test_streams_have_an_end_and_those_that_are_over_make_room() -> None:
    run, client, target = forward(), Writer(), Writer()
    for number in range(1, 8 * AT_ONCE, 2):
        run.client(client.say(port(number, "data")) + client.say(Data(number, b"", last=True)))
        run.target(target.say(Replied(number, {})) + target.say(Data(number, b"", last=True)))
    assert not run.over
    run, client = forward(), Writer()
    for number in range(1, 2 * AT_ONCE + 3, 2):
        assert not run.over
        run.client(client.say(port(number, "data")))
    assert run.over


# Inside of a WebSocket ----------------------------------------------------------------------------------------------------


def inside(data: bytes, *, of_client: bool) -> list[Frame]:
    return Reader().feed(b"".join(one for one in messages(data, of_client=of_client) if not one.startswith(b"close")))


@given(st.lists(st.integers(0, 200), max_size=6), st.lists(st.integers(0, 200), max_size=6))
def test_ports_are_forwarded_inside_of_a_websocket(cuts: list[int], more: list[int]) -> None:
    run = Between(TunnelledPipe(plan(detectors=(), needles=(CREDENTIAL,)), keys))
    said = spdy_bytes(port(1, "error"), port(3, "data"), Data(3, b"hello"))
    run.client(socket_client(Binary(said[:20], last=True), Binary(said[20:], last=True)), cuts)
    assert inside(run.to_target, of_client=True)[:2] == [port(1, "error"), port(3, "data")]
    assert content(inside(run.to_target, of_client=True), 3) == b"hello"
    run.target(socket_target(Binary(spdy_bytes(*replied(2), Data(3, b"a" + CREDENTIAL)), last=True), Close(1000)), more)
    assert content(inside(run.to_client, of_client=False), 3) == b"a" + b"*" * len(CREDENTIAL)
    assert messages(run.to_client, of_client=False)[-1] == b"close 1000 "


def test_what_is_no_spdy_inside_of_a_websocket_closes_it() -> None:
    for said in (Text(b"hello"), Binary(b"\x80\x02" + b"\0" * 6, last=True)):
        run = Between(TunnelledPipe(DETECTORS, keys)).client(socket_client(said))
        assert run.over
        assert messages(run.to_client, of_client=False)[-1].startswith(
            b"close %d" % (Closing.UNSUPPORTED if isinstance(said, Text) else 1002)
        )
        assert messages(run.to_target, of_client=True)[-1] == b"close 1001 "
