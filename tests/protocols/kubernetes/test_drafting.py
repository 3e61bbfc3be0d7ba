"""What is asked of a cluster before people are asked, in which order, and what comes of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.protocols.kubernetes.requests import APPLY, JSON, JSON_PATCH, MERGE, SHAPE, pod, sent

from gatebook.protocols.http.message import Request
from gatebook.protocols.kubernetes.diffs import SHOWN_BYTES
from gatebook.protocols.kubernetes.drafting import COLLECTED, Draft, drafted
from gatebook.protocols.kubernetes.reading import read

PROD = "/api/v1/namespaces/prod"
MAP = f"{PROD}/configmaps/m"
WEB = "/apis/apps/v1/namespaces/prod/deployments/web"


def draft(method: str, target: str, body: Any = None, kind: str = JSON, *, upgrade: str = "", again: bool = False) -> Draft:
    data = b"" if body is None else json.dumps(body).encode()
    request = sent(method, target, *([("content-type", kind)] if data else []), ("x-mine", "1"), upgrade=upgrade)
    found = drafted(request, None if upgrade else data, read(request, None if upgrade else data, SHAPE), again=again)
    assert found is not None
    return found


def asked(one: Draft) -> tuple[str, Any]:
    """The next question in a line, and its content; nothing of the client's fields but its content's type goes on."""
    question = one.question()
    assert question is not None
    request, content = question
    assert {name for name, _ in request.fields} <= {b"accept", b"content-type"}
    return line(request), json.loads(content) if content else None


def line(request: Request) -> str:
    return f"{request.method} {request.target}"


def answer(one: Draft, body: Any, status: int = 200, covered: Any = None) -> None:
    one.answered(status, json.dumps(body).encode(), json.dumps(covered or body).encode())


def config(version: str = "1", uid: str = "u", **more: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "m", "uid": uid, "resourceVersion": version}, **more}


def test_a_change_asks_for_the_object_and_then_for_a_dry_run_that_is_bound_to_it() -> None:
    one = draft("PATCH", f"{MAP}?fieldManager=x", {"data": {"a": "2"}}, MERGE)
    assert asked(one) == (f"GET {MAP}", None)
    answer(one, config(data={"a": "1"}))
    bound = {"data": {"a": "2"}, "metadata": {"resourceVersion": "1"}}
    assert asked(one) == (f"PATCH {MAP}?dryRun=All&fieldManager=x", bound)
    answer(one, config(data={"a": "2"}))
    assert one.question() is None
    shown = one.shown()
    assert (shown.why, shown.form, shown.held_to) == ("", "diff", {"uid": "u", "version": "1"})
    assert [row for row in shown.text.splitlines() if row[0] in "+-"] == ["-  a: '1'", "+  a: '2'"]


def test_a_deletion_is_tried_by_its_options() -> None:
    one = draft("DELETE", f"{MAP}?propagationPolicy=Orphan")
    asked(one)
    answer(one, config())
    told = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan", "dryRun": ["All"]}
    question, content = asked(one)
    assert question == f"DELETE {MAP}?propagationPolicy=Orphan"
    assert content == {**told, "preconditions": {"uid": "u", "resourceVersion": "1"}}
    answer(one, {"kind": "Status", "status": "Success"})
    assert one.shown().notes == ("What it owns: Orphan.",)


def test_every_dry_run_is_one() -> None:
    tries = [
        ("POST", f"{PROD}/pods", pod(), JSON),
        ("PUT", MAP, config(), JSON),
        ("PATCH", WEB, [], JSON_PATCH),
        ("PATCH", WEB, {"apiVersion": "apps/v1", "kind": "Deployment"}, APPLY),
        ("PATCH", f"{WEB}/scale", {"spec": {"replicas": 2}}, MERGE),
        ("PUT", f"{WEB}/scale?dryRun=All", {"spec": {"replicas": 2}}, JSON),
        ("POST", f"{PROD}/pods/p/eviction", {"kind": "Eviction", "metadata": {"name": "p"}}, JSON),
        ("DELETE", MAP, {"kind": "DeleteOptions"}, JSON),
    ]
    for method, target, body, kind in tries:
        one = draft(method, target, body, kind)
        question, content = asked(one)
        if question.startswith("GET "):
            answer(one, config())
            question, content = asked(one)
        by_content = isinstance(content, dict) and content.get("dryRun") == ["All"]
        assert by_content or "?dryRun=All" in question, question
        assert method != "DELETE" or by_content


def test_what_an_eviction_and_a_finalization_are_of_is_looked_at() -> None:
    assert asked(draft("POST", f"{PROD}/pods/p/eviction", {"metadata": {"name": "p"}}))[0] == f"GET {PROD}/pods/p"
    assert asked(draft("PUT", "/api/v1/namespaces/n/finalize", {"metadata": {"name": "n"}}))[0] == "GET /api/v1/namespaces/n"
    assert asked(draft("PUT", f"{WEB}/status", {"metadata": {"name": "web"}}))[0] == f"GET {WEB}/status"


@pytest.mark.parametrize(
    ("method", "target", "body", "upgrade", "why"),
    [
        ("GET", f"{PROD}/pods/p/exec?command=ls", None, "websocket", "nothing of it is held"),
        ("GET", f"{PROD}/pods/p/attach", None, "websocket", "nothing of it is held"),
        ("GET", f"{PROD}/pods/p/portforward", None, "websocket", "nothing of it is held"),
        ("POST", f"{PROD}/services/s/proxy/x", None, "", "nothing of it is held"),
        ("POST", f"{PROD}/serviceaccounts/a/token", {}, "", "k8s.token is not among"),
        ("POST", f"{PROD}/pods/p/binding", {}, "", "k8s.bind is not among"),
        ("PUT", f"{PROD}/pods/p/ephemeralcontainers", {}, "", "nothing of it is held"),
        ("POST", "/apis/example.com/v1/namespaces/prod/widgets", {}, "", "not of Kubernetes itself"),
        ("POST", "/apis/other.com/v1/namespaces/prod/things", {}, "", "could not be told for sure"),
        ("DELETE", "/apis/metrics.k8s.io/v1/namespaces/prod/pods/p", None, "", "not of Kubernetes itself"),
        ("POST", f"{PROD}/secrets", {"type": "kubernetes.io/service-account-token"}, "", "may mint a credential"),
        ("DELETE", f"{PROD}/pods?limit=1", None, "", "says more than which objects"),
        ("DELETE", f"{PROD}/pods?resourceVersion=1", None, "", "says more than which objects"),
    ],
)
def test_what_no_dry_run_is_good_for_is_not_asked(method: str, target: str, body: Any, upgrade: str, why: str) -> None:
    one = draft(method, target, body, upgrade=upgrade)
    assert why in one.why
    assert one.question() is None
    assert (one.shown().why, one.shown().held_to) == (one.why, {})


def test_what_only_reads_is_not_tried() -> None:
    request = sent("GET", MAP)
    assert drafted(request, b"", read(request, b"", SHAPE)) is None


@pytest.mark.parametrize("status", [403, 404, 500, 302])
def test_an_object_that_cannot_be_seen_ends_it(status: int) -> None:
    one = draft("DELETE", MAP)
    asked(one)
    answer(one, {"kind": "Status", "reason": "Forbidden", "message": "no\u202e"}, status)
    assert one.question() is None
    assert one.shown().why == f"what is there cannot be read in the requester's place: {status} Forbidden no\\u202e"
    assert one.shown().held_to == {}


def test_what_the_cluster_refuses_is_said_and_held_to_what_is_there_all_the_same() -> None:
    one = draft("PUT", MAP, {"metadata": {"name": "m"}})
    asked(one)
    answer(one, config())
    asked(one)
    answer(
        one, {"kind": "Status", "reason": "Invalid", "message": "secret"}, 422, {"reason": "Invalid", "message": "<covered>"}
    )
    assert one.shown().why == "the cluster refuses it as it is: 422 Invalid <covered>"
    assert one.shown().held_to == {"uid": "u", "version": "1"}


def test_a_change_that_rests_on_another_version_is_not_tried() -> None:
    one = draft("PUT", MAP, config(version="7"))
    asked(one)
    answer(one, config(version="8"))
    assert one.question() is None
    assert "another version" in one.shown().why
    assert one.shown().held_to == {}  # the cluster will say so itself


@pytest.mark.parametrize("depth", [200, 400, 600, 800, 5_000, 100_000])
def test_an_object_without_a_floor_raises_nothing(depth: int) -> None:
    deep = b'{"metadata":{"uid":"u","resourceVersion":"1"},"data":' + b'{"a":' * depth + b"1" + b"}" * (depth + 1)
    one = draft("DELETE", MAP)
    asked(one)
    one.answered(200, deep, deep)
    if one.question() is not None:
        answer(one, {})
    shown = one.shown()
    assert shown.why or shown.text
    assert len(shown.text) <= SHOWN_BYTES + 64


def test_an_apply_to_what_is_not_there_is_shown_whole_and_held_to_that() -> None:
    one = draft("PATCH", MAP, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}, APPLY)
    asked(one)
    answer(one, {"kind": "Status"}, 404)
    asked(one)
    answer(one, config(data={"a": "1"}), 201)
    shown = one.shown()
    assert (shown.form, shown.held_to) == ("comes", {"absent": "yes"})
    assert "uid" not in shown.text
    again = draft("PATCH", MAP, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}, APPLY, again=True)
    asked(again)
    answer(again, {"kind": "Status"}, 404)
    assert again.question() is None
    assert again.shown().held_to == shown.held_to


@pytest.mark.parametrize("odd", [[], "x", {"metadata": {}}, {"metadata": []}, {"metadata": {"uid": 1, "resourceVersion": 2}}])
def test_an_answer_that_is_no_object_shows_nothing_and_raises_nothing(odd: Any) -> None:
    one = draft("DELETE", MAP)
    asked(one)
    answer(one, odd)
    assert one.question() is None
    assert one.shown().why
    torn = draft("DELETE", MAP)
    asked(torn)
    torn.answered(200, b"{", b"{")
    assert torn.shown().why == "the cluster's answer, 200, is no JSON"


# Many at once ------------------------------------------------------------------------------------------------------------


def page(names: list[str], more: str = "") -> dict[str, Any]:
    items = [{"metadata": {"namespace": "prod", "name": name, "uid": f"u-{name}"}} for name in names]
    return {"kind": "PartialObjectMetadataList", "metadata": {"continue": more}, "items": items}


def collected(*pages: list[str]) -> Draft:
    one = draft("DELETE", f"{PROD}/pods?labelSelector=a%3Db&propagationPolicy=Background")
    for number, names in enumerate(pages):
        question, content = asked(one)
        goes_on = f"&continue=page{number}" if number else ""
        assert (question, content) == (f"GET {PROD}/pods?labelSelector=a%3Db&limit=500{goes_on}", None)
        answer(one, page(names, f"page{number + 1}" if number + 1 < len(pages) else ""))
    return one


def test_a_deletion_of_many_shows_their_names_page_by_page() -> None:
    one = collected(["b"], ["a"])
    assert one.question() is None
    shown = one.shown()
    assert (shown.form, shown.text) == ("names", "prod/a\nprod/b")
    assert shown.notes == ("2 objects would go.", "What it owns: Background.")
    assert shown.held_to == collected(["a", "b"]).shown().held_to
    assert shown.held_to != collected(["a", "c"]).shown().held_to
    assert shown.held_to != collected(["a"]).shown().held_to


def test_a_deletion_of_very_many_shows_some_and_how_many_and_of_more_nothing() -> None:
    text = collected([f"p{number:04}" for number in range(300)]).shown().text.splitlines()
    assert (len(text), text[-1]) == (201, "(100 more)")
    much = collected([f"p{number}" for number in range(COLLECTED + 1)])
    assert much.question() is None
    assert much.shown().why == "it means more than 5,000 objects"
