"""Ceilings through the relay: what is said around a statement, what is held back, and what undoes it."""

import json

import pytest
from tests.protocols.postgres.stage import (
    Stage,
    answers,
    bind,
    complete,
    description,
    error,
    hung_up,
    kinds,
    messages,
    parse,
    ready,
    row,
    sent,
    shown,
    shown_error,
)

from gatebook.model import Ceiling, Receipt, Ruling, Verdict
from gatebook.policy.permit import permit
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.ceilings import HELD_ANSWER_BYTES, NOT_SAID, SEVERAL, uncounted
from gatebook.protocols.postgres.statement import read
from gatebook.protocols.relay import Allowed, Cancelled, Ended, FromClient, Interrupt, Own, Side, ToServer

DELETE = "DELETE FROM orders WHERE id < 9"
RETURNING = f"{DELETE} RETURNING id"
DONE = complete("DELETE 3")
TOO_MANY = complete("DELETE 4")
OWN_DONE = wire.message(b"3") * 2 + wire.message(b"1") + wire.message(b"2")


class Counting(Stage):
    """A stage whose policy lets three rows be changed."""

    def allow(self, masks=frozenset({"pii"})):
        self.index += 1
        ceiling = Ceiling(3, "few-rows")
        verdict = Verdict(
            ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="d", masks=masks, until=10**18, ceiling=ceiling
        )
        receipt = Receipt(log="l", index=self.index)
        return self.feed(Allowed(permit(self.asked.action, verdict, receipt), verdict, f"decision-{self.index}"))

    def query(self, text=DELETE, status=b"I"):
        """A Query up to where the server has answered BEGIN or SAVEPOINT."""
        self.client(wire.query(text))
        before = self.allow()
        assert "Q" in kinds(sent(before))
        tag = "BEGIN" if status == b"I" else "SAVEPOINT"
        return before, self.server(complete(tag) + ready(b"T"))

    def bound(self, text=DELETE):
        self.client(parse("", text))
        self.allow()
        self.client(bind("", ""))
        self.allow()
        return self


def opened(status=b"I"):
    stage = Counting().open()
    if status == b"T":
        stage.client(wire.query("BEGIN"))
        stage.allow()
        stage.server(complete("BEGIN") + ready(b"T"))
    return stage


def said(effects):
    """The texts that the gateway said for itself."""
    found = []
    for effect in effects:
        if isinstance(effect, Own) and effect.kind == "ceiling":
            for kind, body in messages(effect.data):
                if kind == b"Q":
                    found.append(wire.query_text(body))
                elif kind == b"P":
                    found.append(wire.parse(body).text)
    return [text.partition(' "')[0] for text in found]


def went(effects):
    return [effect for effect in effects if isinstance(effect, ToServer)]


# A Query


@pytest.mark.parametrize(("status", "before", "after"), [(b"I", "BEGIN", "COMMIT"), (b"T", "SAVEPOINT", "RELEASE SAVEPOINT")])
def test_a_query_runs_between_two_statements_of_the_gateways_own(status, before, after):
    stage = opened(status)
    first, second = stage.query(status=status)
    assert said(first) == [before]
    assert not went(first)
    assert not shown([*first, *second])
    assert [effect.data for effect in went(second)] == [wire.query(DELETE)]
    third = stage.server(DONE + ready(b"T"))
    assert said(third) == [after]
    assert not shown(third)
    assert not answers(third)
    last = stage.server(complete(after.split()[0]) + ready(status))
    assert shown(last) == DONE + ready(status)
    assert answers(last) == [("DELETE 3", 3)]


@pytest.mark.parametrize(("status", "undo"), [(b"I", "ROLLBACK"), (b"T", "ROLLBACK TO SAVEPOINT")])
def test_above_the_ceiling_it_is_undone_and_the_client_hears_no_tag(status, undo):
    stage = opened(status)
    stage.query(status=status)
    after = stage.server(TOO_MANY + ready(b"T"))
    assert said(after)[0] == undo
    assert not shown(after)
    last = stage.server(complete("ROLLBACK") + (complete("RELEASE") if status == b"T" else b"") + ready(status))
    fields = shown_error(last)
    assert kinds(shown(last)) == "EZ"
    assert fields["C"] == "42501"
    assert fields["M"] == "blocked by few-rows: it changes more than 3 rows; it was undone"
    detail = json.loads(fields["D"])
    assert (detail["rule"], detail["class"], detail["most_rows"]) == ("few-rows", "fix", 3)
    assert shown(last).endswith(ready(status))
    assert answers(last) == [("UNDONE", 0)]


