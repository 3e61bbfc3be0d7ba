"""The texts of the questions that ``catalog.py`` asks and reads the answers to.

``PLAIN`` tells all about plain tables: no view, no rule, no generated column, nobody's parent or child. Of what else a name
stands for it tells only that it is there, and then ``QUESTION`` is asked, which tells all about everything. About a plain
table both say the same. Nearly all that either costs is the server's planner, which weighs the order of joins: PLAIN has next
to none, and takes a third.

Names are looked up as they are now, but tables are read by the snapshot of the client's transaction, which may be ``old``:
older than five seconds where it is kept for the whole transaction. Then the names of columns are those of now, a relation that
was renamed since is not known, and a view may have been replaced: it may read anything.

Which columns a view reads stands among its dependencies, but for whole rows, of which the server notes nothing where other
columns of the same table are noted. So a rule that has one reads all columns of all that it names.

Everything in it is qualified with pg_catalog, so that a search_path cannot put other functions or operators in its place.
"""

from __future__ import annotations

# What somebody wrote under names of the server's, and what goes for the session.
_NAMES = """SELECT DISTINCT 'p', 0, '0'::pg_catalog.int8, 0, '', p.proname::pg_catalog.text, ''
FROM pg_catalog.pg_proc p
WHERE p.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
 AND p.pronamespace OPERATOR(pg_catalog.=) ANY (ARRAY(
  SELECT s.oid FROM pg_catalog.pg_namespace s WHERE s.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(true))))
 AND EXISTS (SELECT FROM pg_catalog.pg_proc b WHERE b.proname OPERATOR(pg_catalog.=) p.proname
  AND b.oid OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid)
 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid OPERATOR(pg_catalog.=) p.oid
  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
  AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char")
UNION ALL
SELECT DISTINCT 'p', 0, '0'::pg_catalog.int8, 0, '', p.oprname::pg_catalog.text, ''
FROM pg_catalog.pg_operator p
WHERE p.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
 AND p.oprleft OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid
 AND p.oprright OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid
 AND p.oprnamespace OPERATOR(pg_catalog.=) ANY (ARRAY(
  SELECT s.oid FROM pg_catalog.pg_namespace s WHERE s.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(true))))
 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid OPERATOR(pg_catalog.=) p.oid
  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid
  AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char")
UNION ALL
SELECT DISTINCT 'p', 0, '0'::pg_catalog.int8, 0, '',
  'type '::pg_catalog.text OPERATOR(pg_catalog.||) t.typname::pg_catalog.text, ''
FROM pg_catalog.pg_type t WHERE t.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
 AND EXISTS (SELECT FROM pg_catalog.pg_type b WHERE b.typname OPERATOR(pg_catalog.=) t.typname
  AND b.oid OPERATOR(pg_catalog.<) '16384'::pg_catalog.oid)
 AND (pg_catalog.current_schemas(true))[1] OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.name
 AND pg_catalog.pg_type_is_visible(t.oid)
%ROWS%UNION ALL
SELECT 's', 0, '0'::pg_catalog.int8, 0, '', pg_catalog.current_setting('search_path'),
  pg_catalog.concat_ws(pg_catalog.chr(10), %SETTINGS%)
"""

# Of a foreign key k each column, and the one that it refers to. Subqueries, since the planner need not order them.
_REFERENCE = """
  (SELECT s.nspname FROM pg_catalog.pg_namespace s WHERE s.oid OPERATOR(pg_catalog.=)
   (SELECT t.relnamespace FROM pg_catalog.pg_class t WHERE t.oid OPERATOR(pg_catalog.=) k.confrelid)),
  (SELECT t.relname FROM pg_catalog.pg_class t WHERE t.oid OPERATOR(pg_catalog.=) k.confrelid)
   OPERATOR(pg_catalog.||) pg_catalog.chr(1) OPERATOR(pg_catalog.||)
  (SELECT b.attname FROM pg_catalog.pg_attribute b WHERE b.attrelid OPERATOR(pg_catalog.=) k.confrelid
    AND b.attnum OPERATOR(pg_catalog.=) p.there),
  (SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) k.conrelid
    AND a.attnum OPERATOR(pg_catalog.=) p.at)"""

