"""Serves the API in the loop that calls it. Whoever runs the process owns its signals; uvicorn gets none of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gatebook.config import Config, Listener
from gatebook.config.tls import server_context
from gatebook.errors import ConfigError

CONNECTIONS = 500
REQUEST_SECONDS = 15.0  # from connecting, or from the first byte after an answer, to a whole request head
HEAD_BYTES = 32 * 1024  # of a request line and headers: a token of 16 KiB fits
CLOSING_SECONDS = 3  # for requests under way when the gateway stops


async def serve_api(
    config: Config,
    app: ASGIApp,
    *,
    started: Callable[[int], None] | None = None,
    request_seconds: float = REQUEST_SECONDS,
) -> None:
    """Serve ``app`` at ``listeners.api`` until cancelled; ``started`` gets the port. Raises ConfigError when it cannot."""
    listener = config.listeners.api
    context = _tls(listener)
    bound = _bind(listener.bind.host, listener.bind.port)
    server = _Server(_settings(app, context, request_seconds))
    if started:
        started(bound.getsockname()[1])
    try:
        await server.serve([bound])
    except asyncio.CancelledError:
        await server.shutdown([bound])
        raise


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _ImpatientProtocol(H11Protocol):
    """uvicorn waits for ever for a request's head; a few hundred silent clients would use up all connections."""

    def __init__(self, *args: Any, request_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_seconds = request_seconds
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(self._request_seconds, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._patience is not None:
            self._patience.cancel()
            self._patience = None
        elif not answering and self._patience is None:
            self._patience = self.loop.call_later(self._request_seconds, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)


def _settings(app: ASGIApp, context: ssl.SSLContext | None, request_seconds: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(_ImpatientProtocol, request_seconds=request_seconds),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ssl_context_factory=(lambda _config, _default: context) if context else None,
    )


def _tls(listener: Listener) -> ssl.SSLContext | None:
    """TLS 1.2 or later by the configured certificate; without one the listener must be on this machine alone."""
    if listener.tls is None:
        if not listener.bind.loopback:
            raise ConfigError([f"listeners.api: bind: {listener.bind}: expected tls, or an address of loopback"])
        return None
    return server_context(listener.tls, "listeners.api")


def _bind(host: str, port: int) -> socket.socket:
    """uvicorn would end the process when the address is taken."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(
            [f"listeners.api: bind: {host}:{port}: {error.strerror}: expected an address that is free"]
        ) from error
