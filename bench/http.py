"""What a request costs: wrk on 1 KB and 100 KB, a large download and upload, direct, through Gatebook and HAProxy, beside each
other.

    python -m bench.http [--seconds 4] [--rounds 3] [--clients 16] [--upload 1000]

The client's side is TLS on every way but direct, where it is too (nginx's own). CPU is that of all processes of the hop: for
Gatebook its supervisor, workers and web process, with policy, detectors, ledger and recording on. Ways are driven in turn,
forwards and backwards; the machine may be busy, so compare ratios within one run. It needs nginx, haproxy and wrk. Nothing but
loopback is used.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
from bench.connects import cpu
from tests.testbed.gateways import LiveGateway, World, free_port
from tests.testbed.issuer import LiveIssuer

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.parts import EmbeddedPostgres
from gatebook.cli.demo.processes import answers, wait_until

NGINX = """
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {home}/body; client_max_body_size 0; keepalive_requests 1000000; sendfile on;
  proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  types {{ application/json json; image/png png; }}
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{ root {home}/www; }}
    location /upload {{ dav_methods PUT; root {home}/www; }}
  }}
}}
"""
HAPROXY = """
global
  pidfile {home}/haproxy.pid
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend door
  bind 127.0.0.1:{port} ssl crt {home}/both.pem
  default_backend api
backend api
  server api 127.0.0.1:{plain}
"""


@dataclass(frozen=True)
class Way:
    """One way to the API: where, with which header, and its hop's CPU seconds so far."""

    name: str
    url: str
    header: str
    hop: Callable[[], float] | None


@dataclass(frozen=True)
class Found:
    """Requests a second; of the hop, CPU microseconds for each; the median, in milliseconds."""

    rate: float
    micros: float
    median: float


def wrk(way: Way, path: str, seconds: float, clients: int) -> Found:
    began = way.hop() if way.hop else 0.0
    argv = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--latency", "-H", way.header or "X-None: 1", way.url + path]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    used = (way.hop() if way.hop else 0.0) - began
    if bad := re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", said):
        print(f"  {way.name} {path}: {bad[0]}")
    count = int(re.search(r"(\d+) requests in", said)[1])
    shown = re.search(r"^\s+50%\s+([\d.]+)(\w+)", said, re.M)
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}[shown[2]]
    return Found(float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), used / count * 1e6, float(shown[1]) * scale)


def curl(way: Way, *arguments: str) -> tuple[float, float]:
    """Seconds that it took, and CPU seconds of the hop."""
    began, start = (way.hop() if way.hop else 0.0), time.monotonic()
    subprocess.run(["curl", "-sSfk", "-o", "/dev/null", "-H", way.header or "X-None: 1", *arguments], check=True)
    return time.monotonic() - start, (way.hop() if way.hop else 0.0) - began


def tree(pid: int) -> Callable[[], float]:
    process = psutil.Process(pid)
    return lambda: cpu(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("seconds", 4.0), ("rounds", 3), ("clients", 16), ("upload", 1000), ("download", 200)):
        parser.add_argument(f"--{name}", type=type(value), default=value)
    wanted = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatebook-bench-")))
        ways, gateway = build(stack, home, wanted.download)
        for path, what in (("/1k.json", "1 KB of JSON"), ("/100k.json", "100 KB of JSON"), ("/100k.png", "100 KB unread")):
            found: dict[str, list[Found]] = {way.name: [] for way in ways}
            for number in range(wanted.rounds):
                for way in ways if number % 2 == 0 else ways[::-1]:
                    found[way.name].append(wrk(way, path, wanted.seconds, wanted.clients))
            print(f"\n{what}")
            direct = statistics.median(one.rate for one in found["direct"])
            for name, all_found in found.items():
                rate, micros = (statistics.median(getattr(one, part) for one in all_found) for part in ("rate", "micros"))
                median = statistics.median(one.median for one in all_found)
                print(f"  {name:10} {rate:9.0f}/s {rate / direct:5.2f} of direct {micros:8.0f} µs CPU {median:7.2f} ms median")
        print("\np50 at one client")
        for way in ways:
            print(f"  {way.name:10} {wrk(way, '/1k.json', wanted.seconds, 1).median:7.2f} ms")
        bulk(ways, home, wanted, gateway)


