"""The relay as a playbook: these signals, those effects. The server and the gateway are played by hand (stage.py)."""

import json
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.stage import (
    COVERING,
    KEYS,
    SECRET,
    SESSION,
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
    proves,
    ready,
    row,
    sent,
    shown,
    shown_error,
)

from gatebook.model import Reach, RefusalClass, Ruling, Verdict
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.relay import OWN, PostgresRelay
from gatebook.protocols.relay import (
    Ask,
    Cancel,
    Cancelled,
    Credential,
    Ended,
    FromClient,
    HangUp,
    Interrupt,
    Opened,
    Own,
    Refused,
    Side,
    Stale,
    StartTls,
    ToClient,
    ToServer,
)

EXECUTE = wire.execute("")
BAD_EXECUTE = wire.execute(SECRET)


def relay(**kwargs):
    return PostgresRelay(**({"secure": True, "offers_tls": False, "keys": KEYS, "secret": SECRET} | kwargs))


# The beginning


def test_tls_is_the_gateways_own_answer_and_nothing_goes_to_the_server():
    assert relay(offers_tls=True).feed(FromClient(wire.ssl_request())) == [StartTls(b"S")]
    assert relay(offers_tls=False).feed(FromClient(wire.ssl_request())) == [ToClient(b"N")]


def test_bytes_behind_an_ssl_request_end_the_connection():
    effects = relay(offers_tls=True).feed(FromClient(wire.ssl_request() + b"x"))
    assert "1 bytes came behind an SSLRequest" in hung_up(effects)
    assert not any(isinstance(effect, StartTls) for effect in effects)


def test_a_token_is_not_asked_for_where_it_could_be_read_on_its_way():
    effects = relay(secure=False).feed(FromClient(wire.startup({"user": "a", "database": "shop"})))
    assert shown_error(effects)["C"] == "08P01"
    assert "connect with TLS" in hung_up(effects)
    assert b"R" not in {kind for kind, _ in messages(shown(effects))}


def test_after_tls_the_token_is_asked_for():
    one = relay(secure=False, offers_tls=True)
    one.feed(FromClient(wire.ssl_request()))
    assert one.feed(FromClient(wire.startup({"user": "a", "database": "shop"}))) == [ToClient(wire.ASK_PASSWORD)]


def test_the_database_names_target_and_database_and_the_token_stays_out_of_reprs():
    one = relay()
    one.feed(FromClient(wire.startup({"user": "reader", "database": "shop/archive"})))
    prove = proves(one.feed(FromClient(wire.message(b"p", b"tok-en\0"))))
    assert (prove.token, prove.target, prove.database, prove.role) == ("tok-en", "shop", "archive", "reader")
    assert "tok-en" not in repr(prove)


def test_a_refused_identity_is_told_why_and_hung_up_on():
    one = relay()
    one.feed(FromClient(wire.startup({"user": "a", "database": "shop"})))
    one.feed(FromClient(wire.message(b"p", b"t\0")))
    verdict = Verdict(ruling=Ruling.BLOCK, rule="no-identity", reason="the token expired", policy_digest="")
    effects = one.feed(Refused(None, verdict, RefusalClass.ASK, "d-1"))
    assert shown_error(effects)["C"] == "28P01"
    assert "the token expired" in shown_error(effects)["M"]
    assert hung_up(effects)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"database": "shop"}, "names no user"),
        ({"user": "a", "replication": "database"}, "replication"),
        ({"user": "a", "client_encoding": "LATIN1"}, "PGCLIENTENCODING=UTF8"),
        ({"user": "a", "options": "--nope"}, "has no value"),
        ({"user": "a", "options": "-x 3"}, "is not carried"),
    ],
)
def test_startup_packets_that_cannot_be_served_are_answered_in_words(parameters, why):
    effects = relay().feed(FromClient(wire.startup(parameters)))
    assert why in shown_error(effects)["M"]
    assert hung_up(effects)


