"""Who, what and when as Cedar sees it: entities and requests.

Two different things that came out alike would be decided alike, so names are joined only after their separators are escaped,
and nothing is left out. A value that Cedar or JSON cannot hold raises ValueError, which the caller answers with block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

import orjson

from gatebook.model import Attribute, Deed, Identity, Reach, Resource, Target

MINUTE = 60_000_000  # µs
GATEBOOK = "gatebook"  # the kind of resource that acts on Gatebook itself have (acts.py)
OPENING_FACTS = frozenset({"role"})  # all that is known of session.open, whatever the target's protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """When and from where. ``now`` in µs; ``client_address`` without port; ``granted`` the reach of live grants."""

    now: int
    client_address: str
    purpose: str = ""
    purpose_attested: bool = False
    granted: Reach | None = None
    approved: bool = False


class Uid(NamedTuple):
    """An entity's type and id."""

    type: str
    id: str


class Request(NamedTuple):
    """One deed to decide; ``contexts`` is its context unapproved and approved, as JSON."""

    principal: Uid
    action: Uid
    resource: Uid
    contexts: tuple[str, str]
    reach: Reach

    def asked(self, *, approved: bool) -> dict[str, object]:
        """The request in the engine's form."""
        return {
            "principal": self.principal._asdict(),
            "action": self.action._asdict(),
            "resource": self.resource._asdict(),
            "context": self.contexts[approved],
        }


def request(identity: Identity, target: Target, deed: Deed, circumstances: Circumstances) -> Request:
    """The request for one deed. Raises ValueError for what cannot be said in Cedar."""
    return Request(
        principal=_identity_uid(identity),
        action=Uid("Action", deed.verb),
        resource=_resource_uid(target, deed.resource),
        contexts=(_context(deed, circumstances, approved=False), _context(deed, circumstances, approved=True)),
        reach=deed.reach,
    )


def entities(identity: Identity, target: Target, deeds: Sequence[Deed]) -> str:
    """Every entity that the requests for these deeds name, as JSON. Raises ValueError for what cannot be said."""
    tables = {resource.name for resource in (deed.resource for deed in deeds) if resource.kind == "table"}
    found = [_identity(identity), _target(target)]
    found += _tables(target, tables)
    found += _places(target, deeds)
    found += _objects(target, deeds)
    acts = {deed.resource for deed in deeds if deed.resource.kind == GATEBOOK}
    found += [_entity(_gatebook_uid(one), name=one.name) for one in sorted(acts, key=lambda one: one.name)]
    found += [_entity(Uid("Group", name)) for name in sorted(identity.groups)]
    return _json(found)


