"""A connection before anybody is known on it: it is let in, its relay made, TLS begun if it is asked for, its time limited.

The rest of its life is ``connection.py``'s.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from abc import abstractmethod
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

import structlog

from gatebook.config.values import is_loopback
from gatebook.gateway.doorway import TlsError, secure
from gatebook.gateway.reads import Reader
from gatebook.protocols.postgres.refusal import too_many
from gatebook.protocols.postgres.relay import PostgresRelay

if TYPE_CHECKING:
    from gatebook.gateway.connection import Connection
    from gatebook.gateway.gateway import Gateway

UNSENT_BYTES = 1  # towards the client, and the target is no longer read: the kernel has room for what keeps both busy

log = structlog.get_logger("gatebook.session")


class Doorstep(Reader):
    """The part of ``Connection`` that begins it."""

    def __init__(self, gateway: Gateway, certificate: ssl.SSLContext | None) -> None:
        self._gateway, self._certificate = gateway, certificate
        self._client: asyncio.Transport | None = None
        self._relay: PostgresRelay | None = None
        self._address = ""
        self.keys = gateway.new_keys()
        self._reads, self._finished = True, False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here, or TLS stands: asyncio says so in the same way."""
        self._reads = True
        self._client = client = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        client.set_write_buffer_limits(high=UNSENT_BYTES)
        if self._relay is not None:
            return
        peer = transport.get_extra_info("peername") or ("", 0)
        self._address = str(peer[0])
        if why := self._gateway.admit(cast("Connection", self), self._address):
            client.write(too_many(why))
            client.close()
            self._finished = True
            return
        self._relay = self._new_relay(secure=is_loopback(self._address), offers_tls=self._certificate is not None)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(self._gateway.login_seconds, self._too_slow)

    def _new_relay(self, *, secure: bool, offers_tls: bool) -> PostgresRelay:
        return PostgresRelay(
            secure=secure,
            offers_tls=offers_tls,
            keys=self.keys,
            secret=f"gatebook-{secrets.token_hex(16)}",
            bearer=self._gateway.bearer,
            stretched=self._gateway.stretched,
            facts=self._gateway.facts,
        )

    def _start_tls(self, data: bytes) -> None:
        if self._client is None or self._certificate is None:
            raise AssertionError("TLS was offered without a certificate")
        self._push()
        self._client.pause_reading()
        self._reads = False
        self._client.write(data)
        self._spawn(self._secure(self._client, self._certificate, b""))

    def _begin_tls(self, begun: bytes) -> None:
        """TLS begins without having been asked for; it does so once, since what comes next comes through it."""
        if self._client is None or self._certificate is None:
            return
        self._client.pause_reading()
        self._reads = False
        self._relay, certificate = self._new_relay(secure=True, offers_tls=False), self._certificate
        self._certificate = None
        self._spawn(self._secure(self._client, certificate, begun))

    async def _secure(self, plain: asyncio.Transport, certificate: ssl.SSLContext, begun: bytes) -> None:
        try:
            secured = await secure(plain, self, certificate, self._gateway.login_seconds, begun)
        except TlsError as error:
            log.info("no TLS", client=self._address, why=str(error))
            self._finish(str(error))
            return
        if self._finished:
            secured.abort()
        else:
            self.connection_made(secured)
            self.flow()

    def _too_slow(self) -> None:
        self.end(f"the login took longer than {self._gateway.login_seconds:.0f} s")

    @abstractmethod
    def end(self, why: str) -> None:
        """The gateway ends the session; the client is told why."""

    @abstractmethod
    def flow(self) -> None:
        """Read each side only while the other takes more."""

    @abstractmethod
    def _push(self) -> None: ...

    @abstractmethod
    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...

    @abstractmethod
    def _finish(self, why: str) -> None: ...