def test_settings_of_the_startup_packet_are_decided_like_set():
    stage = Stage()
    options = "-c session_replication_role=replica"
    stage.feed(FromClient(wire.startup({"user": "shop-agent", "database": "shop", "options": options})))
    stage.feed(FromClient(wire.message(b"p", b"t\0")))
    effects = stage.feed(Opened(SESSION, Credential("shop_app", "pw", "shop", login="none"), COVERING))
    assert stage.asked.action.verb == "sql.setting"
    assert sent(effects) == b""
    assert hung_up(stage.refuse())


def test_the_login_pins_how_statements_are_read_and_tags_the_session():
    stage = Stage()
    stage.feed(FromClient(wire.startup({"user": "shop-agent", "database": "shop", "application_name": "psql"})))
    stage.feed(FromClient(wire.message(b"p", b"t\0")))
    effects = stage.feed(Opened(SESSION, Credential("shop_app", "pw", "shop", login="none"), COVERING))
    frames = wire.Frames(10**6)
    frames.add(sent(effects))
    packet = frames.packet()
    assert packet is not None
    parameters = wire.startup_parameters(packet)
    assert parameters["standard_conforming_strings"] == "on"
    assert parameters["client_encoding"] == "UTF8"
    assert parameters["application_name"] == f"gatebook:{SESSION.id} psql"
    assert parameters["user"] == "shop_app"
    assert b"pw" not in sent(effects)


def test_the_servers_cancel_key_never_reaches_the_client():
    stage = Stage()
    stage.feed(FromClient(wire.startup({"user": "shop-agent", "database": "shop"})))
    stage.feed(FromClient(wire.message(b"p", b"t\0")))
    stage.feed(Opened(SESSION, Credential("shop_app", "pw", "shop", login="none"), COVERING))
    effects = stage.server(wire.AUTHENTICATED + wire.message(b"K", b"srvrkey!") + ready())
    assert kinds(shown(effects)) == "RKZ"
    assert b"12345678" in shown(effects)
    assert b"srvrkey!" not in shown(effects)


def test_a_server_that_reads_strings_otherwise_is_hung_up_on():
    stage = Stage().open()
    effects = stage.server(wire.message(b"S", b"standard_conforming_strings\0off\0"))
    assert "standard_conforming_strings" in hung_up(effects)


# Queries


def test_a_query_moves_only_with_its_permit():
    stage = Stage().open()
    effects = stage.client(wire.query("SHOW server_version"))
    assert [type(effect) for effect in effects] == [Ask]
    assert sent(stage.allow()) == wire.query("SHOW server_version")


def test_a_masked_column_is_covered_under_any_alias():
    stage = Stage().open()
    stage.client(wire.query("SELECT id, ssn AS harmless FROM customers"))
    stage.allow()
    effects = stage.server(
        description(("id", 100, 1), ("harmless", 100, 2)) + row(b"1", b"123-45-6789") + complete("SELECT 1") + ready()
    )
    assert kinds(shown(effects)) == "TDCZ"
    assert b"123-45-6789" not in shown(effects)
    assert wire.data_row(messages(shown(effects))[1][1])[0] == b"1"
    assert answers(effects) == [("SELECT 1", 1)]


def test_a_column_of_a_table_the_catalog_did_not_name_is_covered_whole():
    stage = Stage().open()
    stage.client(wire.query("SELECT id FROM customers"))
    stage.allow()
    effects = stage.server(description(("id", 999, 1)) + row(b"plain") + complete("SELECT 1") + ready())
    assert b"plain" not in shown(effects)


def test_when_the_catalog_cannot_be_asked_everything_is_covered_whole():
    stage = Stage(catalog_errors=True).open()
    stage.client(wire.query("SELECT id FROM customers"))
    stage.allow()
    effects = stage.server(description(("id", 100, 1)) + row(b"plain") + complete("SELECT 1") + ready())
    assert b"plain" not in shown(effects)


def test_a_column_by_a_name_no_table_has_may_be_a_call_and_is_covered():
    stage = Stage().open()
    stage.client(wire.query("SELECT c.reveal FROM customers c"))
    stage.allow()
    effects = stage.server(description(("reveal", 0, 0)) + row(b"odd-secret") + complete("SELECT 1") + ready())
    assert b"odd-secret" not in shown(effects)