def test_what_returning_gives_waits_and_is_dropped_past_the_ceiling():
    stage = opened()
    stage.query(RETURNING)
    rows = [row(str(number).encode()) for number in range(3)]
    head = description(("id", 200, 1))
    assert not shown(stage.server(head + b"".join(rows)))
    stage.server(DONE + ready(b"T"))
    assert shown(stage.server(complete("COMMIT") + ready())) == head + b"".join(rows) + DONE + ready()
    stage.query(RETURNING)
    for number in range(1000):
        assert not shown(stage.server((head if not number else b"") + row(b"x" * 1000)))
    stage.server(complete("DELETE 1000") + ready(b"T"))
    assert kinds(shown(stage.server(complete("ROLLBACK") + ready()))) == "EZ"


@pytest.mark.parametrize("tag", ["SELECT 1", "DELETE", "", "CALL", "EXPLAIN"])
def test_a_tag_that_counts_nothing_is_no_proof_that_little_was_changed(tag):
    stage = opened()
    stage.query()
    after = stage.server(complete(tag) + ready(b"T"))
    assert said(after) == ["ROLLBACK"]
    assert kinds(shown(stage.server(complete("ROLLBACK") + ready()))) == "EZ"


def test_what_is_held_back_has_an_end():
    stage = opened()
    stage.query(RETURNING)
    half = HELD_ANSWER_BYTES // 2 + 1
    stage.server(description(("id", 200, 1)) + row(b"x" * half))
    stage.server(row(b"x" * half))
    stage.server(complete("DELETE 2") + ready(b"T"))
    assert "held back" in shown_error(stage.server(complete("ROLLBACK") + ready()))["M"]


@pytest.mark.parametrize("status", [b"I", b"T"])
def test_an_error_is_the_servers_own_and_leaves_what_it_would_have_left(status):
    stage = opened(status)
    stage.query(status=status)
    failed = stage.server(error("22012", "division by zero") + ready(b"E"))
    if status == b"I":
        assert said(failed) == ["ROLLBACK"]
        assert not shown(failed)
        failed = stage.server(complete("ROLLBACK") + ready())
    assert kinds(shown(failed)) == "EZ"
    assert shown_error(failed)["C"] == "22012"
    assert shown(failed).endswith(ready(b"E" if status == b"T" else b"I"))
    assert answers(failed) == [("ERROR 22012", 0)]


def test_a_commit_that_fails_takes_the_tags_place():
    stage = opened()
    stage.query()
    stage.server(DONE + ready(b"T"))
    failed = stage.server(error("23503", "violates foreign key constraint") + ready())
    assert kinds(shown(failed)) == "EZ"
    assert shown_error(failed)["C"] == "23503"
    assert answers(failed) == [("ERROR 23503", 0)]


def test_in_a_transaction_that_has_failed_the_statement_is_not_sent():
    stage = opened(b"T")
    stage.client(wire.query("SELECT nothing"))
    stage.allow()
    stage.server(error("42703", "no such column") + ready(b"E"))
    stage.client(wire.query(DELETE))
    assert said(stage.allow()) == ["SAVEPOINT"]
    failed = stage.server(error("25P02", "current transaction is aborted") + ready(b"E"))
    assert not went(failed)
    assert shown_error(failed)["C"] == "25P02"
    assert answers(failed) == [("ERROR 25P02", 0)]
    assert stage.relay.hungry


def test_nothing_of_the_client_goes_on_before_it_is_known():
    stage = opened()
    stage.client(wire.query(DELETE) + wire.query("SELECT 1") + parse("s", "SELECT 2"))
    asked = stage.asked
    for effects in (stage.allow(), stage.server(complete("BEGIN") + ready(b"T")), stage.server(DONE + ready(b"T"))):
        assert stage.asked is asked
        assert not shown(effects)
    stage.server(complete("COMMIT") + ready())
    assert stage.asked.action.text == "SELECT 1"


def test_reads_and_what_changes_no_row_go_as_they_are():
    for text in ("SELECT id FROM orders", "LOCK TABLE orders", "BEGIN", "PREPARE p AS DELETE FROM orders WHERE id = 1"):
        stage = opened()
        stage.client(wire.query(text))
        effects = stage.allow()
        assert said(effects) == []
        assert len(went(effects)) == 1


