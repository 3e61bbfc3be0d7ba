"""Forms (application/x-www-form-urlencoded) and query strings: pairs of names and values, covered one by one."""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes

from gatebook.errors import WireError
from gatebook.masking.styles import COVERED
from gatebook.protocols.http.covering.messages import cover_message
from gatebook.protocols.http.covering.plan import Counts, Plan, count

PAIR_BYTES = 8_388_608
_PLAIN = "*<>@:/ "  # what a covered value may hold as it is, so that people can read it
_DOCUMENT = (b"{", b"[")


class FormCover:
    """Covers one form."""

    def __init__(self, plan: Plan) -> None:
        self.masked: Counts = {}
        self._plan = plan
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The pairs that are complete, covered. Raises WireError."""
        self._held += data
        end = self._held.rfind(b"&") + 1
        if len(self._held) - end > PAIR_BYTES:
            raise WireError(f"a value of more than {PAIR_BYTES} bytes in a form")
        whole, self._held = self._held[:end], self._held[end:]
        return cover_pairs(whole, self._plan, self.masked)

    def finish(self) -> bytes:
        """The last pair."""
        whole, self._held = self._held, b""
        return cover_pairs(whole, self._plan, self.masked)


def cover_pairs(pairs: bytes, plan: Plan, masked: Counts) -> bytes:
    """Pairs joined by ampersands, each covered by its name. Raises WireError."""
    return b"&".join(_pair(one, plan, masked) for one in pairs.split(b"&"))


def _pair(pair: bytes, plan: Plan, masked: Counts) -> bytes:
    if not pair:
        return pair
    written, equals, value = pair.partition(b"=")
    name, plain = read(written), read(value)
    rule = plan.named(name.decode("utf-8", "replace"))
    if rule is not None:
        count(masked, rule.style.value)
        return written + b"=" + wrote(rule.cover(plain))
    if plan.rules_fields and plain.lstrip().startswith(_DOCUMENT):
        try:
            covered = cover_message(plain, plan, masked)
        except WireError:
            covered = plain
        if covered != plain:
            return written + equals + wrote(covered)
    plain = plan.without_said(plain, masked)
    head = name + b"="
    covered = plan.looked(head + plain, masked, b"")
    if covered == name + b"=" + read(value):
        return pair
    if covered.startswith(head):
        return written + b"=" + wrote(covered[len(head) :])
    return wrote(covered) if covered and not equals else wrote(COVERED) + b"=" + wrote(COVERED)


def read(written: bytes) -> bytes:
    """What a name or value of a form says."""
    return unquote_to_bytes(written.replace(b"+", b" "))


def wrote(value: bytes) -> bytes:
    """A covered value as a form has it."""
    return quote_from_bytes(value, safe=_PLAIN.replace(" ", "")).encode()


def cover_query(query: str, plan: Plan, masked: Counts) -> str:
    """A query string as a log may show it."""
    return cover_pairs(query.encode("utf-8", "surrogateescape"), plan, masked).decode("utf-8", "replace")
