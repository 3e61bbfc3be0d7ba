"""git's conversation on a channel: which commands are git's own, where pieces end, and that nothing passes undecided."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.make import SESSION_ID, permit, verdict
from tests.protocols.git.repository import new_repository

from gatebook.errors import WireError
from gatebook.model import RefusalClass, Ruling
from gatebook.protocols.git.commands import wanted
from gatebook.protocols.git.conversation import SECTION_BYTES, Fetching, Pushing
from gatebook.protocols.git.paths import Service
from gatebook.protocols.git.pktline import line
from gatebook.protocols.git.push_inquiry import Told, deed
from gatebook.protocols.git.ssh_relay import GitEffect, GitRelay, Inquire, Inquired, Room
from gatebook.protocols.relay import Allowed, Answered, Ask, Covering, Ended, Refused, Side, Withdraw
from gatebook.protocols.ssh.messages import Closed, Data, Eof, Errors, Exit, Start
from gatebook.protocols.ssh.relay import ClientSaid, Failed, Forward, Reply, TargetSaid, Terms

PATH = "git-receive-pack '/srv/git/org/app.git'"
ZERO, ONE, TWO = "0" * 40, "1" * 40, "2" * 40
MOST = 1_000_000
WANT = b"".join((line(f"want {ONE} multi_ack\n"), line("deepen 1\n"), b"0000"))
PACK = b"PACK" + bytes(range(100))
PACK += hashlib.sha1(PACK, usedforsecurity=False).digest()
DELETE = line(f"{ONE} {ZERO} refs/heads/x\0report-status side-band-64k") + b"0000"
PUSH = line(f"{ONE} {TWO} refs/heads/main\0report-status side-band-64k") + b"0000" + PACK
STATED = line(f"{ONE} {TWO} refs/heads/main\0report-status push-options") + b"0000" + line("ci.skip") + b"0000" + PACK


# Which commands are git's own -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "folder", "repository"),
    [
        ("git-upload-pack '/srv/git/org/app.git'", "/srv/git", "org/app"),
        ("git-upload-pack '/srv/git/org/app.git/'", "/srv/git", "org/app"),
        ("git upload-pack /srv/git/app", "/srv/git", "app"),
        ("git-receive-pack 'org/app.git'", "/", "org/app"),
        ("git-receive-pack '/org/app.git'", "/", "org/app"),
    ],
)
def test_what_git_asks_a_host_for_is_told_by_its_repository(command: str, folder: str, repository: str) -> None:
    found = wanted(command, folder)
    assert found is not None
    assert (found.repository, found.fault) == (repository, "")
    assert found.command.startswith(f"{found.service} '/")


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("git-upload-pack '/srv/git/app'", ""),
        ("git-upload-pack '/home/eve/app'", "/srv/git"),
        ("git-upload-pack '/srv/gitevil/app'", "/srv/git"),
        ("git-upload-pack 'app'", "/srv/git"),
        ("git-upload-pack '~eve/app'", "/srv/git"),
        ("/usr/bin/git-upload-pack '/srv/git/app'", "/srv/git"),
        ("X=1 git-upload-pack '/srv/git/app'", "/srv/git"),
        ("git  upload-pack '/srv/git/app'", "/srv/git"),
        ("git-upload-packs '/srv/git/app'", "/srv/git"),
        ("git status", "/srv/git"),
    ],
)
def test_anything_else_is_a_command(command: str, folder: str) -> None:
    assert wanted(command, folder) is None


@pytest.mark.parametrize(
    "rest",
    [
        "", " ", " '/srv/git/'", " '/srv/git/../etc'", " '/srv/git/a/../b'", " '/srv/git//a'", " '/srv/git/./a'",
        " '/srv/git/.git'", " '/srv/git/a'; id", " '/srv/git/a' 'b'", " --strict '/srv/git/a'", ' "/srv/git/a"',
        " '/srv/git/a\nb'", " '/srv/git/", " /srv/git/$(id)", " '/srv/git/a'\\''b'", " '/srv/git/é'", " '/srv/git/a b'",
        " '/srv/git/-a'", " '/srv/git/a.git.git'",
    ],
)  # fmt: skip
def test_a_name_that_may_lead_elsewhere_is_a_fault(rest: str) -> None:
    found = wanted(f"git-upload-pack{rest}", "/srv/git")
    assert found is not None
    assert found.fault
    assert found.service is None


@pytest.mark.parametrize("what", ["git-upload-archive '/srv/git/a'", "git-lfs-authenticate a upload", "git lfs-transfer '/a'"])
def test_what_is_not_carried_is_a_fault(what: str) -> None:
    found = wanted(what, "/srv/git")
    assert found is not None
    assert "not carried" in found.fault


# Where pieces end -------------------------------------------------------------------------------------------------------


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_a_conversation_gives_the_same_however_it_is_cut(places: list[int]) -> None:
    said = line("command=ls-refs\n") + b"0001" + line("symrefs\n") + b"0000"
    said += line("command=fetch") + b"0001" + line(f"want {ONE}\n") + line("deepen 3\n") + line("done\n") + b"0000" + b"0000"
    reader, found, passed = Fetching(), [], b""
    for part in cut(said, places):
        reader.feed(part)
        for fetch, data in reader.pieces():
            found.append((fetch.command, fetch.depth) if fetch is not None else None)
            passed += data
    assert (found, passed) == ([("ls-refs", 0), ("fetch", 3), None], said)


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_in_version_0_a_client_asks_once_and_then_says_what_it_has(places: list[int]) -> None:
    said = WANT + line(f"have {TWO}\n") + b"0000" + line("done\n")
    reader, found, passed = Fetching(), [], b""
    for part in cut(said, places):
        reader.feed(part)
        for fetch, data in reader.pieces():
            found.append(fetch.depth if fetch is not None else None)
            passed += data
    assert (found[0], set(found[1:]), passed) == (1, {None}, said)


@pytest.mark.parametrize(
    "said",
    [
        WANT + line(f"want {TWO}\n"),
        WANT + line("command=fetch\n") + b"0000",
        WANT + b"0001",
        line("command=ls-refs\n") + b"0000" + WANT,
        line("command=run\n") + b"0000",
        b"zzzz",
        b"0003",
        b"ffff" + b"x" * 70_000,
    ],
)
def test_what_no_client_of_git_says_goes_nowhere(said: bytes) -> None:
    reader = Fetching()
    reader.feed(said)
    with pytest.raises(WireError):
        list(reader.pieces())


def test_what_is_asked_for_at_once_has_an_end() -> None:
    reader, more = Fetching(), line(f"want {ONE}\n") * 20_000
    for _ in range(SECTION_BYTES // len(more)):
        reader.feed(more)
        assert list(reader.pieces()) == []
    reader.feed(more)
    with pytest.raises(WireError):
        list(reader.pieces())


@given(st.sampled_from([PUSH, STATED, DELETE, b"0000"]), st.lists(st.integers(0, 10_000), max_size=8))
def test_a_push_is_whole_at_the_end_of_its_pack_however_it_is_cut(said: bytes, places: list[int]) -> None:
    reader = Pushing(MOST)
    for part in cut(said, places):
        if part:
            assert reader.whole is None
            reader.feed(part)
    assert reader.whole == said


@pytest.mark.parametrize(("said", "more"), [(b"", DELETE + b"x"), (PUSH, b"more"), (b"", b"0000" + b"0000")])
def test_nothing_stands_behind_a_push(said: bytes, more: bytes) -> None:
    reader = Pushing(MOST)
    reader.feed(said)
    with pytest.raises(WireError):
        reader.feed(more)


def test_a_push_that_is_too_long_is_told_so() -> None:
    reader = Pushing(1_000)
    with pytest.raises(WireError, match="push it in parts"):
        reader.feed(PUSH[:-20] + b"x" * 1_000)


# What passes --------------------------------------------------------------------------------------------------------------


def relay(command: str = PATH, environment: tuple[tuple[str, str], ...] = (), room: Room | None = None) -> GitRelay:
    numbers = iter(range(1, 100))
    terms = Terms(SESSION_ID, Covering({}, frozenset(), frozenset(), b"k" * 32), lambda: next(numbers))
    found = wanted(command, "/srv/git")
    assert found is not None
    return GitRelay(terms, Start(command, environment=environment), found, MOST, room)


def asked(effects: list[GitEffect]) -> Ask:
    (found,) = [one for one in effects if isinstance(one, Ask)]
    return found


def yes(ask: Ask) -> Allowed:
    return Allowed(permit(ask.action), verdict())


def no(ask: Ask) -> Refused:
    ruled = verdict(ruling=Ruling.BLOCK, rule="no-force", reason="never")
    return Refused(ask.action, ruled, RefusalClass.NEVER, "d")


def sent(effects: list[GitEffect]) -> bytes:
    return b"".join(one.message.data for one in effects if isinstance(one, Forward) and isinstance(one.message, Data))


def replies(effects: list[GitEffect]) -> list[object]:
    return [one.message for one in effects if isinstance(one, Reply)]


def begun(command: str = PATH) -> GitRelay:
    made = relay(command)
    made.feed(yes(asked(made.begin())))
    return made


def test_the_host_is_told_the_command_and_the_version_and_nothing_else() -> None:
    made = relay(environment=(("GIT_DIR", "/x"), ("GIT_PROTOCOL", "version=2"), ("LANG", "C")))
    effects = made.feed(yes(asked(made.begin())))
    (begin,) = [one.message for one in effects if isinstance(one, Forward)]
    assert begin == Start(PATH, environment=(("GIT_PROTOCOL", "version=2"),))


def test_a_version_that_is_none_is_not_passed_on() -> None:
    made = relay(environment=(("GIT_PROTOCOL", "version=2:x"),))
    (begin,) = [one.message for one in made.feed(yes(asked(made.begin()))) if isinstance(one, Forward)]
    assert begin == Start(PATH)


def test_nothing_of_a_push_is_sent_before_all_of_it_was_decided() -> None:
    made = begun()
    effects = made.feed(ClientSaid(Data(PUSH[:80])))
    assert sent(effects) == b""
    effects = made.feed(ClientSaid(Data(PUSH[80:])))
    assert [type(one) for one in effects] == [Inquire]
    assert not made.hungry
    effects = made.feed(Inquired(told()))
    ask = asked(effects)
    assert (sent(effects), ask.bound) == (b"", (b"x",))
    effects = made.feed(yes(ask))
    assert sent(effects) == PUSH


def test_pushes_of_one_session_share_what_may_be_held_and_give_it_back() -> None:
    room = Room(len(PUSH) + 10)
    first, second, third = (relay(room=room) for _ in range(3))
    for one in (first, second, third):
        one.feed(yes(asked(one.begin())))
    assert [type(one) for one in first.feed(ClientSaid(Data(PUSH)))] == [Inquire]
    effects = second.feed(ClientSaid(Data(PUSH)))
    (told_no,) = [one.message.data for one in effects if isinstance(one, Reply) and isinstance(one.message, Data)]
    assert b"push one after the other" in told_no
    assert told_no[4:5] == b"\3", "git waits for bands, and would show nothing of an ERR"
    assert (sent(effects), room.left) == (b"", 10)
    first.feed(Ended(Side.CLIENT, "gone"))
    assert room.left == len(PUSH) + 10
    assert [type(one) for one in third.feed(ClientSaid(Data(PUSH)))] == [Inquire]


def told(fault: str = "") -> Told:
    found = wanted(PATH, "/srv/git")
    assert found is not None
    return Told(deeds=(deed("git.push", found),), shown="push", seen="all of it", bound=(b"x",), fault=fault)


def test_a_refused_push_is_told_for_its_ref_and_the_host_hears_nothing() -> None:
    made = begun()
    made.feed(ClientSaid(Data(PUSH)))
    effects = made.feed(no(asked(made.feed(Inquired(told())))))
    assert sent(effects) == b""
    said = replies(effects)
    assert isinstance(said[0], Data)
    assert b"ng refs/heads/main blocked by no-force: never" in said[0].data
    assert said[1:] == [Eof(), Exit(77), Closed()]


def test_a_push_of_which_nothing_could_be_told_is_refused_whatever_rules_say() -> None:
    made = begun()
    made.feed(ClientSaid(Data(PUSH)))
    effects = made.feed(yes(asked(made.feed(Inquired(told("the host's git ended"))))))
    assert sent(effects) == b""
    assert isinstance(replies(effects)[0], Data)


def test_a_fault_of_the_name_is_refused_whatever_rules_say() -> None:
    made = relay("git-upload-pack '/srv/git/../x'")
    ask = asked(made.begin())
    assert [one.verb for one in ask.action.deeds] == ["git.unknown"]
    effects = made.feed(yes(ask))
    assert [one for one in effects if isinstance(one, Forward)] == []
    assert isinstance(replies(effects)[0], Errors)


def test_a_fetch_is_asked_about_once_for_each_depth_and_filter() -> None:
    made = begun("git-upload-pack '/srv/git/app'")
    ls = line("command=ls-refs\n") + b"0000"
    assert sent(made.feed(ClientSaid(Data(ls)))) == ls

    def fetch(depth: int) -> bytes:
        return line("command=fetch") + b"0001" + line(f"want {ONE}\n") + line(f"deepen {depth}\n") + b"0000"

    effects = made.feed(ClientSaid(Data(fetch(1) + fetch(1) + fetch(9))))
    first = asked(effects)
    assert (first.action.verb, first.action.deeds[0].facts["depth"], sent(effects)) == ("git.fetch", 1, b"")
    effects = made.feed(yes(first))
    assert sent(effects) == fetch(1) * 2
    second = asked(effects)
    assert second.action.deeds[0].facts["depth"] == 9
    effects = made.feed(no(second))
    assert sent(effects) == b""
    assert replies(effects)[0] == Data(line("ERR blocked by no-force: never"))


def test_who_wants_nothing_is_not_asked_about() -> None:
    made = begun()
    assert sent(made.feed(ClientSaid(Data(b"0000")))) == b"0000"
    made = begun("git-upload-pack '/srv/git/app'")
    assert sent(made.feed(ClientSaid(Data(b"0000")))) == b"0000"


def test_a_client_that_leaves_while_it_is_asked_about_withdraws() -> None:
    made = begun()
    made.feed(ClientSaid(Data(PUSH)))
    ask = asked(made.feed(Inquired(told())))
    assert Withdraw(ask.action) in made.feed(Ended(Side.CLIENT, "gone"))
    assert made.feed(yes(ask)) == []


def test_a_host_that_fails_while_it_is_asked_ends_the_channel_and_late_answers_count_for_nothing() -> None:
    made = begun()
    made.feed(ClientSaid(Data(PUSH)))
    effects = made.feed(Failed("the connection to the host was lost"))
    assert Exit(74) in replies(effects)
    assert made.feed(Inquired(told())) == []


def test_what_the_host_says_passes_and_its_end_is_in_the_book() -> None:
    made = begun("git-upload-pack '/srv/git/app'")
    assert replies(made.feed(TargetSaid(Data(b"0000")))) == [Data(b"0000")]
    made.feed(TargetSaid(Exit(0)))
    effects = made.feed(TargetSaid(Closed()))
    (answer,) = [one for one in effects if isinstance(one, Answered)]
    assert (answer.status, answer.size) == ("exit 0", 4)


def test_a_real_push_is_read_as_git_makes_it(tmp_path: Path) -> None:
    found = new_repository(tmp_path)
    new = found.commit(a="1")
    pack = found.pack(new)
    said = line(f"{ZERO} {new} refs/heads/x\0report-status") + b"0000" + pack
    reader = Pushing(MOST)
    for at in range(0, len(said), 7):
        reader.feed(said[at : at + 7])
    assert reader.whole == said
    assert Service.RECEIVE == "git-receive-pack"
