"""Playbooks of one channel of SSH."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.make import SESSION_ID, permit, verdict

from gatebook.masking.detectors import NAMES
from gatebook.model import RefusalClass, Ruling
from gatebook.protocols.relay import Allowed, Answered, Ask, Covering, Ended, Held, Refused, Side, Withdraw
from gatebook.protocols.ssh import refusal
from gatebook.protocols.ssh.messages import Closed, Data, Eof, Errors, Exit, Killed, Resize, Signal, Start, Terminal
from gatebook.protocols.ssh.reading import read
from gatebook.protocols.ssh.relay import (
    WAITING,
    ChannelRelay,
    ClientSaid,
    Failed,
    Forward,
    Idle,
    Record,
    Reply,
    SshEffect,
    SshSignal,
    TargetSaid,
    Terms,
)
from gatebook.protocols.terminals import Kind, frames

COVERING = Covering({}, frozenset(), frozenset(NAMES), b"k" * 32)
EMAIL, HIDDEN = b"ada.brown@example.com\n", b"*********@example.com\n"
XTERM = Terminal("xterm", 80, 24)


@dataclass
class Story:
    """One channel, told signal by signal."""

    start: Start
    needles: Iterable[bytes] = ()
    effects: list[SshEffect] = field(default_factory=list)
    relay: ChannelRelay = field(init=False)

    def __post_init__(self) -> None:
        numbers = count(1)
        terms = Terms(session=SESSION_ID, covering=COVERING, number=lambda: next(numbers), needles=list(self.needles))
        self.relay = ChannelRelay(terms, self.start, read(self.start, "deploy"))
        self.effects += self.relay.begin()

    def tell(self, *signals: SshSignal) -> list[SshEffect]:
        found = [effect for signal in signals for effect in self.relay.feed(signal)]
        self.effects += found
        return found

    @property
    def asked(self) -> Ask:
        return [one for one in self.effects if isinstance(one, Ask)][-1]

    def allow(self, **changes: Any) -> list[SshEffect]:
        return self.tell(Allowed(permit(self.asked.action, **changes), verdict()))

    def refuse(self) -> list[SshEffect]:
        no = verdict(Ruling.BLOCK, rule="no-such", reason="it is not done")
        return self.tell(Refused(self.asked.action, no, RefusalClass.NEVER, "decision-1"))

    def out(self, kind: type[Data] | type[Errors] = Data) -> bytes:
        said = [one.message for one in self.effects if isinstance(one, Reply)]
        return b"".join(one.data for one in said if isinstance(one, kind))

    def frames(self) -> list[tuple[Kind, bytes]]:
        return [piece for one in self.effects if isinstance(one, Record) for piece in frames(one.data)]


def forwards(effects: list[SshEffect]) -> list[object]:
    return [one.message for one in effects if isinstance(one, Forward)]


def replies(effects: list[SshEffect]) -> list[object]:
    return [one.message for one in effects if isinstance(one, Reply)]


def test_a_command_begins_once_it_is_permitted() -> None:
    story = Story(Start("ls"))
    assert [type(one) for one in story.effects] == [Ask]
    assert not story.relay.hungry
    assert forwards(story.allow()) == [Start("ls")]
    assert story.relay.hungry


def test_a_refused_command_never_begins_and_ends_with_77() -> None:
    story = Story(Start("ls"))
    words, *rest = replies(story.refuse())
    assert isinstance(words, Errors)
    sentence, _, told = words.data.decode().removesuffix("\r\n").partition(" {")
    assert sentence == "gatebook: blocked by no-such: it is not done"
    assert json.loads("{" + told) | {"resources": []} == {
        "decision": "decision-1", "rule": "no-such", "class": "never", "verb": "ssh.exec", "reach": "write", "resources": [],
    }  # fmt: skip
    assert rest == [Exit(77), Closed()]
    assert story.tell(ClientSaid(Data(b"x")), TargetSaid(Data(b"x"))) == []


def test_a_held_command_says_where_to_follow_it() -> None:
    story = Story(Start("ls"))
    held = Held("a-1", "needs-dba", "production", frozenset({"group:dba"}), "https://g/approvals/a-1", 300)
    (words,) = replies(story.tell(held))
    assert isinstance(words, Errors)
    assert words.data.count(b"\n") == 1
    assert b"https://g/approvals/a-1" in words.data
    assert forwards(story.allow()) == [Start("ls")]


def test_output_is_covered_over_pieces_and_recorded_as_it_was_told() -> None:
    story = Story(Start("cat x"))
    story.allow()
    for at in range(len(EMAIL)):
        story.tell(TargetSaid(Data(EMAIL[at : at + 1])))
    story.tell(TargetSaid(Errors(EMAIL)), TargetSaid(Exit(0)), TargetSaid(Eof()), TargetSaid(Closed()))
    assert (story.out(), story.out(Errors)) == (HIDDEN, HIDDEN)
    assert b"".join(data for kind, data in story.frames() if kind is Kind.OUTPUT) == HIDDEN
    (answered,) = [one for one in story.effects if isinstance(one, Answered)]
    assert (answered.status, answered.size, answered.masked) == ("exit 0", len(HIDDEN) * 2, {"email": 2})


def test_what_is_recorded_comes_before_what_is_told() -> None:
    story = Story(Start("cat x"))
    story.allow()
    assert [type(one) for one in story.tell(TargetSaid(Data(b"line\n")))] == [Record, Reply]


def test_the_hosts_own_password_does_not_come_back() -> None:
    story = Story(Start("cat x"), needles=[b"tall-green-ladder"])
    story.allow()
    story.tell(TargetSaid(Data(b"it is tall-green")), TargetSaid(Data(b"-ladder\n")), TargetSaid(Closed()))
    assert b"ladder" not in story.out()


def test_an_end_is_told_behind_all_that_was_held_back() -> None:
    story = Story(Start("cat x"))
    story.allow()
    story.tell(TargetSaid(Data(b"no end of line")), TargetSaid(Exit(3)))
    assert replies(story.tell(TargetSaid(Closed()))) == [Data(b"no end of line"), Exit(3), Closed()]
    (word,) = [json.loads(data) for kind, data in story.frames() if kind is Kind.STATUS]
    assert word["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


def test_a_killed_command_is_told_as_killed() -> None:
    story = Story(Start("sleep 9"))
    story.allow()
    assert replies(story.tell(TargetSaid(Killed("TERM")), TargetSaid(Closed()))) == [Killed("TERM"), Closed()]
    assert [one.status for one in story.effects if isinstance(one, Answered)] == ["killed by TERM"]


def test_held_back_output_goes_on_when_nothing_comes() -> None:
    story = Story(Start("cat x"))
    story.allow()
    assert replies(story.tell(TargetSaid(Data(b"prompt> ")))) == []
    assert story.relay.waits > 0
    assert replies(story.tell(Idle())) == [Data(b"prompt> ")]


# Input ------------------------------------------------------------------------------------------------------------------


def test_input_for_a_program_that_takes_it_for_data_passes_with_its_command() -> None:
    story = Story(Start("cat > /tmp/x"))
    story.allow()
    assert forwards(story.tell(ClientSaid(Data(b"abc")), ClientSaid(Eof()))) == [Data(b"abc"), Eof()]
    assert (Kind.INPUT, b"abc") in story.frames()


def test_other_input_asks_for_itself_with_the_first_of_it() -> None:
    story = Story(Start("bash"))
    story.allow()
    (ask,) = story.tell(ClientSaid(Data(b"id\n")))
    assert isinstance(ask, Ask)
    assert (ask.action.verb, ask.action.seq) == ("ssh.input", 2)
    assert not story.relay.hungry
    assert story.tell(ClientSaid(Eof())) == []
    assert forwards(story.allow()) == [Data(b"id\n"), Eof()]
    story.tell(TargetSaid(Exit(0)), TargetSaid(Closed()))
    assert [(one.action.verb, one.status) for one in story.effects if isinstance(one, Answered)] == [
        ("ssh.exec", "exit 0"),
        ("ssh.input", "passed"),
    ]


def test_refused_input_is_not_passed_and_the_command_hears_that_there_is_none() -> None:
    story = Story(Start("bash"))
    story.allow()
    story.tell(ClientSaid(Data(b"rm -rf /\n")))
    effects = story.refuse()
    assert forwards(effects) == [Eof()]
    assert b"blocked by no-such" in story.out(Errors)
    assert forwards(story.tell(ClientSaid(Data(b"more\n")), ClientSaid(Eof()))) == []
    story.tell(TargetSaid(Exit(0)), TargetSaid(Closed()))
    assert [one.status for one in story.effects if isinstance(one, Answered)] == ["exit 0"]


def test_no_input_at_all_needs_nobodys_word() -> None:
    story = Story(Start("bash"))
    story.allow()
    assert forwards(story.tell(ClientSaid(Data(b"")), ClientSaid(Eof()))) == [Eof()]


def test_what_is_said_before_the_decision_waits_and_has_an_end() -> None:
    story = Story(Start("cat"))
    story.tell(*(ClientSaid(Data(b"x")) for _ in range(WAITING)))
    assert replies(story.tell(ClientSaid(Data(b"x"))))[-2:] == [Exit(refusal.FAILED), Closed()]
    assert story.allow() == []


def test_sizes_before_the_decision_are_the_terminals_from_its_beginning() -> None:
    story = Story(Start("top", XTERM))
    story.tell(*(ClientSaid(Resize(100 + number, 30)) for number in range(WAITING * 2)), ClientSaid(Signal("INT")))
    (start,) = forwards(story.allow())
    assert isinstance(start, Start)
    assert start.terminal == Terminal("xterm", 100 + WAITING * 2 - 1, 30)
    assert story.frames()[0] == (Kind.RESIZE, b"227x30")


def test_sizes_and_signals_pass_to_what_runs() -> None:
    story = Story(Start("top", XTERM))
    story.allow()
    assert forwards(story.tell(ClientSaid(Resize(90, 30)), ClientSaid(Signal("TERM")))) == [Resize(90, 30), Signal("TERM")]


# Ends -------------------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_withdraws_what_is_held() -> None:
    story = Story(Start("ls"))
    effects = story.tell(Ended(Side.CLIENT, "gone"))
    assert isinstance(effects[0], Withdraw)
    assert story.allow() == []


def test_a_client_that_leaves_while_its_input_is_held_withdraws_that() -> None:
    story = Story(Start("bash"))
    story.allow()
    story.tell(ClientSaid(Data(b"id\n")))
    (withdraw, *_) = story.tell(Ended(Side.CLIENT, "gone"))
    assert isinstance(withdraw, Withdraw)
    assert withdraw.action.verb == "ssh.input"


def test_the_gateway_ends_it_with_a_reason() -> None:
    story = Story(Start("sleep 9"))
    story.allow()
    words, *rest = replies(story.tell(Ended(Side.GATEWAY, "your grant has ended")))
    assert words == Errors(b"gatebook: your grant has ended\r\n")
    assert rest == [Exit(77), Closed()]


def test_a_host_that_is_not_there_is_told_and_in_the_book() -> None:
    story = Story(Start("ls"))
    story.allow()
    words, *rest = replies(story.tell(Failed("target web1 cannot be reached")))
    assert words == Errors(b"gatebook: target web1 cannot be reached\r\n")
    assert rest == [Exit(74), Closed()]
    assert [one.status for one in story.effects if isinstance(one, Answered)] == ["failed"]


def test_no_line_of_ours_commands_a_terminal() -> None:
    assert refusal.line("a\x1b[2J\nb\u202e") == b"gatebook: a\\x1b[2J\\nb\\u202e\r\n"


# Properties -------------------------------------------------------------------------------------------------------------

SIGNALS = st.one_of(
    st.binary(max_size=8).map(lambda data: ClientSaid(Data(data))),
    st.just(ClientSaid(Eof())),
    st.just(ClientSaid(Resize(1, 1))),
    st.just(ClientSaid(Signal("INT"))),
    st.binary(max_size=8).map(lambda data: TargetSaid(Data(data))),
    st.binary(max_size=8).map(lambda data: TargetSaid(Errors(data))),
    st.just(TargetSaid(Eof())),
    st.just(TargetSaid(Exit(0))),
    st.just(TargetSaid(Closed())),
    st.just(Idle()),
    st.just(Failed("why")),
    st.just(Ended(Side.CLIENT, "gone")),
    st.just("allow"),
    st.just("refuse"),
)


@given(st.lists(SIGNALS, max_size=20), st.sampled_from(["ls", "cat", "bash", None]), st.booleans())
def test_nothing_goes_to_a_host_before_its_permit(signals: list[Any], command: str | None, terminal: bool) -> None:
    story = Story(Start(command, XTERM if terminal else None))
    open_ask: Ask | None = story.asked
    permitted: set[int] = set()
    for signal in signals:
        if signal in ("allow", "refuse"):
            if open_ask is None:
                continue
            if signal == "allow":
                permitted.add(open_ask.action.seq)
            effects = story.allow() if signal == "allow" else story.refuse()
            open_ask = None
        else:
            effects = story.tell(signal)
        for effect in effects:
            if isinstance(effect, Ask):
                assert open_ask is None
                open_ask = effect
            if isinstance(effect, Withdraw):
                open_ask = None
            if isinstance(effect, Forward):
                assert effect.permit.action.seq in permitted
                if isinstance(effect.message, Data):
                    assert effect.permit.action.seq == 2 or story.relay._reading.fed


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_however_output_is_cut_the_same_bytes_come(data: bytes, cuts: list[int]) -> None:
    whole = EMAIL * 3 + data + b"\n" + EMAIL
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    said = []
    for pieces in ([whole], [whole[a:b] for a, b in pairwise(places)]):
        story = Story(Start("cat x"))
        story.allow()
        story.tell(*(TargetSaid(Data(piece)) for piece in pieces), TargetSaid(Closed()))
        said.append(story.out())
    assert said[0] == said[1]


@pytest.mark.parametrize("side", [Side.CLIENT, Side.GATEWAY])
def test_after_its_end_every_signal_gives_nothing(side: str) -> None:
    story = Story(Start("ls"))
    story.allow()
    story.tell(Ended(side, "over"))
    assert story.tell(TargetSaid(Data(b"x\n")), ClientSaid(Data(b"x")), Idle(), Ended(side, "again")) == []


def test_what_comes_in_rsyncs_own_stream_is_refused_where_a_mask_set_holds() -> None:
    story = Story(Start("rsync --server --sender -logDtpre.iLsfxCIvu . /srv/a"))
    effects = story.allow(masks=frozenset({"pii"}))
    assert [one for one in effects if isinstance(one, Forward)] == []
    said = [one.message for one in effects if isinstance(one, Reply)]
    assert isinstance(said[0], Errors)
    assert b"fetch it by sftp or scp" in said[0].data
    assert said[1:] == [Exit(77), Closed()]


@pytest.mark.parametrize("command", ["rsync --server -logDtpre.iLsfxCIvu . /srv/a", "scp -f /srv/a"])
def test_what_goes_up_or_comes_as_it_is_passes_under_a_mask_set(command: str) -> None:
    story = Story(Start(command))
    assert [one.message for one in story.allow(masks=frozenset({"pii"})) if isinstance(one, Forward)] == [story.start]
