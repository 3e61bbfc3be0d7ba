"""Stories that nobody would write: a relay between a client and a server who send what they like, whole, damaged, in any order.

    .venv/bin/python -m tests.fuzz.relays --seconds 600        # until something breaks or time is over

``Story`` plays one from a source of chance; a story that breaks prints the seed that tells it again. What must hold:

- nothing but WireError leaves the codec, and the relay turns that into HangUp, after which every signal is silent
- nothing goes to the server without the permit of this very action, or off the closed list of what the gateway says itself
- what a detector knows is never shown, whatever the server says
- what is kept has an end
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from random import Random

from tests.protocols.postgres.stage import (
    COVERING,
    KEYS,
    SECRET,
    SESSION,
    bind,
    cells,
    complete,
    description,
    error,
    parse,
    ready,
)

from gatebook.model import Action, Permit, Receipt, RefusalClass, Ruling, Verdict
from gatebook.policy.permit import permit
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.relay import OWN, PostgresRelay
from gatebook.protocols.relay import (
    Allowed,
    Ask,
    Cancelled,
    Credential,
    Effect,
    Ended,
    FromClient,
    FromServer,
    HangUp,
    Held,
    Opened,
    Own,
    Prove,
    Refused,
    Side,
    Signal,
    Stale,
    StartTls,
    ToClient,
    ToServer,
    Trying,
    Withdraw,
)

CARD = b"4242 4242 4242 4242"  # which a detector knows wherever it stands
_A_CARD = re.compile(rb"(?<![0-9A-Za-z])" + CARD + rb"(?![0-9A-Za-z])")  # else damage made another number of it
KEPT_BYTES = 200_000  # by a relay of one of these stories, whose messages are small
NAMES = ["", "", "s", "p", "gatebook", "x" * 63]
TEXTS = [
    "SELECT ssn FROM customers",
    "SELECT id FROM orders WHERE id = $1",
    "DELETE FROM orders",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1; SELECT ssn FROM customers; SELECT 2",
    "COPY customers TO STDOUT",
    "COPY orders FROM STDIN",
    "COPY orders FROM STDIN; SELECT 1",
    "PREPARE s AS SELECT ssn FROM customers",
    "EXECUTE s",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "DECLARE p CURSOR FOR SELECT ssn FROM customers",
    "FETCH 2 FROM p",
    "CLOSE p",
    "LISTEN news",
    "SET search_path = other",
    "SET application_name = 'x'",
    "SELECT set_config('application_name', 'x', false)",
    "SELECT unknown_function()",
    "not SQL at all (",
    "",
]
STARTS = [
    wire.startup({"user": "shop-agent", "database": "shop"}),
    wire.startup({"user": "oauth", "database": "shop", "_pq_.x": "y"}),
    wire.startup({"user": "shop-agent", "database": "shop", "options": "-c role=dba"}),
    wire.ssl_request(),
    wire.ssl_request() + b"x",
    wire.cancel_request(b"k" * 8),
    wire.message(b"p", b"token\0"),
]


class Story:
    """One relay and those around it. ``chance`` decides everything."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.relay = PostgresRelay(secure=True, offers_tls=chance.random() < 0.2, keys=KEYS, secret=SECRET)
        self.asked: Ask | None = None
        self.withdrawn: Ask | None = None  # which is undone before anything else is asked
        self.held = self.proving = self.over = False
        self.permits: list[Permit] = []
        self.owed: list[bytes] = []
        self.status = b"I"
        self.skipping = False
        self.index = 0
        self.evil = chance.choice([0.0, 0.0, 0.002, 0.02])  # how often somebody sends what he should not

    def play(self, steps: int) -> None:
        """Tell it. Raises AssertionError, or whatever the relay lets out."""
        if self.chance.random() < 0.85:
            self.opens()
        for _ in range(steps):
            self.feed(self.signal())
            if self.over:
                break
        if self.over:
            for _ in range(3):
                assert self.relay.feed(self.signal()) == []

    def opens(self) -> None:
        self.feed(FromClient(STARTS[0]))
        self.feed(FromClient(STARTS[-1]))
        self.feed(self.opened())
        self.owed.clear()
        self.feed(FromServer(wire.AUTHENTICATED + wire.message(b"K", b"srvrkey!") + ready()))

    def opened(self) -> Opened:
        self.proving = False
        return Opened(SESSION, Credential("shop_app", "pw", "shop", login="none"), COVERING)

    # What may happen next -------------------------------------------------------------------------------------------

    def signal(self) -> Signal:
        roll = self.chance.random()
        if roll < self.evil / 4:
            return Ended(self.chance.choice([Side.CLIENT, Side.SERVER, Side.GATEWAY]), "over")
        if roll < 0.04:
            return Stale()
        if roll < 0.06:
            return Cancelled()
        if self.proving and roll < 0.5:
            return self.opened()
        if self.withdrawn is not None and roll < 0.5:
            undone, self.withdrawn = self.withdrawn, None
            return self.refused(undone)
        if self.asked is not None and roll < 0.5:
            return self.verdict(self.asked)
        if self.owed and roll < 0.75:
            return FromServer(self.damaged(self.owed.pop(0), self.evil))
        if self.chance.random() < self.evil * 2:
            return FromServer(self.damaged(self.unasked(), self.evil))
        data = b"".join(self.request() for _ in range(self.chance.choice([1, 1, 2, 5])))
        return FromClient(self.damaged(data, self.evil))

    def verdict(self, ask: Ask) -> Signal:
        roll = self.chance.random()
        if roll < 0.05 and not self.held:
            return Trying()
        if roll < 0.1 and not self.held:
            self.held = True
            return Held("ap-1", "needs-dba", "why", frozenset({"group:dba"}), "https://gate/approvals/ap-1", 300)
        self.asked, self.held = None, False
        if roll < 0.25:
            return self.refused(ask)
        return self.allowed(ask)

    def allowed(self, ask: Ask) -> Allowed:
        verdict = Verdict(ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="d", masks=frozenset({"pii"}), until=10**18)
        self.index += 1
        given = permit(ask.action, verdict, Receipt(log="l", index=self.index))
        self.permits.append(given)
        return Allowed(given, verdict)

    @staticmethod
    def refused(ask: Ask) -> Refused:
        verdict = Verdict(ruling=Ruling.BLOCK, rule="no", reason="no", policy_digest="d")
        return Refused(ask.action, verdict, RefusalClass.NEVER, "d")

    def request(self) -> bytes:
        chance = self.chance
        name, text = chance.choice(NAMES), chance.choice(TEXTS)
        choices = [
            wire.query(text),
            wire.query(text),
            parse(name, text),
            parse(name, text),
            bind(chance.choice(NAMES), name, *[b"1"] * chance.randrange(2)),
            bind(chance.choice(NAMES), name),
            wire.execute(name),
            wire.execute(name),
            wire.message(b"E", name.encode() + b"\0\0\0\0\2"),
            wire.describe(chance.choice("SP"), name),
            wire.message(b"C", chance.choice([b"S", b"P"]) + name.encode() + b"\0"),
            wire.SYNC,
            wire.SYNC,
            wire.SYNC,
            wire.message(b"H"),
            wire.message(b"d", b"1\t" + CARD + b"\n"),
            wire.message(b"c"),
            wire.message(b"f", b"gave up\0"),
            wire.message(b"F", b"\0\0\0\1\0\0\0\0\0\0"),
            wire.message(b"F", b"\0\0\x03\xba\0\0\0\2\0\0\0\x011\0\0\0\x019\0\0"),  # loread(1, 9)
        ]
        return chance.choice(STARTS if chance.random() < self.evil else choices)

    def unasked(self) -> bytes:
        said = self.chance.choice(
            [
                wire.message(b"D", cells(CARD)),
                description(("ssn", 100, 2)),
                complete("SELECT 1"),
                ready(self.chance.choice([b"I", b"T", b"E"])),
                error("57P01", f"bye {CARD.decode()}", S="FATAL", V="FATAL"),
                wire.message(b"N", error("00000", f"by the way {CARD.decode()}")[5:]),
                wire.message(b"A", b"\0\0\0\1news\0card 4242 4242 4242 4242\0"),
                wire.message(b"S", b"application_name\0mine\0"),
                wire.message(b"S", b"standard_conforming_strings\0off\0"),
                wire.message(b"H", b"\0\0\2\0\0\0\0"),
                wire.message(b"G", b"\0\0\2\0\0\0\0"),
                wire.message(b"W", b"\0\0\2\0\0\0\0"),
                wire.message(b"d", b"1\t" + CARD + b"\n"),
                wire.message(b"s"),
                wire.message(b"I"),
                wire.message(b"V", b"\xff\xff\xff\xff"),
                wire.message(b"V", cells(CARD)[2:]),
            ]
        )
        return bytes(said)

    def damaged(self, data: bytes, odds: float) -> bytes:
        chance = self.chance
        if not data or chance.random() >= odds:
            return data
        at = chance.randrange(len(data))
        match chance.randrange(5):
            case 0:
                return data[:at]
            case 1:
                return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 2:
                return data[:at] + chance.randbytes(chance.randrange(9)) + data[at:]
            case 3:
                return data + data[at:]
            case _:
                return chance.randbytes(chance.randrange(40))

    # What must hold -------------------------------------------------------------------------------------------------

    def feed(self, signal: Signal) -> None:
        if isinstance(signal, Opened | Allowed | Refused | Held) and self.over:
            return
        for effect in self.relay.feed(signal):
            self.check(effect)
        kept = len(self.relay._client) + len(self.relay._server)
        assert kept < KEPT_BYTES or self.over, f"{kept} bytes are kept"

    def check(self, effect: Effect) -> None:
        assert not self.over, f"{effect!r} after the end"
        match effect:
            case ToServer(given, data):
                assert any(given is one for one in self.permits), "a permit that nobody gave"
                self.answer(data)
            case Own(kind, data):
                assert kind in OWN, kind
                self.answer(data, plain=kind in ("catalog", "tag"))
            case ToClient(data):
                assert not _A_CARD.search(_rows_and_reports(data)), data
            case Ask():
                assert (self.asked or self.withdrawn) is None, "a second question before the answer to the first"
                self.asked, self.held = effect, False
                assert isinstance(effect.action, Action)
            case Prove():
                self.proving = True
            case HangUp():
                self.over = True
            case StartTls():
                assert self.relay
            case Withdraw():
                self.withdrawn, self.asked, self.held = self.asked, None, False
            case _:
                pass

    # A server that does as it should --------------------------------------------------------------------------------

    def answer(self, data: bytes, *, plain: bool = False) -> None:
        frames = wire.Frames(10**7)
        frames.add(data)
        for kind, body in frames.messages() if not data.startswith(b"\0") else ():
            found = complete("SELECT 0") if plain and kind == b"E" else self.answer_to(kind, body, fails=0.0 if plain else 0.05)
            if found:
                self.owed.append(found)

    def answer_to(self, kind: bytes, body: bytes, fails: float) -> bytes:
        if kind == b"S":
            self.skipping = False
            return ready(self.status)
        if kind == b"F" and not self.skipping:
            said = error("42704", "no such object") if self.chance.random() < fails else wire.message(b"V", cells(CARD)[2:])
            return said + ready(self.status)
        if kind == b"Q":
            self.status = self.chance.choice([b"I", b"I", b"T", b"E"])
            return self.result() + ready(self.status)
        if self.skipping or kind in (b"H", b"d", b"c", b"f", b"X"):
            return b""
        if (kind == b"E" and SECRET.encode() + b"\0" == body[: len(SECRET) + 1]) or self.chance.random() < fails:
            self.skipping = True
            return error("34000" if kind == b"E" else "42601", f"no such portal, {CARD.decode()}")
        simple = {b"P": wire.message(b"1"), b"B": wire.message(b"2"), b"C": wire.message(b"3")}
        if kind == b"D":
            described = description(("ssn", 100, 2)) if self.chance.random() < 0.7 else wire.message(b"n")
            return (wire.message(b"t", b"\0\0") if body[:1] == b"S" else b"") + described
        return simple.get(kind) or self.rows() + self.end()

    def result(self) -> bytes:
        if self.chance.random() < 0.2:
            return error("22012", f"division by {CARD.decode()}")
        return b"".join(
            description(("ssn", 100, 2)) + self.rows() + complete("SELECT 1") for _ in range(self.chance.choice([1, 1, 3]))
        )

    def rows(self) -> bytes:
        return wire.message(b"D", cells(CARD)) * self.chance.randrange(3)

    def end(self) -> bytes:
        return self.chance.choice([complete("SELECT 1"), complete("BEGIN"), wire.message(b"s"), wire.message(b"I")])


def _rows_and_reports(data: bytes) -> bytes:
    frames = wire.Frames(10**7)
    frames.add(data if data not in (b"N", b"S") else b"")
    return b"".join(body for kind, body in frames.messages() if kind in b"DENAdV")


def main() -> int:
    """Play stories until one breaks, or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="tell this one again")
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    end, number = time.monotonic() + given.seconds, 0
    seed = given.seed if given.seed is not None else time.time_ns()
    while time.monotonic() < end:
        try:
            Story(Random(seed)).play(given.steps)
        except BaseException:
            sys.stderr.write(f"seed {seed} breaks it, after {number} stories\n")
            raise
        if given.seed is not None:
            break
        seed, number = seed + 1, number + 1
    sys.stdout.write(f"{number} stories, and each held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
