"""A read of a cluster may go by the lane when it comes again; content that nobody reads is passed on as it comes."""

from __future__ import annotations

import pytest
from tests.protocols.http.exchanges import Stage, content, forwarded, request
from tests.protocols.kubernetes.requests import SHAPE

from gatebook.model import Reach
from gatebook.protocols.http.message import Data, End, Response
from gatebook.protocols.http.relay import ClientSaid, Forward
from gatebook.protocols.kubernetes.dialect import Kubernetes
from gatebook.protocols.relay import Ask

PODS = "/api/v1/namespaces/shop/pods"


def stage() -> Stage:
    return Stage(dialect=Kubernetes(SHAPE))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read_without_content_is_asked_about_whole_and_may_go_by_the_lane_once_it_is_answered(method):
    one = stage()
    assert one.feed(ClientSaid(request(method, PODS))) == []
    ask = one.ask(End())
    assert (ask.action.reach, ask.action.parameters) == (Reach.READ, ())
    effects = one.allow()
    assert forwarded(effects).target == PODS
    assert next(effect.length for effect in effects if isinstance(effect, Forward)) == 0
    assert one.relay.went is None
    one.answer(Response(200, ((b"content-type", b"application/json"),)), Data(b"{}"), End())
    assert one.relay.went is not None
    assert one.relay.went.content == b""


def test_a_read_with_content_that_was_not_announced_is_asked_about_at_once_and_never_goes_by_the_lane():
    one = stage()
    one.feed(ClientSaid(request("GET", PODS)))
    (ask,) = [effect for effect in one.feed(ClientSaid(Data(b"x"))) if isinstance(effect, Ask)]
    assert ask.action.parameters == ()
    effects = one.allow()
    assert [effect.message for effect in effects if isinstance(effect, Forward)][1:] == [Data(b"x")]
    one.feed(ClientSaid(Data(b"y")), ClientSaid(End()))
    answer = one.answer(Response(200, ((b"content-type", b"application/json"),)), Data(b"{}"), End())
    assert content(answer) == b"{}"
    assert one.relay.went is None


def test_content_that_is_announced_is_not_waited_for():
    one = stage()
    assert one.ask(request("GET", PODS, (b"content-length", b"3"))).action.reach is Reach.READ
