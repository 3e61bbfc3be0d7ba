"""Fixtures of the last ring: real servers and a real gateway, started once for all tests, and a book checked after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.clusters import Cluster, shared_folder
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import Hosted
from tests.testbed.hosts import Host
from tests.testbed.issuer import LiveIssuer
from tests.testbed.servers import embedded, with_tls

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.parts import PostgresServer

NAMES = (b"agent-7", b'"dana"', b'127.0.0.1"', b'::1"')  # who the ring's clients are, and where they come from


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "Gatebook test authority")


@pytest.fixture(scope="session")
def live_issuer() -> Iterator[LiveIssuer]:
    issuer = LiveIssuer()
    yield issuer
    issuer.close()


@pytest.fixture(scope="session")
def plain_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL 18 from the wheel, without TLS."""
    server = embedded(tmp_path_factory.mktemp("plain"))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def tls_postgres(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[PostgresServer]:
    """The system's PostgreSQL, inside TLS alone."""
    server = with_tls(tmp_path_factory.mktemp("tls"), authority)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kubernetes for the whole run."""
    cluster = Cluster(shared_folder(tmp_path_factory.getbasetemp())).start()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """An OpenSSH server for the tests of one file; ``door`` is the gateway that they put in front of it."""
    host = Host(tmp_path_factory.mktemp("host")).start()
    yield host
    host.close()


@pytest.fixture
def web1(door: LiveGateway, host: Host, tmp_path: Path) -> Hosted:
    """One who reaches it through that gateway."""
    return Hosted(door, host, tmp_path)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of a test's own in the cluster."""
    name = cluster.new_namespace()
    yield name
    cluster.remove_namespace(name)


@pytest.fixture(scope="session")
def world(authority: Authority, live_issuer: LiveIssuer, plain_postgres: PostgresServer, tls_postgres: PostgresServer) -> World:
    return World(authority, live_issuer, plain_postgres, tls_postgres)


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[LiveGateway]:
    gateway = LiveGateway(tmp_path_factory.mktemp("gateway"), world).start()
    yield gateway
    assert gateway.stop() == 0, gateway.log
    gateway.verified()
    book = gateway.book_bytes()
    assert [name for name in NAMES if name in book] == [], "people and addresses stand in the book as commitments"


@pytest.fixture
def gateway(shared_gateway: LiveGateway) -> Iterator[LiveGateway]:
    """The gateway of all tests; after each it must still run, its log be free of tracebacks, and its book verify."""
    mark = len(shared_gateway.log)
    yield shared_gateway
    assert shared_gateway.alive, shared_gateway.log
    assert "Traceback" not in shared_gateway.log[mark:]
    shared_gateway.verified()


@pytest.fixture
def new_gateway(tmp_path: Path, world: World) -> Iterator[Callable[..., LiveGateway]]:
    """Starts gateways of a test's own, with other limits or targets; each book is verified at the end."""
    made: list[LiveGateway] = []

    def start(**options: Any) -> LiveGateway:
        gateway = LiveGateway(tmp_path / f"gateway-{len(made)}", world, **options)
        made.append(gateway)
        return gateway.start()

    yield start
    for gateway in made:
        if gateway.alive:
            gateway.stop()
        gateway.verified()
