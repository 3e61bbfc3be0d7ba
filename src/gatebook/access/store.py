"""SQL of approvals, votes and grants: one function, one query. Times in microseconds; lists as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, text

from gatebook.access import previews
from gatebook.access.requests import Asked, Given, Live, Part, Request, Script, State
from gatebook.model import Attribute, Identity, Kind, Reach, Ruling, Vote

_APPROVAL = """SELECT id, digest, session, requester, target, role, verb, reach, resources, text, rule, reason, approvers,
  quorum, purpose, policy_digest, opened_at, expires_at, kind, seconds, masks, script, preview, resent, state, why,
  changed_at,
  coalesce((SELECT grants.id FROM grants WHERE grants.approval = approvals.id), '') AS given
FROM approvals"""
_GRANT = """SELECT id, approval, issuer, subject, kind, targets, reach, not_before, expires_at, given_by, why, approvers, chain,
  revoked_by, ended_at
FROM grants"""


_OLD = """SELECT id FROM approvals WHERE state IN ('denied', 'expired', 'void', 'used') AND changed_at < :before
  AND NOT EXISTS (SELECT id FROM grants WHERE grants.approval = approvals.id)"""


def latest(connection: Connection) -> int:
    """When anything of this last changed: no later act may count as earlier."""
    query = (
        "SELECT max(coalesce((SELECT max(changed_at) FROM approvals), 0), coalesce((SELECT max(changed_at) FROM grants), 0))"
    )
    if connection.dialect.name != "sqlite":
        query = query.replace("SELECT max(coalesce", "SELECT greatest(coalesce", 1)
    return int(connection.execute(text(query)).scalar_one())


# Approvals ---------------------------------------------------------------------------------------------------------------


def insert_approval(connection: Connection, request: Request, chain: Collection[str]) -> None:
    """A new request, open."""
    connection.execute(
        text(
            "INSERT INTO approvals (id, digest, session, issuer, subject, requester, chain, target, role, verb, reach,"
            " resources, text, rule, reason, approvers, quorum, purpose, policy_digest, opened_at, expires_at, kind, seconds,"
            " masks, script, preview, resent, state, why, changed_at)"
            " VALUES (:id, :digest, :session, :issuer, :subject, :requester, :chain, :target, :role, :verb, :reach,"
            " :resources, :text, :rule, :reason, :approvers, :quorum, :purpose, :policy_digest, :opened_at, :expires_at, :kind,"
            " :seconds, :masks, :script, :preview, :resent, 'open', '', :opened_at)"
        ),
        _columns(request, chain),
    )


def lock_approval(connection: Connection, approval: str) -> bool:
    """Keep everybody else from changing the request until the transaction ends; whether there is one."""
    touched = connection.execute(text("UPDATE approvals SET changed_at = changed_at WHERE id = :id"), {"id": approval})
    return touched.rowcount == 1


def lock_requests(connection: Connection, issuer: str, subject: str) -> None:
    """The same for the open requests of one identity."""
    connection.execute(
        text("UPDATE approvals SET changed_at = changed_at WHERE issuer = :issuer AND subject = :subject AND state = 'open'"),
        {"issuer": issuer, "subject": subject},
    )


def find_approval(connection: Connection, approval: str) -> Asked | None:
    """The request of this id, with its votes."""
    row = connection.execute(text(f"{_APPROVAL} WHERE id = :id"), {"id": approval}).mappings().first()
    return _asked(row, votes_on(connection, [approval])) if row else None


def find_by_prefix(connection: Connection, prefix: str) -> list[Asked]:
    """The requests whose id begins so: none, the one, or the first two of several."""
    found = connection.execute(
        text(f"{_APPROVAL} WHERE substr(id, 1, :length) = :prefix ORDER BY id LIMIT 2"),
        {"prefix": prefix, "length": len(prefix)},
    )
    return _all_asked(connection, found.mappings().all())


def list_approvals(connection: Connection, state: str | None, kind: str | None, limit: int) -> list[Asked]:
    """The newest requests first."""
    found = connection.execute(
        text(
            f"{_APPROVAL} WHERE (:state IS NULL OR state = :state) AND (:kind IS NULL OR kind = :kind)"
            " ORDER BY opened_at DESC, id DESC LIMIT :limit"
        ),
        {"state": state, "kind": kind, "limit": limit},
    )
    return _all_asked(connection, found.mappings().all())


def find_approved(connection: Connection, digest: str, requester: Identity, now: int) -> str | None:
    """An approval of exactly this by this requester that can still be used; of several the one that ends first."""
    found = connection.execute(
        text(
            "SELECT id FROM approvals WHERE issuer = :issuer AND subject = :subject AND state = 'approved' AND digest = :digest"
            " AND kind <> 'grant' AND expires_at > :now ORDER BY expires_at, id LIMIT 1"
        ),
        {"issuer": requester.issuer, "subject": requester.subject, "digest": digest, "now": now},
    )
    return found.scalar_one_or_none()


def find_alive(connection: Connection, request: Request, *, waits: bool) -> list[str]:
    """What is alive of exactly this, the first to end first; where clients wait on a connection, for one that ``waits`` too."""
    one = request.requester
    found = connection.execute(
        text(
            "SELECT id FROM approvals WHERE issuer = :issuer AND subject = :subject AND state IN ('open', 'approved')"
            " AND digest = :digest AND kind <> 'grant' AND (kind = 'script' OR resent OR :waits) AND expires_at > :now"
            " ORDER BY expires_at, id"
        ),
        {"issuer": one.issuer, "subject": one.subject, "digest": request.digest, "now": request.opened_at, "waits": waits},
    )
    return list(found.scalars())


def join(connection: Connection, approval: str) -> None:
    """One client more that asks for this."""
    connection.execute(text("UPDATE approvals SET askers = askers + 1 WHERE id = :id"), {"id": approval})


def leave(connection: Connection, approval: str) -> bool:
    """One client less that asks for this, and ``lock_approval``; whether it was the last. False too where there is none."""
    connection.execute(text("UPDATE approvals SET askers = askers - 1 WHERE id = :id"), {"id": approval})
    found = connection.execute(text("SELECT id FROM approvals WHERE id = :id AND askers <= 0"), {"id": approval})
    return found.scalar_one_or_none() is not None


def find_refused(connection: Connection, digest: str, requester: Identity, since: int, now: int) -> str | None:
    """The last request of exactly this that was denied, not answered, or used by one of several, between two times."""
    found = connection.execute(
        text(
            "SELECT id FROM approvals WHERE issuer = :issuer AND subject = :subject AND digest = :digest AND kind <> 'grant'"
            " AND (((state = 'denied' OR (state = 'used' AND askers > 1)) AND changed_at > :since)"
            " OR (state IN ('open', 'expired') AND expires_at > :since AND expires_at <= :now))"
            " ORDER BY opened_at DESC, id DESC LIMIT 1"
        ),
        {"issuer": requester.issuer, "subject": requester.subject, "digest": digest, "since": since, "now": now},
    )
    return found.scalar_one_or_none()


def states_of(connection: Connection, approvals: Collection[str]) -> dict[str, State]:
    """Where these requests stand; those that are not known are left out."""
    query = text("SELECT id, state FROM approvals WHERE id IN :ids").bindparams(bindparam("ids", expanding=True))
    found = connection.execute(query, {"ids": list(approvals)})
    return {row.id: State(row.state) for row in found}


def overdue(connection: Connection, now: int) -> list[str]:
    """Requests whose time is over and that still look alive; an approved grant lives by its own row."""
    found = connection.execute(
        text(
            "SELECT id FROM approvals WHERE (state = 'open' OR (state = 'approved' AND kind <> 'grant')) AND expires_at <= :now"
            " ORDER BY expires_at"
        ),
        {"now": now},
    )
    return [row.id for row in found]


def count_open(connection: Connection, issuer: str, subject: str, now: int) -> int:
    """How many requests of one identity wait for a person."""
    found = connection.execute(
        text(
            "SELECT count(*) FROM approvals WHERE issuer = :issuer AND subject = :subject AND state = 'open'"
            " AND expires_at > :now"
        ),
        {"issuer": issuer, "subject": subject, "now": now},
    )
    return int(found.scalar_one())


def move(connection: Connection, approval: str, *, before: Collection[State], after: State, at: int, why: str = "") -> bool:
    """Put a request from one of the states ``before`` into ``after``; whether it was in one of them."""
    query = text(
        "UPDATE approvals SET state = :after, why = :why, changed_at = :at WHERE id = :id AND state IN :before"
    ).bindparams(bindparam("before", expanding=True))
    states = [state.value for state in before]
    done = connection.execute(query, {"id": approval, "before": states, "after": after.value, "at": at, "why": why})
    return done.rowcount == 1


def spend(connection: Connection, approval: str, digest: str, now: int) -> bool:
    """Approved, of exactly this digest, in time: then used from here on, and only for the first who asks."""
    done = connection.execute(
        text(
            "UPDATE approvals SET state = 'used', changed_at = :now"
            " WHERE id = :id AND digest = :digest AND state = 'approved' AND expires_at > :now"
        ),
        {"id": approval, "digest": digest, "now": now},
    )
    return done.rowcount == 1


def forget_votes(connection: Connection, before: int) -> int:
    """Drop the votes on what ``forget_approvals`` will drop; how many."""
    return connection.execute(text(f"DELETE FROM approval_votes WHERE approval IN ({_OLD})"), {"before": before}).rowcount  # noqa: S608 (constants)


def forget_approvals(connection: Connection, before: int) -> int:
    """Drop requests that ended before ``before`` and gave no grant; how many."""
    return connection.execute(text(f"DELETE FROM approvals WHERE id IN ({_OLD})"), {"before": before}).rowcount  # noqa: S608 (constants)


# Votes -------------------------------------------------------------------------------------------------------------------


def insert_vote(
    connection: Connection,
    approval: str,
    voter: Identity,
    names: Iterable[str],
    word: Mapping[str, str],
    seats: Iterable[str],
    at: int,
) -> None:
    """Somebody's word: ``verdict`` (approve, deny, or refused for what was not theirs to say) and ``reason``."""
    connection.execute(
        text(
            "INSERT INTO approval_votes (approval, issuer, subject, verdict, reason, seats, chain, at)"
            " VALUES (:approval, :issuer, :subject, :verdict, :reason, :seats, :chain, :at)"
        ),
        {
            "approval": approval,
            "issuer": voter.issuer,
            "subject": voter.subject,
            "verdict": word["verdict"],
            "reason": word["reason"],
            "seats": json.dumps(sorted(seats)),
            "chain": json.dumps(sorted(names)),
            "at": at,
        },
    )


