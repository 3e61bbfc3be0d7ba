"""COPY through the relay: data covered on its way out, and on its way in passed on under the permit of its own COPY."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres import stage as stages
from tests.protocols.postgres.stage import (
    Stage,
    answers,
    bind,
    complete,
    error,
    hung_up,
    kinds,
    messages,
    parse,
    ready,
    row,
    sent,
    shown,
)

from gatebook.protocols.postgres import wire
from gatebook.protocols.relay import Answered, FromClient, FromServer, ToServer

EXECUTE = wire.execute("")
FLUSH = wire.message(b"H")
DONE = wire.message(b"c")
OUT, IN = b"H", b"G"
SSN = b"987-65-4320"


def begins(kind: bytes, columns: int, binary: bool = False) -> bytes:
    form = int(binary).to_bytes(1)
    return wire.message(kind, form + columns.to_bytes(2) + (b"\0" + form) * columns)


def data(*rows: bytes) -> bytes:
    return b"".join(wire.message(b"d", each) for each in rows)


def written(effects) -> bytes:
    return b"".join(body for kind, body in messages(shown(effects)) if kind == b"d")


class Typed(Stage):
    """A stage whose catalog knows the types: customers(id int4, ssn text), gone(a, ssn generated, c)."""

    def _look_up(self, asked):
        text = stages.question(asked)
        number = {name: place for place, name in enumerate(sorted(n for n in ("customers", "gone") if f'"{n}"' in text))}
        rows = b""
        for name, oid, columns in (
            ("customers", 100, [(1, "id", 23, True), (2, "ssn", 25, True)]),
            ("gone", 300, [(1, "a", 25, True), (3, "ssn", 25, False), (4, "card", 25, True)]),
        ):
            for attnum, column, kind, writes in columns if name in number else ():
                rows += row(*map(stages_cell, ("c", number[name], oid, attnum, "public", name, column)))
                rows += row(*map(stages_cell, ("t", number[name], kind, attnum, "", "", ""))) if writes else b""
        return self.feed(FromServer(stages.asked(rows)))


def stages_cell(value) -> bytes:
    return str(value).encode()


def asked(text: str) -> Stage:
    stage = Typed().open()
    stage.client(wire.query(text))
    assert sent(stage.allow()) == wire.query(text)
    return stage


def bound(text: str) -> Stage:
    stage = Typed().open()
    stage.client(parse("", text))
    stage.allow()
    stage.client(bind("", ""))
    stage.allow()
    return stage


# Out


def test_a_table_is_copied_with_its_masked_column_covered():
    stage = asked("COPY customers TO STDOUT")
    effects = stage.server(begins(OUT, 2) + data(b"1\t987-65-4320\n", b"2\t\\N\n") + DONE + complete("COPY 2") + ready())
    assert kinds(shown(effects)) == "HddcCZ"
    assert written(effects) == b"1\t****\n2\t\\N\n"
    (answered,) = [effect for effect in effects if isinstance(effect, Answered)]
    assert (answered.status, answered.rows, answered.size, answered.masked) == ("COPY 2", 2, 12, {"redact": 1})


def test_a_copy_in_the_extended_protocol_is_covered_as_well():
    stage = bound("COPY customers (ssn) TO STDOUT (FORMAT csv)")
    stage.client(EXECUTE + wire.SYNC)
    effects = stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n"))
    effects += stage.server(begins(OUT, 1) + data(b"987-65-4320\n") + DONE + complete("COPY 1") + ready())
    assert written(effects) == b"****\n"
    assert kinds(shown(effects)) == "12HdcCZ"


@pytest.mark.parametrize(
    ("text", "columns", "rows", "covered"),
    [
        ("COPY gone TO STDOUT", 2, b"987-65-4320\tx\n", b"987-65-4320\t****\n"),  # the generated ssn is not copied
        ("COPY gone (card, a) TO STDOUT", 2, b"987-65-4320\tx\n", b"****\tx\n"),
        ("COPY gone TO STDOUT", 3, b"987-65-4320\tx\ty\n", b"****\t****\t****\n"),  # not what the catalog said
        ("COPY nowhere TO STDOUT", 2, b"987-65-4320\tx\n", b"****\t****\n"),
        ("COPY (SELECT id, upper(ssn) AS a FROM customers) TO STDOUT", 2, b"1\t987-65-4320\n", b"1\t****\n"),
        ("COPY (SELECT * FROM customers) TO STDOUT", 2, b"1\t987-65-4320\n", b"****\t****\n"),
        ("COPY (SELECT 1, 'ssn') TO STDOUT", 2, b"1\tssn\n", b"1\tssn\n"),
    ],
)
def test_what_is_not_certain_is_covered_whole(text, columns, rows, covered):
    stage = asked(text)
    assert written(stage.server(begins(OUT, columns) + data(rows))) == covered


def test_without_a_mask_only_the_detectors_look():
    stage = Typed().open()
    stage.client(wire.query("COPY customers TO STDOUT"))
    stage.allow(masks=frozenset())
    assert written(stage.server(begins(OUT, 2) + data(b"1\t987-65-4320\n"))) == b"1\t987-65-4320\n"
    assert written(stage.server(data(b"1\tcard 4242424242424242\n"))) == b"1\tcard ************4242\n"


def test_each_copy_of_one_text_has_its_own_plan():
    stage = asked("COPY customers TO STDOUT; COPY (SELECT 'x') TO STDOUT; SELECT 1")
    one = begins(OUT, 2) + data(b"1\t987-65-4320\n") + DONE + complete("COPY 1")
    two = begins(OUT, 1) + data(b"987-65-4320\n") + DONE + complete("COPY 1")
    effects = stage.server(one + two + stages.description(("x", 0, 0)) + row(b"1") + complete("SELECT 1") + ready())
    assert written(effects) == b"1\t****\n987-65-4320\n"
    assert answers(effects) == [("SELECT 1", 3)]


def test_an_error_in_the_midst_of_a_copy_ends_it_alone():
    stage = asked("COPY customers TO STDOUT")
    effects = stage.server(begins(OUT, 2) + data(b"1\t987-65-4320\n") + error("57014", "canceling") + ready())
    assert kinds(shown(effects)) == "HdEZ"
    assert answers(effects) == [("ERROR 57014", 0)]
    stage.client(wire.query("SELECT 1"))
    assert sent(stage.allow()) == wire.query("SELECT 1")


@pytest.mark.parametrize(
    "answer",
    [
        data(b"1\t987-65-4320\n"),
        DONE,
        begins(IN, 2),
        begins(OUT, 2, binary=True),
        begins(b"W", 2),
        begins(OUT, 2) + begins(OUT, 2),
        begins(OUT, 2) + data(b"987-65-4320\n"),
        begins(OUT, 2) + data(b"1\t987-65-4320") + DONE,
        begins(OUT, 2) + complete("COPY 1"),
        begins(OUT, 2) + DONE + data(b"1\t987-65-4320\n"),
    ],
)
def test_an_answer_that_is_not_the_copy_that_was_asked_for_ends_the_session(answer):
    stage = asked("COPY customers TO STDOUT")
    effects = stage.server(answer)
    assert hung_up(effects)
    assert SSN not in shown(effects)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_a_copy_cut_anywhere_shows_the_same(sizes):
    stage = asked("COPY customers TO STDOUT")
    answer = begins(OUT, 2) + data(b"1\t987-65-4320\n", b"2\ta\\tb\n") + DONE + complete("COPY 2") + ready()
    effects, at, number = [], 0, 0
    while at < len(answer):
        size = sizes[number % len(sizes)]
        effects += stage.server(answer[at : at + size])
        at, number = at + size, number + 1
    assert written(effects) == b"1\t****\n2\t****\n"
    assert kinds(shown(effects)) == "HddcCZ"


# In


def to_server(effects) -> list[tuple[int, bytes]]:
    """Which action's permit each message went under."""
    return [(effect.permit.action.seq, effect.data) for effect in effects if isinstance(effect, ToServer)]


