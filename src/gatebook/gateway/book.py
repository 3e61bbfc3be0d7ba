"""What the gateway writes into the ledger, in the ledger's words; and the rows that ``gatebook sessions`` reads.

The ledger is what counts: nothing goes on before its entry is there. The rows are for reading, written behind the data path.
People, addresses and statement digests stand in the ledger as commitments (ledger/commitments.py).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gatebook.access.previews import Preview
from gatebook.errors import GatebookError, LedgerError
from gatebook.gateway import store
from gatebook.gateway.guesses import Guessed
from gatebook.gateway.rows import Rows
from gatebook.ledger.commitments import Commitments
from gatebook.ledger.entries import check, clip, uuid7
from gatebook.ledger.log import Log
from gatebook.ledger.scribe import Write
from gatebook.masking.detectors import cover_text
from gatebook.model import NOTHING, Action, Entry, Identity, Reach, Receipt, Ruling, Session, Target, Verdict
from gatebook.protocols.relay import Answered
from gatebook.recording.recorder import request_pieces

REASON_BYTES = 512
REFUSALS_A_MINUTE = 120  # listed one by one at the door; past it they are counted, so that a flood cannot fill the book


Pieces = tuple[list[bytes], list[bytes], list[bytes]]  # of an action's entry, of its answer's, of the recorded request


@dataclass(frozen=True, slots=True)
class Said:
    """The part of an action's entry, and of its row, that is the same each time the same is decided."""

    fields: Mapping[str, object]
    row: store.Decided


