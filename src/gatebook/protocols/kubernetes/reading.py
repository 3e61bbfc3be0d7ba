"""What can a request to a Kubernetes API do? ``read`` answers from its head, content and the target's shape; it asks nobody.

    request -> path, query -> place (paths.py) -> verb and reach (verbs.py) -> content (contents.py), patches (patches.py)
    -> what its objects ask for (objects.py), what its command runs (protocols/shell.py) -> deeds, facts

Closed unless proven open: whatever an API server may read in another way, whatever could not be read, and what a patch does to
an object that is not known here, adds the deed ``k8s.unknown`` to those that the request seems to have, and says why. What is
in the cluster already is not asked: facts are of the request alone. docs/what-a-kubernetes-request-can-do.md says all of it.

Pure: the same request and shape give the same reading, and no request makes it raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gatebook.masking.detectors import cover_text
from gatebook.model import Deed, Reach, Resource
from gatebook.protocols.http.contents import ABSENT
from gatebook.protocols.http.doubts import Doubts, quoted, visible
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.paths import Path, read_path, read_query
from gatebook.protocols.http.reading import HIDDEN, SHOWN_CHARACTERS, TARGET, Reading
from gatebook.protocols.kubernetes.contents import Content, read_content
from gatebook.protocols.kubernetes.known import SCALED
from gatebook.protocols.kubernetes.meaning import check_names, deletion, minted, options
from gatebook.protocols.kubernetes.objects import Asked, looked_through, members
from gatebook.protocols.kubernetes.patches import partial_objects
from gatebook.protocols.kubernetes.paths import Place, Query, every, first, flag, read_place
from gatebook.protocols.kubernetes.seen import seen
from gatebook.protocols.kubernetes.verbs import VERBS, Custom, Meant, meant
from gatebook.protocols.shell import Run, joined, understood

Facts = dict[str, bool | int | str | frozenset[str]]

# Every deed of a request carries each of these facts; policies see them as context attributes of the same name.
FACTS: Mapping[str, bool | int | str | frozenset[str]] = MappingProxyType(
    {
        "method": "",  # as it was sent
        "path": "",  # decoded, without query
        "verb": "",  # as the API server's own rules (RBAC) call it: an exec by POST is a create of pods/exec
        "group": "",  # of the API; "" for the core group
        "version": "",  # of the API
        "resource": "",  # deployments; "" where the path is of none
        "kind": "",  # Deployment; as the content says it where the resource is not of Kubernetes itself
        "subresource": "",  # scale, exec, status
        "namespace": "",  # "" for none, and for all
        "name": "",  # of the object; of a new one as the content says, with * for what the server adds
        "all_namespaces": False,  # it is about objects of whatever namespace
        "label_selector": "",  # as it was sent
        "field_selector": "",  # as it was sent
        "dry_run": False,  # the server is asked to change nothing
        "field_manager": "",  # as the client calls itself
        "force": False,  # an apply takes fields from their managers
        "patch_type": "",  # json, merge, strategic or apply
        "propagation": "",  # Foreground, Background or Orphan, where a deletion says so
        "grace_seconds": -1,  # that a deletion gives; -1 where it does not say
        "media_type": "",  # of its content, in lower case, without parameters
        "size": -1,  # of its content, in bytes; -1 where it is not known yet
        "body_read": False,  # its content was read
        "objects": 0,  # how many its content has
        "images": frozenset(),  # that its containers run
        "service_accounts": frozenset(),  # that its pods are
        "privileged": False,  # a container has all of the node's rights
        "host_pid": False,  # a pod sees all processes of its node
        "host_network": False,  # a pod has its node's network
        "host_ipc": False,  # a pod shares memory with its node
        "host_paths": frozenset(),  # of the node's files that pods mount
        "capabilities": frozenset(),  # that containers get besides the usual
        "run_as_root": False,  # a container says that it runs as user 0
        "mounts_secrets": frozenset(),  # names of Secrets that pods get
        "secret_types": frozenset(),  # of the Secrets in it
        "replicas": -1,  # that it sets; -1 where it does not, the least of several
        "role_refs": frozenset(),  # "ClusterRole/cluster-admin": what a binding gives
        "subjects": frozenset(),  # "Group/devs", "ServiceAccount/prod/web": to whom
        "grants_admin": False,  # cluster-admin or a role of system:, * for verbs or resources, escalate, bind, impersonate
        "webhooks": frozenset(),  # URLs, or "namespace/service", that API requests are sent to
        "command": "",  # of an exec, as one line
        "programs": frozenset(),  # that the command runs, by name, those in a shell's text
        "words": frozenset(),  # of all commands in it
        "container": "",  # that is named
        "tty": False,  # with a terminal
        "stdin": False,  # with input
        "ports": frozenset(),  # of a port-forward, where its query has them
        "upgrade": "",  # the protocol it asks the connection to speak from here on
        "why_unknown": "",  # why something could not be told for sure
    }
)

BODY_BYTES = 3 * 1024 * 1024  # as much as an API server takes
_UPGRADES = frozenset({"websocket", "spdy/3.1"})
_STREAMED = frozenset({"k8s.exec", "k8s.shell", "k8s.attach", "k8s.portforward"})
_OWN_FIELDS = (b"impersonate-", b"x-remote-")
_PROXIED = "k8s.proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is known of a cluster before any request."""

    custom: tuple[Custom, ...] = ()
    body_bytes: int = BODY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesReading(Reading):
    """A request to an API server, read. One at ``fault`` is never to be sent, whatever the policy says of it."""

    place: Place

    @property
    def seen(self) -> str:
        """What people are shown who decide about it: objects as YAML, what Secrets hold covered."""
        return seen(self.request, self.body, self.place)


