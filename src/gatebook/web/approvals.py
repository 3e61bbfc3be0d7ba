"""Approvals over HTTP. ``Asking`` is what the pages use, too: it asks the policy, writes down, and then does.

GET  /api/v1/approvals             those the asker asked for and may decide; ?state=, ?kind=
GET  /api/v1/approvals/{id}        one of them, by its id or the beginning of one
POST /api/v1/approvals/{id}/vote   verdict (approve, deny), reason, digest
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatebook.access.approvals import Approvals, Asked, State
from gatebook.access.previews import Preview
from gatebook.access.requests import Script
from gatebook.errors import AccessError
from gatebook.model import Identity, Verdict
from gatebook.policy.acts import DECIDE, VIEW_APPROVALS, VIEW_SESSIONS, Concern, permits
from gatebook.web.acts import NOT_THERE, Acts, Asker, is_of
from gatebook.web.answers import REASON_CHARACTERS, only, read_json, take
from gatebook.web.problems import Problem

Who = Callable[[Request], Awaitable[Identity]]  # raises Problem

LISTED = 200
SEARCHED = 2_000  # requests that are looked through for those somebody may see
LISTED_CHARACTERS = 500  # of a text in a listing
SHOWN_CHARACTERS = 150_000  # of a text by itself: all six of its JSON bytes fit into what clients take


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What somebody says to a request: ``digest`` is what they looked at, empty if they do not say."""

    approved: bool
    reason: str
    digest: str = ""


class Asking:
    """Requests as the rules let somebody see and decide them. Calls block: make them in threads.

    Raises AccessError where the answer is no (what somebody may not see is not there) and LedgerError without a book.
    """

    def __init__(self, approvals: Approvals, acts: Acts) -> None:
        self.approvals, self._acts = approvals, acts

    def list(self, asker: Asker, state: State | None = None, kind: str | None = None) -> list[Asked]:
        """What this asker may see, the newest first."""
        verdicts: dict[Concern, Verdict] = {}
        found = [one for one in self.approvals.list(state, kind, SEARCHED) if self._shows(asker, one, verdicts)]
        own = self._acts.verdict(asker, VIEW_APPROVALS, Concern(own=True, target=""))
        self._acts.note(asker, VIEW_APPROVALS, next((one for one in verdicts.values() if permits(one)), own))
        return found[:LISTED]

    def find(self, asker: Asker, approval: str) -> Asked:
        """One of them, by its id or the beginning of one; that there is none sounds as that there is one of others."""
        try:
            found = self.approvals.find(approval)
        except AccessError as error:
            raise AccessError(NOT_THERE, "unknown") if error.fault == "unknown" else error from None
        self._acts.demand(asker, VIEW_APPROVALS, self.concern(found, asker.identity), found.request.id)
        return found

    def vote(self, asker: Asker, approval: str, ballot: Ballot) -> Asked:
        """Vote, and give back what then is."""
        found = self.find(asker, approval)
        about, reason = found.request.id, ballot.reason
        self._acts.demand(asker, DECIDE, self.concern(found, asker.identity), about, reason, seen=True)
        self.approvals.vote(about, asker.identity, ballot.approved, reason, self.approvals.now(), ballot.digest or None)
        return self.approvals.find(about)

    def obstacle(self, asker: Asker, found: Asked, now: int) -> str:
        """Why this asker's word on an open request would not count now; empty when it would."""
        try:
            self.approvals.check_vote(found.request.id, asker.identity, now)
        except AccessError as error:
            return str(error)
        verdict = self._acts.verdict(asker, DECIDE, self.concern(found, asker.identity))
        return "" if permits(verdict) else verdict.reason

    def may_see_session(self, asker: Asker, found: Asked) -> bool:
        """Whether the session that a request came from is this asker's to see."""
        about = replace(self.concern(found, asker.identity), approver=False)
        return bool(found.request.session) and self._acts.may(asker, VIEW_SESSIONS, about)

    def concern(self, found: Asked, viewer: Identity) -> Concern:
        """What rules may ask about a request."""
        request, requester = found.request, found.request.requester
        owner = requester.attributes.get("owner")
        names = {requester.subject, requester.on_behalf_of or "", owner.value if owner and owner.attested else ""} - {""}
        own = is_of(viewer, requester.issuer, names)
        return Concern(own=own, approver=self.approvals.may_vote(found, viewer), target=request.target)

    def _shows(self, asker: Asker, one: Asked, verdicts: dict[Concern, Verdict]) -> bool:
        about = self.concern(one, asker.identity)
        if about not in verdicts:
            verdicts[about] = self._acts.verdict(asker, VIEW_APPROVALS, about)
        return permits(verdicts[about])


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
        "preview": _preview(request.preview, rows=characters > LISTED_CHARACTERS) if request.preview else None,
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


def _preview(preview: Preview, *, rows: bool) -> dict[str, Any]:
    """What a write was found to change; its ``sample`` where a request stands by itself."""
    found: dict[str, Any] = {"why": preview.why, "rows": preview.rows, "by_rows": preview.by_rows, "at": preview.at}
    found |= {"form": preview.form, "promise": preview.promise}
    if not rows:
        return found
    more = {"columns": preview.columns, "more_columns": preview.more_columns, "keys": preview.keys, "follows": preview.follows}
    more |= {"text": preview.text, "notes": preview.notes}
    return found | more | {"masked": dict(preview.masked), "sample": [asdict(row) for row in preview.sample]}


def approval_routes(asking: Asking, who: Who) -> list[Route]:
    """The routes; ``who`` says who asks."""
    api = _Api(asking, who)
    return [
        Route("/api/v1/approvals", api.list),
        Route("/api/v1/approvals/{id}", api.show),
        Route("/api/v1/approvals/{id}/vote", api.vote, methods=["POST"]),
    ]


class _Api:
    def __init__(self, asking: Asking, who: Who) -> None:
        self._asking, self._who = asking, who

    async def list(self, request: Request) -> Response:
        asker = Asker.of(await self._who(request), request)
        state, kind = _state(request.query_params.get("state")), request.query_params.get("kind")
        found = await asyncio.to_thread(self._asking.list, asker, state, kind)
        return JSONResponse({"approvals": [self._shown(one, asker, LISTED_CHARACTERS) for one in found]})

    async def show(self, request: Request) -> Response:
        asker = Asker.of(await self._who(request), request)
        found = await asyncio.to_thread(self._asking.find, asker, request.path_params["id"])
        return JSONResponse(self._shown(found, asker))

    async def vote(self, request: Request) -> Response:
        asker = Asker.of(await self._who(request), request)
        ballot = _ballot(await read_json(request))
        found = await asyncio.to_thread(self._asking.vote, asker, request.path_params["id"], ballot)
        return JSONResponse(self._shown(found, asker))

    def _shown(self, found: Asked, asker: Asker, characters: int = SHOWN_CHARACTERS) -> dict[str, Any]:
        return shown(found, asker.identity, self._asking.approvals, characters)


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
