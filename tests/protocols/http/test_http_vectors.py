"""Every file in tests/vectors/http: what is said, and that no other parser sees another request in what is passed on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.protocols.http.stage import VECTORS, Vector, by_h11, by_lenient, by_llhttp, forwarded, told

from gatebook.protocols.http import h1
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.message import End, Message, Response

REQUESTS = [path for path in VECTORS if not path.stem.startswith("answer-")]
ANSWERS = [path for path in VECTORS if path.stem.startswith("answer-")]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def asked(vector: Vector, size: int) -> tuple[list[str], str, list[tuple[list[Message], int | None]]]:
    """The story, the words of a refusal, and what was whole."""
    side = h1.ServerSide(vector.scheme)
    lines: list[str] = []
    messages: list[Message] = []
    whole: list[tuple[list[Message], int | None]] = []
    waiting = pieces(vector.data, size)
    try:
        while waiting:
            messages += side.feed(waiting.pop(0))
            while side.complete:
                whole.append((messages, side.length))
                lines += told(messages)
                messages = []
                side.respond(Response(200, ()), length=0)
                side.end()
                if not side.keeps_alive:
                    return [*lines, "last"] if waiting or side.rest() else lines, "", whole
                messages = side.next()
                if waiting or messages or not side.idle:
                    lines.append("then")
    except MalformedError as fault:
        return [*lines, *told(messages), f"refused {fault.status}"], str(fault), whole
    return lines + told(messages), "", whole


def as_expected(lines: list[str], expected: list[str]) -> bool:
    """What came in one piece with bytes that are refused may have been said before, or not."""
    if not expected[-1].startswith("refused"):
        return lines == expected
    said, heads = ([one for one in story[:-1] if not one.startswith("content")] for story in (lines, expected))
    return lines[-1:] == expected[-1:] and said == heads[: len(said)]


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [100_000, 7, 1])
def test_a_request_is_taken_as_its_vector_says(path: Path, size: int) -> None:
    vector = Vector.of(path)
    lines, words, _ = asked(vector, size)
    assert as_expected(lines, vector.expect), lines
    assert vector.says in words


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_what_is_passed_on_is_the_same_request_to_every_parser(path: Path) -> None:
    for messages, length in asked(Vector.of(path), 100_000)[2]:
        sent = forwarded(messages, length)
        seen = [
            by_h11(sent),
            by_llhttp(sent),
            *(by_lenient(sent, chunks_first=first, bare=bare) for first in (False, True) for bare in (False, True)),
        ]
        assert [len(one) for one in seen] == [1] * 6, sent
        assert len({(one[0].method, one[0].target, one[0].content) for one in seen}) == 1
        assert seen[0] == seen[1]


def answered(vector: Vector, size: int) -> tuple[list[str], str]:
    side = h1.ClientSide()
    messages: list[Message] = []
    sent = side.request(h1.Request(vector.to, "http", "a.test", "/", ()), length=0) + side.end()
    assert sent == f"{vector.to} / HTTP/1.1\r\nhost: a.test\r\n\r\n".encode()
    try:
        for piece in pieces(vector.data, size):
            if side.complete:
                break  # as a driver does: what comes now is of no request
            messages += side.feed(piece)
        else:
            piece = b""
        if vector.closed:
            messages += side.closed()
    except MalformedError as fault:
        return [*told(messages), "refused"], str(fault)
    lines = told(messages)
    if any(isinstance(one, End) for one in messages):
        lines.append("reusable" if side.reusable and not piece else "spent")
    return lines, ""


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [100_000, 7, 1])
def test_an_answer_is_taken_as_its_vector_says(path: Path, size: int) -> None:
    vector = Vector.of(path)
    lines, words = answered(vector, size)
    assert as_expected(lines, vector.expect), lines
    assert vector.says in words
