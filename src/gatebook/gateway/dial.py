"""Dial a PostgreSQL target: TCP, then TLS as its configuration demands, before a byte of the login is sent.

``verify-full`` checks the certificate against the configured authority and the name; a target that answers N to the SSLRequest
is not spoken to in the clear. Bytes that come with the answer, before TLS stands, end the attempt.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import assert_never

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from gatebook.config import PostgresTarget, TargetConfig
from gatebook.config.values import host_of, is_loopback
from gatebook.errors import GatebookError
from gatebook.protocols.postgres import wire

DIAL_SECONDS = 10.0
HEARD_SECONDS = 5.0  # for a target to do what it was told, and to close

log = structlog.get_logger("gatebook.dial")


class DialError(GatebookError):
    """The target cannot be reached, or is not the one it should be."""


class _Answer(asyncio.Protocol):
    """Waits for the one byte that answers an SSLRequest."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(DialError("it closed the connection when asked for TLS"))


async def dial(
    target: PostgresTarget, trust: Trust, protocol: Callable[[], asyncio.BaseProtocol]
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    """Connect and secure; raises DialError with a sentence fit for the client."""
    name = target.target.name
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            return await _dial(target, trust, protocol)
    except (OSError, DialError) as error:
        raise DialError(f"target {name} {fault(error)}") from error


def fault(error: OSError | DialError) -> str:
    """What went wrong with a dial of any protocol, said of its target."""
    match error:
        case TimeoutError():
            return f"did not answer within {DIAL_SECONDS:.0f} s"
        case ssl.SSLError():
            why = getattr(error, "verify_message", "") or error.reason or "handshake failed"
            return f"cannot prove by TLS that it is itself: {why}"
        case OSError():
            return f"cannot be reached: {error.strerror or error}"
        case DialError():
            return f"cannot be reached: {error}"
        case _:
            assert_never(error)


class _Ending(asyncio.Protocol):
    """Waits for the other side to close."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has closed, or broken off."""
        if not self.ended.done():
            self.ended.set_result(None)


async def say_once(target: PostgresTarget, trust: Trust, data: bytes) -> None:
    """A connection that says one thing and ends when the target closes it, which it does once it has done what was said."""
    ending = _Ending()
    try:
        transport, _ = await dial(target, trust, lambda: ending)
    except GatebookError as error:
        log.warning("interrupt did not reach the target", why=str(error))
        return
    try:
        transport.write(data)
        async with asyncio.timeout(HEARD_SECONDS):
            await ending.ended
    except TimeoutError:
        log.warning("the target took an interrupt and did not close its connection", target=target.name)
    finally:
        transport.abort()


async def _dial(
    target: PostgresTarget, trust: Trust, protocol: Callable[[], asyncio.BaseProtocol]
) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    loop = asyncio.get_running_loop()
    host, _, port = target.address.rpartition(":")
    host = host.strip("[]")
    if target.tls.mode == "disable":
        return await loop.create_connection(protocol, host, int(port))
    transport, asking = await loop.create_connection(_Answer, host, int(port))
    try:
        transport.write(wire.ssl_request())
        answer = await asking.answer
        if answer != b"S":
            raise DialError(
                "it does not speak TLS" if answer[:1] == b"N" else "its answer to the TLS request is not PostgreSQL's"
            )
        made = protocol()
        secured = await loop.start_tls(transport, made, trust.context(target), server_hostname=target.tls.name or host)
    except BaseException:
        transport.abort()
        raise
    if secured is None:
        raise DialError("it closed the connection during the TLS handshake")
    made.connection_made(secured)
    return secured, made


def is_private(target: PostgresTarget) -> bool:
    """Whether nobody on the way can read what is sent to the target, nor stand in for it."""
    return target.tls.mode == "verify-full" or is_loopback(host_of(target.address))


def binding(transport: asyncio.Transport) -> bytes:
    """What a login can be bound to: a digest of the target's certificate (RFC 5929, section 4.1); nothing outside of TLS.

    Nothing, too, for a certificate whose signature says no digest (Ed25519): PostgreSQL refuses to bind to those.
    """
    secured = transport.get_extra_info("ssl_object")
    der = secured.getpeercert(binary_form=True) if secured is not None else None
    return _binding_of(der) if der else b""


@lru_cache(maxsize=64)  # certificates of targets
def _binding_of(der: bytes) -> bytes:
    try:
        algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return b""
    if algorithm is None:
        return b""
    weak = isinstance(algorithm, hashes.MD5 | hashes.SHA1)
    digest = hashes.Hash(hashes.SHA256() if weak else algorithm)
    digest.update(der)
    return digest.finalize()


class Trust:
    """What TLS towards targets needs, made once: reading the system's authorities takes longer than a whole login.

    Files are looked at on every dial: one that was replaced counts from the next connection on. Used from one event loop.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[str, ...], str], tuple[tuple[object, ...], ssl.SSLContext]] = {}

    def context(self, target: TargetConfig, alpn: tuple[str, ...] = (), role: str = "") -> ssl.SSLContext:
        """The context for this target, where need be for one of the protocols named. Raises DialError."""
        tls, (cert, private) = target.tls, target.certificate(role)
        state = (tls, *(_state(path) for path in (tls.ca, cert, private, *_SYSTEM)))
        key = target.target.name, alpn, str(cert)
        found = self._kept.get(key)
        if found is None or found[0] != state:
            found = self._kept[key] = (state, _context(target, cert, private))
            if alpn:
                found[1].set_alpn_protocols(alpn)
        return found[1]


_PATHS = ssl.get_default_verify_paths()
_SYSTEM = (_PATHS.cafile, _PATHS.capath)


def _state(path: Path | str | None) -> tuple[object, ...]:
    """What differs once a file was written anew, or another one put in its place."""
    if path is None:
        return ()
    try:
        found = os.stat(path)
    except OSError:
        return (path,)  # what is wrong with it, whoever reads it says
    return path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _context(target: TargetConfig, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if target.tls.mode == "verify-full":
        if target.tls.ca is not None:
            context.load_verify_locations(target.tls.ca)
        else:
            context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise DialError(f"the gateway's certificate for it cannot be used: {error}") from error
    return context
