"""Identities, targets and deeds for policy tests, and one line that decides about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatebook.model import Action, Attribute, Deed, Identity, Kind, Reach, Resource, Target
from gatebook.policy.decide import Circumstances, Decision, decide
from gatebook.policy.rules import Policy, load
from gatebook.protocols.postgres.reading import FACTS, VERBS

MINUTE = 60_000_000
NOW = 1_772_618_400_000_000  # Wednesday 2026-03-04 10:00:00 UTC
ISSUER = "https://id.example"
SHOP = Target(name="shop", protocol="postgres", address="db:5432", labels={"env": "production"})

PERMIT_ALL = '@id("all") permit (principal, action, resource);\n'


def identity(
    subject: str = "billing-agent",
    kind: Kind = Kind.AGENT,
    groups: frozenset[str] = frozenset({"agents"}),
    attributes: Mapping[str, Attribute] | None = None,
    issuer: str = ISSUER,
    expires_at: int = NOW + 60 * MINUTE,
) -> Identity:
    return Identity(
        subject=subject,
        issuer=issuer,
        kind=kind,
        groups=groups,
        attributes=attributes or {},
        proven_at=NOW - MINUTE,
        expires_at=expires_at,
    )


def deed(verb: str = "sql.select", table: str | None = "customers", reach: Reach | None = None, **facts: Any) -> Deed:
    resource = Resource(kind="table", name=table) if table else Resource(kind="target", name="shop")
    known = {"role": "shop_app"} if verb == "session.open" else FACTS
    return Deed(verb=verb, reach=reach or VERBS.get(verb, Reach.READ), resource=resource, facts={**known, **facts})


def opening() -> Deed:
    return deed("session.open", None)


def action(*deeds: Deed) -> Action:
    return Action(session="s", seq=1, deeds=deeds, text="")


def at(now: int = NOW, **more: Any) -> Circumstances:
    return Circumstances(now=now, **{"client_address": "10.0.0.7", **more})


def policy(*rules: str) -> Policy:
    return load({"rules.cedar": "\n".join(rules)})


def decided(
    rules: Policy,
    *deeds: Deed,
    by: Identity | None = None,
    on: Target = SHOP,
    when: Circumstances | None = None,
    masks: frozenset[str] = frozenset(),
) -> Decision:
    return decide(rules, identity=by or identity(), target=on, action=action(*deeds), circumstances=when or at(), masks=masks)
