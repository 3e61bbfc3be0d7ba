import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import CREDENTIAL, DETECTORS, RULES, both, plan, shown

from gatebook.errors import WireError
from gatebook.protocols.http.covering.events import EventCover
from gatebook.protocols.http.covering.messages import MessageCover, shown_message
from gatebook.protocols.http.covering.sequences import SequenceCover

STREAM = b"""\xef\xbb\xbf: hello bob@example.com

event: message\r
id: 7\r
data: {"ssn":"hush",\r
data: "n":1}\r
\r
retry: 10
data:{"a":{"ssn":{"b":1}}}

data: [DONE]

data: ping
data

data: {"customers":[{"card":"hush"}]}"""


def test_events_are_covered_as_json_and_keep_their_names():
    out, masked = both(EventCover, RULES, STREAM)
    assert out == (
        b"\xef\xbb\xbf: hello b***@example.com\n\n"
        b'event: message\r\nid: 7\r\ndata: {"ssn":"****",\r\ndata: "n":1}\r\n\r\n'
        b'retry: 10\ndata: {"a":{"ssn":"****"}}\n\n'
        b"data: [DONE]\n\ndata: ping\ndata\n\n"
        b'data: {"customers":[{"card":"****"}]}\n'
    )
    assert masked == {"email": 1, "redact": 3}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_cut_anywhere_the_same_events_come_out(cuts):
    assert both(EventCover, RULES, STREAM, cuts) == both(EventCover, RULES, STREAM)


def test_an_event_goes_on_as_soon_as_it_is_whole():
    coverer = EventCover(RULES)
    assert coverer.feed(b": ping\n") == b": ping\n"
    assert coverer.feed(b'data: {"ssn":1}\n') == b""
    assert coverer.feed(b"\ndata") == b'data: {"ssn":"****"}\n\n'


@pytest.mark.parametrize("data", [b"data: name is hush\n\n", b'data: {"ssn":"hush"\n\n', b'data: ssn="hush", 123\n\n'])
def test_an_event_that_may_hold_a_ruled_field_unseen_does_not_pass(data):
    with pytest.raises(WireError):
        both(EventCover, RULES, data)
    assert both(EventCover, plan(detectors=()), data)[0] == data


def test_an_event_without_end_is_refused():
    coverer = EventCover(DETECTORS)
    with pytest.raises(WireError, match="an event of more than"):
        [coverer.feed(b"data: " + b"x" * 100_000 + b"\n") for _ in range(100)]


def test_a_sequence_of_documents_keeps_its_separators():
    data = b'\x1e{"ssn":1}\n\x1e{"ssn":2}\n'
    for cuts in ((), range(len(data))):
        assert both(SequenceCover, RULES, data, cuts) == (b'\x1e{"ssn":"****"}\n\x1e{"ssn":"****"}\n', {"redact": 2})
    for broken in (b'{"ssn":1}', b'\x1e{"ssn":1\x1e{}'):
        with pytest.raises(WireError):
            both(SequenceCover, RULES, broken)
    assert shown("application/geo+json-seq", RULES, data).count(b"****") == 2


def test_lines_of_json_are_covered_as_they_come():
    assert shown("application/x-ndjson", RULES, b'{"ssn":1}\n\n{"ssn":2}\n', range(20)) == b'{"ssn":"****"}\n\n{"ssn":"****"}\n'


def test_messages_of_a_websocket_are_covered_whole():
    cover = MessageCover(RULES)
    assert cover.cover(b'{"ssn":"hush"}', text=True) == b'{"ssn":"****"}'
    assert cover.cover(b"ping", text=True) == b"ping"
    for data, text in ((b"hush 1, hush 2", True), (b"\xff", True), (b"\x01\x02", False)):
        with pytest.raises(WireError):
            cover.cover(data, text=text)
    assert cover.masked == {"redact": 1}
    assert MessageCover(DETECTORS).cover(b"mail bob@example.com", text=True) == b"mail b***@example.com"
    open_ = MessageCover(plan(detectors=(), needles=[CREDENTIAL]), binary=True)
    assert open_.cover(b"\x01" + CREDENTIAL, text=False) == b"\x01" + b"*" * len(CREDENTIAL)
    assert MessageCover(plan(detectors=())).cover(b"\x01", text=False) == b"\x01"


def test_a_message_is_shown_to_a_log_whatever_it_is():
    seen: dict[str, int] = {}
    assert shown_message(b"any text with 1, 2", RULES, seen) == b"<unread>"
    assert shown_message(b'{"ssn":"hush"}', RULES, seen) == b'{"ssn":"****"}'
