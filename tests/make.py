"""The nouns, made with one call each; say only what the test is about."""

from __future__ import annotations

from typing import Any

from gatebook.model import Action, Deed, Identity, Kind, Permit, Receipt, Resource, Ruling, Session, Target, Verdict
from gatebook.policy import permit as only_place
from gatebook.protocols.postgres.reading import FACTS, VERBS

MINUTE = 60_000_000
NOW = 1_772_618_400_000_000  # Wednesday 2026-03-04 10:00:00 UTC
SESSION_ID = "01999999-0000-7000-8000-000000000001"


def identity(**changes: Any) -> Identity:
    usual = {
        "subject": "shop-agent",
        "issuer": "https://id.example",
        "kind": Kind.AGENT,
        "groups": frozenset({"agents"}),
        "proven_at": NOW - MINUTE,
        "expires_at": NOW + 60 * MINUTE,
    }
    return Identity(**(usual | changes))


def target(**changes: Any) -> Target:
    usual = {"name": "shop", "protocol": "postgres", "address": "127.0.0.1:15433", "labels": {"env": "production"}}
    return Target(**(usual | changes))


def session(**changes: Any) -> Session:
    usual = {"id": SESSION_ID, "identity": identity(), "target": target(), "client_address": "127.0.0.1", "opened_at": NOW}
    return Session(**(usual | changes))


def deed(verb: str = "sql.select", table: str = "public.customers", **facts: Any) -> Deed:
    return Deed(verb=verb, reach=VERBS[verb], resource=Resource(kind="table", name=table), facts={**FACTS, **facts})


def action(text: str = "SELECT 1", *deeds: Deed, **changes: Any) -> Action:
    usual = {"session": SESSION_ID, "seq": 1, "deeds": deeds or (deed(),), "text": text}
    return Action(**(usual | changes))


def verdict(ruling: Ruling = Ruling.ALLOW, **changes: Any) -> Verdict:
    usual = {"ruling": ruling, "rule": "agents-read", "reason": "", "policy_digest": "sha256:0", "until": NOW + MINUTE}
    return Verdict(**(usual | changes))


def receipt(index: int = 0) -> Receipt:
    return Receipt(log="test/log/1/1", index=index)


def permit(for_: Action, **changes: Any) -> Permit:
    return only_place.permit(for_, verdict(**changes), receipt())
