"""What a session is for: stated by its client or its token, demanded by rules, and standing in all that is kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors
from tests.clients.test_recordings import replayed
from tests.testbed.gateways import HEARS_AT_ONCE, LiveGateway

pytestmark = pytest.mark.real

STATED = f"{HEARS_AT_ONCE} -c gatebook.why=OPS-7"
DEMANDED = """
@id("changes-need-purpose")
@reason("changes are made for a ticket, and this session states none")
@instead("Connect with `gatebook connect TARGET --why TICKET`.")
forbid (principal, action in Action::"sql.write", resource) when { context.purpose == "" };
"""
AT_THE_DOOR = """
@id("nobody-without-purpose")
forbid (principal, action == Action::"session.open", resource) unless { context.purpose_attested };
"""
UPDATE = "UPDATE notes SET body = body WHERE id = 1"


def test_a_rule_demands_a_purpose_and_says_how_to_state_one(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(policies={"purpose": DEMANDED})
    with gateway.connect(autocommit=True) as connection:
        connection.execute("SELECT 1")
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            connection.execute(UPDATE)
        assert json.loads(caught.value.diag.message_detail or "{}")["class"] == "fix"
        assert "gatebook connect TARGET --why TICKET" in (caught.value.diag.message_hint or "")
    with gateway.connect(autocommit=True, options=STATED) as connection:
        connection.execute(UPDATE)


def test_a_purpose_that_only_the_client_states_is_none_that_the_provider_vouches_for(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway(policies={"purpose": AT_THE_DOOR}, provider={"purpose_claim": "ticket"})
    for options, how in ((HEARS_AT_ONCE, True), (STATED, False)):
        with pytest.raises(psycopg.OperationalError) as refused:
            gateway.connect(options=options)
        assert ("gatebook connect TARGET --why TICKET" in str(refused.value)) == how
    attested = gateway.mint(ticket="OPS-7")
    for options in (HEARS_AT_ONCE, STATED):
        with gateway.connect(attested, options=options) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="OPS-7"):
        gateway.connect(gateway.mint(ticket="OPS-7"), options=STATED.replace("OPS-7", "OPS-8"))
    listed = gateway.api("/api/v1/targets", attested).json()["targets"]
    assert "shop" in [one["name"] for one in listed]
    assert gateway.api("/api/v1/targets?why=OPS-7", gateway.mint()).json()["targets"] == []


@pytest.mark.parametrize("attested", [False, True], ids=["stated", "attested"])
def test_the_purpose_stands_in_all_that_is_kept_of_a_session(new_gateway: Callable[..., LiveGateway], attested: bool) -> None:
    gateway = new_gateway(provider={"purpose_claim": "ticket"})
    token: dict[str, Any] = {"ticket": "OPS-7"} if attested else {}
    with gateway.connect(gateway.mint(**token), autocommit=True, options=HEARS_AT_ONCE if attested else STATED) as connection:
        connection.execute(UPDATE)
        for statement in ("DROP TABLE notes", "ALTER TABLE notes ADD COLUMN purposeful text"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
    (opened,) = gateway.entries("session.open")
    assert (opened["purpose"], opened["purpose_attested"]) == ("OPS-7", attested)
    kept = gateway.entries("action", "approval.request")
    assert {one["purpose"] for one in kept} == {"OPS-7"}
    assert {one["ruling"] for one in kept if one["type"] == "action"} == {"allow", "block", "approve"}
    session = str(gateway.sessions()[0]["id"])
    about = next(one["d"] for one in replayed(gateway, session) if "purpose" in one.get("d", {}))
    assert about["purpose"] == "OPS-7"