def vote_of(connection: Connection, approval: str, voter: Identity) -> str | None:
    """How this identity voted on the request."""
    found = connection.execute(
        text("SELECT verdict FROM approval_votes WHERE approval = :id AND issuer = :issuer AND subject = :subject"),
        {"id": approval, "issuer": voter.issuer, "subject": voter.subject},
    )
    return found.scalar_one_or_none()


def votes_on(connection: Connection, approvals: Collection[str]) -> dict[str, tuple[Vote, ...]]:
    """The votes that counted, by request, in their order."""
    query = text(
        "SELECT approval, subject, verdict, reason, at FROM approval_votes"
        " WHERE approval IN :ids AND verdict <> 'refused' ORDER BY at, subject"
    ).bindparams(bindparam("ids", expanding=True))
    votes: dict[str, tuple[Vote, ...]] = {}
    for row in connection.execute(query, {"ids": list(approvals)}):
        vote = Vote(by=row.subject, approved=row.verdict == "approve", reason=row.reason, at=row.at)
        votes[row.approval] = (*votes.get(row.approval, ()), vote)
    return votes


@dataclass(frozen=True, slots=True)
class Seat:
    """Whose word counted, how, by which seats, when, and the names they go by."""

    issuer: str
    subject: str
    verdict: str
    seats: frozenset[str]
    chain: frozenset[str]
    at: int