def test_a_cancel_reaches_the_server_and_a_client_that_leaves_has_its_transaction_ended():
    stage = opened()
    stage.query()
    assert any(isinstance(effect, Interrupt) for effect in stage.feed(Cancelled()))
    effects = stage.feed(Ended(Side.CLIENT, "gone"))
    assert hung_up(effects) == "gone"
    assert answers(effects) == [("NO ANSWER", 0)]
    assert "COMMIT" not in said(effects)


# A batch


def test_an_execute_outside_a_transaction_gets_one_that_ends_with_the_sync():
    stage = opened().bound()
    assert kinds(sent(stage.client(wire.execute("")))) == "DH"  # its columns are asked for; what came before is answered first
    effects = stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n"))
    assert said(effects) == ["BEGIN"]
    assert [effect.data for effect in went(effects)] == [wire.execute("")]
    assert not stage.relay.hungry
    effects = stage.server(OWN_DONE + complete("BEGIN") + DONE)
    assert shown(effects) == DONE
    assert answers(effects) == [("DELETE 3", 3)]
    effects = stage.client(wire.SYNC)
    assert said(effects) == ["COMMIT"]
    assert not stage.relay.hungry
    assert shown(stage.server(OWN_DONE + complete("COMMIT") + ready())) == ready()


def executed(stage):
    """An Execute up to its answer, without it."""
    stage.client(wire.execute(""))
    return stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n"))


def test_an_execute_above_the_ceiling_is_undone_and_the_rest_of_the_batch_skipped():
    stage = opened().bound()
    executed(stage)
    effects = stage.server(OWN_DONE + complete("BEGIN") + TOO_MANY)
    assert said(effects) == ["ROLLBACK"]
    assert not shown(effects)
    effects = stage.server(OWN_DONE + complete("ROLLBACK"))
    assert kinds(shown(effects)) == "E"
    assert answers(effects) == [("UNDONE", 0)]
    assert not sent(stage.client(parse("", "SELECT 1")))
    assert sent(stage.client(wire.SYNC)) == wire.SYNC
    assert shown(stage.server(ready())) == ready()


def test_inside_a_transaction_an_execute_is_undone_to_a_savepoint():
    stage = opened(b"T").bound()
    assert said(executed(stage)) == ["SAVEPOINT"]
    effects = stage.server(OWN_DONE + complete("SAVEPOINT") + TOO_MANY)
    assert said(effects) == ["ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT"]
    effects = stage.server(OWN_DONE + complete("ROLLBACK") + OWN_DONE + complete("RELEASE"))
    assert kinds(shown(effects)) == "E"
    stage.client(wire.SYNC)
    assert shown(stage.server(ready(b"T"))) == ready(b"T")


def test_an_error_behind_it_undoes_the_whole_batch():
    stage = opened().bound()
    executed(stage)
    stage.server(OWN_DONE + complete("BEGIN") + DONE)
    stage.client(parse("", "SELECT 1"))
    stage.allow()
    effects = stage.client(wire.SYNC)
    assert said(effects) == ["COMMIT"]
    effects = stage.server(error("42P01", "no such table") + ready(b"E"))
    assert said(effects) == ["ROLLBACK"]
    assert kinds(shown(effects)) == "E"
    assert not stage.relay.hungry
    assert shown(stage.server(OWN_DONE + complete("ROLLBACK") + ready())) == ready()
    assert stage.relay.hungry


def test_a_refusal_behind_it_undoes_the_whole_batch():
    stage = opened().bound()
    executed(stage)
    stage.server(OWN_DONE + complete("BEGIN") + DONE)
    stage.client(parse("", "DROP TABLE orders"))
    stage.refuse("no-drop")
    effects = stage.client(wire.SYNC)
    assert said(effects) == []
    effects = stage.server(error("34000", "no such portal") + ready(b"E"))
    assert said(effects) == ["ROLLBACK"]
    assert shown_error(effects)["M"].startswith("blocked by no-drop")
    assert shown(stage.server(OWN_DONE + complete("ROLLBACK") + ready())) == ready()


def test_a_transaction_that_the_batch_ends_itself_has_to_be_synced_first():
    stage = opened(b"T")
    stage.client(parse("c", "COMMIT"))
    stage.allow()
    stage.client(bind("c", "c"))
    stage.allow()
    stage.client(wire.execute("c"))
    answered = wire.message(b"1") + wire.message(b"2") + wire.message(b"n")
    stage.client(parse("", "DELETE FROM orders WHERE id = 1"))
    stage.server(answered + complete("COMMIT"))
    stage.allow()
    stage.client(bind("", ""))
    stage.allow()
    stage.client(wire.execute(""))
    effects = stage.server(answered)
    assert not went(effects)
    effects = stage.server(error("34000", "no such portal"))
    assert "send a Sync" in shown_error(effects)["M"]


