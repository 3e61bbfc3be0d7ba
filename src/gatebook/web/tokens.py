"""Gateway tokens over HTTP: whose there are, and the end of one. ``Given`` asks the policy, writes down, and only then does.

GET    /api/v1/tokens        those that the asker may see, the newest first; ?live=true
DELETE /api/v1/tokens/{id}   revokes one at once, by its id or the beginning of one; ?reason=

A token's id is the beginning of its digest: nobody can send it in, or find the token by it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatebook.errors import AccessError
from gatebook.identity.tokens import GatewayTokens, Issued
from gatebook.model import Identity
from gatebook.policy.acts import REVOKE_TOKENS, VIEW_TOKENS, Concern, permits
from gatebook.web.acts import NOT_THERE, Acts, Asker, is_of
from gatebook.web.answers import reason_of
from gatebook.web.approvals import Who

LISTED = 200
SEARCHED = 2_000  # of everybody's tokens, the newest, are looked through for those somebody may see


def concern(token: Issued, viewer: Identity) -> Concern:
    """What rules may ask about a token; it is for no target."""
    return Concern(own=is_of(viewer, token.issuer, {token.subject, token.on_behalf_of} - {""}), target="")


class Given:
    """Tokens as the rules let somebody see and end them. Calls block: make them in threads.

    Raises AccessError where the answer is no (what somebody may not see is not there) and LedgerError without a book.
    """

    def __init__(self, tokens: GatewayTokens, acts: Acts) -> None:
        self._tokens, self._acts = tokens, acts

    def list(self, asker: Asker, *, live: bool) -> list[Issued]:
        """What this asker may see: their own however old, and of the others the newest."""
        now = self._acts.now()
        owner = (asker.identity.issuer, asker.identity.subject)
        some = [*self._tokens.issued(LISTED, owner=owner), *self._tokens.issued(SEARCHED)]
        found = {one.id: one for one in some if one.live(now) or not live}
        verdicts = {about: self._acts.verdict(asker, VIEW_TOKENS, about) for about in (OWN, NOT_OWN)}
        seen = [one for one in found.values() if permits(verdicts[concern(one, asker.identity)])]
        others = permits(verdicts[NOT_OWN]) and any(not concern(one, asker.identity).own for one in seen)
        self._acts.note(asker, VIEW_TOKENS, verdicts[NOT_OWN if others else OWN])
        return sorted(seen, key=lambda one: (one.issued_at, one.id), reverse=True)[:LISTED]

    def end(self, asker: Asker, token: str, reason: str) -> Issued:
        """Revoke one: it opens nothing any more, and the gateway ends what it opened within moments."""
        found = self._tokens.by_id(token)
        if len(found) != 1:
            raise AccessError(NOT_THERE, "unknown")
        (one,) = found
        about = concern(one, asker.identity)
        self._acts.demand(asker, VIEW_TOKENS, about, one.id)
        now = self._acts.now()
        if not one.live(now):
            raise AccessError("the token is revoked or has expired already", "closed")
        self._acts.demand(asker, REVOKE_TOKENS, about, one.id, reason, seen=True)
        if not self._tokens.revoke_issued(one, now):
            raise AccessError("the token is revoked or has expired already", "closed")
        return self._tokens.by_id(one.id)[0]


OWN, NOT_OWN = Concern(own=True, target=""), Concern(own=False, target="")


def shown(token: Issued, now: int) -> dict[str, Any]:
    """A token as JSON: nothing that lets anybody in."""
    return {
        "id": token.id,
        "subject": token.subject,
        "issuer": token.issuer,
        "kind": token.kind,
        "on_behalf_of": token.on_behalf_of,
        "target": token.target,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "live": token.live(now),
    }


def token_routes(given: Given, who: Who, acts: Acts) -> list[Route]:
    """The routes; ``who`` says who asks."""
    api = _Api(given, who, acts)
    return [
        Route("/api/v1/tokens", api.list, methods=["GET"]),
        Route("/api/v1/tokens/{id}", api.end, methods=["DELETE"]),
    ]


class _Api:
    def __init__(self, given: Given, who: Who, acts: Acts) -> None:
        self._given, self._who, self._acts = given, who, acts

    async def list(self, request: Request) -> Response:
        asker = Asker.of(await self._who(request), request)
        live = request.query_params.get("live") == "true"
        found = await asyncio.to_thread(self._given.list, asker, live=live)
        return JSONResponse({"tokens": [shown(one, self._acts.now()) for one in found]})

    async def end(self, request: Request) -> Response:
        asker = Asker.of(await self._who(request), request)
        ended = await asyncio.to_thread(self._given.end, asker, request.path_params["id"], reason_of(request))
        return JSONResponse(shown(ended, self._acts.now()))
