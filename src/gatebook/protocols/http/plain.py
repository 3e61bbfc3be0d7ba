"""HTTP APIs, as they are: methods and routes, GraphQL, MCP, WebSockets."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Mapping

from gatebook.model import Deed
from gatebook.protocols.http import mcp, mcp_answers, websocket
from gatebook.protocols.http.asking import exact
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.contents import FORM, is_json
from gatebook.protocols.http.covering.choosing import Choice, cover_for
from gatebook.protocols.http.covering.plan import Plan, plan_of
from gatebook.protocols.http.covering.requests import shown_request
from gatebook.protocols.http.dialect import Passage
from gatebook.protocols.http.graphql_socket import Conversation
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.reading import Reading, Shape, converses, read
from gatebook.protocols.http.refusal import Problem
from gatebook.protocols.http.tunnel import Tunnel
from gatebook.protocols.relay import Covering

SEEN_BYTES = 262_144  # of a request's content, for people who decide about it and for its recording
_STREAMED = (b"application/grpc",)


class Plain:
    """The dialect of HTTP APIs, with GraphQL and MCP."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    @property
    def body_bytes(self) -> int:
        """How much of a request's content is kept to be decided about."""
        return self._shape.body_bytes

    @property
    def strict(self) -> bool:
        """The policy says what becomes of it."""
        return False

    @property
    def patient(self) -> bool:
        """Who hears a refusal early saves the rest."""
        return False

    def wants(self, request: Request) -> bool:
        """Whether the content is kept until the request was decided about."""
        return _wants(request, self._shape.body_bytes)

    def plainly(self, request: Request, content: bytes) -> bytes:
        """As it came: what can be read in two ways is a doubt."""
        return content

    def meant(self, request: Request) -> Request:
        """The same."""
        return request

    def exact(self, request: Request) -> str:
        """Each of its fields counts; of MCP not the session, which an agent has anew whenever it begins."""
        return exact(request, mcp.PASSING if self._shape.mcp is not None else frozenset())

    def read(self, request: Request, content: bytes | None) -> Reading:
        """What the request does."""
        return read(request, content, self._shape)

    def inquiry(self, request: Request, content: bytes | None) -> None:
        """A request says all itself."""
        return

    def seen(self, told: Request, content: bytes | None, reading: Reading, plan: Plan) -> str:
        """Its head and content as they came."""
        return shown_request(told, content, plan, most=SEEN_BYTES).replace("\n", f"\nhost: {told.authority}\n", 1)

    def plan(
        self,
        request: Request,
        covering: Covering,
        masks: Collection[str],
        needles: Collection[bytes],
        aliases: Mapping[str, Collection[str]] | None = None,
    ) -> Plan:
        """What covers the answer. In a WebSocket of GraphQL what belongs to no operation may be anything."""
        if converses(request, self._shape):
            masks = covering.possible.union(masks)
        return plan_of(covering, masks, needles, aliases)

    def kept(self, request: Request, fields: Fields, plan: Plan) -> Fields:
        """All of them."""
        return fields

    def opening(self, request: Request, random: Callable[[int], bytes]) -> WebSocketOpening:
        """A WebSocket. Raises MalformedError for any other upgrade."""
        key = websocket.asked(request)
        return GraphqlOpening(request, key, random) if converses(request, self._shape) else WebSocketOpening(key, random)

    def cover(self, request: Request, response: Response, plan: Plan, passes: Collection[str]) -> Choice:
        """What its type of content says."""
        return cover_for(request, response, plan, passes)

    def shows(self, request: Request, reading: Reading, may: Callable[[Deed], bool]) -> Callable[[str], bool] | None:
        """Tools that the policy would let be called, or hold for people."""
        if not mcp_answers.lists_tools(request, reading):
            return None
        shape, deed = self._shape, reading.deeds[0]
        return lambda tool: may(mcp_answers.call_of(tool, deed, shape))

    def refusal(self, problem: Problem, reading: Reading | None, content: bytes | None) -> tuple[Response, bytes]:
        """Calls of MCP hear it as their results, all else as a problem."""
        if reading is not None and reading.calls and content:
            said = mcp_answers.refusal(content, problem.detail, problem.more)
            if said is not None:
                return Response(200, ((b"content-type", b"application/json"), *problem.fields)), said
        return problem.said()

    def said(self, problem: Problem) -> tuple[Response, bytes]:
        """As ``application/problem+json``."""
        return problem.said()

    def bound(self, request: Request, content: bytes, conditions: Mapping[str, str]) -> tuple[Request, bytes]:
        """As it is: nothing of it was tried."""
        return request, content

    def draft(self, request: Request, content: bytes | None, reading: Reading, *, again: bool) -> None:
        """None: nobody can tell which requests to an API may be tried."""
        return

    def farewell(self, request: Request, problem: Problem, *, timely: bool) -> None:
        """Nothing: it is cut."""
        return


class WebSocketOpening:
    """A WebSocket that a client asks for; ``key`` is the client's own, b"" over HTTP/2."""

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        self._key, self._random = key, random

    def _keys(self) -> bytes:
        return self._random(4)

    def offered(self, fields: Fields) -> Fields:
        """With a key of ours."""
        return websocket.offered(fields, b64encode(self._random(16)))

    def agreed(self, told: Request, response: Response) -> None:
        """Whether the answer is to the key that was given. Raises WireError."""
        websocket.agreed(told, response, told.get(b"sec-websocket-key") or b"")

    def answer(self, fields: Fields) -> Response:
        """With the answer to the client's key."""
        return websocket.answer(fields, self._key)

    def passage(self, plan: Plan, passes: Collection[str]) -> Passage:
        """Messages, text covered."""
        return Tunnel(plan, passes, self._keys)


class GraphqlOpening(WebSocketOpening):
    """One in which GraphQL is spoken, by the subprotocol that the target chooses."""

    def __init__(self, request: Request, key: bytes, random: Callable[[int], bytes]) -> None:
        super().__init__(key, random)
        self._request, self._chosen = request, b""

    def agreed(self, told: Request, response: Response) -> None:
        """Likewise, and what is spoken. Raises WireError."""
        self._chosen = websocket.agreed(told, response, told.get(b"sec-websocket-key") or b"")
        if not self._chosen:
            raise MalformedError("the target agrees to no subprotocol of GraphQL")

    def passage(self, plan: Plan, passes: Collection[str]) -> Passage:
        """Messages, each read; none that is no text."""
        return Conversation(self._request, self._chosen, plan, self._keys)


def _wants(request: Request, most: int) -> bool:
    kind = (request.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if request.upgrade or kind.startswith(_STREAMED):
        return False
    length = request.get(b"content-length")
    if length is not None:
        return int(length) <= most
    said = kind.decode("latin-1")
    return not kind or is_json(said) or said == FORM
