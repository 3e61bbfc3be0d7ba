"""Who signs in from a bare ssh waits within limits, and whoever leaves gives their place back."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.identity.issuer import Clock

from gatebook.errors import IdentityError
from gatebook.gateway.ssh.device import BEGINNINGS, BUSY, WAITING, WAITING_OF_ONE, SignIns
from gatebook.identity.device import DeviceCode


class Client:
    def __init__(self) -> None:
        self.down = False

    async def begin(self) -> DeviceCode:
        if self.down:
            raise IdentityError("down")
        return DeviceCode("https://login.example.com/device", "WDJB-MJHT", "secret", 100.0, 5.0)


def sign_ins(client: Client, clock: Clock) -> SignIns:
    return SignIns(cast(Any, client), cast(Any, None), 3600, clock)


async def test_one_address_and_all_together_have_a_limit():
    clock = Clock()
    waiting = sign_ins(Client(), clock)
    first = [await waiting.begin("10.0.0.1") for _ in range(WAITING_OF_ONE)]
    with pytest.raises(IdentityError, match=BUSY):
        await waiting.begin("10.0.0.1")
    first[0].close()
    first[0].close()
    await waiting.begin("10.0.0.1")
    with pytest.raises(IdentityError, match=BUSY):
        await waiting.begin("10.0.0.1")
    for number in range(WAITING - WAITING_OF_ONE):
        clock.seconds += 60
        await waiting.begin(f"10.0.1.{number}")
    clock.seconds += 60
    with pytest.raises(IdentityError, match=BUSY):
        await waiting.begin("10.0.0.9")


async def test_the_provider_is_asked_for_so_many_codes_a_minute():
    clock = Clock()
    waiting = sign_ins(Client(), clock)
    for _ in range(BEGINNINGS):
        (await waiting.begin("10.0.0.1")).close()
    with pytest.raises(IdentityError, match=BUSY):
        await waiting.begin("10.0.0.1")
    clock.seconds += 60
    await waiting.begin("10.0.0.1")


async def test_a_provider_that_is_down_keeps_no_places():
    client, clock = Client(), Clock()
    waiting = sign_ins(client, clock)
    client.down = True
    for _ in range(2 * WAITING_OF_ONE):
        with pytest.raises(IdentityError, match="down"):
            await waiting.begin("10.0.0.1")
    client.down = False
    await waiting.begin("10.0.0.1")


async def test_the_code_is_told_once_and_a_retry_only_asks_again():
    one = await sign_ins(Client(), Clock()).begin("10.0.0.1")
    _, told, _, prompts = one.challenge()
    assert "https://login.example.com/device" in told
    assert "WDJB-MJHT" in told
    assert prompts == [("Press Enter once you have signed in: ", True)]
    _, told, _, prompts = one.challenge()
    assert told == ""
    assert "Nobody has signed in yet" in prompts[0][0]
