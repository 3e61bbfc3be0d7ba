"""Which coverer an answer needs: by its type, and closed unless proven open.

Nothing is sniffed: the Content-Type says what a content is, and a browser or a client that guesses is told not to. Where a rule
names fields, only types whose fields can be told apart pass; where detectors alone look, text passes too. What cannot be read
passes only where the target's configuration says so, and even then without the target's own credentials.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from gatebook.errors import WireError
from gatebook.protocols.http.covering.charsets import Transcoded, python_name
from gatebook.protocols.http.covering.codings import Coded, codings_of
from gatebook.protocols.http.covering.events import EventCover
from gatebook.protocols.http.covering.forms import FormCover
from gatebook.protocols.http.covering.heads import covered_fields
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.media import AS_IT_IS, FORM, PASSES, TABLES, MediaType, media_type, meets
from gatebook.protocols.http.covering.needles import NeedleFilter
from gatebook.protocols.http.covering.parts import BOUNDARY, Choose, PartsCover, field_name
from gatebook.protocols.http.covering.plan import Counts, Coverer, Plan
from gatebook.protocols.http.covering.sequences import SequenceCover
from gatebook.protocols.http.covering.tables import TableCover
from gatebook.protocols.http.covering.text import MarkupCover, TextCover, UnnamedCover
from gatebook.protocols.http.message import Fields, Request, Response


@dataclass(frozen=True, slots=True)
class Covered:
    """An answer that is covered: the head for the client, and what covers its content. Its length is not known.

    ``masked`` is what was covered in the head.
    """

    head: Response
    coverer: Coverer
    masked: Counts


@dataclass(frozen=True, slots=True)
class Passed:
    """An answer whose content passes as it came; its head may be covered all the same. Its length stays."""

    head: Response
    masked: Counts


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An answer that may not pass; ``why`` says it in words for the client."""

    why: str


Choice: TypeAlias = Covered | Passed | Unreadable


def cover_for(request: Request, response: Response, plan: Plan, passes: Collection[str] = PASSES) -> Choice:
    """What becomes of an answer. ``passes`` are the types that the target lets pass unread, as ``image/*``."""
    if not plan.reads:
        return Passed(response, {})
    masked: Counts = {}
    kind = media_type(response.get(b"content-type"))
    listed = _listed(kind, plan, passes)
    if _empty(request, response):
        told = response.get(b"content-length") == b"0" or (listed and kind.is_opaque)
        return Passed(_head(response, plan, masked, content=not told), masked)
    codings = codings_of(response.all(b"content-encoding"))
    coverer, why = _coverer(kind, response, plan, passes)
    if why and not listed:
        return Unreadable(why)
    opaque = coverer is None
    if coverer is None:
        if not plan.needles:
            return Passed(_head(response, plan, masked, content=False), masked)
        coverer = NeedleFilter(plan.needles, same_length=True)
    elif plan.needles:
        coverer = Both(NeedleFilter(plan.needles), coverer)
    if codings is None:
        named = b", ".join(response.all(b"content-encoding")).decode("latin-1")
        return Unreadable(f"its content is in the coding {named[:64]!r}, which cannot be read here; ask for gzip, br or zstd")
    if codings:
        coverer = Coded(codings, coverer)
    same = opaque and not codings
    return Covered(_head(response, plan, masked, content=not same), coverer, masked)


def _head(response: Response, plan: Plan, masked: Counts, *, content: bool) -> Response:
    fields = covered_fields(response.fields, plan, masked, content=content)
    if content and not any(name == b"x-content-type-options" for name, _ in fields):
        fields = (*fields, (b"x-content-type-options", b"nosniff"))
    return Response(response.status, fields)


def _empty(request: Request, response: Response) -> bool:
    status = response.status
    return request.method == "HEAD" or status < 200 or status in (204, 205, 304) or response.get(b"content-length") == b"0"


def _listed(kind: MediaType, plan: Plan, passes: Collection[str]) -> bool:
    """Whether a type passes unread. A drawing is text that may hold fields: under a rule on fields images do not mean it."""
    return meets(kind, [one for one in passes if one != "image/*"] if plan.rules_fields and kind.is_drawing else passes)