def test_the_clients_data_goes_to_the_target_as_it_is_under_the_permit_of_its_copy():
    stage = asked("COPY customers FROM STDIN")
    assert kinds(shown(stage.server(begins(IN, 2)))) == "G"
    sends = data(b"9\t987-65-4320\n", b"half a r") + data(b"ow\t1\n") + DONE
    effects = stage.client(sends)
    assert to_server(effects) == [(1, wire.message(*each)) for each in messages(sends)]
    effects = stage.server(complete("COPY 2") + ready())
    (answered,) = [effect for effect in effects if isinstance(effect, Answered)]
    assert (answered.status, answered.rows, answered.size) == ("COPY 2", 2, 27)


def test_data_that_comes_before_the_target_takes_it_waits():
    stage = asked("COPY customers FROM STDIN")
    assert not stage.client(data(b"1\tx\n") + DONE)
    assert not stage.relay.hungry
    effects = stage.server(begins(IN, 2))
    assert sent(effects) == data(b"1\tx\n") + DONE


def test_what_a_refused_or_failed_copy_was_sent_reaches_nobody():
    stage = asked("COPY customers FROM STDIN")
    stage.client(data(b"1\tx\n") + DONE + wire.query("SELECT 1"))
    effects = stage.server(error("42501", "permission denied") + ready())
    assert sent(effects) == b""
    assert stage.asked.action.text == "SELECT 1"


def test_an_error_in_the_midst_ends_taking_and_drops_the_rest():
    stage = asked("COPY customers FROM STDIN")
    stage.server(begins(IN, 2))
    stage.client(data(b"bad\n"))
    effects = stage.server(error("22P04", "missing data", W="COPY customers, line 1: bad") + ready())
    assert "bad" not in wire.report_fields(next(body for kind, body in messages(shown(effects)) if kind == b"E")).values()
    assert sent(stage.client(data(b"more\n") + DONE)) == b""


