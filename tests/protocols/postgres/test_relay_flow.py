"""What waits for what: requests behind answers that the server would keep back."""

from tests.protocols.postgres.stage import Stage, complete, error, kinds, parse, ready, sent, shown

from gatebook.protocols.postgres import wire

QUERY = wire.query("SELECT 1")


def test_a_query_behind_an_unsynced_parse_asks_the_server_for_what_it_owes():
    stage = Stage().open()
    stage.client(parse("", "SELECT 1"))
    stage.allow()
    effects = stage.client(QUERY)
    assert kinds(sent(effects)) == "H"
    stage.server(wire.message(b"1"))
    assert sent(stage.allow()) == QUERY
    assert kinds(shown(stage.server(complete("SELECT 1") + ready()))) == "CZ"


def test_a_waiting_query_asks_the_server_once():
    stage = Stage().open()
    stage.client(parse("", "SELECT 1"))
    stage.allow()
    stage.client(QUERY)
    assert sent(stage.client(QUERY)) == b""


def test_a_query_behind_a_parse_that_fails_is_skipped_as_the_server_skips_it():
    stage = Stage().open()
    stage.client(parse("", "SELECT 1"))
    stage.allow()
    stage.client(QUERY)
    assert kinds(shown(stage.server(error("42601", "syntax error")))) == "E"
    effects = stage.client(wire.SYNC)
    assert sent(effects) == wire.SYNC
    assert kinds(shown(stage.server(ready()))) == "Z"
