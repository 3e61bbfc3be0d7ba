"""JSON text sequences (RFC 7464): documents, each behind a record separator. Lines of JSON need nothing of their own."""

from __future__ import annotations

from gatebook.errors import WireError
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.plan import Counts, Plan, count

SEPARATOR = b"\x1e"


class SequenceCover:
    """Covers one sequence."""

    def __init__(self, plan: Plan) -> None:
        self.masked: Counts = {}
        self._plan = plan
        self._record: JsonCover | None = None

    def feed(self, data: bytes) -> bytes:
        """What is whole, covered. Raises WireError."""
        first, *others = data.split(SEPARATOR)
        out = [self._fed(first)]
        for other in others:
            out += [self.finish(), SEPARATOR]
            self._record = JsonCover(self._plan)
            out.append(self._fed(other))
        return b"".join(out)

    def finish(self) -> bytes:
        """The end of the last record."""
        if self._record is None:
            return b""
        out = self._record.finish()
        for name, number in self._record.masked.items():
            count(self.masked, name, number)
        self._record = None
        return out

    def _fed(self, data: bytes) -> bytes:
        if not data:
            return b""
        if self._record is None:
            raise WireError("a JSON text sequence that does not begin with a record separator")
        return self._record.feed(data)
