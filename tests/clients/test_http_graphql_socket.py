"""GraphQL over a WebSocket through the gateway, towards a small server that runs what it is asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import websockets.exceptions
import websockets.sync.client
import websockets.sync.server
import websockets.typing
from graphql import build_schema, graphql_sync
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

PROTOCOL = websockets.typing.Subprotocol("graphql-transport-ws")
SCHEMA = build_schema("""
type Person { name: String, ssn: String }
type Query { person: Person }
type Mutation { pay(amount: Int): Int, drop: Int }
type Subscription { people: Person }
""")
PERSON = {"name": "Ada", "ssn": "123-45-6789"}
RULES = """
@id("pay-needs-dba")
@approvers("group:dba")
@reason("payments are approved by group dba")
forbid (principal, action == Action::"graphql.mutation", resource)
when { context.fields.contains("pay") }
unless { context.approved };

@id("no-drop")
@reason("nothing is dropped from here")
@instead("Archive it.")
forbid (principal, action == Action::"graphql.mutation", resource)
when { context.all_fields.contains("drop") };

@id("websockets-unread")
@reason("what is said inside is not known")
forbid (principal, action == Action::"http.websocket", resource);
"""


@dataclass
class Server:
    """Of graphql-transport-ws. ``got`` are all messages that came, ``paid`` the amounts that were."""

    url: str = ""
    got: list[Any] = field(default_factory=list)
    paid: list[int] = field(default_factory=list)

    def talk(self, socket: websockets.sync.server.ServerConnection) -> None:
        for text in socket:
            message = json.loads(text)
            self.got.append(message)
            match message["type"]:
                case "connection_init":
                    socket.send(json.dumps({"type": "connection_ack"}))
                case "ping":
                    socket.send(json.dumps({"type": "pong"}))
                case "subscribe":
                    for result in self.results(message["payload"]):
                        socket.send(json.dumps({"id": message["id"], "type": "next", "payload": result}))
                    socket.send(json.dumps({"id": message["id"], "type": "complete"}))

    def results(self, payload: Any) -> list[Any]:
        root = {"person": PERSON, "pay": self.pay, "drop": 1}
        found = {"data": {"people": PERSON}}
        if payload["query"].startswith("subscription"):
            return [found, found]
        done = graphql_sync(SCHEMA, payload["query"], root, variable_values=payload.get("variables"))
        return [done.formatted]

    def pay(self, _info: Any, amount: int) -> int:
        self.paid.append(amount)
        return amount


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with websockets.sync.server.serve(made.talk, "127.0.0.1", 0, subprotocols=[PROTOCOL]) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        made.url = f"http://127.0.0.1:{listening.socket.getsockname()[1]}"
        yield made
        listening.shutdown()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], server: Server) -> LiveGateway:
    target = {
        "name": "people", "protocol": "http", "origins": [server.url], "default_role": "agent", "roles": {"agent": {}},
        "graphql": {"paths": ["/graphql"]}, "masks": ["pii"],
    }  # fmt: skip
    masking = {"sets": {"pii": {"fields": ["ssn"], "style": "redact"}}, "detectors": "all"}
    return new_gateway(apis=[target], allows_all=True, policies={"graphql": RULES}, more={"masking": masking})


def opened(door: LiveGateway, *offered: str, **fields: str) -> websockets.sync.client.ClientConnection:
    trust = ssl.create_default_context(cafile=str(door.world.authority.path))
    headers = {"Authorization": f"Bearer {door.mint()}", **fields}
    url = door.http_url.replace("https:", "wss:") + "/people/graphql"
    protocols = [websockets.typing.Subprotocol(one) for one in offered or (PROTOCOL,)]
    return websockets.sync.client.connect(url, ssl=trust, additional_headers=headers, subprotocols=protocols, proxy=None)


def say(socket: websockets.sync.client.ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def hear(socket: websockets.sync.client.ClientConnection) -> Any:
    return json.loads(socket.recv(20))


def begin(socket: websockets.sync.client.ClientConnection) -> None:
    say(socket, type="connection_init", payload={"Authorization": "Bearer s3cret-of-the-client"})
    assert hear(socket) == {"type": "connection_ack"}


def ask(socket: websockets.sync.client.ClientConnection, named: str, query: str, **variables: Any) -> None:
    say(socket, id=named, type="subscribe", payload={"query": query, "variables": variables})


def test_each_operation_is_decided_covered_and_written_down_by_itself(door: LiveGateway, server: Server) -> None:
    with opened(door) as socket:
        assert socket.subprotocol == PROTOCOL
        begin(socket)
        ask(socket, "q", "{ person { name hidden: ssn } }")
        answer = hear(socket)
        assert (answer["id"], answer["type"]) == ("q", "next")
        assert answer["payload"]["data"]["person"]["name"] == "Ada"
        assert PERSON["ssn"] not in json.dumps(answer)
        assert hear(socket) == {"id": "q", "type": "complete"}
        ask(socket, "d", "mutation { drop }")
        refused = hear(socket)
        told = refused["payload"][0]["extensions"]["gatebook"]
        assert (refused["id"], refused["type"], told["rule"], told["instead"]) == ("d", "error", "no-drop", "Archive it.")
        ask(socket, "s", "subscription { people { name ssn } }")
        heard = [hear(socket) for _ in range(3)]
        assert [one["type"] for one in heard] == ["next", "next", "complete"]
        assert PERSON["ssn"] not in json.dumps(heard)
    assert "s3cret" not in json.dumps(server.got)
    assert not any("drop" in json.dumps(one) for one in server.got)
    expected = ["graphql.session", "graphql.query", "graphql.mutation", "graphql.subscription"]
    assert wait_until(lambda: len(door.entries("answer")) == 3, 20)
    acted = door.entries("action")
    assert [one["verb"] for one in acted] == expected
    assert [one["action"] for one in acted] == [1, 2, 3, 4]
    assert {one["action"]: one["status"] for one in door.entries("answer")} == {1: "101", 2: "complete", 4: "complete"}
    assert {one["action"]: one["masked"].get("redact", 0) for one in door.entries("answer")} == {1: 0, 2: 1, 4: 2}
    (session,) = door.sessions()
    assert wait_until(lambda: "block by no-drop" in door.replay("replay", str(session["id"])).output, 30)
    replay = door.replay("replay", str(session["id"]))
    assert '> {"query": "mutation { drop }"' in replay.output
    assert PERSON["ssn"] not in replay.output
    assert "s3cret" not in replay.output
    door.verified()


def test_a_held_mutation_passes_once_when_it_is_sent_again_after_a_yes(door: LiveGateway, server: Server) -> None:
    with opened(door) as socket:
        begin(socket)
        ask(socket, "1", "mutation ($n: Int) { pay(amount: $n) }", n=7)
        held = hear(socket)["payload"][0]["extensions"]["gatebook"]
        assert (held["class"], held["rule"]) == ("wait", "pay-needs-dba")
        ask(socket, "2", "{ person { name } }")
        assert hear(socket)["id"] == "2", "the others go on"
        assert hear(socket) == {"id": "2", "type": "complete"}
        vote(door, held["approval"])
        ask(socket, "3", "mutation ($n: Int) { pay(amount: $n) }", n=8)
        assert hear(socket)["payload"][0]["extensions"]["gatebook"]["class"] == "wait", "people said yes to another amount"
    with opened(door) as socket:
        begin(socket)
        ask(socket, "again", "mutation ($n: Int) { pay(amount: $n) }", n=7)
        assert hear(socket) == {"id": "again", "type": "next", "payload": {"data": {"pay": 7}}}
        assert hear(socket) == {"id": "again", "type": "complete"}
        ask(socket, "more", "mutation ($n: Int) { pay(amount: $n) }", n=7)
        assert hear(socket)["type"] == "error", "a yes is good once"
    assert server.paid == [7]


def test_one_that_waits_on_its_connection_goes_on_after_a_yes_and_is_withdrawn_with_its_client(
    door: LiveGateway, server: Server
) -> None:
    with opened(door, **{"Gatebook-Hold": "wait"}) as socket:
        begin(socket)
        ask(socket, "1", "mutation { pay(amount: 9) }")
        say(socket, type="ping")
        vote(door, pending(door))
        assert hear(socket) == {"id": "1", "type": "next", "payload": {"data": {"pay": 9}}}
        assert [hear(socket)["type"] for _ in range(2)] == ["complete", "pong"]
        ask(socket, "2", "mutation { pay(amount: 10) }")
        pending(door)
    assert wait_until(lambda: not waiting(door), 20)
    assert server.paid == [9]


def waiting(door: LiveGateway) -> list[str]:
    found = door.api("/api/v1/approvals", door.mint(sub="dana", kind="person", groups=["dba"])).json()["approvals"]
    return [one["id"] for one in found if one["state"] == "open"]


def pending(door: LiveGateway) -> str:
    assert wait_until(lambda: bool(waiting(door)), 20)
    return waiting(door)[0]


def vote(door: LiveGateway, approval: str) -> None:
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    said = door.send("POST", f"/api/v1/approvals/{approval}/vote", dana, {"verdict": "approve", "reason": "OPS-7"})
    assert said.status_code == 200, said.text


def test_what_is_no_message_ends_the_connection_and_another_protocol_is_refused(door: LiveGateway, server: Server) -> None:
    with opened(door) as socket:
        begin(socket)
        socket.send('{"type":"subscribe","id":"a","payload":{"query":"{ person { ssn } }"},"type":"ping"}')
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            socket.recv(20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    assert [one["type"] for one in server.got] == ["connection_init"]
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused, opened(door, "chat", PROTOCOL):
        pass
    assert refused.value.response.status_code == 403
