"""Playbooks of SFTP on one channel."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.make import SESSION_ID, permit, verdict
from tests.protocols.ssh.test_ssh_relay import COVERING

from gatebook.errors import WireError
from gatebook.model import Reach, RefusalClass, Ruling
from gatebook.protocols.relay import Allowed, Answered, Ask, Ended, Held, Refused, Side, Withdraw
from gatebook.protocols.ssh.messages import Closed, Data, Eof, Errors, Exit, Start
from gatebook.protocols.ssh.relay import ClientSaid, Forward, Record, Reply, SshEffect, SshSignal, TargetSaid, Terms
from gatebook.protocols.ssh.sftp_files import CHANNEL_BYTES, FILE_BYTES
from gatebook.protocols.ssh.sftp_packets import LONGEST, Fields, Kind, Reader, packet, string, u32, u64
from gatebook.protocols.ssh.sftp_reading import split
from gatebook.protocols.ssh.sftp_relay import AROUND, FILES, SftpRelay
from gatebook.protocols.terminals import Kind as Frame
from gatebook.protocols.terminals import frames

START = Start(None, subsystem="sftp")
READ, WRITE = 0x01, 0x1A
HELD = Held("a-1", "needs-dba", "production", frozenset({"group:dba"}), "https://g/approvals/a-1", 300)
EMAIL, HIDDEN = b"ada.brown@example.com", b"*********@example.com"


@dataclass
class Story:
    """One channel, told signal by signal, with a host that resolves paths as they are."""

    effects: list[SshEffect] = field(default_factory=list)
    begun: bool = True
    contents: bool = False
    detectors: frozenset[str] | None = None

    def __post_init__(self) -> None:
        numbers = count(1)
        covering = COVERING if self.detectors is None else replace(COVERING, detectors=self.detectors)
        terms = Terms(session=SESSION_ID, covering=covering, number=lambda: next(numbers))
        self.relay = SftpRelay(terms, START, "deploy", contents=self.contents)
        self.said, self.told = Reader(), Reader()
        self.host: list[tuple[Kind, int, bytes]] = []
        self.client: list[tuple[Kind, int, bytes]] = []
        self.take(self.relay.begin())
        if self.begun:
            self.allow()
            self.says(packet(Kind.INIT, u32(3)))
            self.tell(
                TargetSaid(
                    Data(packet(Kind.VERSION, u32(3), string(b"fsync@openssh.com"), string(b"1"), string(b"x"), string(b"1")))
                )
            )

    def take(self, effects: list[SshEffect]) -> list[SshEffect]:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Forward) and isinstance(effect.message, Data):
                self.host += [self.read(body) for body in self.said.feed(effect.message.data)]
            if isinstance(effect, Reply) and isinstance(effect.message, Data):
                self.client += [self.read(body) for body in self.told.feed(effect.message.data)]
        return effects

    @staticmethod
    def read(body: bytes) -> tuple[Kind, int, bytes]:
        fields = Fields(body)
        return Kind(fields.byte()), fields.u32(), fields.rest()

    def tell(self, *signals: SshSignal) -> list[SshEffect]:
        return [effect for signal in signals for effect in self.take(self.relay.feed(signal))]

    def says(self, *packets: bytes) -> list[SshEffect]:
        return self.tell(ClientSaid(Data(b"".join(packets))))

    def answers(self, kind: Kind, *parts: bytes) -> list[SshEffect]:
        """The host answers the latest request that it got."""
        return self.tell(TargetSaid(Data(packet(kind, u32(self.host[-1][1]), *parts))))

    def resolves(self, path: bytes | None = None) -> list[SshEffect]:
        """It resolves the path that it was asked about, to itself or to another."""
        kind, _, rest = self.host[-1]
        assert kind is Kind.REALPATH
        return self.answers(Kind.NAME, u32(1), string(path or Fields(rest).string()), string(b""), u32(0))

    @property
    def asked(self) -> Ask:
        return [one for one in self.effects if isinstance(one, Ask)][-1]

    def allow(self) -> list[SshEffect]:
        return self.tell(Allowed(permit(self.asked.action), verdict()))

    def refuse(self) -> list[SshEffect]:
        no = verdict(Ruling.BLOCK, rule="no-such", reason="it is not done")
        return self.tell(Refused(self.asked.action, no, RefusalClass.NEVER, "decision-1"))

    def opens(self, path: bytes, flags: int, handle: bytes = b"h") -> None:
        self.says(packet(Kind.OPEN, u32(7), string(path), u32(flags), u32(0)))
        self.resolves()
        self.allow()
        self.answers(Kind.HANDLE, string(handle))


def status_of(one: tuple[Kind, int, bytes]) -> tuple[int, int]:
    """The number and the code of a STATUS."""
    assert one[0] is Kind.STATUS
    return one[1], Fields(one[2]).u32()


def test_sftp_begins_once_it_is_permitted_with_what_is_known_of_the_hosts_extensions() -> None:
    story = Story(begun=False)
    assert story.asked.action.verb == "ssh.sftp"
    assert story.says(packet(Kind.INIT, u32(3))) == []
    effects = story.allow()
    assert [one.message for one in effects if isinstance(one, Forward)] == [START, Data(packet(Kind.INIT, u32(3)))]
    told = story.tell(
        TargetSaid(
            Data(packet(Kind.VERSION, u32(3), string(b"posix-rename@openssh.com"), string(b"1"), string(b"x@y"), string(b"")))
        )
    )
    assert told == [Reply(Data(packet(Kind.VERSION, u32(3), string(b"posix-rename@openssh.com"), string(b"1"))))]


def test_a_refused_session_of_sftp_ends_with_77() -> None:
    story = Story(begun=False)
    _, end, closed = story.refuse()
    assert (end, closed) == (Reply(Exit(77)), Reply(Closed()))


def test_a_request_goes_on_about_the_path_that_the_host_resolved() -> None:
    story = Story()
    story.says(packet(Kind.OPEN, u32(7), string(b"link/../x"), u32(READ), u32(0)))
    assert [one.action.verb for one in story.effects if isinstance(one, Ask)] == ["ssh.sftp"]
    story.resolves(b"/etc/shadow")
    (deed,) = story.asked.action.deeds
    assert (deed.verb, deed.reach, deed.facts["path"]) == ("ssh.sftp.read", Reach.READ, "/etc/shadow")
    story.allow()
    kind, _, rest = story.host[-1]
    assert (kind, Fields(rest).string()) == (Kind.OPEN, b"/etc/shadow")


@pytest.mark.parametrize(
    ("said", "resolved", "verb", "reach"),
    [
        ((Kind.REMOVE, string(b"/srv/x")), b"/srv", "ssh.sftp.remove", Reach.WRITE),
        ((Kind.RMDIR, string(b"/srv/x/")), b"/srv", "ssh.sftp.remove", Reach.WRITE),
        ((Kind.MKDIR, string(b"x"), u32(0)), b".", "ssh.sftp.mkdir", Reach.WRITE),
        ((Kind.LSTAT, string(b"/srv/x")), b"/srv", "ssh.sftp.stat", Reach.READ),
        ((Kind.STAT, string(b"/srv/x")), b"/srv/x", "ssh.sftp.stat", Reach.READ),
        ((Kind.OPENDIR, string(b"/srv")), b"/srv", "ssh.sftp.list", Reach.READ),
        ((Kind.SETSTAT, string(b"/srv/x"), u32(4), u32(0o644)), b"/srv/x", "ssh.sftp.setstat", Reach.WRITE),
        ((Kind.SYMLINK, string(b"/etc/passwd"), string(b"/srv/l")), b"/srv", "ssh.sftp.link", Reach.ADMIN),
        ((Kind.EXTENDED, string(b"lsetstat@openssh.com"), string(b"/srv/x"), u32(0)), b"/srv", "ssh.sftp.setstat", Reach.WRITE),
    ],
)  # fmt: skip
def test_a_link_in_the_last_place_is_followed_where_the_request_follows_it(
    said: Any, resolved: bytes, verb: str, reach: Reach
) -> None:
    story = Story()
    kind, *parts = said
    story.says(packet(kind, u32(9), *parts))
    assert Fields(story.host[-1][2]).string() == resolved
    story.resolves(b"/home/deploy" if resolved == b"." else None)
    (deed,) = story.asked.action.deeds
    assert (deed.verb, deed.reach) == (verb, reach)


def test_a_rename_is_decided_by_both_of_its_names() -> None:
    story = Story()
    story.says(packet(Kind.RENAME, u32(9), string(b"/srv/a"), string(b"/home/deploy/.ssh/authorized_keys")))
    story.resolves()
    story.resolves()
    (deed,) = story.asked.action.deeds
    assert (deed.reach, deed.facts["path"], deed.facts["to"]) == (Reach.ADMIN, "/srv/a", "/home/deploy/.ssh/authorized_keys")
    story.allow()
    fields = Fields(story.host[-1][2])
    assert (fields.string(), fields.string()) == (b"/srv/a", b"/home/deploy/.ssh/authorized_keys")


@pytest.mark.parametrize(
    "path",
    [
        "/home/a/.ssh/authorized_keys", "/root/.bashrc", "/root/.profile", "/home/a/.zshrc", "/etc/cron.d/x", "/etc/sudoers",
        "/usr/local/bin/ls", "/home/a/.config/systemd/user/x.service", "/home/a/.bash_profile", "/lib/systemd/system/x",
        "/var/spool/cron/root",
    ],
)  # fmt: skip
def test_files_that_say_who_gets_in_or_what_runs_are_of_reach_admin(path: str) -> None:
    story = Story()
    story.says(packet(Kind.OPEN, u32(7), string(path.encode()), u32(WRITE), u32(0)))
    story.resolves()
    assert [(deed.verb, deed.reach) for deed in story.asked.action.deeds] == [("ssh.sftp.write", Reach.ADMIN)]


@pytest.mark.parametrize(
    ("flags", "verbs"), [(0x01, ["read"]), (0, ["read"]), (0x02, ["write"]), (0x03, ["read", "write"]), (0x40, ["write"])]
)
def test_whatever_an_opening_asks_for_besides_reading_is_writing(flags: int, verbs: list[str]) -> None:
    story = Story()
    story.says(packet(Kind.OPEN, u32(7), string(b"/srv/x"), u32(flags), u32(0)))
    story.resolves()
    assert [deed.verb for deed in story.asked.action.deeds] == [f"ssh.sftp.{verb}" for verb in verbs]


def held(story: Story) -> None:
    """People have to be asked about writing a file."""
    story.says(packet(Kind.OPEN, u32(7), string(b"/tmp/a"), u32(WRITE), u32(0)))
    story.resolves()
    story.tell(HELD)


def test_what_people_said_yes_to_goes_on_where_its_path_leads_where_it_did() -> None:
    story = Story()
    held(story)
    story.allow()
    assert story.host[-1][0] is Kind.REALPATH
    story.resolves()
    assert (story.host[-1][0], Fields(story.host[-1][2]).string()) == (Kind.OPEN, b"/tmp/a")
    story.answers(Kind.HANDLE, string(b"h"))
    assert story.client[-1][0] is Kind.HANDLE


def test_a_link_that_was_laid_while_people_looked_leads_nowhere() -> None:
    story = Story()
    held(story)
    story.allow()
    effects = story.resolves(b"/etc/cron.d/a")
    assert [one[0] for one in story.host].count(Kind.OPEN) == 0
    assert status_of(story.client[-1]) == (7, 4)
    assert [(one.action, one.status) for one in effects if isinstance(one, Answered)] == [(story.asked.action, "failed")]
    story.says(packet(Kind.STAT, u32(8), string(b"/tmp/b")))
    story.resolves()
    assert story.asked.action.deeds[0].facts["path"] == "/tmp/b"


def test_a_folder_that_went_while_people_looked_is_told() -> None:
    story = Story()
    held(story)
    story.allow()
    effects = story.answers(Kind.STATUS, u32(2), string(b"gone"), string(b""))
    assert status_of(story.client[-1]) == (7, 4)
    assert [one.status for one in effects if isinstance(one, Answered)] == ["failed"]


def test_who_leaves_after_peoples_yes_withdraws_nothing() -> None:
    story = Story()
    held(story)
    story.allow()
    assert [one for one in story.tell(Ended(Side.CLIENT, "")) if isinstance(one, Withdraw)] == []


def test_a_refused_request_is_answered_and_the_next_one_goes_on() -> None:
    story = Story()
    story.says(packet(Kind.REMOVE, u32(9), string(b"/srv/x")), packet(Kind.STAT, u32(10), string(b"/srv/x")))
    story.resolves()
    effects = story.refuse()
    assert status_of(story.client[-1]) == (9, 3)
    assert b"blocked by no-such: it is not done" in story.client[-1][2]
    assert next(type(one.message) for one in effects if isinstance(one, Reply)) is Errors
    assert Kind.REMOVE not in [kind for kind, _, _ in story.host]
    assert story.host[-1][0] is Kind.REALPATH
    assert not story.relay.hungry


def test_what_cannot_be_resolved_is_answered_as_the_host_does() -> None:
    story = Story()
    story.says(packet(Kind.STAT, u32(9), string(b"/no/such")))
    story.answers(Kind.STATUS, u32(2), string(b"told by the host"), string(b""))
    assert status_of(story.client[-1]) == (9, 2)
    assert b"told by the host" not in story.client[-1][2]
    assert story.relay.hungry


# Content ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 7, 4_096, 32_768])
def test_however_a_file_is_read_its_values_are_covered(size: int) -> None:
    content = b"x " * 4_500 + b" " + EMAIL + b"\n" + b"y" * 30
    story = Story()
    story.opens(b"/srv/x", READ)
    got = b""
    for offset in range(8_990, len(content), size) if size < 100 else range(0, len(content), size):
        story.says(packet(Kind.READ, u32(11), string(b"h"), u64(offset), u32(size)))
        fields = Fields(story.host[-1][2])
        fields.string()
        begin, wanted = fields.u64(), fields.u32()
        assert wanted <= size + 2 * AROUND
        story.answers(Kind.DATA, string(content[begin : begin + wanted]))
        got += Fields(story.client[-1][2]).string()
    assert HIDDEN in got
    assert b"ada" not in got
    assert len(got) == (len(content) - 8_990 if size < 100 else len(content))


def test_the_end_of_a_file_is_one_though_there_is_something_before_it() -> None:
    story = Story()
    story.opens(b"/srv/x", READ)
    story.says(packet(Kind.READ, u32(11), string(b"h"), u64(100), u32(50)))
    story.answers(Kind.DATA, string(b"z" * 100))
    assert status_of(story.client[-1]) == (11, 1)


def test_a_transfer_is_told_with_its_size_and_digest() -> None:
    story = Story()
    story.opens(b"/srv/x", WRITE)
    story.says(packet(Kind.WRITE, u32(11), string(b"h"), u64(0), string(b"abc")), packet(Kind.CLOSE, u32(12), string(b"h")))
    effects = story.answers(Kind.STATUS, u32(0), string(b""), string(b""))
    (record,) = [one for one in effects if isinstance(one, Record)]
    assert b"write /srv/x: 3 bytes, sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in record.data
    (answered,) = [one for one in effects if isinstance(one, Answered)]
    assert (answered.action.verb, answered.status, answered.size) == ("ssh.sftp.write", "ok", 3)


@pytest.mark.parametrize(
    ("flags", "said"),
    [(READ, (Kind.WRITE, u64(0), string(b"x"))), (READ, (Kind.FSETSTAT, u32(0))), (WRITE, (Kind.READ, u64(0), u32(10)))],
)
def test_a_handle_does_what_it_was_opened_for_and_no_more(flags: int, said: Any) -> None:
    story = Story()
    story.opens(b"/srv/x", flags)
    kind, *parts = said
    sent = len(story.host)
    story.says(packet(kind, u32(13), string(b"h"), *parts))
    assert status_of(story.client[-1]) == (13, 3)
    assert len(story.host) == sent


@pytest.mark.parametrize("kind", [Kind.READ, Kind.WRITE, Kind.CLOSE, Kind.FSTAT, Kind.READDIR])
def test_a_handle_that_nobody_gave_goes_nowhere(kind: Kind) -> None:
    story = Story()
    sent = len(story.host)
    story.says(packet(kind, u32(13), string(b"other"), u64(0), u32(10)))
    assert status_of(story.client[-1]) == (13, 4)
    assert len(story.host) == sent


@pytest.mark.parametrize(
    "said",
    [
        packet(199, u32(5)),
        packet(Kind.EXTENDED, u32(5), string(b"copy-data"), string(b"h")),
        packet(Kind.STATUS, u32(5), u32(0)),
    ],
)
def test_what_is_not_known_is_not_passed_on(said: bytes) -> None:
    story = Story()
    sent = len(story.host)
    story.says(said)
    assert status_of(story.client[-1]) == (5, 8)
    assert len(story.host) == sent


def test_open_files_have_an_end() -> None:
    story = Story()
    for number in range(FILES):
        story.opens(b"/srv/x", READ, b"%d" % number)
    story.says(packet(Kind.OPEN, u32(7), string(b"/srv/x"), u32(READ), u32(0)))
    story.resolves()
    story.allow()
    assert status_of(story.client[-1]) == (7, 4)


# Ends -------------------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_withdraws_what_is_asked_and_its_files_are_told() -> None:
    story = Story()
    story.opens(b"/srv/x", WRITE)
    story.says(packet(Kind.REMOVE, u32(9), string(b"/srv/y")))
    story.resolves()
    effects = story.tell(Ended(Side.CLIENT, "gone"))
    assert isinstance(effects[0], Withdraw)
    assert [one.status for one in effects if isinstance(one, Answered)] == ["not closed", "the client went away"]


def test_the_end_of_input_is_passed_on_behind_what_waits() -> None:
    story = Story()
    story.says(packet(Kind.STAT, u32(9), string(b"/srv/y")))
    assert story.tell(ClientSaid(Eof())) == []
    story.resolves()
    assert Eof() in [one.message for one in story.allow() if isinstance(one, Forward)]


@pytest.mark.parametrize(
    "said",
    [
        u32(LONGEST + 1) + b"x",
        u32(0),
        packet(Kind.OPEN, u32(1), string(b"/x")),
        packet(Kind.STAT, u32(1), u32(90) + b"x"),
        packet(Kind.STAT, u32(1), string(b"/a\0b")),
        packet(Kind.STAT, u32(1), string(b"/" * 5_000)),
        packet(Kind.READ, b"x"),
    ],
)
def test_packets_that_lie_end_the_channel_in_words(said: bytes) -> None:
    story = Story()
    words, end, closed, *_ = [one.message for one in story.says(said) if isinstance(one, Reply)]
    assert isinstance(words, Errors)
    assert (end, closed) == (Exit(74), Closed())


@pytest.mark.parametrize(
    "said",
    [
        packet(Kind.DATA, u32(999), string(b"x")),
        packet(Kind.HANDLE, u32(2), string(b"h")),
        packet(Kind.NAME, u32(2), u32(1), string(b"relative"), string(b""), u32(0)),
        packet(Kind.NAME, u32(2), u32(0)),
        u32(LONGEST * 2),
    ],
)
def test_a_host_that_answers_what_it_was_not_asked_ends_the_channel(said: bytes) -> None:
    story = Story()
    story.says(packet(Kind.REALPATH, u32(4), string(b".")), packet(Kind.STAT, u32(5), string(b"/x")))
    story.tell(TargetSaid(Data(said)))
    assert Reply(Exit(74)) in story.effects


@given(st.binary(max_size=300))
def test_damaged_packets_raise_one_error_and_nothing_else(data: bytes) -> None:
    try:
        for body in Reader().feed(data):
            assert body
    except WireError:
        pass
    story = Story()
    story.says(data)
    story.tell(TargetSaid(Data(data)))
    assert len([one for one in story.effects if isinstance(one, Forward) and isinstance(one.message, Data)]) <= len(story.host)


@given(st.binary(max_size=40))
def test_a_path_is_split_so_that_no_name_leads_elsewhere(path: bytes) -> None:
    folder, name = split(path)
    assert name not in (b".", b"..")
    assert b"/" not in name
    assert folder


# Contents ---------------------------------------------------------------------------------------------------------------


def recorded(effects: list[SshEffect]) -> list[tuple[Frame, bytes]]:
    return [one for effect in effects if isinstance(effect, Record) for one in frames(effect.data)]


def wrote(story: Story, *pieces: tuple[int, bytes]) -> list[tuple[Frame, bytes]]:
    """What a recording gets of a file that is written so and closed."""
    story.opens(b"/up", WRITE)
    story.effects.clear()
    for offset, data in pieces:
        story.says(packet(Kind.WRITE, u32(8), string(b"h"), u64(offset), string(data)))
    story.says(packet(Kind.CLOSE, u32(9), string(b"h")))
    story.answers(Kind.STATUS, u32(0), string(b""), string(b""))
    return recorded(story.effects)


def test_what_is_written_is_recorded_covered_as_a_whole_where_contents_are() -> None:
    kept, told = wrote(Story(contents=True), (0, b"to ada.bro"), (10, b"wn@example.com\n"))
    assert kept == (Frame.INPUT, b"to " + HIDDEN + b"\n")
    assert told[1].endswith(b", 25 of them recorded")
    assert [kind for kind, _ in wrote(Story(), (0, EMAIL))] == [Frame.TOLD]


def test_what_is_written_out_of_order_is_recorded_up_to_there() -> None:
    kept, told = wrote(Story(contents=True), (0, b"first"), (100, b"hole"), (5, b"filled"))
    assert kept == (Frame.INPUT, b"first")
    assert b"15 bytes, 5 of them recorded" in told[1]


def test_a_file_and_a_channel_keep_no_more_than_their_room() -> None:
    story, piece = Story(contents=True), b"x" * 131_072
    kept, told = wrote(story, *((at * len(piece), piece) for at in range(12)))
    assert told[1].endswith(b", 1048576 of them recorded")
    assert len(kept[1]) == FILE_BYTES
    for number in range(12):
        handle = b"%d" % number
        story.opens(b"/" + handle, WRITE, handle)
        for at in range(8):
            story.says(packet(Kind.WRITE, u32(8), string(handle), u64(at * len(piece)), string(piece)))
    story.effects.clear()
    effects = story.tell(Ended(Side.CLIENT, "gone"))
    assert sum(len(data) for kind, data in recorded(effects) if kind is Frame.INPUT) == CHANNEL_BYTES


def test_what_is_read_is_recorded_as_the_client_gets_it_and_before() -> None:
    story = Story(contents=True)
    story.opens(b"/down", READ)
    story.says(packet(Kind.READ, u32(8), string(b"h"), u64(0), u32(100)))
    effects = story.answers(Kind.DATA, string(b"from " + EMAIL))
    assert recorded(effects) == [(Frame.OUTPUT, b"from " + HIDDEN)]
    assert [type(one) for one in effects] == [Record, Reply]
