"""Who signs in from a bare ssh waits within limits, and whoever leaves gives their place back."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.identity.issuer import Clock

from gatebook.errors import IdentityError
from gatebook.gateway.ssh.device import BEGINNINGS, BEGINNINGS_OF_ONE, BUSY, WAITING, WAITING_OF_ONE, SignIns
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


def test_one_address_and_all_together_have_a_limit():
    clock = Clock()
    waiting = sign_ins(Client(), clock)
    first = [waiting.enter("10.0.0.1") for _ in range(WAITING_OF_ONE)]
    with pytest.raises(IdentityError, match=BUSY):
        waiting.enter("10.0.0.1")
    first[0].close()
    first[0].close()
    waiting.enter("10.0.0.1")
    with pytest.raises(IdentityError, match=BUSY):
        waiting.enter("10.0.0.1")
    for number in range(WAITING - WAITING_OF_ONE):
        clock.seconds += 60
        waiting.enter(f"10.0.1.{number}")
    clock.seconds += 60
    with pytest.raises(IdentityError, match=BUSY):
        waiting.enter("10.0.0.9")


def test_the_provider_is_asked_for_so_many_codes_a_minute_and_one_address_does_not_use_all_of_them():
    clock = Clock()
    waiting = sign_ins(Client(), clock)
    for _ in range(BEGINNINGS_OF_ONE):
        waiting.enter("10.0.0.1").close()
    with pytest.raises(IdentityError, match=BUSY):
        waiting.enter("10.0.0.1")
    for number in range(BEGINNINGS - BEGINNINGS_OF_ONE):
        waiting.enter(f"10.0.1.{number}").close()
    with pytest.raises(IdentityError, match=BUSY):
        waiting.enter("10.0.0.9")
    clock.seconds += 60
    waiting.enter("10.0.0.1")


async def test_a_provider_that_is_down_keeps_no_places():
    client = Client()
    waiting = sign_ins(client, Clock())
    client.down = True
    for _ in range(2 * WAITING_OF_ONE):
        one = waiting.enter("10.0.0.1")
        with pytest.raises(IdentityError, match="down"):
            await one.begin()
        assert one.challenge() is False
        one.close()
    client.down = False
    await waiting.enter("10.0.0.1").begin()


async def test_nobody_is_asked_about_before_there_is_a_code():
    with pytest.raises(IdentityError, match="one Enter"):
        await sign_ins(Client(), Clock()).enter("10.0.0.1").token(lambda: 0)


async def test_the_code_is_told_once_and_a_retry_only_asks_again():
    one = sign_ins(Client(), Clock()).enter("10.0.0.1")
    await one.begin()
    _, told, _, prompts = one.challenge()
    assert "https://login.example.com/device" in told
    assert "WDJB-MJHT" in told
    assert prompts == [("Press Enter once you have signed in: ", True)]
    _, told, _, prompts = one.challenge()
    assert told == ""
    assert "Nobody has signed in yet" in prompts[0][0]
