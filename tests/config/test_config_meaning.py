"""What the configuration says of what requests mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.written import WHOLE, written

from gatebook.config import HttpTarget, load
from gatebook.config.http import document
from gatebook.config.shapes import shape_of
from gatebook.errors import ConfigError
from gatebook.model import Reach
from gatebook.protocols.http.reading import Shape, read
from gatebook.protocols.http.written import parse

CRM = """\
  - name: crm
    protocol: http
    origins: [https://crm.internal]
    roles: {gateway: {bearer: env:CRM_TOKEN}}
    default_role: gateway
    openapi: crm.yaml
    undocumented: unknown
    routes:
      - {route: "/iam/**", reach: admin}
      - {route: /search, methods: [POST], reach: read}
    facts:
      - {name: large, path: "$.amount", over: 1000, route: /payments, methods: [POST]}
      - {name: to, path: "$['to'].iban"}
      - {name: forced, path: $.force, present: true}
    graphql: {paths: [/GraphQL/]}
    mcp: {paths: [/mcp], reads: [search_tickets], writes: [add_note]}
    method_override: ignored
    body_bytes: 2048
policy:"""
TEXT = WHOLE.replace("policy:", CRM, 1).replace(
    "  api: {bind",
    "  http: {bind: 127.0.0.1:16443, tls: {cert: tls/gateway.crt, key: tls/gateway.key}}\n  api: {bind",
    1,
)
DOCUMENT = "openapi: 3.0.3\npaths: {/customers/{id}: {get: {operationId: getCustomer}}}\n".replace("{id}:", "{id}: ").replace(
    "/customers/{id}: ", '"/customers/{id}": '
)


def placed(folder: Path, text: str = TEXT, document: str = DOCUMENT) -> Path:
    path = written(folder, text)
    (folder / "crm.yaml").write_text(document)
    return path


def shape(path: Path) -> Shape:
    target = load(path).target("crm")
    assert isinstance(target, HttpTarget)
    return shape_of(target)


def test_the_shape_of_a_target_is_what_its_configuration_says(tmp_path: Path) -> None:
    one = shape(placed(tmp_path))
    assert one.routes is not None
    assert [template.text for template in one.routes.templates] == ["/customers/{id}"]
    assert (one.undocumented, one.method_override, one.body_bytes) == ("unknown", "ignored", 2048)
    assert [(entry.pattern.text, entry.reach, entry.methods) for entry in one.reaches] == [
        ("/iam/**", Reach.ADMIN, frozenset()),
        ("/search", Reach.READ, {"POST"}),
    ]
    assert one.graphql == {"/graphql"}
    assert one.mcp is not None
    assert (one.mcp.paths, one.mcp.reads, one.mcp.writes) == ({"/mcp"}, {"search_tickets"}, {"add_note"})
    assert [(fact.name, fact.path.steps, fact.over, fact.present) for fact in one.facts] == [
        ("large", ("amount",), 1000, False),
        ("to", ("to", "iban"), None, False),
        ("forced", ("force",), None, True),
    ]


def test_requests_are_read_by_the_shape(tmp_path: Path) -> None:
    one = shape(placed(tmp_path))
    (deed,) = read(*parse(b"GET /customers/7\n"), one).deeds
    assert (deed.facts["operation"], deed.facts["documented"]) == ("getCustomer", True)
    assert read(*parse(b"GET /iam\n"), one).deeds[-1].facts["why_unknown"] != ""


def test_a_target_without_any_of_it_goes_by_methods(tmp_path: Path) -> None:
    lines = CRM.splitlines()
    text = TEXT.replace(CRM, "\n".join((*lines[:5], lines[-1])))
    assert shape(written(tmp_path, text)) == Shape()


ROWS = [
    # what is written -> the fault
    ("reach: admin}", "reach: root}", "targets[1].routes[0].reach: 'root': expected one of read, write, admin, unknown"),
    (
        "methods: [POST], reach: read}",
        "reach: read}",
        "targets[1].routes[1].reach: 'read': expected methods beside read: without them",
    ),
    (
        'route: "/iam/**"',
        "route: iam",
        "targets[1].routes[0].route: 'iam': expected a path as /users, /users/*/roles or /iam/**",
    ),
    (
        'route: "/iam/**"',
        'route: "/**/iam"',
        "targets[1].routes[0].route: '/**/iam': expected a path with * for one whole segment",
    ),
    (
        'route: "/iam/**"',
        'route: "/iam/us*"',
        "targets[1].routes[0].route: '/iam/us*': expected a path with * for one whole segment",
    ),
    ('route: "/iam/**"', 'route: "/iam/../x"', "targets[1].routes[0].route: '/iam/../x': expected a path as"),
    (
        "methods: [POST], reach: read",
        "methods: [post], reach: read",
        "targets[1].routes[1].methods[0]: 'post': expected a method in capitals",
    ),
    ('path: "$.amount"', "path: amount", "targets[1].facts[0].path: 'amount': expected a path into JSON"),
    ('path: "$.amount"', 'path: "$"', "targets[1].facts[0].path: '$': expected a path into JSON"),
    ('path: "$.amount"', 'path: "$..amount"', "targets[1].facts[0].path: '$..amount': expected a path into JSON"),
    ("name: large", "name: Large", "targets[1].facts[0].name: 'Large': expected a name of small letters"),
    ("over: 1000", "over: much", "targets[1].facts[0].over: 'much': expected a whole number"),
    ("over: 1000", "over: 1, present: true", "targets[1].facts[0].present: true: expected over or present, not both"),
    ("paths: [/GraphQL/]", "paths: []", "targets[1].graphql.paths: a list: expected at least one"),
    ("paths: [/GraphQL/]", 'paths: ["/graphql/*"]', "targets[1].graphql.paths[0]: '/graphql/*': expected a path without *"),
    (
        "writes: [add_note]",
        "writes: [search_tickets]",
        "targets[1].mcp.writes: a list: expected search_tickets in reads or in writes, not in both",
    ),
    (
        "reads: [search_tickets]",
        'reads: ["search tickets"]',
        "targets[1].mcp.reads[0]: 'search tickets': expected the name of a tool",
    ),
    ("body_bytes: 2048", "body_bytes: 12", "targets[1].body_bytes: 12: expected at least 1024"),
    ("undocumented: unknown", "undocumented: block", "targets[1].undocumented: 'block': expected one of allow, unknown"),
]


@pytest.mark.parametrize(("old", "new", "fault"), ROWS)
def test_a_fault_says_what_was_expected(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigError) as caught:
        load(placed(tmp_path, TEXT.replace(old, new, 1)))
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- a\n", "expected an OpenAPI document"),
        ("{", "expected JSON or YAML"),
        ("openapi: 2.0\npaths: {}", "openapi: '2.0': expected 3.x"),
        ("openapi: 3.1.0\npaths: {}", "paths: expected at least one path"),
        ("openapi: 3.1.0\npaths: {customers: {}}", "paths.customers: expected a path that begins with a slash"),
        ("openapi: 3.1.0\npaths: {/a: {$ref: other.yaml#/a}}", "$ref 'other.yaml#/a': expected a place in the same document"),
        ("openapi: 3.1.0\npaths: {/a: {$ref: '#/paths/~1a'}}", "$ref: expected at most 8 one after the other"),
        ("openapi: 3.1.0\npaths: {/a/../b: {get: {}}}", "expected a path of which there is no doubt"),
    ],
)
def test_a_document_that_cannot_be_used_is_a_fault(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(placed(tmp_path, document=text))
    assert "targets[1].openapi: " in str(caught.value)
    assert fault in str(caught.value)


def test_a_document_that_is_not_there_is_a_fault_once_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected an OpenAPI document"):
        document(tmp_path / "gone.yaml")
    (tmp_path / "not-utf8").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError):
        document(tmp_path / "not-utf8")