def test_a_whole_row_of_a_table_with_a_masked_column_is_covered_whole():
    stage = Stage().open()
    stage.client(wire.query("SELECT c FROM customers c"))
    stage.allow()
    effects = stage.server(description(("c", 100, 0)) + row(b"(1,odd-secret)") + complete("SELECT 1") + ready())
    assert b"odd-secret" not in shown(effects)


def test_an_expression_over_a_masked_column_is_covered_and_one_over_others_is_not():
    stage = Stage().open()
    stage.client(wire.query("SELECT upper(ssn), count(*), id + 1 FROM customers GROUP BY 1, 3"))
    stage.allow()
    columns = description(("upper", 0, 0), ("count", 0, 0), ("?column?", 0, 0))
    effects = stage.server(columns + row(b"secret", b"7", b"8") + complete("SELECT 1") + ready())
    assert wire.data_row(messages(shown(effects))[1][1])[1:] == [b"7", b"8"]
    assert b"secret" not in shown(effects)


def test_the_answer_is_masked_with_the_permit_of_its_own_question():
    stage = Stage().open()
    stage.client(wire.query("SELECT ssn FROM customers") + wire.query("SELECT total FROM orders"))
    stage.allow()
    one = description(("ssn", 100, 2)) + row(b"secret") + complete("SELECT 1") + ready()
    two = description(("total", 200, 2)) + row(b"10") + complete("SELECT 1") + ready()
    first = stage.server(one)
    assert b"secret" not in shown(first)
    stage.allow()
    assert b"10" in shown(stage.server(two))


def test_a_second_query_waits_until_the_first_is_answered():
    stage = Stage().open()
    stage.client(wire.query("SELECT 1"))
    stage.allow()
    assert stage.client(wire.query("SELECT 2")) == []
    assert not stage.relay.hungry
    effects = stage.server(complete("SELECT 1") + ready())
    assert [effect.action.text for effect in effects if isinstance(effect, Ask)] == ["SELECT 2"]


def test_a_refused_query_never_reaches_the_server_and_its_error_is_real():
    stage = Stage().open()
    stage.client(wire.query("DELETE FROM orders"))
    effects = stage.refuse("no-delete-without-where")
    assert sent(effects) == BAD_EXECUTE + wire.SYNC
    assert shown(effects) == b""
    effects = stage.server(error("34000", f'portal "{SECRET}" does not exist') + ready(b"E"))
    assert kinds(shown(effects)) == "EZ"
    fields = shown_error(effects)
    assert fields["C"] == "42501"
    assert fields["M"] == "blocked by no-delete-without-where: not here"
    detail = json.loads(fields["D"])
    assert detail["rule"] == "no-delete-without-where"
    assert detail["class"] == "never"
    assert detail["decision"] == "decision-1"
    assert fields["H"]
    assert SECRET.encode() not in shown(effects)
    assert shown(effects).endswith(ready(b"E"))


def test_an_error_other_than_the_expected_one_is_shown_as_it_is():
    stage = Stage().open()
    stage.client(wire.query("DELETE FROM orders"))
    stage.refuse()
    effects = stage.server(error("57P01", "terminating connection due to administrator command"))
    assert shown_error(effects)["C"] == "57P01"


def test_rows_in_answer_to_the_execute_that_must_fail_end_the_session():
    stage = Stage().open()
    stage.client(wire.query("DELETE FROM orders"))
    stage.refuse()
    effects = stage.server(row(b"leak"))
    assert hung_up(effects)
    assert b"leak" not in shown(effects)


# Extended protocol


def test_parse_and_bind_are_asked_for_and_execute_goes_under_the_binds_permit():
    stage = Stage().open()
    stage.client(parse("", "SELECT ssn FROM customers WHERE id = $1") + bind("", "", b"1") + EXECUTE + wire.SYNC)
    assert stage.asked.action.step == "prepare"
    assert kinds(sent(stage.allow())) == "P"
    assert stage.asked.action.step == "run"
    assert stage.asked.action.parameters == (b"1",)
    effects = stage.allow()
    assert kinds(sent(effects)) == "BDES"
    effects = stage.server(
        wire.message(b"1") + wire.message(b"2") + description(("ssn", 100, 2)) + row(b"secret") + complete("SELECT 1") + ready()
    )
    assert kinds(shown(effects)) == "12DCZ"
    assert b"secret" not in shown(effects)