class Book:
    """Writes entries and rows. Used from one event loop."""

    def __init__(self, log: Log, commitments: Commitments, rows: Rows, *, all_durable: bool) -> None:
        self._log, self._commitments, self._rows, self._all_durable = log, commitments, rows, all_durable
        self._minute, self._listed, self._counted = 0, 0, 0

    @property
    def failed(self) -> str | None:
        """Why nothing can be written any more, or None."""
        return self._log.failed

    def synced(self, index: int) -> bool:
        """Whether the entry at this index would survive a power cut by now."""
        return self._log.synced > index

    def when_synced(self, index: int, heard: Callable[[], None]) -> None:
        """Have ``heard`` called in this event loop once that is so, or nothing can be written any more."""
        self._log.when_synced(index, heard)

    def know(self, identity: Identity) -> None:
        """Make sure that the identity's salt is there. Blocks on the database: call it in a thread. Raises LedgerError."""
        self._commitments.commit(_key(identity), "")

    async def opened(self, session: Session, role: str, verdict: Verdict) -> None:
        """The session begins. Raises LedgerError: then it must not."""
        identity, target = session.identity, session.target
        fields = {
            "sid": session.id,
            "actor": self._actor(identity),
            "src": {"ip_c": self._commitments.commit(_key(identity), session.client_address)},
            "res": _resource(target),
            "auth": {
                "iss": identity.issuer,
                "exp": identity.expires_at,
                "proven": identity.proven_at,
                **_by(session),
            },
            "proto": target.protocol,
            "role": role,
            "rule": verdict.rule,
            "pol": {"digest": verdict.policy_digest},
            "purpose": clip(session.purpose, REASON_BYTES),
            "purpose_attested": session.purpose_attested,
        }
        await self._keep(Entry(kind="session.open", fields=fields))
        self._rows.opened(session, role)

    async def decided(
        self,
        session: Session,
        action: Action,
        verdict: Verdict,
        shown: str,
        decision: str,
        now: int,
        *,
        shadow: tuple[str, ...] = (),
        approval: str = "",
        held_to: Mapping[str, str] = NOTHING,
    ) -> Receipt:
        """The action and its verdict, before anything of it moves. Raises LedgerError: then nothing may move."""
        said = self.said(session, action, verdict, shadow)
        fields = self._action(said, session, action, shown, decision)
        if approval:
            fields["approval"] = approval
        if held_to:
            fields["held_to"] = _held_to(held_to)
        written = await self._log.append(Entry(kind="action", fields=fields), durable=self.must_sync(action, verdict))
        self._rows.decided(action, verdict.ruling, said.row, clip(shown), decision, now)
        return Receipt(log=written.log, index=written.index)

    def decided_at_once(
        self,
        session: Session,
        action: Action,
        verdict: Verdict,
        shown: str,
        decision: str,
        now: int,
        said: Said,
    ) -> Receipt | None:
        """The same without waiting, for what need not be durable; None when it must wait. ``said`` is of this very verdict."""
        fields = self._action(said, session, action, shown, decision)
        written = self._log.append_at_once(Entry(kind="action", fields=fields))
        if written is not None:
            self._rows.decided(action, verdict.ruling, said.row, str(fields["text"]), decision, now)
        return written

    def pieces(self, session: Session, said: Said) -> Pieces:
        """What is written each time the same is said, as the bytes between what differs."""
        row, answer = said.row, ("action", "bytes", "masked", "ms", "rows", "status")
        return (
            self._log.pieces("action", {**said.fields, "step": "run"}, ("action", "decision", "size", "stmt_h", "text")),
            self._log.pieces("answer", {"sid": session.id}, answer),
            request_pieces(row.verb, row.reach, row.ruling, row.rule, row.reason),
        )

    def pieces_of_one(self, session: Session, said: Said, action: Action, shown: str) -> tuple[list[bytes], list[bytes]]:
        """The same of one very action, whose text and parameters are the same each time, and of its answer."""
        fields = {**self._action(said, session, action, shown, "")}
        varies = ("action", "decision")
        same = {name: value for name, value in fields.items() if name not in varies}
        answer = ("action", "bytes", "masked", "ms", "status")
        return self._log.pieces("action", same, varies), self._log.pieces("answer", {"sid": session.id, "rows": 0}, answer)

    def salt(self, identity: Identity) -> tuple[bytes, int]:
        """What commits this identity's statements, while ``erased`` is the number that comes with it. LedgerError."""
        erased = self.erased
        return self._commitments.salt(_key(identity)), erased

    @property
    def erased(self) -> int:
        """How many salts were erased so far."""
        return self._commitments.erased

    def fill_at_once(self, session: Session, write: Write) -> int | None:
        """An entry of ``pieces``, written without waiting: its index; None when it must wait. Raises LedgerError."""
        return self._log.fill_at_once(session.id, write) if not self._all_durable else None

    def receipt(self, index: int) -> Receipt:
        """Of the entry at this index."""
        return Receipt(log=self._log.origin, index=index)

    def passed(self, row: store.ActionValues) -> None:
        """The row of an action that was let go and answered, both in the book already."""
        self._rows.passed(row.session, row)

    def taken_over(self, action: Action, said: Said, shown: str, decision: str, at: int) -> None:
        """The row of an action that was let go, which is in the book already."""
        self._rows.decided(action, Ruling.ALLOW, said.row, clip(shown), decision, at)

    def said(self, session: Session, action: Action, verdict: Verdict, shadow: tuple[str, ...]) -> Said:
        """What is said each time these deeds are ruled so in this session."""
        fields: dict[str, object] = {
            "sid": session.id,
            "verb": action.verb,
            "objects": [resource.name for resource in action.resources if resource.name][:100],
            "reach": str(action.reach),
            "ruling": str(verdict.ruling),
            "rule": verdict.rule,
            "reason": clip(verdict.reason, REASON_BYTES),
            "masks": sorted(verdict.masks),
            "pol": {"digest": verdict.policy_digest},
            "purpose": clip(session.purpose, REASON_BYTES),
        }
        if shadow:
            fields["shadow"] = list(shadow)
        if verdict.ceiling is not None:
            fields["ceiling"] = {"rows": verdict.ceiling.rows, "rule": verdict.ceiling.rule}
        return Said(fields, store.decided(action, verdict))

    def _action(self, said: Said, session: Session, action: Action, shown: str, decision: str) -> dict[str, object]:
        return {
            **said.fields,
            "action": action.seq,
            "decision": decision,
            "step": action.step,
            "stmt_h": self._commitments.commit(_key(session.identity), _digested(action)),
            "size": _size(action),
            "text": clip(shown),
        }

    async def previewing(self, session: Session, action: Action, verdict: Verdict, decision: str) -> Receipt:
        """A held write is about to be tried and undone, or may not be. Raises LedgerError: then it must not."""
        said = self.said(session, action, verdict, ())
        fields = {name: value for name, value in said.fields.items() if name not in ("masks", "purpose")} | {
            "action": action.seq,
            "decision": decision,
            "stmt_h": self._commitments.commit(_key(session.identity), _digested(action)),
        }
        written = await self._log.append(Entry(kind="preview", fields=fields), durable=True)
        return Receipt(log=written.log, index=written.index)

    async def previewed(self, session: Session, action: Action, made: Preview, milliseconds: int) -> None:
        """What came of it. Raises LedgerError."""
        fields = {
            "sid": session.id,
            "action": action.seq,
            "status": "text alone" if made.why else "tried",
            "reason": clip(made.why, REASON_BYTES),
            "rows": made.rows,
            "shown": len(made.sample),
            "ms": milliseconds,
            "masked": dict(made.masked),
            "held_to": _held_to(made.held_to),
        }
        await self._log.append(Entry(kind="preview.result", fields=fields), durable=self._all_durable)

    def must_sync(self, action: Action, verdict: Verdict) -> bool:
        """What changes anything, or answers with covered data, waits for the disk; plain reads do so only where all must."""
        moves = verdict.ruling in (Ruling.ALLOW, Ruling.MASK)
        return self._all_durable or (moves and (action.reach is not Reach.READ or verdict.ruling is Ruling.MASK))

    def answered_at_once(self, session: Session, answer: Answered, milliseconds: int) -> bool:
        """How an action ended; False when its entry must wait, or meets a fault: whoever waits with it meets that too."""
        try:
            if self._all_durable or self._log.append_at_once(_answer(session, answer, milliseconds)) is None:
                return False
        except LedgerError:
            return False
        self._rows.answered(session, answer)
        return True

    async def answered(self, session: Session, answer: Answered, milliseconds: int) -> None:
        """The same for an entry that waits."""
        await self._log.append(_answer(session, answer, milliseconds), durable=self._all_durable)
        self._rows.answered(session, answer)

    async def closed(self, session: Session, reason: str, now: int, sizes: tuple[int, int]) -> None:
        """The session is over; nothing of it can follow."""
        fields = {"sid": session.id, "reason": clip(reason, REASON_BYTES), "bytes_in": sizes[0], "bytes_out": sizes[1]}
        self._rows.closed(session, clip(reason, REASON_BYTES), now, sizes)
        await self._keep(Entry(kind="session.close", fields=fields))

    async def _keep(self, entry: Entry) -> None:
        """Write an entry that need not wait for the disk where it stands, if it can be; else as the log can."""
        if self._all_durable or self._log.append_at_once(replace(entry, fields=check(entry))) is None:
            await self._log.append(entry, durable=self._all_durable)

    async def refused_at_the_door(
        self, identity: Identity | None, target: str, address: str, rule: str, reason: str, decision: str, now: int
    ) -> None:
        """Somebody was not let in. Past so many a minute they are only counted, in the next minute's first entry."""
        if now // 60_000_000 != self._minute:
            self._minute, self._listed = now // 60_000_000, 0
        if self._listed >= REFUSALS_A_MINUTE:
            self._counted += 1
            return
        self._listed += 1
        salt = _key(identity) if identity else "door"
        fields = {
            "decision": decision,
            "actor": self._actor(identity) if identity else {},
            "src": {"ip_c": self._commitments.commit(salt, address)},
            "res": {"name": clip(cover_text(target), 128)},
            "rule": rule,
            "reason": clip(cover_text(reason), REASON_BYTES),
            "unlisted": self._counted,
        }
        self._counted = 0
        await self._log.append(Entry(kind="session.refuse", fields=fields), durable=self._all_durable)

    async def guessed(self, guessed: Guessed) -> None:
        """Somebody tries cancel keys. Raises LedgerError."""
        src = {"ip_c": self._commitments.commit("door", guessed.address)}
        fields = {"what": "cancel keys are guessed", "why": str(guessed), "src": src}
        await self._log.append(Entry(kind="exception", fields=fields), durable=self._all_durable)

    def _actor(self, identity: Identity) -> dict[str, object]:
        key = _key(identity)
        actor: dict[str, object] = {
            "type": str(identity.kind),
            "idp": identity.issuer,
            "id_c": self._commitments.commit(key, identity.subject),
            "groups": sorted(identity.groups),
        }
        if identity.on_behalf_of:
            actor["on_behalf_of_c"] = self._commitments.commit(key, identity.on_behalf_of)
        agent = {name: one.value for name, one in identity.attributes.items() if one.attested}
        if agent:
            actor["agent"] = agent
        return actor