@dataclass(slots=True)
class _Read:
    """A request while it is read."""

    request: Request
    doubts: Doubts
    path: Path
    query: Query
    place: Place
    meant: Meant
    content: Content
    objects: list[Any]
    asked: Asked
    run: Run = field(default_factory=Run)
    verb: str = ""
    reach: Reach = Reach.UNKNOWN
    more: Facts = field(default_factory=dict)


def read(request: Request, body: bytes | None, shape: Shape) -> KubernetesReading:
    """Read a request. ``body`` is its whole content, ``b""`` where it has none, None where it was not read."""
    doubts = Doubts()
    path, query = _address(request, doubts)
    place = read_place(_method(request), path, query, doubts)
    found = meant(place, path.text, shape.custom, doubts)
    content = _content(request, body, place, found, doubts)
    objects = _objects(content, place, doubts)
    asked = looked_through(objects, place.group, place.resource, doubts)
    one = _Read(request, doubts, path, query, place, found, content, objects, asked, verb=found.verb, reach=found.reach)
    _tell(one)
    _look_at_fields(one)
    facts = {**FACTS, **_facts(one), "why_unknown": doubts.why}
    deeds = tuple(_deeds(one, facts))
    return KubernetesReading(deeds=deeds, shown=_shown(one, facts), fault=doubts.fault, request=request, body=body, place=place)


def wants(request: Request) -> bool:
    """Whether what this request means depends on its content, so that it is to be waited for (``Shape.body_bytes`` at most)."""
    if request.upgrade or request.method in ("GET", "HEAD", "OPTIONS", "CONNECT"):
        return False
    nobody = Doubts()
    path = read_path(request.path, nobody)
    place = read_place(request.method, path, (), nobody)
    return meant(place, path.text, (), nobody).verb not in (_PROXIED, *_STREAMED)


def no_facts(**known: Any) -> Facts:
    """All facts with these values; the rest say nothing."""
    return {**FACTS, **known}


# How it is read ----------------------------------------------------------------------------------------------------------