def _context(deed: Deed, circumstances: Circumstances, *, approved: bool) -> str:
    facts = {name: _value(value) for name, value in deed.facts.items()}
    minutes = circumstances.now // MINUTE
    return _json(
        {
            **facts,
            "approved": approved,
            "granted": 0 if circumstances.granted is None else circumstances.granted.rank + 1,
            "reach": deed.reach.value,
            "hour": minutes // 60 % 24,
            "weekday": (minutes // 1440 + 3) % 7 + 1,  # the epoch was a Thursday
            "client_address": {"__extn": {"fn": "ip", "arg": _address(circumstances.client_address)}},
            "purpose": circumstances.purpose,
            "purpose_attested": circumstances.purpose_attested,
        }
    )


def _value(value: bool | int | str | frozenset[str]) -> object:
    return sorted(value) if isinstance(value, frozenset) else value


def _address(text: str) -> str:
    """The address without zone; an IPv4 address inside IPv6 is the IPv4 address, or a rule on its range would miss it."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)


def _identity(identity: Identity) -> dict[str, object]:
    return _entity(
        _identity_uid(identity),
        parents=[Uid("Group", name) for name in sorted(identity.groups)],
        issuer=identity.issuer,
        subject=identity.subject,
        kind=identity.kind.value,
        attested=_attributes(identity.attributes, attested=True),
        declared=_attributes(identity.attributes, attested=False),
    )


def _attributes(attributes: Mapping[str, Attribute], *, attested: bool) -> list[str]:
    return _pairs({name: one.value for name, one in attributes.items() if one.attested is attested})


def _pairs(values: Mapping[str, str]) -> list[str]:
    return sorted(f"{name.replace('=', '%3D')}={value}" for name, value in values.items())


def _identity_uid(identity: Identity) -> Uid:
    return Uid("Identity", f"{identity.issuer.replace('|', '%7C')}|{identity.subject}")


def _target(target: Target) -> dict[str, object]:
    return _entity(_target_uid(target), name=target.name, protocol=target.protocol, labels=_pairs(target.labels))


def _target_uid(target: Target) -> Uid:
    return Uid("Target", target.name)


def _resource_uid(target: Target, resource: Resource) -> Uid:
    if resource.kind == GATEBOOK:
        return _gatebook_uid(resource)
    match resource.kind:
        case "table":
            return _table_uid(target, resource.name)
        case "route":
            return _route_uid(target, resource.name)
        case "tool":
            return Uid("Tool", f"{_escaped(target)}/{resource.name}")
        case "object":
            return _object_uid(target, resource.name)
    return _target_uid(target)


def _gatebook_uid(resource: Resource) -> Uid:
    return Uid("Gatebook", resource.name)


def _table_uid(target: Target, name: str) -> Uid:
    return Uid("Table", f"{_escaped(target)}/{name}")


def _route_uid(target: Target, path: str) -> Uid:
    return Uid("Route", f"{_escaped(target)}{path}")


def _object_uid(target: Target, name: str) -> Uid:
    return Uid("Object", f"{_escaped(target)}/{name}")


def _namespace_uid(target: Target, name: str) -> Uid:
    return Uid("Namespace", f"{_escaped(target)}/{name}")


def _escaped(target: Target) -> str:
    return target.name.replace("/", "%2F")


def _tables(target: Target, names: set[str]) -> list[dict[str, object]]:
    """The tables, and for each that has a schema the same name without one, which it is in."""
    split = {name: name.rpartition(".") for name in names}
    split |= {bare: ("", "", bare) for _, _, bare in split.values()}
    return [
        _entity(
            _table_uid(target, name),
            parents=[_target_uid(target), *([_table_uid(target, bare)] if schema else [])],
            schema=schema,
            name=bare,
        )
        for name, (schema, _, bare) in sorted(split.items())
    ]


def _places(target: Target, deeds: Sequence[Deed]) -> list[dict[str, object]]:
    """The routes and tools of a request, each in all paths above its own.

    A route is a template where the target's document has one; then it is in the path as well, as it was sent and in small
    letters, since many servers make no difference and a rule on ``/iam`` has to hold for ``/IAM`` there.
    """
    parents: dict[str, set[Uid]] = {}
    found: dict[Uid, dict[str, object]] = {}
    for deed in deeds:
        if deed.resource.kind not in ("route", "tool"):
            continue
        path = str(deed.facts.get("path", ""))
        above = {_route_uid(target, one) for one in (path, path.casefold()) if one.startswith("/")}
        for one in (path, path.casefold(), deed.resource.name if deed.resource.kind == "route" else ""):
            _chain(target, one, parents)
        if deed.resource.kind == "route":
            parents[deed.resource.name] = (parents.get(deed.resource.name, set()) | above) - {
                _resource_uid(target, deed.resource)
            }
        else:
            uid = _resource_uid(target, deed.resource)
            found[uid] = _entity(uid, parents=[_target_uid(target), *sorted(above)], name=deed.resource.name)
    for one, over in sorted(parents.items()):
        uid = _route_uid(target, one)
        found[uid] = _entity(uid, parents=[_target_uid(target), *sorted(over)], path=one)
    return list(found.values())


def _objects(target: Target, deeds: Sequence[Deed]) -> list[dict[str, object]]:
    """The objects of a cluster, each in all of its resource there, and that in its namespace.

    A resource's name goes to the book, so it may be covered there: under its real name the object is one that it is in.
    """
    found: dict[Uid, dict[str, object]] = {}
    for deed in deeds:
        if deed.resource.kind != "object":
            continue
        namespace, name, group = (str(deed.facts.get(one, "")) for one in ("namespace", "name", "group"))
        resource = str(deed.facts.get("resource", ""))
        whole = f"{namespace or '-'}/{resource}{'.' if group else ''}{group}"
        above = [_target_uid(target)]
        if namespace:
            above.append(_namespace_uid(target, namespace))
            found[above[-1]] = _entity(above[-1], parents=[_target_uid(target)], name=namespace)
        for one in dict.fromkeys((whole, f"{whole}/{name}" if name else whole, deed.resource.name)):
            uid = _object_uid(target, one)
            own = name if one != whole else ""
            found[uid] = _entity(uid, parents=above, labels=_pairs(target.labels), namespace=namespace, name=own)
            above = [*above, uid]
    return list(found.values())


def _chain(target: Target, path: str, parents: dict[str, set[Uid]]) -> None:
    """The path and those above it, each in the next one."""
    while path.startswith("/") and path not in parents:
        above = path.rpartition("/")[0]
        parents[path] = {_route_uid(target, above)} if above else set()
        path = above


def _entity(uid: Uid, *, parents: Sequence[Uid] = (), **attrs: object) -> dict[str, object]:
    return {"uid": uid._asdict(), "attrs": attrs, "parents": [parent._asdict() for parent in parents]}


def _json(value: object) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:  # among others a text that is no Unicode, a number past 64 bits
        raise ValueError(f"cannot be said in Cedar: {error}") from None