def seats_taken(connection: Connection, approval: str) -> list[Seat]:
    """Who voted, in the order of their votes."""
    found = connection.execute(
        text(
            "SELECT issuer, subject, verdict, seats, chain, at FROM approval_votes"
            " WHERE approval = :id AND verdict <> 'refused' ORDER BY at, issuer, subject"
        ),
        {"id": approval},
    )
    return [
        Seat(row.issuer, row.subject, row.verdict, frozenset(json.loads(row.seats)), frozenset(json.loads(row.chain)), row.at)
        for row in found
    ]


def groups_seen(connection: Connection, issuer: str, subject: str, since: int) -> frozenset[str] | None:
    """The groups that the provider last named for somebody, if it spoke of them after ``since``."""
    found = connection.execute(
        text("SELECT groups FROM identities WHERE issuer = :issuer AND subject = :subject AND seen_at > :since"),
        {"issuer": issuer, "subject": subject, "since": since},
    ).scalar_one_or_none()
    return None if found is None else frozenset(json.loads(found))


# Grants ------------------------------------------------------------------------------------------------------------------


def insert_grant(connection: Connection, grant: Given) -> None:
    """A new grant."""
    connection.execute(
        text(
            "INSERT INTO grants (id, approval, issuer, subject, kind, targets, reach, not_before, expires_at, given_by, why,"
            " approvers, chain, revoked_by, ended_at, changed_at) VALUES (:id, :approval, :issuer, :subject, :kind, :targets,"
            " :reach, :not_before, :expires_at, :given_by, :why, :approvers, :chain, '', 0, :not_before)"
        ),
        {
            "id": grant.id,
            "approval": grant.approval,
            "issuer": grant.issuer,
            "subject": grant.subject,
            "kind": grant.kind,
            "targets": json.dumps(list(grant.targets)),
            "reach": grant.reach.value,
            "not_before": grant.not_before,
            "expires_at": grant.expires_at,
            "given_by": grant.given_by,
            "why": grant.why,
            "approvers": json.dumps(sorted(grant.approvers)),
            "chain": json.dumps(sorted(grant.chain)),
        },
    )


