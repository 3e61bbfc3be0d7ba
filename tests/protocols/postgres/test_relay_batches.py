"""Catalog questions in the middle of a batch: where no client could tell that one was asked, and nowhere else."""

import pytest
from tests.protocols.postgres.stage import (
    SECRET,
    Stage,
    answers,
    bind,
    complete,
    description,
    error,
    hung_up,
    kinds,
    parse,
    question,
    ready,
    row,
    sent,
    shown,
    shown_error,
)

from gatebook.model import Reach
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.relay_inquiry import ISOLATION
from gatebook.protocols.relay import Ask, FromServer, Own, Stale, ToServer

PARSED, BOUND, NO_ROWS = wire.message(b"1"), wire.message(b"2"), wire.message(b"n")
FLUSH = Own("flush", wire.message(b"H"))
ONE = description(("?column?", 0, 0))
SYNCED, INSIDE = "CPBECCS", "CPBECCH"


def opened(status: bytes = b"I") -> Stage:
    """A session whose server has answered a question, with orders known and customers not."""
    stage = Stage(status=status).open()
    stage.client(wire.query("SELECT id FROM orders" if status == b"I" else "BEGIN; SELECT id FROM orders"))
    stage.allow()
    stage.server(complete("SELECT 0") + ready(status))
    stage.effects.clear()
    return stage


def executed(stage: Stage, text: str) -> None:
    """A client sends all of a statement but its Sync."""
    stage.client(parse("", text) + bind("", "") + wire.execute(""))
    stage.allow()
    stage.allow()


def questions(stage: Stage) -> list[str]:
    return [kinds(effect.data) for effect in stage.effects if isinstance(effect, Own) and effect.kind == "catalog"]


def asks_about(stage: Stage) -> object:
    return stage.asked.action.deeds[0].facts["tests_masked"]


NEXT = parse("n", "SELECT id FROM customers WHERE ssn = 'x'")


@pytest.mark.parametrize("tag", ["SELECT 1", "INSERT 0 1", "SET", "CREATE TABLE"])
def test_behind_an_execute_that_left_its_transaction_open_it_goes_without_a_sync(tag: str) -> None:
    stage = opened()
    executed(stage, "SELECT total FROM orders")
    assert stage.client(NEXT) == [FLUSH]
    assert not questions(stage)
    effects = stage.server(PARSED + BOUND + description(("total", 200, 2)) + complete(tag))
    assert kinds(shown(effects)) == "12C"
    assert questions(stage) == [INSIDE]
    assert asks_about(stage) == {"public.customers.ssn"}


def test_the_client_sees_nothing_of_it_and_the_batch_goes_on() -> None:
    stage = opened()
    executed(stage, "SELECT total FROM orders")
    stage.client(NEXT)
    stage.server(PARSED + BOUND + description(("total", 200, 2)) + row(b"9") + complete("SELECT 1"))
    assert sent(stage.allow()) == NEXT
    stage.client(wire.SYNC)
    effects = stage.server(PARSED + ready())
    assert shown(effects) == PARSED + ready()


def test_of_a_batch_of_which_only_a_parse_was_answered_it_has_a_sync_of_its_own() -> None:
    stage = opened()
    stage.client(parse("a", "SELECT total FROM orders"))
    stage.allow()
    stage.client(wire.describe("S", "a") + NEXT)
    effects = stage.server(PARSED + wire.message(b"t", b"\0\0") + description(("total", 200, 2)))
    assert kinds(shown(effects)) == "1tT", "the question's ReadyForQuery is the gateway's own"
    assert questions(stage) == [SYNCED]
    assert asks_about(stage) == {"public.customers.ssn"}


def test_behind_a_bind_without_its_execute_nothing_is_asked() -> None:
    stage = opened()
    stage.client(parse("", "SELECT total FROM orders") + bind("p", ""))
    stage.allow()
    stage.allow()
    stage.client(NEXT)
    stage.server(PARSED + BOUND + description(("total", 200, 2)))
    assert not questions(stage)
    assert asks_about(stage) == {"*"}


def test_in_a_transaction_of_the_clients_it_goes_without_a_sync_whatever_is_open() -> None:
    stage = opened(b"T")
    stage.client(parse("", "SELECT total FROM orders") + bind("p", ""))
    stage.allow()
    stage.allow()
    stage.client(NEXT)
    stage.server(PARSED + BOUND + description(("total", 200, 2)))
    assert questions(stage) == [INSIDE]
    assert asks_about(stage) == {"public.customers.ssn"}


@pytest.mark.parametrize("tag", ["VACUUM", "CREATE INDEX", "CREATE DATABASE", "ALTER SYSTEM", "DISCARD ALL", "ALTER TABLE"])
def test_behind_what_may_have_ended_the_batchs_transaction_at_once_none_is_begun(tag: str) -> None:
    """VACUUM a; VACUUM b in one batch: a question between them would mark the batch, and the second could not run."""
    stage = opened()
    executed(stage, "SELECT total FROM orders")
    stage.client(NEXT)
    stage.server(PARSED + BOUND + description(("total", 200, 2)) + complete(tag))
    assert INSIDE not in questions(stage)


