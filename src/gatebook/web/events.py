"""Server-sent events for pages that stay up to date: which of approvals, grants and sessions changed, and nothing about them.

Whoever is told asks again for what they may see. A stream ends with the token it was opened by, and by itself after a while;
browsers open the next one by themselves.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gatebook.model import Identity
from gatebook.web import store
from gatebook.web.approvals import Who
from gatebook.web.problems import Problem

POLL_SECONDS = 0.5
QUIET_POLLS = 30  # without news; then a word that the connection is alive
LONGEST_POLLS = 1_200  # of a stream: ten minutes
STREAMS = 200  # at once; each takes a connection
STREAMS_EACH = 8  # of one identity


class Events:
    """Serves streams. Used from one event loop; ``seconds`` is the time between two looks."""

    def __init__(self, engine: Engine, who: Who, now: Callable[[], int], seconds: float = POLL_SECONDS) -> None:
        self._engine, self._who, self._now, self._seconds = engine, who, now, seconds
        self._open: Counter[tuple[str, str]] = Counter()

    async def stream(self, request: Request) -> Response:
        """Answer ``GET /api/v1/events``."""
        identity = await self._who(request)
        key = (identity.issuer, identity.subject)
        if self._open[key] >= STREAMS_EACH or self._open.total() >= STREAMS:
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many streams of events are open: close one, or ask now and then")
        return StreamingResponse(self._watch(identity, key), media_type="text/event-stream")

    async def _watch(self, identity: Identity, key: tuple[str, str]) -> AsyncIterator[str]:
        self._open[key] += 1
        try:
            before = await asyncio.to_thread(self._look)
            yield "retry: 1000\n: watching\n\n"
            quiet = 0
            for _ in range(LONGEST_POLLS):
                await asyncio.sleep(self._seconds)
                if identity.expires_at <= self._now():
                    return
                after = await asyncio.to_thread(self._look)
                news = [name for name, value in after.items() if value != before.get(name)]
                before, quiet = after, 0 if news else quiet + 1
                if news:
                    yield "".join(f"event: {name}\ndata: changed\n\n" for name in news)
                elif quiet >= QUIET_POLLS:
                    quiet = 0
                    yield ": quiet\n\n"
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    def _look(self) -> dict[str, tuple[int, ...]]:
        try:
            with self._engine.connect() as connection:
                return {
                    "approvals": store.pulse_of_approvals(connection),
                    "grants": store.pulse_of_grants(connection),
                    "sessions": store.pulse_of_sessions(connection),
                }
        except SQLAlchemyError:
            return {}  # no news; what is asked next will say that the database is away
