"""Reading never raises, never gives less for more, and keeps what EXECUTE needs."""

import subprocess
import sys
import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.model import Reach
from gatebook.protocols.postgres import functions, grammar, lexer
from gatebook.protocols.postgres.reading import Reading, Statement
from gatebook.protocols.postgres.statement import STRANGE, normalise, read, read_node
from gatebook.protocols.postgres.utilities import Utilities
from gatebook.protocols.postgres.walk import PLAIN

WORDS = (
    "select insert into update delete from where and or not null is true false with recursive as values set merge using "
    "on when matched  then do returning union all intersect except join left natural lateral group by having order limit "
    "offset for share nowait case  else end exists in any array row between like copy to stdout stdin program explain "
    "analyze prepare execute p declare cursor fetch  create table view index function drop alter column type rename grant "
    "revoke role reset show begin commit call truncate vacuum lock  customers c ssn id t x y upper count nextval "
    "pg_authid pg_catalog . , ( ) [ ] ; = < > <> + - * || :: $1 1 2 'a' '%' \"q\" $$a$$  coalesce cast int text default "
    "distinct window over partition filter within tablesample current of conflict nothing excluded"
).split()
sql = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


def reach(reading: Reading) -> Reach:
    return max((deed.reach for deed in reading.deeds), key=lambda reach: reach.rank)


def why(reading: Reading) -> str:
    return next((str(deed.facts["why_unknown"]) for deed in reading.deeds if deed.facts["why_unknown"]), "")


# Any text ---------------------------------------------------------------------------------------------------------------


@given(st.text())
def test_any_text_gives_a_reading_with_deeds(text: str) -> None:
    reading = read(text)
    assert reading.text == text
    assert reading.deeds
    assert why(reading) != STRANGE


@given(st.binary().map(lambda data: data.decode("latin-1")))
def test_any_bytes_give_a_reading_with_deeds(text: str) -> None:
    assert read(text).deeds


@settings(max_examples=300)
@given(sql)
def test_any_words_of_sql_give_a_reading_of_a_known_form(text: str) -> None:
    assert why(read(text)) != STRANGE


@given(sql)
def test_a_harmless_statement_behind_a_text_never_lowers_its_reach(text: str) -> None:
    alone, longer = read(text), read(f"{text};select 1")
    assert reach(longer).rank >= (reach(alone).rank if not alone.error else 0)
    if not alone.error:
        assert {deed.verb for deed in alone.deeds if deed.facts["statements"]} <= {deed.verb for deed in longer.deeds}


@given(sql)
def test_a_text_inside_explain_analyze_reaches_as_far(text: str) -> None:
    inner, outer = read(text), read(f"explain analyze {text}")
    if not inner.error and not outer.error and len(inner.statements) == len(outer.statements) == 1:
        assert reach(outer).rank >= reach(inner).rank


@given(st.text(alphabet="abc '\"$/*-\n;", max_size=30))
def test_a_comment_before_a_text_changes_no_deed(text: str) -> None:
    assert [deed.verb for deed in read(f"/* x */ {text}").deeds] == [deed.verb for deed in read(text).deeds]


def test_a_lone_surrogate_is_unknown() -> None:
    assert why(read("select '\ud800'")) == grammar.NOT_UNICODE


def test_a_nul_is_unknown_wherever_it_stands() -> None:
    assert why(read("select 1\0; drop table customers")) == grammar.NUL


def test_a_fault_says_what_and_where_in_characters() -> None:
    reading = read("select 'é', from")
    assert (reading.error, reading.position) == ('syntax error at or near "from"', 13)


def test_invalid_bytes_in_an_escape_string_are_unknown_or_refused() -> None:
    assert reach(read(r"select E'\xff'")) in (Reach.UNKNOWN, Reach.READ)


# Long and deep ----------------------------------------------------------------------------------------------------------


def test_a_text_past_the_limit_is_unknown() -> None:
    assert why(read("select '" + "a" * grammar.LONGEST_BYTES + "'")) == grammar.TOO_LONG


def test_a_long_flat_text_is_read() -> None:
    rows = ",".join("(1, 'abcdefgh')" for _ in range(20_000))
    assert [deed.verb for deed in read(f"insert into t values {rows}").deeds] == ["sql.insert"]


DEEP = {
    "terms": "'select ' + '1+' * 500_000 + '1'",
    "terms just inline": "'select ' + '1+' * 16_300 + '1'",
    "casts": "'select 1' + '::a' * 300_000",
    "unions": "'select 1' + ' union select 1' * 60_000",
    "joins": "'select * from a' + ' cross join b' * 70_000",
    "nots": "'select ' + 'not ' * 9_000 + 'true'",
    "arrays": "'select ' + 'array[' * 9_000 + '1' + ']' * 9_000",
    "sub-selects": "'select ' + '(select ' * 3_000 + '1' + ')' * 3_000",
    "collations": "'select a' + ' collate b' * 90_000",
}
CHILD = """
import sys, orjson
from gatebook.protocols.postgres.statement import read
for text in orjson.loads(sys.stdin.buffer.read()):
    sys.stdout.write(read(text).deeds[0].facts["why_unknown"] + "\\n")
"""


