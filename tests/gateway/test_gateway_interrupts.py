"""A cancel request on its way to the target: what its client asks for meanwhile waits, and is lost with its session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.gateway.rigs import WRITES, Rig
from tests.gateway.test_gateway_shortcut import batch

from gatebook.protocols.postgres import wire

CANCEL = wire.cancel_request(b"srvrkey!")


class SlowTarget:
    """Takes cancel requests, and closes their connections when it is told to."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.open: list[asyncio.Transport] = []

    async def start(self) -> SlowTarget:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Taken(self), "127.0.0.1", 0)
        return self

    def close_all(self) -> None:
        while self.open:
            self.open.pop().close()

    def facts(self) -> Any:
        address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return SimpleNamespace(
            name="shop", target=SimpleNamespace(name="shop"), address=address, tls=SimpleNamespace(mode="disable", name="")
        )

    async def end(self) -> None:
        self.close_all()
        self._server.close()
        await until(lambda: not self._server.is_serving())


class _Taken(asyncio.Protocol):
    def __init__(self, target: SlowTarget) -> None:
        self._target = target

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._target.open.append(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._target.came.append(data)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  # of what is true inside of the gateway no event tells
            await asyncio.sleep(0.001)


async def running(folder: Path, target: SlowTarget) -> Rig:
    """A session that has a write under way, of which a cancel request is on its way."""
    rig = await Rig(folder, lane=False).open()
    await rig.prepare(writes=WRITES)
    await rig.send(batch("writes", b"1"))
    rig.connection._target, rig.gateway.trust = target.facts(), None  # type: ignore[attr-defined]
    rig.holds = True
    await rig.send(batch("writes", b"2"))
    rig.connection.cancel()
    await until(lambda: len(target.came) == 1)
    return rig


async def ask(rig: Rig, value: bytes) -> None:
    """Ask for a write, and wait until it is allowed, which is when it waits for its way to the target."""
    rig.connection.data_received(batch("writes", value))
    await until(lambda: any(value in one for one in rig.connection._to_target))


async def test_what_is_asked_meanwhile_goes_once_the_target_has_heard(tmp_path):
    target = await SlowTarget().start()
    rig = await running(tmp_path, target)
    await ask(rig, b"3")
    assert rig.target.came == []
    target.close_all()
    await until(lambda: bool(rig.target.came))
    assert b"\0\0\0\x013" in b"".join(rig.target.came)
    assert target.came == [CANCEL]
    await rig.close()
    await target.end()


async def test_what_waits_does_not_go_with_a_session_that_ends(tmp_path):
    target = await SlowTarget().start()
    rig = await running(tmp_path, target)
    await ask(rig, b"3")
    rig.connection.end("the token was revoked")
    assert b"".join(rig.target.came) in (b"", wire.TERMINATE)
    target.close_all()
    await rig.close()
    assert b"".join(rig.target.came) in (b"", wire.TERMINATE)
    await target.end()


async def test_what_waits_can_be_cancelled_too_and_one_at_a_time_is_on_its_way(tmp_path):
    target = await SlowTarget().start()
    rig = await running(tmp_path, target)
    for _ in range(50):
        rig.connection.cancel()
    await ask(rig, b"3")
    for _ in range(50):
        rig.connection.cancel()
    assert len(target.came) == 1
    target.close_all()
    await until(lambda: len(target.came) == 2)
    assert b"\0\0\0\x013" in b"".join(rig.target.came)
    target.close_all()
    await rig.close()
    assert target.came == [CANCEL, CANCEL]
    await target.end()
