"""What query and content say of a change besides its objects: options, names, and whether both speak of the same object."""

from __future__ import annotations

from typing import Any

from gatebook.protocols.http.contents import ABSENT
from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.kubernetes.contents import Content
from gatebook.protocols.kubernetes.objects import Asked
from gatebook.protocols.kubernetes.paths import Place, Query, every, first, flag
from gatebook.protocols.kubernetes.verbs import Meant

Facts = dict[str, bool | int | str | frozenset[str]]

ALL = "All"  # the one value that dryRun may have
# Secrets that are, or become, a credential for the cluster itself.
MINTING = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "*"})

_NEW = ("k8s.create", "k8s.update", "k8s.patch", "k8s.apply", "k8s.scale")
_WHOLE = (
    "",
    "status",
    "ephemeralcontainers",
    "resize",
    "approval",
    "finalize",
)  # subresources whose content is the object itself


def options(content: Content, query: Query, place: Place, verb: str, heeds: bool, doubts: Doubts) -> Facts:
    """What the query says of a create, update or patch. Only where the server ``heeds`` it is a dry run one."""
    asked = every(query, "dryRun")
    heeded = heeds and verb in _NEW and (verb != "k8s.create" or not place.subresource)
    if asked and set(asked) != {ALL}:
        doubts.wrong(f"its dryRun is {quoted(','.join(asked))}: expected {ALL}")
    return {
        "dry_run": bool(asked) and set(asked) == {ALL} and heeded,
        "field_manager": first(query, "fieldManager", doubts),
        "force": flag(query, "force", doubts) and content.patch == "apply",
    }


def deletion(content: Content, query: Query, heeds: bool, doubts: Doubts) -> Facts:
    """What a deletion says: in its content, or, only where it has none, in its query (apiserver, handlers/delete.go)."""
    if content.size != 0:
        told = content.value if content.value is not ABSENT else None
        if content.read and not isinstance(told, dict):
            doubts.wrong("the content of a deletion is its options (DeleteOptions)")
        told = told if isinstance(told, dict) else {}
        if told.get("kind", "DeleteOptions") != "DeleteOptions":
            doubts.wrong(f"the content of a deletion is of kind DeleteOptions, not {quoted(str(told['kind']))}")
        dry, way, grace = told.get("dryRun"), told.get("propagationPolicy"), told.get("gracePeriodSeconds")
        orphans = told.get("orphanDependents")
        if every(query, "dryRun") and not dry:
            doubts.unsure("its query says dryRun, and its content, which counts, does not")
    else:
        dry = every(query, "dryRun")
        way, orphans = first(query, "propagationPolicy", doubts), flag(query, "orphanDependents", doubts)
        text = first(query, "gracePeriodSeconds", doubts)
        grace = int(text) if text.isdecimal() and len(text) < 10 else None
    if dry and dry != [ALL]:
        doubts.wrong(f"its dryRun is {quoted(str(dry))}: expected [{ALL}]")
    return {
        "dry_run": dry == [ALL] and heeds,
        "propagation": way if isinstance(way, str) and way else "Orphan" if orphans is True else "",
        "grace_seconds": grace if type(grace) is int and 0 <= grace < 2**31 else -1,
    }


def minted(asked: Asked) -> bool:
    """Whether a Secret in it is a credential for the cluster."""
    return bool(asked.sets.get("secret_types", set()) & MINTING)


def check_names(objects: list[Any], content: Content, place: Place, meant: Meant, doubts: Doubts) -> Facts:
    """Kind and name as the content says them; what contradicts the path is a fault, since no server takes it."""
    facts: Facts = {}
    if content.patch in ("json", "merge", "strategic"):
        return facts
    if place.verb == "create" and isinstance(content.value, dict) and str(content.value.get("kind", "")).endswith("List"):
        doubts.unsure("its content is a List, and servers take one object at a time")
    for one in objects:
        if not isinstance(one, dict):
            continue
        if place.subresource in _WHOLE:
            _check_kind(one, place, meant, doubts)
            if meant.known is None and isinstance(one.get("kind"), str):
                facts["kind"] = one["kind"]
        _check_place(one, place, doubts)
    if len(objects) == 1 and place.verb == "create" and not place.name:
        facts["name"] = _name(objects[0])
    return facts


def _check_kind(one: dict[str, Any], place: Place, meant: Meant, doubts: Doubts) -> None:
    kind, version = one.get("kind"), one.get("apiVersion")
    if meant.known is not None and kind is not None and kind != meant.known.kind:
        doubts.unsure(f"its content is of kind {quoted(str(kind))}, its path of {meant.known.kind}")
    group = f"{place.group}/{place.version}" if place.group else place.version
    if version is not None and version != group:
        doubts.unsure(f"its content is of {quoted(str(version))}, its path of {quoted(group)}")


def _check_place(one: dict[str, Any], place: Place, doubts: Doubts) -> None:
    told = one.get("metadata")
    metadata = told if isinstance(told, dict) else {}
    namespace, name = metadata.get("namespace"), metadata.get("name")
    inside = place.namespace if place.resource != "namespaces" else ""
    if namespace and namespace != inside:
        doubts.wrong(
            f"its content is for namespace {quoted(str(namespace))}, its path for {quoted(inside) if inside else 'none'}"
        )
    if name and place.name and name != place.name:
        doubts.wrong(f"its content is of {quoted(str(name))}, its path of {quoted(place.name)}")


def _name(one: Any) -> str:
    """The name of a new object, with a star for what the server makes up."""
    told = one.get("metadata") if isinstance(one, dict) else None
    metadata = told if isinstance(told, dict) else {}
    name, begins = metadata.get("name"), metadata.get("generateName")
    if isinstance(name, str) and name:
        return name[:253]
    return f"{begins[:253]}*" if isinstance(begins, str) else "*"
