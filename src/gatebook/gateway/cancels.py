"""CancelRequests that arrive at one process for a session of another.

A client gets a cancel key when its session opens, and sends it on a connection of its own, which may reach any process. So the
key says where its session lives (replica and process). A long one carries a proof that a gateway of this deployment made it:
what was made up is dropped where it arrives, before anything is handed on, written or compared. A short one has no room for a
proof beside enough chance: with half of its bits for either, who has had keys of his own could try them on later sessions. It
is all chance instead, and how many wrong ones are looked at has a limit (``guesses.py``). For another process of this replica
it goes through a socket pair that only this process tree has; for another replica it becomes a row there, keyed so that the
database holds no cancel key, at most ``KEPT`` of them and ``WAITING`` a poll.

A key that nobody has does nothing and says nothing; and a hand-over that does not fit is dropped: the client may ask again.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gatebook.db import writing
from gatebook.gateway import lookout, store
from gatebook.gateway.guesses import Guesses
from gatebook.gateway.tally import BUCKETS

SHORT, LONG = 8, 36  # bytes of a key: what protocol 3.0 has room for, and what PostgreSQL itself makes for 3.2
HEAD = 2  # bytes of a key: replica, process
BUCKET = 4  # bytes before a key that is handed over: where the asker's address is counted
WAITING = 64  # for other replicas, between two polls
KEPT = 1_000  # rows: more cancel requests than this at once are no cancel requests
KEPT_SECONDS = 30  # whoever asked has given up by then
AT_ONCE = 256  # hand-overs taken in one turn of the loop

log = structlog.get_logger("gatebook.gateway")


@dataclass(frozen=True, slots=True)
class Keyring:
    """Makes the cancel keys of one process's sessions and tells whose a key is. ``secret`` is the deployment's.

    A key: a byte for the replica, a byte for the process, then random bytes; in all but the shortest, half of these are proof.
    """

    secret: bytes
    replica: str
    process: int

    def make(self, size: int = SHORT) -> bytes:
        """A new key of ``size`` bytes, even and at least ``SHORT``."""
        head = bytes([self.home, self.process])
        if size == SHORT:
            return head + secrets.token_bytes(SHORT - HEAD)
        begun = head + secrets.token_bytes((size - HEAD) // 2)
        return begun + self._proof(begun)

    def genuine(self, key: bytes) -> bool:
        """Whether a gateway of this deployment made the key; of a short one nobody can tell."""
        if not SHORT <= len(key) <= LONG or len(key) % 2:
            return False
        if len(key) == SHORT:
            return True
        end = HEAD + (len(key) - HEAD) // 2
        return hmac.compare_digest(self._proof(key[:end]), key[end:])

    @property
    def home(self) -> int:
        """The replica's byte. Two replicas may share one: then both look, and one has the session."""
        return hmac.digest(self.secret, b"replica\0" + self.replica.encode(), "sha256")[0]

    def digest(self, key: bytes) -> bytes:
        """What a row says instead of the key."""
        return hmac.digest(self.secret, b"row\0" + key, "sha256")

    def _proof(self, begun: bytes) -> bytes:
        return hmac.digest(self.secret, b"key\0" + begun, "sha256")[: len(begun) - HEAD]


class Cancels:
    """Brings cancel keys to the process that has the session. Used from one event loop; the database from its threads.

    ``inbox`` is this process's end, ``others`` are the ends towards the other processes, all without blocking; ``stop`` gets a
    key for a session of this process, or one for which it knows by ``digest``, and says whether there was one.
    """

    def __init__(
        self,
        keys: Keyring,
        inbox: socket.socket,
        others: Mapping[int, socket.socket],
        engine: Engine,
        clock: Callable[[], int],
        guesses: Guesses,
    ) -> None:
        self.keys, self.guesses = keys, guesses
        self._inbox, self._others, self._engine, self._clock = inbox, others, engine, clock
        self._abroad: deque[bytes] = deque(maxlen=WAITING)

    def ask(self, key: bytes, address: str, stop: Callable[[bytes], bool]) -> None:
        """Somebody at this address wants the session with this key stopped."""
        if not self.keys.genuine(key) or (len(key) == SHORT and not self.guesses.allow(address)):
            return
        home, process, bucket = key[0], key[1], self.guesses.bucket(address)
        if home == self.keys.home and process == self.keys.process:
            self._try(key, bucket, stop)
        elif home == self.keys.home and process in self._others:
            try:
                self._others[process].send(bucket.to_bytes(BUCKET) + key)
            except OSError as error:  # full, or nobody is there
                self._miss(key, bucket)
                log.warning("a cancel request was not handed over", process=process, why=error.strerror or str(error))
        else:
            self._miss(key, bucket)
            if home != self.keys.home:
                self._abroad.append(key)

    def _try(self, key: bytes, bucket: int, stop: Callable[[bytes], bool]) -> None:
        if not stop(key):
            self._miss(key, bucket)

    def _miss(self, key: bytes, bucket: int) -> None:
        if len(key) == SHORT:
            self.guesses.missed(bucket)

    def listen(self, stop: Callable[[bytes], bool]) -> None:
        """Take what other processes hand over, from now on."""
        asyncio.get_running_loop().add_reader(self._inbox, self._take, stop)

    def deaf(self) -> None:
        """Take nothing more."""
        asyncio.get_running_loop().remove_reader(self._inbox)

    def _take(self, stop: Callable[[bytes], bool]) -> None:
        for _ in range(AT_ONCE):
            try:
                said = self._inbox.recv(BUCKET + LONG + 1)
            except BlockingIOError:
                return
            bucket, key = int.from_bytes(said[:BUCKET]) % BUCKETS, said[BUCKET:]
            if self.keys.genuine(key):
                self._try(key, bucket, stop)

    async def exchange(self, stop: Callable[[frozenset[bytes]], frozenset[bytes]]) -> None:
        """Write down what is for other replicas, and stop what they ask for.

        ``stop`` gets digests of keys and says which of them were of sessions here: two replicas may share a byte.
        """
        try:
            found = await lookout.ask(self._asked)
            done = stop(found) if found else found
            if self._abroad or done:
                sent = [self._abroad.popleft() for _ in range(len(self._abroad))]
                await asyncio.to_thread(self._write, sent, done)
        except SQLAlchemyError as error:
            log.error("cancel requests cannot be exchanged with other replicas", why=str(error))

    def _homes(self, connection: Connection) -> Iterator[int]:
        """The bytes of replicas that have live sessions: a short key of any other was made up."""
        for process in store.live_processes(connection):
            yield replace(self.keys, replica=process.partition("/")[0]).home

    def _asked(self) -> frozenset[bytes]:
        with self._engine.connect() as connection:
            return frozenset(store.cancels_for(connection, self.keys.home, self.keys.process))

    def _write(self, sent: list[bytes], done: frozenset[bytes]) -> None:
        now = self._clock()
        with writing(self._engine) as connection:
            store.forget_cancels(connection, before=now - KEPT_SECONDS * 1_000_000)
            room = KEPT - store.count_cancels(connection)
            homes = frozenset(self._homes(connection)) if sent else frozenset()
            for key in [key for key in sent if len(key) > SHORT or key[0] in homes][: max(0, room)]:
                store.add_cancel(connection, digest=self.keys.digest(key), home=key[0], process=key[1], at=now)
            for digest in done:
                store.remove_cancel(connection, digest)