def _method(request: Request) -> str:
    """Its method; a WebSocket over HTTP/2 (RFC 8441) is the GET that it is over HTTP/1.1."""
    return "GET" if request.method == "CONNECT" and request.upgrade == "websocket" else request.method


def _address(request: Request, doubts: Doubts) -> tuple[Path, Query]:
    """Path and query. Where servers would read them in two ways no name of Kubernetes is, so nobody need be asked about it."""
    inner = Doubts()
    path, query = read_path(request.path, inner), read_query(request.query, inner)
    for why in inner.found:
        doubts.wrong(why)
    return path, query


def _content(request: Request, body: bytes | None, place: Place, found: Meant, doubts: Doubts) -> Content:
    """What is proxied, and what an upgrade leads to, is no object of the API."""
    if found.verb == _PROXIED or found.verb in _STREAMED or request.upgrade:
        return Content(size=-1 if body is None else len(body), read=body is not None)
    return read_content(request, body, place.verb, doubts)


def _objects(content: Content, place: Place, doubts: Doubts) -> list[Any]:
    if content.value is ABSENT or place.verb in ("delete", "deletecollection"):
        return []
    if content.patch:
        return partial_objects(content.patch, content.value, doubts)
    return members(content.value, doubts)


def _tell(one: _Read) -> None:
    """Verb and reach as far as content and query say more than the path."""
    place, doubts = one.place, one.doubts
    heeds = one.meant.known is not None  # an API server that is aggregated may take a dry run for a real one
    if one.content.patch == "apply" and one.verb == "k8s.patch":
        one.verb = "k8s.apply"
    if one.verb in ("k8s.exec", "k8s.attach"):
        _stream(one)
    elif one.verb == "k8s.portforward":
        one.more["ports"] = frozenset(every(one.query, "ports"))
    elif place.verb in ("delete", "deletecollection"):
        one.more |= deletion(one.content, one.query, heeds, doubts)
    elif place.verb in ("create", "update", "patch"):
        one.more |= options(one.content, one.query, place, one.verb, heeds, doubts)
        one.more |= check_names(one.objects, one.content, place, one.meant, doubts)
        if minted(one.asked):
            one.reach = Reach.UNKNOWN
    if place.subresource == "ephemeralcontainers" and place.verb in ("update", "patch"):
        one.run = Run(why="it runs a container inside of a pod that is there")


def _stream(one: _Read) -> None:
    """An exec or attach: what runs, and with what input."""
    query, doubts = one.query, one.doubts
    stdin, tty = flag(query, "stdin", doubts), flag(query, "tty", doubts)
    one.more |= {"stdin": stdin, "tty": tty, "container": first(query, "container", doubts)}
    if one.verb == "k8s.attach":
        one.reach = Reach.UNKNOWN if stdin else one.reach
        return
    argv = tuple(every(query, "command"))
    one.run = run = understood(argv)
    one.more |= {"command": joined(argv), "programs": frozenset(run.programs), "words": frozenset(run.words)}
    if not argv:
        doubts.unsure("it has no command")
    if stdin and run.takes:
        one.verb, one.reach = "k8s.shell", Reach.UNKNOWN
    elif run.why or (stdin and run.reads):
        one.reach = Reach.UNKNOWN


def _look_at_fields(one: _Read) -> None:
    """What the client says that only the gateway may say, and upgrades to what is not carried."""
    for name in sorted({name.replace(b"_", b"-") for name, _ in one.request.fields}):
        if name.startswith(_OWN_FIELDS):
            one.doubts.wrong(f"its field {name.decode('latin-1')} says who asks, which is the gateway's to say")
    upgrade = one.request.upgrade
    if upgrade and (one.verb not in _STREAMED or upgrade not in _UPGRADES):
        one.doubts.wrong(f"it asks the connection to speak {quoted(upgrade)}, which is for exec, attach and port-forward alone")


def _impersonates(one: _Read) -> bool:
    return any(name.replace(b"_", b"-").startswith(_OWN_FIELDS) for name, _ in one.request.fields)


