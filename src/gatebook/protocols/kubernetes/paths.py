"""What a path of the API means, by the API server's own rules (k8s.io/apiserver, pkg/endpoints/request/requestinfo.go).

The server's authorization goes by these rules, so whoever reads a path otherwise decides about another request. Where the path
itself could be read in two ways (``protocols.http.paths``), there is a doubt already; the ones added here are of Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.http.paths import Path

VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

_BY_PREFIX = frozenset({"proxy", "watch"})
_OF_NAMESPACES = frozenset({"status", "finalize"})
_SELECTED = frozenset({"list", "watch", "deletecollection"})
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_GROUP = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9_.:-]+")

Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a request goes. ``verb`` is the server's own word for what it does there, "" for none; ``rest`` stands behind the
    subresource. ``resource`` is "" where the path is of no resource.
    """

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: tuple[str, ...] = ()
    field_selector: str = ""
    label_selector: str = ""

    @property
    def full(self) -> str:
        """The resource with its group: ``deployments.apps``."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


def read_place(method: str, path: Path, query: Query, doubts: Doubts) -> Place:
    """The place of a path, as the server's RequestInfo has it."""
    verb, parts = VERBS.get(method, ""), path.segments
    if not parts or parts[0] not in ("api", "apis") or len(parts) < (3 if parts[0] == "api" else 4):
        return Place(verb=verb)
    group, parts = ("", parts[1:]) if parts[0] == "api" else (parts[1], parts[2:])
    version, parts = parts[0], parts[1:]
    if not _VERSION.fullmatch(version) or not (_GROUP.fullmatch(group) or not group):
        doubts.unsure(f"{quoted('/'.join(filter(None, (group, version))))} is no group and version of an API")
    by_prefix = parts[0] in _BY_PREFIX
    if by_prefix:
        if method not in ("GET", "HEAD") or len(parts) < 2:
            doubts.unsure(f"its path begins with {parts[0]}/, which is for reading what follows")
        verb, parts = parts[0], parts[1:] or ("",)
    namespace, parts = _namespace(parts)
    place = _within(verb, parts)
    name, fields, labels = place.name, "", ""
    if not name and verb == "get":
        verb = "watch" if flag(query, "watch", doubts) else "list"
        name = _selected(first(query, "fieldSelector", doubts))
    elif not name and verb == "delete":
        verb = "deletecollection"
    if not by_prefix and verb in _SELECTED:
        fields, labels = first(query, "fieldSelector", doubts), first(query, "labelSelector", doubts)
    return Place(
        verb=verb,
        group=group,
        version=version,
        resource=place.resource,
        subresource=place.subresource,
        namespace=namespace,
        name=name,
        rest=place.rest,
        field_selector=fields,
        label_selector=labels,
    )


def _namespace(parts: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The namespace, and the path from the resource on: a namespace is a resource, too, with two subresources."""
    if parts[0] != "namespaces" or len(parts) < 2:
        return "", parts
    return parts[1], parts if len(parts) == 2 or parts[2] in _OF_NAMESPACES else parts[2:]


def _within(verb: str, parts: tuple[str, ...]) -> Place:
    """Resource, name and subresource; with the prefix ``proxy/`` what follows the name is the proxied path."""
    if verb == "proxy":
        return Place(verb=verb, resource=parts[0], name="".join(parts[1:2]), rest=parts[2:])
    return Place(verb=verb, resource=parts[0], name="".join(parts[1:2]), subresource="".join(parts[2:3]), rest=parts[3:])


def _selected(selector: str) -> str:
    """The one name that a field selector asks for, "" where it does not, or where it is written with escapes."""
    if "\\" in selector:
        return ""
    for term in selector.split(","):
        found = re.fullmatch(r"metadata\.name={1,2}(.*)", term, re.DOTALL)
        if found is not None and "=" not in found[1]:
            name = found[1]
            return name if _NAME.fullmatch(name) and name not in (".", "..") else ""
    return ""


# Parameters --------------------------------------------------------------------------------------------------------------


def first(query: Query, name: str, doubts: Doubts) -> str:
    """The value of a parameter that counts once; the server takes the first, so a second one is a doubt."""
    found = every(query, name)
    if len(set(found)) > 1:
        doubts.unsure(f"its query has {name} several times")
    return found[0] if found else ""


def flag(query: Query, name: str, doubts: Doubts) -> bool:
    """Whether a parameter says yes: there, and neither ``0`` nor ``false`` (k8s.io/apimachinery, pkg/runtime/conversion.go)."""
    found = every(query, name)
    first(query, name, doubts)
    return bool(found) and found[0] != "0" and found[0].lower() != "false"


def every(query: Iterable[tuple[str, str]], name: str) -> list[str]:
    """All values of a parameter, in order. Names count letter by letter."""
    return [value for known, value in query if known == name]
