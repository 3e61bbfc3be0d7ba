"""Random queries over masked columns, from a grammar of the shapes in which a value can travel; and what to look for.

The values of masked columns are markers. Whatever a query does with them, no part of a marker may come out that somebody could
recognise: not reversed, not in another case, not encoded, hashed or cut.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from random import Random

MARKERS = ("qzvkxwjpfh", "wkqjzhxvpd", "fzxqwvjkhp")  # letters that no open value has in this order
WINDOW = 5

SETUP = f"""
DROP SCHEMA IF EXISTS mk CASCADE;
CREATE SCHEMA mk;
CREATE TABLE mk.people (id int PRIMARY KEY, ssn text, nick text, city text, n int,
  loud text GENERATED ALWAYS AS (upper(ssn)) STORED, doc jsonb);
INSERT INTO mk.people (id, ssn, nick, city, n, doc) VALUES
  (1, '{MARKERS[0]}', '{MARKERS[1]}', 'Bern', 3, '{{"a": "{MARKERS[2]}"}}'),
  (2, '{MARKERS[1]}', '{MARKERS[2]}', 'Basel', 4, '{{"a": "{MARKERS[0]}"}}'),
  (3, '{MARKERS[2]}', '{MARKERS[0]}', 'Chur', 5, '{{"a": "{MARKERS[1]}"}}');
