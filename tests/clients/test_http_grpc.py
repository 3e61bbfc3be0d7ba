"""Calls of gRPC through the gateway, by grpcio on both ends: messages are bytes, which nobody between them has a schema for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.certificates import Certificate
from gatebook.cli.demo.processes import free_port

pytestmark = pytest.mark.real

KEY = "calls-key-90ad71bb3c"
CARD = "4111111111111111"
RULES = """
@id("calls")
@reason("agents may call")
permit (principal, action, resource);
@id("no-deletes")
@reason("nothing is deleted by calls")
forbid (principal, action == Action::"http.grpc", resource) when { context has rpc_method && context.rpc_method == "Delete" };
@id("pay-waits")
@reason("payments are decided by people")
@approvers("group:dba")
forbid (principal, action == Action::"http.grpc", resource)
when { context has rpc_method && context.rpc_method == "Pay" } unless { context.approved };
"""


class Shop(grpc.GenericRpcHandler):
    """One service, without a schema; ``called`` is what reached it."""

    def __init__(self) -> None:
        self.called: list[tuple[str, dict[str, Any]]] = []
        self.stopped = threading.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        self.called.append((details.method, dict(details.invocation_metadata)))
        match details.method.rpartition("/")[2]:
            case "Say" | "Delete" | "Pay":
                return grpc.unary_unary_rpc_method_handler(self._say)
            case "Count":
                return grpc.unary_stream_rpc_method_handler(self._count)
            case "Sum":
                return grpc.stream_unary_rpc_method_handler(lambda messages, _: b"%d" % sum(map(len, messages)))
            case "Chat":
                return grpc.stream_stream_rpc_method_handler(lambda messages, _: (b"> " + one for one in messages))
            case "Endless":
                return grpc.unary_stream_rpc_method_handler(self._endless)
        return None

    @staticmethod
    def _say(message: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-card", CARD), ("x-cost", "7")))
        if message == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"card {CARD} is not good: ä %")
        return b"key " + KEY.encode() if message == b"key" else message

    @staticmethod
    def _count(message: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(message)):
            yield b"%d " % number + b"x" * 5_000

    def _endless(self, _: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.stopped.set)
        while context.is_active():
            yield b"x" * 10_000


def serving(shop: Shop, key: Certificate | None = None) -> tuple[grpc.Server, int]:
    made = grpc.server(ThreadPoolExecutor(40), handlers=[shop])
    if key is None:
        port = made.add_insecure_port("127.0.0.1:0")
    else:
        pair = (key.key.read_bytes(), key.cert.read_bytes())
        port = made.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    made.start()
    return made, port


@dataclass(frozen=True)
class Running:
    gateway: LiveGateway
    shop: Shop
    dying: grpc.Server


@pytest.fixture(scope="module")
def running(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, shop = tmp_path_factory.mktemp("calls"), Shop()
    key = folder / "calls.key"
    key.write_text(KEY)
    key.chmod(0o600)
    servers = [serving(shop), serving(shop), serving(shop, world.authority.certificate("calls", ("localhost",)))]
    plain, dying, secured = (port for _, port in servers)
    common = {
        "protocol": "http", "origins": [f"http://127.0.0.1:{plain}"], "default_role": "agent", "masks": ["pii"],
        "roles": {"agent": {"header": {"name": "X-Api-Key", "value": f"file:{key}"}}}, "labels": {"env": "production"},
    }  # fmt: skip
    listed = {**common, "passes": ["application/grpc"]}
    apis = [
        {**listed, "name": "calls"},
        {**listed, "name": "dying", "origins": [f"http://127.0.0.1:{dying}"]},
        {**listed, "name": "secured", "origins": [f"https://localhost:{secured}"], "tls": {"ca": str(world.authority.path)}},
        {**common, "name": "unlisted"},
        {**common, "name": "gone", "origins": [f"http://127.0.0.1:{free_port()}"]},
    ]
    gateway = LiveGateway(folder / "gateway", world, apis=apis, policies={"calls": RULES}).start()
    yield Running(gateway, shop, servers[1][0])
    assert gateway.stop() == 0, gateway.log
    gateway.verified()
    for server, _ in servers:
        server.stop(None).wait(5)


@pytest.fixture
def shop(running: Running) -> Shop:
    running.shop.called.clear()
    running.shop.stopped.clear()
    return running.shop


@pytest.fixture
def door(running: Running) -> Iterator[LiveGateway]:
    yield running.gateway
    assert "Traceback" not in running.gateway.log


class Caller:
    """A channel through the gateway to one target, by its own host."""

    def __init__(self, door: LiveGateway, target: str = "calls", token: str | None = None) -> None:
        trust = grpc.ssl_channel_credentials(door.world.authority.path.read_bytes())
        token = door.mint() if token is None else token
        if token:
            trust = grpc.composite_channel_credentials(trust, grpc.access_token_call_credentials(token))
        options = [("grpc.ssl_target_name_override", f"{target}.{door.domain}"), ("grpc.enable_retries", 0)]
        self.channel = grpc.secure_channel(f"127.0.0.1:{door.http_port}", trust, options)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def say(self, message: bytes, method: str = "Say") -> Any:
        return self.channel.unary_unary(f"/shop.v1.Shop/{method}").with_call(message, timeout=20)

    def fails(self, message: bytes = b"a", method: str = "Say") -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            self.say(message, method)
        return caught.value


def test_a_call_reaches_its_service_with_the_gateways_credential_and_its_trailers_come_covered(
    door: LiveGateway, shop: Shop
) -> None:
    with Caller(door) as caller:
        answer, call = caller.say(b"hello")
        large, _ = caller.say(b"y" * 3_000_000)
    assert (answer, len(large)) == (b"hello", 3_000_000)
    trailers = dict(call.trailing_metadata())
    assert call.code() is grpc.StatusCode.OK
    assert trailers["x-cost"] == "7"
    assert CARD not in trailers["x-card"]
    method, metadata = shop.called[0]
    assert method == "/shop.v1.Shop/Say"
    assert metadata["x-api-key"] == KEY
    assert "authorization" not in metadata


def test_messages_stream_from_the_service(door: LiveGateway) -> None:
    with Caller(door) as caller:
        found = list(caller.channel.unary_stream("/shop.v1.Shop/Count")(b"300", timeout=20))
    assert [int(one.split()[0]) for one in found] == list(range(300))
    assert {len(one.split()[1]) for one in found} == {5_000}


def test_messages_stream_to_the_service(door: LiveGateway) -> None:
    with Caller(door) as caller:
        assert caller.channel.stream_unary("/shop.v1.Shop/Sum")((b"z" * 9_000 for _ in range(200)), timeout=20) == b"1800000"


def test_each_message_of_a_talk_is_answered_before_the_next_is_sent(door: LiveGateway) -> None:
    heard = threading.Semaphore(1)

    def said() -> Iterator[bytes]:
        for number in range(20):
            assert heard.acquire(timeout=20)
            yield b"%d" % number

    found = []
    with Caller(door) as caller:
        for answer in caller.channel.stream_stream("/shop.v1.Shop/Chat")(said(), timeout=30):
            found.append(answer)
            heard.release()
    assert found == [b"> %d" % number for number in range(20)]


def test_many_calls_at_once_share_connections(door: LiveGateway) -> None:
    with Caller(door) as caller, ThreadPoolExecutor(30) as threads:
        found = list(threads.map(lambda number: caller.say(b"%d" % number)[0], range(150)))
    assert found == [b"%d" % number for number in range(150)]


def test_who_reads_nothing_stops_nobody_else_and_who_leaves_ends_the_call_at_its_service(door: LiveGateway, shop: Shop) -> None:
    with Caller(door) as slow, Caller(door) as caller:
        calls = [slow.channel.unary_stream("/shop.v1.Shop/Endless")(b"", timeout=60) for _ in range(14)]
        assert [next(one)[:1] for one in calls] == [b"x"] * 14
        assert caller.say(b"a" * 1_000_000)[0] == b"a" * 1_000_000
        for one in calls:
            one.cancel()
        assert shop.stopped.wait(20)


def test_a_services_own_error_comes_with_its_message_covered(door: LiveGateway) -> None:
    with Caller(door) as caller:
        error = caller.fails(b"fail")
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert CARD not in error.details()
    assert "is not good" in error.details()
    with Caller(door) as caller:
        assert caller.fails(method="Nothing").code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_gateways_credential_does_not_come_back_in_a_message(door: LiveGateway) -> None:
    with Caller(door) as caller:
        answer, _ = caller.say(b"key")
    assert answer == b"key " + b"*" * len(KEY)


def test_a_refused_method_never_reaches_the_service(door: LiveGateway, shop: Shop) -> None:
    with Caller(door) as caller:
        deleted = caller.fails(method="Delete")
    assert deleted.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "blocked by no-deletes: nothing is deleted by calls" in deleted.details()
    assert shop.called == []


def test_a_call_that_waits_for_people_passes_after_their_yes_to_exactly_its_message_once(door: LiveGateway, shop: Shop) -> None:
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    with Caller(door) as caller:
        waits = caller.fails(b"100 to ada", "Pay")
        assert waits.code() is grpc.StatusCode.UNAVAILABLE
        approval = waits.details().rpartition("/approvals/")[2].split()[0].rstrip(".")
        shown = door.api(f"/api/v1/approvals/{approval}", dana).json()
        assert "/shop.v1.Shop/Pay" in json.dumps(shown)
        voted = door.send("POST", f"/api/v1/approvals/{approval}/vote", dana, {"verdict": "approve", "reason": "OPS-7"})
        assert voted.status_code == 200, voted.text
        assert caller.fails(b"900 to eve", "Pay").code() is grpc.StatusCode.UNAVAILABLE
        assert caller.say(b"100 to ada", "Pay")[0] == b"100 to ada"
        assert caller.fails(b"100 to ada", "Pay").code() is grpc.StatusCode.UNAVAILABLE
    assert [method for method, _ in shop.called] == ["/shop.v1.Shop/Pay"]


def test_without_a_good_token_a_call_is_unauthenticated(door: LiveGateway, shop: Shop) -> None:
    for token in ("", "none-of-ours"):
        with Caller(door, token=token) as caller:
            assert caller.fails().code() is grpc.StatusCode.UNAUTHENTICATED
    assert shop.called == []


def test_a_target_that_is_gone_is_unavailable(door: LiveGateway, running: Running) -> None:
    with Caller(door, "gone") as caller:
        error = caller.fails()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "target gone cannot be reached" in error.details()
    with Caller(door, "dying") as caller:
        call = caller.channel.unary_stream("/shop.v1.Shop/Endless")(b"", timeout=60)
        next(call)
        running.dying.stop(None)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_answers_that_nobody_listed_do_not_pass_unread(door: LiveGateway) -> None:
    with Caller(door, "unlisted") as caller:
        error = caller.fails()
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "cannot be read here; let the target's `passes` list it" in error.details()


def test_a_target_inside_tls_is_asked_by_http2_too(door: LiveGateway) -> None:
    with Caller(door, "secured") as caller:
        assert caller.say(b"inside")[0] == b"inside"
        assert caller.channel.stream_unary("/shop.v1.Shop/Sum")(iter([b"12", b"345"]), timeout=20) == b"5"
