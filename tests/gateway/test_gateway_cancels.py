"""Cancel keys: made here or made up, for this process, another one, or another replica."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from tests import make

from gatebook.db import engine, migrate, writing
from gatebook.gateway import store
from gatebook.gateway.cancels import KEPT, KEPT_SECONDS, LONG, SHORT, WAITING, Cancels, Keyring
from gatebook.gateway.guesses import ALL, EACH, MINUTE, Guesses
from gatebook.gateway.tally import Tally

SECRET = bytes(range(32))
SECOND = 1_000_000
HERE, THERE = "192.0.2.1", "192.0.2.2"


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
        tally = Tally(len(numbers) + 1)
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
                Guesses(tally, number, lambda: self.now),
            )
            for number in numbers
        }
        self.live: set[bytes] = set()

    def ask(self, number: int, key: bytes, address: str = HERE) -> None:
        self.cancels[number].ask(key, address, self.stops(number))

    def stops(self, number: int) -> Callable[[bytes], bool]:
        def stop(key: bytes) -> bool:
            if key in self.live:
                self.stopped[number].append(key)
            return key in self.live

        return stop

    def made(self, number: int, size: int = SHORT) -> bytes:
        """The key of a live session."""
        key = self.cancels[number].keys.make(size)
        self.live.add(key)
        return key

    async def hear(self) -> None:
        for number, one in self.cancels.items():
            one.listen(self.stops(number))
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


def serves(database: Engine, desk: Desk, number: int) -> None:
    """A process of this replica has a session."""
    process = f"{desk.cancels[number].keys.replica}/{number}"
    with writing(database) as connection:
        store.open_session(connection, session=make.session(), role="shop_app", process=process)


def rows(database: Engine) -> int:
    with database.connect() as connection:
        return store.count_cancels(connection)


@pytest.mark.parametrize("size", [SHORT, LONG, 16])
def test_a_key_has_its_size_is_genuine_and_is_never_made_twice(size: int) -> None:
    keys = Keyring(SECRET, "1", 3)
    made = {keys.make(size) for _ in range(100)}
    assert len(made) == 100
    assert all(len(key) == size and keys.genuine(key) and key[1] == 3 for key in made)


def test_a_long_key_changed_in_any_bit_is_not_genuine() -> None:
    keys = Keyring(SECRET, "1", 3)
    key = keys.make(LONG)
    for place in range(LONG * 8):
        changed = bytearray(key)
        changed[place // 8] ^= 1 << place % 8
        assert not keys.genuine(bytes(changed))


def test_what_is_no_key_is_not_genuine() -> None:
    keys, key = Keyring(SECRET, "1", 3), Keyring(SECRET, "1", 3).make(LONG)
    for made_up in (b"", b"\0", bytes(7), bytes(9), key[:-2], key[: SHORT + 2], key + bytes(2), bytes(10_000)):
        assert not keys.genuine(made_up)
    assert not Keyring(bytes(32), "1", 3).genuine(key)


def test_a_key_of_this_process_stops_here_and_one_of_another_is_handed_over(here: Desk) -> None:
    own, other = here.made(1), here.made(2, LONG)
    here.ask(1, own)
    here.ask(1, other)
    assert here.stopped == {1: [own], 2: []}


async def test_what_is_handed_over_arrives_at_its_process(here: Desk) -> None:
    keys = [here.made(2), here.made(2, LONG)]
    for key in keys:
        here.ask(1, key)
    await here.hear()
    assert here.stopped == {1: [], 2: keys}


async def test_made_up_long_keys_are_neither_handed_over_nor_written(here: Desk, database: Engine) -> None:
    for home in range(256):
        here.ask(1, bytes([home, 2]) + secrets.token_bytes(LONG - 2) if home % 2 else bytes([home, 1]) + bytes(LONG - 2))
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
    key = here.made(2, LONG)
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
    assert rows(database) == 0, "nobody has a session there"
    serves(database, there, 2)
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
            here.ask(1, there.make(LONG))
        await here.exchange(1)
    assert rows(database) == KEPT
    here.now += (KEPT_SECONDS + 1) * SECOND
    here.ask(1, there.make(LONG))
    await here.exchange(1)
    assert rows(database) == 1


async def test_a_look_at_other_replicas_that_finds_nothing_writes_nothing(here: Desk, database: Engine) -> None:
    begun: list[str] = []
    event.listen(database, "begin", lambda connection: begun.append(str(connection.get_execution_options())))
    await here.exchange(1)
    assert len(begun) == 1
    assert "gatebook_writes" not in begun[0]


# Guesses ------------------------------------------------------------------------------------------------------------------


def made_up(here: Desk, process: int) -> bytes:
    return bytes([here.cancels[1].keys.home, process]) + secrets.token_bytes(6)


def test_keys_of_sessions_that_are_over_are_good_for_no_other(here: Desk) -> None:
    """Whoever collects keys of his own learns nothing about those of others: all but their first two bytes is chance."""
    mine = {here.cancels[1].keys.make() for _ in range(1_000)}
    assert len({key[2:5] for key in mine}) > 990
    assert len({key[5:] for key in mine}) > 990


async def test_who_sent_too_many_wrong_keys_is_not_looked_at_until_the_next_minute(here: Desk) -> None:
    live, elsewhere = here.made(1), here.made(2)
    for _ in range(EACH):
        here.ask(1, made_up(here, 1))
    for key in (live, elsewhere):
        here.ask(1, key)
        here.ask(2, key)
    await here.hear()
    assert here.stopped == {1: [], 2: []}, "of this address, at neither process"
    here.ask(1, live, THERE)
    assert here.stopped[1] == [live], "others are not held against"
    here.now += MINUTE
    here.ask(1, live)
    assert here.stopped[1] == [live, live]


async def test_wrong_keys_that_are_handed_over_count_for_who_sent_them(here: Desk) -> None:
    for _ in range(EACH):
        here.ask(1, made_up(here, 2))
        await here.hear()
    key = here.made(1)
    here.ask(1, key)
    assert here.stopped[1] == []
    here.ask(1, key, THERE)
    assert here.stopped[1] == [key]


async def test_wrong_keys_for_other_replicas_and_for_nobody_count_too(here: Desk, database: Engine) -> None:
    away = Keyring(SECRET, away_from(here.cancels[1].keys), 1)
    for number in range(3 * EACH):
        here.ask(1, away.make() if number % 2 else made_up(here, 9))
    await here.exchange(1)
    assert rows(database) <= EACH / 2
    key = here.made(1)
    here.ask(1, key)
    assert here.stopped[1] == []


def test_from_however_many_addresses_guesses_have_a_limit_in_all(here: Desk) -> None:
    for number in range(ALL):
        here.ask(1, made_up(here, 1), f"10.{number % 200}.{number // 200}.1")
    key = here.made(1)
    here.ask(1, key, THERE)
    assert here.stopped[1] == []
    long = here.made(1, LONG)
    here.ask(1, long, THERE)
    assert here.stopped[1] == [long], "a long key cannot be guessed, so it is looked at whatever others do"


def test_addresses_of_one_ipv6_network_are_one(here: Desk) -> None:
    for number in range(EACH):
        here.ask(1, made_up(here, 1), f"2001:db8:1:2::{number:x}")
    key = here.made(1)
    here.ask(1, key, "2001:db8:1:2:ffff::1")
    assert here.stopped[1] == []
    for address in ("2001:db8:1:3::1", "::ffff:192.0.2.9", "fe80::1%eth0", ""):
        here.ask(1, key, address)
    assert here.stopped[1] == [key] * 4


def test_right_keys_are_never_held_against_anybody(here: Desk) -> None:
    keys = [here.made(1) for _ in range(3 * EACH)]
    for key in keys:
        here.ask(1, key)
    assert here.stopped[1] == keys


def test_what_was_not_looked_at_is_told_once_a_minute_with_its_number(here: Desk) -> None:
    guesses = here.cancels[1].guesses
    for _ in range(EACH):
        here.ask(1, made_up(here, 1))
    assert guesses.told() is None, "wrong keys alone are no news: some come too late"
    for _ in range(5):
        here.ask(1, made_up(here, 1))
    told = guesses.told()
    assert told is not None
    assert (told.dropped, told.address) == (5, HERE)
    assert HERE not in str(told), "the book has addresses as commitments"
    here.ask(1, made_up(here, 1))
    assert guesses.told() is None
    here.now += MINUTE
    later = guesses.told()
    assert later is not None
    assert later.dropped == 1