CREATE TABLE mk.deals (id int, pid int, ssn text, city text, total int);
INSERT INTO mk.deals VALUES (1, 1, 'open-a', 'Bern', 10), (2, 1, 'open-b', 'Basel', 20), (3, 2, 'open-c', 'Chur', 30);
CREATE TABLE mk.parts (id int, ssn text, city text) PARTITION BY LIST (id);
CREATE TABLE mk.parts_1 PARTITION OF mk.parts FOR VALUES IN (1, 2);
CREATE TABLE mk.parts_x (cty text, ssn text, id int);
ALTER TABLE mk.parts_x RENAME COLUMN cty TO city;
ALTER TABLE mk.parts ATTACH PARTITION mk.parts_x DEFAULT;
INSERT INTO mk.parts SELECT id, ssn, city FROM mk.people;
CREATE TABLE mk.base (id int, ssn text);
CREATE TABLE mk.child (city text) INHERITS (mk.base);
INSERT INTO mk.child SELECT id, ssn, city FROM mk.people;
CREATE VIEW mk.seen (a, b, city) AS SELECT id, ssn, city FROM mk.people;
CREATE VIEW mk.deeper WITH (security_barrier) AS SELECT b AS x, reverse(b) AS y, city, a FROM mk.seen WHERE b IS NOT NULL;
CREATE MATERIALIZED VIEW mk.kept AS SELECT ssn || '' AS k, city FROM mk.people;
CREATE TYPE mk.pair AS (one text, two text);
GRANT USAGE ON SCHEMA mk TO shop_app;
GRANT ALL ON ALL TABLES IN SCHEMA mk TO shop_app;
"""
MASKED = ["mk.people.ssn", "mk.people.nick", "mk.people.doc", "mk.parts.ssn", "mk.base.ssn"]

# Relations by name: columns of text, others
TABLES = {
    "mk.people": (["ssn", "nick", "city", "loud", "doc::text"], ["id", "n"]),
    "mk.deals": (["ssn", "city"], ["id", "pid", "total"]),
    "mk.parts": (["ssn", "city"], ["id"]),
    "mk.parts_1": (["ssn", "city"], ["id"]),
    "mk.parts_x": (["ssn", "city"], ["id"]),
    "mk.base": (["ssn"], ["id"]),
    "mk.child": (["ssn", "city"], ["id"]),
    "mk.seen": (["b", "city"], ["a"]),
    "mk.deeper": (["x", "y", "city"], ["a"]),
    "mk.kept": (["k", "city"], ["length(k)"]),
}

_SHAPES = [
    "{a}",
    "{a}",
    "upper({a})",
    "reverse({a})",
    "md5({a})",
    "substr({a}, 2, 7)",
    "left({a}, 6)",
    "{a} || ''",
    "coalesce({a}, {b})",
    "greatest({a}, {b})",
    "nullif({a}, {b})",
    "CASE WHEN {n} > 1 THEN {a} ELSE {b} END",
    "encode(convert_to({a}, 'UTF8'), 'hex')",
    "encode(convert_to({a}, 'UTF8'), 'base64')",
    "(ARRAY[{a}, {b}])[1]",
    "ARRAY[{a}]::text",
    "ROW({a}, {n})::text",
    "(ROW({a}, {b})::mk.pair).one",
    "to_jsonb({a})::text",
    "jsonb_build_object('k', {a})->>'k'",
    "json_build_array({a}, {b})::text",
    "format('%s-%s', {a}, {n})",
    "concat_ws('/', {a}, {b})",
    "translate({a}, 'x', 'x')",
    "regexp_replace({a}, '^$', '')",
    "split_part({a}, ',', 1)",
    "(SELECT {a})",
    "(SELECT max(v) FROM (VALUES ({a}), ({b})) w(v))",
    "CAST({a} AS varchar(30))",
    "{a}::bytea::text",
    "array_to_string(string_to_array({a}, NULL), '')",
    "overlay({a} placing '' from 1 for 0)",
    "xmlelement(name q, {a})::text",
    "JSON_OBJECT('k': {a})::text",
    "JSON_ARRAY({a})::text",
    "quote_literal({a})",
    "lower(({a})::text)::name::text",
    "(SELECT string_agg(q.z, '') FROM (SELECT {a} AS z) q)",
    "(SELECT u FROM unnest(ARRAY[{a}]) u LIMIT 1)",
    "btrim({a})",
    "initcap({a})",
    "('{{' || {a} || '}}')::text[]::text",
    "(SELECT s.z FROM (SELECT {a} z) AS s, LATERAL (SELECT s.z) l(zz))",
    "lpad({a}, 12, '-')",
    "(jsonb_build_array({a})->0)::text",
    "string_to_array({a}, 'x')::text",
    "(xpath('/q/text()', xmlelement(name q, {a})))[1]::text",
    "jsonb_path_query_first(jsonb_build_object('k', {a}), '$.k')::text",
    "unistr({a})",
    "to_tsvector('simple', {a})::text",
    "encode(sha256(convert_to({a}, 'UTF8')), 'hex') || {b}",
    "array_agg({a}) OVER ()::text",
    "first_value({a}) OVER (ORDER BY {n})",
    "lag({a}, 0) OVER (ORDER BY {n})",
    "max({a}) OVER (PARTITION BY {n})",
]
_WHOLE = [
    "{t}::text",
    "row_to_json({t})::text",
    "to_jsonb({t}.*)::text",
    "{t}.*::text",
    "({t}).{c}",
    "{t}",
    "json_build_object('r', {t})::text",
    "(SELECT x::text FROM (SELECT {t}.*) x)",
    "(SELECT string_agg(value, '') FROM json_each_text(row_to_json({t})))",
    "{t}.row_to_json::text",
    "concat({t})",
    "jsonb_agg({t}) OVER ()",
]


class Queries:
    """Makes queries, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._names = 0

    def query(self) -> str:
        """One statement that reads."""
        pick = self._random.random()
        if pick < 0.5:
            return self._select(2)[0]
        if pick < 0.65:
            return self._set_operation()
        if pick < 0.8:
            return self._with()
        if pick < 0.9:
            return self._aggregate()
        return f"COPY ({self._select(2)[0]}) TO STDOUT"

    def _name(self) -> str:
        self._names += 1
        return f"t{self._names}"

    def _one(self, items: list[str]) -> str:
        return self._random.choice(items)

    def _item(self, depth: int) -> tuple[str, list[str], list[str], bool]:
        """An item of FROM: its text, its columns of text and others as they can be named, and whether it has an alias."""
        name = self._name()
        pick = self._random.random()
        if depth and pick < 0.3:
            inner, width = self._select(depth - 1)
            lateral = self._one(["", "", "LATERAL "])
            names = [f"c{number}" for number in range(width)]
            return f"{lateral}({inner}) AS {name}({', '.join(names)})", [f"{name}.{one}::text" for one in names], ["1"], True
        if depth and pick < 0.4:
            inner, _ = self._select(depth - 1)
            return f"({inner}) AS {name}", [f"{name}::text"], ["1"], True
        relation = self._one(list(TABLES))
        texts, others = TABLES[relation]
        if pick < 0.5:
            return f"{relation} AS {name}(q1, q2)", [f"{name}.q1::text", f"{name}.q2::text"], ["2"], True
        form = self._one(["{r} AS {n}", "{r} {n}", "(SELECT * FROM {r}) {n}", "ONLY {r} {n}", "(TABLE {r}) AS {n}"])
        qualified = [f"{name}.{one}" for one in texts]
        return form.format(r=relation, n=name), qualified, [f"{name}.{one}" for one in others if "(" not in one] or ["3"], True

    def _select(self, depth: int) -> tuple[str, int]:
        items = [self._item(depth) for _ in range(self._random.choice([1, 1, 2, 3]))]
        texts = [one for item in items for one in item[1]]
        numbers = [one for item in items for one in item[2]]
        joined = items[0][0]
        for item in items[1:]:
            joined += self._one([", ", " CROSS JOIN ", " LEFT JOIN "]) + item[0]
            joined += " ON true" if joined.rpartition(item[0])[0].endswith("LEFT JOIN ") else ""
        width = self._random.choice([1, 1, 2, 3])
        shown = [self._expression(texts, numbers, self._random.choice([0, 1, 2])) for _ in range(width)]
        if self._random.random() < 0.2:
            alias = f"t{self._names}" if len(items) == 1 else texts[0].partition(".")[0].partition(":")[0]
            shown[0] = self._one(_WHOLE).format(t=alias, c="ssn")
        tail = self._one(
            ["", "", "", f" ORDER BY {self._one(numbers)}", " LIMIT 7", f" WHERE {self._one(numbers)} IS NOT NULL"]
        )
        return f"SELECT {', '.join(shown)} FROM {joined}{tail}", width

    def _expression(self, texts: list[str], numbers: list[str], depth: int) -> str:
        if not depth:
            return self._one(texts)
        parts = [self._expression(texts, numbers, depth - 1) for _ in range(2)]
        return self._one(_SHAPES).format(a=parts[0], b=parts[1], n=self._one(numbers))

    def _set_operation(self) -> str:
        left, width = self._select(1)
        right, other = self._select(1)
        while other != width:
            right, other = self._select(1)
        word = self._one(["UNION ALL", "UNION", "EXCEPT", "INTERSECT"])
        return f"SELECT * FROM ((SELECT * FROM ({left}) a) {word} (SELECT * FROM ({right}) b)) c"

    def _with(self) -> str:
        inner, width = self._select(1)
        names = ", ".join(f"w{number}" for number in range(width))
        last = f"w{width - 1}::text"
        return self._one(
            [
                f"WITH c({names}) AS ({inner}) SELECT reverse({last}), c.* FROM c",
                f"WITH c({names}) AS MATERIALIZED ({inner}), d AS (SELECT * FROM c) SELECT d.{last} FROM d, mk.deals",
                f"WITH RECURSIVE r({names}, i) AS (SELECT a.*, 1 FROM ({inner}) a UNION ALL SELECT {names}, "
                f"i + 1 FROM r WHERE i < 3) SELECT {last}, i FROM r",
                f"SELECT (WITH c({names}) AS ({inner}) SELECT {last} FROM c LIMIT 1)",
                f"SELECT z.* FROM mk.deals d, LATERAL ({inner}) z",
                "SELECT (SELECT s.x FROM mk.deals p, (SELECT p.ssn AS x) s LIMIT 1) FROM mk.people p",
                "SELECT (SELECT s.x FROM (SELECT 'a' AS ssn) c, (SELECT ssn AS x) s) FROM mk.people",
            ]
        )

    def _aggregate(self) -> str:
        text, texts, numbers, _ = self._item(1)
        value = self._expression(texts, numbers, 1)
        while "OVER" in value:
            value = self._expression(texts, numbers, 1)
        call = self._one(
            [
                "string_agg({v}, ',')",
                "max({v})",
                "array_agg({v})::text",
                "json_agg({v})::text",
                "jsonb_object_agg({n}, {v})::text",
                "min({v}) FILTER (WHERE true)",
                "mode() WITHIN GROUP (ORDER BY {v})",
                "percentile_disc(0.5) WITHIN GROUP (ORDER BY {v})",
                "(array_agg({v}))[1]",
                "xmlagg(xmlelement(name q, {v}))::text",
                "JSON_ARRAYAGG({v})::text",
                "any_value({v})",
            ]
        )
        group = self._one(["", f" GROUP BY {self._one(numbers)}", f" GROUP BY ROLLUP ({self._one(numbers)})"])
        return f"SELECT {call.format(v=value, n=self._one(numbers))} FROM {text}{group}"


def _needles() -> frozenset[str]:
    found: set[str] = set()
    for marker in MARKERS:
        for text in (marker, marker[::-1]):
            found |= {text[at : at + WINDOW] for at in range(len(text) - WINDOW + 1)}
            hexed = text.encode().hex()
            found |= {hexed[at : at + 2 * WINDOW] for at in range(0, len(hexed) - 2 * WINDOW + 1, 2)}
            for case in (text, text.upper()):
                found.add(b64encode(case.encode()).decode()[:8].lower())
                found.add(hashlib.md5(case.encode()).hexdigest())
                found.add(hashlib.sha256(case.encode()).hexdigest())
                found.add(case.encode().hex())
    return frozenset(found)


NEEDLES = _needles()


def spilt(answer: str) -> str:
    """What of a marker can be recognised in an answer; "" if nothing."""
    lower = answer.lower()
    return next((needle for needle in NEEDLES if needle in lower), "")
