"""Kubernetes as a dialect of HTTP: its verbs, its content types, its Status, its upgrades.

Content types are a list: JSON, plain text (logs), and the schema that clients fetch as protobuf. Whatever else a client would
take, it is offered JSON, which every client of Kubernetes reads; so nothing passes that was not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache

from gatebook.errors import WireError
from gatebook.model import Deed
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.contents import ABSENT
from gatebook.protocols.http.covering.choosing import Choice, Unreadable, cover_for
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.media import MediaType, media_type
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.covering.resolving import JSON_PATCH
from gatebook.protocols.http.dialect import Draft, Opening
from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.forwarding import without
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.paths import read_path, read_query
from gatebook.protocols.http.reading import Reading
from gatebook.protocols.http.refusal import Problem
from gatebook.protocols.kubernetes import status
from gatebook.protocols.kubernetes.binding import bound
from gatebook.protocols.kubernetes.contents import read_content
from gatebook.protocols.kubernetes.covering import covers_objects, plan_for, shows_cells
from gatebook.protocols.kubernetes.drafting import drafted
from gatebook.protocols.kubernetes.opening import Opening as Streams
from gatebook.protocols.kubernetes.opening import Purpose
from gatebook.protocols.kubernetes.paths import Place, read_place
from gatebook.protocols.kubernetes.protobuf import MEDIA_TYPE, as_json
from gatebook.protocols.kubernetes.protobuf_values import ProtobufError
from gatebook.protocols.kubernetes.reading import KubernetesReading, Shape, read, wants
from gatebook.protocols.kubernetes.seen import seen as said
from gatebook.protocols.relay import Covering

BODY_BYTES = 3 * 1024 * 1024  # what an API server takes; longer content is refused by it
JSON = b"application/json"
_FIRST_ERROR = 300
_TEXT = frozenset({"text/plain"})
_SENT = frozenset(
    b"content-type accept-encoding user-agent sec-websocket-key sec-websocket-version sec-websocket-protocol "
    b"x-stream-protocol-version".split()
)
_SENT_OF = b"kubectl-"
_DISCOVERED = b"as=APIGroupDiscoveryList"  # asked for by client-go's discovery, which reads no Status
_SCHEMA = "application/com.github.proto-openapi."  # OpenAPI as protobuf: kubectl knows no other, and no object is in it


class Kubernetes:
    """The dialect of one cluster."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    @property
    def body_bytes(self) -> int:
        """How much of a request's content is kept to be decided about: all of it."""
        return BODY_BYTES

    @property
    def strict(self) -> bool:
        """What is wrong goes nowhere: an API server may read it as something else."""
        return True

    @property
    def patient(self) -> bool:
        """Who hears a refusal early saves the rest."""
        return False

    def wants(self, request: Request) -> bool:
        """Whether the content is kept until the request was decided about."""
        return not request.upgrade and wants(request)

    def plainly(self, request: Request, content: bytes) -> bytes:
        """YAML as the JSON that it says, which is YAML too: no two readers of YAML agree on all of it. Protobuf as JSON too."""
        if _is_protobuf(request):
            try:
                return as_json(content)
            except ProtobufError:
                return content  # which is a fault when it is read
        if not _is_yaml(request):
            return content
        found = read_content(request, content, place_of(request).verb, Doubts())
        return json.dumps(found.value, ensure_ascii=False).encode() if found.read and found.value is not ABSENT else content

    def meant(self, request: Request) -> Request:
        """YAML and protobuf are JSON by then, and so is what has no type."""
        if not (_is_yaml(request) or _is_protobuf(request) or _has_no_type(request)):
            return request
        return replace(request, fields=_as_json(request.fields))

    def exact(self, request: Request) -> str:
        """What of a request means something to an API server. An upgrade is the same by GET and by POST: clients try both."""
        method = "UPGRADE" if request.upgrade else request.method
        kind = b", ".join(request.all(b"content-type")).decode("latin-1")
        return f"{method} {request.target}\nhost {request.authority}\ncontent-type: {kind}"

    def read(self, request: Request, content: bytes | None) -> Reading:
        """What the request does."""
        return read(request, content, self._shape)

    def inquiry(self, request: Request, content: bytes | None) -> None:
        """A request says all itself."""
        return

    def seen(self, told: Request, content: bytes | None, reading: Reading, plan: Plan) -> str:
        """In words, its objects as YAML; what rules on objects mean is covered in it."""
        if not isinstance(reading, KubernetesReading) or not content or not covers_objects(plan):
            return reading.seen
        try:
            cover = JsonCover(plan)
            shown = cover.feed(content) + cover.finish()
        except WireError:
            return said(reading.request, None, reading.place)
        return said(reading.request, content, reading.place, shown)

    def plan(
        self,
        request: Request,
        covering: Covering,
        masks: Collection[str],
        needles: Collection[bytes],
        aliases: Mapping[str, Collection[str]] | None = None,
    ) -> Plan:
        """What covers the answer, by the resource that its path names."""
        patch = media_type(request.get(b"content-type")).name == JSON_PATCH
        return plan_for(place_of(request), covering, masks, needles, patch=patch)

    def kept(self, request: Request, fields: Fields, plan: Plan) -> Fields:
        """Those that clients of Kubernetes send, with an Accept that leaves nothing but what can be read here.

        What was protobuf goes on as the JSON that it is now; YAML may be a patch, whose type says what it does.
        """
        if _is_protobuf(request) or _has_no_type(request):
            fields = _as_json(fields)
        accepted = b",".join(value for name, value in fields if name == b"accept")
        accepted = readable(accepted, request, tables=not shows_cells(place_of(request), plan))
        sent = (field for field in fields if field[0] in _SENT or field[0].startswith(_SENT_OF))
        return (*sent, (b"accept", accepted))

    def opening(self, request: Request, random: Callable[[int], bytes]) -> Opening:
        """The streams of exec, attach and port-forward. Raises MalformedError for any other upgrade."""
        place = place_of(request)
        if place.group or place.resource != "pods" or place.subresource not in tuple(Purpose) or place.rest:
            raise MalformedError("an upgrade that is not for exec, attach or port-forward of a pod", 400)
        return Streams(request, Purpose(place.subresource), random)

    def cover(self, request: Request, response: Response, plan: Plan, passes: Collection[str]) -> Choice:
        """What becomes of an answer: JSON and text are covered, the schema passes, nothing else does.

        Where an object is said back, rules know what in it is secret. The values of a request's tokens are looked for in
        errors alone: a Secret's user may be called as the Secret is, and a client that reads another name takes it for gone.
        """
        if response.status < _FIRST_ERROR and plan.before is not None:
            plan = plan.before
        kind = media_type(response.get(b"content-type"))
        if kind.name and not (kind.is_json or kind.name in _TEXT or _is_schema(kind, request)):
            return Unreadable(f"its type {kind.name[:80]!r} cannot be read here; ask for application/json")
        return cover_for(request, response, plan, (kind.name,) if _is_schema(kind, request) else ())

    def shows(self, request: Request, reading: Reading, may: Callable[[Deed], bool]) -> None:
        """Lists are shown whole."""
        return

    def refusal(self, problem: Problem, reading: Reading | None, content: bytes | None) -> tuple[Response, bytes]:
        """As a Status. Of content in CBOR its code makes client-go send JSON from then on, whatever else is wrong with it."""
        if reading is not None and reading.fault and isinstance(reading, KubernetesReading) and _is_cbor(reading.request):
            problem = replace(problem, status=415)
        if isinstance(reading, KubernetesReading) and _DISCOVERED in b",".join(reading.request.all(b"accept")):
            return status.told(problem)
        return status.said(problem)

    def said(self, problem: Problem) -> tuple[Response, bytes]:
        """As a Status."""
        return status.said(problem)

    def bound(self, request: Request, content: bytes, conditions: Mapping[str, str]) -> tuple[Request, bytes]:
        """With the object's version that people saw."""
        return bound(request, content, conditions)

    def draft(self, request: Request, content: bytes | None, reading: Reading, *, again: bool) -> Draft | None:
        """The object as it is, and a dry run."""
        if not isinstance(reading, KubernetesReading):
            raise AssertionError("a request that was read as one to something else")
        return drafted(request, content, reading, again=again)

    def farewell(self, request: Request, problem: Problem, *, timely: bool) -> bytes | None:
        """A watch ends with an event that says why.

        Where its token is over it ends as an API server's does, by itself: clients go on where they were, with a fresh token.
        """
        if place_of(request).verb != "watch":
            return None
        return b"" if timely else status.event(problem)


