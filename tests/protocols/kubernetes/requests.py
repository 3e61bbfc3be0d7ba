"""Requests to a cluster, made and read."""

from __future__ import annotations

import json
from typing import Any

from gatebook.model import Reach
from gatebook.protocols.http.message import Request
from gatebook.protocols.kubernetes.reading import KubernetesReading, Shape, read
from gatebook.protocols.kubernetes.verbs import Custom

SHAPE = Shape(
    custom=(
        Custom(group="example.com", resource="widgets", reach=Reach.WRITE, namespaced=True),
        Custom(group="example.com", resource="clusterwidgets", reach=Reach.ADMIN, namespaced=False),
        Custom(group="rbac.authorization.k8s.io", resource="*", reach=Reach.WRITE, namespaced=True),
    )
)
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def sent(method: str, target: str, *fields: tuple[str, str], upgrade: str = "") -> Request:
    told = tuple((name.lower().encode(), value.encode()) for name, value in fields)
    return Request(method, "https", "cluster", target, told, upgrade)


def known(method: str, target: str, body: Any = b"", kind: str = "", upgrade: str = "") -> KubernetesReading:
    """A request, read; a body that is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    fields = [("content-type", kind or JSON)] if data else []
    return read(sent(method, target, *fields, upgrade=upgrade), data, SHAPE)


def verbs(reading: KubernetesReading) -> list[str]:
    return [deed.verb.removeprefix("k8s.") for deed in reading.deeds]


def reach(reading: KubernetesReading) -> str:
    return max((deed.reach for deed in reading.deeds), key=lambda one: one.rank).value


def facts(reading: KubernetesReading) -> Any:
    return reading.deeds[0].facts


def pod(**spec: Any) -> dict[str, Any]:
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}, "spec": spec}