def find_grants(connection: Connection, prefix: str) -> list[Given]:
    """The grants whose id begins so: none, the one, or the first two of several."""
    found = connection.execute(
        text(f"{_GRANT} WHERE substr(id, 1, :length) = :prefix ORDER BY id LIMIT 2"), {"prefix": prefix, "length": len(prefix)}
    )
    return [_given(row) for row in found.mappings()]


def list_grants(connection: Connection, limit: int) -> list[Given]:
    """The newest grants first."""
    found = connection.execute(text(f"{_GRANT} ORDER BY not_before DESC, id DESC LIMIT :limit"), {"limit": limit})
    return [_given(row) for row in found.mappings()]


def live_grants(connection: Connection, now: int) -> list[Given]:
    """All that give something at ``now``."""
    found = connection.execute(text(f"{_GRANT} WHERE ended_at = 0 AND not_before <= :now AND expires_at > :now"), {"now": now})
    return [_given(row) for row in found.mappings()]


def live_grants_of(connection: Connection, issuer: str, subject: str, now: int) -> list[Given]:
    """What one identity holds at ``now``."""
    found = connection.execute(
        text(
            f"{_GRANT} WHERE issuer = :issuer AND subject = :subject AND ended_at = 0"
            " AND not_before <= :now AND expires_at > :now"
        ),
        {"issuer": issuer, "subject": subject, "now": now},
    )
    return [_given(row) for row in found.mappings()]


def run_out(connection: Connection, now: int) -> list[str]:
    """Grants that are over, whose end is not written down yet."""
    found = connection.execute(
        text("SELECT id FROM grants WHERE ended_at = 0 AND expires_at <= :now ORDER BY expires_at"), {"now": now}
    )
    return [row.id for row in found]


def end_grant(connection: Connection, grant: str, *, at: int, revoked_by: str = "") -> bool:
    """End a grant; whether it had not ended before."""
    done = connection.execute(
        text("UPDATE grants SET ended_at = :at, revoked_by = :by, changed_at = :at WHERE id = :id AND ended_at = 0"),
        {"id": grant, "at": at, "by": revoked_by},
    )
    return done.rowcount == 1


