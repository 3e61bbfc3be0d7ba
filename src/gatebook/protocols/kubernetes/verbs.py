"""Which verb a place on the API means, and how far it goes.

The subresource says more than the method: an ``exec`` is one by POST (SPDY) and by GET (WebSocket). What mints credentials,
opens a stream that is not read, or is done with a resource that nobody has said anything about is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gatebook.model import Reach
from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.kubernetes.known import CERTIFICATES, KNOWN, REVIEWS, SYSTEM_NAMESPACES, Known
from gatebook.protocols.kubernetes.paths import Place

VERBS: Mapping[str, Reach] = MappingProxyType(
    {
        "k8s.get": Reach.READ,
        "k8s.list": Reach.READ,
        "k8s.watch": Reach.READ,
        "k8s.log": Reach.READ,  # what a pod has written
        "k8s.discover": Reach.READ,  # which APIs there are, versions, health
        "k8s.review": Reach.READ,  # who am I, what may I: SelfSubjectAccessReview and its like
        "k8s.create": Reach.WRITE,
        "k8s.update": Reach.WRITE,
        "k8s.patch": Reach.WRITE,
        "k8s.apply": Reach.WRITE,  # a server-side apply
        "k8s.delete": Reach.WRITE,
        "k8s.deletecollection": Reach.WRITE,
        "k8s.scale": Reach.WRITE,
        "k8s.evict": Reach.WRITE,
        "k8s.exec": Reach.WRITE,  # a command in a container; unknown where it cannot be told what runs
        "k8s.attach": Reach.WRITE,  # to what runs already; unknown with input
        "k8s.bind": Reach.ADMIN,  # a pod to a node
        "k8s.impersonate": Reach.ADMIN,  # the client says that it is somebody else
        "k8s.shell": Reach.UNKNOWN,  # a shell or interpreter that is fed
        "k8s.portforward": Reach.UNKNOWN,
        "k8s.proxy": Reach.UNKNOWN,
        "k8s.token": Reach.UNKNOWN,  # a fresh token of a service account
        "k8s.approve": Reach.UNKNOWN,  # a certificate
        "k8s.unknown": Reach.UNKNOWN,  # besides the others, where something could not be told for sure
    }
)

PREVIEW = "k8s.preview"  # no request's: what is asked of the cluster so that people see what a held one would do
STREAMS = MappingProxyType({"exec": "k8s.exec", "attach": "k8s.attach", "portforward": "k8s.portforward"})
READING = frozenset({"get", "list", "watch"})

_BY_SUBRESOURCE = {
    ("pods", "eviction", "create"): "k8s.evict",
    ("pods", "binding", "create"): "k8s.bind",
    ("serviceaccounts", "token", "create"): "k8s.token",
}
_OPEN = (
    "/.well-known/openid-configuration",
    "/api",
    "/apis",
    "/openapi",
    "/openid",
    "/version",
    "/healthz",
    "/livez",
    "/readyz",
)
_OPERATORS = ("/metrics", "/statusz", "/flagz")  # fine, for those who run the cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom:
    """A custom resource that the configuration knows, ``*`` for all of its group; ``reach`` is how far changing it goes."""

    group: str
    resource: str
    reach: Reach
    namespaced: bool


@dataclass(frozen=True, slots=True)
class Meant:
    """What a place was found to be: ``known`` of Kubernetes itself, or ``custom``."""

    verb: str
    reach: Reach
    known: Known | None = None
    custom: Custom | None = None

    @property
    def namespaced(self) -> bool:
        """Whether objects of the resource are in namespaces; of what is not known, yes."""
        if self.known is not None:
            return self.known.namespaced
        return self.custom is None or self.custom.namespaced


def meant(place: Place, path: str, custom: tuple[Custom, ...], doubts: Doubts) -> Meant:
    """The verb of a place and its reach, as far as the head tells."""
    if not place.resource:
        return _without_resource(place, path, doubts)
    known = KNOWN.get((place.group, place.resource))
    own = next((one for one in custom if one.group == place.group and one.resource in (place.resource, "*")), None)
    own = own if known is None else None
    if known is None and own is None:
        doubts.unsure(f"{quoted(place.full)} is no resource of Kubernetes itself, and the target's `custom` does not list it")
    _check_form(place, known, own, doubts)
    if not place.verb:
        doubts.unsure("no API server takes its method")
        return Meant("k8s.unknown", Reach.UNKNOWN, known, own)
    verb = _verb(place)
    return Meant(verb, _reach(place, verb, known, own), known, own)


def _without_resource(place: Place, path: str, doubts: Doubts) -> Meant:
    if place.verb == "get":
        if path == "/" or any(path == one or path.startswith(f"{one}/") for one in _OPEN):
            return Meant("k8s.discover", Reach.READ)
        if any(path == one or path.startswith(f"{one}/") for one in _OPERATORS):
            return Meant("k8s.discover", Reach.ADMIN)
    doubts.unsure(f"it goes to {quoted(path)}, where no resource is")
    return Meant("k8s.unknown", Reach.UNKNOWN)


def _check_form(place: Place, known: Known | None, own: Custom | None, doubts: Doubts) -> None:
    """Whether such a path is there for such a resource."""
    sub = place.subresource
    has = known.subresources if known is not None else frozenset({"status", "scale"})
    if sub and (known or own) and sub not in has:
        doubts.unsure(f"{quoted(place.full)} has no subresource {quoted(sub)} that is known here")
    proxied = sub == "proxy" or place.verb == "proxy"
    if place.rest and not proxied:
        doubts.unsure("its path goes on behind the subresource")
    if (known is not None or own is not None) and place.resource != "namespaces":
        inside = known.namespaced if known is not None else own is not None and own.namespaced
        if place.namespace and not inside:
            doubts.unsure(f"{quoted(place.full)} is in no namespace, and its path says one")
        named = place.name and not (place.field_selector and place.verb in ("list", "watch"))
        if inside and not place.namespace and named and place.verb != "create":
            doubts.unsure(f"{quoted(place.full)} is in a namespace, and its path says none")


def _verb(place: Place) -> str:
    sub, resource, core = place.subresource, place.resource, not place.group
    if place.verb == "proxy" or (core and sub == "proxy"):
        return "k8s.proxy"
    if core and resource == "pods" and sub in STREAMS:
        return STREAMS[sub]
    if core and resource == "pods" and sub == "log" and place.verb == "get":
        return "k8s.log"
    if core and (resource, sub, place.verb) in _BY_SUBRESOURCE:
        return _BY_SUBRESOURCE[resource, sub, place.verb]
    if core and resource == "bindings" and place.verb == "create":
        return "k8s.bind"
    if sub == "scale" and place.verb in ("update", "patch"):
        return "k8s.scale"
    if place.group == CERTIFICATES and sub == "approval" and place.verb in ("update", "patch"):
        return "k8s.approve"
    if place.group.startswith("auth") and resource in REVIEWS and place.verb == "create":
        return "k8s.review"
    return f"k8s.{place.verb}"


def _reach(place: Place, verb: str, known: Known | None, own: Custom | None) -> Reach:
    if known is None and own is None:
        return Reach.UNKNOWN
    usual = VERBS[verb]
    if usual is not Reach.WRITE:
        return usual
    if place.subresource == "ephemeralcontainers" or _mints(place, verb):
        return Reach.UNKNOWN
    shared = known is not None and (known.admin or place.subresource == "status")  # what controllers say of an object
    least = Reach.ADMIN if place.namespace in SYSTEM_NAMESPACES or shared else usual
    return max((least, own.reach if own is not None else usual), key=lambda reach: reach.rank)


def _mints(place: Place, verb: str) -> bool:
    """Whether somebody gets a certificate by it: asking for one, or writing the signed one into the request."""
    if place.group != CERTIFICATES or place.resource == "clustertrustbundles":
        return False
    return verb not in ("k8s.delete", "k8s.deletecollection")
