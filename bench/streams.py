"""What long and large answers cost: open event streams, a large download and upload, and the memory of the worker meanwhile.

    python -m bench.streams [--streams 500] [--download 10000] [--upload 1000] [--idle 10]

Direct, through HAProxy and through Gatebook in one run; sizes in MB, of zeros in a file without blocks. Memory is the worker's
resident set, looked at ten times a second: *grew* is the highest of it less what it was before. Policy, detectors, ledger and
recording are on. It needs nginx and haproxy. Nothing but loopback is used.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from bench.http import Way, build, curl
from tests.testbed.gateways import LiveGateway, free_port

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id": 1, "name": "Ada Brown"}\n\n'


class Growth:
    """How far the memory of a worker grew, in MiB."""

    def __init__(self) -> None:
        self.before = self.highest = 0.0


@contextmanager
def grows(gateway: LiveGateway) -> Iterator[Growth]:
    """Look at it while this lasts."""
    growth, over = Growth(), threading.Event()
    growth.before = growth.highest = gateway.memory_kilobytes / 1024

    def look() -> None:
        while not over.wait(0.1):
            growth.highest = max(growth.highest, gateway.memory_kilobytes / 1024)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield growth
    finally:
        over.set()
        looking.join()


class Events(asyncio.Protocol):
    """A target that says one event to whoever asks, and then nothing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(HEAD + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))


def serve_events(port: int) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Events, "127.0.0.1", port, backlog=1024)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()


def streams(gateway: LiveGateway, way: Way, count: int, idle: float) -> None:
    context = ssl.create_default_context(cafile=str(gateway.world.authority.path))
    with ExitStack() as stack:
        before = gateway.memory_kilobytes
        for _ in range(count):
            tcp = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.http_port), timeout=60))
            peer = stack.enter_context(context.wrap_socket(tcp, server_hostname="127.0.0.1"))
            peer.sendall(f"GET /http/events/ HTTP/1.1\r\nhost: x\r\n{way.header}\r\n\r\n".encode())
            said = b""
            while b"Ada Brown" not in said:
                if not (more := peer.recv(4096)):
                    raise SystemExit(f"a stream was refused: {said.decode(errors='replace')}")
                said += more
        each = (gateway.memory_kilobytes - before) / count
        used, begun = way.hop() if way.hop else 0.0, time.monotonic()
        time.sleep(idle)
        share = ((way.hop() if way.hop else 0.0) - used) / (time.monotonic() - begun)
    print(f"{count} event streams: {each:.0f} KiB each, {share * 100:.1f} % of a core while nothing comes")


def large(ways: list[Way], gateway: LiveGateway, home: Path, wanted: argparse.Namespace) -> None:
    source = home / "www" / "huge.png"
    for what, size in (("download", wanted.download), ("upload", wanted.upload)):
        with source.open("wb") as file:
            file.truncate(size * 1_000_000)
        source.chmod(0o644)
        direct = 0.0
        for way in ways:
            sent = ("-H", "Content-Type: application/octet-stream", "-H", "Expect:", "-T", str(source))
            told = (f"{way.url}/huge.png",) if what == "download" else (*sent, f"{way.url}/upload/{way.name}")
            with grows(gateway) as growth:
                seconds, used = curl(way, *told)
            (home / "www" / "upload" / way.name).unlink(missing_ok=True)  # the target keeps what came, block by block
            direct = direct or seconds
            grew = f", grew by {growth.highest - growth.before:.0f} MiB" if way.name == "gatebook" else ""
            cpu = f"{used / size * 1000:.2f} CPU s/GB" if way.hop else ""
            print(f"{what} of {size} MB {way.name:9} {size / seconds:6.0f} MB/s {direct / seconds:5.2f} of direct {cpu}{grew}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("streams", 500), ("download", 10_000), ("upload", 1000), ("idle", 10.0)):
        parser.add_argument(f"--{name}", type=type(value), default=value)
    wanted = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatebook-bench-")))
        port = free_port()
        serve_events(port)
        events = {"name": "events", "protocol": "http", "origins": [f"http://127.0.0.1:{port}"], "default_role": "agent"}
        ways, gateway = build(stack, home, 1, events | {"roles": {"agent": {}}})
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        streams(gateway, ways[-1], wanted.streams, wanted.idle)
        large(ways, gateway, home, wanted)


if __name__ == "__main__":
    main()