def _coverer(kind: MediaType, response: Response, plan: Plan, passes: Collection[str]) -> tuple[Coverer | None, str]:
    if response.status == 206:
        return None, PART
    fields = response.fields
    if response.status == 416 and all(_NO_PART.fullmatch(value) for value in response.all(b"content-range")):
        fields = tuple(one for one in fields if one[0] != b"content-range")  # it says how long the whole is, and has a page
    return coverer_of(kind, fields, plan, passes)


_NO_PART = re.compile(rb"bytes \*/[0-9]{1,19}")  # RFC 9110, section 14.4: of a range that cannot be had
PART = "it is a part of a content, and what stands in a part cannot be told; ask for the whole, without Range"


def coverer_of(kind: MediaType, fields: Fields, plan: Plan, passes: Collection[str]) -> tuple[Coverer | None, str]:
    """What covers a content of this type, and why it may not pass for all that; None where nothing can be read."""
    if kind.name == "multipart/byteranges" or any(name == b"content-range" for name, _ in fields):
        return None, PART
    codec = python_name(kind.charset)
    if codec is None:
        return None, f"its character set {kind.charset[:40]!r} cannot be read here; ask for UTF-8"
    coverer = _by_type(kind, plan, passes)
    if coverer is None:
        return None, f"its type {kind.name[:80]!r} cannot be read here; let the target's `passes` list it, or ask for JSON"
    why = ""
    if plan.rules_fields and isinstance(coverer, TextCover):
        named = kind.name or "a content without a type"
        why = f"a rule covers fields, which cannot be told in {named}; let the target's `passes` list it, or ask for JSON"
    return (Transcoded(codec, coverer) if codec else coverer), why


def _by_type(kind: MediaType, plan: Plan, passes: Collection[str]) -> Coverer | None:
    if kind.is_json:
        return SequenceCover(plan) if "json-seq" in kind.name else JsonCover(plan)
    if kind.name == "text/event-stream":
        return EventCover(plan)
    if kind.name in TABLES and plan.rules_fields:
        return None if kind.parameter("header") == "absent" else TableCover(plan, TABLES[kind.name])
    if kind.name == FORM:
        return FormCover(plan)
    if kind.name.startswith("multipart/"):
        boundary = kind.parameter("boundary")
        return PartsCover(plan, boundary, _chooser(plan, passes)) if BOUNDARY.fullmatch(boundary) else None
    if not kind.name:
        return UnnamedCover(plan)
    if kind.is_markup:
        return MarkupCover(plan)
    return TextCover(plan) if kind.is_text else None


def _chooser(plan: Plan, passes: Collection[str]) -> Choose:
    """Chooses for the parts of a content; parts within parts may not pass."""

    def choose(fields: Fields) -> Coverer:
        kind = media_type(next((value for name, value in fields if name == b"content-type"), b"text/plain"))
        encoding = next((value for name, value in fields if name == b"content-transfer-encoding"), b"binary").strip().lower()
        coverer, why = coverer_of(kind, fields, plan, passes)
        if plan.rules_fields and field_name(fields) and kind.name == "text/plain":
            why = ""  # a field of a form: rules would know it by its name
        if kind.name.startswith("multipart/") or (encoding not in AS_IT_IS and not _listed(kind, plan, passes)):
            raise WireError("a part of a content that cannot be read")
        if (coverer is None or why) and not _listed(kind, plan, passes):
            raise WireError(f"a part of the type {kind.name[:80]!r}, which cannot be read")
        return coverer if coverer is not None else NeedleFilter(plan.needles, same_length=True)

    return choose


@runtime_checkable
class Documents(Protocol):
    """A coverer of documents that follow each other."""

    @property
    def between(self) -> bool:
        """Whether all that was fed were whole documents."""
        ...


class Both:
    """Two coverers, one behind the other."""

    def __init__(self, first: Coverer, second: Coverer) -> None:
        self.first, self.second = first, second

    @property
    def masked(self) -> Counts:
        """What both covered."""
        first, second = self.first.masked, self.second.masked
        return {name: first.get(name, 0) + second.get(name, 0) for name in (*first, *second)}

    @property
    def between(self) -> bool:
        """Whether all that was fed were whole documents."""
        return isinstance(self.second, Documents) and self.second.between

    def feed(self, data: bytes) -> bytes:
        """What both let go on."""
        return self.second.feed(self.first.feed(data))

    def finish(self) -> bytes:
        """What they held back."""
        return self.second.feed(self.first.finish()) + self.second.finish()
