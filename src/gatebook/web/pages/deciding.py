"""Pages of requests that wait for a person: the list, one of them whole, and the vote."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatebook.access.requests import Asked, State
from gatebook.errors import AccessError
from gatebook.web.acts import NOT_THERE, Asker
from gatebook.web.approvals import Asking, Ballot
from gatebook.web.pages.browser import Refused, form_of
from gatebook.web.pages.frame import Frame

DECIDED = 20  # of the lately decided, on the list
VERDICTS = {"approve": True, "deny": False}
_ID = "/approvals/{id}"


@dataclass(frozen=True, slots=True)
class Item:
    """A request as one visitor sees it; ``obstacle`` says why their word would not count, if it would not."""

    asked: Asked
    yours: bool
    obstacle: str = ""
    session: bool = False  # whether its session is the visitor's to see

    @property
    def yes(self) -> int:
        """How many have approved."""
        return sum(vote.approved for vote in self.asked.votes)


class Deciding:
    """Requests for approval. Calls to ``Asking`` block, so they run in threads."""

    def __init__(self, frame: Frame, asking: Asking) -> None:
        self._frame, self._asking = frame, asking

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
        ballot = Ballot(approved=VERDICTS[verdict], reason=form.get("reason", ""), digest=digest)
        approval = request.path_params["id"]
        await asyncio.to_thread(self._vote, visitor, approval, ballot)
        return self._frame.go(f"/approvals/{approval}")

    def _lists(self, visitor: Asker) -> tuple[list[Item], list[Item]]:
        found = self._asking.list(visitor)
        opened = [self._seen(one, visitor) for one in found if one.state is State.OPEN]
        opened.sort(key=lambda item: (not item.yours, item.asked.request.expires_at))
        newest = sorted(found, key=lambda one: one.changed_at, reverse=True)
        decided = [one for one in newest if one.state is not State.OPEN]
        return opened, [self._seen(one, visitor) for one in decided[:DECIDED]]

    def _seen(self, asked: Asked, visitor: Asker) -> Item:
        return Item(asked, self._asking.approvals.may_vote(asked, visitor.identity))

    def _vote(self, visitor: Asker, approval: str, ballot: Ballot) -> None:
        self._find(approval, visitor)
        self._asking.vote(visitor, approval, ballot)

    def _find(self, approval: str, visitor: Asker) -> Asked:
        """Pages have whole ids; what is not this visitor's to see is not there. Raises AccessError."""
        asked = self._asking.find(visitor, approval)
        if asked.request.id != approval:
            raise AccessError(NOT_THERE, "unknown")
        return asked

    def _item(self, approval: str, visitor: Asker) -> Item:
        asked = self._find(approval, visitor)
        obstacle = self._asking.obstacle(visitor, asked, self._frame.now()) if asked.state is State.OPEN else ""
        session = self._asking.may_see_session(visitor, asked)
        return Item(asked, self._asking.approvals.may_vote(asked, visitor.identity), obstacle, session)