def bulk(ways: list[Way], home: Path, wanted: argparse.Namespace, gateway: LiveGateway) -> None:
    print(f"\ndownload of {wanted.download} MB, unread")
    for way in ways:
        seconds, used = curl(way, f"{way.url}/large.png")
        print(f"  {way.name:10} {wanted.download / seconds:7.0f} MB/s {used / wanted.download * 1000:6.2f} CPU s/GB")
    source = home / "upload"
    with source.open("wb") as file:
        file.truncate(wanted.upload * 1_000_000)
    before = gateway.memory_kilobytes
    print(f"\nupload of {wanted.upload} MB")
    for way in ways:
        fields = ("-H", "Content-Type: application/octet-stream", "-H", "Expect:", "-T", str(source))
        seconds, used = curl(way, *fields, f"{way.url}/upload/{way.name}")
        print(f"  {way.name:10} {wanted.upload / seconds:7.0f} MB/s {used / wanted.upload * 1000:6.2f} CPU s/GB")
    print(f"  memory of the worker: {before / 1024:.0f} MiB before, {gateway.memory_kilobytes / 1024:.0f} MiB after")


def build(stack: ExitStack, home: Path, megabytes: int, *more: dict[str, object]) -> tuple[list[Way], LiveGateway]:
    authority = Authority(home / "tls")
    made = authority.certificate("gateway")
    www = home / "www"
    (www / "upload").mkdir(parents=True)
    home.chmod(0o755)
    one = {"id": 1, "name": "Ada Brown", "note": "nothing to see here, and quite a lot of it", "tags": ["a", "b", "c"]}
    (www / "1k.json").write_text(json.dumps([one] * 9))
    (www / "100k.json").write_text(json.dumps([one] * 910))
    (www / "100k.png").write_bytes(bytes(range(256)) * 400)
    (www / "large.png").write_bytes(bytes(range(256)) * (megabytes * 1_000_000 // 256))
    for path in (www / "upload", *www.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    plain, tls, port = free_port(), free_port(), free_port()
    (home / "nginx.conf").write_text(NGINX.format(home=home, plain=plain, tls=tls, cert=made.cert, key=made.key))
    start(stack, ["nginx", "-c", str(home / "nginx.conf")], plain)
    (home / "both.pem").write_bytes(Path(made.cert).read_bytes() + Path(made.key).read_bytes())
    (home / "haproxy.cfg").write_text(HAPROXY.format(home=home, port=port, plain=plain))
    haproxy = start(stack, ["haproxy", "-f", str(home / "haproxy.cfg"), "-db"], port)
    issuer = LiveIssuer()
    stack.callback(issuer.close)
    database = EmbeddedPostgres(home / "postgres")  # of the targets that nobody opens here: it is never started
    database.port = free_port()
    api = {"name": "api", "protocol": "http", "origins": [f"http://127.0.0.1:{plain}"], "default_role": "agent"}
    gateway = LiveGateway(
        home / "gateway", World(authority, issuer, database), apis=[api | {"roles": {"agent": {}}}, *more], allows_all=True
    ).start()
    stack.callback(gateway.stop)
    bearer = f"Authorization: Bearer {gateway.gateway_token()}"
    ways = [
        Way("direct", f"https://127.0.0.1:{tls}", "", None),
        Way("haproxy", f"https://127.0.0.1:{port}", "", tree(haproxy.pid)),
        Way("gatebook", f"{gateway.http_url}/api", bearer, tree(gateway.process.pid)),
    ]
    return ways, gateway


def start(stack: ExitStack, argv: list[str], port: int) -> subprocess.Popen[bytes]:
    program = shutil.which(argv[0], path="/usr/sbin:/usr/bin:/bin")
    if program is None:
        raise SystemExit(f"{argv[0]} is not here: apt-get install nginx-light haproxy wrk")
    process = subprocess.Popen([program, *argv[1:]], stdout=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    if not wait_until(lambda: answers(port), 10):
        raise SystemExit(f"{argv[0]} did not start")
    return process


if __name__ == "__main__":
    main()