def test_an_execute_long_after_its_bind_is_asked_for_again():
    stage = Stage().open()
    stage.client(parse("s", "SELECT 1"))
    stage.allow()
    stage.client(bind("p", "s") + wire.message(b"H"))
    stage.allow()
    stage.feed(Stale())
    effects = stage.client(wire.execute("p"))
    assert [effect.action.seq for effect in effects if isinstance(effect, Ask)] == [3]
    assert sent(effects) == b""


def test_a_second_execute_of_a_portal_is_asked_for():
    stage = Stage().open()
    stage.client(parse("", "SELECT 1") + bind("", "") + EXECUTE + EXECUTE)
    stage.allow()
    effects = stage.allow()
    assert kinds(sent(effects)) == "BDE"
    assert stage.asked.action.seq == 3


def test_a_refused_parse_aborts_its_batch_exactly_as_an_error_would():
    stage = Stage().open()
    stage.client(parse("", "DROP TABLE orders") + bind("", "") + EXECUTE + wire.SYNC + wire.query("SELECT 1"))
    effects = stage.refuse()
    assert kinds(sent(effects)) == "ES"
    assert b"DROP" not in sent(effects)
    assert len([effect for effect in stage.effects if isinstance(effect, Ask)]) == 1
    effects = stage.server(error("34000", "portal does not exist") + ready())
    assert kinds(shown(effects)) == "EZ"
    assert stage.asked.action.text == "SELECT 1"


def test_a_refusal_in_the_middle_of_a_pipeline_keeps_what_came_before_and_after_its_sync():
    stage = Stage().open()
    first = parse("", "INSERT INTO orders VALUES (1)") + bind("", "") + EXECUTE
    second = parse("", "DELETE FROM orders") + bind("", "") + EXECUTE + wire.SYNC
    third = parse("", "SELECT 1") + bind("", "") + EXECUTE + wire.SYNC
    stage.client(first + second + third)
    stage.allow()
    stage.allow()
    stage.refuse()
    stage.allow()
    stage.allow()
    to_server = sent(stage.effects)
    assert b"DELETE" not in to_server
    assert kinds(to_server) == "PBDE" + "ES" + "PBDES"
    parsed, bound = wire.message(b"1"), wire.message(b"2")
    before = parsed + bound + wire.message(b"n") + complete("INSERT 0 1") + error("34000", "no portal") + ready()
    after = parsed + bound + description(("?column?", 0, 0)) + row(b"1") + complete("SELECT 1") + ready()
    effects = stage.server(before + after)
    assert kinds(shown(effects)) == "12CEZ12DCZ"


def test_what_the_server_skips_after_an_error_is_not_waited_for():
    stage = Stage().open()
    stage.client(parse("", "SELECT 1/0") + bind("", "") + EXECUTE + wire.SYNC)
    stage.allow()
    stage.allow()
    effects = stage.server(wire.message(b"1") + error("22012", "division by zero") + ready())
    assert kinds(shown(effects)) == "1EZ"
    assert answers(effects) == [("SKIPPED", 0)]
    assert sent(stage.client(wire.query("SELECT 1"))) == b""
    assert stage.asked.action.text == "SELECT 1"


def test_a_failed_parse_leaves_the_name_to_the_statement_that_had_it():
    stage = Stage().open()
    stage.client(parse("s", "SELECT ssn FROM customers") + wire.SYNC)
    stage.allow()
    stage.server(wire.message(b"1") + ready())
    stage.client(parse("s", "SELECT 1") + wire.SYNC)
    stage.allow()
    stage.server(error("42P05", "prepared statement already exists") + ready())
    stage.client(bind("", "s"))
    assert stage.asked.action.text == "SELECT ssn FROM customers"