def test_behind_a_commit_in_the_batch_it_has_a_sync_of_its_own_again() -> None:
    stage = opened(b"T")
    executed(stage, "COMMIT")
    stage.client(NEXT)
    stage.status = b"I"
    stage.server(PARSED + BOUND + NO_ROWS + complete("COMMIT"))
    assert questions(stage) == [SYNCED]
    assert asks_about(stage) == {"public.customers.ssn"}


def test_behind_a_begin_in_the_batch_it_goes_without_one() -> None:
    stage = opened()
    executed(stage, "BEGIN")
    stage.client(NEXT)
    stage.server(PARSED + BOUND + NO_ROWS + complete("BEGIN"))
    assert questions(stage) == [INSIDE]


def test_in_a_failed_transaction_nothing_is_asked_until_it_has_ended() -> None:
    stage = opened(b"T")
    stage.client(wire.query("SELECT 1/0"))
    stage.allow()
    stage.server(error("22012", "division by zero") + ready(b"E"))
    stage.client(NEXT)
    assert not questions(stage)
    assert asks_about(stage) == {"*"}
    stage.refuse()
    stage.client(wire.SYNC)
    stage.server(error("34000", "no portal") + ready(b"E"))
    executed(stage, "ROLLBACK")
    stage.client(NEXT)
    stage.status = b"I"
    stage.server(PARSED + BOUND + NO_ROWS + complete("ROLLBACK"))
    assert questions(stage) == [SYNCED]
    assert asks_about(stage) == {"public.customers.ssn"}


def test_behind_an_error_of_the_batch_nothing_is_asked_and_nothing_decided() -> None:
    stage = opened()
    executed(stage, "SELECT total FROM orders")
    stage.client(NEXT + wire.SYNC)
    asks = [effect for effect in stage.effects if isinstance(effect, Ask)]
    effects = stage.server(PARSED + BOUND + description(("total", 200, 2)) + error("22012", "division by zero"))
    assert kinds(shown(effects)) == "12E"
    assert sent(effects) == wire.SYNC
    assert shown(stage.server(ready())) == ready()
    assert not questions(stage)
    assert [effect for effect in stage.effects if isinstance(effect, Ask)] == asks
    assert answers(stage.effects)[-1] == ("ERROR 22012", 0)


def test_a_question_that_fails_in_a_batch_fails_the_batch_and_what_it_was_about_does_not_go() -> None:
    stage = opened()
    executed(stage, "SELECT total FROM orders")
    stage.client(NEXT + bind("", "n") + wire.execute("") + wire.SYNC)
    stage.catalog_errors = True
    effects = stage.server(PARSED + BOUND + description(("total", 200, 2)) + complete("SELECT 0"))
    assert shown_error(effects)["C"] == "58000"
    assert "permission denied" not in shown_error(effects)["M"]
    assert not [effect for effect in effects if isinstance(effect, ToServer | Ask)]
    assert sent(effects) == wire.SYNC
    assert shown(stage.server(ready())) == ready()
    stage.catalog_errors = False
    stage.client(wire.query("SELECT 1"))
    assert stage.asked.action.reach is Reach.READ


def test_a_cancel_that_hits_a_question_in_a_batch_is_heard_as_a_cancel() -> None:
    stage = opened()
    executed(stage, "SELECT total FROM orders")
    stage.client(NEXT)
    first = PARSED + BOUND + description(("total", 200, 2)) + complete("SELECT 0")
    relay = stage.relay
    relay.feed(FromServer(first))
    effects = relay.feed(FromServer(error("57014", "canceling statement due to user request")))
    assert shown_error(effects)["C"] == "57014"
    assert not [effect for effect in effects if isinstance(effect, ToServer | Ask)]


def test_where_questions_are_not_answered_none_is_asked_in_a_batch() -> None:
    """A role that may not read the catalog: an error there would fail the client's batch each time."""
    stage = Stage(catalog_errors=True).open()
    stage.client(wire.query("SELECT id FROM orders"))
    stage.allow()
    stage.server(complete("SELECT 0") + ready())
    executed(stage, "SELECT total FROM orders")
    stage.effects.clear()
    stage.client(NEXT)
    stage.server(PARSED + BOUND + description(("total", 200, 2)) + complete("SELECT 0"))
    assert not questions(stage)
    assert asks_about(stage) == {"*"}


@pytest.mark.parametrize("lie", [ready(), wire.message(b"V", b"\xff\xff\xff\xff"), wire.message(b"H", b"\0\0\0")])
def test_a_server_that_answers_a_question_in_a_batch_otherwise_ends_the_session(lie: bytes) -> None:
    stage = opened()
    executed(stage, "SELECT total FROM orders")
    stage.client(NEXT)
    relay = stage.relay
    relay.feed(FromServer(PARSED + BOUND + description(("total", 200, 2)) + complete("SELECT 0")))
    effects = relay.feed(FromServer(wire.message(b"3") + lie))
    assert hung_up(effects)


