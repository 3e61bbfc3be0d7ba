"""The HTTP API, version 1. It tells the unauthenticated how to prove who they are, and nothing about targets.

GET  /healthz          the process answers
GET  /readyz           ledger and database can be written, and the listeners are there
GET  /api/v1/about     version, identity providers, where tokens are exchanged
POST /api/v1/token     a provider's token for a gateway token (exchange.py)
GET  /api/v1/whoami    who the bearer token proves
GET  /api/v1/targets   the targets this identity may open, and where; ?why=, the purpose of the session
GET  /api/v1/events    what changed, as server-sent events (events.py)

and those of approvals.py, certificates.py, grants.py, sessions.py and tokens.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ExceptionHandler

from gatebook import __version__
from gatebook.access.approvals import Approvals
from gatebook.access.grants import Grants
from gatebook.config import Config, HttpListener, Listener, SshListener, TargetConfig
from gatebook.errors import AccessError, LedgerError
from gatebook.identity.prove import Prover
from gatebook.identity.tokens import GatewayTokens
from gatebook.model import Identity
from gatebook.protocols.http.door import PREFIXES
from gatebook.web.access import Door
from gatebook.web.acts import Acts
from gatebook.web.answers import on_access_error, on_ledger_error
from gatebook.web.approvals import Asking, approval_routes
from gatebook.web.certificates import Signing, certificate_routes
from gatebook.web.events import Events
from gatebook.web.exchange import exchange
from gatebook.web.grants import Giving, grant_routes
from gatebook.web.guard import Guard, on_fault
from gatebook.web.problems import Problem, on_http_exception, on_problem
from gatebook.web.sessions import Sessions, session_routes
from gatebook.web.tokens import Given, token_routes

MayOpen = Callable[[Identity, str, str], bool]  # the target's name, the purpose
HANDLERS: Mapping[Any, ExceptionHandler] = {
    Problem: on_problem,
    HTTPException: on_http_exception,
    AccessError: on_access_error,
    LedgerError: on_ledger_error,
    Exception: on_fault,
}


def make_app(
    config: Config,
    engine: Engine,
    prover: Prover,
    tokens: GatewayTokens,
    *,
    ledger_ok: Callable[[], bool],
    may_open: MayOpen,
    serving: Callable[[], bool] = lambda: True,
    door: Door | None = None,
    acts: Acts,
    approvals: Approvals,
    grants: Grants,
    pages: Sequence[Route] = (),
    signing: Signing | None = None,
) -> Starlette:
    """The API's app. ``may_open`` says whether an identity may open the target of that name; ``door`` is for other clocks;
    ``serving`` whether clients of targets are served.

    ``acts`` says who may look at and decide what; ``pages`` are the web app's (pages/site.py); ``signing`` gives
    certificates to users of SSH.
    """
    door = door or Door(prover)
    api = _Api(config, engine, door, tokens, ledger_ok, may_open, serving)
    asking = Asking(approvals, acts)
    more = [
        Route("/api/v1/events", Events(engine, door.bearer, door.now).stream),
        *approval_routes(asking, door.bearer),
        *grant_routes(Giving(grants, acts), asking, door.bearer),
        *session_routes(Sessions(engine, acts), door.bearer, acts),
        *token_routes(Given(tokens, acts), door.bearer, acts),
    ]
    if signing is not None:
        more += certificate_routes(config, signing, door, tokens, may_open, acts)
    return Starlette(
        routes=[
            Route("/healthz", api.healthz),
            Route("/readyz", api.readyz),
            Route("/api/v1/about", api.about),
            Route("/api/v1/token", api.token, methods=["POST"]),
            Route("/api/v1/whoami", api.whoami),
            Route("/api/v1/targets", api.targets),
            *more,
            *pages,
        ],
        middleware=[Middleware(Guard)],
        exception_handlers=HANDLERS,
    )


class _Api:
    def __init__(
        self,
        config: Config,
        engine: Engine,
        door: Door,
        tokens: GatewayTokens,
        ledger_ok: Callable[[], bool],
        may_open: MayOpen,
        serving: Callable[[], bool],
    ) -> None:
        self._config = config
        self._engine = engine
        self._door = door
        self._tokens = tokens
        self._ledger_ok = ledger_ok
        self._may_open = may_open
        self._serving = serving

    async def healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """Names the part that fails and no more: anybody may ask."""
        parts = {
            "ledger": self._ledger_ok(),
            "database": await asyncio.to_thread(self._database_ok),
            "listeners": self._serving(),
        }
        failed = [name for name, ok in parts.items() if not ok]
        if failed:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {', '.join(failed)}")
        return JSONResponse({"status": "ok"})

    async def about(self, _request: Request) -> Response:
        providers = self._config.identity.providers
        return JSONResponse(
            {
                "name": "gatebook",
                "version": __version__,
                "token_path": "/api/v1/token",
                "providers": [{"name": one.name, "issuer": one.issuer, "audience": one.audience} for one in providers],
            }
        )

    async def token(self, request: Request) -> Response:
        return await exchange(request, self._door, self._tokens, self._config.identity.token_seconds)

    async def whoami(self, request: Request) -> Response:
        identity = await self._door.bearer(request)
        attributes = {name: {"value": one.value, "attested": one.attested} for name, one in identity.attributes.items()}
        return JSONResponse(
            {
                "subject": identity.subject,
                "issuer": identity.issuer,
                "kind": identity.kind,
                "groups": sorted(identity.groups),
                "attributes": attributes,
                "on_behalf_of": identity.on_behalf_of,
                "proven_at": identity.proven_at,
                "expires_at": identity.expires_at,
            }
        )

    async def targets(self, request: Request) -> Response:
        identity, why = await self._door.bearer(request), request.query_params.get("why", "")
        open_to = [one for one in self._config.targets if self._may_open(identity, one.name, why)]
        listed = [self._place(one, identity) for one in open_to]
        return JSONResponse({"targets": [place for place in listed if place is not None]})

    def _place(self, target: TargetConfig, identity: Identity) -> dict[str, object] | None:
        """Where a client finds a target: the gateway's public host, the port of the listener for its protocol."""
        listeners, name, protocol = self._config.listeners, target.name, target.protocol
        listener = {"postgres": listeners.postgres, "http": listeners.http, "ssh": listeners.ssh}[target.door]
        if listener is None:
            return None
        host = urlsplit(listeners.public_url).hostname or ""
        port = listener.port if isinstance(listener, HttpListener) else listener.bind.port
        place = {"name": name, "protocol": protocol, "host": host, "port": port, "tls": is_private(listener)}
        return (
            place
            | {"user": identity.subject}
            | (_addresses(target, host, listener) if isinstance(listener, HttpListener) else {})
        )

    def _database_ok(self) -> bool:
        try:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT count(*) FROM alembic_version"))
        except SQLAlchemyError:
            return False
        return True


def is_private(listener: Listener | SshListener) -> bool:
    """Whether nobody on the way can read what clients send there."""
    return isinstance(listener, SshListener) or listener.tls is not None


def _addresses(target: TargetConfig, host: str, listener: HttpListener) -> dict[str, str]:
    """Where a target is that speaks HTTP: below a path, and an API on a host of its own where the listener has a domain."""
    name = target.name
    prefix = next(one for one, protocol in PREFIXES.items() if protocol == target.protocol)
    scheme, shown = "https" if listener.tls is not None else "http", f"[{host}]" if ":" in host else host
    own = {"own_url": listener.origin_of(name)} if listener.domain and target.protocol == "http" else {}
    return {"url": f"{scheme}://{shown}:{listener.port}{prefix}{name}"} | own
