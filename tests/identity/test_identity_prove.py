"""Who was seen, and how often that is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Engine, event
from tests import make

from gatebook.db import engine, migrate
from gatebook.errors import IdentityError
from gatebook.identity import store
from gatebook.identity.prove import SEEN_MICROSECONDS, Prover
from gatebook.identity.tokens import GatewayTokens
from gatebook.model import Identity


class Provider:
    """Vouches for whoever it is told to, by any token."""

    def __init__(self) -> None:
        self.identity = make.identity()

    async def verify(self, _token: str, _now: int) -> Identity:
        return self.identity


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    made = engine(f"sqlite:///{tmp_path / 'gatebook.db'}")
    migrate(made)
    yield made
    made.dispose()


@pytest.fixture
def writes(database: Engine) -> list[str]:
    found: list[str] = []
    event.listen(
        database, "before_cursor_execute", lambda _c, _u, said, *_: found.append(said) if said.startswith("INSERT") else None
    )
    return found


def test_who_comes_again_and_again_is_written_down_once_a_minute(database: Engine, writes: list[str]) -> None:
    provider = Provider()
    prover = Prover(database, cast(Any, provider), GatewayTokens(database))
    for seconds in (0, 1, 59):
        assert asyncio.run(prover.prove("a provider's", make.NOW + seconds * 1_000_000)) == provider.identity
    assert len(writes) == 1
    asyncio.run(prover.prove("a provider's", make.NOW + SEEN_MICROSECONDS))
    assert len(writes) == 2


def test_what_the_provider_says_otherwise_is_written_down_at_once(database: Engine, writes: list[str]) -> None:
    provider = Provider()
    prover = Prover(database, cast(Any, provider), GatewayTokens(database))
    asyncio.run(prover.prove("a provider's", make.NOW))
    provider.identity = replace(provider.identity, expires_at=provider.identity.expires_at + 1)
    asyncio.run(prover.prove("a newer one that says the same", make.NOW))
    assert len(writes) == 1
    provider.identity = replace(provider.identity, groups=frozenset({"others"}))
    asyncio.run(prover.prove("a provider's", make.NOW))
    assert len(writes) == 2
    seen = store.last_seen(database, provider.identity.subject)
    assert seen is not None
    assert seen.groups == {"others"}


def test_a_database_that_fails_lets_nobody_in_who_came_a_moment_ago(database: Engine) -> None:
    prover = Prover(database, cast(Any, Provider()), GatewayTokens(database))
    asyncio.run(prover.prove("a provider's", make.NOW))
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE identities")
    with pytest.raises(IdentityError, match="nobody can be let in"):
        asyncio.run(prover.prove("a provider's", make.NOW))


def test_what_is_asked_along_is_asked_for_whom_the_token_proves_and_for_nobody_else(database: Engine) -> None:
    tokens, told = GatewayTokens(database), list[Identity]()
    prover = Prover(database, cast(Any, Provider()), tokens)
    one = make.identity(subject="somebody-else")
    token = tokens.issue(one, now=make.NOW, seconds=60)
    proven = asyncio.run(prover.prove(token, make.NOW, told.append))
    assert told == [proven]
    assert proven.subject == "somebody-else"
    with pytest.raises(IdentityError):
        asyncio.run(prover.prove(token[:-1] + "!", make.NOW, told.append))
    assert len(told) == 1
