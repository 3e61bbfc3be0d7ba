"""What approvals and grants write into the ledger. Every entry is durable before the row that makes it true is committed.

A crash in between leaves an entry of something that did not happen, never the reverse. Names of people are commitments; making
the first one of a person writes to the database, so they are made before a transaction begins, by ``names``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gatebook.access.previews import digest
from gatebook.access.requests import Given, Request
from gatebook.model import Entry, Identity

REASON_BYTES = 512


@dataclass(frozen=True, slots=True)
class Book:
    """``keep`` writes an entry to disk, blocking, or raises LedgerError; ``commit`` gives subject's commitment to a value."""

    keep: Callable[[Entry], object]
    commit: Callable[[str, str], str]

    def name(self, issuer: str, subject: str) -> str:
        """The commitment that stands for somebody."""
        return self.commit(f"{issuer}|{subject}", subject)

    def know(self, request: Request) -> None:
        """Make the commitments to those who are asked by name, before a transaction begins."""
        self._unnamed(request.approvers, request.requester.issuer)

    def _unnamed(self, approvers: Iterable[str], issuer: str) -> list[str]:
        """Groups as they are, people as commitments: ``subject:dana`` becomes ``subject_c:…``."""
        found = []
        for one in approvers:
            kind, _, name = one.partition(":")
            found.append(f"subject_c:{self.name(issuer, name)}" if kind == "subject" else one)
        return sorted(found)

    def requested(self, request: Request, requester: str) -> None:
        """Something waits for a person."""
        fields = {
            "approval": request.id,
            "digest": request.digest,
            "approvers": self._unnamed(request.approvers, request.requester.issuer),
            "quorum": request.quorum,
            "expires": request.expires_at,
            "kind": request.kind,
            "actor": {"type": str(request.requester.kind), "idp": request.requester.issuer, "id_c": requester},
            "session": request.session,
            "target": request.target,
            "verb": request.verb,
            "reach": str(request.reach),
            "rule": request.rule,
            "purpose": shortened(request.purpose),
            "pol": {"digest": request.policy_digest},
        }
        if request.preview is not None:
            fields |= {"preview": digest(request.preview), "tried": not request.preview.why}
        if request.script is not None:
            fields |= {"statements": len(request.script.parts), "bytes": request.script.size}
        if request.kind == "grant":
            fields |= {"targets": list(request.resources), "ttl": request.seconds, "why": shortened(request.reason)}
        self.keep(Entry(kind="approval.request", fields=fields))

    def voted(self, request: Request, voter: Identity, name: str, said: Mapping[str, str], seats: Iterable[str]) -> None:
        """A person's word: ``verdict`` and ``reason``. The verdict is ``refused`` when it was about something of their own."""
        fields = {
            "approval": request.id,
            "digest": request.digest,
            "approver": name,
            "idp": voter.issuer,
            "verdict": said["verdict"],
            "self": said["verdict"] == "refused",
            "seats": self._unnamed(seats, request.requester.issuer),
            "reason": said["reason"],
        }
        self.keep(Entry(kind="approval.vote", fields=fields))

    def ended(self, request: Request, verdict: str, why: str = "") -> None:
        """What came of a request: approved, denied, void or used."""
        fields = {"approval": request.id, "verdict": verdict, "digest": request.digest, "reason": shortened(why)}
        self.keep(Entry(kind="approval.result", fields=fields))

    def expired(self, approval: str) -> None:
        """Nobody answered in time, or nothing came of the answer."""
        self.keep(Entry(kind="approval.expire", fields={"approval": approval}))

    def given(self, grant: Given, holder: str, given_by: str, purpose: str) -> None:
        """Access for a time."""
        fields = {
            "grant": grant.id,
            "scope": {"id_c": holder, "idp": grant.issuer, "targets": list(grant.targets), "reach": str(grant.reach)},
            "ttl": (grant.expires_at - grant.not_before) // 1_000_000,
            "ticket": shortened(purpose),
            "approval": grant.approval,
            "from": grant.not_before,
            "until": grant.expires_at,
            "by": given_by,
            "why": shortened(grant.why),
        }
        self.keep(Entry(kind="grant.create", fields=fields))

    def grant_used(self, grant: str, session: str, target: str) -> None:
        """A session began that stands on the grant."""
        self.keep(Entry(kind="grant.use", fields={"grant": grant, "session": session, "target": target}))

    def grant_expired(self, grant: str) -> None:
        """A grant came to its end."""
        self.keep(Entry(kind="grant.expire", fields={"grant": grant}))

    def grant_revoked(self, grant: str, by: str, reason: str) -> None:
        """A grant was taken back."""
        self.keep(Entry(kind="grant.revoke", fields={"grant": grant, "by": by, "reason": reason}))


def shortened(text: str) -> str:
    """At most ``REASON_BYTES`` of UTF-8; what is not Unicode becomes a question mark."""
    data = text.encode(errors="replace")
    if len(data) <= REASON_BYTES:
        return data.decode()
    return data[: REASON_BYTES - 3].decode(errors="ignore") + "…"