QUESTION = """
WITH RECURSIVE asked(n, given) AS (VALUES %VALUES%),
past(old) AS (
  SELECT pg_catalog.left(pg_catalog.current_setting('transaction_isolation'), 4) OPERATOR(pg_catalog.<>) 'read'::pg_catalog.text
   AND pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>)
    (pg_catalog.transaction_timestamp() OPERATOR(pg_catalog.+) '5s'::pg_catalog.interval)
),
named AS (SELECT n, pg_catalog.to_regclass(given::pg_catalog.text)::pg_catalog.oid AS oid FROM asked),
reads(n, rel, att) AS (
  SELECT n, oid, 0::pg_catalog.int4 FROM named WHERE oid IS NOT NULL
  UNION
  SELECT r.n, d.refobjid, CASE WHEN pg_catalog.strpos(w.ev_action::pg_catalog.text, ':varattno 0 ')
    OPERATOR(pg_catalog.>) 0::pg_catalog.int4 THEN 0::pg_catalog.int4 ELSE d.refobjsubid END
  FROM reads r
  JOIN pg_catalog.pg_class v ON v.oid OPERATOR(pg_catalog.=) r.rel
   AND (v.relkind OPERATOR(pg_catalog.=) 'v'::pg_catalog."char" OR v.relkind OPERATOR(pg_catalog.=) 'm'::pg_catalog."char")
  JOIN pg_catalog.pg_rewrite w ON w.ev_class OPERATOR(pg_catalog.=) v.oid
  JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) w.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjid OPERATOR(pg_catalog.<>) v.oid
),
calls AS (
  SELECT r.n FROM reads r JOIN pg_catalog.pg_class v ON v.oid OPERATOR(pg_catalog.=) r.rel
   AND (v.relkind OPERATOR(pg_catalog.=) 'v'::pg_catalog."char" OR v.relkind OPERATOR(pg_catalog.=) 'm'::pg_catalog."char")
   AND (SELECT old FROM past)
  UNION
  SELECT r.n FROM reads r
  JOIN pg_catalog.pg_rewrite w ON w.ev_class OPERATOR(pg_catalog.=) r.rel
  JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) w.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
  LEFT JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) d.refobjid
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid
  LEFT JOIN pg_catalog.pg_type e ON e.oid OPERATOR(pg_catalog.=) t.typelem
  WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
   OR d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid
   OR d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_cast'::pg_catalog.regclass::pg_catalog.oid
   OR (COALESCE(e.typtype, t.typtype) OPERATOR(pg_catalog.<>) 'e'::pg_catalog."char"
       AND COALESCE(e.typtype, t.typtype) OPERATOR(pg_catalog.<>) 'c'::pg_catalog."char")
),
made(rel, att, base) AS (
  SELECT a.attrelid, a.attnum, d.refobjsubid
  FROM (SELECT DISTINCT rel FROM reads) r
  JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) r.rel
   AND a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char" AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid OPERATOR(pg_catalog.=) a.attrelid AND f.adnum OPERATOR(pg_catalog.=) a.attnum
  JOIN pg_catalog.pg_depend d ON d.refobjid OPERATOR(pg_catalog.=) a.attrelid
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjsubid OPERATOR(pg_catalog.<>) 0::pg_catalog.int4
   AND d.refobjsubid OPERATOR(pg_catalog.<>) a.attnum::pg_catalog.int4
   AND ((d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
         AND d.objid OPERATOR(pg_catalog.=) a.attrelid AND d.objsubid OPERATOR(pg_catalog.=) a.attnum::pg_catalog.int4)
     OR (d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid
         AND d.objid OPERATOR(pg_catalog.=) f.oid))
),
flows(n, rel, att) AS (
  SELECT n, rel, att FROM reads
  UNION
  SELECT r.n, m.rel, m.base FROM reads r
  JOIN made m ON m.rel OPERATOR(pg_catalog.=) r.rel AND m.att::pg_catalog.int4 OPERATOR(pg_catalog.=) r.att
),
parents(oid, top) AS (
  SELECT rel, rel FROM reads
  UNION
  SELECT p.oid, i.inhparent FROM parents p
  JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) p.top
),
family AS (
  SELECT p.oid, pg_catalog.array_agg(c.relname::pg_catalog.text
    ORDER BY (p.oid OPERATOR(pg_catalog.<>) p.top) USING OPERATOR(pg_catalog.<), c.relname::pg_catalog.text
    USING OPERATOR(pg_catalog.~<~)) AS names
  FROM parents p JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.top GROUP BY p.oid
),
children(oid, bottom) AS (
  SELECT rel, rel FROM reads
  UNION
  SELECT b.oid, i.inhrelid FROM children b
  JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) b.bottom
),
holds AS (
  SELECT r.n, c.bottom AS rel, pg_catalog.bool_or(r.rel OPERATOR(pg_catalog.=) m.oid) AS own
  FROM reads r JOIN children c ON c.oid OPERATOR(pg_catalog.=) r.rel JOIN named m ON m.n OPERATOR(pg_catalog.=) r.n
  GROUP BY r.n, c.bottom
),
kin AS (
  SELECT k.oid, s.nspname, pg_catalog.array_agg(c.relname::pg_catalog.text) AS names
  FROM (SELECT oid, bottom AS other FROM children UNION SELECT oid, top FROM parents) k
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.other AND k.other OPERATOR(pg_catalog.<>) k.oid
  JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
  GROUP BY k.oid, s.nspname
)%WITH%
SELECT 'c' AS kind, m.n, m.oid::pg_catalog.int8, a.attnum, s.nspname,
  pg_catalog.array_to_string(f.names, pg_catalog.chr(1)), CASE WHEN (SELECT old FROM past) AND a.attnum IS NOT NULL
   THEN (pg_catalog.pg_identify_object_as_address('pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, m.oid,
    a.attnum::pg_catalog.int4)).object_names[3] ELSE a.attname::pg_catalog.text END
FROM named m JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.oid
JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN family f ON f.oid OPERATOR(pg_catalog.=) m.oid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) m.oid
 AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
WHERE NOT (SELECT old FROM past) OR (pg_catalog.pg_identify_object_as_address(
  'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, m.oid, 0::pg_catalog.int4)).object_names
 OPERATOR(pg_catalog.=) ARRAY[s.nspname::pg_catalog.text, c.relname::pg_catalog.text]
UNION ALL
SELECT 'i', m.n, m.oid::pg_catalog.int8, 0, '', '', '' FROM named m WHERE m.oid IS NOT NULL
UNION ALL
SELECT 'u', r.n, r.rel::pg_catalog.int8, a.attnum, s.nspname, pg_catalog.array_to_string(f.names, pg_catalog.chr(1)), a.attname
FROM flows r JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.rel
 AND c.relkind OPERATOR(pg_catalog.<>) 'v'::pg_catalog."char" AND c.relkind OPERATOR(pg_catalog.<>) 'm'::pg_catalog."char"
JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN family f ON f.oid OPERATOR(pg_catalog.=) r.rel
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) r.rel AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
 AND (r.att OPERATOR(pg_catalog.=) 0::pg_catalog.int4 OR a.attnum OPERATOR(pg_catalog.=) r.att)
WHERE NOT EXISTS (SELECT FROM named m WHERE m.n OPERATOR(pg_catalog.=) r.n AND m.oid OPERATOR(pg_catalog.=) r.rel)
UNION ALL
SELECT 'u', r.n, r.rel::pg_catalog.int8, a.attnum, k.nspname, pg_catalog.array_to_string(k.names, pg_catalog.chr(1)), a.attname
FROM flows r JOIN kin k ON k.oid OPERATOR(pg_catalog.=) r.rel
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) r.rel AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
 AND (r.att OPERATOR(pg_catalog.=) 0::pg_catalog.int4 OR a.attnum OPERATOR(pg_catalog.=) r.att)
WHERE NOT EXISTS (SELECT FROM named m WHERE m.n OPERATOR(pg_catalog.=) r.n AND m.oid OPERATOR(pg_catalog.=) r.rel)
UNION ALL
SELECT 'k', m.n, m.oid::pg_catalog.int8, 0, k.nspname, pg_catalog.array_to_string(k.names, pg_catalog.chr(1)), ''
FROM named m JOIN kin k ON k.oid OPERATOR(pg_catalog.=) m.oid
UNION ALL
SELECT 'g', m.n, m.oid::pg_catalog.int8, g.att, '', '', a.attname
FROM named m JOIN made g ON g.rel OPERATOR(pg_catalog.=) m.oid
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) m.oid
 AND a.attnum::pg_catalog.int4 OPERATOR(pg_catalog.=) g.base
UNION ALL
SELECT 't', m.n, CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN t.typbasetype ELSE t.oid END
  ::pg_catalog.int8, a.attnum, '', '', ''
FROM named m JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) m.oid
 AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
 AND a.attgenerated OPERATOR(pg_catalog.=) ''::pg_catalog."char"
JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
UNION ALL
SELECT 'x', h.n, i.indexrelid::pg_catalog.int8, CASE WHEN h.own THEN a.attnum ELSE 0::pg_catalog.int2 END, '', '', a.attname
FROM holds h JOIN pg_catalog.pg_index i ON i.indrelid OPERATOR(pg_catalog.=) h.rel AND (i.indisunique OR i.indisexclusion)
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) h.rel AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
 AND (a.attnum OPERATOR(pg_catalog.=) ANY (i.indkey::pg_catalog.int2[]) OR EXISTS (
  SELECT FROM pg_catalog.pg_depend d WHERE d.objid OPERATOR(pg_catalog.=) i.indexrelid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjid OPERATOR(pg_catalog.=) h.rel AND d.refobjsubid OPERATOR(pg_catalog.=) a.attnum::pg_catalog.int4))
UNION ALL
SELECT 'f', h.n, k.oid::pg_catalog.int8, CASE WHEN h.own THEN p.at ELSE 0::pg_catalog.int2 END,%REFERENCE%
FROM holds h JOIN pg_catalog.pg_constraint k ON k.conrelid OPERATOR(pg_catalog.=) h.rel
 AND k.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog."char"
CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) AS p(at, there)
UNION ALL
SELECT 'o', n, '0'::pg_catalog.int8, 0, '', '', '' FROM calls
UNION ALL
%NAMES%""".replace("%NAMES%", _NAMES).replace("%REFERENCE%", _REFERENCE)