def test_a_failed_bind_leaves_the_portal_with_its_own_masks():
    stage = Stage().open()
    stage.client(parse("a", "SELECT ssn FROM customers") + bind("p", "a") + wire.message(b"H"))
    stage.allow()
    stage.allow()
    stage.server(wire.message(b"1") + wire.message(b"2") + description(("ssn", 100, 2)))
    stage.client(parse("b", "SELECT 1") + bind("p", "b"))
    stage.allow()
    stage.allow()
    stage.server(wire.message(b"1") + error("42P03", "cursor already exists"))
    stage.client(wire.SYNC)
    stage.server(ready(b"T"))
    stage.effects.clear()
    stage.client(wire.execute("p"))
    effects = stage.server(row(b"secret") + complete("SELECT 1"))
    assert [effect.permit.action.text for effect in stage.effects if isinstance(effect, ToServer)] == [
        "SELECT ssn FROM customers"
    ]
    assert kinds(shown(effects)) == "DC"
    assert b"secret" not in shown(effects)


def test_a_name_that_the_server_would_cut_is_refused():
    stage = Stage().open()
    assert "name of 64 bytes" in hung_up(stage.client(parse("n" * 64, "SELECT 1")))


def test_a_parsed_execute_is_read_again_when_it_is_bound():
    stage = Stage().open()
    stage.client(wire.query("PREPARE d AS SELECT 1"))
    stage.allow()
    stage.server(complete("PREPARE") + ready())
    stage.client(parse("s", "EXECUTE d") + wire.SYNC)
    stage.allow()
    stage.server(wire.message(b"1") + ready())
    stage.client(wire.query("DEALLOCATE d"))
    stage.allow()
    stage.server(complete("DEALLOCATE") + ready())
    stage.client(wire.query("PREPARE d AS DELETE FROM orders"))
    stage.allow()
    stage.server(complete("PREPARE") + ready())
    stage.client(bind("", "s"))
    assert "sql.delete" in {deed.verb for deed in stage.asked.action.deeds}


def test_a_statement_nobody_prepared_is_unknown():
    stage = Stage().open()
    stage.client(bind("", "ghost"))
    assert stage.asked.action.reach is Reach.UNKNOWN


def test_a_portal_nobody_bound_is_never_executed_even_when_allowed():
    stage = Stage().open()
    stage.client(wire.execute("cursor_of_declare"))
    assert stage.asked.action.reach is Reach.UNKNOWN
    effects = stage.allow()
    assert sent(effects) == BAD_EXECUTE
    assert answers(effects) == [("NOT CARRIED", 0)]
    assert shown_error(stage.server(error("34000", "x")))["C"] == "34000"  # as of one that its transaction closed


def test_a_function_call_message_is_decided_and_not_carried():
    stage = Stage().open()
    stage.client(wire.message(b"F", struct.pack("!IHHH", 1, 0, 0, 0)))
    assert stage.asked.action.reach is Reach.UNKNOWN
    assert sent(stage.allow()) == BAD_EXECUTE + wire.SYNC


@pytest.mark.parametrize("text", ["COPY orders TO STDOUT (ENCODING 'latin1')", "COPY orders FROM STDIN (FORMAT 'json')"])
def test_a_copy_that_cannot_be_covered_is_decided_and_then_refused_in_words(text):
    stage = Stage().open()
    stage.client(wire.query(text))
    effects = stage.allow()
    assert sent(effects) == BAD_EXECUTE + wire.SYNC
    effects = stage.server(error("34000", "x") + ready())
    assert "is not carried" in shown_error(effects)["M"]


PINNED = [
    ("SET client_encoding = 'LATIN1'", "client_encoding stays UTF8"),
    ("SET NAMES 'SJIS'", "client_encoding stays UTF8"),
    ("SELECT 1; SET LOCAL Client_Encoding TO 'BIG5'", "client_encoding stays UTF8"),
    ("SET standard_conforming_strings = off", "standard_conforming_strings stays on"),
]


@pytest.mark.parametrize(("text", "why"), PINNED)
def test_a_setting_that_stays_as_it_is_is_refused_in_words_and_the_session_goes_on(text, why):
    stage = Stage().open()
    stage.client(wire.query(text))
    effects = stage.allow()
    assert sent(effects) == BAD_EXECUTE + wire.SYNC
    assert why in shown_error(stage.server(error("34000", "x") + ready()))["M"]
    stage.client(parse("", text))
    assert sent(stage.allow()) == BAD_EXECUTE