def test_no_depth_kills_the_process() -> None:
    texts = orjson.dumps([eval(made) for made in DEEP.values()])
    ended = subprocess.run([sys.executable, "-c", CHILD], input=texts, capture_output=True, timeout=100)
    assert ended.returncode == 0, ended.stderr[-500:]
    reasons = ended.stdout.decode().splitlines()
    assert len(reasons) == len(DEEP)
    assert set(reasons) <= {grammar.TOO_DEEP, "does not parse"}


def test_copied_assignments_are_counted_before_the_tree_is_made() -> None:
    text = "select 1"
    columns = ",".join("a" * 60)
    for _ in range(4):
        text = f"with w as (update t set ({columns})/**/= ({text}) returning 1) select 1"
    started = time.process_time()
    assert why(read(text)) == grammar.TOO_DEEP
    assert time.process_time() - started < 1


def test_two_ordinary_row_assignments_are_read() -> None:
    text = "update t set (a, b) = (1, 2) where id = 1; update t set (a, b) = (3, 4) where id = 2"
    assert [deed.verb for deed in read(text).deeds] == ["sql.update", "sql.update"]


def test_stars_that_double_are_cut_off() -> None:
    steps = "".join(f", c{n} as (select * from c{n - 1} x, c{n - 1} y)" for n in range(1, 40))
    assert why(read(f"with c0 as (select 1 a){steps} select * from c39")) == grammar.TOO_DEEP


def test_more_deeds_than_can_be_decided_are_unknown() -> None:
    assert why(read("select 1;" * 5_000)) == grammar.TOO_DEEP


# Closed lists -----------------------------------------------------------------------------------------------------------


def test_a_statement_of_a_kind_nobody_knows_is_unknown() -> None:
    statement = read_node({"TeleportStmt": {"relation": {"relname": "customers"}}}, 1, {})
    assert [deed.verb for deed in statement.deeds] == ["sql.unknown"]
    assert statement.outputs is None


@pytest.mark.parametrize("place", ["targetList", "whereClause", "fromClause", "limitCount"])
def test_a_node_nobody_knows_makes_a_query_unknown(place: str) -> None:
    strange: dict[str, object] = {"TeleportExpr": {"arg": {"A_Const": {"ival": {}}}}}
    body: dict[str, object] = {"targetList": [], "op": "SETOP_NONE", "limitOption": "LIMIT_OPTION_DEFAULT"}
    body[place] = {"targetList": [{"ResTarget": {"val": strange}}], "fromClause": [strange]}.get(place, strange)
    assert "sql.unknown" in {deed.verb for deed in read_node({"SelectStmt": body}, 1, {}).deeds}


def test_a_field_nobody_knows_makes_a_query_unknown() -> None:
    statement = read_node({"SelectStmt": {"op": "SETOP_NONE", "qualifyClause": {}}}, 1, {})
    assert "sql.unknown" in {deed.verb for deed in statement.deeds}


def test_no_kind_is_plain_and_a_query_or_call_at_once() -> None:
    assert not PLAIN & {"FuncCall", "SelectStmt", "SubLink", "RangeVar", "ColumnRef", "A_Expr", "CallStmt", "DoStmt"}


def test_no_function_is_in_two_tables() -> None:
    assert not functions.HARMLESS & functions.VERB_OF.keys()
    assert not functions.UNKNOWN & (functions.HARMLESS | functions.VERB_OF.keys())


# Prepared statements ----------------------------------------------------------------------------------------------------


def prepared(text: str) -> Reading:
    reading = read(text)
    (statement,) = reading.statements
    return Reading(reading.text, (Statement(statement.deeds, statement.outputs, statement.relations, statement.moves),))


def test_execute_does_what_its_prepared_statement_does() -> None:
    known = {"p": prepared("prepare p as delete from customers returning ssn")}
    (statement,) = read("execute p", known).statements
    assert [(deed.verb, deed.resource.name, deed.facts["has_where"]) for deed in statement.deeds] == [
        ("sql.delete", "customers", False)
    ]
    assert statement.executes == "p"
    assert statement.outputs is not None
    assert statement.outputs[0].columns == {"ssn"}
    assert {str(relation) for relation in statement.relations} == {"customers"}


def test_execute_is_read_anew_when_its_statement_changes() -> None:
    assert read("execute q").deeds[0].verb == "sql.execute"
    assert read("execute q", {"q": prepared("prepare q as select 1")}).deeds[0].verb == "sql.select"
    assert read("execute q", {"q": prepared("prepare q as delete from t")}).deeds[0].verb == "sql.delete"
    assert read("execute q").deeds[0].verb == "sql.execute"


