from __future__ import annotations

import struct

import pytest
from tests.playbook import Playbook, like

from gatebook.protocols.postgres.opening import Keys
from gatebook.protocols.postgres.relay import PostgresRelay
from gatebook.protocols.relay import Ended, FromClient, HangUp, Prove, Side, ToClient

STARTUP = b"user\0shop_app\0database\0shop\0\0"


def startup() -> FromClient:
    return FromClient(struct.pack("!II", len(STARTUP) + 8, 196608) + STARTUP)


def password(token: bytes) -> FromClient:
    return FromClient(b"p" + struct.pack("!I", len(token) + 5) + token + b"\0")


def relay() -> PostgresRelay:
    return PostgresRelay(secure=True, offers_tls=True, keys=Keys(b"k" * 8, b"k" * 32), secret="nobody-can-guess")


def test_a_story_that_holds_is_told_in_three_lines() -> None:
    play = Playbook(relay())
    play.tell(startup()).expect(ToClient(b"R\0\0\0\x08\0\0\0\x03"))
    play.tell(password(b"gbt_x")).expect(like(Prove, token="gbt_x", target="shop"))
    play.tell(Ended(Side.CLIENT, "gone")).expect(HangUp)


def test_a_story_that_breaks_fails_with_what_came_before() -> None:
    play = Playbook(relay())
    play.tell(startup()).expect(ToClient)
    with pytest.raises(AssertionError) as raised:
        play.tell(password(b"gbt_x")).expect(like(Prove, target="elsewhere"))
    told = str(raised.value)
    assert told.index("FromClient") < told.index("came ToClient") < told.index("came Prove") < told.index("elsewhere")
    assert "token='gbt_x'" not in told.split("came Prove")[1]


def test_an_effect_too_many_is_not_overlooked() -> None:
    with pytest.raises(AssertionError, match=r"expected\n +nothing"):
        Playbook(relay()).tell(startup()).expect()


def test_a_step_that_nobody_looked_at_is_a_fault() -> None:
    play = Playbook(relay()).tell(startup())
    with pytest.raises(AssertionError, match="a step was not looked at"):
        play.tell(startup())
