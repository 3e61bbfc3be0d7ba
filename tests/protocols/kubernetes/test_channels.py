"""Commands over a WebSocket: channels, covered across messages, and every way to break them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import CREDENTIAL, DETECTORS, plan
from tests.protocols.kubernetes.streams import (
    CARD,
    EMAIL,
    ERROR,
    HIDDEN_CARD,
    HIDDEN_EMAIL,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    SUCCESS,
    Between,
    channel,
    keys,
    message,
    messages,
    socket_client,
    socket_target,
)

from gatebook.protocols.http.websocket import Binary, Close, Ping, Pong, Text, masked
from gatebook.protocols.kubernetes.channels import CommandSocket, PortSocket
from gatebook.protocols.streams import COUNTED, SHOWN_INPUT
from gatebook.protocols.terminals import Kind


def command(*, tty: bool = False, closes: bool = True) -> Between:
    return Between(CommandSocket(DETECTORS, keys, tty=tty, closes=closes))


def at_client(run: Between) -> list[bytes]:
    return messages(run.to_client, of_client=False)


def at_target(run: Between) -> list[bytes]:
    return messages(run.to_target, of_client=True)


def test_a_command_runs_through_with_its_output_covered() -> None:
    run = command().client(socket_client(message(STDIN, b"cat people\n"), Binary(bytes((255, STDIN)), last=True)))
    assert at_target(run) == [b"\0cat people\n", b"\xff\0"]
    run.target(socket_target(message(STDOUT), message(STDOUT, b"mail " + EMAIL[:9]), message(STDERR, b"card " + CARD[:8]),
                             message(STDOUT, EMAIL[9:] + b"\n"), message(STDERR, CARD[8:] + b"\n"), message(ERROR, SUCCESS),
                             Close(1000)))  # fmt: skip
    found = at_client(run)
    assert found[0] == b"\x01"
    assert channel(found, STDOUT) == b"mail " + HIDDEN_EMAIL + b"\n"
    assert channel(found, STDERR) == b"card " + HIDDEN_CARD + b"\n"
    assert json.loads(channel(found, ERROR)) == json.loads(SUCCESS)
    assert found[-1] == b"close 1000 "
    assert run.shown[:2] == [(Kind.INPUT, b"cat people\n"), (Kind.CLOSED, b"stdin")]
    assert run.told(Kind.OUTPUT) == b"mail " + HIDDEN_EMAIL + b"\n"
    assert run.passage.masked == {"email": 1, "card": 1}
    assert run.client(socket_client(Close(1000))).over


PIECES = st.lists(
    st.tuples(
        st.sampled_from([STDOUT, STDERR]),
        st.sampled_from([b" " + EMAIL, b" " + CARD + b" ", b"\n", b" plain ", b" passw", b"ord=hunter2!", b" \x80\xff "]),
    ),
    max_size=10,
)


@given(PIECES, st.lists(st.integers(0, 500), max_size=10), st.booleans())
def test_the_client_gets_the_same_however_it_is_cut_into_bytes_and_messages(
    pieces: list[tuple[int, bytes]], cuts: list[int], bytewise: bool
) -> None:
    whole = command().target(socket_target(*(message(*one) for one in pieces), Close(1000)))
    small = [message(number, data[at : at + 1]) for number, data in pieces for at in range(len(data))] if bytewise else None
    other = command().target(socket_target(*(small or [message(*one) for one in pieces]), Close(1000)), cuts)
    for number in (STDOUT, STDERR):
        assert channel(at_client(whole), number) == channel(at_client(other), number)
    assert EMAIL not in other.to_client
    assert CARD not in other.told(Kind.OUTPUT, Kind.ERRORS)


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=8))
def test_what_a_command_is_fed_reaches_it_unchanged(data: bytes, cuts: list[int]) -> None:
    run = command().client(socket_client(message(STDIN, data[:100]), message(STDIN, data[100:])), cuts)
    assert channel(at_target(run), STDIN) == data


@given(st.binary(max_size=200), st.booleans())
def test_damaged_bytes_of_either_side_close_it_and_raise_nothing(data: bytes, of_client: bool) -> None:
    run = command()
    (run.client if of_client else run.target)(data)
    run.idle().ended()


def test_a_message_may_come_in_fragments_and_as_text() -> None:
    run = command().client(
        socket_client(Binary(b"", last=False), Binary(b"\0ec", last=False), Binary(b"ho\n", last=True), Text(b"\0ls\n"))
    )
    assert channel(at_target(run), STDIN) == b"echo\nls\n"
    run.target(
        socket_target(Binary(b"\x01mail " + EMAIL[:5], last=False), Binary(EMAIL[5:] + b"\n", last=True), Text(b"\x01x\n"))
    )
    assert channel(at_client(run), STDOUT) == b"mail " + HIDDEN_EMAIL + b"\nx\n"


BAD_CLIENT = [
    message(STDOUT, b"x"), message(ERROR, b"x"), message(5), message(254, b"x"),
    Binary(b"\xff", last=True), Binary(b"\xff\0\0", last=True), Binary(b"\xff\x09", last=True),
    message(RESIZE, b"80x24"), message(RESIZE, b'{"Width":70000}'), message(RESIZE, b'{"Width":true}'),
]  # fmt: skip


@pytest.mark.parametrize("said", BAD_CLIENT)
def test_a_client_that_breaks_the_protocol_hears_why_and_the_target_that_it_ends(said: Binary) -> None:
    run = command().client(socket_client(message(STDIN, b"ok\n"), said))
    assert run.over
    assert at_client(run)[-1].startswith(b"close 1002 ")
    assert at_target(run) == [b"\0ok\n", b"close 1001 "]


@pytest.mark.parametrize("said", [message(STDIN, b"x"), message(RESIZE, b"{}"), message(7), Binary(b"\xff", last=True)])
def test_a_target_that_breaks_the_protocol_ends_it_for_both(said: Binary) -> None:
    run = command().target(socket_target(said))
    assert run.over
    assert at_client(run)[-1].startswith(b"close 1002 ")


def test_version_four_knows_no_closing_of_channels() -> None:
    assert command(closes=False).client(socket_client(Binary(b"\xff\0", last=True))).over


def test_pings_go_on_and_nothing_sensitive_by_them() -> None:
    run = command().client(socket_client(Ping(b"1"), Pong(b"2"))).target(socket_target(Ping(b"3"), Pong(EMAIL)))
    assert run.to_target == socket_client(Ping(b"1"), Pong(b"2"))
    assert run.to_client == socket_target(Ping(b"3"), Pong(b""))
    run.target(socket_target(Close(1011, b"for " + EMAIL)))
    assert EMAIL not in run.to_client


def test_what_is_held_goes_on_when_nothing_comes_and_before_the_end() -> None:
    run = command().target(socket_target(message(STDOUT, b"name: ")))
    assert at_client(run) == []
    assert run.passage.waits > 0
    assert channel(at_client(run.idle()), STDOUT) == b"name: "
    run.target(socket_target(message(STDERR, b"cut off"), message(ERROR, b'{"status":')))
    assert channel(at_client(run.ended()), STDERR) == b"cut off"
    assert channel(at_client(run), ERROR) == b'{"status":'


def test_a_status_is_covered_and_stays_json() -> None:
    status = {
        "status": "Failure",
        "message": f"no {EMAIL.decode()}",
        "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
    }
    run = command().target(socket_target(message(ERROR, json.dumps(status).encode())))
    told = json.loads(channel(at_client(run), ERROR))
    assert told["details"] == status["details"]
    assert EMAIL.decode() not in told["message"]


def test_the_client_hears_why_the_gateway_ends_a_command() -> None:
    run = command().target(socket_target(message(STDOUT, b"half")))
    run.take(run.passage.stop("the token has expired"))
    found = at_client(run)
    assert channel(found, STDOUT) == b"half"
    assert json.loads(channel(found, ERROR))["message"] == "the token has expired"
    assert found[-1] == b"close 1000 the token has expired"
    assert at_target(run) == [b"close 1001 "]


def test_what_a_command_is_fed_is_recorded_covered_and_not_without_end() -> None:
    run = command().client(socket_client(message(STDIN, b"mail " + EMAIL[:4]), message(STDIN, EMAIL[4:] + b"\nls")))
    assert run.told(Kind.INPUT) == b"mail " + HIDDEN_EMAIL + b"\n"
    run.client(socket_client(message(STDIN, b"tar\0archive"), message(STDIN, b"more")))
    assert run.told(Kind.INPUT) == b"mail " + HIDDEN_EMAIL + b"\nls"
    run.client(socket_client(message(STDIN, b"z" * COUNTED)))
    assert [data for kind, data in run.shown if kind is Kind.UNSEEN] == [b"%d" % (COUNTED + 15)]
    run.client(socket_client(message(STDIN, b"rest"))).ended()
    assert [data for kind, data in run.shown if kind is Kind.UNSEEN][1:] == [b"4"]
    run = command()
    for _ in range(3 * SHOWN_INPUT // 65_536):
        run.client(socket_client(message(STDIN, (b"y" * 63 + b"\n") * 1_024)))
    assert len(run.told(Kind.INPUT)) == SHOWN_INPUT


def test_a_client_that_sends_a_huge_frame_is_not_held() -> None:
    run = command()
    head = bytes((0x82, 0xFF)) + (1 << 40).to_bytes(8, "big") + b"abcd"
    run.client(head + masked(b"\0", b"abcd"))
    for _ in range(64):
        before = len(run.to_target)
        run.client(b"z" * 65_536)
        assert len(run.to_target) - before > 65_536


# Ports in the older form -------------------------------------------------------------------------------------------------


def forward(ports: int = 2) -> Between:
    return Between(PortSocket(plan(needles=(CREDENTIAL,)), keys, ports=ports))


def test_ports_are_forwarded_by_channels() -> None:
    numbers = [message(0, b"\x50\x00"), message(1, b"\x50\x00"), message(2, b"\x38\x15"), message(3, b"\x38\x15")]
    run = forward().target(socket_target(*numbers, message(0, b"HTTP " + EMAIL), message(3, b"refused " + EMAIL), Close(1000)))
    found = at_client(run)
    assert channel(found, 0) == b"\x50\x00HTTP " + EMAIL
    assert channel(found, 3) == b"\x38\x15refused " + HIDDEN_EMAIL
    run.client(socket_client(message(2, b"query")))
    assert at_target(run) == [b"\x02query"]
    assert run.shown == [(Kind.OPENED, b"0 80"), (Kind.OPENED, b"2 5432"), (Kind.RECEIVED, b"0 26"),
                         (Kind.ERRORS, b"refused " + HIDDEN_EMAIL), (Kind.SENT, b"2 5")]  # fmt: skip


def test_a_channel_of_no_port_closes_it() -> None:
    for said in (message(1, b"x"), message(4, b"x"), message(255, b"\0")):
        assert forward().client(socket_client(said)).over
    assert forward().target(socket_target(message(4, b"x"))).over


def test_the_gateways_credential_does_not_come_back_by_channels() -> None:
    run = forward().target(
        socket_target(message(0, b"\x50\x00a" + CREDENTIAL[:5]), message(0, CREDENTIAL[5:] + b"b"), message(0, CREDENTIAL[:1]))
    )
    assert channel(at_client(run), 0) == b"\x50\x00a" + b"*" * len(CREDENTIAL) + b"b"
    assert run.passage.waits > 0
    assert channel(at_client(run.idle()), 0)[-1:] == CREDENTIAL[:1]
    run.take(run.passage.stop("over"))
    assert at_client(run)[-1] == b"close 1008 over"
