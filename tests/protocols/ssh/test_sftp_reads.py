"""Private keys by SFTP, from wherever and in whatever pieces a client reads them."""

from __future__ import annotations

import base64
import hashlib

import pytest
from tests.protocols.ssh.test_sftp_relay import READ, Story

from gatebook.protocols.ssh.sftp_packets import Fields, Kind, packet, string, u32, u64


def read_all(story: Story, content: bytes, begin: int, size: int) -> tuple[bytes, int]:
    """What a client gets that reads from somewhere on in so large pieces, and how often the host was asked."""
    got, asked = b"", 0
    for offset in range(begin, len(content), size):
        before = len(story.host)
        story.says(packet(Kind.READ, u32(11), string(b"h"), u64(offset), u32(size)))
        told = len(story.client)
        while len(story.client) == told:
            fields = Fields(story.host[-1][2])
            fields.string()
            at, wanted = fields.u64(), fields.u32()
            story.answers(Kind.DATA, string(content[at : at + wanted]))
        got += Fields(story.client[-1][2]).string()
        asked += len(story.host) - before
    return got, asked


def armored(size: int, end: bytes = b"\n", kind: bytes = b"PRIVATE KEY") -> bytes:
    lines = (base64.b64encode(hashlib.sha384(b"%d" % number).digest()) for number in range(size // 65))
    return b"-----BEGIN %b-----%b%b%b-----END %b-----\n" % (kind, end, end.join(lines), end, kind)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\\n", b"\n    "])
@pytest.mark.parametrize(("begin", "size"), [(0, 1_024), (0, 5_000), (8_000, 100), (9_999, 32_768)])
def test_a_long_private_key_shows_nothing_however_it_is_read(end: bytes, begin: int, size: int) -> None:
    key = armored(12_000, end)
    story = Story(detectors=frozenset({"private-key"}))
    story.opens(b"/srv/x", READ)
    got, _ = read_all(story, key + b"behind it\n", begin, size)
    assert len(got) == len(key) + 10 - begin
    assert set(got[: len(key) - begin - 80].replace(b"\\n", b"")) <= set(b"* \r\n")
    assert got.endswith(b"behind it\n")


def test_what_is_code_and_no_key_is_as_it_was_and_what_is_no_code_is_asked_for_once() -> None:
    story = Story(detectors=frozenset({"private-key"}))
    story.opens(b"/srv/x", READ)
    code = armored(60_000, kind=b"CERTIFICATE")
    assert read_all(story, code, 0, 4_096)[0] == code
    rows = b"".join(b"%d,3.50,some words in a row,2026-11-22\n" % number for number in range(2_000))
    assert read_all(story, rows, 0, 4_096) == (rows, -(-len(rows) // 4_096))