def place_of(request: Request) -> Place:
    """Where a request goes; what is doubtful about it the reading says."""
    return _place_of(request.method, request.path, request.query)


@lru_cache(maxsize=128)  # a request is asked this several times from its content to its answer
def _place_of(method: str, path: str, query: str) -> Place:
    doubts = Doubts()
    return read_place(method, read_path(path, doubts), read_query(query, doubts), doubts)


def _is_yaml(request: Request) -> bool:
    return media_type(request.get(b"content-type")).name.endswith("yaml")


def _is_protobuf(request: Request) -> bool:
    """Whether its content is an object in protobuf; what is proxied to somebody else's server is not looked into."""
    return media_type(request.get(b"content-type")).name == MEDIA_TYPE and wants(request)


def _has_no_type(request: Request) -> bool:
    """Whether its content is JSON without saying so, as the Python client sends it."""
    return request.get(b"content-type") is None and wants(request)


def _is_cbor(request: Request) -> bool:
    return media_type(request.get(b"content-type")).name.endswith("cbor")


def _as_json(fields: Fields) -> Fields:
    return (*without(fields, b"content-type"), (b"content-type", JSON))


def readable(accepted: bytes, request: Request, *, tables: bool = True) -> bytes:
    """An Accept with those of its ranges that can be read here (RFC 9110, section 12.5.1); JSON where none is."""
    kept = [one.strip(b" \t") for one in accepted.split(b",")]
    kept = [one for one in kept if _may_come(one, request) and (tables or b"table" not in one.lower())]
    return b", ".join(kept) if kept else JSON


def _may_come(wanted: bytes, request: Request) -> bool:
    kind = media_type(wanted)
    return kind.is_json or kind.name in _TEXT or _is_schema(kind, request)


def _is_schema(kind: MediaType, request: Request) -> bool:
    return kind.name.startswith(_SCHEMA) and request.path.startswith("/openapi/")
