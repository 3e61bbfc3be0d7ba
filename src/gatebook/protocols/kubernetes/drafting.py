"""What is asked of a cluster before people are asked: the object as it is, and the same request as a dry run.

    change: GET of the object -> the request, bound to what that gave, with dryRun=All -> a diff
    deletion, eviction: the same -> the object that goes
    creation: the dry run alone -> the object as the server would have it
    deletecollection: lists, page by page -> their names

Only what a dry run is promised to have no effects for (Kubernetes, "API concepts", dry-run): resources of Kubernetes itself, by
verbs that heed it, in requests that are not in doubt. All else says why not. What ``again`` asks is what is there, and no more:
whether it still is what people saw, where the server cannot be told to look.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from gatebook.masking.detectors import cover_text
from gatebook.model import Reach
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.dialect import Shown
from gatebook.protocols.http.doubts import Doubts, visible
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.paths import read_query
from gatebook.protocols.kubernetes.binding import ABSENT, SET, UID, VERSION, bound
from gatebook.protocols.kubernetes.diffs import Both, Object, names, standing, told_diff, whole
from gatebook.protocols.kubernetes.known import KNOWN
from gatebook.protocols.kubernetes.meaning import ALL
from gatebook.protocols.kubernetes.paths import every
from gatebook.protocols.kubernetes.reading import KubernetesReading

COLLECTED = 5_000  # objects of a deletecollection that are looked at
PAGE = 500
SAID_CHARACTERS = 1_000  # of what the cluster says against it
_VERBS = frozenset(f"k8s.{one}" for one in "create update patch apply delete deletecollection scale evict".split())
_SUBRESOURCES = frozenset({"", "status", "scale", "eviction", "resize", "finalize"})
_WITHOUT_GET = frozenset({"eviction", "finalize"})  # what these are of is looked at instead
_ELSEWHERE = frozenset({"metrics.k8s.io"})  # served by another server, which may not know dry runs
_SELECTING = frozenset({"labelSelector", "fieldSelector"})
_DELETING = frozenset({"dryRun", "propagationPolicy", "gracePeriodSeconds", "orphanDependents", "pretty"})
_ACCEPT = (b"accept", b"application/json")
_NAMES = (b"accept", b"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
_STREAMED = frozenset({"k8s.exec", "k8s.shell", "k8s.attach", "k8s.portforward", "k8s.proxy"})


def drafted(request: Request, content: bytes | None, reading: KubernetesReading, *, again: bool = False) -> Draft | None:
    """What may be asked about a request with this content; None for one that only reads."""
    if all(deed.reach is Reach.READ for deed in reading.deeds):
        return None
    return Draft(request, content, reading, again=again)


def _why(reading: KubernetesReading, content: bytes | None) -> str:
    verbs, place = {deed.verb for deed in reading.deeds}, reading.place
    if streamed := sorted(verbs & _STREAMED):
        return f"what comes of {streamed[0]} cannot be tried, and nothing of it is held to anything"
    if "k8s.unknown" in verbs or content is None:
        return "it could not be told for sure what it does"
    if other := sorted(verbs - _VERBS):
        return f"{other[0]} is not among what a cluster can be asked to try"
    if (place.group, place.resource) not in KNOWN or place.group in _ELSEWHERE:
        return "its resource is not of Kubernetes itself, and another server may take a dry run for a real one"
    if any(deed.reach is Reach.UNKNOWN for deed in reading.deeds):
        return "it may mint a credential, or runs something"
    if place.subresource not in _SUBRESOURCES:
        return f"{place.subresource} is not among what a cluster can be asked to try"
    if place.verb == "deletecollection" and {name for name, _ in read_query(reading.request.query, Doubts())} - (
        _SELECTING | _DELETING
    ):
        return "its query says more than which objects it means by their labels and fields"
    return ""


class Draft:
    """Of one request; ``content`` is what would be sent."""

    def __init__(self, request: Request, content: bytes | None, reading: KubernetesReading, *, again: bool) -> None:
        self._request, self._content, self._place, self._again = request, content or b"", reading.place, again
        self._facts = reading.deeds[0].facts
        self._failed = self._why = _why(reading, content)
        self._live: Object | None = None
        self._result: Object | None = None
        self._asked = ""  # what the last question was
        self._page = ""  # where the list goes on
        self._set: list[tuple[str, str, str]] = []  # namespace, name and uid
        self._over = False

    @property
    def why(self) -> str:
        """Why nothing of it may be tried."""
        return self._why

    # Questions ----------------------------------------------------------------------------------------------------------

    def question(self) -> tuple[Request, bytes] | None:
        """The next one."""
        if self._failed or self._over:
            return None
        if self._place.verb == "deletecollection":
            self._asked = "list"
            return self._listing(), b""
        if self._asked == "" and self._looks:
            self._asked = "live"
            path = self._request.path
            if self._place.subresource in _WITHOUT_GET:
                path = path.rpartition("/")[0]
            return replace(self._request, method="GET", target=path, fields=(_ACCEPT,)), b""
        if self._asked != "dry" and not self._again:
            self._asked = "dry"
            return self._trial()
        return None

    @property
    def _looks(self) -> bool:
        """Whether there is an object to look at: a new one is none, and what is done to a name that is there is."""
        return self._place.verb != "create" or self._place.subresource == "eviction"

    def _listing(self) -> Request:
        query = [(name, value) for name, value in read_query(self._request.query, Doubts()) if name in _SELECTING]
        query += [("limit", str(PAGE)), *([("continue", self._page)] if self._page else [])]
        said = "&".join(f"{name}={quote(value, safe='')}" for name, value in query)
        return replace(self._request, method="GET", target=f"{self._request.path}?{said}", fields=(_NAMES,))

    def _trial(self) -> tuple[Request, bytes] | None:
        """The request itself, bound as its execution will be, and as a dry run."""
        try:
            request, content = bound(self._request, self._content, self._held_to())
        except MalformedError as error:
            self._failed, self._asked = str(error), "unheld"
            return None
        kind = tuple(field for field in request.fields if field[0] == b"content-type")
        request = replace(request, fields=(*kind, _ACCEPT))
        if self._place.verb == "delete" and content:
            return request, json.dumps({**json.loads(content), "dryRun": [ALL]}).encode()
        if not every(read_query(request.query, Doubts()), "dryRun"):
            path, sign, query = request.target.partition("?")
            request = replace(request, target=f"{path}?dryRun={ALL}{'&' if sign else ''}{query}")  # first: nothing may hide it
        return request, content

    # Answers ------------------------------------------------------------------------------------------------------------

    def answered(self, status: int, content: bytes, covered: bytes) -> None:
        """What the cluster said to the last one."""
        try:
            found = Both(json.loads(content), json.loads(covered))
        except (ValueError, RecursionError):
            self._failed = f"the cluster's answer, {status}, is no JSON"
            return
        if self._asked == "live" and status == HTTPStatus.NOT_FOUND and self._place.verb in ("update", "patch"):
            return  # it may come into being
        if status != HTTPStatus.OK and not (self._asked == "dry" and status in (HTTPStatus.CREATED, HTTPStatus.ACCEPTED)):
            self._failed = f"{self._refusal}: {_said(status, found)}"
        elif not isinstance(found.real, dict) or not isinstance(found.covered, dict):
            self._failed = "the cluster's answer is no object"
        elif self._asked == "list":
            self._collect(found.real)
        elif self._asked == "live":
            self._live = Object(found)
            if not (self._live.uid and self._live.version):
                self._failed = "the object has no version that its change could be held to"
        else:
            self._result, self._over = Object(found), True

    @property
    def _refusal(self) -> str:
        if self._asked == "dry":
            return "the cluster refuses it as it is"
        return "what is there cannot be read in the requester's place"

    def _collect(self, found: Mapping[str, Any]) -> None:
        items = found.get("items")
        for one in items if isinstance(items, list) else []:
            metadata = one.get("metadata") if isinstance(one, dict) else None
            if not isinstance(metadata, dict):
                self._failed = "the cluster's list has an item without a name"
                return
            namespace, name, uid = (str(metadata.get(key, "")) for key in ("namespace", "name", "uid"))
            self._set.append((namespace, name, uid))
        told = found.get("metadata")
        self._page = str(told.get("continue") or "") if isinstance(told, dict) else ""
        self._over = not self._page
        if len(self._set) > COLLECTED:
            self._failed = f"it means more than {COLLECTED:,} objects"

    # What there is to see -------------------------------------------------------------------------------------------------

    def _held_to(self) -> dict[str, str]:
        """What the execution must keep to."""
        if self._place.verb == "deletecollection":
            lines = sorted("\0".join(one) for one in self._set)
            return {SET: hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()}
        if self._live is not None:
            return {UID: self._live.uid, VERSION: self._live.version}
        return {ABSENT: "yes"} if self._looks else {}

    def shown(self) -> Shown:
        """All of it. What the cluster refuses is held to what is there all the same, once that is known."""
        if self._failed:
            held_to = self._held_to() if self._live is not None and self._asked == "dry" else {}
            return Shown(why=self._failed, held_to=held_to)
        try:
            return self._seen()
        except RecursionError:
            return Shown(why="the object is too deep to be shown", held_to=self._held_to())

    def _seen(self) -> Shown:
        held_to, place, notes = self._held_to(), self._place, tuple(self._notes())
        if place.verb == "deletecollection":
            return Shown(form="names", text=names(self._set), notes=notes, held_to=held_to)
        if self._live is not None and (place.verb == "delete" or place.subresource == "eviction"):
            return Shown(form="goes", text=whole(self._live, place), notes=notes, held_to=held_to)
        if self._live is not None and self._result is not None:
            return Shown(form="diff", text=told_diff(self._live, self._result, place), notes=notes, held_to=held_to)
        if self._result is not None:
            return Shown(form="comes", text=whole(self._result, place, new=True), notes=notes, held_to=held_to)
        return Shown(held_to=held_to)

    def _notes(self) -> list[str]:
        if self._place.verb == "deletecollection":
            count = len(self._set)
            return [f"{count:,} object{'' if count == 1 else 's'} would go.", *self._of_deletion()]
        if self._live is not None and (self._place.verb == "delete" or self._place.subresource == "eviction"):
            return [*standing(self._live), *self._of_deletion()]
        return []

    def _of_deletion(self) -> list[str]:
        if self._place.subresource == "eviction":
            return []
        way = self._facts.get("propagation") or "as the cluster has it by default"
        return [f"What it owns: {way}."]


def _said(status: int, found: Both) -> str:
    """What a Status says."""
    told = found.covered if isinstance(found.covered, dict) else {}
    words = [str(status), str(told.get("reason") or ""), str(told.get("message") or "")]
    return visible(cover_text(" ".join(one for one in words if one)[:SAID_CHARACTERS]))