def new_id(now: int) -> str:
    """A new UUIDv7 for a session or a decision."""
    return uuid7(now)


def told(error: GatebookError) -> str:
    """What a client hears of an error of the gateway's."""
    return f"the book cannot be written, so nothing may go on: {error}" if isinstance(error, LedgerError) else str(error)


def operator() -> str:
    """Who runs this process, as the ledger names operators."""
    return f"operator:{os.environ.get('SUDO_USER') or _user_name()}"


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a user id without a name, as in many containers
        return str(os.geteuid())


def _answer(session: Session, answer: Answered, milliseconds: int) -> Entry:
    fields: dict[str, object] = {
        "sid": session.id,
        "action": answer.action.seq,
        "status": clip(answer.status, 64),
        "rows": answer.rows,
        "bytes": answer.size,
        "ms": milliseconds,
        "masked": answer.masked,
    }
    return Entry(kind="answer", fields=fields)


def _key(identity: Identity) -> str:
    return f"{identity.issuer}|{identity.subject}"


HELD_TO = ("rows", "digest", "uid", "version", "absent", "set")


def _held_to(held_to: Mapping[str, str]) -> dict[str, object]:
    """What an execution is held to, as far as it tells anything."""
    return {name: held_to[name] for name in HELD_TO if held_to.get(name)}


def _resource(target: Target) -> dict[str, object]:
    return {"kind": target.protocol, "name": target.name, "labels": dict(target.labels)}


def _by(session: Session) -> dict[str, object]:
    """By what its identity was proven."""
    if session.certificate:
        return {"by": "certificate", "serial": session.certificate}
    return {"by": "browser" if session.browser else "token"}


def _size(action: Action) -> int:
    size = len(action.text) if action.text.isascii() else len(action.text.encode())
    for value in action.parameters:
        size += 0 if value is None else len(value)
    return size


def _digested(action: Action) -> str:
    bound = "".join(["n" if value is None else f"{len(value)}:{value.hex()}" for value in action.parameters])
    return f"{action.text}\0{bound}"


__all__ = ["Book", "LedgerError", "new_id", "operator"]
