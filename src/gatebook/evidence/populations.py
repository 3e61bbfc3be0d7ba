"""Populations: complete lists out of the logs, recomputed by whoever checks them.

One pass over all logs in the order of time, from the first entry, so that a row knows what came before it (who opened the
session) and after it (how the action was answered). A row belongs to the period by the time of its own entry.

Standard library only: exporter and verifier run this same file. Logs may be forged by whoever holds the key, so no field is
taken to be there or of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gatebook.evidence.coverage import QUIET, Runs
from gatebook.evidence.entries import Period, Record, is_command, moment
from gatebook.evidence.tables import PLACE, Table

MOVES = ("allow", "mask")
CO_LOCATED = "co-located"
CRASHED = "gateway crashed"


@dataclass(slots=True)
class Session:
    """A session as far as the log tells it."""

    opened: Record
    closed: Record | None = None
    actions: int = 0
    refused: int = 0


@dataclass(slots=True)
class Act:
    """An action with its answer."""

    asked: Record
    answer: Record | None = None
    cut: bool = False  # its session ended before an answer came
    again: Act | None = None  # the same action, decided again, as after an approval

    @property
    def moved(self) -> bool:
        """Whether it was let through to be run."""
        return self.asked.text("ruling") in MOVES and self.asked.text("step") == "run"

    @property
    def refused(self) -> bool:
        """Whether it was blocked, or held and not let go."""
        ruling = self.asked.text("ruling")
        held = ruling == "approve" and self.answer is None
        return ruling == "block" or (held and (self.again is None or self.again.refused))


@dataclass(slots=True)
class Approval:
    """A request with the votes on it and what came of it."""

    request: Record
    votes: list[Record] = field(default_factory=list)
    results: list[Record] = field(default_factory=list)

    @property
    def decided(self) -> Record | None:
        """The entry that decided it, whatever came after."""
        return self.results[0] if self.results else None

    @property
    def verdict(self) -> str:
        """How it was decided: the word of the result, ``expired`` or ``open``."""
        return outcome(self.decided)

    @property
    def approving(self) -> list[Record]:
        """Votes that said yes."""
        return [vote for vote in self.votes if vote.text("verdict") in ("approve", "approved")]


def outcome(result: Record | None) -> str:
    """The word for what came of a request."""
    if result is None:
        return "open"
    return "expired" if result.kind == "approval.expire" else result.text("verdict")


@dataclass(slots=True)
class Grant:
    """Access for a time, its uses and its end."""

    created: Record
    uses: list[Record] = field(default_factory=list)
    expired: Record | None = None
    revoked: Record | None = None

    @property
    def used_late(self) -> list[Record]:
        """Uses after its end, by the clock or by the log."""
        ttl = self.created.number("ttl")
        until = self.created.number("until") or (self.created.time + ttl * 1_000_000 if ttl else 0)
        ends = [end.order for end in (self.expired, self.revoked) if end]
        return [use for use in self.uses if any(use.order > end for end in ends) or 0 < until < use.time]


@dataclass(slots=True)
class Facts:
    """All that one pass over the logs gives. Lists are complete even where a log uses an id twice."""

    sessions: list[Session] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    strays: list[Record] = field(default_factory=list)  # answers, votes and uses of what was never begun
    twice: list[Record] = field(default_factory=list)  # beginnings under an id that was used before
    session: dict[str, Session] = field(default_factory=dict)
    approval: dict[str, Approval] = field(default_factory=dict)
    grant: dict[str, Grant] = field(default_factory=dict)
    refused: list[Record] = field(default_factory=list)
    boots: list[Record] = field(default_factory=list)
    closes: list[Record] = field(default_factory=list)
    heads: list[Record] = field(default_factory=list)
    exports: list[Record] = field(default_factory=list)
    readings: list[Record] = field(default_factory=list)
    policies: list[Record] = field(default_factory=list)
    configurations: list[Record] = field(default_factory=list)
    exceptions: list[Record] = field(default_factory=list)
    others: list[Record] = field(default_factory=list)  # incidents, erasures, reviews
    runs: dict[str, Runs] = field(default_factory=dict)  # by origin, but those of commands
    newest: int = 0
    _running: dict[tuple[str, str], Act] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Read the next entry."""
        self.newest = max(self.newest, record.time)
        if not is_command(record.origin):
            self._run(record)
        kind = record.kind
        if kind == "log.boot":
            self.boots += [] if is_command(record.origin) else [record]
            self._over(lambda sid, act: act.asked.origin == record.origin)
        elif kind == "log.head":
            self.heads.append(record)
        elif kind.startswith(("session.", "answer")) or kind == "action":
            self._session(kind, record)
        elif kind.startswith("approval."):
            self._approval(kind, record)
        elif kind.startswith("grant."):
            self._grant(kind, record)
        else:
            self._other(kind, record)

    def _other(self, kind: str, record: Record) -> None:
        lists = {
            "log.close": self.closes,
            "policy.publish": self.policies,
            "config.change": self.configurations,
            "exception": self.exceptions,
            "export.create": self.exports,
            "recording.read": self.readings,
        }
        if kind in lists:
            lists[kind].append(record)
        elif kind.startswith(("incident.", "review.", "hold.")) or kind == "erasure":
            self.others.append(record)

    def _run(self, record: Record) -> None:
        """The log was written at this time."""
        runs = self.runs.get(record.origin)
        if runs is None:
            first = min((other.spans[0][0] for other in self.runs.values()), default=record.time)
            runs = self.runs[record.origin] = Runs(joined=record.time - first > QUIET)
        runs.take(record)

    def _over(self, ended: Callable[[str, Act], bool]) -> None:
        """Sessions ended: what they still ran will have no answer."""
        for key in [key for key, act in self._running.items() if ended(key[0], act)]:
            self._running.pop(key).cut = True

    def _session(self, kind: str, record: Record) -> None:
        sid = record.text("sid")
        session = self.session.get(sid)
        if kind == "session.refuse":
            self.refused.append(record)
        elif kind == "session.open":
            self.twice += [record] if session else []
            self.session[sid] = Session(record)
            self.sessions.append(self.session[sid])
        elif kind == "session.close":
            self._over(lambda one, act: one == sid)
            if session:
                session.closed = record
        elif kind == "answer":
            act = self._running.pop((sid, record.text("action")), None)
            if act:
                act.answer = record
            else:
                self.strays.append(record)
        else:
            act, key = Act(record), (sid, record.text("action"))
            if key in self._running:
                self._running[key].again = act
            self.acts.append(act)
            self._running[key] = act
            if session:
                session.actions += 1
                session.refused += record.text("ruling") not in MOVES

    def _approval(self, kind: str, record: Record) -> None:
        name = record.text("approval")
        found = self.approval.get(name)
        if kind == "approval.request":
            self.twice += [record] if found else []
            self.approvals.append(Approval(record))
            self.approval.setdefault(name, self.approvals[-1])
        elif found is None:
            self.strays.append(record)
        elif kind == "approval.vote":
            found.votes.append(record)
        else:
            found.results.append(record)

    def _grant(self, kind: str, record: Record) -> None:
        name = record.text("grant")
        found = self.grant.get(name)
        if kind == "grant.create":
            self.twice += [record] if found else []
            self.grants.append(Grant(record))
            self.grant.setdefault(name, self.grants[-1])
        elif found is None:
            self.strays.append(record)
        elif kind == "grant.use":
            found.uses.append(record)
        elif kind == "grant.expire":
            found.expired = found.expired or record
        elif kind == "grant.revoke":
            found.revoked = found.revoked or record

    # Who

    def person_of(self, sid: str) -> set[str]:
        """Commitments to those in whose name a session runs."""
        session = self.session.get(sid)
        return people(session.opened) if session else set()

    def requester(self, approval: Approval) -> set[str]:
        """Commitments to those who asked for an approval."""
        return people(approval.request) | self.person_of(approval.request.text("session"))

    def independence(self, approval: Approval) -> str:
        """Whether each approving vote came from somebody else than who asked: yes, no, no vote, or not shown."""
        approving, asked = approval.approving, self.requester(approval)
        if not approving:
            return "no vote"
        if any(vote.fields.get("self") is True or voters(vote) & asked for vote in approving):
            return "no"
        return "yes" if asked and all(voters(vote) for vote in approving) else "not shown"