@pytest.mark.parametrize(
    "text", ["RESET client_encoding", "SET NAMES 'utf8'", "ALTER ROLE shop_app SET client_encoding = 'LATIN1'"]
)
def test_what_leaves_the_pinned_settings_as_they_are_is_carried(text):
    stage = Stage().open()
    stage.client(wire.query(text))
    assert sent(stage.allow()) == wire.query(text)


def test_a_copy_that_nobody_asked_for_ends_the_session():
    stage = Stage().open()
    stage.client(wire.query("SELECT 1"))
    stage.allow()
    effects = stage.server(wire.message(b"H", b"\0\0\0") + wire.message(b"d", b"secret"))
    assert hung_up(effects)
    assert b"secret" not in shown(effects)


# SQL-level PREPARE


def test_execute_of_a_prepared_delete_is_a_delete():
    stage = Stage().open()
    stage.client(wire.query("PREPARE d AS DELETE FROM orders"))
    stage.allow()
    stage.server(complete("PREPARE") + ready())
    stage.client(wire.query("EXECUTE d"))
    assert "sql.delete" in {deed.verb for deed in stage.asked.action.deeds}


def test_a_prepare_that_failed_gives_its_name_no_meaning():
    stage = Stage().open()
    stage.client(wire.query("PREPARE d AS SELECT 1"))
    stage.allow()
    stage.server(error("42P05", "already exists") + ready())
    stage.client(wire.query("EXECUTE d"))
    assert stage.asked.action.reach is Reach.UNKNOWN


# Errors, notices, notifications


def test_an_error_of_a_statement_that_reads_masked_columns_quotes_nothing():
    stage = Stage().open()
    stage.client(wire.query("SELECT ssn::int FROM customers"))
    stage.allow()
    effects = stage.server(error("22P02", 'invalid input syntax for type integer: "123-45-6789x"', D="secret detail") + ready())
    assert b"6789" not in shown(effects)
    assert b"secret detail" not in shown(effects)
    assert shown_error(effects)["C"] == "22P02"


def test_notices_and_notifications_pass_the_detectors():
    stage = Stage().open()
    notice = wire.message(b"N", b"SNOTICE\0Mcard 4111 1111 1111 1111\0\0")
    effects = stage.server(notice + wire.message(b"A", struct.pack("!I", 7) + b"ch\0ann@example.com\0"))
    assert kinds(shown(effects)) == "NA"
    assert b"4111 1111 1111 1111" not in shown(effects)
    assert b"ann@example.com" not in shown(effects)


def test_the_log_line_of_a_statement_on_masked_columns_has_no_literals():
    stage = Stage().open()
    stage.client(wire.query("UPDATE customers SET ssn = 'odd secret' WHERE id = 7"))
    assert "odd secret" not in stage.asked.shown
    assert "customers" in stage.asked.shown
    stage.allow()


def test_the_log_line_passes_the_detectors():
    stage = Stage().open()
    stage.client(wire.query("SELECT total FROM orders WHERE 'x' <> 'ann@example.com'"))
    assert "ann@example.com" not in stage.asked.shown


# Ends


def test_a_client_that_breaks_the_protocol_hears_why_and_leaves_the_server_closed():
    stage = Stage().open()
    effects = stage.client(b"Q\x7f\xff\xff\xff")
    assert "length 2147483647 outside" in hung_up(effects)
    assert shown_error(effects)["S"] == "FATAL"
    assert [effect.kind for effect in effects if isinstance(effect, Own)] == ["terminate"]


def test_after_hanging_up_every_signal_is_silent():
    stage = Stage().open()
    stage.client(wire.message(b"X"))
    assert stage.client(wire.query("SELECT 1")) == []
    assert stage.server(row(b"x")) == []
    assert stage.feed(Ended(Side.GATEWAY, "why")) == []


def test_a_server_that_dies_in_the_middle_of_rows_leaves_an_answer_in_the_book():
    stage = Stage().open()
    stage.client(wire.query("SELECT id FROM orders"))
    stage.allow()
    stage.server(description(("id", 200, 1)) + row(b"1") + row(b"2")[:7])
    effects = stage.feed(Ended(Side.SERVER, "the target closed the connection"))
    assert shown_error(effects)["C"] == "08006"
    assert answers(effects) == [("NO ANSWER", 0)]


