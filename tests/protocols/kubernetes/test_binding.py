"""What people saw, written into each kind of request, so that it falls on that and on nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.protocols.kubernetes.requests import APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, sent

from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.kubernetes.binding import bound

WEB = "/apis/apps/v1/namespaces/prod/deployments/web"
POD = "/api/v1/namespaces/prod/pods/p"
SEEN = {"uid": "u-1", "version": "42"}
SEEN_HERE = {"uid": "u-1", "resourceVersion": "42"}


def held(method: str, target: str, body: Any = None, kind: str = JSON) -> Any:
    """The content that may go, read; it must be said to be JSON where it is a deletion's."""
    data = b"" if body is None else json.dumps(body).encode()
    request, content = bound(sent(method, target, *([("content-type", kind)] if data else [])), data, SEEN)
    assert request.target == target
    assert request.get(b"content-type") is not None
    return json.loads(content)


def test_a_deletion_has_preconditions_beside_what_the_client_said() -> None:
    told = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "propagationPolicy": "Orphan", "preconditions": {"uid": "u-1"}}
    assert held("DELETE", WEB, told) == {**told, "preconditions": SEEN_HERE}


def test_a_deletion_without_content_says_in_it_what_its_query_said_which_counts_no_more() -> None:
    target = f"{WEB}?propagationPolicy=Foreground&gracePeriodSeconds=5&dryRun=All&orphanDependents=false"
    assert held("DELETE", target) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 5,
        "dryRun": ["All"],
        "preconditions": SEEN_HERE,
    }
    assert held("DELETE", f"{WEB}?orphanDependents")["orphanDependents"] is True


def test_an_eviction_has_preconditions() -> None:
    told = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}}
    assert held("POST", f"{POD}/eviction", told)["deleteOptions"] == {"dryRun": ["All"], "preconditions": SEEN_HERE}


@pytest.mark.parametrize("version", [None, "", "0", "42"])
def test_an_update_has_the_version_that_people_saw(version: str | None) -> None:
    told = {"kind": "Scale", "metadata": {"name": "web"} | ({} if version is None else {"resourceVersion": version})}
    assert held("PUT", f"{WEB}/scale", told)["metadata"] == {"name": "web", "resourceVersion": "42"}


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC, APPLY])
def test_a_partial_object_has_the_version_that_people_saw(kind: str) -> None:
    assert held("PATCH", WEB, {"spec": {"replicas": 3}}, kind) == {
        "spec": {"replicas": 3},
        "metadata": {"resourceVersion": "42"},
    }


def test_directives_that_leave_the_version_alone_are_no_hindrance() -> None:
    told = {"metadata": {"$setElementOrder/finalizers": ["a"], "$deleteFromPrimitiveList/finalizers": ["b"]}}
    assert held("PATCH", WEB, told, STRATEGIC)["metadata"] == {**told["metadata"], "resourceVersion": "42"}


@pytest.mark.parametrize("path", ["/metadata/resourceVersion", "/metadata"])
def test_a_json_patch_sets_the_version_last_so_that_the_client_cannot_take_it_back(path: str) -> None:
    told = [{"op": "replace", "path": path, "value": "0"}, {"op": "test", "path": path, "value": "0"}]
    ours = {"op": "add", "path": "/metadata/resourceVersion", "value": "42"}
    assert held("PATCH", WEB, told, JSON_PATCH) == [*told, ours]


@pytest.mark.parametrize(
    ("method", "target", "body", "kind"),
    [
        ("PUT", WEB, {"metadata": {"resourceVersion": "41"}}, JSON),
        ("PUT", WEB, {"metadata": {"resourceVersion": 42}}, JSON),
        ("PUT", WEB, {"metadata": {"uid": "u-2"}}, JSON),
        ("PUT", WEB, {"metadata": []}, JSON),
        ("PUT", WEB, [], JSON),
        ("PATCH", WEB, {"metadata": {"resourceVersion": "41"}}, MERGE),
        ("PATCH", WEB, {"metadata": "x"}, MERGE),
        ("PATCH", WEB, {"$patch": "replace"}, STRATEGIC),
        ("PATCH", WEB, {"metadata": {"$patch": "delete"}}, STRATEGIC),
        ("PATCH", WEB, {"metadata": {"$retainKeys": ["name"]}}, STRATEGIC),
        ("PATCH", WEB, {"op": "add"}, JSON_PATCH),
        ("DELETE", WEB, {"preconditions": {"resourceVersion": "41"}}, JSON),
        ("DELETE", WEB, {"preconditions": {"uid": "u-2"}}, JSON),
        ("DELETE", WEB, {"preconditions": [1]}, JSON),
        ("POST", f"{POD}/eviction", {"deleteOptions": {"preconditions": {"uid": "u-2"}}}, JSON),
        ("POST", "/api/v1/namespaces/prod/pods", {}, JSON),
    ],
)
def test_what_cannot_be_held_to_what_people_saw_does_not_go(method: str, target: str, body: Any, kind: str) -> None:
    with pytest.raises(MalformedError) as caught:
        held(method, target, body, kind)
    assert caught.value.status == 409


def test_what_is_held_to_nothing_goes_as_it_is() -> None:
    request = sent("POST", "/api/v1/namespaces/prod/pods", ("content-type", JSON))
    for conditions in ({}, {"absent": "yes"}, {"set": "00"}):
        assert bound(request, b"{ }", conditions) == (request, b"{ }")
