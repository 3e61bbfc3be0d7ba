"""Is the whole call tree of a write known to be free of side effects? One question to the catalog, and what its answer means.

A preview is undone by ROLLBACK; what a transaction cannot undo (numbers of a sequence, code of somebody's that writes
elsewhere) must not have happened. So a write is tried only if every piece of code that it can reach came with the server and is
on the reviewed list of harmless functions (``functions.py``):

- what it names: no function, operator, type or cast of somebody's could be meant by a name or an implied coercion in it;
- what its tables do: triggers, rules, row security, foreign tables; checks, generated columns, defaults that it leaves to the
  server, indexes, partition keys, statistics, and the types of all columns. Expressions are judged by the trees that the server
  keeps: the kinds of their nodes, and each function and operator in them by OID;
- the same for every table that partitions, inheritance and foreign keys carry it to.

Closed unless proven open: a kind of relation, node or type that is not listed here is a reason. Objects with OIDs from
``FIRST_OWN`` on did not come with the server. The question must be asked with ``search_path`` set to pg_catalog alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gatebook.errors import WireError
from gatebook.protocols.postgres.drafts import IMPLIED, SESSIONS_OWN, TIMELY, Draft
from gatebook.protocols.postgres.functions import HARMLESS
from gatebook.protocols.postgres.quoting import oids, texts

FIRST_OWN = 16_384  # FirstNormalObjectId, access/transam.h
ROWS = 20_000  # of the answer; a table of thousands of partitions is not looked through
FOLLOWS = 20  # tables that foreign keys carry it to, that are named

_NODES = frozenset(
    """
FUNCEXPR OPEXPR DISTINCTEXPR NULLIFEXPR SCALARARRAYOPEXPR BOOLEXPR RELABELTYPE COERCEVIAIO ARRAYCOERCEEXPR COLLATEEXPR
CASEEXPR CASEWHEN CASE WHEN CASETESTEXPR ARRAYEXPR ARRAY ROWEXPR ROW COALESCEEXPR COALESCE MINMAXEXPR MINMAX SQLVALUEFUNCTION
NULLTEST BOOLEANTEST COERCETODOMAIN COERCETODOMAINVALUE VAR CONST SUBSCRIPTINGREF NAMEDARGEXPR FIELDSELECT LIST
""".split()
)
_SEQUENCE = "takes a number from a sequence, which no ROLLBACK gives back"


@dataclass(frozen=True, slots=True)
class Found:
    """What the catalog says. ``reasons`` are why it is not known to be free of side effects: none where it is.

    ``keys`` are the columns of the target's primary key, ``follows`` the tables that foreign keys carry it to; ``timely`` says
    that a default or generated column may be another value each time.
    """

    reasons: tuple[str, ...]
    keys: tuple[str, ...]
    follows: tuple[str, ...]
    version: int
    timely: bool


def question(draft: Draft) -> str:
    """The text of the question. It names nothing that the session could have put in a built-in's place."""
    apart, verb = draft.apart, draft.apart.verb
    given = "NULL" if apart.given is None else texts(apart.given)
    parts = {
        "%TARGET%": str(draft.oids[apart.target]),
        "%READS%": oids(draft.oids.values()),
        "%INSERTS%": _boolean(verb in ("insert", "merge")),
        "%UPDATES%": _boolean(verb in ("update", "merge") or apart.replaces),
        "%DELETES%": _boolean(verb in ("delete", "merge")),
        "%GIVEN%": given,
        "%FUNCTIONS%": texts(apart.functions),
        "%OPERATORS%": texts(apart.operators),
        "%TYPES%": texts(apart.types),
        "%IMPLIED%": texts(IMPLIED),
        "%BOUND%": oids(draft.types),
        "%OWN%": str(FIRST_OWN),
    }
    text = _QUESTION
    for place, value in parts.items():
        text = text.replace(place, value)
    return text


