"""SQL of what pages watch: numbers that differ once something changed."""

from __future__ import annotations

from sqlalchemy import Connection, text


def pulse_of_approvals(connection: Connection) -> tuple[int, ...]:
    """Differs after a request, a vote, or an end."""
    found = connection.execute(
        text(
            "SELECT coalesce(max(changed_at), 0) AS changed, count(*) AS requests,"
            " (SELECT count(*) FROM approval_votes) AS votes,"
            " (SELECT count(*) FROM approvals WHERE state IN ('open', 'approved')) AS alive FROM approvals"
        )
    ).one()
    return (found.changed, found.requests, found.votes, found.alive)


def pulse_of_grants(connection: Connection) -> tuple[int, ...]:
    """Differs after a grant was given or ended."""
    found = connection.execute(
        text(
            "SELECT coalesce(max(changed_at), 0) AS changed, count(*) AS given,"
            " (SELECT count(*) FROM grants WHERE ended_at = 0) AS going_on FROM grants"
        )
    ).one()
    return (found.changed, found.given, found.going_on)


def pulse_of_sessions(connection: Connection) -> tuple[int, ...]:
    """Differs after a session began, ended, or was asked to end."""
    found = connection.execute(
        text(
            "SELECT coalesce((SELECT max(opened_at) FROM sessions), 0) AS opened,"
            " coalesce((SELECT max(closed_at) FROM sessions), 0) AS closed, count(*) AS live,"
            " count(kill_requested_at) AS killed"
            " FROM sessions WHERE closed_at IS NULL"
        )
    ).one()
    return (found.opened, found.closed, found.live, found.killed)
