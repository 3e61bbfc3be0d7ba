"""The least that a hop can cost here: bytes passed on by uvloop, both ways, looked at by nobody. For ``bench.statements``.

    python -m bench.splice PORT TARGET_PORT [CERT KEY]

With a certificate it answers a client's SSLRequest with yes and speaks TLS to it. Nothing is authenticated.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import uvloop

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class Server(asyncio.Protocol):
    """The target's side."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.client.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.client.transport.close()


class Client(asyncio.Protocol):
    """The client's side."""

    def __init__(self, target: int, context: ssl.SSLContext | None) -> None:
        self.target, self.context = target, context
        self.early: list[bytes] = []
        self.server: Server | None = None
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        first, self.transport = self.transport is None, transport
        if first:
            self.task = asyncio.get_running_loop().create_task(self.connect())

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, server = await loop.create_connection(lambda: Server(self), "127.0.0.1", self.target)
        for data in self.early:
            server.transport.write(data)
        self.server = server

    async def secure(self) -> None:
        secured = await asyncio.get_running_loop().start_tls(self.transport, self, self.context, server_side=True)
        self.transport, self.context = secured, None

    def data_received(self, data: bytes) -> None:
        if data == SSL_REQUEST and self.context is not None:
            self.transport.write(b"S")
            self.task = asyncio.get_running_loop().create_task(self.secure())
        elif self.server is None:
            self.early.append(data)
        else:
            self.server.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.server is not None:
            self.server.transport.close()


async def serve(port: int, target: int, context: ssl.SSLContext | None) -> None:
    """Listen and pass on, until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Client(target, context), "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Read the ports and serve."""
    context = None
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2]), context))


if __name__ == "__main__":
    main()