def people(record: Record) -> set[str]:
    """Commitments to whom an entry names as who acts, and on whose behalf."""
    return {record.text("actor", "id_c"), record.text("actor", "on_behalf_of_c")} - {""}


def voters(vote: Record) -> set[str]:
    """Commitments to who voted."""
    return people(vote) | {vote.text("approver")} - {""}


def read(records: Iterable[Record]) -> Facts:
    """One pass over the logs."""
    facts = Facts()
    for record in records:
        facts.take(record)
    return facts


# Tables ---------------------------------------------------------------------------------------------------------------------


def populations(facts: Facts, period: Period) -> dict[str, Table]:
    """Every population of a period by its short name."""
    made = (_access, _door, _actions, _refusals, _approvals, _grants, _policies, _configurations, _exports, _readings)
    tables = [make(facts, period) for make in made]
    return {table.name.removeprefix("populations/"): table for table in tables}


def _access(facts: Facts, period: Period) -> Table:
    columns = (
        "session kind identity_c issuer on_behalf_of_c groups attested address_c target labels protocol role rule policy "
        "purpose purpose_attested token_expires actions refused closed_index closed_time close_reason"
    )
    query = "each entry session.open in the period; actions and refused count its entries action; closed_… is its session.close"
    table = Table("populations/access", "Sessions that were opened", query, (*PLACE, *columns.split()))
    for session in facts.sessions:
        one, closed = session.opened, session.closed
        if one.time not in period:
            continue
        auth = one.fields.get("auth")
        expires = auth.get("exp") if isinstance(auth, dict) else 0
        table.add(
            one,
            one.text("sid"),
            *(one.text("actor", name) for name in ("type", "id_c", "idp", "on_behalf_of_c", "groups", "agent")),
            one.text("src", "ip_c"),
            *(one.text("res", name) for name in ("name", "labels")),
            *(one.text(name) for name in ("proto", "role", "rule")),
            one.text("pol", "digest"),
            *(one.text(name) for name in ("purpose", "purpose_attested")),
            moment(expires) if isinstance(expires, int) else "",
            str(session.actions),
            str(session.refused),
            *((str(closed.index), moment(closed.time), closed.text("reason")) if closed else ("", "", "")),
        )
    return table