def judge(draft: Draft, rows: Iterable[Sequence[bytes | None]]) -> Found:
    """What the answer means. Raises WireError when it is none."""
    reasons: dict[str, None] = {}
    keys: list[str] = []
    follows: list[str] = []
    version, timely = 0, False
    if own := sorted(draft.apart.functions & SESSIONS_OWN):
        reasons[f"{own[0]}() depends on the session that it runs in"] = None
    for kind, what, name in map(_cells, rows):
        if kind == "v":
            version = int(name)
        elif kind == "k":
            keys.append(name)
        elif kind == "c":
            follows.append(name)
        elif kind == "no":
            reasons[f"{what} {name}".strip()] = None
        elif kind == "f":
            timely = timely or name in TIMELY
            if why := _why_not(name):
                reasons[f"{what} {why}"] = None
        elif kind == "n" and name not in _NODES:
            reasons[
                f"{what} {_SEQUENCE if name == 'NEXTVALUEEXPR' else f'is computed in a way ({name}) that is not known'}"
            ] = None
        timely = timely or (kind, name) == ("n", "SQLVALUEFUNCTION")
    if not version:
        raise WireError("the target answered the question about side effects without its version")
    return Found(tuple(reasons), tuple(keys), tuple(follows[:FOLLOWS]), version, timely)


def _why_not(function: str) -> str:
    if function == "nextval":
        return _SEQUENCE
    if function in SESSIONS_OWN:
        return f"calls {function}(), which depends on the session that it runs in"
    return "" if function in HARMLESS else f"calls {function}(), which is not known to be harmless"


def _cells(row: Sequence[bytes | None]) -> tuple[str, str, str]:
    try:
        kind, what, name = ((cell or b"").decode() for cell in row)
    except ValueError:
        raise WireError(f"the target answered the question about side effects with a row of {len(row)} cells") from None
    return kind, what, name


def _boolean(value: bool) -> str:
    return "true" if value else "false"


