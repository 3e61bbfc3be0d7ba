"""Sessions of real clients, damaged: bytes changed, cut, moved, repeated, lengths that lie, pieces out of order or of others.

    .venv/bin/python -m tests.fuzz.damage --seconds 600        # of CPU, or until something breaks

What must hold is what ``relays.Story`` says. A story that led the relay where none did is damaged further, so that a run gets
deeper the longer it takes. One that breaks is printed, and written where ``--keep`` says; ``--again FILE`` tells it once more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.fuzz.recorded import Step, recorded
from tests.fuzz.relays import Story

from gatebook.protocols.relay import Ask, Cancelled, Effect, Ended, FromClient, FromServer, HangUp, Held, Side, Signal, Stale

KEPT = 400  # stories that are damaged further
STEP_SECONDS = 2.0  # of CPU, for what one piece of bytes sets off
EVENTS: dict[str, Signal] = {
    "stale": Stale(),
    "cancel": Cancelled(),
    "end client": Ended(Side.CLIENT, "gone"),
    "end server": Ended(Side.SERVER, "gone"),
    "end gateway": Ended(Side.GATEWAY, "over"),
}
SIZES = (0, 1, 3, 4, 5, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 16 * 1024 * 1024)


class Retold(Story):
    """A recorded session, with verdicts as ``chance`` has them: nearly all yes. ``trace`` is where it led the relay."""

    def __init__(self, chance: Random, *, refuses: float) -> None:
        super().__init__(chance)
        self.refuses, self.trace, self.why = refuses, list[str](), ""

    def tell(self, steps: Sequence[Step]) -> None:
        self.opens()
        self.trace.clear()
        for what, data in steps:
            began = time.process_time()
            self.feed(FromClient(data) if what == "C" else FromServer(data) if what == "S" else EVENTS[what])
            while not self.over and (self.asked is not None or self.withdrawn is not None):
                self.feed(self.ruled())
            assert time.process_time() - began < STEP_SECONDS, f"{len(data)} bytes took too long"

    def ruled(self) -> Signal:
        if self.withdrawn is not None:
            undone, self.withdrawn = self.withdrawn, None
            return self.refused(undone)
        asked = self.asked
        assert asked is not None
        roll = self.chance.random()
        if roll < self.refuses:
            self.asked, self.held = None, False
            return self.refused(asked)
        if roll < 2 * self.refuses and not self.held:
            self.held = True
            return Held("ap-1", "needs-dba", "why", frozenset({"group:dba"}), "https://gate/approvals/ap-1", 300)
        self.asked, self.held = None, False
        return self.allowed(asked)

    def check(self, effect: Effect) -> None:
        super().check(effect)
        name = type(effect).__name__
        if isinstance(effect, HangUp):
            self.why = "".join("#" if letter.isdigit() else letter for letter in effect.why)[:60]
            name = self.why
        elif isinstance(effect, Ask):
            name = f"Ask {effect.action.verb}"
        if not self.trace or self.trace[-1] != name:
            self.trace.append(name)

    def answer(self, data: bytes, *, plain: bool = False) -> None:
        """What the server says is in the story."""


class Damage:
    """Makes stories of others. ``chance`` decides how."""

    def __init__(self, chance: Random, whole: Sequence[Sequence[Step]]) -> None:
        self.chance, self.whole = chance, whole

    def of(self, steps: Sequence[Step]) -> list[Step]:
        made = list(steps)
        for _ in range(self.chance.choice([1, 1, 2, 3, 8])):
            self._once(made)
        return made

    def _once(self, steps: list[Step]) -> None:
        chance = self.chance
        at = chance.randrange(len(steps) + 1)
        here = min(at, len(steps) - 1)
        match chance.randrange(9):
            case 0:
                steps.insert(at, (chance.choice(list(EVENTS)[: 2 if chance.random() < 0.8 else None]), b""))
            case 1 if len(steps) > 1:
                del steps[here]
            case 2:
                steps.insert(at, chance.choice(steps))
            case 3:
                steps.insert(at, chance.choice(chance.choice(self.whole)))
            case 4 if len(steps) > 1:
                other = chance.randrange(len(steps))
                steps[here], steps[other] = steps[other], steps[here]
            case 5:
                what, data = steps[here]
                cut = chance.randrange(len(data) + 1)
                steps[here : here + 1] = [(what, data[:cut]), (what, data[cut:])]
            case 6 | 7:
                steps[here] = steps[here][0], self._messages(steps[here][1])
            case _:
                steps[here] = steps[here][0], self._bytes(steps[here][1])

    def _bytes(self, data: bytes) -> bytes:
        chance = self.chance
        at = chance.randrange(len(data) + 1)
        end = min(at + chance.choice([1, 1, 2, 4, 16]), len(data))
        filler = chance.choice([chance.randbytes(end - at), bytes(end - at), b"\xff" * (end - at), chance.randbytes(3), b""])
        return data[:at] + filler + data[end:]

    def _messages(self, data: bytes) -> bytes:
        """One of its messages gone, twice, of another type, with another length, or with another number in it."""
        chance, found, at = self.chance, list[bytes](), 0
        while at + 5 <= len(data):
            end = at + 1 + max(int.from_bytes(data[at + 1 : at + 5]), 4)
            found.append(data[at:end])
            at = end
        if not found:
            return self._bytes(data)
        which = chance.randrange(len(found))
        one = found[which]
        size = chance.choice(SIZES).to_bytes(4)
        place = chance.randrange(5, len(one) + 1)
        found[which] = chance.choice(
            [
                b"",
                one * 2,
                bytes([chance.choice(b"CDEFGHIKNPQRSTVWXZdcfnpst123v?")]) + one[1:],
                one[:1] + size + one[5:],
                one[:place] + size[4 - chance.choice([2, 4]) :] + one[place:],
                one[:place] + size[2:] + one[place + 2 :],
                one[:1] + (place - 1).to_bytes(4) + one[5:place],
                one + chance.choice(found),
            ]
        )
        return b"".join(found) + data[at:]


def told(steps: Sequence[Step], seed: int) -> Retold:
    """Tell it. Raises AssertionError, or whatever the relay lets out."""
    story = Retold(Random(seed), refuses=0.03 if seed % 3 else 0.0)
    story.evil = 0.0
    story.tell(steps)
    return story


def explore(seed: int, seconds: float, stories: int) -> tuple[int, int]:
    """Damage and tell until the CPU's time or the number of stories is over; how many there were, and kinds of ends."""
    chance, whole = Random(seed), list(recorded().values())
    pool: list[Sequence[Step]] = [*whole]
    damage, seen, ends, number = Damage(chance, whole), set[int](), set[str](), 0
    end = time.process_time() + seconds
    while number < stories and time.process_time() < end:
        steps, own = damage.of(chance.choice(pool)), chance.getrandbits(32)
        try:
            story = told(steps, own)
        except BaseException as fault:
            raise BrokenError(own, steps) from fault
        number += 1
        ends.add(story.why)
        trace = hash(tuple(story.trace))
        if trace not in seen:
            seen.add(trace)
            if len(pool) < KEPT:
                pool.append(steps)
            else:
                pool[chance.randrange(len(whole), KEPT)] = steps
    return number, len(ends)


class BrokenError(AssertionError):
    """A story that breaks a promise."""

    def __init__(self, seed: int, steps: Sequence[Step]) -> None:
        super().__init__(f"seed {seed}")
        self.text = "".join([f"{seed}\n", *(f"{what.replace(' ', '_')} {data.hex()}\n" for what, data in steps)])


def _again(path: Path) -> None:
    first, *lines = path.read_text().splitlines()
    pairs = (line.partition(" ") for line in lines)
    told([(what.replace("_", " "), bytes.fromhex(data)) for what, _, data in pairs], int(first))


def main() -> int:
    """Explore until something breaks, or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--keep", type=Path, default=Path("damaged.hex"))
    parser.add_argument("--again", type=Path)
    given = parser.parse_args()
    if given.again is not None:
        _again(given.again)
        return 0
    try:
        number, ends = explore(given.seed, given.seconds, 10**9)
    except BrokenError as fault:
        given.keep.write_text(fault.text)
        sys.stderr.write(f"it broke; tell it again with --again {given.keep}\n")
        raise
    sys.stdout.write(f"{number} stories with {ends} kinds of ends, and each held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
