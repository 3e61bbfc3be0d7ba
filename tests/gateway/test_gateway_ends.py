"""What an ended connection leaves behind: nothing that waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any, cast

import pytest

from gatebook.gateway.connection import Connection
from gatebook.gateway.reads import Reads
from gatebook.gateway.upstream import Upstream
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.opening import Keys
from gatebook.protocols.postgres.relay import PostgresRelay


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class Door:
    """What of a gateway a connection needs before anybody is known."""

    login_seconds = 30.0
    bearer = stretched = facts = None

    def __init__(self) -> None:
        self.released: list[Connection] = []
        self.reads = Reads()

    def new_keys(self) -> Keys:
        return Keys(bytes(8), bytes(32))

    def admit(self, _connection: Connection, _address: str) -> str:
        return ""

    def release(self, connection: Connection) -> None:
        self.released.append(connection)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def relays() -> int:
    return sum(isinstance(one, PostgresRelay) for one in gc.get_objects())


async def test_what_a_connection_held_goes_with_its_end_though_somebody_still_has_the_connection() -> None:
    before, door = relays(), Door()
    connection = Connection(cast(Any, door), None)
    connection.connection_made(Wire())
    connection.data_received(wire.startup({"user": "a", "database": "shop"}))
    assert relays() == before + 1
    connection.connection_lost(None)
    assert door.released == [connection]
    assert relays() == before


async def test_bytes_that_come_after_the_end_change_nothing() -> None:
    door = Door()
    connection = Connection(cast(Any, door), None)
    connection.connection_made(Wire())
    connection.connection_lost(None)
    connection.data_received(b"late")
    assert door.released == [connection]


async def test_a_closed_way_to_the_target_lets_go_of_its_connection() -> None:
    connection = Connection(cast(Any, Door()), None)
    held, upstream = weakref.ref(connection), Upstream(connection, Reads())
    upstream.connection_made(Wire())
    upstream.close()
    del connection
    assert held() is None
    upstream.get_buffer(-1)[:4] = b"late"
    upstream.buffer_updated(4)
    upstream.pause_writing()
    upstream.connection_lost(None)
    assert upstream.full
