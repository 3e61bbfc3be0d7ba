"""An exchange that people said yes to: what goes is bound to what they saw, or nothing goes."""

from __future__ import annotations

import json
from typing import Any

from tests.protocols.http.exchanges import Stage, forwarded, head, verdict
from tests.protocols.kubernetes.requests import JSON, MERGE, SHAPE, sent

from gatebook.model import Receipt, Ruling
from gatebook.policy.permit import permit
from gatebook.protocols.http.message import Data, End
from gatebook.protocols.http.relay import Effect, Forward
from gatebook.protocols.kubernetes.dialect import Kubernetes
from gatebook.protocols.relay import Allowed

MAP = "/api/v1/namespaces/prod/configmaps/m"
SEEN = {"uid": "u", "version": "1"}


def begun(method: str, body: Any = None, kind: str = JSON) -> Stage:
    stage = Stage(dialect=Kubernetes(SHAPE))
    data = [] if body is None else [Data(json.dumps(body).encode())]
    fields = [("content-type", kind), ("content-length", str(len(data[0].data)))] if data else []
    stage.ask(sent(method, MAP, *fields), *data, End())
    return stage


def approved(stage: Stage, conditions: dict[str, str]) -> list[Effect]:
    action, ruled = stage.asked[-1].action, verdict(Ruling.ALLOW)
    return stage.feed(Allowed(permit(action, ruled, Receipt(log="l", index=0), conditions), ruled, "d1"))


def sent_on(effects: list[Effect]) -> tuple[bytes, int | None]:
    """The content that goes to the target, and the length that its head says."""
    pieces = [one.message.data for one in effects if isinstance(one, Forward) and isinstance(one.message, Data)]
    return b"".join(pieces), next(one.length for one in effects if isinstance(one, Forward))


def test_a_deletion_without_content_goes_with_one() -> None:
    effects = approved(begun("DELETE"), SEEN)
    content, length = sent_on(effects)
    assert json.loads(content)["preconditions"] == {"uid": "u", "resourceVersion": "1"}
    assert length == len(content)
    assert forwarded(effects).get(b"content-type") == b"application/json"


def test_a_patch_goes_with_the_version_and_its_new_length() -> None:
    effects = approved(begun("PATCH", {"data": {"a": "1"}}, MERGE), SEEN)
    content, length = sent_on(effects)
    assert json.loads(content) == {"data": {"a": "1"}, "metadata": {"resourceVersion": "1"}}
    assert length == len(content)


def test_what_cannot_be_held_to_what_people_saw_is_a_conflict_and_nothing_goes() -> None:
    stage = begun("PUT", {"kind": "ConfigMap", "metadata": {"name": "m", "resourceVersion": "7"}})
    effects = approved(stage, SEEN)
    assert not any(isinstance(one, Forward) for one in effects)
    assert head(effects).status == 409
    assert stage.relay.went is None


def test_what_was_bound_does_not_take_the_short_way_when_it_comes_again() -> None:
    stage = begun("DELETE")
    approved(stage, SEEN)
    assert stage.relay._went is None


def test_what_is_tried_is_asked_in_the_requesters_place_and_is_not_what_is_sent() -> None:
    stage = Stage(dialect=Kubernetes(SHAPE), introduces=((b"impersonate-user", b"gatebook:agent"),))
    stage.ask(sent("DELETE", MAP, ("x-mine", "1"), ("user-agent", "kubectl")), End())
    tryable = stage.relay.tryable()
    assert tryable is not None
    question = tryable.question()
    assert question is not None
    request, content = question
    assert (request.method, request.target, content) == ("GET", MAP, b"")
    assert request.get(b"impersonate-user") == b"gatebook:agent"
    assert request.get(b"x-api-key") is not None
    assert request.get(b"accept-encoding") == b"identity"
    assert request.get(b"x-mine") is None
    assert not any(isinstance(one, Forward) for one in stage.story)