PLAIN = """
WITH RECURSIVE asked(n, given) AS (VALUES %VALUES%),
named AS (SELECT n, pg_catalog.to_regclass(given::pg_catalog.text)::pg_catalog.oid AS oid FROM asked),
plain(n, oid, space, name) AS (
  SELECT m.n, c.oid, c.relnamespace, c.relname FROM named m JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.oid
  WHERE c.relkind OPERATOR(pg_catalog.<>) 'v'::pg_catalog."char" AND c.relkind OPERATOR(pg_catalog.<>) 'm'::pg_catalog."char"
   AND NOT c.relhasrules
   AND (pg_catalog.left(pg_catalog.current_setting('transaction_isolation'), 4) OPERATOR(pg_catalog.=) 'read'::pg_catalog.text
    OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.<=)
     (pg_catalog.transaction_timestamp() OPERATOR(pg_catalog.+) '5s'::pg_catalog.interval))
   AND '0'::pg_catalog.int8 OPERATOR(pg_catalog.=) (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits i
    WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid OR i.inhparent OPERATOR(pg_catalog.=) c.oid)
   AND '0'::pg_catalog.int8 OPERATOR(pg_catalog.=) (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char"
     AND NOT a.attisdropped)
)%WITH%
SELECT 'c' AS kind, p.n, p.oid::pg_catalog.int8, a.attnum,
 (SELECT s.nspname FROM pg_catalog.pg_namespace s WHERE s.oid OPERATOR(pg_catalog.=) p.space), p.name::pg_catalog.text,
 a.attname::pg_catalog.text
FROM plain p LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) p.oid
 AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
UNION ALL
SELECT CASE WHEN m.n OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT n FROM plain)) THEN 'i' ELSE 'w' END, m.n,
  m.oid::pg_catalog.int8, 0, '', '', '' FROM named m WHERE m.oid IS NOT NULL
UNION ALL
SELECT 't', p.n, CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN t.typbasetype ELSE t.oid END
  ::pg_catalog.int8, a.attnum, '', '', ''
FROM plain p JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) p.oid
 AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
UNION ALL
SELECT 'x', p.n, i.indexrelid::pg_catalog.int8, a.attnum, '', '', a.attname
FROM plain p JOIN pg_catalog.pg_index i ON i.indrelid OPERATOR(pg_catalog.=) p.oid AND (i.indisunique OR i.indisexclusion)
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
 AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
 AND (a.attnum OPERATOR(pg_catalog.=) ANY (i.indkey::pg_catalog.int2[]) OR EXISTS (
  SELECT FROM pg_catalog.pg_depend d WHERE d.objid OPERATOR(pg_catalog.=) i.indexrelid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjid OPERATOR(pg_catalog.=) i.indrelid AND d.refobjsubid OPERATOR(pg_catalog.=) a.attnum::pg_catalog.int4))
UNION ALL
SELECT 'f', h.n, k.oid::pg_catalog.int8, p.at,%REFERENCE%
FROM plain h JOIN pg_catalog.pg_constraint k ON k.conrelid OPERATOR(pg_catalog.=) h.oid
 AND k.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog."char"
CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) AS p(at, there)
UNION ALL
%NAMES%""".replace("%NAMES%", _NAMES).replace("%REFERENCE%", _REFERENCE)

