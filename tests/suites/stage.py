"""A PostgreSQL and a gateway before it that allows everything and covers nothing: what differs there is the gateway's doing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed.gateways import LiveGateway, World
from tests.testbed.issuer import LiveIssuer
from tests.testbed.servers import with_shop

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.parts import SUPERUSER, EmbeddedPostgres, PostgresServer
from gatebook.cli.demo.processes import write_private

ROLE, DATABASE = "suite", "suite"
ROLES = (ROLE, SUPERUSER)  # some suites insist on the latter
SETTINGS = {"max_connections": "200", "wal_level": "logical", "max_prepared_transactions": "10"}
TOKEN_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Way:
    """How a suite reaches the server: directly, or through the gateway."""

    port: int
    password: str
    database: str = DATABASE
    gated: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables that every driver reads, inside of no TLS: both ways are on loopback."""
        return {
            "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": ROLE, "PGPASSWORD": self.password,
            "PGDATABASE": self.database, "PGSSLMODE": "disable",
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where suites run."""

    direct: Way
    through: Way
    gateway: LiveGateway
    server: PostgresServer


class Open(LiveGateway):
    """A gateway before the suites' server alone."""

    def _targets(self, _password: Path) -> list[dict[str, Any]]:
        return [dict(one) for one in self.extra_targets]


@contextmanager
def place(folder: Path, *databases: str, makes: tuple[str, ...] = ()) -> Iterator[Place]:
    """Start server and gateway, and end them. ``databases`` are those a suite connects to; it ``makes`` others itself."""
    issuer = LiveIssuer()
    server = with_shop(EmbeddedPostgres(folder / "server", settings=SETTINGS))
    server.sql(f"CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{server.password}'")
    for name in {DATABASE, *databases} - set(makes):
        server.sql(f"CREATE DATABASE {name} OWNER {ROLE}")
    kept = folder / "password"
    write_private(kept, server.password)
    targets = [
        {
            "name": name, "database": name, "address": f"127.0.0.1:{server.port}", "tls": {"mode": "disable"}, "masks": [],
            "protocol": "postgres", "default_role": ROLE,
            "roles": {role: {"password": f"file:{kept}"} for role in ROLES},
        }
        for name in dict.fromkeys((DATABASE, "postgres", *databases, *makes))
    ]  # fmt: skip
    world = World(Authority(folder / "authority", "suites"), issuer, server)
    more = {"masking": {"detectors": []}}
    gateway = Open(folder / "gateway", world, allows_all=True, extra_targets=targets, more=more)
    try:
        gateway.start()
        token = issuer.mint(exp=int(time.time()) + TOKEN_SECONDS)
        yield Place(Way(server.port, server.password), Way(gateway.port, token, gated=True), gateway, server)
    finally:
        if gateway.alive:
            gateway.stop()
        server.remove()
        issuer.close()
