# ruff: noqa: E501 (a table reads best with one row a line)
"""Paths mean what the API server's RequestInfo says (k8s.io/apiserver, pkg/endpoints/request/requestinfo_test.go)."""

from __future__ import annotations

import pytest

from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.paths import read_path, read_query
from gatebook.protocols.kubernetes.paths import Place, flag, read_place


def placed(method: str, target: str) -> tuple[Place, Doubts]:
    doubts = Doubts()
    path, _, query = target.partition("?")
    return read_place(method, read_path(path, doubts), read_query(query, doubts), doubts), doubts


ROWS = [
    # method, path -> verb, group, version, namespace, resource, subresource, name
    ("GET", "/api/v1/namespaces", "list", "", "v1", "", "namespaces", "", ""),
    ("GET", "/api/v1/namespaces/other", "get", "", "v1", "other", "namespaces", "", "other"),
    ("GET", "/api/v1/namespaces/other/pods", "list", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "", "foo"),
    ("HEAD", "/api/v1/namespaces/other/pods/foo", "get", "", "v1", "other", "pods", "", "foo"),
    ("GET", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""),
    ("HEAD", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""),
    ("GET", "/api/v1/pods/", "list", "", "v1", "", "pods", "", ""),
    ("GET", "/api/v1/proxy/namespaces/other/pods/foo", "proxy", "", "v1", "other", "pods", "", "foo"),
    ("GET", "/api/v1/proxy/namespaces/other/pods/foo/subpath/not/a/subresource", "proxy", "", "v1", "other", "pods", "", "foo"),
    ("GET", "/api/v1/watch/pods", "watch", "", "v1", "", "pods", "", ""),
    ("GET", "/api/v1/pods?watch=true", "watch", "", "v1", "", "pods", "", ""),
    ("GET", "/api/v1/pods?watch=false", "list", "", "v1", "", "pods", "", ""),
    ("GET", "/api/v1/watch/namespaces/other/pods", "watch", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods?watch=1", "watch", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods?watch=0", "list", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods?watch", "watch", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods?watch=", "watch", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods?watch=FALSE", "list", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods?watch=no", "watch", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods?Watch=1", "list", "", "v1", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods/foo?watch=1", "get", "", "v1", "other", "pods", "", "foo"),
    ("GET", "/api/v1/namespaces/other/pods/foo/status", "get", "", "v1", "other", "pods", "status", "foo"),
    ("GET", "/api/v1/namespaces/other/pods/foo/proxy/subpath", "get", "", "v1", "other", "pods", "proxy", "foo"),
    ("PUT", "/api/v1/namespaces/other/finalize", "update", "", "v1", "other", "namespaces", "finalize", "other"),
    ("PUT", "/api/v1/namespaces/other/status", "update", "", "v1", "other", "namespaces", "status", "other"),
    ("PATCH", "/api/v1/namespaces/other/pods/foo", "patch", "", "v1", "other", "pods", "", "foo"),
    ("DELETE", "/api/v1/namespaces/other/pods/foo", "delete", "", "v1", "other", "pods", "", "foo"),
    ("POST", "/api/v1/namespaces/other/pods", "create", "", "v1", "other", "pods", "", ""),
    ("DELETE", "/api/v1/nodes", "deletecollection", "", "v1", "", "nodes", "", ""),
    ("DELETE", "/api/v1/namespaces", "deletecollection", "", "v1", "", "namespaces", "", ""),
    ("DELETE", "/api/v1/namespaces/other/pods", "deletecollection", "", "v1", "other", "pods", "", ""),
    ("DELETE", "/api/v1/namespaces/other/pods?fieldSelector=metadata.name=x", "deletecollection", "", "v1", "other", "pods", "", ""),
    ("DELETE", "/apis/extensions/v1/namespaces/other/pods", "deletecollection", "extensions", "v1", "other", "pods", "", ""),
    ("POST", "/apis/extensions/v1beta3/namespaces/other/pods", "create", "extensions", "v1beta3", "other", "pods", "", ""),
    ("GET", "/apis/group/v1/resource?fieldSelector=metadata.name=name1", "list", "group", "v1", "", "resource", "", "name1"),
    ("GET", "/apis/group/v1/resource?fieldSelector=metadata.name%3D%3Dname1", "list", "group", "v1", "", "resource", "", "name1"),
    ("GET", "/apis/group/v1/resource?watch=true&fieldSelector=metadata.name=name1", "watch", "group", "v1", "", "resource", "", "name1"),
    ("GET", "/apis/group/v1/resource?fieldSelector=foo=bar", "list", "group", "v1", "", "resource", "", ""),
    ("GET", "/apis/group/v1/resource?fieldSelector=metadata.name!=name1", "list", "group", "v1", "", "resource", "", ""),
    ("GET", "/apis/group/v1/resource?fieldSelector=metadata.name=..", "list", "group", "v1", "", "resource", "", ""),
    ("GET", "/apis/group/v1/resource?fieldSelector=metadata.name=a%5C,b", "list", "group", "v1", "", "resource", "", ""),
    ("GET", "/apis/group/v1/watch/resource?fieldSelector=metadata.name=foo", "watch", "group", "v1", "", "resource", "", ""),
    ("GET", "/apis/group/v1/watch/resource/name", "watch", "group", "v1", "", "resource", "", "name"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "verb", "group", "version", "namespace", "resource", "subresource", "name"), ROWS)
