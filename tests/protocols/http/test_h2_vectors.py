"""Every file in tests/vectors/http/h2: fields that a client sends, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.protocols.http.h2_peer import data, serving, story
from tests.protocols.http.stage import by_h11, by_llhttp, forwarded

from gatebook.protocols.http import h2
from gatebook.protocols.http.h2_frames import Code
from gatebook.protocols.http.message import Data, End, Request

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "http" / "h2").glob("*.txt"))


def plain(text: str) -> bytes:
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


def field(line: str) -> tuple[bytes, bytes]:
    colon = 0 if line.startswith(": ") else line.index(": ", 1)
    return plain(line[:colon]), plain(line[colon + 2 :])


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_fields_of_http_2_are_taken_as_their_vector_says(path: Path) -> None:
    header, _, text = path.read_text().partition("\n\n")
    said = [line.split(": ", 1) for line in header.splitlines()]
    asked = dict(said)
    fields = [field(line) for line in text.splitlines()]
    trailers = [field(value) for name, value in said if name == "trailer"]
    side, peer = serving()
    told = side.feed(peer.headers(1, fields, over="content" not in asked))
    if "content" in asked:
        told += side.feed(data(1, plain(asked["content"]), over=not trailers))
    if trailers:
        told += side.feed(peer.headers(1, trailers, over=True))
    line = story(told)
    cookies = [value.decode() for _, one in told if isinstance(one, Request) for value in one.all(b"cookie")]
    assert " ".join([line, *(f"cookie={value}" for value in cookies)]) == asked["expect"]
    endings = [one for _, one in told if isinstance(one, h2.Reset)]
    if endings:
        assert endings[0].code == Code.PROTOCOL_ERROR
        assert asked.get("says", "") in endings[0].why
    else:
        assert "says" not in asked
        messages = [one for _, one in told if isinstance(one, Request | Data | End)]
        sent = forwarded(messages, side.length(1))
        (theirs,) = by_h11(sent)
        if not messages[0].upgrade:  # type: ignore[union-attr]
            assert by_llhttp(sent) == [theirs]
        assert theirs.content == b"".join(one.data for one in messages if isinstance(one, Data))
