"""Pages of requests that wait for a person: the list, one of them whole, and the vote."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatebook.access.approvals import Approvals
from gatebook.access.requests import Asked, State
from gatebook.errors import AccessError
from gatebook.web.pages.browser import Refused, form_of
from gatebook.web.pages.frame import Frame, Visitor

DECIDED = 20  # of the lately decided, on the list
VERDICTS = {"approve": True, "deny": False}
_ID = "/approvals/{id}"


@dataclass(frozen=True, slots=True)
class Item:
    """A request as one visitor sees it; ``obstacle`` says why their word would not count, if it would not."""

    asked: Asked
    yours: bool
    obstacle: str = ""

    @property
    def yes(self) -> int:
        """How many have approved."""
        return sum(vote.approved for vote in self.asked.votes)


class Deciding:
    """Requests for approval. Calls to ``Approvals`` block, so they run in threads."""

    def __init__(self, frame: Frame, approvals: Approvals) -> None:
        self._frame, self._approvals = frame, approvals

    def routes(self) -> list[Route]:
        """Where these pages are."""
        frame = self._frame
        return [
            Route("/approvals", frame.guarded(self.all)),
            Route(_ID, frame.guarded(self.one)),
            Route(f"{_ID}/vote", frame.changing(self.vote), methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        """What waits, the visitor's to decide first, the soonest to expire on top; and what was decided lately."""
        visitor = await self._frame.visitor(request)
        opened, decided = await asyncio.to_thread(self._lists, visitor)
        return self._frame.page(request, "approvals.html", visitor, opened=opened, decided=decided)

    async def one(self, request: Request) -> Response:
        """One request, whole."""
        visitor = await self._frame.visitor(request)
        item = await asyncio.to_thread(self._item, request.path_params["id"], visitor)
        return self._frame.page(request, "approval.html", visitor, item=item)

    async def vote(self, request: Request) -> Response:
        """The visitor's word on exactly what they looked at."""
        visitor = await self._frame.visitor(request)
        form = await form_of(request)
        verdict, digest = form.get("verdict", ""), form.get("digest", "")
        if verdict not in VERDICTS or not digest:
            raise Refused(HTTPStatus.BAD_REQUEST, "A broken form", "Neither approve nor deny was chosen. Nothing was changed.")
        item = await asyncio.to_thread(self._item, request.path_params["id"], visitor)
        found = item.asked.request.id
        arguments = (found, visitor.identity, VERDICTS[verdict], form.get("reason", ""), self._frame.now(), digest)
        await asyncio.to_thread(self._approvals.vote, *arguments)
        return self._frame.go(f"/approvals/{found}")

    def _lists(self, visitor: Visitor) -> tuple[list[Item], list[Item]]:
        opened = [self._seen(one, visitor) for one in self._approvals.list(State.OPEN) if self._may_see(one, visitor)]
        opened.sort(key=lambda item: (not item.yours, item.asked.request.expires_at))
        newest = sorted(self._approvals.list(), key=lambda one: one.changed_at, reverse=True)
        decided = [one for one in newest if one.state is not State.OPEN and self._may_see(one, visitor)]
        return opened, [self._seen(one, visitor) for one in decided[:DECIDED]]

    def _seen(self, asked: Asked, visitor: Visitor) -> Item:
        return Item(asked, self._approvals.may_vote(asked, visitor.identity))

    def _may_see(self, asked: Asked, visitor: Visitor) -> bool:
        return visitor.operator or self._approvals.may_see(asked, visitor.identity)

    def _item(self, approval: str, visitor: Visitor) -> Item:
        """Raises AccessError for what is not there, and the same for what is not this visitor's to see."""
        asked = self._approvals.find(approval)
        if asked.request.id != approval or not self._may_see(asked, visitor):
            raise AccessError("there is no such request, or it is not yours to see", "unknown")
        obstacle = ""
        if asked.state is State.OPEN:
            try:
                self._approvals.check_vote(approval, visitor.identity, self._frame.now())
            except AccessError as error:
                obstacle = str(error)
        return Item(asked, self._approvals.may_vote(asked, visitor.identity), obstacle)