_QUESTION = r"""
WITH RECURSIVE
written(rel, ins, upd, del) AS (
  SELECT c.oid, %INSERTS% OR c.relkind = 'p' AND %UPDATES%, %UPDATES%, %DELETES% OR c.relkind = 'p' AND %UPDATES%
  FROM pg_class c WHERE c.oid = %TARGET%
  UNION
  SELECT n.rel, n.ins, n.upd, n.del FROM written w CROSS JOIN LATERAL (
    SELECT i.inhrelid AS rel, w.ins, w.upd, w.del FROM pg_inherits i WHERE i.inhparent = w.rel
    UNION ALL
    SELECT k.conrelid, false, true, true FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = w.rel
      AND (w.del AND k.confdeltype IN ('c', 'n', 'd') OR w.upd AND k.confupdtype IN ('c', 'n', 'd'))
  ) n
),
changed AS (SELECT rel, bool_or(ins) AS ins, bool_or(upd) AS upd, bool_or(del) AS del FROM written GROUP BY rel),
readers(rel) AS (
  SELECT unnest(%READS%)
  UNION
  SELECT i.inhrelid FROM readers r JOIN pg_inherits i ON i.inhparent = r.rel
),
touched AS (SELECT rel FROM changed UNION SELECT rel FROM readers),
above(rel) AS (
  SELECT rel FROM touched
  UNION
  SELECT i.inhparent FROM above a JOIN pg_inherits i ON i.inhrelid = a.rel
),
kinds(typ) AS (
  (
    SELECT a.atttypid FROM pg_attribute a JOIN touched t ON t.rel = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT t.oid FROM pg_type t WHERE t.typname = ANY (%TYPES%)
    UNION
    SELECT unnest(%BOUND%)
  )
  UNION
  SELECT n.typ FROM kinds k JOIN pg_type t ON t.oid = k.typ CROSS JOIN LATERAL (
    SELECT t.typbasetype AS typ WHERE t.typtype = 'd'
    UNION ALL
    SELECT t.typelem WHERE t.typelem <> 0
  ) n
),
trees(what, tree) AS (
  SELECT 'the check ' || k.conname, k.conbin::text FROM pg_constraint k
  WHERE k.contype = 'c' AND k.conrelid IN (SELECT rel FROM touched)
  UNION ALL
  SELECT 'the check ' || k.conname || ' of a domain', k.conbin::text FROM pg_constraint k
  WHERE k.contypid <> 0 AND k.conbin IS NOT NULL AND k.contypid IN (SELECT typ FROM kinds)
  UNION ALL
  SELECT 'the default of a domain', t.typdefaultbin::text FROM pg_type t
  WHERE t.typdefaultbin IS NOT NULL AND t.typtype = 'd' AND t.oid IN (SELECT typ FROM kinds)
  UNION ALL
  SELECT CASE WHEN a.attgenerated = '' THEN 'the default of column ' ELSE 'the generated column ' END || a.attname,
    d.adbin::text
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  WHERE a.attgenerated <> '' AND d.adrelid IN (SELECT rel FROM touched)
    OR a.attgenerated = '' AND d.adrelid = %TARGET%
      AND (%GIVEN% IS NULL OR NOT a.attname::text = ANY (%GIVEN%) AND NOT '*' = ANY (%GIVEN%))
  UNION ALL
  SELECT 'the index ' || c.relname, n.tree FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  CROSS JOIN LATERAL (VALUES (i.indexprs::text), (i.indpred::text)) AS n(tree)
  WHERE n.tree IS NOT NULL AND i.indrelid IN (SELECT rel FROM touched)
  UNION ALL
  SELECT 'the partition key of ' || p.partrelid::regclass::text, p.partexprs::text FROM pg_partitioned_table p
  WHERE p.partexprs IS NOT NULL AND p.partrelid IN (SELECT rel FROM above)
  UNION ALL
  SELECT 'the statistics ' || s.stxname, s.stxexprs::text FROM pg_statistic_ext s
  WHERE s.stxexprs IS NOT NULL AND s.stxrelid IN (SELECT rel FROM touched)
),
used(typ) AS (SELECT typ FROM kinds)
SELECT 'v' AS kind, '' AS what, current_setting('server_version_num') AS name
UNION ALL
SELECT * FROM (
  SELECT 'k', '', a.attname::text FROM pg_index i
  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS p(att, at)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.att
  WHERE i.indrelid = %TARGET% AND i.indisprimary ORDER BY p.at
) AS keys
UNION ALL
SELECT DISTINCT 'c', '', k.conrelid::regclass::text FROM pg_constraint k JOIN changed w ON w.rel = k.confrelid
WHERE k.contype = 'f' AND (w.del AND k.confdeltype IN ('c', 'n', 'd') OR w.upd AND k.confupdtype IN ('c', 'n', 'd'))
UNION ALL
SELECT 'no', c.oid::regclass::text, CASE
    WHEN c.oid < %OWN% THEN 'belongs to the server'
    WHEN c.relpersistence = 't' THEN 'is a temporary table'
    WHEN c.relkind = 'v' THEN 'is a view'
    WHEN c.relkind = 'f' THEN 'is a foreign table'
    WHEN c.relkind NOT IN ('r', 'p', 'm') THEN 'is no table'
    WHEN c.relam >= %OWN% THEN 'is kept in a way that did not come with the server'
    WHEN row_security_active(c.oid) THEN 'has row security'
  END
FROM pg_class c JOIN touched t ON t.rel = c.oid
WHERE c.oid < %OWN% OR c.relpersistence = 't' OR c.relkind NOT IN ('r', 'p', 'm') OR c.relam >= %OWN%
  OR row_security_active(c.oid)
UNION ALL
SELECT 'no', 'the rule ' || r.rulename, 'of ' || r.ev_class::regclass::text || ' may do anything' FROM pg_rewrite r
WHERE r.rulename <> '_RETURN' AND r.ev_class IN (SELECT rel FROM touched)
UNION ALL
SELECT 'no', 'the trigger ' || g.tgname, 'of ' || g.tgrelid::regclass::text || ' may do anything'
FROM pg_trigger g JOIN changed w ON w.rel = g.tgrelid
WHERE g.tgenabled <> 'D' AND (NOT g.tgisinternal OR g.tgfoid >= %OWN%)
  AND (w.ins AND g.tgtype & 4 <> 0 OR w.del AND g.tgtype & 8 <> 0 OR w.upd AND g.tgtype & 16 <> 0)
UNION ALL
SELECT 'no', 'the foreign key ' || k.conname, 'sets defaults' FROM pg_constraint k JOIN changed w ON w.rel = k.confrelid
WHERE k.contype = 'f' AND (w.del AND k.confdeltype = 'd' OR w.upd AND k.confupdtype = 'd')
UNION ALL
SELECT 'no', 'the constraint ' || k.conname, 'compares by an operator of somebody''s' FROM pg_constraint k
WHERE (k.conrelid IN (SELECT rel FROM touched) OR k.confrelid IN (SELECT rel FROM touched)) AND EXISTS (
  SELECT FROM unnest(k.conpfeqop || k.conppeqop || k.conffeqop || k.conexclop) AS o(op) WHERE o.op >= %OWN%)
UNION ALL
SELECT 'no', 'the index ' || c.relname, 'uses code that did not come with the server' FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid IN (SELECT rel FROM touched)
  AND (c.relam >= %OWN% OR EXISTS (SELECT FROM unnest(i.indclass::oid[]) AS o(class) WHERE o.class >= %OWN%))
UNION ALL
SELECT 'no', 'the partition key of ' || p.partrelid::regclass::text, 'uses code that did not come with the server'
FROM pg_partitioned_table p WHERE p.partrelid IN (SELECT rel FROM above)
  AND EXISTS (SELECT FROM unnest(p.partclass::oid[]) AS o(class) WHERE o.class >= %OWN%)
UNION ALL
SELECT 'no', 'column ' || a.attname, 'takes a number from a sequence, which no ROLLBACK gives back' FROM pg_attribute a
WHERE a.attrelid = %TARGET% AND a.attidentity <> '' AND NOT a.attisdropped
  AND (%GIVEN% IS NULL OR NOT a.attname::text = ANY (%GIVEN%) AND NOT '*' = ANY (%GIVEN%))
UNION ALL
SELECT 'no', 'the type ' || format_type(t.oid, NULL), 'did not come with the server' FROM pg_type t
WHERE t.oid IN (SELECT typ FROM used) AND t.oid >= %OWN% AND t.typtype NOT IN ('e', 'd')
  AND NOT (t.typcategory = 'A' AND t.typtype = 'b' AND t.typinput = 'array_in'::regproc)
UNION ALL
SELECT DISTINCT 'no', p.proname || '()', 'may be a function that did not come with the server' FROM pg_proc p
WHERE p.oid >= %OWN% AND p.proname = ANY (%FUNCTIONS%)
UNION ALL
SELECT DISTINCT 'no', 'the operator ' || o.oprname, 'may be one that did not come with the server' FROM pg_operator o
WHERE o.oid >= %OWN% AND o.oprname = ANY (%OPERATORS%) AND NOT (
  o.oprname = ANY (%IMPLIED%) AND o.oprleft >= %OWN% AND o.oprright >= %OWN%
  AND o.oprleft NOT IN (SELECT typ FROM used) AND o.oprright NOT IN (SELECT typ FROM used))
UNION ALL
SELECT DISTINCT 'no', 'a cast from ' || format_type(k.castsource, NULL), 'did not come with the server' FROM pg_cast k
WHERE k.oid >= %OWN% AND k.castmethod = 'f'
  AND (k.castsource < %OWN% OR k.castsource IN (SELECT typ FROM used))
  AND (k.casttarget < %OWN% OR k.casttarget IN (SELECT typ FROM used) OR k.castcontext = 'i')
UNION ALL
SELECT 'no', 'the operator class ' || o.opcname, 'did not come with the server' FROM pg_opclass o
WHERE o.oid >= %OWN% AND o.opcdefault AND o.opcmethod IN (403, 405)
  AND (o.opcintype < %OWN% OR o.opcintype IN (SELECT typ FROM used))
UNION ALL
SELECT DISTINCT 'n', t.what, m.found[1] FROM trees t
CROSS JOIN LATERAL regexp_matches(t.tree, '\{([A-Z_]+)', 'g') AS m(found)
UNION ALL
SELECT DISTINCT CASE WHEN p.oid >= %OWN% THEN 'no' ELSE 'f' END, t.what,
  CASE WHEN p.oid >= %OWN% THEN 'calls ' || p.proname || '(), which did not come with the server' ELSE p.proname::text END
FROM trees t
CROSS JOIN LATERAL regexp_matches(t.tree, ':(?:funcid|aggfnoid|winfnoid|hashfuncid|negfuncid) ([0-9]+)', 'g') AS m(found)
JOIN pg_proc p ON p.oid = m.found[1]::oid
UNION ALL
SELECT DISTINCT 'no', t.what, 'uses something that did not come with the server' FROM trees t
CROSS JOIN LATERAL regexp_matches(t.tree, ':(?:opno|opfuncid) ([0-9]+)', 'g') AS m(found) WHERE m.found[1]::oid >= %OWN%
UNION ALL
SELECT DISTINCT 'no', t.what, 'uses a type that did not come with the server' FROM trees t
CROSS JOIN LATERAL regexp_matches(t.tree, ':[a-z_]*(?:type|typeid|typeId) ([0-9]+)', 'g') AS m(found)
WHERE m.found[1]::oid >= %OWN% AND m.found[1]::oid NOT IN (SELECT typ FROM used)
"""
