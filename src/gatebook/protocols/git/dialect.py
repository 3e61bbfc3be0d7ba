"""Git as a dialect of HTTP: its two services, its own way to say no, and questions to the target before a push is decided.

Content of fetches and pushes goes on in no coding: git compresses long requests, and what was looked at is what goes on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from gatebook.errors import WireError
from gatebook.model import Deed
from gatebook.protocols.git import answers
from gatebook.protocols.git.inquiry import Inquiry
from gatebook.protocols.git.pack import Limits
from gatebook.protocols.git.paths import Service
from gatebook.protocols.git.pushing import PUSH_BYTES
from gatebook.protocols.git.reading import GitReading, push_of, read
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.covering.choosing import Choice, cover_for
from gatebook.protocols.http.covering.plan import Plan, plan_of
from gatebook.protocols.http.dialect import Draft, Opening
from gatebook.protocols.http.forwarding import without
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.reading import Reading
from gatebook.protocols.http.refusal import Problem
from gatebook.protocols.relay import Covering

PASSES = tuple(f"application/x-{one}-{what}" for one in Service for what in ("advertisement", "result"))
VERSION = (b"git-protocol", b"version=2")
_SENT = frozenset({b"content-type", b"accept", b"user-agent", b"accept-language", b"pragma"})
_VERSIONS = (b"version=2", b"version=1", b"version=0")
_GZIP = (b"gzip", b"x-gzip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is known of a git server before any request: how long a push may be, and what its pack may have."""

    push_bytes: int = PUSH_BYTES
    limits: Limits = field(default_factory=Limits)


class Git:
    """The dialect of one git server."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    @property
    def body_bytes(self) -> int:
        """How much of a request is kept to be decided about: all of it."""
        return self._shape.push_bytes

    @property
    def strict(self) -> bool:
        """What is wrong goes nowhere."""
        return True

    @property
    def patient(self) -> bool:
        """git over HTTP/2 waits for ever where it is answered in the middle of a push."""
        return True

    def wants(self, request: Request) -> bool:
        """Whether the content is kept until the request was decided about."""
        return request.method == "POST"

    def plainly(self, request: Request, content: bytes) -> bytes:
        """In no coding. Content that does not inflate, or to more than may come, stays as it is, which is wrong then."""
        if request.get(b"content-encoding") not in _GZIP:
            return content
        inflater = zlib.decompressobj(31)
        try:
            plain = inflater.decompress(content, self._shape.push_bytes)
        except zlib.error:
            return content
        return plain if inflater.eof and not inflater.unused_data else content

    def meant(self, request: Request) -> Request:
        """The request as its content is in no coding."""
        return replace(request, fields=without(request.fields, b"content-encoding"))

    def exact(self, request: Request) -> str:
        """What of a request means something to a git server; which objects a pack has, its refs say."""
        return f"{request.method} {request.target}\nhost {request.authority}"

    def read(self, request: Request, content: bytes | None) -> Reading:
        """What the request does, as far as it says so itself."""
        return read(request, content)

    def inquiry(self, request: Request, content: bytes | None) -> GitInquiry | None:
        """What of a push its target has to be asked."""
        push = push_of(request, content)
        if push is None or push.probes or content is None:
            return None
        return GitInquiry(request, content, Inquiry(push, content, self._shape.limits))

    def seen(self, told: Request, content: bytes | None, reading: Reading, plan: Plan) -> str:
        """In words, with a diff."""
        return reading.seen

    def plan(
        self,
        request: Request,
        covering: Covering,
        masks: Collection[str],
        needles: Collection[bytes],
        aliases: Mapping[str, Collection[str]] | None = None,
    ) -> Plan:
        """What covers what is no answer of git's, as a page that says what went wrong."""
        return plan_of(covering, masks, needles, aliases)

    def kept(self, request: Request, fields: Fields, plan: Plan) -> Fields:
        """Those that git sends."""
        sent = tuple(one for one in fields if one[0] in _SENT)
        version = [value for name, value in fields if name == b"git-protocol"]
        return (*sent, (b"git-protocol", version[0])) if len(version) == 1 and version[0] in _VERSIONS else sent

    def opening(self, request: Request, random: Callable[[int], bytes]) -> Opening:
        """Git upgrades nothing. Raises MalformedError."""
        raise MalformedError("git asks for no upgrade", 400)

    def cover(self, request: Request, response: Response, plan: Plan, passes: Collection[str]) -> Choice:
        """Packs and lists of refs pass; anything else is covered as on any other server."""
        return cover_for(request, response, plan, PASSES)

    def shows(self, request: Request, reading: Reading, may: Callable[[Deed], bool]) -> None:
        """Lists are shown whole."""
        return

    def refusal(self, problem: Problem, reading: Reading | None, content: bytes | None) -> tuple[Response, bytes]:
        """In git's own words, for each ref."""
        if not isinstance(reading, GitReading):
            return said(problem)
        follow, advice = str(problem.more.get("follow") or ""), str(problem.more.get("instead") or "")
        why = problem.detail
        if follow and problem.more.get("class") == "wait":
            why, advice = f"approval required ({follow})", "Push again once it is approved."
        return answers.refused(reading.place, reading.push, why, advice)

    def said(self, problem: Problem) -> tuple[Response, bytes]:
        """As text."""
        return said(problem)

    def bound(self, request: Request, content: bytes, conditions: Mapping[str, str]) -> tuple[Request, bytes]:
        """As it is: the server itself keeps to what each ref had."""
        return request, content

    def draft(self, request: Request, content: bytes | None, reading: Reading, *, again: bool) -> Draft | None:
        """Nothing: all that there is to see was asked for before."""
        return None

    def farewell(self, request: Request, problem: Problem, *, timely: bool) -> None:
        """Nothing: it is cut."""
        return