def _door(facts: Facts, period: Period) -> Table:
    columns = "decision kind identity_c issuer address_c target rule reason unlisted"
    query = "each entry session.refuse in the period; unlisted counts refusals before it that were not listed one by one"
    table = Table("populations/door", "Refusals at the door", query, (*PLACE, *columns.split()))
    for one in facts.refused:
        if one.time in period:
            who = (one.text("actor", name) for name in ("type", "id_c", "idp"))
            rest = (one.text(name) for name in ("rule", "reason", "unlisted"))
            table.add(one, one.text("decision"), *who, one.text("src", "ip_c"), one.text("res", "name"), *rest)
    return table


ACTION = (
    "session action decision identity_c target step verb objects reach ruling rule reason masks policy purpose statement_c "
    "text approval answer_index status rows bytes ms masked"
)


def _actions(facts: Facts, period: Period) -> Table:
    query = "each entry action in the period; answer_index to masked are of the entry answer of the same session and action"
    table = Table("populations/actions", "Actions", query, (*PLACE, *ACTION.split()))
    _add_actions(table, facts, [act for act in facts.acts if act.asked.time in period])
    return table


def _refusals(facts: Facts, period: Period) -> Table:
    query = "each entry action in the period whose ruling is block, or is approve and nothing let it go"
    table = Table("populations/refusals", "Actions that were refused", query, (*PLACE, *ACTION.split()))
    refused = [act for act in facts.acts if act.asked.time in period and act.refused]
    _add_actions(table, facts, refused)
    return table


def _add_actions(table: Table, facts: Facts, acts: list[Act]) -> None:
    for act in acts:
        one, answer = act.asked, act.answer
        session = facts.session.get(one.text("sid"))
        who = session.opened if session else one
        names = ("step", "verb", "objects", "reach", "ruling", "rule", "reason", "masks")
        answered = ("status", "rows", "bytes", "ms", "masked")
        table.add(
            one,
            *(one.text(name) for name in ("sid", "action", "decision")),
            who.text("actor", "id_c"),
            who.text("res", "name"),
            *(one.text(name) for name in names),
            one.text("pol", "digest"),
            *(one.text(name) for name in ("purpose", "stmt_h", "text", "approval")),
            *((str(answer.index), *(answer.text(name) for name in answered)) if answer else [""] * 6),
        )


