"""When a session of HTTP ends, how much it may ask for at once, and what is asked where a target has several origins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.gateway.http_rigs import Rig, get

from gatebook.config import HttpTarget
from gatebook.gateway.dial import Trust
from gatebook.gateway.http.sessions import AT_ONCE, IDLE_SECONDS
from gatebook.gateway.http.upstream import DialError, Origins, Pool

NOBODY = "http://127.0.0.1:1"


async def test_a_session_ends_two_minutes_after_its_last_request_and_not_before(tmp_path: Path) -> None:
    rig = await Rig(tmp_path, lane=False).open()
    session = rig.sessions["one"]
    await rig.send(get())
    session._used_at -= IDLE_SECONDS - 60
    session.tick()
    assert session.ended == ""
    await rig.send(get())
    session.tick()
    assert session.ended == "", "each request has it last anew"
    session._used_at -= IDLE_SECONDS + 1
    rig.holds = True
    await rig.send(get())
    session.tick()
    assert session.ended == "", "what is under way is waited for"
    rig.holds = False
    await rig.settle()
    session._used_at -= IDLE_SECONDS + 1
    session.tick()
    assert session.ended
    assert rig.http.find(session.key) is None
    await rig.close()
    (closed,) = [one for one in rig.written() if one["type"] == "session.close" and one["sid"] == session.session.id]
    assert "nothing was asked for a while" in str(closed)
    assert IDLE_SECONDS == 120


async def test_a_session_asks_for_no_more_than_a_thousand_things_at_once(tmp_path: Path) -> None:
    rig = await Rig(tmp_path, lane=False).open()
    session = rig.sessions["one"]
    under_way = [cast(Any, object()) for _ in range(AT_ONCE - 1)]
    for one in under_way:
        session.enter(one)
    await rig.send(get())
    assert b" 200 " in rig.shown[0]
    session.enter(cast(Any, object()))
    heard = rig.heard
    await rig.send(get())
    assert b" 429 " in rig.shown[0]
    assert rig.heard == heard, "it goes no further"
    session.leave(under_way[0])
    await rig.send(get())
    assert rig.shown[0].count(b" 200 ") == 2


async def test_a_target_that_does_not_begin_its_answer_is_not_waited_for_without_end(tmp_path: Path) -> None:
    rig = await Rig(tmp_path, lane=False).open()
    rig.holds = True
    await rig.send(get())
    exchange = rig.connection._exchange
    assert exchange is not None
    errand = exchange._errand
    assert errand is not None
    assert errand._patience is not None
    errand._too_slow()
    assert b" 504 " in rig.shown[0]
    assert b"did not begin its answer within 300 s" in rig.shown[0]


@asynccontextmanager
async def listening() -> AsyncIterator[str]:
    """An origin that takes connections."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def target(*origins: str) -> HttpTarget:
    return HttpTarget.model_construct(name="api", protocol="http", origins=origins)


async def test_a_request_goes_to_an_origin_that_answers_wherever_it_stands_in_the_list() -> None:
    pool = Pool(Origins(cast(Trust, None)))
    async with listening() as one, listening() as other:
        found = [await pool.dial(target(NOBODY, one, other), "agent") for _ in range(6)]
        for each in found:
            each.close()
    assert {each.origin for each in found} == {one, other}


async def test_where_no_origin_answers_the_client_hears_which_target_it_is() -> None:
    with pytest.raises(DialError, match="target api "):
        await Pool(Origins(cast(Trust, None))).dial(target(NOBODY, NOBODY), "agent")