def test_the_gateway_ends_a_session_with_a_reason_the_client_shows():
    stage = Stage().open()
    effects = stage.feed(Ended(Side.GATEWAY, "your token expired"))
    assert shown_error(effects)["M"] == "your token expired"
    assert shown_error(effects)["C"] == "57P01"


def test_a_cancel_request_names_a_session_by_its_key_and_nothing_else_happens():
    effects = relay().feed(FromClient(wire.cancel_request(b"12345678")))
    assert effects == [Cancel(b"12345678"), HangUp("a cancel request")]
    assert "1234" not in repr(effects[0])


def test_what_is_cancelled_is_stopped_at_the_server_with_the_servers_own_key():
    stage = Stage().open()
    assert stage.feed(Cancelled()) == []
    stage.client(wire.query("SELECT pg_sleep(10)"))
    stage.allow()
    assert stage.feed(Cancelled()) == [Interrupt(wire.cancel_request(b"srvrkey!"))]
    effects = stage.server(error("57014", "canceling statement due to user request") + ready())
    assert shown_error(effects)["C"] == "57014"


def test_a_statement_whose_client_is_gone_is_stopped_at_the_server():
    stage = Stage().open()
    stage.client(wire.query("SELECT pg_sleep(10)"))
    stage.allow()
    effects = stage.feed(Ended(Side.CLIENT, "the client went away"))
    assert Interrupt(wire.cancel_request(b"srvrkey!")) in effects


# Properties

CLIENT_BYTES = st.lists(
    st.sampled_from(
        [
            wire.query("SELECT ssn FROM customers"),
            wire.query("DELETE FROM orders"),
            wire.query("BEGIN"),
            parse("", "SELECT 1"),
            parse("s", "SELECT id FROM orders"),
            bind("", ""),
            bind("p", "s"),
            EXECUTE,
            wire.execute("p"),
            wire.SYNC,
            wire.message(b"H"),
            wire.message(b"C", b"Ss\0"),
            wire.message(b"D", b"P\0"),
            wire.message(b"d", b"data"),
            wire.message(b"F", b"\0\0\0\1"),
        ]
    ),
    max_size=12,
).map(b"".join)


def drive(data: bytes, places: list[int], verdicts: list[bool]) -> tuple[list, Stage]:
    stage = Stage().open()
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    turn = 0
    for a, b in pairwise(marks):
        effects = stage.client(data[a:b])
        while any(isinstance(effect, Ask) for effect in effects):
            allowed = verdicts[turn % len(verdicts)] if verdicts else True
            turn += 1
            effects = stage.allow() if allowed else stage.refuse()
    return stage.effects, stage


@given(CLIENT_BYTES, st.lists(st.integers(0, 400), max_size=6), st.lists(st.booleans(), max_size=6))
def test_however_the_clients_bytes_are_cut_the_effects_are_the_same(data, places, verdicts):
    whole, _ = drive(data, [], verdicts)
    pieces, _ = drive(data, places, verdicts)
    assert [type(effect) for effect in pieces] == [type(effect) for effect in whole]
    assert sent(pieces) == sent(whole)


@given(CLIENT_BYTES, st.lists(st.booleans(), max_size=6))
def test_nothing_goes_to_the_server_without_a_permit_of_this_session_or_off_the_closed_list(data, verdicts):
    effects, _ = drive(data, [], verdicts)
    asked = [effect.action for effect in effects if isinstance(effect, Ask)]
    for effect in effects:
        if isinstance(effect, ToServer):
            assert any(effect.permit.action is action for action in asked)
        if isinstance(effect, Own):
            assert effect.kind in OWN


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_bytes_of_either_side_raise(client, server):
    stage = Stage().open()
    stage.client(client)
    stage.server(server)
    fresh = Stage()
    fresh.client(client)


@given(st.binary(min_size=1, max_size=120))
def test_whatever_the_server_invents_shows_no_row_that_was_not_planned(noise):
    stage = Stage().open()
    stage.client(wire.query("SELECT ssn FROM customers"))
    stage.allow()
    effects = stage.server(noise + row(b"unplanned-secret"))
    assert b"unplanned-secret" not in shown(effects)