def _approvals(facts: Facts, period: Period) -> Table:
    columns = (
        "approval kind requester_c session target verb reach rule digest approvers quorum expires votes own_votes verdict "
        "verdict_index verdict_time seconds ended ended_index independent"
    )
    query = (
        "each entry approval.request in the period; votes are its entries approval.vote as verdict, voter and index; own_votes "
        "were tried by who asked; verdict is its first approval.result or approval.expire, ended its last; independent says "
        "whether each approving voter is another than who asked"
    )
    table = Table("populations/approvals", "Requests for approval", query, (*PLACE, *columns.split()))
    for approval in facts.approvals:
        one, decided = approval.request, approval.decided
        if one.time not in period:
            continue
        votes = [f"{vote.text('verdict')} by {' '.join(sorted(voters(vote)))} in {at(vote, one)}" for vote in approval.votes]
        names = ("session", "target", "verb", "reach", "rule", "digest", "approvers", "quorum")
        table.add(
            one,
            *(one.text(name) for name in ("approval", "kind")),
            " ".join(sorted(facts.requester(approval))),
            *(one.text(name) for name in names),
            moment(one.number("expires")),
            "; ".join(votes),
            str(sum(vote.fields.get("self") is True for vote in approval.votes)),
            approval.verdict,
            *((at(decided, one), moment(decided.time), _seconds(one, decided)) if decided else ("", "", "")),
            outcome(approval.results[-1]) if decided else "",
            at(approval.results[-1], one) if decided else "",
            facts.independence(approval),
        )
    return table


def at(found: Record, beside: Record) -> str:
    """Where an entry stands, in the row of another: its index, and its log before it if that is another."""
    return str(found.index) if found.origin == beside.origin else f"{found.origin} {found.index}"


def _seconds(begin: Record, end: Record) -> str:
    return str((end.time - begin.time) // 1_000_000)


def _grants(facts: Facts, period: Period) -> Table:
    columns = (
        "grant approval identity_c targets reach until ttl ticket why given_by uses last_use_index expired_index revoked_index "
        "revoked_by used_late"
    )
    query = (
        "each entry grant.create in the period, with its entries grant.use, grant.expire and grant.revoke, whenever they came"
    )
    table = Table("populations/grants", "Grants", query, (*PLACE, *columns.split()))
    for grant in facts.grants:
        one = grant.created
        if one.time not in period:
            continue
        table.add(
            one,
            *(one.text(name) for name in ("grant", "approval")),
            *(one.text("scope", name) for name in ("id_c", "targets", "reach")),
            moment(one.number("until")) if one.number("until") else "",
            *(one.text(name) for name in ("ttl", "ticket", "why", "by")),
            str(len(grant.uses)),
            at(grant.uses[-1], one) if grant.uses else "",
            *(at(end, one) if end else "" for end in (grant.expired, grant.revoked)),
            grant.revoked.text("by") if grant.revoked else "",
            str(len(grant.used_late)),
        )
    return table


def _policies(facts: Facts, period: Period) -> Table:
    query = "each entry policy.publish in the period; before is the digest that was in force until then"
    table = Table("populations/policies", "Versions of the rules", query, (*PLACE, "digest", "before", "changed", "by"))
    before = ""
    for one in facts.policies:
        digest = one.text("digest")
        if one.time in period:
            table.add(one, digest, before, "yes" if digest != before else "no", one.text("by"))
        before = digest
    return table


def _exports(facts: Facts, period: Period) -> Table:
    query = "each entry export.create in the period; digest is that of the package"
    table = Table("populations/exports", "Evidence that left the book", query, (*PLACE, "by", "digest"))
    for one in facts.exports:
        if one.time in period:
            table.add(one, one.text("by"), one.text("digest"))
    return table


def _readings(facts: Facts, period: Period) -> Table:
    query = "each entry recording.read in the period"
    table = Table("populations/readings", "Recordings that were read", query, (*PLACE, "session", "by", "why"))
    for one in facts.readings:
        if one.time in period:
            table.add(one, *(one.text(name) for name in ("target_sid", "by", "why")))
    return table


def _configurations(facts: Facts, period: Period) -> Table:
    columns = "digest before changed by approved_by second_person"
    query = "each entry config.change in the period; before is the digest that was in force until then"
    table = Table("populations/configurations", "Versions of the configuration", query, (*PLACE, *columns.split()))
    before = ""
    for one in facts.configurations:
        digest, by, approver = one.text("new"), one.text("by"), one.text("approved_by")
        if one.time in period:
            second = "yes" if approver and approver != by else "no"
            table.add(one, digest, before, "yes" if digest != before else "no", by, approver, second)
        before = digest
    return table
