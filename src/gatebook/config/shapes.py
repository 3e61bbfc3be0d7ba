"""What is known of a target before any request, as ``protocols.http`` and those that ride on it take it."""

from __future__ import annotations

from hashlib import sha256

from gatebook.config.git import GitTarget
from gatebook.config.http import FactConfig, McpConfig, content_of, document
from gatebook.config.kubernetes import KubernetesTarget
from gatebook.config.targets import HttpTarget
from gatebook.protocols.git.dialect import Shape as ServerShape
from gatebook.protocols.http import mcp
from gatebook.protocols.http.bodyfacts import BodyFact
from gatebook.protocols.http.reading import RouteReach, Shape
from gatebook.protocols.kubernetes.reading import Shape as ClusterShape
from gatebook.protocols.kubernetes.verbs import Custom


def shape_of(target: HttpTarget) -> Shape:
    """The shape of a target, its OpenAPI document read. Raises ConfigError."""
    return Shape(
        routes=document(target.openapi) if target.openapi is not None else None,
        undocumented=target.undocumented,
        reaches=tuple(RouteReach(pattern=one.route, reach=one.reach, methods=frozenset(one.methods)) for one in target.routes),
        graphql=frozenset(path.casefold() for path in target.graphql.paths) if target.graphql is not None else frozenset(),
        mcp=_mcp(target.mcp) if target.mcp is not None else None,
        facts=tuple(map(_fact, target.facts)),
        method_override=target.method_override,
        encoded_slashes=target.encoded_slashes,
        body_bytes=target.body_bytes,
    )


def digest_of(target: HttpTarget | KubernetesTarget | GitTarget) -> str:
    """A digest of all that says what requests to a target mean: a yes given under another meaning counts no more.

    Raises ConfigError.
    """
    said: list[object] = [target.protocol]
    if isinstance(target, KubernetesTarget):
        said.append(target.custom)
    elif isinstance(target, HttpTarget):
        said += [target.undocumented, target.routes, target.facts, target.graphql, target.mcp]
        said += [target.method_override, target.encoded_slashes, target.body_bytes]
        said.append(content_of(target.openapi) if target.openapi is not None else b"")
    return sha256("\0".join(map(repr, said)).encode()).hexdigest()


def _mcp(written: McpConfig) -> mcp.Shape:
    return mcp.Shape(
        paths=frozenset(path.casefold() for path in written.paths),
        reads=frozenset(written.reads),
        writes=frozenset(written.writes),
    )


def _fact(written: FactConfig) -> BodyFact:
    return BodyFact(
        name=written.name,
        path=written.path,
        over=written.over,
        present=written.present,
        route=written.route,
        methods=frozenset(written.methods),
    )


def cluster_shape_of(target: KubernetesTarget) -> ClusterShape:
    """The shape of a cluster."""
    return ClusterShape(
        custom=tuple(
            Custom(group=one.group, resource=one.resource, reach=one.reach, namespaced=one.scope == "namespaced")
            for one in target.custom
        )
    )


def server_shape_of(target: GitTarget) -> ServerShape:
    """The shape of a git server."""
    return ServerShape(push_bytes=target.push_bytes)
