"""Targets by the places that forwards name: whoever wants one through a host is to reach it through the gateway instead."""

from __future__ import annotations

from ipaddress import ip_address

from gatebook.config import Config, GitTarget, HttpTarget, KubernetesTarget, TargetConfig
from gatebook.config.targets import origin_place


def at(config: Config, host: str, port: int) -> TargetConfig | None:
    """The target at this address, as its configuration spells it. A name that only the host resolves to it is not known."""
    wanted = (_plain(host), port)
    return next((one for one in config.targets if wanted in {_split(place) for place in _places(one)}), None)


def _places(target: TargetConfig) -> list[str]:
    if isinstance(target, HttpTarget | GitTarget):
        return [origin_place(origin) for origin in target.origins]
    if isinstance(target, KubernetesTarget):
        return [origin_place(server) for server in target.servers]
    return [target.place]


def _split(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return _plain(host), int(port) if port.isascii() and port.isdigit() else -1


def _plain(host: str) -> str:
    """One spelling of each: letters small, addresses as Python writes them, those of IPv4 inside of IPv6 as themselves."""
    host = host.strip("[]").rstrip(".").casefold()
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)
