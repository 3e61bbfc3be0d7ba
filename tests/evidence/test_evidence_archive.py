from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.evidence.archive import NAME, Archive, write

NAMES = st.from_regex(NAME, fullmatch=True).filter(lambda name: len(name) < 200)
FILES = st.dictionaries(NAMES, st.binary(max_size=300), max_size=6)


def packed(files):
    made = io.BytesIO()
    write(made, files)
    return made.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("archive") / "a.zip"


def opened(place, data):
    place.write_bytes(data)
    return Archive(place)


@settings(max_examples=80, deadline=None)
@given(FILES)
def test_what_was_written_is_read_and_any_other_tool_reads_it_too(place, files):
    archive = opened(place, packed(files))
    assert archive.flaws == []
    assert {name: archive.read(name) for name in archive} == files
    with zipfile.ZipFile(place) as other:
        assert {name: other.read(name) for name in other.namelist()} == files


@settings(max_examples=80, deadline=None)
@given(FILES)
def test_the_order_in_which_files_are_given_does_not_matter(files):
    assert packed(files) == packed(dict(reversed(files.items())))


@settings(max_examples=200, deadline=None)
@given(FILES, st.data())
def test_no_byte_of_the_structure_can_change_unseen(place, files, data):
    content = bytearray(packed(files))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    archive = opened(place, bytes(content))
    changed = [name for name in archive if archive.read(name) != files.get(name) or not archive.crc_fits(name)]
    assert archive.flaws or changed or set(archive) != set(files)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_to_an_end(place, content):
    for data in (content, b"PK\3\4" + content, packed({"a": content})[: len(content)]):
        assert opened(place, data).flaws or data == packed({})


@pytest.mark.parametrize("name", ["../up", "/root", "a//b", ".hidden", "a/../b", "", "a\\b", "ä", "a/", "a b", "a\0"])
def test_a_name_that_leads_elsewhere_is_neither_written_nor_read(place, name):
    with pytest.raises(ValueError, match="not a name"):
        packed({name: b""})
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as other:
        other.writestr(zipfile.ZipInfo(name or "x", (1980, 1, 1, 0, 0, 0)), b"x")
    assert opened(place, made.getvalue()).flaws


def test_two_files_of_one_name_are_a_flaw(place):
    one = packed({"a": b"1"})
    member = one[: one.index(b"PK\1\2")]
    assert any("stands after a" in flaw.what for flaw in opened(place, member + one).flaws)