# What it is told as ------------------------------------------------------------------------------------------------------


def _facts(one: _Read) -> Facts:
    request, place, content, known = one.request, one.place, one.content, one.meant.known
    facts: Facts = {
        "method": visible(request.method),
        "path": one.path.text,
        "verb": place.verb,
        "group": place.group,
        "version": place.version,
        "resource": place.resource,
        "kind": known.kind if known is not None else "",
        "subresource": place.subresource,
        "namespace": place.namespace,
        "name": place.name,
        "all_namespaces": bool(place.resource) and not place.namespace and one.meant.namespaced,
        "label_selector": place.label_selector,
        "field_selector": place.field_selector,
        "patch_type": content.patch,
        "media_type": content.media_type,
        "size": content.size,
        "body_read": content.read,
        "objects": len(one.objects),
        "upgrade": visible(request.upgrade),
    }
    return {**facts, **one.asked.facts, **one.more}


def _deeds(one: _Read, facts: Facts) -> Iterator[Deed]:
    resource = _resource(one, facts)
    if one.verb != "k8s.unknown":
        yield Deed(verb=one.verb, reach=one.reach, resource=resource, facts=facts)
    if one.run.why and one.verb not in ("k8s.exec", "k8s.shell"):
        yield Deed(verb="k8s.exec", reach=Reach.UNKNOWN, resource=resource, facts=facts)
    if _scales(one, facts):
        yield Deed(verb="k8s.scale", reach=max(one.reach, Reach.WRITE, key=_rank), resource=resource, facts=facts)
    if _impersonates(one):
        yield Deed(verb="k8s.impersonate", reach=VERBS["k8s.impersonate"], resource=resource, facts=facts)
    if one.doubts.found or one.verb == "k8s.unknown":
        yield Deed(verb="k8s.unknown", reach=VERBS["k8s.unknown"], resource=resource, facts=facts)


def _scales(one: _Read, facts: Facts) -> bool:
    """Whether a patch of a workload sets how many there are, which is a scale by another way."""
    replicas = facts["replicas"]
    return one.verb == "k8s.patch" and one.place.resource in SCALED and isinstance(replicas, int) and replicas >= 0


def _rank(reach: Reach) -> int:
    return reach.rank


def _resource(one: _Read, facts: Facts) -> Resource:
    """The object: namespace, or ``-`` for none and all, resource with group, and name: ``prod/deployments.apps/web``."""
    if not one.place.resource:
        return TARGET
    name = "/".join(part for part in (one.place.namespace or "-", one.place.full, str(facts["name"])) if part)
    return Resource(kind="object", name=cover_text(name))


def _shown(one: _Read, facts: Facts) -> str:
    """The request in one line, for logs: ``delete deployments.apps/web in prod``."""
    place = one.place
    verb = one.verb.partition(".")[2] if one.verb != "k8s.unknown" else one.request.method
    if not place.resource:
        return _line(f"{verb} {one.path.text}")
    words = [verb, "/".join(part for part in (place.full, str(facts["name"])) if part)]
    if place.subresource and place.subresource not in ("exec", "attach", "portforward", "log", "scale", "proxy"):
        words.append(f"({place.subresource})")
    if facts["all_namespaces"]:
        words.append("in all namespaces")
    elif place.namespace and place.resource != "namespaces":
        words.append(f"in {place.namespace}")
    if "k8s.scale" in (one.verb, "k8s.scale" if _scales(one, facts) else ""):
        words.append(f"to {facts['replicas']}")
    if place.label_selector or place.field_selector:
        words.append(f"where {HIDDEN}")
    if facts["command"]:
        words.append(f": {facts['command']}")
    if facts["dry_run"]:
        words.append("(dry run)")
    return _line(" ".join(words).replace(" : ", ": "))


def _line(text: str) -> str:
    return visible(cover_text(text[:SHOWN_CHARACTERS])).replace("\n", "\\n")
