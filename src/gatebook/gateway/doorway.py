"""TLS at the client's door: told by a connection's first byte when it begins at once, and stood up either way.

TLS that begins without having been asked for must name PostgreSQL by ALPN, else another protocol's client may have been sent
here to have its bytes read as PostgreSQL's (ALPACA). What was read of its handshake already is handed to the TLS protocol
first, before the transport reads on.
"""

from __future__ import annotations

import asyncio
import ssl
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

from gatebook.errors import GatebookError

ALPN = "postgresql"  # manual: "ALPN Protocol ID"
T = TypeVar("T")
TLS_HANDSHAKE = b"\x16"  # the record type that a ClientHello comes in; no start packet of PostgreSQL begins so


class TlsError(GatebookError):
    """The client's TLS does not stand."""


async def secure(
    plain: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    certificate: ssl.SSLContext,
    seconds: float,
    begun: bytes = b"",
    *,
    alpn: str = ALPN,
) -> asyncio.Transport:
    """TLS over this connection, as its server. Raises TlsError.

    ``begun`` is what came of it when it began by itself; then it must name the protocol ``alpn``, unless that is "".
    """
    if plain.is_closing():
        raise TlsError("the client closed the connection before the TLS handshake")
    loop = asyncio.get_running_loop()
    work = loop.start_tls(plain, protocol, certificate, server_side=True, ssl_handshake_timeout=seconds)
    try:
        secured = await _after_its_first_step(work, lambda: loop.call_soon(_hand_over, plain, begun))
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"the TLS handshake failed: {error}") from error
    stands = secured.get_extra_info("ssl_object") if secured is not None else None
    if secured is None or stands is None:  # the latter when it was closed meanwhile
        raise TlsError("the connection was closed during the TLS handshake")
    if begun and alpn and stands.selected_alpn_protocol() != alpn:
        secured.abort()
        raise TlsError(f"TLS came first, and without the ALPN protocol {alpn}")
    return secured


@types.coroutine
def _after_its_first_step(work: Coroutine[Any, Any, T], then: Callable[[], object]) -> Generator[Any, Any, T]:
    """Await ``work``, and do something once it waits for the first time.

    ``start_tls`` schedules the beginning of its protocol and of reading, and then waits for the handshake: what is scheduled
    right behind that runs before the loop reads from the socket.
    """
    try:
        waiting = work.send(None)
        then()
        while True:
            try:
                sent = yield waiting
            except BaseException as error:
                waiting = work.throw(error)
            else:
                waiting = work.send(sent)
    except StopIteration as done:
        return cast(T, done.value)


def _hand_over(plain: asyncio.Transport, begun: bytes) -> None:
    """Give the TLS protocol, which has the transport now, what was read before it had."""
    while begun and not plain.is_closing():
        protocol = cast(asyncio.BufferedProtocol, plain.get_protocol())  # uvloop's is no subclass of it
        buffer = memoryview(protocol.get_buffer(len(begun)))
        size = min(len(begun), len(buffer))
        buffer[:size] = begun[:size]
        protocol.buffer_updated(size)
        begun = begun[size:]