def test_execute_of_an_unknown_statement_stays_unknown_when_prepared_again() -> None:
    known = {"p": prepared("prepare p as select evil()")}
    assert reach(read("execute p", known)) is Reach.UNKNOWN


def test_execute_of_an_execute_is_not_followed() -> None:
    known = {"p": read("execute q")}
    assert read("execute p", known).deeds[0].verb == "sql.execute"


def test_execute_inside_explain_analyze_and_create_table_is_followed() -> None:
    known = {"p": prepared("prepare p as select ssn from customers")}
    assert {deed.verb for deed in read("explain analyze execute p", known).deeds} == {"sql.select", "sql.explain"}
    assert {deed.verb for deed in read("explain execute p", known).deeds} == {"sql.explain"}
    assert read("create table t as execute p", known).statements[0].moves == {"ssn"}


def test_execute_and_other_statements_keep_their_own_deeds() -> None:
    known = {"p": prepared("prepare p as select 1")}
    assert [deed.verb for deed in read("execute p; drop table t; execute other", known).deeds] == [
        "sql.select",
        "sql.drop",
        "sql.execute",
    ]


def test_deallocate_and_discard_say_what_they_forget() -> None:
    assert [s.forgets for s in read("deallocate p; deallocate all; discard all; discard plans").statements] == [
        "p",
        "*",
        "*",
        None,
    ]


def test_a_statement_prepared_twice_in_one_text_runs_as_the_later_one() -> None:
    text = "prepare p as select 1; deallocate p; prepare p as delete from t; execute p"
    assert read(text).statements[-1].deeds[0].verb == "sql.delete"


# Speed ------------------------------------------------------------------------------------------------------------------


def test_the_same_text_is_read_once() -> None:
    assert read("select id from customers where id = 77") is read("select id from customers where id = 77")


# Texts without literals -------------------------------------------------------------------------------------------------

SECRET = "s3cret-value"
HIDES = [
    f"select * from customers where ssn = '{SECRET}'",
    f"select 1 /* {SECRET} */ -- {SECRET}",
    f"select $${SECRET}$$, $t${SECRET}$t$, E'{SECRET}', U&'{SECRET}', N'{SECRET}'",
    f"create role r password '{SECRET}'",
    f"alter role r password '{SECRET}'",
    f"do $$ begin perform '{SECRET}'; end $$",
    f"notify c, '{SECRET}'",
    f"comment on table t is '{SECRET}'",
    f"create user mapping for u server s options (password '{SECRET}')",
    f"create subscription s connection 'password={SECRET}' publication p",
    f"copy t from program 'curl {SECRET}'",
    f"set app.key = '{SECRET}'",
    f"select '{SECRET}",
    f"selec '{SECRET}'",
    f"/* {SECRET}",
    f'select "{SECRET}" from t',
    f"select 'a'\n'{SECRET}'",
    f"select 1\0'{SECRET}'",
]


@pytest.mark.parametrize("text", HIDES)
def test_a_text_without_literals_holds_no_part_of_them(text: str) -> None:
    shown = normalise(text)
    assert SECRET not in shown
    assert shown


def test_numbers_and_bits_are_literals_too() -> None:
    assert normalise("select 4111111111111111, 1.5e3, b'01', x'ff', 0x1F, 1_000") == "select $1, $2, $3, $4, $5, $6"


def test_what_is_no_literal_stays() -> None:
    text = 'SELECT c.name, $1::int FROM "Customers" c WHERE c.id = ANY (ARRAY[c.x]) ORDER BY 1'
    assert normalise(text) == text.replace("BY 1", "BY $1")


@given(sql)
def test_a_text_without_literals_reads_as_the_same_deeds_or_is_hidden(text: str) -> None:
    assert "'a'" not in normalise(text)
    assert "$$" not in normalise(text)


@given(st.text(alphabet="ab'\"$/*-\n;\\EU&x1 ", max_size=30))
def test_no_letters_of_a_literal_survive_any_quoting(rest: str) -> None:
    assert "zqzq" not in normalise(f"select 'zqzq' {rest}").replace('"', "")


def test_tokens_account_for_every_byte_or_nothing_is_shown() -> None:
    assert lexer.without_literals("select 'é', \"ü\"".encode()) == 'select $1, "…"'


def test_no_walk_is_used_for_two_statements() -> None:
    assert not Utilities({}).deeds


def test_the_latest_of_long_texts_is_read_once_and_no_other_is_kept() -> None:
    first, second = (f"SELECT {', '.join(f'${n}' for n in range(1, 1_500))} -- {name}" for name in "ab")
    reading = read(first)
    assert read(first) is reading
    assert read(second).text == second
    assert read(first) is not reading
    assert read(first) == reading
