"""Tokens through a running gateway: they join, they come back as values at the target, and nobody else can use them."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from tests.testbed.gateways import LiveGateway, World

pytestmark = pytest.mark.real

MASKING = {"sets": {"pii": {"columns": ["*.ssn"], "style": "token"}, "mail": {"columns": ["*.email"]}}, "detectors": "all"}
START = Callable[..., LiveGateway]


def said(gateway: LiveGateway, statement: str, **more: str) -> str:
    answer = gateway.psql("-At", "-c", statement, **more)
    return answer.output.strip()


@pytest.fixture
def tokens(new_gateway: START) -> LiveGateway:
    return new_gateway(more={"masking": MASKING})


def test_a_token_joins_finds_and_writes_and_is_never_the_value(tokens: LiveGateway, world: World) -> None:
    value = world.plain.sql("SELECT ssn FROM customers WHERE id = 1", "shop").strip()
    token = said(tokens, "SELECT ssn FROM customers WHERE id = 1")
    assert token.startswith("gbk_")
    assert said(tokens, "SELECT a.ssn FROM customers a WHERE a.id = 1") == token
    assert said(tokens, f"SELECT id FROM customers WHERE ssn = '{token}'") == "1"
    assert said(tokens, f"SELECT id FROM customers WHERE ssn IN ('{token}')") == "1"
    old = world.plain.sql("SELECT ssn FROM customers WHERE id = 2", "shop").strip()
    try:
        assert said(tokens, f"UPDATE customers SET ssn = '{token}' WHERE id = 2") == "UPDATE 1"
        assert world.plain.sql("SELECT ssn FROM customers WHERE id = 2", "shop").strip() == value
        assert said(tokens, f"SELECT count(*) FROM customers WHERE ssn = '{token}'") == "2"
    finally:
        world.plain.sql(f"UPDATE customers SET ssn = '{old}' WHERE id = 2", "shop")
    assert value not in tokens.log
    assert not any(value.encode() in path.read_bytes() for path in tokens.home.rglob("*") if path.is_file())


def test_a_token_is_refused_where_it_could_show_its_value(tokens: LiveGateway, world: World) -> None:
    value = world.plain.sql("SELECT ssn FROM customers WHERE id = 1", "shop").strip()
    token = said(tokens, "SELECT ssn FROM customers WHERE id = 1")
    for statement in (
        f"EXPLAIN SELECT id FROM customers WHERE ssn = '{token}'",
        f"SELECT current_query() FROM customers WHERE ssn = '{token}'",
        f"BEGIN; DECLARE c CURSOR FOR SELECT id FROM customers WHERE ssn = '{token}'; SELECT statement FROM pg_cursors",
        f"SELECT id FROM customers WHERE substr(ssn, 1, 3) = '{token}'",
        "UPDATE customers SET ssn = '***-**-4320' WHERE id = 2",
        "SELECT id FROM customers WHERE ssn = '987-65-4320'",
    ):
        answer = said(tokens, statement)
        assert "ERROR:  42501" in answer
        assert value not in answer


def test_anothers_token_is_refused(tokens: LiveGateway) -> None:
    token = said(tokens, "SELECT ssn FROM customers WHERE id = 1")
    answer = said(tokens, f"SELECT id FROM customers WHERE ssn = '{token}'", token=tokens.mint(sub="other-agent"))
    assert "a token of another run, identity, target or mask set" in answer


@pytest.mark.parametrize("binary", [False, True])
def test_a_bound_token_is_resolved(tokens: LiveGateway, binary: bool) -> None:
    with tokens.connect() as made, made.cursor(binary=binary) as cursor:
        cursor.execute("SELECT ssn FROM customers WHERE id = %s", (1,), prepare=True)
        token = cursor.fetchall()[0][0]
        cursor.execute("SELECT id FROM customers WHERE ssn = %s", (token,), prepare=True)
        assert cursor.fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no-probing-masked"):
            cursor.execute("SELECT id FROM customers WHERE ssn = %s", ("987-65-4320",), prepare=True)
