"""Approvals over HTTP. The functions without a request in them are what the pages use, too.

GET  /api/v1/approvals             those the asker asked for and may decide; ?state=, ?kind=
GET  /api/v1/approvals/{id}        one of them, by its id or the beginning of one
POST /api/v1/approvals/{id}/vote   verdict (approve, deny), reason, digest
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatebook.access.approvals import NOT_KNOWN, Approvals, Asked, State
from gatebook.access.requests import Script
from gatebook.errors import AccessError
from gatebook.model import Identity
from gatebook.web.answers import only, read_json, take
from gatebook.web.problems import Problem

Who = Callable[[Request], Awaitable[Identity]]  # raises Problem

LISTED = 200
SEARCHED = 2_000  # requests that are looked through for those somebody may see
LISTED_CHARACTERS = 500  # of a text in a listing
SHOWN_CHARACTERS = 150_000  # of a text by itself: all six of its JSON bytes fit into what clients take
REASON_CHARACTERS = 500


async def visible(approvals: Approvals, viewer: Identity, state: State | None = None, kind: str | None = None) -> list[Asked]:
    """What this viewer asked for and may decide, the newest first; raises AccessError."""
    found = await asyncio.to_thread(approvals.list, state, kind, SEARCHED)
    return [one for one in found if approvals.may_see(one, viewer)][:LISTED]


async def one_visible(approvals: Approvals, viewer: Identity, approval: str) -> Asked:
    """One of them; what somebody may not see is not there. Raises AccessError."""
    found = await asyncio.to_thread(approvals.find, approval)
    if not approvals.may_see(found, viewer):
        raise AccessError(NOT_KNOWN, "unknown")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What somebody says to a request: ``digest`` is what they looked at, empty if they do not say."""

    approved: bool
    reason: str
    digest: str = ""


async def cast(approvals: Approvals, voter: Identity, approval: str, ballot: Ballot) -> Asked:
    """Vote, and give back what then is; raises AccessError and LedgerError."""
    approved, reason, seen = ballot.approved, ballot.reason, ballot.digest or None
    await asyncio.to_thread(approvals.vote, approval, voter, approved, reason, approvals.now(), seen)
    return await asyncio.to_thread(approvals.find, approval)


def shown(found: Asked, viewer: Identity, approvals: Approvals, characters: int = SHOWN_CHARACTERS) -> dict[str, Any]:
    """A request as JSON, for this viewer. ``size`` counts the characters of the whole text."""
    request, requester = found.request, found.request.requester
    return {
        "id": request.id,
        "state": found.state.value,
        "kind": request.kind,
        "requester": {
            "subject": requester.subject,
            "issuer": requester.issuer,
            "kind": requester.kind.value,
            "on_behalf_of": requester.on_behalf_of,
            "groups": sorted(requester.groups),
            "attributes": {
                name: {"value": one.value, "attested": one.attested} for name, one in sorted(requester.attributes.items())
            },
        },
        "session": request.session,
        "target": request.target,
        "role": request.role,
        "verb": request.verb,
        "reach": request.reach.value,
        "resources": list(request.resources),
        "text": request.text[:characters],
        "size": len(request.text),
        "rule": request.rule,
        "reason": request.reason,
        "purpose": request.purpose,
        "seconds": request.seconds,
        "masks": sorted(request.masks),
        "script": _script(request.script, parts=characters > LISTED_CHARACTERS) if request.script else None,
        "approvers": sorted(request.approvers),
        "quorum": request.quorum,
        "digest": request.digest,
        "policy_digest": request.policy_digest,
        "opened_at": request.opened_at,
        "expires_at": request.expires_at,
        "votes": [{"by": one.by, "approved": one.approved, "reason": one.reason, "at": one.at} for one in found.votes],
        "why": found.why,
        "grant": found.grant,
        "may_vote": found.state is State.OPEN and approvals.may_vote(found, viewer),
        "yours": approvals.own(found, viewer),
    }


def _script(script: Script, *, parts: bool) -> dict[str, Any]:
    """What a proposed script is made of; its ``parts`` where a request stands by itself."""
    found = {"sha256": script.sha256, "size": script.size, "statements": len(script.parts)}
    return found | ({"parts": [asdict(part) for part in script.parts]} if parts else {})


def approval_routes(approvals: Approvals, who: Who) -> list[Route]:
    """The routes; ``who`` says who asks."""
    api = _Api(approvals, who)
    return [
        Route("/api/v1/approvals", api.list),
        Route("/api/v1/approvals/{id}", api.show),
        Route("/api/v1/approvals/{id}/vote", api.vote, methods=["POST"]),
    ]


class _Api:
    def __init__(self, approvals: Approvals, who: Who) -> None:
        self._approvals, self._who = approvals, who

    async def list(self, request: Request) -> Response:
        viewer = await self._who(request)
        state, kind = _state(request.query_params.get("state")), request.query_params.get("kind")
        found = await visible(self._approvals, viewer, state, kind)
        return JSONResponse({"approvals": [shown(one, viewer, self._approvals, LISTED_CHARACTERS) for one in found]})

    async def show(self, request: Request) -> Response:
        viewer = await self._who(request)
        found = await one_visible(self._approvals, viewer, request.path_params["id"])
        return JSONResponse(shown(found, viewer, self._approvals))

    async def vote(self, request: Request) -> Response:
        voter = await self._who(request)
        ballot = _ballot(await read_json(request))
        found = await cast(self._approvals, voter, request.path_params["id"], ballot)
        return JSONResponse(shown(found, voter, self._approvals))


def _state(named: str | None) -> State | None:
    if named is None:
        return None
    try:
        return State(named)
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, f"state: expected one of {', '.join(State)}") from None


def _ballot(sent: dict[str, Any]) -> Ballot:
    only(sent, "verdict", "reason", "digest")
    verdict, reason = take(sent, "verdict", str), take(sent, "reason", str, "")
    if verdict not in ("approve", "deny"):
        raise Problem(HTTPStatus.BAD_REQUEST, "verdict: expected approve or deny")
    if len(reason) > REASON_CHARACTERS:
        raise Problem(HTTPStatus.BAD_REQUEST, f"reason: expected at most {REASON_CHARACTERS} characters")
    return Ballot(approved=verdict == "approve", reason=reason, digest=take(sent, "digest", str, ""))
