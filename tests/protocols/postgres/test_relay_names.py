"""Names that stand for something else by the time they are used: prepared statements, portals, cursors, search_path."""

import pytest
from tests.protocols.postgres.stage import (
    SECRET,
    Stage,
    asked,
    bind,
    complete,
    description,
    error,
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
from gatebook.protocols.relay import Ask, Cancelled, Effect, FromClient, FromServer, Interrupt, Own, Stale, ToServer

EXECUTE = wire.execute("")
PARSED, BOUND, NO_ROWS = wire.message(b"1"), wire.message(b"2"), wire.message(b"n")
EXPRESSION = description(("?column?", 0, 0))


def run(stage: Stage, text: str, tag: str, status: bytes = b"I") -> None:
    stage.client(wire.query(text))
    stage.allow()
    stage.server(complete(tag) + ready(status))


def test_execute_in_a_batch_that_prepares_the_name_anew_is_covered_whole():
    stage = Stage().open()
    run(stage, "PREPARE p AS SELECT 'a' || 'b'", "PREPARE")
    stage.client(parse("", "SELECT 1 FROM customers, orders") + wire.SYNC)  # so that all names are known
    stage.allow()
    stage.server(PARSED + ready())
    for text in ("DEALLOCATE p", "PREPARE p AS SELECT ssn || '' FROM customers"):
        stage.client(parse("", text) + bind("", "") + EXECUTE)
        stage.allow()
        stage.allow()
    stage.client(parse("", "EXECUTE p") + bind("", "") + EXECUTE + wire.SYNC)
    assert stage.asked.action.text.startswith("PREPARE"), "what p stands for is not known before that is answered"
    nothing = PARSED + BOUND + NO_ROWS
    stage.server(nothing + complete("DEALLOCATE") + nothing + complete("PREPARE"))
    assert stage.asked.action.deeds[0].facts["tables"] == {"public.customers"}
    stage.allow()
    stage.server(PARSED)
    stage.allow()
    effects = stage.server(BOUND + EXPRESSION + row(b"odd-secret"))
    assert kinds(shown(effects)) == "2D"
    assert b"odd-secret" not in shown(effects)


def test_a_portal_whose_name_a_cursor_may_have_taken_is_not_executed():
    stage = Stage().open()
    run(stage, "BEGIN", "BEGIN", b"T")
    stage.client(parse("", "SELECT 'a' || 'b' FROM orders") + bind("c", "") + wire.SYNC)
    stage.allow()
    stage.allow()
    stage.server(PARSED + BOUND + EXPRESSION + ready(b"T"))
    stage.client(wire.query("CLOSE c; DECLARE c CURSOR FOR SELECT ssn || '' FROM customers"))
    stage.allow()
    stage.server(complete("CLOSE CURSOR") + complete("DECLARE CURSOR") + ready(b"T"))
    stage.effects.clear()
    stage.client(wire.execute("c"))
    stage.allow()
    assert not any(isinstance(effect, ToServer) for effect in stage.effects)


def test_what_fetch_brings_is_covered_whole_where_no_table_is_named():
    stage = Stage().open()
    run(stage, "BEGIN", "BEGIN", b"T")
    run(stage, "DECLARE d CURSOR FOR SELECT 1 FROM orders", "DECLARE CURSOR", b"T")
    stage.client(wire.query("FETCH c"))
    stage.allow()
    effects = stage.server(EXPRESSION + row(b"odd-secret") + complete("FETCH 1") + ready(b"T"))
    assert b"odd-secret" not in shown(effects)


def test_errors_later_in_a_transaction_that_read_masked_columns_quote_nothing():
    stage = Stage().open()
    run(stage, "BEGIN", "BEGIN", b"T")
    run(stage, "DECLARE c CURSOR WITH HOLD FOR SELECT ssn::int FROM customers", "DECLARE CURSOR", b"T")
    stage.client(wire.query("COMMIT"))
    stage.allow()
    effects = stage.server(error("22P02", 'invalid input syntax for type integer: "odd-secret"') + ready())
    assert b"odd-secret" not in shown(effects)
    stage.client(wire.query("SELECT 1/0"))
    stage.allow()
    effects = stage.server(error("22012", "division by zero") + ready())
    assert shown_error(effects)["M"] == "division by zero"


def test_a_dropped_parse_does_not_give_a_later_one_its_old_meaning():
    stage = Stage().open()
    stage.client(parse("", "SELECT 'a' || 'b'") + wire.SYNC)
    stage.allow()
    stage.server(PARSED + ready())
    stage.client(parse("", "SELECT nope") + wire.SYNC + parse("", "SELECT 'c' || 'd'") + wire.SYNC)
    stage.allow()
    stage.allow()
    stage.server(error("42703", "no such column") + ready() + PARSED + ready())
    stage.client(bind("", ""))
    assert stage.asked.action.text == "SELECT 'c' || 'd'"


def test_names_of_a_later_batch_are_asked_about_once_the_earlier_one_is_answered():
    stage = Stage().open()
    stage.client(parse("", "SELECT 'a' || 'b'") + wire.SYNC + parse("", "SELECT ssn || '' FROM customers WHERE id = 1"))
    stage.allow()
    assert "customers" not in stage.asked.action.text
    stage.server(PARSED + ready())
    assert stage.asked.action.text == "SELECT ssn || '' FROM customers WHERE id = 1"
    assert stage.asked.action.deeds[0].facts["tests_masked"] == frozenset()


def test_what_is_known_of_names_stays_to_the_end_of_a_batch_but_not_twice_as_long():
    stage = Stage().open()
    stage.client(parse("s", "SELECT id FROM customers WHERE id = $1"))
    stage.allow()
    stage.feed(Stale())
    stage.client(bind("", "s"))
    assert stage.asked.action.deeds[0].facts["tests_masked"] == frozenset()
    stage.allow()
    stage.server(PARSED + BOUND)
    stage.feed(Stale())
    stage.client(bind("", "s"))
    stage.server(description(("id", 100, 1)))
    assert stage.asked.action.deeds[0].facts["tests_masked"] == {"*"}, "a portal is open, and no Execute has come"


def test_a_name_is_not_known_between_a_setting_and_its_answer():
    stage = Stage().open()
    stage.client(wire.query("SELECT id FROM orders"))
    stage.allow()
    stage.server(description(("id", 200, 1)) + complete("SELECT 0") + ready())
    stage.client(parse("", "SET search_path = archive") + bind("", "") + EXECUTE)
    stage.allow()
    stage.allow()
    effects = stage.client(parse("", "SELECT total || '' FROM orders") + bind("", "") + EXECUTE)
    assert [effect.kind for effect in effects] == ["flush"]
    effects = stage.server(PARSED + BOUND + NO_ROWS + complete("SET"))
    assert [effect.kind for effect in effects if isinstance(effect, Own)] == ["catalog"]
    assert stage.asked.action.text.startswith("SELECT total")


def test_a_column_that_is_none_may_be_a_call_and_counts_as_unknown():
    stage = Stage().open()
    stage.client(wire.query("SELECT o.wipe FROM orders o"))
    assert stage.asked.action.reach is Reach.UNKNOWN
    assert "may call wipe" in str(stage.asked.action.strictest.facts["why_unknown"])


def test_a_column_of_its_table_is_no_call():
    stage = Stage().open()
    stage.client(wire.query("SELECT o.total, o.ctid FROM orders o"))
    assert stage.asked.action.reach is Reach.READ


def test_a_catalog_question_that_a_late_cancel_hit_is_asked_again():
    stage = Stage().open()
    relay = stage.relay
    first = relay.feed(FromClient(wire.query("SELECT id FROM orders")))
    assert [effect.kind for effect in first] == ["catalog"]
    again = relay.feed(FromServer(error("57014", "canceling statement due to user request") + ready()))
    assert [effect.kind for effect in again] == ["catalog"]


@pytest.mark.parametrize("way", ["query", "batch"])
def test_an_answer_beside_a_setting_that_names_do_not_depend_on_is_shown(way):
    """As asyncpg asks before it looks at types: covered, it would set what it set before to asterisks."""
    stage = Stage().open()
    text = "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new"
    two = description(("cur", 0, 0), ("new", 0, 0))
    if way == "query":
        stage.client(wire.query(text))
        stage.allow()
        effects = stage.server(two + row(b"on", b"off") + complete("SELECT 1") + ready())
    else:
        stage.client(parse("", text) + bind("", "") + EXECUTE + wire.SYNC)
        stage.allow()
        stage.allow()
        effects = stage.server(PARSED + BOUND + two + row(b"on", b"off") + complete("SELECT 1") + ready())
    assert row(b"on", b"off") in shown(effects)


def test_an_answer_beside_a_setting_that_moves_names_is_covered():
    stage = Stage().open()
    stage.client(wire.query("SELECT lower('ON'), set_config('search_path', 'x', false), set_config('jit', 'off', false)"))
    stage.allow()
    effects = stage.server(
        description(("cur", 0, 0), ("a", 0, 0), ("b", 0, 0)) + row(b"on", b"x", b"off") + complete("SELECT 1") + ready()
    )
    assert row(b"****", b"****", b"****") in shown(effects)


def test_an_update_of_the_servers_settings_moves_names_behind_it():
    stage = Stage().open()
    stage.client(wire.query("UPDATE pg_settings SET setting = 'other' WHERE name = 'search_path'; SELECT total FROM orders"))
    assert "sql.unknown" in {deed.verb for deed in stage.asked.action.deeds}


TIMEOUT = error("57014", "canceling statement due to statement timeout")


def asking(text="SELECT id FROM orders", status=b"I"):
    """A relay whose question to the catalog is on its way, on behalf of this Query."""
    stage = Stage().open()
    if status == b"T":
        run(stage, "BEGIN", "BEGIN", status)
    effects = stage.relay.feed(FromClient(wire.query(text)))
    assert [effect.kind for effect in effects] == ["catalog"]
    return stage.relay


def fails_with(relay, effects, status=b"I"):
    """The report that its client gets, after the server refused what cannot run; nothing of the client's was sent."""
    assert [(effect.kind, effect.data) for effect in effects] == [("refusal", wire.execute(SECRET) + wire.SYNC)]
    said = relay.feed(FromServer(error("34000", "no such portal") + ready(status)))
    assert kinds(shown(said)) == "EZ"
    return shown_error(said)


def test_a_timeout_shorter_than_any_question_is_told_and_not_tried_for_ever():
    relay = asking()
    again = relay.feed(FromServer(TIMEOUT + ready()))
    assert [effect.kind for effect in again] == ["catalog"]
    assert fails_with(relay, relay.feed(FromServer(TIMEOUT + ready())))["C"] == "57014"
    (next_one,) = relay.feed(FromClient(wire.query("SELECT 1")))
    assert next_one.kind == "catalog"


def test_a_timeout_that_fails_the_clients_transaction_is_what_its_statement_fails_with():
    relay = asking(status=b"T")
    found = fails_with(relay, relay.feed(FromServer(TIMEOUT + ready(b"E"))), b"E")
    assert (found["C"], found["M"]) == ("57014", "canceling statement due to statement timeout")


def test_a_cancel_while_the_catalog_is_asked_ends_the_statement_that_it_is_asked_for():
    relay = asking()
    assert [type(effect) for effect in relay.feed(Cancelled())] == [Interrupt]
    assert fails_with(relay, relay.feed(FromServer(error("57014", "canceling") + ready())))["C"] == "57014"


def test_a_cancel_that_ends_a_question_fails_the_rest_of_the_batch():
    stage = Stage().open()
    relay = stage.relay
    relay.feed(FromClient(parse("", "SELECT id FROM orders") + bind("", "") + wire.execute("") + wire.SYNC))
    relay.feed(Cancelled())
    effects = relay.feed(FromServer(error("57014", "canceling") + ready()))
    assert sent(effects) == wire.execute(SECRET) + wire.SYNC
    assert kinds(shown(relay.feed(FromServer(error("34000", "no such portal") + ready())))) == "EZ"


def test_what_the_server_remarks_on_a_question_of_the_gateways_own_is_not_shown():
    relay = asking()
    remark, warning = (wire.message(b"N", error("00000", "x", S=one, V=one)[5:]) for one in ("DEBUG", "WARNING"))
    assert relay.feed(FromServer(remark)) == []
    assert shown(relay.feed(FromServer(warning))) == warning


def test_a_text_that_sets_and_then_names_is_covered_whole_and_moves_nothing():
    stage = Stage().open()
    stage.client(wire.query("SET search_path = archive; INSERT INTO orders SELECT id FROM customers"))
    assert any(deed.facts["moves_masked"] for deed in stage.asked.action.deeds)


def test_a_rollback_to_a_savepoint_makes_names_unknown_as_long_as_a_setting_may_come_back():
    stage = Stage().open()
    run(stage, "BEGIN", "BEGIN", b"T")
    run(stage, "SET LOCAL search_path = archive", "SET", b"T")
    run(stage, "SAVEPOINT a", "SAVEPOINT", b"T")
    run(stage, "ROLLBACK TO a", "ROLLBACK", b"T")
    stage.client(wire.query("SELECT id FROM orders"))
    stage.allow()
    stage.server(description(("id", 200, 1)) + complete("SELECT 0") + ready(b"T"))
    run(stage, "COMMIT", "COMMIT")
    assert not stage.relay._answers.catalog.by_name


def test_a_portal_is_covered_by_what_names_meant_when_it_was_bound():
    stage = Stage().open()
    run(stage, "BEGIN", "BEGIN", b"T")
    stage.client(parse("", "SELECT ssn || '' FROM customers") + bind("p", "") + EXECUTE.replace(b"\0", b"p\0", 0))
    stage.allow()
    stage.allow()
    stage.client(wire.SYNC)
    stage.server(PARSED + BOUND + EXPRESSION)
    assert sent(stage.effects)
    portal = stage.relay._answers.portals["p"]
    assert portal.covers is not None
    assert portal.covers[0].whole


def test_what_people_may_be_asked_about_is_bound_to_where_a_new_name_would_land() -> None:
    stage = Stage().open()
    stage.client(wire.query("CREATE TABLE invoices (id int)"))
    assert stage.asked.action.search_path == "public"


def test_a_yes_to_execute_would_be_a_yes_to_whatever_is_prepared_then() -> None:
    stage = Stage().open()
    stage.client(wire.query("PREPARE p AS DELETE FROM notes WHERE id = $1"))
    stage.allow()
    stage.server(complete("PREPARE") + ready())
    stage.client(wire.query("EXECUTE p(7)"))
    assert "send the statement itself" in stage.asked.fault


def test_a_yes_to_current_of_would_be_a_yes_to_any_row() -> None:
    stage = Stage().open()
    stage.client(wire.query("DELETE FROM notes WHERE CURRENT/**/OF c"))
    assert "name the row by its key" in stage.asked.fault


def test_what_bytes_mean_is_part_of_what_is_asked() -> None:
    stage = Stage().open()
    stage.client(parse("p", "DELETE FROM notes WHERE id = $1"))
    stage.allow()
    values = wire.Struct("!HHHI4sH")
    asked = []
    for form in (0, 1):
        body = b"\0p\0" + values.pack(1, form, 1, 4, b"1000", 0)
        stage.client(wire.message(b"B", body))
        asked.append(stage.asked.action)
        stage.refuse()
        stage.client(wire.message(b"S", b""))
    assert [one.parameters for one in asked] == [(b"1000",), (b"1000",)]
    assert [one.forms for one in asked] == [("text 0",), ("binary 0",)]


def test_settings_that_say_what_a_literal_means_are_part_of_what_is_asked() -> None:
    stage = Stage().open()
    stage.server(wire.message(b"S", b"TimeZone\0UTC\0") + wire.message(b"S", b"DateStyle\0ISO, DMY\0"))
    stage.client(wire.query("DELETE FROM notes WHERE at < '06/01/2026'"))
    assert stage.asked.action.settings == "DateStyle=ISO, DMY\nTimeZone=UTC"


def test_nobody_is_asked_about_what_stands_behind_a_setting_in_the_same_batch() -> None:
    for setting in ("SET search_path = archive", "SET datestyle = 'SQL, DMY'", "SELECT somebodys_function()"):
        stage = Stage().open()
        run(stage, "SELECT id FROM orders", "SELECT 0")
        stage.client(parse("", setting) + bind("", "") + EXECUTE)
        stage.allow()
        stage.allow()
        stage.client(parse("", "DELETE FROM orders WHERE id = 1") + bind("", "") + EXECUTE)
        stage.catalog_errors = True
        effects = stage.server(PARSED + BOUND + NO_ROWS + complete("SET"))
        assert shown_error(effects)["C"] == "58000"
        assert not [effect for effect in effects if isinstance(effect, Ask)]


def test_what_stands_behind_a_setting_in_the_same_batch_is_asked_about_by_what_was_set() -> None:
    for setting in ("SET search_path = archive", "SET datestyle = 'SQL, DMY'", "SELECT somebodys_function()"):
        stage = Stage(settings="DateStyle=ISO, MDY\nIntervalStyle=postgres\nTimeZone=UTC\ncurrent_user=a").open()
        run(stage, "SELECT id FROM orders", "SELECT 0")
        stage.client(parse("", setting) + bind("", "") + EXECUTE)
        stage.allow()
        stage.allow()
        stage.client(parse("", "DELETE FROM orders WHERE id = 1") + bind("", "") + EXECUTE)
        stage.settings = stage.settings.replace("ISO, MDY", "SQL, DMY")
        stage.server(PARSED + BOUND + NO_ROWS + complete("SET"))
        stage.allow()
        assert stage.asked.action.step == "run"
        assert "DateStyle=SQL, DMY" in stage.asked.action.settings
        assert not stage.asked.fault


@pytest.mark.parametrize("before", ["SHOW server_version", "SET datestyle = ISO"])
def test_a_write_behind_a_begin_of_the_same_batch_can_be_asked_about(before: str) -> None:
    stage = Stage().open()
    run(stage, before, before.split()[0])
    stage.client(parse("", "BEGIN") + bind("", "") + EXECUTE + parse("", "DELETE FROM orders WHERE id = 1") + bind("", ""))
    stage.allow()
    stage.allow()
    stage.server(PARSED + BOUND + NO_ROWS + complete("BEGIN"))
    stage.allow()
    assert stage.asked.action.text.startswith("DELETE")
    assert stage.asked.action.search_path == "public"
    assert not stage.asked.fault


def test_a_yes_is_for_the_settings_by_which_the_literals_were_read() -> None:
    stage = Stage().open()
    stage.server(wire.message(b"S", b"DateStyle\0ISO, DMY\0"))
    stage.client(parse("p", "DELETE FROM notes WHERE at < '06/01/2026'") + wire.SYNC)
    stage.allow()
    stage.server(PARSED + ready())
    stage.client(wire.query("SET datestyle = 'ISO, MDY'"))
    stage.allow()
    stage.server(complete("SET") + wire.message(b"S", b"DateStyle\0ISO, MDY\0") + ready())
    stage.client(bind("", "p"))
    assert "DateStyle=ISO, MDY" in stage.asked.action.settings
    assert "prepare it again" in stage.asked.fault


def test_settings_that_the_server_does_not_report_are_asked_for_and_part_of_what_is_asked() -> None:
    stage = Stage(settings="transform_null_equals=on").open()
    stage.client(wire.query("DELETE FROM notes WHERE at = NULL"))
    assert "transform_null_equals=on" in stage.asked.action.settings


def test_a_function_that_somebody_wrote_may_have_set_the_search_path() -> None:
    stage = Stage().open()
    run(stage, "SELECT id FROM orders", "SELECT 0")
    run(stage, "SELECT somebodys_function()", "SELECT 1")
    effects = stage.client(wire.query("SELECT id FROM orders"))
    assert [effect.kind for effect in effects if isinstance(effect, Own)] == ["catalog"]


def test_settings_are_known_from_the_login_on() -> None:
    stage = Stage(reports=wire.message(b"S", b"TimeZone\0Asia/Tokyo\0")).open()
    stage.client(wire.query("DELETE FROM notes WHERE at < '06/01/2026'"))
    assert stage.asked.action.settings == "TimeZone=Asia/Tokyo"


def test_a_call_that_the_catalog_tells_of_may_have_set_the_search_path_too() -> None:
    stage = Stage().open()
    stage.client(wire.query("SELECT o.wipe FROM orders o"))
    stage.allow()
    stage.server(description(("wipe", 0, 0)) + row(b"x") + complete("SELECT 1") + ready())
    assert not stage.relay._answers.catalog.search_path


class Intricate(Stage):
    """A target that says of customers that it is no plain table, whenever it is asked about plain ones."""

    def _look_up(self, data: bytes) -> list[Effect]:
        text = question(data)
        if "'w'" not in text:
            return super()._look_up(data)
        rows = row(b"s", b"0", b"0", b"0", b"", b"public", b"")
        rows += row(b"w", b"0", b"100", b"0", b"", b"", b"") if '"customers"' in text else b""
        return self.feed(FromServer(asked(rows)))

    @property
    def plain(self) -> list[bool]:
        """Of each question whether it was about plain tables."""
        return ["'w'" in question(one.data) for one in self.effects if isinstance(one, Own) and one.kind == "catalog"]


def test_what_is_no_plain_table_is_asked_about_whole_and_at_once_so_the_next_time():
    stage = Intricate().open()
    run(stage, "SELECT ssn FROM customers", "SELECT 0")
    assert stage.asked.action.deeds[0].facts["tables"] == {"public.customers"}
    assert stage.plain == [True, False]
    run(stage, "CREATE INDEX ON elsewhere (a)", "CREATE INDEX")
    stage.effects.clear()
    run(stage, "SELECT ssn FROM customers", "SELECT 0")
    assert stage.asked.action.deeds[0].facts["tables"] == {"public.customers"}
    assert stage.plain == [False], "it still is none, most likely"
    stage.feed(Stale())
    stage.effects.clear()
    run(stage, "SELECT ssn FROM customers", "SELECT 0")
    assert stage.plain == [True, False]


def test_a_target_that_says_nothing_else_of_a_name_is_not_asked_for_ever():
    class Evasive(Intricate):
        def _look_up(self, data: bytes) -> list[Effect]:
            rows = row(b"s", b"0", b"0", b"0", b"", b"public", b"") + row(b"w", b"0", b"100", b"0", b"", b"", b"")
            return self.feed(FromServer(asked(rows)))

    stage = Evasive().open()
    stage.client(wire.query("SELECT ssn || 'x' FROM customers"))
    assert stage.plain == [True, False]
    stage.allow()
    effects = stage.server(EXPRESSION + row(b"odd-secret") + complete("SELECT 1") + ready())
    assert b"odd-secret" not in shown(effects)
