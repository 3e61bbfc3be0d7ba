"""Plays GraphQL over a WebSocket: a client and a target with a relay between them."""

from __future__ import annotations

import json
from typing import Any

from tests.protocols.http.exchanges import Stage, request

from gatebook.protocols.http import websocket
from gatebook.protocols.http.message import Data, End, Response
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.relay import ClientSaid, Effect, Forward, Reply
from gatebook.protocols.http.websocket import Heard, Reader, Text, Writer
from gatebook.protocols.relay import Ask

NEW, OLD = "graphql-transport-ws", "graphql-ws"
DIALECT = Plain(Shape(body_bytes=100_000, graphql=frozenset({"/graphql"})))
RULED = frozenset({"pii"})
VERSION = (b"sec-websocket-version", b"13")


class Talk:
    """A client and a target of GraphQL with a relay between them."""

    def __init__(self, chosen: str = NEW, *fields: tuple[bytes, bytes], target: str = "/graphql", **changes: Any) -> None:
        self.stage = Stage(**{"dialect": DIALECT, **changes})
        offered = (VERSION, (b"sec-websocket-protocol", chosen.encode()), *fields)
        self.opening = self.stage.ask(request("GET", target, *offered, upgrade="websocket"))
        effects = self.stage.allow()
        (told,) = [one.message for one in effects if isinstance(one, Forward) and not isinstance(one.message, End)]
        key = websocket.accept(told.get(b"sec-websocket-key") or b"")  # type: ignore[union-attr]
        self.answer = self.stage.answer(
            Response(101, ((b"sec-websocket-accept", key), (b"sec-websocket-protocol", chosen.encode())))
        )
        self._client, self._target = Writer(lambda: b"abcd"), Writer()
        self._at_client, self._at_target = Reader(of_client=False), Reader(of_client=True)

    def begin(self) -> Talk:
        self.say({"type": "connection_init"})
        self.hear({"type": "connection_ack"})
        return self

    def say(self, *messages: Any) -> list[Effect]:
        return self.raw(*(Text(one if isinstance(one, bytes) else json.dumps(one).encode()) for one in messages))

    def raw(self, *heard: Heard) -> list[Effect]:
        return self.stage.feed(ClientSaid(Data(b"".join(self._client.say(one) for one in heard))))

    def hear(self, *messages: Any) -> list[Effect]:
        return self.stage.answer(Data(b"".join(self._target.say(Text(json.dumps(one).encode())) for one in messages)))

    def start(self, query: str, named: str = "a", **more: Any) -> list[Effect]:
        return self.say({"id": named, "type": "subscribe", "payload": {"query": query, **more}})

    def allow(self, masks: frozenset[str] = frozenset()) -> list[Effect]:
        return self.stage.allow(masks)

    def to_target(self, effects: list[Effect]) -> list[Any]:
        data = b"".join(one.message.data for one in effects if isinstance(one, Forward) and isinstance(one.message, Data))
        return [_plain(one) for one in self._at_target.feed(data)]

    def to_client(self, effects: list[Effect]) -> list[Any]:
        data = b"".join(one.message.data for one in effects if isinstance(one, Reply) and isinstance(one.message, Data))
        return [_plain(one) for one in self._at_client.feed(data)]


def _plain(one: Heard) -> Any:
    return json.loads(one.data) if isinstance(one, Text) else one


def asks(effects: list[Effect]) -> list[Ask]:
    return [one for one in effects if isinstance(one, Ask)]
