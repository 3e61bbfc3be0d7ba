"""Targets as the tests of requests know them."""

from __future__ import annotations

from gatebook.model import Reach
from gatebook.protocols.http import mcp
from gatebook.protocols.http.bodyfacts import BodyFact, JsonPath
from gatebook.protocols.http.reading import RouteReach, Shape
from gatebook.protocols.http.routes import Pattern, read_document

DOCUMENT = """
openapi: 3.1.0
servers: [{url: /}, {url: "https://api.example.com/{version}", variables: {version: {enum: [v1, v2], default: v1}}}]
paths:
  /customers:
    get: {operationId: listCustomers, tags: [customers]}
    post: {operationId: addCustomer, tags: [customers]}
  /customers/me:
    get: {operationId: getSelf}
  /customers/{id}:
    get: {operationId: getCustomer, tags: [customers]}
    put: {}
    patch: {}
    delete: {operationId: removeCustomer}
  /reports/{year}-{month}.pdf:
    $ref: "#/components/pathItems/report"
  /both/{a}: {get: {}}
  /{b}/sides: {get: {}}
components:
  pathItems:
    report: {get: {operationId: getReport}}
"""


def reach(pattern: str, reach: Reach, *methods: str) -> RouteReach:
    return RouteReach(pattern=Pattern.parse(pattern), reach=reach, methods=frozenset(methods))


def fact(name: str, path: str, *, over: float | None = None, present: bool = False) -> BodyFact:
    return BodyFact(
        name=name,
        path=JsonPath.parse(path),
        over=over,
        present=present,
        route=Pattern.parse("/payments"),
        methods=frozenset({"POST"}),
    )


REACHES = (
    reach("/iam/**", Reach.ADMIN),
    reach("/admin/**", Reach.ADMIN),
    reach("/search", Reach.READ, "POST"),
    reach("/iam/search", Reach.READ, "POST"),
    reach("/cache/*", Reach.WRITE, "PURGE"),
    reach("/feed", Reach.READ, "WEBSOCKET"),
    reach("/shop.v1.Orders/Get", Reach.READ, "GRPC"),
)
FACTS = (
    fact("amount", "$.amount"),
    fact("large", "$.amount", over=1000),
    fact("to", "$.to.iban"),
    fact("overridden", "$['override']", present=True),
)
ROUTES = read_document(DOCUMENT)
GRAPHQL = frozenset({"/graphql", "/admin/graphql"})
MCP = mcp.Shape(paths=frozenset({"/mcp"}), reads=frozenset({"get_ticket"}), writes=frozenset({"add_note"}))

SHAPES = {
    "api": Shape(routes=ROUTES, reaches=REACHES, graphql=GRAPHQL, mcp=MCP, facts=FACTS),
    "strict": Shape(routes=ROUTES, undocumented="unknown"),
    "lenient": Shape(method_override="ignored"),
    "kept": Shape(reaches=REACHES, encoded_slashes="kept"),
    "bare": Shape(reaches=REACHES, graphql=GRAPHQL),
}
