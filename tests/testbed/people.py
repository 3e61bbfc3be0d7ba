"""People who sign in by browser: the demo's identity provider in a thread, and a gateway that knows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from joserfc.jwk import ECKey
from tests.testbed.gateways import LiveGateway
from werkzeug.serving import make_server

from gatebook.cli.demo.processes import free_port
from gatebook.cli.demo.provider import Registration
from gatebook.cli.demo.provider import make_app as make_provider
from gatebook.cli.demo.world import PEOPLE

CLIENT, PROGRAM = "gatebook-web", "gatebook-cli"
RULES = """
@id("people-open-and-read")
@reason("people may read")
permit (principal, action in [Action::"session.open", Action::"http.get", Action::"http.websocket"], resource)
when { principal.kind == "person" };
@id("people-order")
@reason("people may order")
permit (principal, action == Action::"http.post", resource) when { principal.kind == "person" };
@id("no-secrets")
@reason("secrets are not shown")
forbid (principal, action, resource) when { context has path && context.path like "/secrets*" };
"""


@contextmanager
def people_at(url: str) -> Iterator[dict[str, Any]]:
    """The provider for a gateway's pages at this URL, as that gateway's configuration has it."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    web = Registration(CLIENT, "", {}, redirect_uris=(f"{url}/sign-in/return",))
    server = make_server(
        "127.0.0.1", port, make_provider(issuer, [web, Registration(PROGRAM, "", {})], key, PEOPLE), threaded=True
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        clients = {"client_id": CLIENT, "device_client_id": PROGRAM}
        yield {"name": "demo", "issuer": issuer, "audience": "gatebook", "kind": {"claim": "kind"}, **clients}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def gateway_with_people(
    new_gateway: Callable[..., LiveGateway], apis: Sequence[Mapping[str, Any]], **more: Any
) -> Iterator[LiveGateway]:
    """A gateway whose pages people sign in to, in front of these targets."""
    port = free_port()
    with people_at(f"https://127.0.0.1:{port}") as provider:
        options = {"policies": {"people": RULES}, **more}
        gateway = new_gateway(apis=apis, api_port=port, more_providers=[provider], **options)
        yield gateway
