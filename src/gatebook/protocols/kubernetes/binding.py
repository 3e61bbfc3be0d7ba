"""What people saw, written into a request, so that the API server itself refuses it where the object is another by now.

Each method has a place of its own for that: a deletion and an eviction have preconditions, an object and a partial one have a
``resourceVersion``, and a JSON Patch sets it by its last operation, where nothing of the client's can take it back. (A ``test``
at its beginning would hold, too, but is answered as a bad patch, and not as the conflict that it is.)

A client that says itself on which version it rests must mean the one that people saw. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.forwarding import without
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.paths import read_path, read_query
from gatebook.protocols.kubernetes.contents import JSON, PATCHES
from gatebook.protocols.kubernetes.paths import Query, every, first, flag, read_place

UID, VERSION = "uid", "version"  # of the object that people saw
ABSENT, SET = "absent", "set"  # that there was none; which ones a collection had: looked at again just before
LOOKED_AT = frozenset({ABSENT, SET})

_NOWHERE = frozenset({"", "0"})  # versions that mean none
_REPLACING = frozenset({"$patch", "$retainKeys"})  # what they leave of the metadata need not have the version
_FLAGS = ("orphanDependents", "ignoreStoreReadErrorWithClusterBreakingPotential")


def bound(request: Request, content: bytes, conditions: Mapping[str, str]) -> tuple[Request, bytes]:
    """The request as it may go under these conditions. Raises MalformedError for one that cannot be held to them."""
    if UID not in conditions:
        return request, content
    nobody = Doubts()
    query = read_query(request.query, nobody)
    place = read_place(request.method, read_path(request.path, nobody), query, nobody)
    if place.verb == "delete":
        return _as_json(request), _written(_deletion(_object(content, query), conditions))
    if place.subresource == "eviction":
        return request, _written(_eviction(_object(content), conditions))
    if place.verb == "patch" and patch_of(request) == "json":
        return request, _written(_operations(content, conditions))
    if place.verb in ("update", "patch"):
        return request, _written(_versioned(_object(content), conditions, patch=place.verb == "patch"))
    raise MalformedError("what people saw cannot be written into such a request", HTTPStatus.CONFLICT)


def patch_of(request: Request) -> str:
    """Which kind of patch its content is; "" for none."""
    kind = (request.get(b"content-type") or b"").decode("latin-1").partition(";")[0].strip().lower()
    return PATCHES.get(kind, "")


def _deletion(told: dict[str, Any], conditions: Mapping[str, str]) -> dict[str, Any]:
    given = _inner(told, "preconditions")
    return {**told, "preconditions": _preconditions(given, conditions)}


def _eviction(told: dict[str, Any], conditions: Mapping[str, str]) -> dict[str, Any]:
    given = _inner(told, "deleteOptions")
    return {**told, "deleteOptions": {**given, "preconditions": _preconditions(_inner(given, "preconditions"), conditions)}}


def _preconditions(given: dict[str, Any], conditions: Mapping[str, str]) -> dict[str, Any]:
    for name, key in (("uid", UID), ("resourceVersion", VERSION)):
        _check(given.get(name), conditions[key])
    return {**given, "uid": conditions[UID], "resourceVersion": conditions[VERSION]}


def _versioned(told: dict[str, Any], conditions: Mapping[str, str], *, patch: bool) -> dict[str, Any]:
    """An object, or a part of one, that rests on the version that people saw."""
    metadata = _inner(told, "metadata")
    if patch and _REPLACING & {*told, *metadata}:
        raise MalformedError(
            "its patch has a directive beside metadata, so it cannot be held to what people saw", HTTPStatus.CONFLICT
        )
    _check(metadata.get("resourceVersion"), conditions[VERSION])
    _check(metadata.get("uid"), conditions[UID])
    return {**told, "metadata": {**metadata, "resourceVersion": conditions[VERSION]}}


def _operations(content: bytes, conditions: Mapping[str, str]) -> list[Any]:
    told = _value(content)
    if not isinstance(told, list):
        raise MalformedError("its JSON Patch is no list of operations", HTTPStatus.CONFLICT)
    return [*told, {"op": "add", "path": "/metadata/resourceVersion", "value": conditions[VERSION]}]


def _check(given: Any, seen: str) -> None:
    if given is None or given in _NOWHERE:
        return
    if given != seen:
        raise MalformedError(
            "it rests on another version of the object than the one that people saw; read it again", HTTPStatus.CONFLICT
        )


def _object(content: bytes, query: Query = ()) -> dict[str, Any]:
    """What the content says; of a deletion without any, what its query does, which the server goes by no more then."""
    if not content:
        return _options(query)
    told = _value(content)
    if not isinstance(told, dict):
        raise MalformedError("its content is no object, so it cannot be held to what people saw", HTTPStatus.CONFLICT)
    return told


def _options(query: Query) -> dict[str, Any]:
    nobody = Doubts()
    told: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if way := first(query, "propagationPolicy", nobody):
        told["propagationPolicy"] = way
    if (seconds := first(query, "gracePeriodSeconds", nobody)).isdecimal():
        told["gracePeriodSeconds"] = int(seconds)
    if dry := every(query, "dryRun"):
        told["dryRun"] = dry
    return told | {name: True for name in _FLAGS if flag(query, name, nobody)}


def _inner(told: dict[str, Any], name: str) -> dict[str, Any]:
    found = told.get(name)
    if found is not None and not isinstance(found, dict):
        raise MalformedError(f"its {name} is no object, so it cannot be held to what people saw", HTTPStatus.CONFLICT)
    return found or {}


def _value(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise MalformedError("its content cannot be read again", HTTPStatus.CONFLICT) from None


def _written(told: Any) -> bytes:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _as_json(request: Request) -> Request:
    return replace(request, fields=(*without(request.fields, b"content-type"), (b"content-type", JSON.encode())))
