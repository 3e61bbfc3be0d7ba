"""Frames of streams, as recordings hold them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.errors import WireError
from gatebook.protocols.terminals import Kind, frame, framed, frames

FRAMES = st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=30)), max_size=8)


@given(FRAMES)
def test_frames_are_read_as_they_were_written(written: list[tuple[Kind, bytes]]) -> None:
    data = b"".join(frame(*one) for one in written)
    assert list(frames(data)) == written
    assert framed(data) is bool(written)


@given(st.binary(max_size=60))
def test_what_is_no_frame_raises_its_error(data: bytes) -> None:
    try:
        found = b"".join(frame(*one) for one in frames(data))
    except WireError:
        return
    assert found == data


@pytest.mark.parametrize("data", [b"\0", b"\0o\0\0\0\1", b"\0z\0\0\0\0", b"> text\n"])
def test_pieces_and_strangers_are_no_frames(data: bytes) -> None:
    with pytest.raises(WireError):
        list(frames(data))
