"""What the target shows of who is behind a session: the gateway's tag, whatever the client calls itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway

pytestmark = pytest.mark.real

Connection = psycopg.Connection[tuple[Any, ...]]
HIDDEN = """
DROP FUNCTION IF EXISTS calls_itself_otherwise;
CREATE FUNCTION calls_itself_otherwise() RETURNS text LANGUAGE sql
    AS $$ SELECT set_config('application_name', 'nobody', false) $$;
"""


@pytest.fixture
def connection(gateway: LiveGateway) -> Iterator[Connection]:
    with gateway.connect(autocommit=True, application_name="first") as made:
        yield made


def session(connection: Connection) -> str:
    row = connection.execute("SHOW application_name").fetchone()
    assert row is not None
    return str(row[0]).split()[0]


def seen(gateway: LiveGateway, connection: Connection) -> str:
    """The name that the target's own administrator sees."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return gateway.world.plain.sql(f"SELECT application_name FROM pg_stat_activity WHERE pid = {row[0]}")


def test_the_name_given_at_the_login_stands_behind_the_tag(gateway: LiveGateway, connection: Connection) -> None:
    tag = session(connection)
    assert tag.startswith("gatebook:")
    assert seen(gateway, connection) == f"{tag} first"


@pytest.mark.parametrize("prepare", [False, True])
def test_a_name_that_is_set_later_stands_behind_the_tag_too(
    gateway: LiveGateway, connection: Connection, prepare: bool
) -> None:
    tag = session(connection)
    connection.execute("SET application_name = 'later'", prepare=prepare)
    assert seen(gateway, connection) == f"{tag} later"
    connection.execute("SET application_name TO DEFAULT")
    assert seen(gateway, connection) == f"{tag} first"
    connection.execute("SET application_name = 'later'; SELECT 1; SET application_name = 'latest'")
    assert seen(gateway, connection) == f"{tag} latest"
    connection.execute("DISCARD ALL")
    assert seen(gateway, connection) == f"{tag} first"


def test_a_name_of_a_transaction_goes_with_it(gateway: LiveGateway, connection: Connection) -> None:
    tag = session(connection)
    with connection.transaction():
        connection.execute("SET LOCAL application_name = 'inside'")
        assert seen(gateway, connection) == f"{tag} inside"
    assert seen(gateway, connection) == f"{tag} first"


def test_a_name_set_by_a_function_is_refused_with_what_to_say_instead(gateway: LiveGateway, connection: Connection) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="carries the session's tag"):
        connection.execute("SELECT set_config('application_name', 'me', false)")
    assert seen(gateway, connection).endswith(" first")


def test_a_name_that_a_function_of_the_target_sets_gets_its_tag_back(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(allows_all=True)
    gateway.world.plain.sql(HIDDEN, "shop")
    with gateway.connect(autocommit=True, application_name="first") as made:
        tag = session(made)
        made.execute("SELECT calls_itself_otherwise()")
        assert seen(gateway, made) == f"{tag} nobody"


def test_a_name_in_the_startup_options_stands_behind_the_tag(gateway: LiveGateway) -> None:
    with gateway.connect(autocommit=True, application_name=None, options="-c application_name=by\\ option") as made:
        assert seen(gateway, made).startswith("gatebook:")
        assert seen(gateway, made).endswith(" by option")
