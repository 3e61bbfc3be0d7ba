"""A plain TLS proxy that puts an opening and its passage between a real client and a real API server, and nothing else."""

from __future__ import annotations

import secrets
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gatebook.cli.demo.certificates import Authority
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.dialect import Passage
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.tunnel import Moved
from gatebook.protocols.kubernetes.opening import Opening, Purpose
from gatebook.protocols.terminals import Kind, frames

HOP = (b"connection", b"upgrade")


@dataclass
class Seen:
    """What passed through one upgraded connection."""

    protocol: str = ""
    shown: list[tuple[Kind, bytes]] = field(default_factory=list)
    client: list[bytes] = field(default_factory=list)
    target: list[bytes] = field(default_factory=list)
    passage: Passage | None = None

    def told(self, *kinds: Kind) -> bytes:
        return b"".join(data for kind, data in self.shown if kind in kinds)


def _head(data: bytes) -> tuple[bytes, Fields]:
    first, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    return first, tuple((name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines))


def _written(first: bytes, fields: Fields, upgrade: str) -> bytes:
    kept = [name + b": " + value for name, value in fields if name not in HOP]
    return b"\r\n".join([first, *kept, b"Connection: Upgrade", b"Upgrade: " + upgrade.encode(), b"", b""])


class Proxy:
    """Each connection has a thread."""

    def __init__(self, server: str, ca: Path, folder: Path, plan: Plan) -> None:
        parts = urlsplit(server)
        self._there, self._plan = (str(parts.hostname), int(parts.port or 443)), plan
        self._out = ssl.create_default_context(cafile=str(ca))
        authority = Authority(folder)
        own = authority.certificate("proxy")
        self.ca = authority.path
        self._in = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._in.load_cert_chain(own.cert, own.key)
        self.seen: list[Seen] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                threading.Thread(target=self._connected, args=(self.listener.accept()[0],), daemon=True).start()

    def _connected(self, raw: socket.socket) -> None:
        with suppress(OSError, EOFError), self._in.wrap_socket(raw, server_side=True) as client:
            head, early = _until_empty_line(client)
            host, port = self._there
            with self._out.wrap_socket(socket.create_connection((host, port)), server_hostname=host) as target:
                self._serve(client, target, head, early)

    def _serve(self, client: ssl.SSLSocket, target: ssl.SSLSocket, head: bytes, early: bytes) -> None:
        first, fields = _head(head)
        upgrade = next((value.decode().lower() for name, value in fields if name == b"upgrade"), "")
        if not upgrade:
            target.sendall(head + early)
            _carry(client, target)
            return
        method, where, _ = first.decode().split(" ")
        request = Request(method, "https", "k8s", where, fields, upgrade)
        opening = Opening(request, Purpose(request.path.rpartition("/")[2]), secrets.token_bytes)
        told = Request(method, "https", "k8s", where, opening.offered(fields), upgrade)
        target.sendall(_written(first, told.fields, upgrade))
        answered, more = _until_empty_line(target)
        said, fields = _head(answered)
        response = Response(int(said.split(b" ")[1]), tuple(one for one in fields if one[0] not in HOP))
        assert response.status == 101, answered
        opening.agreed(told, response)
        client.sendall(_written(said, opening.answer(response.fields).fields, upgrade))
        passage = opening.passage(self._plan, ())
        seen = Seen(passage=passage, protocol=upgrade)
        self.seen.append(seen)
        _carry(client, target, seen, early, more)


def _until_empty_line(end: ssl.SSLSocket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = end.recv(65_536)
        if not piece:
            raise EOFError
        data += piece
    place = data.index(b"\r\n\r\n") + 4
    return data[:place], data[place:]


def _carry(
    client: ssl.SSLSocket, target: ssl.SSLSocket, seen: Seen | None = None, early: bytes = b"", more: bytes = b""
) -> None:
    """Until either side has ended."""

    def moved(made: Moved) -> None:
        assert seen is not None
        seen.shown += frames(made.shown)
        target.sendall(made.to_target)
        client.sendall(made.to_client)

    def take(end: ssl.SSLSocket, data: bytes) -> None:
        if seen is None or seen.passage is None:
            (target if end is client else client).sendall(data)
        elif end is client:
            seen.client.append(data)
            moved(seen.passage.from_client(data))
        else:
            seen.target.append(data)
            moved(seen.passage.from_target(data))

    for end, data in ((client, early), (target, more)):
        if data:
            take(end, data)
    try:
        while True:
            waits = seen.passage.waits if seen is not None and seen.passage is not None else 0.0
            ready = [end for end in (client, target) if end.pending()]
            ready = ready or select.select([client, target], [], [], waits or None)[0]
            if not ready and seen is not None and seen.passage is not None:
                moved(seen.passage.idle())
            for end in ready:
                data = end.recv(65_536)
                if not data:
                    return
                take(end, data)
    finally:
        if seen is not None and seen.passage is not None:
            with suppress(OSError):
                moved(seen.passage.ended())


@contextmanager
def between(server: str, ca: Path, folder: Path, plan: Plan) -> Iterator[Proxy]:
    """A proxy in front of an API server."""
    proxy = Proxy(server, ca, folder, plan)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.listener.shutdown(socket.SHUT_RDWR)
        proxy.listener.close()
        thread.join(10)
