"""Tokens where names belong: neither the book nor the refused client's error has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests import make
from tests.config.written import written

from gatebook.config import load
from gatebook.db import engine, migrate
from gatebook.gateway.book import Book
from gatebook.gateway.desk import Desk, Turned
from gatebook.gateway.rows import Rows
from gatebook.ledger.commitments import Commitments
from gatebook.ledger.log import Log
from gatebook.protocols.relay import Prove

TOKEN = "gbt_" + "k3" * 20
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
NOWHERE = cast(Any, None)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    database = engine(f"sqlite:///{tmp_path / 'gatebook.db'}")
    migrate(database)
    log = Log.open(tmp_path / "ledger", origin="test", key=Ed25519PrivateKey.generate())
    yield Book(log, Commitments(database), Rows(database), all_durable=True)
    log.close()
    database.dispose()


@pytest.mark.parametrize("token", [TOKEN, JWT])
def test_a_token_given_as_a_name_is_not_in_the_book(book: Book, tmp_path: Path, token: str) -> None:
    refuse = book.refused_at_the_door(None, token, "127.0.0.1", "not-open", f"user {token!r} is no role", "d1", make.NOW)
    asyncio.run(refuse)
    written_down = b"".join(path.read_bytes() for path in (tmp_path / "ledger").rglob("*") if path.is_file())
    assert b"session.refuse" in written_down
    assert token.encode() not in written_down


@pytest.mark.parametrize("token", [TOKEN, JWT])
def test_a_token_given_as_a_name_is_not_told_back(tmp_path: Path, token: str) -> None:
    desk = Desk(load(written(tmp_path)), NOWHERE, NOWHERE, lambda: make.NOW, b"", NOWHERE)
    for wanted in (Prove("", token, "", "shop_app"), Prove("", "shop", token, "shop_app"), Prove("", "shop", "", token)):
        turned = desk.welcome(make.identity(), wanted, "127.0.0.1", make.NOW)
        assert isinstance(turned, Turned)
        assert token not in turned.verdict.reason + turned.why
