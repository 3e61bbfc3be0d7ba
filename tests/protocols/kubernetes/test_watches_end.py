"""Watches that the gateway ends: as an API server does where their token is over, with a word where it is anything else."""

from __future__ import annotations

import json

import pytest
from tests.protocols.http.exchanges import Stage, content, request
from tests.protocols.kubernetes.requests import SHAPE

from gatebook.protocols.http.message import Data, End, Response
from gatebook.protocols.http.relay import Reply
from gatebook.protocols.kubernetes.dialect import Kubernetes
from gatebook.protocols.relay import Ended, HangUp, Side

ADDED = b'{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"first"}}}\n'


def watching(target: str = "/api/v1/namespaces/prod/configmaps?watch=true") -> Stage:
    stage = Stage(dialect=Kubernetes(SHAPE))
    stage.ask(request("GET", target), End())
    stage.allow()
    stage.answer(Response(200, ((b"content-type", b"application/json"),)), Data(ADDED))
    return stage


def ended(stage: Stage, *, timely: bool) -> list[object]:
    return list(stage.feed(Ended(Side.GATEWAY, "your token expired", timely)))


def test_a_watch_whose_token_is_over_ends_as_if_by_itself() -> None:
    stage = watching()
    effects = ended(stage, timely=True)
    assert effects[0] == Reply(End())
    assert not any(isinstance(one, HangUp) for one in effects)
    assert content(stage.story).count(b"\n") == 1


def test_a_watch_that_is_ended_for_anything_else_says_why() -> None:
    stage = watching()
    effects = ended(stage, timely=False)
    assert Reply(End()) in effects
    _, last = content(stage.story).splitlines()
    assert (json.loads(last)["type"], json.loads(last)["object"]["message"][:18]) == ("ERROR", "your token expired")


@pytest.mark.parametrize("timely", [True, False])
def test_what_is_no_watch_or_in_the_middle_of_an_event_is_cut(timely: bool) -> None:
    assert isinstance(ended(watching("/api/v1/namespaces/prod/configmaps"), timely=timely)[-1], HangUp)
    middle = watching()
    middle.answer(Data(ADDED[:-20]))
    assert isinstance(ended(middle, timely=timely)[-1], HangUp)
