from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from gatebook.config import HttpTarget
from gatebook.config.targets import HttpRole, OauthClient
from gatebook.gateway.http.credentials import CredentialError, Credentials, ShownAs
from gatebook.model import Action, Receipt, Ruling, Verdict
from gatebook.policy.permit import permit
from gatebook.protocols.http.message import End, Response
from gatebook.protocols.http.relay import Failed
from gatebook.protocols.http.terms import Injected
from gatebook.protocols.relay import Allowed

TARGET = cast(
    HttpTarget, SimpleNamespace(name="crm", roles={"agent": HttpRole.model_construct(oauth=OauthClient.model_construct())})
)
VERDICT = Verdict(ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="d")
ALLOWED = Allowed(permit(Action(session="s", seq=1, deeds=(), text=""), VERDICT, Receipt(log="l", index=0)), VERDICT, "d")


class Server:
    """An authorization server and a clock, by hand."""

    def __init__(self) -> None:
        self.now, self.asked, self.down = 1_000.0, 0, False
        self.credentials = Credentials(self._ask, lambda: self.now)

    async def _ask(self, _: HttpTarget, __: OauthClient) -> tuple[Injected, float]:
        self.asked += 1
        if self.down:
            raise CredentialError("target crm: its token endpoint cannot be reached")
        value = b"token-%d" % self.asked
        return Injected(((b"authorization", b"Bearer " + value),), (value,)), 3_600.0

    async def shown(self) -> ShownAs:
        one = ShownAs(self.credentials, TARGET, "agent")
        if one.take(ALLOWED) is None:
            await one.fetch(ALLOWED)
        return one


def test_a_target_that_always_says_401_has_no_token_fetched_for_each_request() -> None:
    async def played() -> None:
        server = Server()
        for _ in range(600):  # ten minutes, one a second
            (await server.shown()).heard(Response(401, ()))
            server.now += 1
        assert server.asked <= 8

    asyncio.run(played())


def test_a_token_that_is_not_taken_is_fetched_anew_once_however_many_requests_showed_it() -> None:
    async def played() -> None:
        server = Server()
        showed = [await server.shown() for _ in range(10)]
        for one in showed[:5]:
            one.heard(Response(401, ()))
        assert (await server.shown()).injected.needles == (b"token-2",)
        server.now += 60
        for one in showed[5:]:
            one.heard(End(((b"grpc-status", b"16"),)))
        assert (await server.shown()).injected.needles == (b"token-2",)
        assert server.asked == 2

    asyncio.run(played())


def test_a_call_that_is_unauthenticated_fetches_anew() -> None:
    async def played() -> None:
        server = Server()
        (await server.shown()).heard(End(((b"grpc-status", b"16"),)))
        await server.shown()
        assert server.asked == 2

    asyncio.run(played())


def test_a_server_that_is_down_is_not_asked_for_each_request_and_is_asked_again() -> None:
    async def played() -> None:
        server = Server()
        server.down = True
        for _ in range(60):
            one = ShownAs(server.credentials, TARGET, "agent")
            failed = await one.fetch(ALLOWED)
            assert isinstance(failed, Failed)
            assert failed.permit is ALLOWED.permit
            server.now += 0.5
        assert server.asked <= 3
        server.down, server.now = False, server.now + 300
        assert (await server.shown()).injected.needles == (b"token-4",)

    asyncio.run(played())


def test_nothing_is_fetched_before_something_may_go() -> None:
    server = Server()
    assert ShownAs(server.credentials, TARGET, "agent").injected == Injected()
    assert server.asked == 0


def test_who_waits_for_a_fetch_of_others_hears_how_it_ended() -> None:
    async def played() -> None:
        server = Server()
        server.down = True
        said = await asyncio.gather(*(server.credentials.fetch(TARGET, "agent") for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in said] == [CredentialError] * 3
        assert server.asked == 1
        with pytest.raises(CredentialError, match="cannot be reached"):
            await server.credentials.fetch(TARGET, "agent")
        assert server.asked == 1

    asyncio.run(played())
