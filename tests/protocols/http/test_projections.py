from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.http.exchanges import JSON, Stage, content, head, request

from gatebook.protocols.http.message import Data, End, Response
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.projections import renamed
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.relay import Forward

RULED = frozenset({"pii"})
GRAPHQL = Plain(Shape(body_bytes=1_000, graphql=frozenset({"/graphql"})))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("select=x:ssn", "x"),
        ("select=id,x:ssn::text", "x"),
        ("select=id,%22a%20name%22:ssn", "a name"),
        ("select=x:ssn-%3E%3Efirst", "x"),
        ("select=ssn-%3E%3Efirst", "first"),
        ("select=ssn.max()", "max"),
        ("select=total:ssn.max()::text", "total"),
        ("select=orders!inner(id,person(x:ssn))", "x"),
        ("%24select=id,x:ssn", "x"),
        ("SELECT=x:ssn", "x"),
        ("select=id&select=x:ssn", "x"),
        ("%24compute=concat(ssn,'')%20as%20x&%24select=x", "x"),
        ("%24apply=groupby((id),aggregate(ssn%20with%20max%20AS%20x))", "x"),
        ("%24expand=Owner(%24compute=ssn%20as%20x)", "x"),
    ],
)
def test_a_field_that_a_query_renames_is_covered_under_its_new_name(query: str, name: str) -> None:
    stage = Stage()
    stage.ask(request("GET", f"/people?{query}"), End())
    stage.allow(RULED)
    effects = stage.answer(Response(200, (JSON,)), Data(json.dumps([{"id": 7, name: "hush"}]).encode()), End())
    assert json.loads(content(effects)) == [{"id": 7, name: "****"}]


@pytest.mark.parametrize(
    "query",
    ["select=...person(ssn)", "select=person(ssn", "select=a),b", 'select="a', "jq=.ssn", "select=" + "a:b," * 3_000],
)
def test_what_a_query_names_and_nobody_can_tell_is_refused_under_a_rule_on_fields_alone(query: str) -> None:
    stage = Stage()
    stage.ask(request("GET", f"/people?{query}"), End())
    effects = stage.allow(RULED)
    assert head(effects).status == 403
    assert b"under which names" in content(effects)
    assert not any(isinstance(one, Forward) for one in effects)
    free = Stage()
    free.ask(request("GET", f"/people?{query}"), End())
    assert any(isinstance(one, Forward) for one in free.allow())


@pytest.mark.parametrize(
    "body",
    [
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a" * 64}}},
        {"query": "{ x: ssn }", "doc_id": "7"},
    ],
)
def test_graphql_that_cannot_be_told_is_refused_under_a_rule_on_fields(body: dict[str, Any]) -> None:
    stage = Stage(dialect=GRAPHQL)
    stage.ask(request("POST", "/graphql", JSON), Data(json.dumps(body).encode()), End())
    assert head(stage.allow(RULED)).status == 403


@pytest.mark.parametrize("path", ["/graphql", "/live"])
def test_graphql_inside_of_a_websocket_is_refused_under_a_rule_on_fields(path: str) -> None:
    asked = (b"sec-websocket-version", b"13"), (b"sec-websocket-protocol", b"graphql-transport-ws" if path == "/live" else b"a")
    stage = Stage(dialect=GRAPHQL)
    stage.ask(request("GET", path, *asked, upgrade="websocket"))
    assert head(stage.allow(RULED)).status == 403
    free = Stage(dialect=GRAPHQL)
    free.ask(request("GET", path, *asked, upgrade="websocket"))
    assert any(isinstance(one, Forward) for one in free.allow())


def test_names_that_nobody_gives_are_none() -> None:
    assert renamed([("select", "id,ssn,person(name)"), ("q", "x:ssn"), ("order", "ssn.asc")]) == ({}, "")


@given(st.text(max_size=60), st.sampled_from(["select", "$compute", "jq"]))
def test_no_projection_makes_its_reader_fail(value: str, name: str) -> None:
    aliases, _ = renamed([(name, value)])
    assert all(others for others in aliases.values())
