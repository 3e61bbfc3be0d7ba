"""How often one address may fail to prove who it is: a bucket that failures empty and time fills again."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

FAILURES = 20  # at once; room for an agent that starts many jobs with a token that just expired
SECONDS_PER_FAILURE = 3.0  # after that, one each
ADDRESSES = 10_000  # remembered; past it the one that failed longest ago is forgotten


class FailedProofs:
    """Counts per client address; an IPv6 host counts by its /64, which is what one customer gets. One event loop uses it."""

    def __init__(self) -> None:
        self._emptied: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until ``address`` may try again; 0 when it may now. ``now`` in seconds of any steady clock."""
        missing = self._missing(_network(address), now)
        return max(0.0, (missing - FAILURES + 1) * SECONDS_PER_FAILURE)

    def failed(self, address: str, now: float) -> None:
        """Note a failure."""
        network = _network(address)
        self._emptied[network] = (self._missing(network, now) + 1, now)
        self._emptied.move_to_end(network)
        if len(self._emptied) > ADDRESSES:
            self._emptied.popitem(last=False)

    def _missing(self, network: str, now: float) -> float:
        missing, at = self._emptied.get(network, (0.0, now))
        return max(0.0, missing - (now - at) / SECONDS_PER_FAILURE)


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))