def test_a_path_means_what_the_server_takes_it_for(
    method: str, target: str, verb: str, group: str, version: str, namespace: str, resource: str, subresource: str, name: str
) -> None:
    place, doubts = placed(method, target)
    assert (place.verb, place.group, place.version, place.namespace) == (verb, group, version, namespace)
    assert (place.resource, place.subresource, place.name) == (resource, subresource, name)
    assert doubts.why == ""


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/", "/api/v1", "/api/v1/", "/apis", "/apis/batch", "/apis/batch/v1", "/apis/batch/v1/", "/version", "/badprefix/v1/pods", "/APIS/batch/v1/jobs"],
)  # fmt: skip
def test_other_paths_are_of_no_resource(path: str) -> None:
    assert placed("GET", path)[0].resource == ""


@pytest.mark.parametrize(
    ("method", "path", "why"),
    [
        ("GET", "/api/v1//namespaces/prod/secrets", "empty segment"),
        ("GET", "/api/v1/namespaces/prod/../kube-system/secrets", "dot segment"),
        ("GET", "/api/v1/namespaces/prod/%2e%2e/kube-system/secrets", "dot segment"),
        ("GET", "/api/v1/namespaces/prod%2fsecrets", "encoded slash"),
        ("GET", "/api/v1/namespaces/prod%5csecrets", "backslash"),
        ("GET", "/api/v1/namespaces/prod;x/secrets", "semicolon"),
        ("GET", "/api/v1/namespaces/prod/secrets%00", "control character"),
        ("GET", "/api/v1/namespaces/prod/secrets%252f", "encoded twice"),
        ("GET", "/apis/APPS/v1/deployments", "no group and version"),
        ("GET", "/api/V1/pods", "no group and version"),
        ("GET", "/api/v1/watch", "for reading what follows"),
        ("DELETE", "/api/v1/watch/namespaces/prod/pods", "for reading what follows"),
        ("POST", "/api/v1/proxy/namespaces/prod/pods/x", "for reading what follows"),
        ("GET", "/api/v1/pods?watch=0&watch=1", "watch several times"),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name=a&fieldSelector=metadata.name=b", "fieldSelector several times"),
        ("DELETE", "/api/v1/namespaces/x/pods?labelSelector=a&labelSelector=", "labelSelector several times"),
        ("GET", "/api/v1/pods?watch=1;x=1", "semicolon"),
    ],
)
def test_what_could_be_read_in_two_ways_is_doubted(method: str, path: str, why: str) -> None:
    assert why in placed(method, path)[1].why


def test_a_parameter_says_no_in_two_ways_only() -> None:
    for text, yes in (
        ("", False),
        ("x", True),
        ("x=", True),
        ("x=0", False),
        ("x=False", False),
        ("x=00", True),
        ("X=1", False),
    ):
        assert flag(read_query(text, Doubts()), "x", Doubts()) is yes
