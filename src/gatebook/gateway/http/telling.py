"""An answer of the gateway's own to a client whose request goes no further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gatebook.gateway.http.browsers import Shown
from gatebook.gateway.http.client import Client
from gatebook.protocols.http import grpc, refusal
from gatebook.protocols.http.browsers import shows_pages
from gatebook.protocols.http.message import Data, End, Request, Response


def tell(
    client: Client,
    asked: Request | None,
    problem: refusal.Problem | Shown,
    said: Callable[[refusal.Problem], tuple[Response, bytes]],
) -> None:
    """Say all of it, in the form that who ``asked`` reads; ``said`` is how clients of such a target hear of problems."""
    if isinstance(problem, refusal.Problem) and asked is not None:
        if grpc.spoken(asked.fields):
            head, trailers = problem.of_call()
            client.respond(head, None)
            client.say(End(trailers))
            client.push()
            return
        problem = replace(problem, page=shows_pages(asked))
    head, content = problem.said() if isinstance(problem, Shown) else said(problem)
    client.respond(head, len(content))
    if content and (asked is None or asked.method != "HEAD"):
        client.say(Data(content))
    client.say(End())
    client.push()
