"""Time never goes back and never stands still, whatever happens to the system's clock."""

from gatebook.gateway.clock import Clock

SECOND = 1_000_000_000


class Machine:
    def __init__(self) -> None:
        self.wall = 1_800_000_000 * SECOND
        self.monotonic = 5 * SECOND
        self.clock = Clock(lambda: self.wall, lambda: self.monotonic)

    def passes(self, seconds: int, *, wall: int | None = None) -> int:
        self.monotonic += seconds * SECOND
        self.wall += (seconds if wall is None else wall) * SECOND
        return self.clock()


def test_time_goes_on_with_the_system_clock() -> None:
    machine = Machine()
    begun = machine.clock()
    assert machine.passes(10) - begun == 10_000_000


def test_a_clock_set_back_prolongs_nothing() -> None:
    machine = Machine()
    begun = machine.clock()
    assert machine.passes(1, wall=-3600) - begun == 1_000_000
    assert machine.passes(60) - begun == 61_000_000


def test_a_clock_set_forward_counts_at_once() -> None:
    machine = Machine()
    begun = machine.clock()
    assert machine.passes(1, wall=3600) - begun == 3_600_000_000