def live_by_target(grants: Iterable[Given]) -> dict[tuple[str, str, str], Live]:
    """What grants give together, by issuer, subject and target."""
    found: dict[tuple[str, str, str], Live] = {}
    for grant in grants:
        for target in grant.targets:
            key = (grant.issuer, grant.subject, target)
            held = found.get(key, Live(grant.reach, grant.expires_at))
            reach = max(held.reach, grant.reach, key=lambda one: one.rank)
            found[key] = Live(reach, min(held.until, grant.expires_at))
    return found


# Rows and values -----------------------------------------------------------------------------------------------------------


def _columns(request: Request, chain: Collection[str]) -> dict[str, Any]:
    one = request.requester
    requester = {
        "subject": one.subject,
        "issuer": one.issuer,
        "kind": one.kind.value,
        "groups": sorted(one.groups),
        "attributes": {name: {"value": each.value, "attested": each.attested} for name, each in one.attributes.items()},
        "proven_at": one.proven_at,
        "expires_at": one.expires_at,
        "on_behalf_of": one.on_behalf_of,
    }
    return {
        "id": request.id,
        "digest": request.digest,
        "session": request.session,
        "issuer": one.issuer,
        "subject": one.subject,
        "requester": json.dumps(requester),
        "chain": json.dumps(sorted(chain)),
        "target": request.target,
        "role": request.role,
        "verb": request.verb,
        "reach": request.reach.value,
        "resources": json.dumps(list(request.resources)),
        "text": request.text,
        "rule": request.rule,
        "reason": request.reason,
        "approvers": json.dumps(sorted(request.approvers)),
        "quorum": request.quorum,
        "purpose": request.purpose,
        "policy_digest": request.policy_digest,
        "opened_at": request.opened_at,
        "expires_at": request.expires_at,
        "kind": request.kind,
        "seconds": request.seconds,
        "masks": json.dumps(sorted(request.masks)),
        "script": json.dumps(asdict(request.script)) if request.script else "",
        "preview": previews.kept(request.preview) if request.preview else "",
        "resent": request.resent,
    }


def _all_asked(connection: Connection, rows: Iterable[Mapping[Any, Any]]) -> list[Asked]:
    found = list(rows)
    votes = votes_on(connection, [row["id"] for row in found])
    return [_asked(row, votes) for row in found]


def _asked(row: Mapping[Any, Any], votes: Mapping[str, tuple[Vote, ...]]) -> Asked:
    plain = {name: row[name] for name in _PLAIN}
    request = Request(
        **plain,
        requester=_identity(json.loads(row["requester"])),
        reach=Reach(row["reach"]),
        resources=tuple(json.loads(row["resources"])),
        approvers=frozenset(json.loads(row["approvers"])),
        masks=frozenset(json.loads(row["masks"])),
        script=_script(json.loads(row["script"])) if row["script"] else None,
        preview=previews.read(row["preview"]),
        resent=bool(row["resent"]),
    )
    mine = votes.get(row["id"], ())
    why, given = row["why"], row["given"]
    return Asked(request=request, state=State(row["state"]), votes=mine, changed_at=row["changed_at"], why=why, grant=given)


_PLAIN = (
    *("id", "digest", "session", "target", "role", "verb", "text", "rule", "reason", "quorum", "purpose", "policy_digest"),
    *("opened_at", "expires_at", "kind", "seconds"),
)


def _script(row: Mapping[str, Any]) -> Script:
    return Script(sha256=row["sha256"], size=row["size"], parts=tuple(_part(one) for one in row["parts"]))


def _part(row: Mapping[str, Any]) -> Part:
    changed = {"reach": Reach(row["reach"]), "ruling": Ruling(row["ruling"]), "resources": tuple(row["resources"])}
    return Part(**{**row, **changed})


def _identity(row: Mapping[str, Any]) -> Identity:
    changed = {
        "kind": Kind(row["kind"]),
        "groups": frozenset(row["groups"]),
        "attributes": {name: Attribute(**one) for name, one in row["attributes"].items()},
    }
    return Identity(**{**row, **changed})


def _given(row: Mapping[Any, Any]) -> Given:
    changed = {
        "targets": tuple(json.loads(row["targets"])),
        "reach": Reach(row["reach"]),
        "approvers": frozenset(json.loads(row["approvers"])),
        "chain": frozenset(json.loads(row["chain"])),
    }
    return Given(**{**row, **changed})
