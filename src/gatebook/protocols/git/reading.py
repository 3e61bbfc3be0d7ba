"""What can a request to a git server do? A fetch says so itself; of a push its target has to be asked first (``inquiry.py``).

Until that was done nothing is known of a push, and nobody may say yes to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from gatebook.errors import WireError
from gatebook.masking.detectors import cover_text
from gatebook.model import Deed, Resource
from gatebook.protocols.git.fetching import read_fetch
from gatebook.protocols.git.inquiry import Inquiry
from gatebook.protocols.git.meaning import FACTS, VERBS, Told, deeds_of, fetch_deed
from gatebook.protocols.git.paths import Place, Service, read_place
from gatebook.protocols.git.pushing import Push, read_push
from gatebook.protocols.git.seeing import diff_of, seen, shown
from gatebook.protocols.http.doubts import Doubts
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.reading import Reading

Facts: TypeAlias = dict[str, bool | int | str | frozenset[str]]

UNASKED = "what this push does is not known"
_UNREAD = "it is longer than the gateway reads of one request; push it in parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitReading(Reading):
    """A request to a git server, read. ``push`` is what it moves; ``diff`` what people see of that."""

    place: Place
    push: Push | None = None
    told: tuple[Told, ...] = field(default=(), repr=False)
    diff: str = field(default="", repr=False)

    @property
    def seen(self) -> str:
        """What people are shown who decide about it: refs, commits, files, the diff; covered."""
        return seen(self.shown, self.told, self.diff)


def read(request: Request, content: bytes | None, inquiry: Inquiry | None = None) -> GitReading:
    """Read a request. ``inquiry`` is over, where it is of a push."""
    doubts = Doubts()
    place = read_place(request, doubts)
    try:
        return _read(request, content, place, doubts, inquiry)
    except WireError as error:
        doubts.wrong(str(error))
        return _said(request, content, place, doubts)


def push_of(request: Request, content: bytes | None) -> Push | None:
    """The push that a request is; None for anything else, and for one that is wrong."""
    place = read_place(request, Doubts())
    if place.service is not Service.RECEIVE or place.opens or content is None:
        return None
    try:
        return read_push(content)
    except WireError:
        return None


def _read(request: Request, content: bytes | None, place: Place, doubts: Doubts, inquiry: Inquiry | None) -> GitReading:
    if place.service is None or doubts.fault:
        return _said(request, content, place, doubts)
    if place.opens:
        return _said(request, content, place, doubts, (_deed("git.list", place, doubts),))
    if content is None:
        doubts.wrong(_UNREAD)
        return _said(request, content, place, doubts)
    if place.service is Service.UPLOAD:
        return _said(request, content, place, doubts, (fetch_deed(read_fetch(content), place.repository),))
    push = read_push(content)
    if push.probes:
        return _said(request, content, place, doubts, (_deed("git.list", place, doubts),), push)
    if inquiry is None or inquiry.told is None:
        doubts.wrong(UNASKED)
        return _said(request, content, place, doubts, (), push)
    told = tuple(inquiry.told)
    return _said(request, content, place, doubts, tuple(deeds_of(told, place.repository)), push, told, diff_of(inquiry))


def _said(
    request: Request,
    content: bytes | None,
    place: Place,
    doubts: Doubts,
    deeds: tuple[Deed, ...] = (),
    push: Push | None = None,
    told: tuple[Told, ...] = (),
    diff: str = "",
) -> GitReading:
    if doubts.found or not deeds:
        deeds = (*deeds, _deed("git.lfs" if place.lfs else "git.unknown", place, doubts))
    return GitReading(
        deeds=deeds,
        shown=shown(deeds[0].verb, place.repository, told),
        fault=doubts.fault,
        request=request,
        body=content,
        place=place,
        push=push,
        told=told,
        diff=diff,
    )


def _deed(verb: str, place: Place, doubts: Doubts) -> Deed:
    facts = {**FACTS, "repository": place.repository, "why_unknown": doubts.why}
    return Deed(
        verb=verb, reach=VERBS[verb], resource=Resource(kind="repository", name=cover_text(place.repository)), facts=facts
    )
