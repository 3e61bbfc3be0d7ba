"""Cancel keys: made here or made up, for this process, another one, or another replica."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from gatebook.db import engine, migrate
from gatebook.gateway import store
from gatebook.gateway.cancels import KEPT, KEPT_SECONDS, LONG, SHORT, WAITING, Cancels, Keyring

SECRET = bytes(range(32))
SECOND = 1_000_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    made = engine(f"sqlite:///{tmp_path / 'gatebook.db'}")
    migrate(made)
    yield made
    made.dispose()


def away_from(here: Keyring) -> str:
    """A replica that does not share this one's byte."""
    return next(name for name in map(str, range(100)) if Keyring(here.secret, name, 1).home != here.home)


class Desk:
    """Some processes of a replica, with what each was told to stop."""

    def __init__(self, database: Engine, replica: str, numbers: range = range(1, 3)) -> None:
        self.now = 1_000 * SECOND
        pairs = {number: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for number in numbers}
        self.ends = [end for pair in pairs.values() for end in pair]
        for end in self.ends:
            end.setblocking(False)
        self.stopped: dict[int, list[bytes]] = {number: [] for number in numbers}
        self.cancels = {
            number: Cancels(
                Keyring(SECRET, replica, number),
                pairs[number][0],
                {other: pair[1] for other, pair in pairs.items() if other != number},
                database,
                lambda: self.now,
            )
            for number in numbers
        }

    def ask(self, number: int, key: bytes) -> None:
        self.cancels[number].ask(key, self.stopped[number].append)

    async def hear(self) -> None:
        for number, one in self.cancels.items():
            one.listen(self.stopped[number].append)
        for _ in range(3):
            await asyncio.sleep(0)
        for one in self.cancels.values():
            one.deaf()

    async def exchange(self, number: int, live: tuple[bytes, ...] = ()) -> None:
        cancels = self.cancels[number]

        def stop(digests: frozenset[bytes]) -> frozenset[bytes]:
            mine = {cancels.keys.digest(key): key for key in live}
            self.stopped[number] += [mine[digest] for digest in digests & mine.keys()]
            return digests & mine.keys()

        await cancels.exchange(stop)

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture
def here(database: Engine) -> Iterator[Desk]:
    made = Desk(database, "1")
    yield made
    made.close()


def rows(database: Engine) -> int:
    with database.connect() as connection:
        return store.count_cancels(connection)


@pytest.mark.parametrize("size", [SHORT, LONG, 16])
def test_a_key_has_its_size_is_genuine_and_is_never_made_twice(size: int) -> None:
    keys = Keyring(SECRET, "1", 3)
    made = {keys.make(size) for _ in range(100)}
    assert len(made) == 100
    assert all(len(key) == size and keys.genuine(key) and key[1] == 3 for key in made)


@pytest.mark.parametrize("size", [SHORT, LONG])
def test_a_key_changed_in_any_bit_is_not_genuine(size: int) -> None:
    keys = Keyring(SECRET, "1", 3)
    key = keys.make(size)
    for place in range(size * 8):
        changed = bytearray(key)
        changed[place // 8] ^= 1 << place % 8
        assert not keys.genuine(bytes(changed))


def test_what_is_no_key_is_not_genuine() -> None:
    keys, key = Keyring(SECRET, "1", 3), Keyring(SECRET, "1", 3).make(LONG)
    for made_up in (b"", b"\0", bytes(7), bytes(9), key[:-2], key[:SHORT], key + bytes(2), bytes(10_000)):
        assert not keys.genuine(made_up)
    assert not Keyring(bytes(32), "1", 3).genuine(key)


def test_a_key_of_this_process_stops_here_and_one_of_another_is_handed_over(here: Desk) -> None:
    own, other = here.cancels[1].keys.make(), here.cancels[2].keys.make(LONG)
    here.ask(1, own)
    here.ask(1, other)
    assert here.stopped == {1: [own], 2: []}


async def test_what_is_handed_over_arrives_at_its_process(here: Desk) -> None:
    key = here.cancels[2].keys.make()
    here.ask(1, key)
    await here.hear()
    assert here.stopped == {1: [], 2: [key]}


async def test_made_up_keys_are_neither_handed_over_nor_written(here: Desk, database: Engine) -> None:
    for home in range(256):
        here.ask(1, bytes([home, 2]) + secrets.token_bytes(6) if home % 2 else bytes([home, 1]) + bytes(6))
    await here.hear()
    await here.exchange(1)
    assert here.stopped == {1: [], 2: []}
    assert rows(database) == 0


async def test_a_process_takes_no_made_up_key_from_its_inbox_either(here: Desk) -> None:
    sent = here.cancels[1]._others[2]
    for data in (b"", bytes(8), bytes(5_000), secrets.token_bytes(32)):
        sent.send(data)
    await here.hear()
    assert here.stopped == {1: [], 2: []}


def test_a_flood_of_genuine_keys_for_a_process_that_does_not_listen_blocks_nobody(here: Desk) -> None:
    key = here.cancels[2].keys.make()
    for _ in range(10_000):
        here.ask(1, key)
    assert here.stopped[2] == []


def test_a_key_of_a_process_that_there_is_not_does_nothing(here: Desk) -> None:
    here.ask(1, Keyring(SECRET, "1", 9).make())
    assert here.stopped == {1: [], 2: []}


async def test_a_key_of_another_replica_goes_there_by_a_row_that_does_not_hold_it(here: Desk, database: Engine) -> None:
    there = Desk(database, away_from(here.cancels[1].keys))
    key = there.cancels[2].keys.make()
    here.ask(1, key)
    await here.exchange(1)
    assert rows(database) == 1
    with database.connect() as connection:
        held = connection.exec_driver_sql("SELECT digest FROM cancels").scalar_one()
    assert key not in bytes(held)
    await there.exchange(1, (there.cancels[1].keys.make(),))
    await there.exchange(2, (there.cancels[2].keys.make(), key))
    assert there.stopped == {1: [], 2: [key]}
    assert rows(database) == 0
    there.close()


async def test_rows_for_other_replicas_have_an_end_in_number_and_in_time(here: Desk, database: Engine) -> None:
    there = Keyring(SECRET, away_from(here.cancels[1].keys), 1)
    for _ in range(KEPT // WAITING + 3):
        for _ in range(2 * WAITING):
            here.ask(1, there.make())
        await here.exchange(1)
    assert rows(database) == KEPT
    here.now += (KEPT_SECONDS + 1) * SECOND
    here.ask(1, there.make())
    await here.exchange(1)
    assert rows(database) == 1


async def test_a_look_at_other_replicas_that_finds_nothing_writes_nothing(here: Desk, database: Engine) -> None:
    begun: list[str] = []
    event.listen(database, "begin", lambda connection: begun.append(str(connection.get_execution_options())))
    await here.exchange(1)
    assert len(begun) == 1
    assert "gatebook_writes" not in begun[0]
