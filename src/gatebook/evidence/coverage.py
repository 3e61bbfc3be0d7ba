"""When the gateway was up, by its own book: entries follow each other closely while it runs, since it has a heartbeat.

Standard library only: exporter and verifier run this same file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gatebook.evidence.entries import Period, Record, moment
from gatebook.evidence.tables import Table

MINUTE = 60_000_000
QUIET = 60_000_000  # between two entries of one run before it counts as a gap; heartbeats come every 10 s
COLUMNS = ("origin", "first_minute", "last_minute", "minutes", "state", "cosigned")


@dataclass(slots=True)
class Runs:
    """Stretches of time in which the log was written without a gap."""

    origin: str = ""
    spans: list[tuple[int, int]] = field(default_factory=list)
    newest: int = 0
    joined: bool = False  # it began later than the book: what was before is no gap

    def take(self, record: Record) -> None:
        """Read the next entry."""
        self.origin = record.origin
        time = max(record.time, self.newest)
        goes_on = self.spans and record.kind != "log.boot" and time - self.spans[-1][1] <= QUIET
        if goes_on:
            self.spans[-1] = (self.spans[-1][0], time)
        else:
            self.spans.append((time, time))
        self.newest = time

    def minutes(self, period: Period) -> Iterator[tuple[int, int, str]]:
        """Runs of minutes in one state: first, last, state. Minutes count from the epoch."""
        state, at, end = "", period.start // MINUTE, -(-period.end // MINUTE)
        begun = at
        for first, last, found in self._pieces(at, end):
            if found != state:
                if state:
                    yield begun, first - 1, state
                state, begun = found, first
            at = last + 1
        if state:
            yield begun, at - 1, state

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, int, str]]:
        """The same, not joined yet; every minute from ``start`` up to ``end`` once."""
        at = start
        for first, last, state in self._known():
            if last < at or first >= end:
                continue
            if first > at:
                early = self.joined and first == self.spans[0][0] // MINUTE
                yield at, first - 1, "before the log" if early else "gap"
            yield max(first, at), min(last, end - 1), state
            at = min(last, end - 1) + 1
        if at < end:
            newest = self.newest // MINUTE
            if at <= newest:
                yield at, min(newest, end - 1), "gap"
            if max(at, newest + 1) < end:
                yield max(at, newest + 1), end - 1, "after the log"

    def _known(self) -> Iterator[tuple[int, int, str]]:
        """Minutes with anything in them, in order: whole ones as ranges, others one by one."""
        edges: dict[int, int] = defaultdict(int)
        whole: list[tuple[int, int, str]] = []
        for begin, end in self.spans:
            first, last = begin // MINUTE, end // MINUTE
            if first == last:
                edges[first] += end - begin
                continue
            edges[first] += (first + 1) * MINUTE - begin
            edges[last] += end - last * MINUTE
            if last - first > 1:
                whole.append((first + 1, last - 1, "up"))
        yield from sorted(whole + [(at, at, "up" if up >= MINUTE else "partly") for at, up in edges.items()])


def coverage(logs: Iterable[Runs], period: Period) -> Table:
    """The table of minutes."""
    query = (
        "each minute of the period for each log but those of commands: up while entries follow each other within 60 s in one "
        "run of its process; partly and gap otherwise; neighbouring minutes of one state share a row; cosigned says whether a "
        "witness signed a checkpoint then"
    )
    table = Table("coverage", "Minutes in which the gateway was up", query, COLUMNS)
    rows = ((one.origin, row) for one in logs for row in one.minutes(period))
    for origin, (first, last, state) in rows:
        table.put((origin, _minute(first), _minute(last), str(last - first + 1), state, "no"))
    return table


def _minute(number: int) -> str:
    return moment(number * MINUTE)[:16] + "Z"
