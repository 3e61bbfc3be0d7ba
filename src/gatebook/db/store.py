"""SQL that gateway and web share: neither may import the other, and they meet in these rows. Times in µs since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import Connection, text

COUNTED = """CASE WHEN closed_at IS NULL THEN (SELECT count(*) FROM actions WHERE actions.session = sessions.id)
       ELSE sessions.actions END AS actions,
  CASE WHEN closed_at IS NULL
       THEN (SELECT count(*) FROM actions WHERE actions.session = sessions.id AND ruling NOT IN ('allow', 'mask'))
       ELSE refused END AS refused"""  # of a session's row: counted while it is live, fixed when it closes


def request_kill(connection: Connection, *, session: str, at: int, by: str, reason: str) -> bool:
    """Ask for a live session's end. The first to ask is the one who stands in the book; false when it is closed."""
    asked = connection.execute(
        text(
            "UPDATE sessions SET kill_by = coalesce(kill_by, :by), kill_reason = coalesce(kill_reason, :reason),"
            " kill_requested_at = coalesce(kill_requested_at, :at) WHERE id = :session AND closed_at IS NULL"
        ),
        {"session": session, "at": at, "by": by, "reason": reason},
    )
    return asked.rowcount == 1