def test_names_that_the_batch_itself_gives_another_meaning_are_asked_about_anew() -> None:
    stage = opened()
    executed(stage, "CREATE TEMP TABLE orders (total text)")
    stage.client(parse("n", "SELECT total || '' FROM orders"))
    stage.server(PARSED + BOUND + NO_ROWS + complete("CREATE TABLE"))
    assert questions(stage) == [INSIDE]
    assert SECRET.encode() not in shown(stage.effects)


def test_a_query_in_an_unsynced_batch_is_asked_about_as_well() -> None:
    stage = opened()
    executed(stage, "SELECT total FROM orders")
    stage.client(wire.query("SELECT id FROM customers WHERE ssn = 'x'"))
    stage.server(PARSED + BOUND + description(("total", 200, 2)) + complete("SELECT 0"))
    assert questions(stage) == [INSIDE]
    assert asks_about(stage) == {"public.customers.ssn"}


# LOCK TABLE first in its transaction: a question may come before it only where the snapshot ends with the question ---------


def texts(stage: Stage) -> list[str]:
    return [question(effect.data) for effect in stage.effects if isinstance(effect, Own) and effect.kind == "catalog"]


def begun(isolation: bytes) -> Stage:
    """A transaction was begun by a Query, and has no snapshot."""
    stage = opened()
    stage.client(wire.query("BEGIN"))
    stage.allow()
    stage.status, stage.isolation = b"T", isolation
    stage.server(complete("BEGIN") + ready(b"T"))
    stage.effects.clear()
    return stage


@pytest.mark.parametrize("isolation", [b"read committed", b"read uncommitted"])
def test_a_lock_that_is_first_is_asked_about_where_each_statement_has_a_snapshot_of_its_own(isolation: bytes) -> None:
    stage = begun(isolation)
    effects = stage.client(wire.query("LOCK TABLE customers"))
    first, second = texts(stage)
    assert first == ISOLATION
    assert '"customers"' in second
    assert not shown(effects)
    assert stage.asked.action.reach is Reach.WRITE
    assert stage.asked.action.deeds[0].resource.name == "public.customers"


@pytest.mark.parametrize("isolation", [b"repeatable read", b"serializable", b"", b"of some other kind"])
def test_where_it_would_take_the_transactions_snapshot_the_level_is_asked_once_and_nothing_else(isolation: bytes) -> None:
    stage = begun(isolation)
    for _ in range(2):
        stage.client(wire.query("LOCK TABLE customers"))
        assert texts(stage) == [ISOLATION]
        assert stage.asked.action.reach is Reach.UNKNOWN
        stage.allow()
        stage.server(complete("LOCK TABLE") + ready(b"T"))


def test_a_level_that_the_client_sets_is_asked_for_anew_and_so_is_that_of_its_next_transaction() -> None:
    stage = begun(b"serializable")
    for text, tag, state, isolation in (
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET", b"T", b"read committed"),
        ("COMMIT AND CHAIN", "COMMIT", b"T", b"repeatable read"),
    ):
        stage.client(wire.query("LOCK TABLE customers"))
        stage.allow()
        stage.server(complete("LOCK TABLE") + ready(b"T"))
        stage.client(wire.query(text))
        stage.allow()
        stage.server(complete(tag) + ready(state))
        stage.isolation = isolation
        stage.relay.feed(Stale())
        stage.effects.clear()
        stage.client(wire.query("LOCK TABLE customers"))
        assert texts(stage)[0] == ISOLATION
        assert (stage.asked.action.reach is Reach.WRITE) is (isolation == b"read committed")
        stage.allow()
        stage.server(complete("LOCK TABLE") + ready(b"T"))


def test_in_a_batch_the_level_is_asked_without_a_sync() -> None:
    stage = opened()
    executed(stage, "BEGIN")
    stage.client(parse("n", "LOCK TABLE customers"))
    stage.server(PARSED + BOUND + NO_ROWS + complete("BEGIN"))
    assert questions(stage) == [INSIDE, INSIDE]
    assert texts(stage)[0] == ISOLATION
    assert stage.asked.action.reach is Reach.WRITE


def test_what_names_no_relation_asks_no_level() -> None:
    stage = begun(b"read committed")
    stage.client(wire.query("SET LOCAL work_mem = '1MB'") + wire.query("LISTEN a"))
    assert not texts(stage)


def test_a_level_that_is_not_answered_leaves_the_lock_unknown_and_the_clients_error_its_own() -> None:
    stage = begun(b"read committed")
    stage.catalog_errors = True
    stage.status = b"E"
    stage.client(wire.query("LOCK TABLE customers"))
    assert stage.asked.action.reach is Reach.UNKNOWN
