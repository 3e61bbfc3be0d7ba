"""Packs: those of git itself, and those that lie."""

from __future__ import annotations

import hashlib
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.git.repository import new_repository

from gatebook.errors import WireError
from gatebook.protocols.git.objects import Kind, digest_of
from gatebook.protocols.git.pack import Limits, apply_delta, nothing, open_pack

COMMIT, TREE, BLOB, OFFSET, REF = 1, 2, 3, 6, 7


def number(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def head(kind: int, size: int) -> bytes:
    first, rest = kind << 4 | size & 15, size >> 4
    return bytes([first | 0x80]) + number(rest) if rest else bytes([first])


def entry(kind: int, data: bytes, base: bytes = b"", *, says: int | None = None) -> bytes:
    return head(kind, len(data) if says is None else says) + base + zlib.compress(data)


def packed(*entries: bytes, count: int | None = None, version: int = 2) -> bytes:
    data = b"PACK" + struct.pack(">II", version, len(entries) if count is None else count) + b"".join(entries)
    return data + hashlib.sha1(data).digest()


def blob(data: bytes) -> str:
    return digest_of(Kind.BLOB, data)


def delta(base: bytes, *instructions: bytes, size: int) -> bytes:
    return number(len(base)) + number(size) + b"".join(instructions)


@pytest.mark.real
def test_all_objects_of_a_pack_of_git_are_as_git_has_them(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "a")
    text = "\n".join(f"line {at}" for at in range(2_000))
    for at in range(30):
        made.commit(f"change {at}", a_txt=text.replace(f"line {at}", f"other {at}"), **{f"folder{at % 3}__b_txt": str(at)})
    made.git("tag", "-a", "v1", "-m", "one")
    data = made.pack("--all")
    opened = open_pack(data)
    names = {row.split()[0] for row in made.said("rev-list", "--objects", "--all").splitlines()}
    assert set(opened) == names
    for digest in names:
        assert opened.read(digest) == made.object(digest)
    assert opened.read("0" * 40) is None


@pytest.mark.real
def test_a_thin_pack_is_opened_with_what_its_deltas_are_of(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "a")
    text = "\n".join(f"line {at}" for at in range(5_000))
    first = made.commit(a_txt=text)
    second = made.commit(a_txt=text + "more")
    data = made.pack(second, "^" + first, thin=True)
    digest = made.said("rev-parse", f"{second}:a.txt")
    found = open_pack(data, outside=made.object).read(digest)
    assert found is not None
    assert found.data == (text + "more").encode()
    with pytest.raises(WireError, match="neither it nor the repository has"):
        open_pack(data)


@pytest.mark.real
def test_a_repository_of_sha256_is_read(tmp_path: Path) -> None:
    made = new_repository(tmp_path / "a")
    made.git("init", "-q", "--object-format=sha256", "b")
    made.folder = tmp_path / "a" / "b"
    commit = made.commit(a_txt="one")
    opened = open_pack(made.pack("--all"), length=64)
    assert commit in opened
    assert len(opened) == 3


@given(st.lists(st.binary(max_size=3_000), max_size=8))
@settings(max_examples=40)
def test_objects_come_back_as_they_went(contents: list[bytes]) -> None:
    opened = open_pack(packed(*(entry(BLOB, one) for one in contents)))
    for one in contents:
        found = opened.read(blob(one))
        assert found is not None
        assert found.data == one


BASE = b"0123456789" * 10
COPIED = delta(BASE, b"\x90\x0a", b"\x03abc", size=13)  # ten bytes of the base, and three more


def test_a_delta_before_its_base_is_resolved_in_any_order() -> None:
    first = entry(REF, COPIED, bytes.fromhex(blob(BASE)))
    changed = BASE[:10] + b"abc"
    second = entry(REF, delta(changed, b"\x90\x0d", size=13), bytes.fromhex(blob(changed)))
    opened = open_pack(packed(second, first, entry(BLOB, BASE)))
    found = opened.read(blob(changed))
    assert found is not None
    assert found.data == changed


def test_many_deltas_in_the_worst_order_take_no_time() -> None:
    texts = [BASE + str(at).encode() for at in range(200)]
    entries = [entry(BLOB, texts[0])]
    for old, new in pairwise(texts):
        made = delta(old, b"\x90\x64", bytes([len(new) - 100]) + new[100:], size=len(new))
        entries.append(entry(REF, made, bytes.fromhex(blob(old))))
    assert len(open_pack(packed(*reversed(entries)))) == 200


def chain(links: int) -> bytes:
    entries = [entry(BLOB, BASE)]
    for at in range(links):
        base = BASE if at == 0 else BASE[:99] + bytes([at % 256])
        made = delta(base, b"\x90\x63", bytes([1, (at + 1) % 256]), size=100)
        back = len(entries[-1])
        entries.append(entry(OFFSET, made, bytes([back])))
    return packed(*entries)


def test_a_chain_that_is_too_deep_is_refused() -> None:
    assert len(open_pack(chain(100), limits=Limits(depth=100))) == 101
    with pytest.raises(WireError, match="more than 99 deep"):
        open_pack(chain(100), limits=Limits(depth=99))


GOOD = packed(entry(BLOB, b"hello"))
SMALL = Limits(objects=3, object_bytes=1_000, inflated_bytes=1_500)
LIES = {
    "no pack": (b"PACT" + GOOD[4:], "not a pack"),
    "nothing": (b"", "not a pack"),
    "a version": (packed(version=9), "version 9"),
    "a checksum": (GOOD[:-1] + b"x", "checksum"),
    "more objects than there are": (packed(entry(BLOB, b"a"), count=2), "cut"),
    "fewer objects than there are": (packed(entry(BLOB, b"a"), entry(BLOB, b"b"), count=1), "behind its last object"),
    "a longer object than it says": (packed(entry(BLOB, b"hello", says=4)), "longer than it says"),
    "a shorter object than it says": (packed(entry(BLOB, b"hello", says=6)), "shorter than it says"),
    "too many objects": (packed(*[entry(BLOB, b"a")] * 4), "4 objects"),
    "many objects that are not there": (packed(count=4_000_000_000), "4000000000 objects"),
    "a large object": (packed(entry(BLOB, bytes(1_001))), "1001 bytes"),
    "a bomb": (packed(head(BLOB, 900) + zlib.compress(bytes(10_000_000))), "longer than it says"),
    "much in all": (packed(*(entry(BLOB, bytes([at]) * 600) for at in range(3))), "holds more than 1500"),
    "a length without end": (packed(b"\xbf" + b"\xff" * 20), "no end"),
    "a kind that is none": (packed(entry(5, b"a")), "kind 5"),
    "what does not inflate": (packed(head(BLOB, 3) + b"abcdef"), "do not inflate"),
    "a delta of nothing": (packed(entry(OFFSET, COPIED, b"\x05")), "what is no object"),
    "a delta of itself": (packed(entry(OFFSET, COPIED, b"\x00")), "what is no object"),
    "a delta of what nobody has": (packed(entry(REF, COPIED, bytes(20))), "neither it nor"),
    "a delta that makes much": (packed(entry(BLOB, BASE), entry(REF, delta(BASE, b"\x90\x64", size=5_000),
                                bytes.fromhex(blob(BASE)))), "5000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_pack_that_lies_says_how(lie: str) -> None:
    data, why = LIES[lie]
    with pytest.raises(WireError, match=why):
        open_pack(data, limits=SMALL)


@pytest.mark.parametrize(
    "wrong",
    [
        delta(BASE + b"x", b"\x90\x0a", size=10),  # of another base
        delta(BASE, b"\x00", size=0),
        delta(BASE, b"\x05abc", size=5),
        delta(BASE, b"\x91\x60\x20", size=32),  # from behind its end
        delta(BASE, b"\x91", size=1),
        delta(BASE, b"\x90\x0a", size=9),
        delta(BASE, b"\x90\x0a", size=11),
        b"\xff" * 12,
        b"",
    ],
)
def test_a_delta_that_lies_is_an_error(wrong: bytes) -> None:
    with pytest.raises(WireError):
        apply_delta(BASE, wrong, 1_000)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_any_damage_is_an_error_or_harmless(noise: bytes, at: int) -> None:
    body = bytearray(packed(entry(BLOB, BASE), entry(REF, COPIED, bytes.fromhex(blob(BASE))))[:-20])
    body[12 + at : 12 + at + len(noise)] = noise
    data = bytes(body) + hashlib.sha1(body).digest()
    try:
        opened = open_pack(data, limits=SMALL, outside=nothing)
    except WireError:
        return
    for digest in opened:
        found = opened.read(digest)
        assert found is not None
        assert digest_of(found.kind, found.data) == digest
