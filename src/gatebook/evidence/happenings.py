"""What an auditor asks about besides populations: restarts, versions in force, and everything that deviates.

Standard library only: exporter and verifier run this same file.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator

from gatebook.evidence.coverage import MINUTE
from gatebook.evidence.entries import Period, Record, moment
from gatebook.evidence.populations import CO_LOCATED, CRASHED, Facts
from gatebook.evidence.tables import PLACE, Table, place

SELF_ATTESTED = "no witness signed any checkpoint: what the package shows is attested by the gateway's own key alone"
NOWHERE = ("", "", "", "")  # of a row that is about no entry


def restarts(facts: Facts, period: Period) -> Table:
    """Each start of the gateway."""
    columns = "how software build build_changed torn_bytes repaired left_open"
    query = "each entry log.boot in the period; how is first, clean or crash; build is a digest that the program gave of itself"
    table = Table("restarts", "Starts of the gateway", query, (*PLACE, *columns.split()))
    before: dict[str, str] = {}
    for one in facts.boots:
        build = one.text("build")
        if one.time in period:
            changed = "yes" if build != before.get(one.origin, "") else "no"
            rest = (one.text(name) for name in ("torn_bytes", "repaired", "left_open"))
            table.add(one, one.text("restart"), one.text("software"), build, changed, *rest)
        before[one.origin] = build
    return table


def history(facts: Facts, period: Period) -> Table:
    """Which build, configuration and rules were in force when: also those that were so when the period began."""
    columns = ("what", "version", "by", "approved_by", "in_force_from", "in_force_to")
    query = (
        "each entry log.boot, config.change and policy.publish up to the period's end; in force until the next of its kind, or "
        "the newest entry; those that ended before the period are left out"
    )
    table = Table("config-history", "Versions in force", query, (*PLACE, *columns), sys.maxsize)
    found = [(one, "build", one.text("build")) for one in facts.boots]
    found += [(one, "configuration", one.text("new")) for one in facts.configurations]
    found += [(one, "rules", one.text("digest")) for one in facts.policies]
    ends: dict[tuple[str, str], int] = {}
    rows = []
    for one, what, version in sorted(found, key=lambda each: each[0].order, reverse=True):
        kind = what, one.origin if what == "build" else ""  # each process has its own
        end = ends.get(kind, facts.newest)
        if one.time < period.end and end >= period.start:
            rows.append((one, (what, version, one.text("by"), one.text("approved_by"), moment(one.time), moment(end))))
        ends[kind] = one.time
    for one, values in reversed(rows):
        table.add(one, *values)
    return table


def exceptions(facts: Facts, period: Period, texts: Collection[str]) -> Table:
    """Everything that deviates; ``texts`` are the digests of rules of which the package has the text."""
    query = (
        "entries of the period: starts after a crash, sessions a crash ended, kind exception, actions let through without an "
        "answer, what belongs to nothing or has an id that was used, refusals counted but "
        "not listed, approvals by who asked, grants used after their end, configurations without a second person; "
        "minutes without the gateway; rules in force without their text here; what holds for it all"
    )
    table = Table("exceptions", "Exceptions", query, (*PLACE, "what", "session", "action", "detail"))
    found = [one for one in _of_entries(facts) if one[0].time in period]
    for record, what, detail in sorted(found, key=lambda one: (one[0].order, one[1])):
        table.add(record, what, record.text("sid"), record.text("action"), detail)
    for origin, (first, last, state) in ((one.origin, row) for one in facts.runs.values() for row in one.minutes(period)):
        if state == "gap":
            detail = f"{last - first + 1} minutes without an entry, to {moment((last + 1) * MINUTE)}"
            table.put((origin, "", "", moment(first * MINUTE), "gap", "", "", detail))
    for digest in sorted(_in_force(facts, period) - set(texts)):
        detail = f"{digest}: was in force, and its text is not in this package"
        table.put((*NOWHERE, "no text of the rules", "", "", detail))
    table.put((*NOWHERE, "self-attested", "", "", SELF_ATTESTED))
    return table


def _in_force(facts: Facts, period: Period) -> set[str]:
    rows = history(facts, period).first(sys.maxsize)
    return {row["version"] for row in rows if row["what"] == "rules"}


def _of_entries(facts: Facts) -> Iterator[tuple[Record, str, str]]:
    """Entry, what, detail; for all time."""
    for one in facts.boots:
        if one.text("restart") == "crash":
            yield one, "crash", f"{one.text('left_open')} sessions were open, {one.text('torn_bytes')} bytes of a cut write"
    for session in facts.sessions:
        if session.closed and session.closed.text("reason") == CRASHED:
            yield session.closed, "session ended by a crash", f"opened in entry {session.opened.index}"
    for one in facts.exceptions:
        what = "not covered: co-located" if one.text("what").startswith(CO_LOCATED) else one.text("what")
        yield one, what, one.text("why")
    for act in facts.acts:
        if act.moved and act.answer is None:
            yield act.asked, "no answer", "its session ended first" if act.cut else "its session was open when the log ends"
    for one in facts.refused:
        if one.number("unlisted"):
            yield one, "refusals not listed", f"{one.number('unlisted')} refusals at the door before this one were only counted"
    for one in facts.strays:
        yield one, "belongs to nothing", f"{one.kind} of what the log never began, or that was over"
    for one in facts.twice:
        yield one, "an id used twice", one.kind
    yield from _of_people(facts)


def _of_people(facts: Facts) -> Iterator[tuple[Record, str, str]]:
    for approval in facts.approvals:
        if facts.independence(approval) == "no":
            yield approval.request, "approved by who asked", approval.request.text("approval")
    for grant in facts.grants:
        for use in grant.used_late:
            yield use, "grant used after its end", grant.created.text("grant")
    before = ""
    for one in facts.configurations:
        by, approver = one.text("by"), one.text("approved_by")
        if one.text("new") != before and approver in ("", by):
            yield one, "configuration without a second person", f"{one.text('new')} by {by or 'nobody named'}"
        before = one.text("new")


def heads(facts: Facts, period: Period) -> Table:
    """What the head log says of the other logs."""
    query = "each entry log.head in the period: the newest signed checkpoint of a log at that time"
    table = Table("heads", "Where every log stood", query, (*PLACE, "log", "size", "root"))
    for one in facts.heads:
        if one.time in period:
            table.add(one, *(one.text(name) for name in ("log", "size", "root")))
    return table


def co_located(facts: Facts, period: Period) -> list[Record]:
    """Entries that say that gateway and clients share a machine, of runs that reach into the period."""
    found = []
    for one in facts.exceptions:
        boots = [boot for boot in facts.boots if boot.origin == one.origin]
        following = next((boot for boot in boots if boot.index > one.index), None)
        end = following.time if following else facts.newest + 1
        if one.text("what").startswith(CO_LOCATED) and boots and one.time < period.end and end > period.start:
            found.append(one)
    return found


def references(records: Collection[Record], most: int = 50) -> list[str]:
    """Which entries, as text, and how many more."""
    told = [f"{place(one)[0]} entry {one.index}" for one in list(records)[:most]]
    return told + ([f"and {len(records) - most} more"] if len(records) > most else [])
