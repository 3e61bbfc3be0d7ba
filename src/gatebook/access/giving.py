"""The moment in which an approved request becomes a grant: never more targets, reach or time than was asked for."""

from __future__ import annotations

from sqlalchemy import Connection

from gatebook.access import standing, store
from gatebook.access.book import Book
from gatebook.access.digests import grant_digest
from gatebook.access.requests import Given, Request
from gatebook.errors import AccessError

MICROSECONDS = 1_000_000


def give(connection: Connection, book: Book, request: Request, *, now: int, holder: str, by: str, given_by: str) -> Given:
    """Give what ``request`` asks for, from ``now`` on; raises AccessError when it is not what was asked."""
    if request.digest != digest_of(request):
        raise AccessError("the request was changed after it was made: it cannot be given", "closed")
    one = request.requester
    grant = Given(
        id=request.id,
        approval=request.id,
        issuer=one.issuer,
        subject=one.subject,
        kind=one.kind.value,
        targets=request.resources,
        reach=request.reach,
        not_before=now,
        expires_at=now + request.seconds * MICROSECONDS,
        given_by=given_by,
        why=request.reason,
        approvers=request.approvers,
        chain=standing.chain(one),
    )
    book.given(grant, holder, by, request.purpose)
    store.insert_grant(connection, grant)
    return grant


def digest_of(request: Request) -> str:
    """The digest that this request for a grant must have."""
    return grant_digest(
        requester=request.requester,
        targets=request.resources,
        reach=request.reach,
        seconds=request.seconds,
        why=request.reason,
    )