# Of types behind which somebody's own code may run: asked only where a first question was answered that there may be some.
OWN_CODE_WITH = """,
somebodys(oid) AS (
  SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.oid OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid OPERATOR(pg_catalog.=) p.oid
    AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
    AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char")
),
own_operators(oid, name, l, r) AS (
  SELECT o.oid, o.oprname::pg_catalog.text, o.oprleft, o.oprright
  FROM pg_catalog.pg_operator o JOIN somebodys s ON s.oid OPERATOR(pg_catalog.=) o.oprcode::pg_catalog.oid
),
does(does, typ) AS (
  SELECT 'checks'::pg_catalog.text, k.contypid FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) k.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid
  JOIN (SELECT oid FROM somebodys UNION ALL SELECT oid FROM own_operators) s ON s.oid OPERATOR(pg_catalog.=) d.refobjid
  WHERE k.contypid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
  UNION
  SELECT 'checks', t.oid FROM pg_catalog.pg_type t JOIN somebodys s ON s.oid OPERATOR(pg_catalog.=) t.typinput::pg_catalog.oid
  UNION
  SELECT 'checks', r.rngtypid FROM pg_catalog.pg_range r
  JOIN somebodys s ON s.oid OPERATOR(pg_catalog.=) r.rngcanonical::pg_catalog.oid
  UNION
  SELECT w.does, n.typ FROM pg_catalog.pg_cast k JOIN somebodys s ON s.oid OPERATOR(pg_catalog.=) k.castfunc
  CROSS JOIN LATERAL (VALUES ('turns'::pg_catalog.text), (CASE k.castcontext WHEN 'i'::pg_catalog."char" THEN 'casts'
    WHEN 'a'::pg_catalog."char" THEN 'assigns' ELSE 'turns' END::pg_catalog.text)) AS w(does)
  CROSS JOIN LATERAL (VALUES (k.castsource), (k.casttarget)) AS n(typ)
  WHERE n.typ OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
  UNION
  SELECT 'compares ' OPERATOR(pg_catalog.||) o.name, n.typ FROM own_operators o
  CROSS JOIN LATERAL (VALUES (o.l), (o.r)) AS n(typ)
  WHERE n.typ OPERATOR(pg_catalog.>=) '16384'::pg_catalog.oid
),
first(does, typ) AS (
  SELECT u.* FROM ROWS FROM (
    pg_catalog.unnest(ARRAY(SELECT does FROM does)), pg_catalog.unnest(ARRAY(SELECT typ FROM does))) AS u
),
part_of(typ, whole) AS (
  SELECT n.typ, n.whole FROM (
    SELECT t.typelem, t.oid FROM pg_catalog.pg_type t WHERE t.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
    UNION ALL
    SELECT t.typbasetype, t.oid FROM pg_catalog.pg_type t WHERE t.typbasetype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
    UNION ALL
    SELECT a.atttypid, c.reltype FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
    WHERE NOT a.attisdropped AND c.reltype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
    UNION ALL
    SELECT r.rngsubtype, r.rngtypid FROM pg_catalog.pg_range r
    UNION ALL
    SELECT r.rngtypid, r.rngmultitypid FROM pg_catalog.pg_range r
  ) n(typ, whole) WHERE EXISTS (SELECT FROM does)
),
made_of(does, typ) AS (
  SELECT does, typ FROM first
  UNION
  SELECT m.does, p.whole FROM made_of m JOIN part_of p ON p.typ OPERATOR(pg_catalog.=) m.typ
),
owned(does, typ) AS (
  SELECT u.* FROM ROWS FROM (
    pg_catalog.unnest(ARRAY(SELECT does FROM made_of)), pg_catalog.unnest(ARRAY(SELECT typ FROM made_of))) AS u
)"""
OWN_CODE_ROWS = """UNION ALL
SELECT DISTINCT 'h', 0, t.oid::pg_catalog.int8, 0, m.does, t.typname::pg_catalog.text, ''
FROM owned m JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) m.typ
UNION ALL
SELECT DISTINCT 'h', 0, '0'::pg_catalog.int8, 0, m.does, '', a.attname::pg_catalog.text
FROM owned m JOIN pg_catalog.pg_attribute a ON a.atttypid OPERATOR(pg_catalog.=) m.typ AND NOT a.attisdropped
"""
MAY_BE_OWN_CODE = """UNION ALL
SELECT 'm', 0, '0'::pg_catalog.int8, 0, '', '', '' WHERE
 EXISTS (SELECT FROM pg_catalog.pg_operator o WHERE o.oprcode::pg_catalog.oid OPERATOR(pg_catalog.>=) %OWN%)
 OR EXISTS (SELECT FROM pg_catalog.pg_cast k WHERE k.castfunc OPERATOR(pg_catalog.>=) %OWN%)
 OR EXISTS (SELECT FROM pg_catalog.pg_range r
  WHERE r.rngcanonical::pg_catalog.oid OPERATOR(pg_catalog.>=) %OWN%)
 OR EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.typinput::pg_catalog.oid OPERATOR(pg_catalog.>=) %OWN%)
 OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contypid OPERATOR(pg_catalog.>=) %OWN%)
""".replace("%OWN%", "'16384'::pg_catalog.oid")
