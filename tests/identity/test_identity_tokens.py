"""Gateway tokens: opaque, short, kept as digests, never longer than the proof they stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from tests.identity.issuer import ISSUER, NOW, SECOND

from gatebook.db import engine, migrate, writing
from gatebook.errors import IdentityError
from gatebook.identity import store
from gatebook.identity.tokens import CHARACTERS, KEPT_SECONDS, LIVE_TOKENS, GatewayTokens
from gatebook.model import Attribute, Identity, Kind

HOUR = 3_600
IDENTITY = Identity(
    subject="agent-7",
    issuer=ISSUER,
    kind=Kind.AGENT,
    groups=frozenset({"agents", "Zoës"}),
    attributes={"model": Attribute(value="opus", attested=True), "run": Attribute(value="1", attested=False)},
    proven_at=NOW - 5,
    expires_at=NOW + HOUR * SECOND,
    on_behalf_of="alice",
)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Engine]:
    made = engine(f"sqlite:///{tmp_path}/gatebook.db")
    migrate(made)
    yield made
    made.dispose()


@pytest.fixture
def tokens(source: Engine) -> GatewayTokens:
    return GatewayTokens(source)


def test_a_token_gives_back_the_identity_it_was_issued_for(tokens: GatewayTokens) -> None:
    token = tokens.issue(IDENTITY, now=NOW, seconds=60)
    assert tokens.find(token, NOW) == replace(IDENTITY, expires_at=NOW + 60 * SECOND)


def test_a_token_is_short_and_no_two_are_alike(tokens: GatewayTokens) -> None:
    first, second = (tokens.issue(IDENTITY, now=NOW, seconds=60) for _ in range(2))
    assert first != second
    assert len(first) == CHARACTERS <= 72
    assert first.startswith("gbt_")


def test_a_token_never_outlives_its_proof(tokens: GatewayTokens) -> None:
    token = tokens.issue(IDENTITY, now=NOW, seconds=100 * HOUR)
    found = tokens.find(token, IDENTITY.expires_at - 1)
    assert found is not None
    assert found.expires_at == IDENTITY.expires_at
    assert tokens.find(token, IDENTITY.expires_at) is None


def test_a_token_ends_at_its_own_time(tokens: GatewayTokens) -> None:
    token = tokens.issue(IDENTITY, now=NOW, seconds=60)
    assert tokens.find(token, NOW + 60 * SECOND - 1) is not None
    assert tokens.find(token, NOW + 60 * SECOND) is None


def test_an_expired_proof_gives_no_token(tokens: GatewayTokens) -> None:
    with pytest.raises(IdentityError, match="has expired"):
        tokens.issue(replace(IDENTITY, expires_at=NOW), now=NOW, seconds=60)


def test_nothing_on_disk_holds_a_token(tokens: GatewayTokens, source: Engine, tmp_path: Path) -> None:
    token = tokens.issue(IDENTITY, now=NOW, seconds=60)
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert hashlib.sha256(token.encode()).digest() in data
    assert token.encode() not in data
    assert token.removeprefix("gbt_").encode() not in data


def test_a_revoked_token_is_dead_and_says_so(tokens: GatewayTokens) -> None:
    token = tokens.issue(IDENTITY, now=NOW, seconds=60)
    assert tokens.revoke(token, NOW + 1)
    assert not tokens.revoke(token, NOW + 2)
    assert tokens.find(token, NOW + 1) is None
    held = tokens.look_up(token)
    assert held is not None
    assert held.revoked_at == NOW + 1


def test_revoking_an_identity_ends_its_tokens_and_no_others(tokens: GatewayTokens) -> None:
    mine = [tokens.issue(IDENTITY, now=NOW, seconds=60) for _ in range(2)]
    namesake = tokens.issue(replace(IDENTITY, issuer="https://other.test"), now=NOW, seconds=60)
    assert tokens.revoke_all(ISSUER, "agent-7", NOW + 1) == 2
    assert [tokens.find(token, NOW + 1) for token in mine] == [None, None]
    assert tokens.find(namesake, NOW + 1) is not None


@pytest.mark.parametrize(
    "token",
    ["", "gbt_", "gbt_" + "A" * 43, "gbt_" + "A" * 10_000, "gbt_' OR 1=1 --", "gbt_\x00", "gbt_" + "\ud800" * 43, "e.y.J"],
)
def test_what_was_never_issued_is_not_found(tokens: GatewayTokens, token: str) -> None:
    tokens.issue(IDENTITY, now=NOW, seconds=60)
    assert tokens.find(token, NOW) is None
    assert not tokens.revoke(token, NOW)


def test_a_token_in_other_case_is_not_found(tokens: GatewayTokens) -> None:
    token = tokens.issue(IDENTITY, now=NOW, seconds=60)
    assert tokens.find("gbt_" + token.removeprefix("gbt_").swapcase(), NOW) is None


def test_an_identity_cannot_fill_the_disk_with_tokens(tokens: GatewayTokens, source: Engine) -> None:
    with writing(source) as connection:
        for place in range(LIVE_TOKENS):
            store.insert_token(connection, place.to_bytes(32, "big"), IDENTITY, NOW)
    with pytest.raises(IdentityError, match="1000 gateway tokens"):
        tokens.issue(IDENTITY, now=NOW, seconds=60)
    assert tokens.issue(replace(IDENTITY, subject="agent-8"), now=NOW, seconds=60)
    later = NOW + (HOUR + KEPT_SECONDS + 1) * SECOND
    assert tokens.issue(replace(IDENTITY, expires_at=later + SECOND), now=later, seconds=60)
    with source.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM gateway_tokens").scalar() == 1


def test_a_database_error_shows_nothing_of_what_was_bound(tmp_path: Path) -> None:
    made = engine(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(SQLAlchemyError) as caught:
        GatewayTokens(made).issue(IDENTITY, now=NOW, seconds=60)
    assert "agent-7" not in str(caught.value)
    made.dispose()


def test_the_last_seen_identity_is_remembered_but_expired(source: Engine) -> None:
    with writing(source) as connection:
        store.record_seen(connection, IDENTITY, NOW)
        store.record_seen(connection, replace(IDENTITY, groups=frozenset({"dba"})), NOW + 5)
    found = store.last_seen(source, "agent-7")
    assert found == replace(IDENTITY, groups=frozenset({"dba"}), proven_at=NOW + 5, expires_at=NOW + 5, on_behalf_of=None)
    assert store.last_seen(source, "nobody") is None


def test_of_two_issuers_the_one_seen_last_is_remembered(source: Engine) -> None:
    with writing(source) as connection:
        store.record_seen(connection, replace(IDENTITY, issuer="https://other.test"), NOW + 5)
        store.record_seen(connection, IDENTITY, NOW)
    found = store.last_seen(source, "agent-7")
    assert found is not None
    assert found.issuer == "https://other.test"
