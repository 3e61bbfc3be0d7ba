"""Requests to a git server as they are read, and what git hears of a refusal."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest
from tests.protocols.git.repository import ZERO, pushed
from tests.protocols.http.covering.stage import plan
from tests.protocols.http.exchanges import Stage, content, head
from tests.protocols.http.exchanges import refused as refused_by_rule

from gatebook.protocols.git.answers import refused
from gatebook.protocols.git.dialect import Git, Shape
from gatebook.protocols.git.paths import Place, Service, read_place
from gatebook.protocols.git.pktline import Line, Mark, line, read_line, read_section
from gatebook.protocols.git.pushing import read_push
from gatebook.protocols.git.reading import UNASKED, read
from gatebook.protocols.http.dialect import HEARD_BYTES
from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.message import Data, End, Request
from gatebook.protocols.http.refusal import Problem
from gatebook.protocols.http.relay import ClientSaid, Failed, Forward
from gatebook.protocols.relay import Ended, HangUp, Side

ONE = "1" * 40
GIT = Git(Shape())


def ask(method: str, target: str, *fields: tuple[bytes, bytes]) -> Request:
    return Request(method, "https", "gateway", target, fields)


def post(service: str = "git-receive-pack", name: str = "/org/app.git") -> Request:
    return ask("POST", f"{name}/{service}", (b"content-type", f"application/x-{service}-request".encode()))


@pytest.mark.parametrize("name", ["/org/app.git", "/org/app", "/app", "/a/b/c/d.git", "/org/a.b-c_d"])
def test_a_repository_is_named_alike_with_and_without_its_suffix(name: str) -> None:
    doubts = Doubts()
    found = read_place(ask("GET", f"{name}/info/refs?service=git-upload-pack"), doubts)
    assert found == Place(name.removeprefix("/").removesuffix(".git"), Service.UPLOAD, opens=True)
    assert doubts.why == ""


NAMES = [
    "/../app",
    "/org/../app",
    "/org/./app",
    "//app",
    "/org//app",
    "/org/app.git/",
    "/org/%2e%2e/app",
    "/org%2fapp",
    "/org\\app",
    "/.git",
    "/org/app.git.git",
    "/-app",
    "/org/a b",
    "/org/app\x00",
    "/" + "a/" * 9 + "a",
    "/org/a..b",
    "",
    "/org/app;x",
    "/org/app.git/config.git",
    "/~user/app",
    "/org/ap\u0440",
    "/org/" + "a" * 200,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_goes_nowhere(name: str) -> None:
    for request in (ask("GET", f"{name}/info/refs?service=git-upload-pack"), post(name=name)):
        found = read(request, b"0000")
        assert found.fault
        assert {deed.verb for deed in found.deeds} == {"git.unknown"}


def test_capitals_in_a_name_are_a_doubt() -> None:
    found = read(ask("GET", "/Org/App.git/info/refs?service=git-upload-pack"), b"")
    assert [deed.verb for deed in found.deeds] == ["git.list", "git.unknown"]
    assert not found.fault


@pytest.mark.parametrize(
    "request_",
    [
        ask("GET", "/org/app.git/info/refs"),
        ask("GET", "/org/app.git/info/refs?service=git-upload-archive"),
        ask("GET", "/org/app.git/info/refs?service=git-upload-pack&x=1"),
        ask("GET", "/org/app.git/info/refs?x=1&service=git-upload-pack"),
        ask("POST", "/org/app.git/info/refs?service=git-upload-pack"),
        ask("GET", "/org/app.git/HEAD"),
        ask("GET", "/org/app.git/objects/info/packs"),
        ask("POST", "/org/app.git/git-upload-archive"),
        ask("GET", "/org/app.git/git-receive-pack"),
        ask("POST", "/org/app.git/git-receive-pack"),
        ask("POST", "/org/app.git/git-receive-pack?x", (b"content-type", b"application/x-git-receive-pack-request")),
        ask("POST", "/org/app.git/git-receive-pack", (b"content-type", b"application/x-git-upload-pack-request")),
        ask("DELETE", "/org/app.git"),
        ask("POST", "/org/app.git/info/lfs/objects/batch"),
    ],
)
def test_what_git_does_not_ask_is_a_fault(request_: Request) -> None:
    assert read(request_, b"0000").fault


def test_a_push_that_nobody_asked_about_goes_nowhere() -> None:
    found = read(post(), pushed((ZERO, ONE, "refs/heads/x")))
    assert found.fault == UNASKED
    assert read(post(), None).fault
    assert read(post("git-upload-pack"), None).fault


def test_content_goes_on_in_no_coding_and_a_bomb_stays_what_it_is() -> None:
    small = Git(Shape(push_bytes=1_000))
    packed = replace(post(), fields=(*post().fields, (b"content-encoding", b"gzip")))
    content = zlib.compressobj(wbits=31)
    data = content.compress(b"0000") + content.flush()
    assert small.plainly(packed, data) == b"0000"
    assert small.meant(packed).get(b"content-encoding") is None
    bomb = zlib.compressobj(wbits=31)
    much = bomb.compress(bytes(1_000_000)) + bomb.flush()
    assert small.plainly(packed, much) == much
    assert small.plainly(packed, b"garbage") == b"garbage"
    assert small.plainly(packed, data + b"more") == data + b"more"


def test_only_what_git_sends_goes_on() -> None:
    fields = ((b"git-protocol", b"version=2"), (b"cookie", b"a=b"), (b"x-forwarded-for", b"1"), (b"accept", b"*/*"))
    assert GIT.kept(post(), fields, plan()) == ((b"accept", b"*/*"), (b"git-protocol", b"version=2"))
    for wrong in (b"version=3", b"version=2:x", b"version=2\x00"):
        assert GIT.kept(post(), ((b"git-protocol", wrong),), plan()) == ()
    assert GIT.kept(post(), ((b"git-protocol", b"version=2"), (b"git-protocol", b"version=1")), plan()) == ()


def bands(content: bytes) -> dict[int, bytes]:
    lines, mark, _ = read_section(content, 0, 1_000)
    assert mark is Mark.FLUSH
    found: dict[int, bytes] = {}
    for one in lines:
        found[one.data[0]] = found.get(one.data[0], b"") + one.data[1:]
    return found


def test_a_refused_push_hears_it_for_each_ref_and_in_words() -> None:
    push = read_push(pushed((ZERO, ONE, "refs/heads/a"), (ZERO, ONE, "refs/heads/b")))
    head, content = refused(Place("a", Service.RECEIVE), push, "blocked by x:\n\x1b[31mno", "Ask.")
    assert (head.status, head.get(b"content-type")) == (200, b"application/x-git-receive-pack-result")
    found = bands(content)
    assert found[2] == b"blocked by x:  [31mno. Ask.\n"
    lines, _, _ = read_section(found[1], 0, 10)
    said = [one.text for one in lines]
    assert said == ["unpack ok", "ng refs/heads/a blocked by x:  [31mno", "ng refs/heads/b blocked by x:  [31mno"]


def test_a_refusal_of_any_length_fits_its_bands() -> None:
    for capabilities in ("report-status side-band-64k", "report-status side-band", "report-status"):
        moves = [(ZERO, ONE, f"refs/heads/{at:0200}") for at in range(600)]
        push = read_push(pushed(*moves, capabilities=capabilities))
        _, content = refused(Place("a", Service.RECEIVE), push, "no " * 40_000)
        report = bands(content)[1] if "side" in capabilities else content
        lines, mark, at = read_section(report, 0, 1_000)
        assert (len(lines), mark, at) == (601, Mark.FLUSH, len(report))


@pytest.mark.parametrize("service", Service)
def test_anything_else_hears_an_error(service: Service) -> None:
    _, opened = refused(Place("a", service, opens=True), None, "no")
    lines, _, at = read_section(opened, 0, 3)
    assert lines[0].text == f"# service={service}"
    said = read_line(opened, at)
    assert isinstance(said, Line)
    assert said.text == "ERR no"
    _, plain = refused(Place("a", service), None, "no", "Ask.")
    blind = line(b"\3no. Ask.\n") + b"0000"  # who pushes waits for bands, and takes anything else for a broken one
    assert plain == (blind if service is Service.RECEIVE else line("ERR no. Ask."))


def patient(**changes: Any) -> Stage:
    return Stage(dialect=Git(Shape(push_bytes=1_000)), **changes)


def test_a_push_that_is_too_long_is_heard_to_its_end_and_then_told_so() -> None:
    """git over HTTP/2 waits for ever where it is answered in the middle."""
    stage = patient()
    asked = stage.ask(post(), Data(b"a" * 1_100))
    assert "push it in parts" in asked.fault
    effects = stage.feed(refused_by_rule(asked.action))
    assert (effects, stage.relay.hungry, stage.relay.keeps) == ([], True, False)
    assert stage.feed(ClientSaid(Data(b"b" * 5_000)), refused_by_rule(asked.action)) == []
    effects = stage.feed(ClientSaid(End()))
    assert b"\3blocked by" in content(effects)
    assert [one for one in stage.story if isinstance(one, Forward)] == []
    assert not stage.relay.hungry


@pytest.mark.parametrize("end", [Failed(408, "no content came within 60 s"), Ended(Side.GATEWAY, "your token is over")])
def test_a_push_that_does_not_end_is_told_all_the_same(end: Failed | Ended) -> None:
    stage = patient()
    asked = stage.ask(post(), Data(b"a" * 1_100))
    stage.feed(refused_by_rule(asked.action))
    assert head(stage.feed(end)).status in (401, 408)
    assert stage.feed(ClientSaid(Data(b"more"))) == []


def test_who_leaves_while_a_refused_push_is_heard_leaves_nothing_to_do() -> None:
    stage = patient()
    asked = stage.ask(post(), Data(b"a" * 1_100))
    stage.feed(refused_by_rule(asked.action))
    assert [type(one) for one in stage.feed(Ended(Side.CLIENT, "it went"))] == [HangUp]
    assert stage.feed(ClientSaid(End())) == []


def test_what_no_gateway_would_hear_to_its_end_is_told_before() -> None:
    stage = patient()
    stage.feed(refused_by_rule(stage.ask(post(), Data(b"a" * 1_100)).action))
    piece, heard = Data(bytes(64 * 1024 * 1024)), 0
    while not (effects := stage.feed(ClientSaid(piece))):
        heard += len(piece.data)
        assert heard <= HEARD_BYTES
    assert head(effects).status == 200


def test_a_missing_token_is_asked_for_as_a_password() -> None:
    head, content = GIT.said(Problem(401, "no token", {"instead": "Get one."}, ((b"www-authenticate", b"Bearer"),)))
    assert [value for name, value in head.fields if name == b"www-authenticate"] == [b'Basic realm="gatebook"']
    assert content == b"no token\nGet one.\n"
