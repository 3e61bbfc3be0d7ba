"""Approved writes through the relay, held to the rows that people saw: what is sent in their place, and what undoes them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.stage import (
    COVERING,
    Stage,
    answers,
    bind,
    cells,
    complete,
    description,
    error,
    hung_up,
    kinds,
    messages,
    parse,
    ready,
    row,
    shown,
    shown_error,
)
from tests.protocols.postgres.test_relay_ceilings import OWN_DONE, said, went

from gatebook.errors import WireError
from gatebook.model import Ceiling, Receipt, Ruling, Verdict
from gatebook.policy.permit import permit
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.bonds import Bond, digest_of
from gatebook.protocols.postgres.hashes import Hashes
from gatebook.protocols.relay import Allowed, Stale

DELETE = "DELETE FROM orders WHERE id < 9"
RETURNING = f"{DELETE} RETURNING id"
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
SEEN = Bond(rows=2, digest=digest_of(COVERING.key, [A, B]), way="old")
HASH = ("encode", 0, 0)


def hashed(value, *cells_before):
    return row(*cells_before, value.encode())


class Held(Stage):
    """A stage whose people have seen what a write changes."""

    bond = SEEN
    ceiling = None

    def allow(self, masks=frozenset()):
        self.index += 1
        verdict = Verdict(
            ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="d", masks=masks, until=10**18, ceiling=self.ceiling
        )
        held_to = self.bond.conditions() if self.asked.action.step == "run" else {}
        made = permit(self.asked.action, verdict, Receipt(log="l", index=self.index), held_to)
        return self.feed(Allowed(made, verdict, f"decision-{self.index}"))

    def query(self, text=DELETE):
        """A Query up to where it was sent."""
        self.client(wire.query(text))
        self.allow()
        return self.server(complete("BEGIN") + ready(b"T"))

    def batch(self, text=DELETE, formats=b""):
        """The same by the extended protocol, up to where its Execute was sent."""
        self.client(parse("s", text))
        self.allow()
        self.client(wire.message(b"B", bind("", "s")[5:-2] + (formats or bytes(2))))
        made = self.allow()
        made += self.client(wire.execute("") + wire.SYNC)
        columns = description(("id", 200, 1), HASH) if "RETURNING" in text else description(HASH)
        parsed = wire.message(b"1") + wire.message(b"3") + wire.message(b"1") + wire.message(b"2") + columns
        made += self.server(parsed)
        return made + self.server(OWN_DONE + complete("BEGIN"))


@pytest.fixture
def stage():
    return Held().open()


def test_a_write_is_sent_with_a_hash_of_each_row_and_its_client_hears_of_none(stage):
    (sent_now,) = went(stage.query())
    text = wire.query_text(messages(sent_now.data)[0][1])
    assert text.startswith(DELETE + '\nRETURNING WITH (OLD AS "gatebook_old", NEW AS "gatebook_new") pg_catalog.encode(')
    kept = stage.server(description(HASH) + hashed(B) + hashed(A) + complete("DELETE 2") + ready(b"T"))
    assert shown(kept) == b""
    assert said(kept) == ["COMMIT"]
    done = stage.server(complete("COMMIT") + ready())
    assert shown(done) == complete("DELETE 2") + ready()
    assert answers(done) == [("DELETE 2", 2)]


def test_the_rows_that_its_client_asked_for_come_without_hashes(stage):
    (sent_now,) = went(stage.query(RETURNING))
    assert "RETURNING WITH" in wire.query_text(messages(sent_now.data)[0][1])
    assert ") id, pg_catalog.encode(" in wire.query_text(messages(sent_now.data)[0][1])
    stage.server(description(("id", 200, 1), HASH) + hashed(A, b"1") + hashed(B, b"2") + complete("DELETE 2") + ready(b"T"))
    done = stage.server(complete("COMMIT") + ready())
    assert shown(done) == description(("id", 200, 1)) + row(b"1") + row(b"2") + complete("DELETE 2") + ready()


@pytest.mark.parametrize(
    ("rows", "tag"),
    [
        ((A, C), "DELETE 2"),  # as many, but another
        ((A,), "DELETE 1"),
        ((A, B, C), "DELETE 3"),
        ((A, A), "DELETE 2"),
        ((A, B), "DELETE 3"),  # a server that counts otherwise than it tells
        ((), "DELETE 0"),
    ],
)
def test_a_write_that_would_change_other_rows_is_undone_before_the_client_hears(stage, rows, tag):
    stage.query()
    effects = stage.server(description(HASH) + b"".join(hashed(one) for one in rows) + complete(tag) + ready(b"T"))
    assert shown(effects) == b""
    assert said(effects) == ["ROLLBACK"]
    done = stage.server(complete("ROLLBACK") + ready())
    fields = shown_error(done)
    assert fields["C"] == "42501"
    detail = json.loads(fields["D"])
    assert (detail["rule"], detail["class"]) == ("changed-since-preview", "ask")
    assert "asked anew" in fields["H"]
    assert not {"1", "2", "3"} & set(fields["M"])
    assert kinds(shown(done)) == "EZ"
    assert answers(done) == [("UNDONE", 0)]


def test_where_only_the_number_was_seen_the_text_goes_as_it_is(stage):
    stage.bond = Bond(rows=2)
    (sent_now,) = went(stage.query())
    assert messages(sent_now.data) == [(b"Q", DELETE.encode() + b"\0")]
    assert said(stage.server(complete("DELETE 3") + ready(b"T"))) == ["ROLLBACK"]


def test_a_ceiling_holds_beside_what_people_saw(stage):
    stage.ceiling = Ceiling(1, "few-rows")
    stage.query()
    stage.server(description(HASH) + hashed(A) + hashed(B) + complete("DELETE 2") + ready(b"T"))
    assert json.loads(shown_error(stage.server(complete("ROLLBACK") + ready()))["D"])["rule"] == "few-rows"


def test_in_a_batch_the_clients_portal_is_of_a_statement_with_hashes(stage):
    effects = stage.batch()
    data = b"".join(effect.data for effect in went(effects))
    kinds_sent = kinds(data)
    assert kinds_sent == "CPBE"
    texts = [wire.parse(body).text for kind, body in messages(data) if kind == b"P"]
    assert all("RETURNING WITH" in text for text in texts)
    bound = next(wire.bind(body) for kind, body in messages(data) if kind == b"B")
    assert bound.portal == ""
    assert bound.statement != "s"
    done = stage.server(hashed(A) + hashed(B) + complete("DELETE 2"))
    done += stage.server(OWN_DONE + complete("COMMIT") + ready())
    assert kinds(shown(stage.effects)).endswith("12CZ")
    assert answers(stage.effects)[-1] == ("DELETE 2", 2)
    assert not hung_up(done)


def test_in_a_batch_too_other_rows_undo_it(stage):
    stage.batch()
    stage.server(hashed(A) + hashed(C) + complete("DELETE 2"))
    stage.server(OWN_DONE + complete("ROLLBACK"))
    stage.server(ready())
    assert json.loads(shown_error(stage.effects)["D"])["rule"] == "changed-since-preview"
    assert answers(stage.effects)[-1] == ("UNDONE", 0)


def test_a_describe_of_the_portal_tells_of_no_rows_where_its_client_asked_for_none(stage):
    stage.client(parse("s", DELETE))
    stage.allow()
    stage.client(bind("", "s"))
    stage.allow()
    stage.client(wire.describe("P", "") + wire.message(b"H"))
    stage.server(wire.message(b"1") + wire.message(b"3") + wire.message(b"1") + wire.message(b"2") + description(HASH))
    assert kinds(shown(stage.effects)) == "12n"


def test_formats_of_its_own_columns_get_one_more_for_the_hash(stage):
    two = RETURNING + ", total"
    effects = stage.batch(two, formats=b"\0\2\0\1\0\0")
    body = next(body for effect in went(effects) for kind, body in messages(effect.data) if kind == b"B")
    assert body.endswith(b"\0\3\0\1\0\0\0\0")


def test_a_portal_that_was_bound_before_people_saw_anything_is_not_run(stage):
    stage.bond = Bond(rows=2)
    stage.client(parse("s", DELETE))
    stage.allow()
    stage.client(bind("p", "s"))
    stage.allow()
    stage.feed(Stale())
    stage.bond = SEEN
    before = went(stage.effects)
    stage.client(wire.execute("p"))
    stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n"))
    stage.allow()
    assert went(stage.effects) == before
    stage.server(error("34000", "no such portal"))
    assert "bind it again" in shown_error(stage.effects)["M"]


def test_an_error_of_the_statement_is_told_as_its_own(stage):
    stage.query()
    stage.server(error("23503", "violates a foreign key") + ready(b"E"))
    done = stage.server(complete("ROLLBACK") + ready())
    assert shown_error(done)["C"] == "23503"


@pytest.mark.parametrize(
    "data",
    [
        description(("id", 200, 1)) + row(b"1"),
        description(HASH) + row(b"short"),
        description(HASH) + row(None),
        description(HASH) + row(),
    ],
)
def test_a_server_that_leaves_out_hashes_ends_the_session(stage, data):
    stage.query()
    assert hung_up(stage.server(data + complete("DELETE 2") + ready(b"T")))
    assert b"DELETE" not in shown(stage.effects)


@given(
    st.lists(st.one_of(st.none(), st.binary(max_size=20)), max_size=5), st.text("0123456789abcdef", min_size=64, max_size=64)
)
def test_a_row_without_its_hash_is_the_row_that_was_asked_for(values, hash_of_it):
    hashes = Hashes(SEEN, b"k", shows=True)
    assert hashes.take(cells(*values, hash_of_it.encode())) == cells(*values)
    assert hashes.found == [hash_of_it]


@given(st.binary(max_size=200))
def test_a_row_or_description_that_is_none_is_a_fault(data):
    hashes = Hashes(SEEN, b"k", shows=True)
    for take in (hashes.take, hashes.described):
        try:
            take(data)
        except WireError:
            continue


def test_a_digest_depends_on_every_row_and_the_key_and_on_no_order():
    assert digest_of(b"k", [A, B]) == digest_of(b"k", [B, A])
    assert len({digest_of(b"k", [A, B]), digest_of(b"k", [A]), digest_of(b"k", [A, A, B]), digest_of(b"j", [A, B])}) == 4


def test_a_bond_is_the_same_after_it_went_through_a_permit():
    for bond in (SEEN, Bond(rows=0), Bond(rows=1, digest="d", way="key", after=True, keys=("id", 'odd "name"'))):
        assert Bond.of(bond.conditions()) == bond
    assert Bond.of({}) is None


def test_time_that_passes_while_it_is_decided_has_its_names_asked_again(stage):
    stage.client(wire.query(DELETE))
    stage.feed(Stale())
    stage.allow()
    (sent_now,) = went(stage.server(complete("BEGIN") + ready(b"T")))
    assert "gatebook_old" in wire.query_text(messages(sent_now.data)[0][1])