class GitInquiry:
    """The questions about one push, as requests. Owned by one exchange."""

    def __init__(self, request: Request, content: bytes, inquiry: Inquiry) -> None:
        self._request, self._content, self._inquiry = request, content, inquiry
        self._why = ""

    def question(self) -> tuple[Request, bytes] | None:
        """The next request, with its content; None once all is known. Takes time."""
        if self._why:
            return None
        try:
            asked = self._inquiry.question()
        except WireError as error:
            self._why = str(error)
            return None
        if asked is None:
            return None
        base = self._request.path.removesuffix(f"/{Service.RECEIVE}")
        if asked.content is None:
            opening = f"{base}/info/refs?service={Service.UPLOAD}"
            return replace(self._request, method="GET", target=opening, fields=(VERSION,)), b""
        kind = (b"content-type", f"application/x-{Service.UPLOAD}-request".encode())
        return replace(self._request, target=f"{base}/{Service.UPLOAD}", fields=(VERSION, kind)), asked.content

    def answered(self, response: Response, content: bytes) -> None:
        """Its answer. Takes time."""
        try:
            if response.status != 200:
                raise WireError(f"the git server answers {response.status} when it is asked what this push rests on")
            self._inquiry.answered(content)
        except WireError as error:
            self._why = str(error)

    def reading(self) -> Reading:
        """What the push does. Takes time."""
        found = read(self._request, self._content, None if self._why else self._inquiry)
        return replace(found, fault=self._why) if self._why else found

    def bound(self) -> tuple[bytes, ...]:
        """What a yes is bound to: refs and options. A pack of the same objects has other bytes each time."""
        push = self._inquiry.push
        moves = sorted(f"{one.old} {one.new} {one.ref}" for one in push.commands)
        whole = ["atomic"] if push.capability("atomic") is not None else []
        return tuple(one.encode() for one in (*moves, *whole, *(f"option {option}" for option in push.options)))


def said(problem: Problem) -> tuple[Response, bytes]:
    """A problem as text, which git shows with ``remote:`` before it. A missing token is told as a missing password is."""
    advice = str(problem.more.get("instead") or "")
    text = f"{problem.detail}\n{advice}\n" if advice else f"{problem.detail}\n"
    fields = without(problem.fields, b"www-authenticate")
    if problem.status == 401:
        fields = (*fields, (b"www-authenticate", b'Basic realm="gatebook"'))
    head = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *fields)
    return Response(problem.status, head), text.encode()
