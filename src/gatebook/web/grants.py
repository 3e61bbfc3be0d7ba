"""Grants over HTTP. ``Giving`` asks the policy, writes down, and then does.

GET    /api/v1/grants        those the asker holds, and may revoke
POST   /api/v1/grants        targets, reach, seconds, reason, purpose: asks for one
DELETE /api/v1/grants/{id}   ends one at once; ?reason=
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatebook.access import standing
from gatebook.access.approvals import Request
from gatebook.access.grants import Given, Grants, Wish
from gatebook.errors import AccessError
from gatebook.ledger.entries import uuid7
from gatebook.model import Reach
from gatebook.policy.acts import REVOKE, VIEW_GRANTS, Concern, permits
from gatebook.web.acts import NOT_THERE, Acts, Asker
from gatebook.web.answers import only, read_json, reason_of, take
from gatebook.web.approvals import Asking, Who
from gatebook.web.approvals import shown as approvals_shown
from gatebook.web.problems import Problem

LISTED = 200
SEARCHED = 2_000
NAME_CHARACTERS = 63  # of a target


class Giving:
    """Grants as the rules let somebody see and end them. Calls block: make them in threads.

    Raises AccessError where the answer is no (what somebody may not see is not there) and LedgerError without a book.
    """

    def __init__(self, grants: Grants, acts: Acts) -> None:
        self.grants, self._acts = grants, acts

    def list(self, asker: Asker) -> list[Given]:
        """What this asker may see, the newest first."""
        found = [(one, self._acts.verdict(asker, VIEW_GRANTS, concern(one, asker))) for one in self.grants.list(SEARCHED)]
        seen = [(one, verdict) for one, verdict in found if permits(verdict)]
        own = self._acts.verdict(asker, VIEW_GRANTS, Concern(own=True, target=""))
        self._acts.note(asker, VIEW_GRANTS, seen[0][1] if seen else own)
        return [one for one, _ in seen[:LISTED]]

    def ask(self, asker: Asker, wish: Wish) -> Request:
        """Ask for a grant: people decide about it, not the rules."""
        now = self.grants.now()
        return self.grants.request(asker.identity, wish, id=uuid7(now), now=now)

    def end(self, asker: Asker, grant: str, reason: str) -> Given:
        """End a grant now."""
        found = [one for one in self.grants.list(SEARCHED) if one.id.startswith(grant)]
        if len(found) != 1:
            raise AccessError(NOT_THERE, "unknown")
        (one,) = found
        self._acts.demand(asker, VIEW_GRANTS, concern(one, asker), one.id)
        self._acts.demand(asker, REVOKE, concern(one, asker), one.id, reason, seen=True)
        return self.grants.revoke(one.id, asker.identity, self.grants.now(), reason)


def concern(grant: Given, asker: Asker) -> Concern:
    """What rules may ask about a grant."""
    viewer = asker.identity
    proven = replace(viewer, attributes={}, on_behalf_of=None)  # what a client says of itself makes nothing its own
    own = viewer.issuer == grant.issuer and standing.own(grant.chain, proven)
    approver = bool(standing.seats(grant.approvers, grant.issuer, viewer, viewer.groups))
    return Concern(own=own, approver=approver, target=", ".join(grant.targets))


def shown(grant: Given, now: int) -> dict[str, Any]:
    """A grant as JSON."""
    return {
        "id": grant.id,
        "approval": grant.approval,
        "subject": grant.subject,
        "issuer": grant.issuer,
        "kind": grant.kind,
        "targets": list(grant.targets),
        "reach": grant.reach.value,
        "not_before": grant.not_before,
        "expires_at": grant.expires_at,
        "given_by": grant.given_by,
        "reason": grant.why,
        "revoked_by": grant.revoked_by,
        "ended_at": grant.ended_at,
        "live": grant.live(now),
    }


def grant_routes(giving: Giving, asking: Asking, who: Who) -> list[Route]:
    """The routes; ``who`` says who asks."""
    api = _Api(giving, asking, who)
    return [
        Route("/api/v1/grants", api.list, methods=["GET"]),
        Route("/api/v1/grants", api.ask, methods=["POST"]),
        Route("/api/v1/grants/{id}", api.end, methods=["DELETE"]),
    ]


class _Api:
    def __init__(self, giving: Giving, asking: Asking, who: Who) -> None:
        self._giving, self._asking, self._who = giving, asking, who

    async def list(self, request: HttpRequest) -> Response:
        asker = Asker.of(await self._who(request), request)
        found, now = await asyncio.to_thread(self._giving.list, asker), self._giving.grants.now()
        return JSONResponse({"grants": [shown(one, now) for one in found]})

    async def ask(self, request: HttpRequest) -> Response:
        asker = Asker.of(await self._who(request), request)
        asked = await asyncio.to_thread(self._giving.ask, asker, _wish(await read_json(request)))
        approvals = self._asking.approvals
        body = approvals_shown(await asyncio.to_thread(approvals.find, asked.id), asker.identity, approvals)
        return JSONResponse(body, HTTPStatus.ACCEPTED, {"Location": f"/api/v1/approvals/{asked.id}"})

    async def end(self, request: HttpRequest) -> Response:
        asker = Asker.of(await self._who(request), request)
        ended = await asyncio.to_thread(self._giving.end, asker, request.path_params["id"], reason_of(request))
        return JSONResponse(shown(ended, self._giving.grants.now()))


def _wish(sent: dict[str, Any]) -> Wish:
    only(sent, "targets", "reach", "seconds", "reason", "purpose")
    targets = take(sent, "targets", list)
    if not all(isinstance(one, str) and 0 < len(one) <= NAME_CHARACTERS and one.isprintable() for one in targets):
        raise Problem(HTTPStatus.BAD_REQUEST, "targets: expected a list of names of targets")
    reach = take(sent, "reach", str)
    if reach not in frozenset(Reach):
        raise Problem(HTTPStatus.BAD_REQUEST, f"reach: expected one of {', '.join(Reach)}")
    return Wish(
        targets=targets,
        reach=Reach(reach),
        seconds=take(sent, "seconds", int),
        why=take(sent, "reason", str),
        purpose=take(sent, "purpose", str, ""),
    )
