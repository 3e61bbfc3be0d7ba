"""Grants over HTTP. The functions without a request in them are what the pages use, too.

GET    /api/v1/grants        those the asker holds, and may revoke
POST   /api/v1/grants        targets, reach, seconds, reason, purpose: asks for one
DELETE /api/v1/grants/{id}   ends one at once; ?reason=
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatebook.access.approvals import Approvals, Request
from gatebook.access.grants import Given, Grants, Wish
from gatebook.ledger.entries import uuid7
from gatebook.model import Identity, Reach
from gatebook.web import approvals as asking
from gatebook.web.answers import only, read_json, take
from gatebook.web.approvals import REASON_CHARACTERS, Who
from gatebook.web.problems import Problem

LISTED = 200
SEARCHED = 2_000
NAME_CHARACTERS = 63  # of a target


async def visible(grants: Grants, viewer: Identity) -> list[Given]:
    """What this viewer holds and may revoke, the newest first; raises AccessError."""
    found = await asyncio.to_thread(grants.list, SEARCHED)
    return [one for one in found if grants.may_see(one, viewer)][:LISTED]


async def ask(grants: Grants, requester: Identity, wish: Wish) -> Request:
    """Ask for a grant; raises AccessError and LedgerError."""
    now = grants.now()
    return await asyncio.to_thread(grants.request, requester, wish, id=uuid7(now), now=now)


async def end(grants: Grants, by: Identity, grant: str, reason: str) -> Given:
    """End a grant now; raises AccessError and LedgerError."""
    return await asyncio.to_thread(grants.revoke, grant, by, grants.now(), reason)


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


def grant_routes(grants: Grants, approvals: Approvals, who: Who) -> list[Route]:
    """The routes; ``who`` says who asks."""
    api = _Api(grants, approvals, who)
    return [
        Route("/api/v1/grants", api.list, methods=["GET"]),
        Route("/api/v1/grants", api.ask, methods=["POST"]),
        Route("/api/v1/grants/{id}", api.end, methods=["DELETE"]),
    ]


class _Api:
    def __init__(self, grants: Grants, approvals: Approvals, who: Who) -> None:
        self._grants, self._approvals, self._who = grants, approvals, who

    async def list(self, request: HttpRequest) -> Response:
        viewer = await self._who(request)
        found, now = await visible(self._grants, viewer), self._grants.now()
        return JSONResponse({"grants": [shown(one, now) for one in found]})

    async def ask(self, request: HttpRequest) -> Response:
        requester = await self._who(request)
        asked = await ask(self._grants, requester, _wish(await read_json(request)))
        found = await asking.one_visible(self._approvals, requester, asked.id)
        body = asking.shown(found, requester, self._approvals)
        return JSONResponse(body, HTTPStatus.ACCEPTED, {"Location": f"/api/v1/approvals/{asked.id}"})

    async def end(self, request: HttpRequest) -> Response:
        by = await self._who(request)
        reason = request.query_params.get("reason", "")
        if len(reason) > REASON_CHARACTERS:
            raise Problem(HTTPStatus.BAD_REQUEST, f"reason: expected at most {REASON_CHARACTERS} characters")
        ended = await end(self._grants, by, request.path_params["id"], reason)
        return JSONResponse(shown(ended, self._grants.now()))


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