def test_a_client_that_gives_up_says_so_to_the_target():
    stage = asked("COPY customers FROM STDIN")
    stage.server(begins(IN, 2))
    gives_up = wire.message(b"f", b"no more\0")
    assert sent(stage.client(gives_up)) == gives_up
    assert answers(stage.server(error("57014", "COPY from stdin failed") + ready())) == [("ERROR 57014", 0)]


def test_a_client_that_goes_away_does_not_end_its_copy_as_if_it_were_whole():
    for goes in (lambda stage: stage.client(wire.TERMINATE), lambda stage: stage.feed(gone())):
        stage = asked("COPY customers FROM STDIN")
        stage.server(begins(IN, 2))
        stage.client(data(b"1\tx\n"))
        effects = goes(stage)
        assert hung_up(effects)
        assert kinds(sent(effects)) == "X"


def gone():
    from gatebook.protocols.relay import Ended, Side

    return Ended(Side.CLIENT, "the client went away")


@pytest.mark.parametrize("message", [wire.query("SELECT 1"), parse("", "SELECT 1"), EXECUTE, wire.message(b"F", b"\0")])
def test_a_request_in_the_midst_of_the_data_ends_the_session(message):
    stage = asked("COPY customers FROM STDIN")
    stage.server(begins(IN, 2))
    effects = stage.client(message)
    assert "waits for the data of a COPY" in hung_up(effects)
    assert not to_server(effects)


def test_in_the_extended_protocol_the_sync_sent_ahead_is_passed_over_as_the_server_does():
    stage = bound("COPY customers FROM STDIN")
    stage.client(EXECUTE + wire.SYNC)
    assert sent(stage.effects).endswith(EXECUTE + FLUSH)
    stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n"))
    effects = stage.server(begins(IN, 2))
    assert sent(effects) == b""
    assert sent(stage.client(data(b"1\tx\n") + DONE + wire.SYNC)) == data(b"1\tx\n") + DONE + wire.SYNC
    effects = stage.server(complete("COPY 1") + ready())
    assert kinds(shown(effects)) == "CZ"
    assert answers(effects) == [("COPY 1", 1)]


def test_in_the_extended_protocol_a_copy_that_fails_at_once_is_over_at_the_sync_sent_ahead():
    stage = bound("COPY customers FROM STDIN")
    stage.client(EXECUTE + wire.SYNC)
    effects = stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n") + error("42501", "denied"))
    assert sent(effects) == wire.SYNC
    assert kinds(shown(stage.server(ready()))) == "Z"


def test_in_the_extended_protocol_an_error_in_the_midst_is_over_at_the_next_sync():
    stage = bound("COPY customers FROM STDIN")
    stage.client(EXECUTE + wire.SYNC)
    stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n") + begins(IN, 2))
    stage.client(data(b"bad\n"))
    stage.server(error("22P04", "missing data"))
    assert sent(stage.client(data(b"more\n") + DONE + wire.SYNC)) == wire.SYNC
    assert kinds(shown(stage.server(ready()))) == "Z"


def test_two_copies_of_one_text_take_their_data_one_after_the_other():
    stage = asked("COPY customers FROM STDIN; COPY customers FROM STDIN")
    stage.server(begins(IN, 2))
    both = data(b"1\tx\n") + DONE + data(b"2\ty\n") + DONE
    assert sent(stage.client(both)) == data(b"1\tx\n") + DONE
    assert sent(stage.server(complete("COPY 1") + begins(IN, 2))) == data(b"2\ty\n") + DONE
    assert answers(stage.server(complete("COPY 1") + ready())) == [("COPY 1", 2)]


@pytest.mark.parametrize("answer", [complete("COPY 1"), begins(OUT, 2), begins(IN, 2), data(b"x\n"), DONE])
def test_a_target_that_answers_while_it_takes_data_ends_the_session(answer):
    stage = asked("COPY customers FROM STDIN")
    stage.server(begins(IN, 2))
    assert hung_up(stage.server(answer))


def test_data_outside_of_a_copy_reaches_nobody():
    stage = Typed().open()
    effects = stage.client(data(b"x\n") + DONE + wire.message(b"f", b"x\0"))
    assert sent(effects) == b""
    assert not hung_up(effects)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_data_cut_anywhere_goes_on_the_same(sizes):
    stage = asked("COPY customers FROM STDIN")
    stage.server(begins(IN, 2))
    sends, effects, at, number = data(b"1\tx\n", b"2\ty\n") + DONE, [], 0, 0
    while at < len(sends):
        size = sizes[number % len(sizes)]
        effects += stage.feed(FromClient(sends[at : at + size]))
        at, number = at + size, number + 1
    assert sent(effects) == sends