@pytest.mark.parametrize("text", ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s"])
def test_in_the_gateways_own_transaction_the_client_begins_and_ends_none(text):
    stage = opened().bound()
    executed(stage)
    stage.server(OWN_DONE + complete("BEGIN") + DONE)
    stage.client(parse("t", text))
    stage.allow()
    stage.client(bind("t", "t"))
    stage.allow()
    assert not went(stage.client(wire.execute("t")))


def test_a_query_behind_an_open_batch_ends_the_session():
    stage = opened().bound()
    executed(stage)
    stage.server(OWN_DONE + complete("BEGIN") + DONE)
    assert "send a Sync" in hung_up(stage.client(wire.query("SELECT 1")))


def test_a_portal_fetched_in_parts_is_undone():
    stage = opened().bound(RETURNING)
    stage.client(wire.message(b"E", b"\0\0\0\0\1"))
    stage.server(wire.message(b"1") + wire.message(b"2") + description(("id", 200, 1)))
    effects = stage.server(OWN_DONE + complete("BEGIN") + row(b"1") + wire.message(b"s"))
    assert said(effects) == ["ROLLBACK"]
    effects = stage.server(OWN_DONE + complete("ROLLBACK"))
    assert "fetched in parts" in shown_error(effects)["M"]


@pytest.mark.parametrize("cut", [1, 7, 10**6])
def test_it_is_the_same_however_the_servers_bytes_are_cut(cut):
    stage = opened()
    stage.query(RETURNING)
    answer = description(("id", 200, 1)) + row(b"1") + row(b"2") + complete("DELETE 2") + ready(b"T")
    effects = []
    for at in range(0, len(answer), cut):
        effects += stage.server(answer[at : at + cut])
    assert said(effects) == ["COMMIT"]
    assert not shown(effects)
    assert kinds(shown(stage.server(complete("COMMIT") + ready()))) == "TDDCZ"


def test_what_the_gateway_asks_says_when_rows_cannot_be_counted():
    stage = opened()
    stage.feed(FromClient(wire.query("WITH d AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT * FROM d")))
    assert stage.asked.uncounted == NOT_SAID


# What is counted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT 1; SELECT 2", ""),
        ("DELETE FROM a WHERE id = 1", ""),
        ("INSERT INTO a SELECT * FROM b", ""),
        ("INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 2", ""),
        ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE", ""),
        ("WITH x AS (SELECT 1) UPDATE a SET n = 1 WHERE id IN (SELECT * FROM x)", ""),
        ("COPY a FROM STDIN", ""),
        ("COPY a TO STDOUT", ""),
        ("EXPLAIN DELETE FROM a WHERE id = 1", ""),
        ("SELECT 1; DELETE FROM a WHERE id = 1", SEVERAL),
        ("BEGIN; DELETE FROM a WHERE id = 1; COMMIT", SEVERAL),
        ("WITH d AS (DELETE FROM a RETURNING *) SELECT * FROM d", NOT_SAID),
        ("WITH d AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM d", NOT_SAID),
        ("WITH d AS (INSERT INTO b VALUES (1)) DELETE FROM a WHERE id = 1", NOT_SAID),
        ("EXPLAIN ANALYZE DELETE FROM a WHERE id = 1", NOT_SAID),
        ("COPY (DELETE FROM a RETURNING id) TO STDOUT", NOT_SAID),
        ("COPY a FROM '/tmp/x'", NOT_SAID),
        ("TRUNCATE a", NOT_SAID),
        ("DROP TABLE a", NOT_SAID),
        ("CREATE TABLE b AS SELECT * FROM a", NOT_SAID),
        ("SELECT something_unknown()", NOT_SAID),
        ("UPDATE a SET n = something_unknown()", NOT_SAID),
        ("DO $$ BEGIN END $$", NOT_SAID),
        ("CALL p()", NOT_SAID),
        ("EXECUTE unheard_of", NOT_SAID),
        ("PREPARE p AS DELETE FROM a WHERE id = 1", ""),
        ("PREPARE p AS WITH d AS (DELETE FROM a RETURNING *) SELECT * FROM d", NOT_SAID),
        ("no SQL at all", NOT_SAID),
    ],
)
def test_which_texts_can_be_counted(text, why):
    assert uncounted(read(text)) == why
