"""TLS at the client's door: seen by a connection's first byte when it begins at once, and stood up either way.

Bytes that were read cannot go back into a TLS handshake, so the first byte stays where it is: it is looked at through a second
descriptor of the same socket, while the transport does not read. TLS that begins without having been asked for must name
PostgreSQL by ALPN, else another protocol's client may have been sent here to have its bytes read as PostgreSQL's (ALPACA).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable

from gatebook.errors import GatebookError

ALPN = "postgresql"  # manual: "ALPN Protocol ID"
TLS_HANDSHAKE = b"\x16"  # the record type that a ClientHello comes in; no start packet of PostgreSQL begins so


class TlsError(GatebookError):
    """The client's TLS does not stand."""


async def secure(
    plain: asyncio.Transport, protocol: asyncio.Protocol, certificate: ssl.SSLContext, seconds: float, *, direct: bool
) -> asyncio.Transport:
    """TLS over this connection, as its server; ``direct`` when it begins by itself. Raises TlsError."""
    loop = asyncio.get_running_loop()
    try:
        secured = await loop.start_tls(plain, protocol, certificate, server_side=True, ssl_handshake_timeout=seconds)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"the TLS handshake failed: {error}") from error
    if secured is None:
        raise TlsError("the client closed the connection during the TLS handshake")
    if direct and secured.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
        secured.abort()
        raise TlsError(f"TLS came first, and without the ALPN protocol {ALPN}")
    return secured


class FirstByte:
    """Waits for the byte of a transport whose reading is paused, then calls ``heard`` with it, or with nothing at the end."""

    def __init__(self, transport: asyncio.Transport, heard: Callable[[bytes], None]) -> None:
        self._loop, self._heard = asyncio.get_running_loop(), heard
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._loop.add_reader(self._socket.fileno(), self._look)

    def _look(self) -> None:
        try:
            first = self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        self.close()
        self._heard(first)

    def close(self) -> None:
        """Wait no longer."""
        if self._socket.fileno() >= 0:
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
