"""Routes of documents and patterns of the configuration: which fits, and what a large or hostile document costs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.paths import Path
from gatebook.protocols.http.routes import TEMPLATES, Match, Pattern, Routes, read_document


def document(*paths: str, **more: object) -> Routes:
    return read_document(
        json.dumps({"openapi": "3.1.0", "paths": {path: {"get": {"operationId": path}} for path in paths}, **more})
    )


def at(text: str) -> Path:
    segments = tuple(part for part in text.split("/") if part)
    return Path("/" + "/".join(segments), segments, known=True)


def match(routes: Routes, path: str, method: str = "GET") -> tuple[Match, str]:
    doubts = Doubts()
    return routes.match(at(path), method, doubts), doubts.why


ROUTES = document(
    "/",
    "/users",
    "/users/{id}",
    "/users/me",
    "/users/{id}/posts/{post}",
    "/users/me/posts/{post}",
    "/files/{name}.{kind}",
    "/files/{name}.json",
    "/files/readme.json",
    "/v1/{name}:cancel",
    "/caf%C3%A9",
)


@pytest.mark.parametrize(
    ("path", "template", "parameters"),
    [
        ("/", "/", {}),
        ("/users", "/users", {}),
        ("/users/7", "/users/{id}", {"id": "7"}),
        ("/users/me", "/users/me", {}),
        ("/users/7/posts/8", "/users/{id}/posts/{post}", {"id": "7", "post": "8"}),
        ("/users/me/posts/8", "/users/me/posts/{post}", {"post": "8"}),
        ("/files/a.txt", "/files/{name}.{kind}", {"name": "a", "kind": "txt"}),
        ("/files/a.json", "/files/{name}.json", {"name": "a"}),
        ("/files/readme.json", "/files/readme.json", {}),
        ("/files/.json", "", {}),
        ("/v1/job7:cancel", "/v1/{name}:cancel", {"name": "job7"}),
        ("/v1/:cancel", "", {}),
        ("/v1/job7", "", {}),
        ("/café", "/caf%C3%A9", {}),
        ("/users/7/posts", "", {}),
        ("/user", "", {}),
    ],
)
def test_a_path_takes_the_most_concrete_template(path: str, template: str, parameters: dict[str, str]) -> None:
    found, why = match(ROUTES, path)
    assert (found.template, dict(found.parameters), why) == (template, parameters, "")
    assert found.documented is bool(template)
    assert found.operation == template


@pytest.mark.parametrize(
    ("paths", "path"),
    [(("/{a}/x", "/y/{b}"), "/y/x"), (("/{a}x", "/x{a}"), "/x-x"), (("/{a}-{b}", "/{a}.{b}"), "/a-b.c")],
)
def test_two_templates_of_which_none_is_more_concrete_are_a_doubt(paths: tuple[str, ...], path: str) -> None:
    assert "several documented routes" in match(document(*paths), path)[1]


@pytest.mark.parametrize("path", ["/USERS", "/Users/7", "/users/ME/POSTS/8"])
def test_a_path_in_other_letters_is_no_route_or_a_doubt(path: str) -> None:
    found, why = match(ROUTES, path)
    assert (found.template == "" and why != "") or "ME" in path


def test_the_same_template_twice_has_the_methods_of_both() -> None:
    routes = read_document('{"openapi": "3.0.0", "paths": {"/a/{b}": {"get": {}}, "/a/{c}": {"post": {}}}}')
    assert [match(routes, "/a/7", method)[0].documented for method in ("GET", "POST", "PUT")] == [True, True, False]
    assert match(routes, "/a/7")[1] == ""


@pytest.mark.parametrize(
    ("more", "path", "template"),
    [
        ({"servers": [{"url": "https://api.example.com/v2/"}]}, "/v2/users", "/v2/users"),
        ({"servers": [{"url": "https://api.example.com/v2/"}]}, "/users", ""),
        ({"servers": [{"url": "/v2"}, {"url": "/"}]}, "/users", "/users"),
        (
            {"servers": [{"url": "{base}/v2", "variables": {"base": {"default": "https://x"}}}]},
            "/v2/users",
            "/v2/users",
        ),
        ({"servers": [{"url": "/{v}", "variables": {"v": {"default": "v1", "enum": ["v1", "v2"]}}}]}, "/v2/users", "/v2/users"),
        ({"servers": [{"url": "/{v}", "variables": {"v": {"default": "v1", "enum": ["v1", "v2"]}}}]}, "/v3/users", ""),
        ({"servers": [{"url": "{scheme}://{host}/api"}]}, "/api/users", "/api/users"),
        ({"servers": []}, "/users", "/users"),
    ],
)
def test_base_paths_come_from_the_servers(more: dict[str, object], path: str, template: str) -> None:
    assert match(document("/users", **more), path)[0].template == template


def test_a_base_path_of_swagger_is_read() -> None:
    routes = read_document("swagger: '2.0'\nbasePath: /api/\npaths: {/users: {get: {operationId: u, tags: [a, b]}}}")
    found, _ = match(routes, "/api/users")
    assert (found.template, found.operation, found.tags) == ("/api/users", "u", {"a", "b"})


def test_a_servers_entry_nearer_to_the_path_counts() -> None:
    item = {"servers": [{"url": "/near"}], "get": {"servers": [{"url": "/nearest"}]}}
    routes = read_document(json.dumps({"openapi": "3.0.0", "servers": [{"url": "/far"}], "paths": {"/a": item}}))
    assert [match(routes, path)[0].documented for path in ("/near/a", "/nearest/a", "/far/a")] == [True, True, False]


def test_a_reference_leads_to_another_place_of_the_document() -> None:
    items = '{"b/c": {"get": {"operationId": "found"}}}'
    text = f'{{"openapi": "3.0.0", "paths": {{"/a": {{"$ref": "#/x-items/b~1c"}}}}, "x-items": {items}}}'
    assert match(read_document(text), "/a")[0].operation == "found"


def test_aliases_of_yaml_do_not_grow() -> None:
    levels = "\n".join(f"x-{n}: &x{n} [{', '.join(f'*x{n - 1}' for _ in range(9))}]" for n in range(1, 20))
    routes = read_document(f"openapi: 3.0.0\nx-0: &x0 [a]\n{levels}\npaths: {{/a: {{get: {{}}}}}}")
    assert match(routes, "/a")[0].documented


def test_a_document_of_too_many_paths_is_refused() -> None:
    with pytest.raises(ValueError, match=f"more than {TEMPLATES}"):
        document(*(f"/a/{number}" for number in range(TEMPLATES + 1)))


def test_templates_that_all_fit_cost_no_more_than_a_few() -> None:
    routes = document(*(f"/{'/'.join(('{a}', f'x{n % 7}{n}', '{b}')[n % 3] for n in range(6))}/{m}" for m in range(2_000)))
    many = document(*(f"/{'{a}' * 2}{number}" for number in range(500)))
    assert match(routes, "/a/x1/b/a/x4/b/7")[1] == ""
    assert match(many, f"/{'1' * 5_000}")[0].template.endswith("}111")


@given(st.text(alphabet="ab.-", max_size=400), st.integers(min_value=1, max_value=30))
def test_many_parameters_in_one_segment_are_told_apart_in_little_time(segment: str, count: int) -> None:
    routes = document("/" + "-".join(f"{{p{n}}}" for n in range(count)))
    found, _ = match(routes, f"/{segment}")
    values = [value for _, value in found.parameters]
    assert not values or ("-".join(values) == segment and all(values))


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/iam/**", "/iam", True),
        ("/iam/**", "/iam/users/7", True),
        ("/iam/**", "/iamb", False),
        ("/**", "/anything/at/all", True),
        ("/**", "/", True),
        ("/users/*", "/users/7", True),
        ("/users/*", "/users", False),
        ("/users/*", "/users/7/roles", False),
        ("/users/{id}/roles", "/users/7/roles", True),
        ("/users/", "/users", True),
        ("/USERS", "/users", True),
    ],
)
def test_a_pattern_fits_whole_segments_without_regard_to_capitals(pattern: str, path: str, fits: bool) -> None:
    one = Pattern.parse(pattern)
    assert one.matches(at(path).segments) is fits
    assert one.matches(at(path).segments, exactly=True) is (fits and pattern != "/USERS")


@pytest.mark.parametrize("text", ["", "iam", "/iam/**/x", "/ia*", "/a/../b", "/a//b", "/a?b", "/a b", "/%2e%2e", "/a;b", "/é"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a path"):
        Pattern.parse(text)
