"""Heads of answers that differ in a date or an id alone: each as if it had been the first."""

from hypothesis import example, given
from hypothesis import strategies as st
from tests.protocols.http import exchanges
from tests.protocols.http.exchanges import KEY, PII, Stage

from gatebook.masking.rules import HeaderPattern, MaskSet, Style
from gatebook.protocols.http.lane import Answered, Answers, Went
from gatebook.protocols.http.message import Data, End, Response
from gatebook.protocols.relay import Covering

ORIGIN = "https://billing.internal"
CARD = "4556-7375-8689-9855"  # by its check digit; the last of an id that ends so is one with what is before it
IDS = (
    "0b6ae2f6-8f0e-4a1c-9d0c-8a3ac6c7c3a1",
    "11111111-2222-4333-8444-555555555555",
    "00000000-0000-0000-4556-737586899855",  # whose last numbers are a card's
    "abcdefab-cdef-4abc-8def-abcdefabcdeb",  # what stands in for another
    "ABCDEFAB-cdef-4abc-8def-abcdefabcdeb",
    "%41",
)
DATES = ("Sun, 22 Nov 2026 10:00:00 GMT", "Sat, 03 Feb 1990 04:05:06 GMT", "yesterday", "Sun, 22 Nov 2026 10:00:00  GMT")
NAMES = ("Date", "date", "Audit-Id", "audit-id", "X-Request-Id", "request-id", "X-Correlation-ID")
FIELDS = st.one_of(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(IDS + DATES)),
    st.tuples(st.just("X-Run"), st.sampled_from(("1", "100%", CARD, KEY.decode(), *IDS, *DATES))),
)
HEADS = st.lists(st.lists(FIELDS, max_size=5), min_size=1, max_size=12)


def went(covering: Covering) -> Went:
    """What went the plain way, and may again."""
    stage = Stage(covering=covering)
    stage.ask(exchanges.request(), End())
    stage.allow(frozenset(covering.sets))
    stage.answer(Response(200, (exchanges.JSON, (b"content-length", b"2"))), Data(b"{}"), End())
    assert stage.relay.went is not None
    return stage.relay.went


def written(fields: list[tuple[str, str]]) -> bytes:
    said = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{said}Content-Length: 2\r\n\r\n{{}}".encode()


COVERED_IDS = MaskSet("ids", (), Style.REDACT, headers=(HeaderPattern("audit-id"),))
COVERINGS = tuple(
    Covering({one.name: one}, frozenset({one.name}), frozenset({"card"}), b"k" * 32) for one in (PII, COVERED_IDS)
)


@given(HEADS, st.sampled_from(COVERINGS))
@example([[("Date", DATES[0]), ("Audit-Id", one)] for one in (*IDS[:2], *IDS)], COVERINGS[0])
@example([[("Audit-Id", one), ("X-Request-Id", IDS[3]), ("X-Run", "100%")] for one in IDS * 2], COVERINGS[0])
@example([[("Audit-Id", one)] for one in IDS * 2], COVERINGS[1])
def test_each_head_becomes_what_it_would_if_it_were_the_first(heads, covering):
    one = went(covering)
    answers = Answers(one)
    for data in map(written, heads):
        alone = _alone(one, data)
        assert _said(answers.read(data, ORIGIN)) == _said(alone)
        assert answers.size(data, ORIGIN) == (len(data) if alone is not None else None)


def _alone(one: Went, data: bytes) -> Answered | None:
    """What becomes of it with nothing to go by but its bytes."""
    answers = Answers(one)
    answers._varied = lambda _origin, _data: None
    return answers.read(data, ORIGIN)


def _said(found: Answered | None) -> tuple[object, ...] | None:
    """All but what covers another content of the kind: that is equal to itself alone."""
    if found is None:
        return None
    head = found.head
    return found.told, found.content, found.masked, head.told, head.shown, head.status, head.length, head.in_chunks, head.masked
