"""pkt-lines, and the requests that are made of them."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.git.repository import ZERO, pushed

from gatebook.errors import WireError
from gatebook.protocols.git.fetching import read_fetch
from gatebook.protocols.git.pktline import LINE_BYTES, Line, Mark, is_ref, line, read_line, read_section
from gatebook.protocols.git.pushing import Change, read_push

ONE, TWO = "1" * 40, "2" * 40


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_lines_come_back_as_they_went(parts: list[bytes]) -> None:
    data = b"".join(map(line, parts)) + b"0001rest"
    found, mark, at = read_section(data, 0, 20)
    assert [one.data for one in found] == parts
    assert (mark, data[at:]) == (Mark.DELIMITER, b"rest")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_line_or_an_error(data: bytes) -> None:
    try:
        found = read_line(data)
    except WireError:
        return
    assert not isinstance(found, Line) or len(found.data) + 4 == found.end == int(data[:4], 16)


@pytest.mark.parametrize(
    "data", [b"", b"00", b"0003", b"fff1" + bytes(65_600), b"0009abc", b"-001", b" 005a", b"0x05a", b"zzzz"]
)
def test_a_line_that_lies_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        read_line(data)


def test_a_line_is_no_longer_than_git_reads() -> None:
    assert len(line(bytes(LINE_BYTES - 4))) == LINE_BYTES
    with pytest.raises(WireError, match="too many"):
        line(bytes(LINE_BYTES - 3))


def test_a_section_of_too_many_lines_is_an_error() -> None:
    with pytest.raises(WireError, match="more than 3 lines"):
        read_section(line("a") * 4 + b"0000", 0, 3)


REFS = (
    "refs/heads/main refs/heads/a/b refs/tags/v1.0 refs/heads/ü main refs/heads/ refs/heads/a..b refs/heads/.a "
    "refs/heads/a.lock refs/heads/a.lock/b refs/heads/a\\b refs/heads/a~1 refs/heads/a^ refs/heads/a:b "
    "refs/heads/a@{1} refs/heads/a? refs/heads/a* refs/heads/a[ refs/heads/a//b refs/heads/a. refs/heads/@ refs//a "
    "refs/heads/a\x7f refs/heads/-a refs/../heads/a"
).split()


@pytest.mark.real
@pytest.mark.parametrize("name", [*REFS, "refs/heads/a b"])
def test_a_ref_is_one_where_git_says_so(name: str) -> None:
    git = subprocess.run(["git", "check-ref-format", name], capture_output=True).returncode == 0
    assert is_ref(name) == (git and name.startswith("refs/"))


def test_a_push_is_read() -> None:
    data = pushed((ONE, TWO, "refs/heads/main"), (ZERO, ONE, "refs/tags/v1"), (TWO, ZERO, "refs/heads/old"), pack=b"P")
    push = read_push(data)
    assert [one.change for one in push.commands] == [Change.UPDATE, Change.CREATE, Change.DELETE]
    assert push.capability("side-band-64k") == ""
    assert push.capability("atomic") is None
    assert data[push.pack :] == b"P"


def test_options_of_a_push_are_read() -> None:
    data = pushed((ONE, TWO, "refs/heads/main"), capabilities="push-options agent=git/2.39") + line("ci.skip\n") + b"0000PACK"
    push = read_push(data)
    assert push.options == ("ci.skip",)
    assert push.capability("agent") == "git/2.39"
    assert data[push.pack :] == b"PACK"


def test_the_probe_of_git_asks_for_nothing() -> None:
    assert read_push(b"0000").probes


MAIN = f"{ONE} {TWO} refs/heads/main"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "four hexadecimal digits"),
        (line(MAIN + "\0") + b"0001", "wants a flush"),
        (line(MAIN) + line(MAIN) + b"0000", "names a ref twice"),
        (line(MAIN) + line(f"{ONE} {TWO} refs/heads/x\0atomic") + b"0000", "behind another ref"),
        (line(f"{ONE} {TWO} main") + b"0000", "not the name of a ref"),
        (line(f"{ONE} {TWO} refs/heads/../x") + b"0000", "not the name of a ref"),
        (line(f"{ZERO} {ZERO} refs/heads/x") + b"0000", "nothing to nothing"),
        (line(f"{ONE} {TWO[:-1]} refs/heads/x") + b"0000", "not what moves a ref"),
        (line(f"{ONE} {TWO}  refs/heads/x") + b"0000", "not the name of a ref"),
        (line("push-cert\0") + b"0000", "signed push"),
        (line(MAIN + "\0object-format=sha256") + b"0000", "another length"),
        (line(MAIN + "\0object-format=md5") + b"0000", "not known"),
        (line("1" * 64 + " " + "2" * 64 + " refs/heads/x") + b"0000", "another length"),
        (line(MAIN + "\0push-options") + line("a") + b"0001", "wants a flush"),
        (line(b"\xff\xfe") + b"0000", "not UTF-8"),
        (line(MAIN) + line(f"shallow {ONE}") + b"0000", "shallow"),
    ],
)
def test_a_push_that_is_wrong_says_why(data: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        read_push(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_push_or_an_error(data: bytes) -> None:
    for tail in (data, line(MAIN + "\0push-options") + data, line(MAIN) + b"0000" + data):
        try:
            read_push(tail)
        except WireError:
            continue


def test_a_fetch_is_read_in_each_version() -> None:
    two = (
        line("command=fetch") + line("agent=git/2.39") + b"0001" + line("thin-pack") + line(f"want {ONE}\n") + line("deepen 1")
    )
    found = read_fetch(two + line("filter blob:none") + line(f"have {TWO}") + line("done") + b"0000")
    assert (found.command, found.wants, found.depth, found.filter, found.done) == ("fetch", (ONE,), 1, "blob:none", True)
    old = line(f"want {ONE} multi_ack side-band-64k\n") + line(f"want {TWO}\n") + b"0000"
    assert read_fetch(old + line("done\n")).wants == (ONE, TWO)
    assert read_fetch(old + line(f"have {ONE}\n") + b"0000" + line(f"have {TWO}\n") + line("done\n")).done
    assert read_fetch(old + line(f"have {ONE}\n") + b"0000").wants == (ONE, TWO)
    listed = read_fetch(line("command=ls-refs\n") + b"0001" + line("peel\n") + line("ref-prefix refs/heads/\n") + b"0000")
    assert listed.lists
    assert listed.prefixes == ("refs/heads/",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        line("command=fetch") + b"0001" + line("packfile-uris https") + b"0000",
        line("command=push") + b"0000",
        line("command=fetch") + b"0001" + line(f"want {ONE}") + b"0000" + line("command=fetch") + b"0000",
        line("command=fetch") + b"0001" + line("want main") + b"0000",
        line("command=fetch") + b"0001" + line("deepen -1") + b"0000",
        line("want x") + b"0000",
        line(f"want {ONE}") + b"0001",
        line("hello") + b"0000",
    ],
)
def test_a_fetch_that_is_wrong_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        read_fetch(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_fetch_or_an_error(data: bytes) -> None:
    for text in (data, line("command=fetch") + b"0001" + data, line(f"want {ONE}") + b"0000" + data):
        try:
            read_fetch(text)
        except WireError:
            continue
