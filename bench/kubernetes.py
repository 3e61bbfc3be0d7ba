"""What a cluster costs through Gatebook: small GETs, a large list, a command's output and idle watches, direct beside Gatebook.

    python -m bench.kubernetes [--objects 5000] [--megabytes 200] [--watches 500] [--gets 150] [--rate 80] [--rounds 3]

A real API server, built by scripts/kubernetes; policy, detectors, ledger and recording are on. Ways are driven in turn and the
best of the rounds counts; the machine may be busy, so compare ratios within one run. Both ways show the API server a
certificate, which it verifies for each request; the client is Python's, whose own part is in both.

Small GETs are asked twice on the same connections: each as soon as the last is answered, so that what every process on the way
costs is waited for, and so many a second in all, as clients of a cluster ask.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tests.testbed.clustered import ANYTHING, cluster_target
from tests.testbed.clusters import PROGRAMS, Cluster
from tests.testbed.gateways import LiveGateway, World, free_port
from tests.testbed.issuer import LiveIssuer

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.parts import EmbeddedPostgres

CONNECTIONS = 8


@dataclass(frozen=True)
class Way:
    """One way to the cluster."""

    name: str
    url: str
    context: ssl.SSLContext
    fields: Mapping[str, str]
    kubeconfig: Path

    @property
    def base(self) -> str:
        """What stands before each path."""
        return urlsplit(self.url).path

    def connection(self) -> HTTPSConnection:
        """One to there, not opened yet."""
        return HTTPSConnection(urlsplit(self.url).netloc, context=self.context, timeout=120)


def gets(way: Way, path: str, count: int, rate: float = 0.0) -> float:
    """The median of small GETs on several connections at once, in milliseconds; with a rate of so many a second in all."""
    took: list[float] = []

    def ask(number: int) -> None:
        with closing(way.connection()) as connection:
            _get(connection, way, path)
            start = time.perf_counter() + number / rate if rate else 0.0
            for turn in range(count):
                if rate:
                    time.sleep(max(0.0, start + turn * CONNECTIONS / rate - time.perf_counter()))
                begun = time.perf_counter()
                _get(connection, way, path)
                took.append((time.perf_counter() - begun) * 1000)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CONNECTIONS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if len(took) != CONNECTIONS * count:
        raise SystemExit(f"of {CONNECTIONS * count} GETs {len(took)} were answered")
    return statistics.median(took)


def _get(connection: HTTPSConnection, way: Way, path: str) -> bytes:
    connection.request("GET", way.base + path, headers=way.fields)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != HTTPStatus.OK:
        raise SystemExit(f"{way.name} {path}: {answer.status} {content[:300].decode(errors='replace')}")
    return content


def listed(way: Way, path: str) -> tuple[float, int]:
    """Seconds for a list, which the client decodes as it comes, and its bytes."""
    with httpx.Client(base_url=way.url, verify=way.context, headers=way.fields, timeout=120, trust_env=False) as client:
        begun = time.perf_counter()
        answer = client.get(path)
        answer.raise_for_status()
        return time.perf_counter() - begun, len(answer.content)


def streamed(way: Way, environment: Mapping[str, str], megabytes: int) -> float:
    """Seconds in which a command in a pod says so much."""
    said = f"yes 'a line of plain text that holds nothing' | head -c {megabytes * 1_000_000}"
    argv = [str(PROGRAMS / "kubectl"), "exec", "p", "--", "sh", "-c", said]
    begun = time.perf_counter()
    subprocess.run(argv, env={**environment, "KUBECONFIG": str(way.kubeconfig)}, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def idle(gateway: LiveGateway, path: str, watches: int) -> float:
    """KiB of the gateway's memory for each watch that is open and says nothing."""
    context = ssl.create_default_context(cafile=str(gateway.world.authority.path))
    token = gateway.gateway_token()
    with ExitStack() as stack:
        before = gateway.memory_kilobytes
        for _ in range(watches):
            tcp = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.http_port), timeout=30))
            peer = stack.enter_context(context.wrap_socket(tcp, server_hostname="127.0.0.1"))
            peer.sendall(f"GET /k8s/prod{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
            if b" 200 " not in (answer := peer.recv(4096)):
                raise SystemExit(f"a watch was refused: {answer.decode(errors='replace')}")
        return (gateway.memory_kilobytes - before) / watches


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("objects", 5000), ("megabytes", 200), ("watches", 500), ("gets", 150), ("rate", 80), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    wish = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatebook-bench-")))
        cluster = Cluster(home / "cluster").start()
        stack.callback(cluster.close)
        gateway = opened(stack, home, cluster)
        measure(wish, cluster, gateway, ways(home, cluster, gateway))


def opened(stack: ExitStack, home: Path, cluster: Cluster) -> LiveGateway:
    issuer = LiveIssuer()
    stack.callback(issuer.close)
    database = EmbeddedPostgres(home / "postgres")  # of the targets that nobody opens here: it is never started
    database.port = free_port()
    world = World(Authority(home / "tls"), issuer, database)
    options = {"apis": [cluster_target(cluster)], "policies": {"ring": ANYTHING}, "allows_all": True}
    gateway = LiveGateway(home / "gateway", world, **options).start()
    stack.callback(gateway.stop)
    return gateway


def ways(home: Path, cluster: Cluster, gateway: LiveGateway) -> list[Way]:
    namespace = cluster.new_namespace()
    cluster.new_pod(namespace)
    url, token = f"https://127.0.0.1:{gateway.http_port}/k8s/prod", gateway.gateway_token()
    user = {"client-certificate": str(cluster.home / "pki/admin.crt"), "client-key": str(cluster.home / "pki/admin.key")}
    direct = cluster.write_kubeconfig(home / "direct", user, namespace=namespace)
    authority = gateway.world.authority.path
    through = cluster.write_kubeconfig(home / "through", {"token": token}, server=url, ca=authority, namespace=namespace)
    admin = ssl.create_default_context(cafile=str(cluster.ca))
    admin.load_cert_chain(user["client-certificate"], user["client-key"])
    client = ssl.create_default_context(cafile=str(authority))
    asked = {"authorization": f"Bearer {token}"}
    return [Way("direct", cluster.url, admin, {}, direct), Way("gatebook", url, client, asked, through)]


def measure(wish: argparse.Namespace, cluster: Cluster, gateway: LiveGateway, between: list[Way]) -> None:
    pod = next(one for one in cluster.call("GET", "/api/v1/pods")["items"] if one["metadata"]["name"] == "p")
    namespace = pod["metadata"]["namespace"]
    where = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.call("POST", where, {"metadata": {"name": f"small-{secrets.token_hex(4)}"}, "data": {"a": "b"}})
    small, many = f"/api/v1/namespaces/{namespace}", cluster.new_namespace()
    cluster.seed(many, "pods", wish.objects)
    environment = cluster.environment()
    found: dict[str, dict[str, list[float]]] = {way.name: {"get": [], "paced": [], "list": [], "exec": []} for way in between}
    size = 0
    for number in range(wish.rounds):
        for way in between if number % 2 == 0 else between[::-1]:
            found[way.name]["get"].append(gets(way, small, wish.gets))
            found[way.name]["paced"].append(gets(way, small, wish.gets, wish.rate))
            seconds, size = listed(way, f"/api/v1/namespaces/{many}/pods")
            found[way.name]["list"].append(seconds)
            found[way.name]["exec"].append(streamed(way, environment, wish.megabytes))
    direct, ours = ({name: min(each) for name, each in found[way.name].items()} for way in between)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, best of {wish.rounds}, recording on")
    print(f"the list has {size / 1e6:.1f} MB")
    for name, unit in (("get", "ms"), ("paced", "ms"), ("list", "s"), ("exec", "s")):
        mine, theirs = ours[name], direct[name]
        print(
            f"{name:5} {theirs:7.2f} {unit} direct {mine:7.2f} {unit} through: {theirs / mine:.2f}, {mine - theirs:.2f} added"
        )
    print(f"an idle watch of {wish.watches}: {idle(gateway, f'{where}?watch=true', wish.watches):.0f} KiB")
    host = urlsplit(cluster.url).hostname
    print(f"target {host}, gateway of {len(gateway.processes())} processes")


if __name__ == "__main__":
    main()
