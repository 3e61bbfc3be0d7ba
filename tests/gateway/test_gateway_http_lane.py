"""What goes past codec, relay and exchange leaves behind what it would have by them: bytes, book, rows and recording."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.gateway.http_rigs import IDS, TIGHTER, Rig, get
from tests.ledger.books import FailingDisk, entries, intact

from gatebook.gateway.http.shortcut import HELD_BYTES, TICKETS
from gatebook.model import Reach
from gatebook.protocols.http.terms import Injected

PATHS = (
    "/json", "/card", "/dated", "/image", "/text", "/none", "/gone", "/away", "/home", "/chunks", "/close", "/broken", "/odd",
    "/more", "/old", "/login", "/part", "/long", "/large", "/early", "/switching", "/junk", "/iam/users", "/JSON", "/a?b=c",
    "/..;/iam", "/audited", "/twice", "/echoes", "/numbered",
)  # fmt: skip
REQUESTS = (
    get(),
    get("/json", "X-A: 1"),
    get("/json", "x-a: 1"),
    get("/json", "X-A: 2", "X-A: 1"),
    get("/json", "X-A: 1", "X-A: 2"),
    get(token="two"),
    get(token="nobody"),
    get(method="HEAD"),
    get(method="OPTIONS"),
    get(method="POST"),
    get("/json", "Content-Type: application/json", body=b"{}"),
    get("/json", "Content-Type: application/json", body=b"[]"),
    get("/json", "Connection: close"),
    get("/json", "Connection: keep-alive, x-a", "X-A: 1"),
    get("/json", "Expect: 100-continue"),
    get("/json", "Range: bytes=0-1"),
    get("/json", "Upgrade: h2c", "Connection: upgrade"),
    get("/json", "Upgrade: websocket", "Connection: upgrade"),
    get("/json", "Gatebook-Why: ticket-7"),
    get().replace(b"HTTP/1.1", b"HTTP/1.0"),
    get().replace(b"gate:1", b"api.targets.example.org").replace(b"/http/api", b""),
    get() + get("/card"),
    get() * 3,
    b"\r\n" + get(),
    get()[:-1],
    get().replace(b"\r\n", b"\n"),
    get("/json", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    get("/json", "Authorization: Bearer two"),
)
SAME: list[bytes | str] = [get()] * 4


def happen(rig: Rig, what: str) -> None:
    """Something that is no bytes of a client."""
    match what:
        case "tick":
            for session in rig.sessions.values():
                session.tick()
        case "late":
            rig.gateway.clock.ahead += 600_000
        case "minute":
            rig.gateway.clock.ahead += 61_000_000
        case "hours":
            rig.gateway.clock.ahead += 2 * 3_600_000_000
        case "granted":
            rig.gateway.granted.now = None if rig.gateway.granted.now else Reach.READ
        case "checked":
            for session in rig.sessions.values():
                session.check_grants()
        case "policy":
            rig.gateway.judge(TIGHTER)
        case "erased":
            rig.gateway.commitments.erased += 1  # as if a salt were; entries must stay comparable
        case "shown":
            rig.http.credentials.injected = Injected(((b"x-key", b"another-0815"),), (b"another-0815",))
        case "unreadable":
            rig.http.credentials.gone = not rig.http.credentials.gone
        case "hold" | "go":
            rig.holds = what == "hold"
        case "down":
            rig.down = not rig.down
        case "kill":
            rig.sessions["one"].end("an operator wants it")
        case "gone":
            rig.connection.connection_lost(None)
            rig.connect()
        case "half closed":
            rig.connection.eof_received()
        case "full":
            rig.connection.pause_writing()
            rig.connection.resume_writing()
        case "another":
            rig.connect()
        case "target gone" | "target full":
            for server in [one for one in rig.servers if not one.closed]:
                if what == "target full":
                    server.upstream.pause_writing()
                    server.upstream.resume_writing()
                else:
                    server.closed = True
                    server.owed.clear()
                    server.upstream.connection_lost(None)
        case "stuck" | "free":
            rig.gateway.book.stuck = what == "stuck"
        case "stop":
            rig.connection.stop()


async def told(folder: Path, steps: list[bytes | str], cuts: list[int], back: list[int], *, lane: bool) -> tuple[object, ...]:
    """All that connections of these steps leave behind."""
    rig = await Rig(folder, lane=lane).open()
    for step in steps:
        if isinstance(step, str):
            happen(rig, step)
            await rig.settle(back)
        else:
            await rig.send(step, cuts, back)
    rig.holds = False
    await rig.settle(back)
    rows = [(*key, row.status, row.rows, row.text_, row.decided) for key, row in rig.gateway.rows._actions.items()]
    sizes = [(one.sent, one.received, one.ended) for one in rig.sessions.values()]
    await rig.close()
    for recorder in rig.recorders.values():
        recorder.close("")
    intact(folder / "ledger")
    recorded = [rig.recorded(name) for name in IDS]
    return rig.shown, rig.heard, rig.written(), recorded, sorted(map(str, rows)), sizes


def both(steps: list[bytes | str], cuts: list[int], back: list[int]) -> tuple[tuple[object, ...], tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        return (
            asyncio.run(told(Path(one), steps, cuts, back, lane=True)),
            asyncio.run(told(Path(other), steps, cuts, back, lane=False)),
        )


WHILE_IT_LANDS = ("late", "minute", "policy", "kill", "gone", "half closed", "full", "target gone", "stop")
WHILE_DUE = (
    "late", "minute", "hours", "granted", "policy", "erased", "shown", "kill", "gone", "half closed", "full", "target gone",
    "target full", "stop",
)  # fmt: skip
STORIES: dict[str, list[bytes | str]] = {
    "the same again": [*SAME, *SAME],
    "every answer": [one for path in PATHS for one in [*[get(path)] * 5, "another"]],
    "every answer without content": [
        get(path, method="HEAD") for path in ("/json", "/none", "/image", "/gone") for _ in range(5)
    ],
    "every other request": [*SAME, *REQUESTS, *SAME],
    "every request again and again": [one for request in REQUESTS for one in [request, "another"] * 4],
    "two who take turns": [get(), get(token="two")] * 5,
    "time passes": [*SAME, "minute", *SAME, "hours", *SAME],
    "a grant comes and goes": [*SAME, "granted", *SAME, "granted", "checked", *SAME],
    "another policy": [*SAME, "policy", *SAME],
    "a salt is erased": [*SAME, "erased", *SAME],
    "another credential": [*SAME, "shown", *SAME],
    "a credential that cannot be read": [*SAME, "unreadable", get(), "unreadable", *SAME],
    "a session that ended": [*SAME, "kill", *SAME],
    "a target that went away": [*SAME, "target gone", *SAME, "target gone", "down", get(), "down", *SAME],
    "content that is another": [
        get("/json", "Content-Type: application/json", body=one) for one in (b"{}", b"[]", b"{}", b"{}")
    ],
    "one behind the other": [*SAME, get() * 3, get() + get("/card"), *SAME],
    "more comes while an answer is due": [*SAME, "hold", get(), get("/card"), get()[:30], get()[30:], "go", *SAME],
    "what is no HTTP comes while an answer is due": [*SAME, "hold", get(), b"\0\1\r\n\r\n", "go"],
    "more comes while an answer waits for the disk": [
        *[get("/large")] * 4,
        *SAME,
        "stuck",
        get("/large"),
        get() + get("/card"),
        get()[:30],
        "free",
        get()[30:],
        *SAME,
    ],
    **{
        f"{what} while an answer waits for the disk": [
            *[get("/large")] * 4,
            "stuck",
            get("/large"),
            what,
            "tick",
            "free",
            *SAME,
        ]
        for what in WHILE_IT_LANDS
    },
    **{f"{what} while an answer is due": [*SAME, "hold", get(), what, "tick", "go", *SAME] for what in WHILE_DUE},
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize(("cuts", "back"), [([], []), ([20], [7, 60, 120])])
def test_what_is_left_behind_is_the_same(story, cuts, back):
    one, other = both(STORIES[story], cuts, back)
    assert one == other


EVENTS = st.sampled_from(["tick", "another", "hold", "go", *WHILE_DUE[:-1], "unreadable", "checked", "down"])
ANY = st.sampled_from(REQUESTS) | st.sampled_from(PATHS).map(get) | st.just(get())
STEPS = st.lists(ANY | st.just(get()) | EVENTS, min_size=1, max_size=14)


@pytest.mark.timeout(400)  # each story waits for what comes late, on a busy machine for longer
@settings(max_examples=25, deadline=None)
@given(STEPS, st.lists(st.integers(0, 200), max_size=2), st.lists(st.integers(0, 200), max_size=3), st.booleans())
@example([get()], [], [83], True)
def test_whatever_comes_what_is_left_behind_is_the_same(steps, cuts, back, cut):
    one, other = both([*SAME, *steps], cuts if cut else [], back if cut else [])
    assert one == other


async def ready(folder: Path, disk: FailingDisk | None = None) -> Rig:
    """A client whose next request goes past the relay."""
    rig = await Rig(folder, lane=True, disk=disk).open()
    for _ in range(3):
        await rig.send(get())
    return rig


async def test_what_came_before_goes_past_the_relay_and_nothing_else_does(tmp_path):
    rig = await ready(tmp_path)
    before = rig.taken
    assert before > 0
    for _ in range(3):
        await rig.send(get())
    assert rig.taken == before + 3
    for other in (get("/JSON"), get("/json", "X-A: 1"), get(token="two"), get(method="HEAD"), get() * 2):
        await rig.send(other)
    assert rig.taken == before + 3
    await rig.close()


async def test_answers_that_differ_in_a_date_and_an_id_alone_have_their_heads_read_once_and_each_its_own(tmp_path):
    rig = await Rig(tmp_path, lane=True).open()
    for _ in range(8):
        await rig.send(get("/audited"))
    assert rig.taken >= 5
    ids = re.findall(rb"audit-id: ([0-9a-f-]{36})", rig.shown[0].lower())
    assert len(set(ids)) == len(ids) == 8
    (ticket,) = rig.sessions["one"].tickets._kept.values()
    assert len(ticket.answers._heads) == 1
    await rig.close()


@pytest.mark.parametrize(
    "what", ["minute", "hours", "granted", "policy", "erased", "shown", "unreadable", "kill", "target gone"]
)
async def test_nothing_goes_past_the_relay_once_what_it_rests_on_is_another(tmp_path, what):
    rig = await ready(tmp_path)
    before = rig.taken
    happen(rig, what)
    await rig.send(get())
    assert rig.taken == before
    await rig.close()


@pytest.mark.parametrize("path", ["/iam/users", "/..;/iam", "/a%2fb"])
async def test_what_the_policy_does_not_let_go_never_goes_past_it(tmp_path, path):
    rig = await Rig(tmp_path, lane=True).open()
    for _ in range(5):
        await rig.send(get(path))
    assert rig.taken == 0
    assert rig.heard == b""
    await rig.close()


async def test_what_writes_waits_for_the_disk_and_never_goes_past_the_relay(tmp_path):
    rig = await Rig(tmp_path, lane=True).open()
    for _ in range(5):
        await rig.send(get(method="POST"))
    assert (rig.taken, rig.answers) == (0, 5)
    await rig.close()


async def test_another_connection_of_the_session_has_its_tickets(tmp_path):
    rig = await ready(tmp_path)
    rig.connect()
    await rig.send(get("/card"))
    await rig.send(get())
    assert rig.taken == 1
    await rig.close()


async def test_the_ticket_of_one_is_nothing_to_the_other(tmp_path):
    rig = await ready(tmp_path)
    heard = rig.heard
    for _ in range(3):
        await rig.send(get(token="two"))
    await rig.send(get(token="nobody"))
    told = rig.heard.removeprefix(heard)
    assert told.count(IDS["two"].encode()) == 3
    assert IDS["one"].encode() not in told
    assert rig.shown[0].endswith(b"}")
    assert b"401 Unauthorized" in rig.shown[0]
    await rig.close()


async def test_a_value_that_is_covered_is_covered_past_the_relay_too(tmp_path):
    rig = await Rig(tmp_path, lane=True).open()
    for _ in range(6):
        await rig.send(get("/card"))
        await rig.send(get("/json"))
    assert rig.taken >= 6
    assert b"4111" not in b"".join(rig.shown)
    assert b"123-45-6789" not in b"".join(rig.shown)
    await rig.close()


@pytest.mark.parametrize("fails", ["write", "kept"])
async def test_where_the_book_cannot_be_written_nothing_is_sent(tmp_path, fails):
    disk = FailingDisk()
    rig = await ready(tmp_path, disk)
    heard, disk.error, disk.fails = rig.heard, errno.ENOSPC, fails
    await rig.send(get())
    assert rig.heard == heard
    assert b"the disk is full" in rig.shown[0]
    assert b" 503 " in rig.shown[0]
    disk.fails = None
    await rig.close()


async def test_where_the_answers_entry_cannot_be_written_the_answer_is_the_exchanges(tmp_path):
    disk = FailingDisk()
    rig = await ready(tmp_path, disk)
    rig.holds = True
    await rig.send(get())
    disk.fails, rig.holds = "write", False
    await rig.settle()
    assert rig.connection._shortcut.flight is None
    assert rig.gateway.book.failed
    disk.fails = None
    await rig.close()


@pytest.mark.parametrize("lane", [True, False])
async def test_what_cannot_be_recorded_does_not_leave_and_the_session_ends(tmp_path, lane):
    rig = await Rig(tmp_path, lane=lane).open()
    for _ in range(3):
        await rig.send(get())
    rig.holds = True
    await rig.send(get())
    assert (rig.connection._shortcut.flight is not None) == lane
    shown, rig.holds = rig.shown[0], False
    os.close(rig.recorders["one"]._file)
    rig.recorders["one"]._file = -1
    await rig.settle()
    told = rig.shown[0].removeprefix(shown)
    assert (b"the recording cannot be written" in told) == lane  # else its head had left already, and it was cut
    assert b"Ada Brown" not in told
    assert rig.sessions["one"].ended
    assert rig.http.sessions.find(rig.sessions["one"].key) is None
    await rig.close()


async def test_a_large_answer_goes_past_the_relay_and_its_rest_waits_for_the_disk(tmp_path):
    rig = await Rig(tmp_path, lane=True).open()
    for _ in range(4):
        await rig.send(get("/large"), back=[50_000])
    before, rig.gateway.book.stuck = rig.taken, True
    assert before > 0
    shown = len(rig.shown[0])
    await rig.send(get("/large"), back=[50_000])
    assert rig.taken == before + 1
    assert len(rig.shown[0]) < shown + 1_000
    assert rig.http.flying > 90_000
    rig.gateway.book.stuck = False
    await rig.settle()
    assert len(rig.shown[0]) > shown + 90_000
    assert rig.http.flying == 0
    await rig.close()


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
async def test_an_answer_whose_entry_the_disk_does_not_take_is_cut_and_never_looks_whole(tmp_path, lane, number):
    disk = FailingDisk()
    rig = await Rig(tmp_path, lane=lane, disk=disk).open()
    for _ in range(4):
        await rig.send(get("/large"))
    assert (rig.taken > 0) is lane
    shown, disk.error, disk.fails = len(rig.shown[0]), number, "sync"
    await rig.send(get("/large"))
    assert rig.gateway.book.failed
    assert rig.client.closed
    assert len(rig.shown[0]) < shown + 70_000
    assert rig.http.flying == 0
    disk.fails = None
    await rig.close()


@pytest.mark.parametrize("lane", [True, False])
async def test_an_answer_that_waits_while_the_log_closes_is_told_and_not_left_waiting(tmp_path, lane):
    rig = await Rig(tmp_path, lane=lane).open()
    for _ in range(4):
        await rig.send(get("/large"))
    rig.gateway.book.stuck = True
    await rig.send(get("/large"))
    assert rig.lands
    await asyncio.to_thread(rig.gateway.log.close)
    rig.gateway.book.stuck = False
    await rig.settle()
    assert not rig.lands
    await rig.close()


async def test_where_much_is_held_already_answers_are_passed_on_as_they_come(tmp_path):
    rig = await Rig(tmp_path, lane=True).open()
    for _ in range(4):
        await rig.send(get("/large"))
    rig.http.flying = before = HELD_BYTES
    rig.holds = True
    await rig.send(get("/large"))
    (server,) = [one for one in rig.servers if one.owed]
    server.upstream.data_received(server.owed[0][:20_000])
    assert rig.connection._shortcut.flight is None
    assert rig.connection._exchange is not None
    server.owed[0] = server.owed[0][20_000:]
    rig.holds = False
    await rig.settle()
    assert rig.http.flying == before
    assert rig.shown[0].count(b"x" * 90_000) == 5
    await rig.close()


async def test_what_is_long_on_its_way_gets_its_row_before_its_answer(tmp_path):
    rig = await ready(tmp_path)
    rig.holds = True
    await rig.send(get())
    number = IDS["one"], 4
    assert number not in rig.gateway.rows._actions
    happen(rig, "late")
    happen(rig, "tick")
    assert rig.gateway.rows._actions[number].status is None
    rig.holds = False
    await rig.settle()
    assert rig.gateway.rows._actions[number].status == "200"
    await rig.close()


async def test_a_revoked_token_ends_what_is_on_its_way(tmp_path):
    rig = await ready(tmp_path)
    rig.holds = True
    await rig.send(get())
    assert rig.connection._shortcut.flight is not None
    rig.sessions["one"].end("your gateway token was revoked")
    await rig.settle()
    rig.holds = False
    await rig.settle()
    assert b"your gateway token was revoked" in rig.shown[0]
    assert rig.shown[0].count(b"Ada Brown") == 3
    await rig.close()


async def test_tickets_have_an_end_and_hold_no_token(tmp_path):
    rig = await ready(tmp_path)
    for number in range(TICKETS + 10):
        await rig.send(get(f"/{number}"))
        await rig.send(get(f"/{number}"))
    kept = rig.sessions["one"].tickets
    assert 0 < len(kept._kept) <= TICKETS
    assert len(kept._seen) <= TICKETS
    assert "Bearer" not in repr(list(kept._kept.items()))
    await rig.close()


async def test_every_identifier_is_another_one_of_its_own_time(tmp_path):
    rig = await ready(tmp_path)
    for _ in range(50):
        await rig.send(get())
    assert rig.taken > 50 - 2
    await rig.close()
    found = [json.loads(entry) for entry in entries(tmp_path / "ledger")]
    made = [one["id"] for one in found] + [one["decision"] for one in found if "decision" in one]
    assert len(set(made)) == len(made) > 100
    assert all(re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in made)
    assert all(int(one["id"][:13].replace("-", ""), 16) == one["time"] // 1000 for one in found)
