"""The reviewed tables against the catalog of a running PostgreSQL 18, and its answers against what is said to be in them."""

import pytest

from gatebook.cli.demo.parts import PostgresServer
from gatebook.protocols.postgres import functions, settings
from gatebook.protocols.postgres.catalog_relations import is_protected
from gatebook.protocols.postgres.reading import Relation
from gatebook.protocols.postgres.statement import read

pytestmark = pytest.mark.real

# Code behind types, operators, indexes, aggregates and the like: nobody calls it by name, and it is unknown by default.
CALLABLE = """
with support as (
  select oprcode::oid o from pg_operator union select oprrest from pg_operator union select oprjoin from pg_operator
  union select typinput from pg_type union select typoutput from pg_type union select typreceive from pg_type
  union select typsend from pg_type union select typmodin from pg_type union select typmodout from pg_type
  union select typanalyze from pg_type union select typsubscript from pg_type union select amproc from pg_amproc
  union select aggtransfn from pg_aggregate union select aggfinalfn from pg_aggregate
  union select aggcombinefn from pg_aggregate
  union select aggserialfn from pg_aggregate union select aggdeserialfn from pg_aggregate
  union select aggmtransfn from pg_aggregate union select aggminvtransfn from pg_aggregate
  union select aggmfinalfn from pg_aggregate union select prosupport from pg_proc union select amhandler from pg_am
  union select conproc from pg_conversion union select tmplinit from pg_ts_template union select tmpllexize from pg_ts_template
  union select prsstart from pg_ts_parser union select prstoken from pg_ts_parser union select prsend from pg_ts_parser
  union select prsheadline from pg_ts_parser union select prslextype from pg_ts_parser)
select distinct proname from pg_proc
where oid < 16384 and oid not in (select o from support where o is not null) order by 1
"""
ROW_TAKERS = """
select distinct proname from pg_proc where oid < 16384 and pronargs >= 1 and pronargs - pronargdefaults <= 1
and proargtypes[0] in ('record'::regtype, 'anyelement'::regtype, '"any"'::regtype, 'anynonarray'::regtype,
  'anycompatible'::regtype, 'anycompatiblenonarray'::regtype)
"""
# Take a row and give back a number or the name of its type.
COUNTING = frozenset(
    "count cume_dist dense_rank percent_rank rank num_nonnulls num_nulls hash_record pg_typeof pg_collation_for pg_column_size "
    "pg_column_compression pg_column_toast_chunk_id pg_restore_attribute_stats pg_restore_relation_stats".split()
)


def test_every_function_of_the_server_is_classified_on_purpose(plain_postgres: PostgresServer) -> None:
    known = functions.HARMLESS | functions.VERB_OF.keys() | functions.UNKNOWN | {"set_config"}
    assert set(plain_postgres.sql(CALLABLE).split()) - known == set()


def test_every_harmless_function_is_one_of_the_server_itself(plain_postgres: PostgresServer) -> None:
    names = set(plain_postgres.sql("select distinct proname from pg_proc where oid < 16384").split())
    assert functions.HARMLESS - names == set()


def test_every_function_that_gives_back_a_row_is_known_to_take_one(plain_postgres: PostgresServer) -> None:
    assert set(plain_postgres.sql(ROW_TAKERS).split()) - COUNTING <= functions.TAKES_ROW


def test_every_function_that_returns_a_set_is_known_to(plain_postgres: PostgresServer) -> None:
    sets = set(plain_postgres.sql("select distinct proname from pg_proc where proretset and oid < 16384").split())
    assert sets & (functions.HARMLESS | functions.VERB_OF.keys()) == functions.SETS


def test_no_setting_of_a_superuser_is_harmless(plain_postgres: PostgresServer) -> None:
    names = plain_postgres.sql("select name from pg_settings where context <> 'user'").split()
    assert not [name for name in names if "." not in name and settings.harmless(name, "x")]


def test_relations_that_not_everybody_may_read_are_protected(plain_postgres: PostgresServer) -> None:
    closed = plain_postgres.sql(
        "select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind in ('r', 'v')"
        " and not has_table_privilege('pg_read_all_settings', oid, 'select')"
        " and not has_any_column_privilege('pg_read_all_settings', oid, 'select')"
    ).split()
    assert "pg_authid" in closed
    open_ = [name for name in closed if not is_protected(Relation("pg_catalog", name))]
    assert set(open_) <= {"pg_replication_origin_status", "pg_replication_origin"}


@pytest.mark.parametrize(
    "text",
    [
        "select c.row_to_json from customers c",
        "select c.concat from customers c",
        "select (c).to_jsonb from customers c",
        "select c.json_agg from customers c",
        "select quote_literal(c) from customers c",
        "select x from (select max(c) as x from customers c) t",
    ],
)
def test_a_whole_row_that_the_server_shows_is_any_column(plain_postgres: PostgresServer, text: str) -> None:
    made = "begin; create temp table customers (id int, ssn text); insert into customers values (1, 'needle');"
    assert "needle" in plain_postgres.sql(f"{made} {text}")
    (output,) = read(text).statements[0].outputs or ()
    assert "*" in output.columns


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("delete from t where id in (1, id)", 3),
        ("delete from t where id < 10 or id > 5", 3),
        ("delete from t where id = (select id)", 3),
        ("delete from t where not (id is null and id is not null)", 3),
        ("delete from t where (id = id) = true", 3),
        ("delete from t where exists (select t.id from pg_class)", 3),
        ("delete from t where exists (select count(*) from pg_class where oid = t.id)", 3),
        ("delete from t where coalesce(true, id = 1)", 3),
        ("delete from t where tableoid = 't'::regclass", 3),
        ("merge into t using (select 1) s on true when matched then delete", 3),
        ("merge into t using (select 1 as id) s on t.id = 99 when not matched by source then delete", 3),
        ("delete from t using t u where u.id = t.id", 3),
        ("delete from t where exists (select 1 from t u where u.id = t.id)", 3),
        ("delete from t where id - id = 0", 3),
        ("delete from t where (id = 1)::text <> 't'", 3),
        ("delete from t where (id = 1) in (true, false)", 3),
        ("delete from t where (t).id = t.id", 3),
        ("delete from t where id in (select id from t limit 9)", 3),
        ("delete from t where concat(id) = id::text", 3),
        ("delete from t where id::text like '%' || ''", 3),
        ("delete from t where (id = 1) is true or (id = 1) is not true", 3),
        ("merge into t using t u on u.id = t.id when matched then delete", 3),
        ("delete from t using t u where u.id = t.id and u.id < 2", 1),
        ("delete from t where id = 1", 1),
    ],
)
def test_a_condition_that_takes_every_row_at_the_server_is_none(plain_postgres: PostgresServer, text: str, gone: int) -> None:
    made = "begin; create temp table t (id int); insert into t values (1), (2), (3);"
    left = int(plain_postgres.sql(f"{made} {text}; select count(*) from t"))
    assert left == 3 - gone
    (deed,) = [deed for deed in read(text).deeds if deed.verb == "sql.delete"]
    assert deed.facts["has_where"] is (gone < 3)
