"""Plays an exchange: signals to a relay of HTTP, and answers to what it asks."""

from __future__ import annotations

from itertools import count
from typing import Any

from gatebook.masking.rules import FieldPattern, MaskSet, Style
from gatebook.model import Action, Receipt, RefusalClass, Ruling, Verdict
from gatebook.policy.permit import permit
from gatebook.protocols.http.message import Data, End, Request, Response
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.relay import (
    ClientSaid,
    Effect,
    Forward,
    HttpRelay,
    Reply,
    Signal,
    TargetSaid,
    Terms,
)
from gatebook.protocols.http.terms import Injected
from gatebook.protocols.relay import Allowed, Ask, Covering, Refused

KEY = b"upstream-key-81723"
INJECTED = Injected(((b"x-api-key", KEY),), (KEY,))
JSON = (b"content-type", b"application/json")
PII = MaskSet("pii", (), Style.REDACT, fields=(FieldPattern.parse("ssn"),))


def terms(**changes: Any) -> Terms:
    found: dict[str, Any] = {
        "session": "s1",
        "covering": Covering({"pii": PII}, frozenset({"pii"}), frozenset({"card"}), b"k" * 32),
        "dialect": Plain(Shape(body_bytes=1000)),
        "injected": lambda: INJECTED,
        "origins": ("https://billing.internal",),
        "base": "https://billing.targets.example.org",
        "client_address": "192.0.2.7",
        "introduces": (),
        "may": lambda _deed: True,
        "random": lambda size: b"r" * size,
        "number": count(2).__next__,
    }
    return Terms(**(found | changes))


def request(method: str = "GET", target: str = "/customers/1", *fields: tuple[bytes, bytes], upgrade: str = "") -> Request:
    return Request(method, "https", "billing.targets.example.org", target, tuple(fields), upgrade)


class Stage:
    """Plays signals to a relay, and answers what it asks."""

    def __init__(self, **changes: Any) -> None:
        self.relay = HttpRelay(terms(**changes), 1)
        self.asked: list[Ask] = []
        self.story: list[Effect] = []

    def feed(self, *signals: Signal) -> list[Effect]:
        found = [effect for signal in signals for effect in self.relay.feed(signal)]
        self.asked += [one for one in found if isinstance(one, Ask)]
        self.story += found
        return found

    def ask(self, *said: Request | Data | End) -> Ask:
        self.feed(*(ClientSaid(one) for one in said))
        return self.asked[-1]

    def allow(self, masks: frozenset[str] = frozenset()) -> list[Effect]:
        return self.feed(allowed(self.asked[-1].action, masks))

    def answer(self, *said: Response | Data | End) -> list[Effect]:
        return self.feed(*(TargetSaid(one) for one in said))


def verdict(ruling: Ruling, masks: frozenset[str] = frozenset()) -> Verdict:
    return Verdict(ruling=ruling, rule="some-rule", reason="because", policy_digest="d", masks=masks)


def allowed(action: Action, masks: frozenset[str] = frozenset()) -> Allowed:
    ruled = verdict(Ruling.ALLOW, masks)
    return Allowed(permit(action, ruled, Receipt(log="l", index=0)), ruled, "d1")


def refused(action: Action | None) -> Refused:
    return Refused(action, verdict(Ruling.BLOCK), RefusalClass.NEVER, "d1")


def forwarded(effects: list[Effect]) -> Request:
    (found,) = (one.message for one in effects if isinstance(one, Forward) and isinstance(one.message, Request))
    return found


def content(effects: list[Effect]) -> bytes:
    return b"".join(one.message.data for one in effects if isinstance(one, Reply) and isinstance(one.message, Data))


def head(effects: list[Effect]) -> Response:
    (found,) = (one.message for one in effects if isinstance(one, Reply) and isinstance(one.message, Response))
    return found


def played(
    method: str, response: Response, *said: Data | End, masks: frozenset[str] = frozenset(), **changes: Any
) -> list[Effect]:
    stage = Stage(**changes)
    stage.ask(request(method), End())
    stage.allow(masks)
    return stage.answer(response, *said)
