"""Tokens where names belong: neither the book nor the refused client's error has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests import make
from tests.config.written import written

from gatebook.config import load
from gatebook.db import engine, migrate
from gatebook.gateway.book import Book
from gatebook.gateway.desk import OTHER_PURPOSE, Desk, Turned
from gatebook.gateway.rows import Rows
from gatebook.ledger.commitments import Commitments
from gatebook.ledger.log import Log
from gatebook.model import Attribute
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


def test_a_token_for_one_purpose_opens_no_session_for_another(tmp_path: Path) -> None:
    desk = Desk(load(written(tmp_path)), NOWHERE, NOWHERE, lambda: make.NOW, b"", NOWHERE)
    who = replace(make.identity(), attributes={"purpose": Attribute(value="OPS-7", attested=True)})
    for target in ("shop", "nowhere"):
        turned = desk.welcome(who, Prove("", target, "", "shop_app", "OPS-8"), "127.0.0.1", make.NOW)
        assert isinstance(turned, Turned)
        assert turned.verdict.rule == OTHER_PURPOSE
        assert "OPS-7" in turned.verdict.reason
        assert "--why" in turned.verdict.instead


def test_those_who_state_no_purpose_are_told_how_whether_or_not_the_target_is_there(tmp_path: Path) -> None:
    desk = Desk(load(written(tmp_path)), NOWHERE, NOWHERE, lambda: make.NOW, b"", NOWHERE)
    turned = desk.welcome(make.identity(), Prove("", "nowhere", "", "shop_app"), "127.0.0.1", make.NOW)
    assert isinstance(turned, Turned)
    assert "gatebook connect TARGET --why TICKET" in turned.verdict.instead
    stated = desk.welcome(make.identity(), Prove("", "nowhere", "", "shop_app", "OPS-7"), "127.0.0.1", make.NOW)
    assert isinstance(stated, Turned)
    assert "--why" not in stated.verdict.instead
