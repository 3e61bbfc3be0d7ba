"""Real PostgreSQL servers with the demo's shop in them: 18 from a wheel without TLS, and the system's with TLS."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from pathlib import Path

from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.parts import EmbeddedPostgres, PostgresServer

OWNER_PASSWORD, APP_PASSWORD = "owner-of-the-shop", "app-of-the-shop"
# Every message of a client that names a statement leaves a line, also a Parse whose Execute never comes.
SEEN: Mapping[str, str] = {"log_statement": "all", "log_min_duration_statement": "0", "log_connections": "on"}
TLS_RULES = "hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 reject\n"
SYSTEM = Path("/usr/lib/postgresql")


def with_shop(server: PostgresServer) -> PostgresServer:
    """Start it and open the shop."""
    server.start()
    shop = importlib.resources.files("gatebook.cli.demo").joinpath("shop.sql").read_text()
    server.sql(shop, variables={"owner_password": OWNER_PASSWORD, "app_password": APP_PASSWORD})
    return server


def embedded(folder: Path) -> PostgresServer:
    return with_shop(EmbeddedPostgres(folder, settings=SEEN))


def system_programs() -> Path:
    """The newest bin folder of the system's PostgreSQL; `make test` has seen to it that there is one."""
    found = sorted(SYSTEM.glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not found:
        raise AssertionError(
            f"no PostgreSQL with TLS under {SYSTEM}: run `make test`, or: apt-get install postgresql postgresql-client"
        )
    return found[-1].parent


class TlsPostgres(PostgresServer):
    """The system's PostgreSQL, which takes logins inside TLS alone unless its rules say otherwise."""

    def __init__(
        self, folder: Path, authority: Authority, login_rules: str = TLS_RULES, settings: Mapping[str, str] | None = None
    ) -> None:
        settings = {**SEEN, "ssl": "on", "ssl_ca_file": "authority.crt", **(settings or {})}
        super().__init__(folder, system_programs(), settings=settings, login_rules=login_rules)
        self._authority = authority

    def create(self) -> None:
        super().create()
        made = self._authority.certificate("target", ("target.test",))
        files = ((made.cert, "server.crt"), (made.key, "server.key"), (self._authority.path, "authority.crt"))
        for source, name in files:
            path = self.data / name
            path.write_bytes(source.read_bytes())
            path.chmod(0o600)
            self.give(path)


def with_tls(folder: Path, authority: Authority) -> PostgresServer:
    return with_shop(TlsPostgres(folder, authority))
