"""`gatebook serve` as a subprocess, on random ports, with a handle for tests: ports, tokens, sessions, and its book."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml
from tests.testbed.issuer import LiveIssuer
from tests.testbed.servers import APP_PASSWORD, system_programs

from gatebook.cli.demo.certificates import LOOPBACK, Authority
from gatebook.cli.demo.clients import Answer, Psql, run
from gatebook.cli.demo.parts import PostgresServer, wheel_programs
from gatebook.cli.demo.processes import answers, free_port, wait_until
from gatebook.cli.demo.world import clean_environment, gatebook_command
from gatebook.ledger.verifier import Book, render, verify_book
from gatebook.recording.reading import new_identity

READY_SECONDS = 120.0  # two on an idle machine
VAULT = 'forbid (principal, action == Action::"session.open", resource == Target::"vault");\n'
ALL = '@id("everything")\n@reason("nothing is held against anybody here")\npermit (principal, action, resource);\n'

HEARS_AT_ONCE = "-c gatebook.hold=answer"  # of what is held: tests do not wait for people unless they are about waiting
AUDITOR, RECIPIENT = new_identity()  # who reads the recordings of all gateways


_BEGAN = re.compile(r'"pid": (\d+), "event": "a process begins", "process": "(\w+)"')


def resident_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@dataclass(slots=True)
class World:
    """What stands around a gateway."""

    authority: Authority
    issuer: LiveIssuer
    plain: PostgresServer
    tls: PostgresServer | None = None


@dataclass(slots=True)
class LiveGateway:
    """A running gateway. ``home`` holds its configuration, database and ledger."""

    home: Path
    world: World
    limits: Mapping[str, int] = field(default_factory=dict)
    extra_targets: Sequence[Mapping[str, Any]] = ()
    policies: Mapping[str, str] = field(default_factory=dict)  # further files of rules: name to text
    allows_all: bool = False  # by a rule of its own instead of the demo's rules
    more: Mapping[str, Any] = field(default_factory=dict)  # further sections of the configuration
    provider: Mapping[str, Any] = field(default_factory=dict)  # further keys of the identity provider
    more_providers: Sequence[Mapping[str, Any]] = ()
    token_seconds: int = 3600
    listener: Mapping[str, str] = field(default_factory=dict)
    apis: Sequence[Mapping[str, Any]] = ()  # HTTP targets
    hosts: Sequence[Mapping[str, Any]] = ()  # SSH targets
    domain: str = "targets.localhost"
    http_tls: bool = True
    workers: int = 1
    port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    ssh_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    # Its life -------------------------------------------------------------------------------------------------------

    def start(self) -> LiveGateway:
        self.write()
        with (self.home / "gateway.log").open("ab") as log:
            argv = [*gatebook_command(), "serve", "--config", str(self.config)]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment())
        came = wait_until(lambda: self.process.poll() is not None or self._ready(), READY_SECONDS)
        if not came or self.process.poll() is not None:
            raise AssertionError(f"the gateway did not start:\n{self.log}")
        return self

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def _ready(self) -> bool:
        try:
            return answers(self.port) and self.api("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def config(self) -> Path:
        return self.home / "gatebook.yaml"

    @property
    def log(self) -> str:
        return (self.home / "gateway.log").read_text(errors="replace")

    # Its processes --------------------------------------------------------------------------------------------------

    def processes(self) -> dict[str, int]:
        """The processes that the gateway's supervisor runs now, ``web`` and the workers by number, with their pids."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = {name: int(pid) for pid, name in _BEGAN.findall(self.log)}
        return {name: pid for name, pid in found.items() if str(pid) in children}

    @property
    def memory_kilobytes(self) -> int:
        """Resident memory of all processes that serve sessions."""
        return sum(resident_kilobytes(pid) for name, pid in self.processes().items() if name != "web")

    def crash(self) -> None:
        """End everything at once, as a machine does that loses power: nothing of it closes anything."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)  # so that it takes note of no death
        for pid in self.processes().values():
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # Its configuration ----------------------------------------------------------------------------------------------

    def write(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        policies = self.home / "policies"
        policies.mkdir(exist_ok=True)
        if self.allows_all:
            (policies / "all.cedar").write_text(ALL)
        for source in importlib.resources.files("gatebook.cli.demo").joinpath("policies").iterdir():
            if source.name.endswith(".cedar") and not self.allows_all:
                (policies / source.name).write_text(source.read_text())
        reason = '@id("closed-vault")\n@reason("the vault is open to nobody")\n'
        (policies / "vault.cedar").write_text(reason + VAULT)
        for name, text in self.policies.items():
            (policies / f"{name}.cedar").write_text(text)
        password = self.home / "shop_app.password"
        password.write_text(APP_PASSWORD)
        password.chmod(0o600)
        self.config.write_text(yaml.safe_dump(self._configuration(password), sort_keys=False))

    def _configuration(self, password: Path) -> dict[str, Any]:
        made = self.world.authority.certificate("gateway", (*LOOPBACK, f"*.{self.domain}"))
        tls = {"cert": str(made.cert), "key": str(made.key)}
        provider = {
            "name": "test", "issuer": self.world.issuer.url, "audience": "gatebook", "groups_claim": "groups",
            "kind": {"claim": "kind"}, "attributes": ["agent", "model", "model_version"],
        }  # fmt: skip
        provider |= self.provider
        columns = ["*.ssn", "*.card", "*.email"]
        return {
            "deployment": "testbed",
            "workers": self.workers,
            "home": ".",
            "listeners": {
                "postgres": {"bind": f"127.0.0.1:{self.port}", "tls": tls, **self.listener},
                **({"http": self._http_listener(tls)} if self.apis else {}),
                **({"ssh": {"bind": f"127.0.0.1:{self.ssh_port}"}} if self.hosts else {}),
                "api": {"bind": f"127.0.0.1:{self.api_port}", "tls": dict(tls)},
                "public_url": f"https://127.0.0.1:{self.api_port}",
            },
            "identity": {"token_seconds": self.token_seconds, "providers": [provider, *map(dict, self.more_providers)]},
            "targets": [*self._targets(password), *(dict(one) for one in (*self.apis, *self.hosts))],
            "policy": {"folder": "policies"},
            "masking": {"sets": {"pii": {"columns": columns, "style": "partial"}}, "detectors": "all"},
            "ledger": {"folder": "ledger", "durability": "writes"},
            "grants": {"approvers": ["group:dba"]},
            "recording": {"folder": "recordings", "recipients": [RECIPIENT]},
            **({"limits": dict(self.limits)} if self.limits else {}),
            **self.more,
        }

    def _http_listener(self, tls: Mapping[str, str]) -> dict[str, Any]:
        listener: dict[str, Any] = {"bind": f"127.0.0.1:{self.http_port}", "domain": self.domain}
        return listener | {"tls": dict(tls)} if self.http_tls else listener

    def _targets(self, password: Path) -> list[dict[str, Any]]:
        common = {
            "protocol": "postgres", "database": "shop", "roles": {"shop_app": {"password": f"file:{password}"}},
            "default_role": "shop_app", "labels": {"env": "production"}, "masks": ["pii"],
        }  # fmt: skip
        off = {"mode": "disable"}
        found = [
            {"name": "shop", "address": f"127.0.0.1:{self.world.plain.port}", "tls": off},
            {"name": "vault", "address": f"127.0.0.1:{self.world.plain.port}", "tls": off},
            {"name": "down", "address": f"127.0.0.1:{free_port()}", "tls": off},
            *self.extra_targets,
        ]
        if self.world.tls is not None:
            secured = {"mode": "verify-full", "ca": str(self.world.authority.path)}
            address = f"127.0.0.1:{self.world.tls.port}"
            found.append({"name": "shop-tls", "address": address, "tls": secured | {"name": "target.test"}})
            found.append({"name": "shop-misnamed", "address": address, "tls": secured | {"name": "other.test"}})
            found.append({"name": "shop-in-clear", "address": address, "tls": off})
        return [common | one for one in found]

    # Its clients ----------------------------------------------------------------------------------------------------

    def mint(self, **changes: Any) -> str:
        return self.world.issuer.mint(**changes)

    def psql_environment(self, token: str | None = None, database: str = "shop", **more: str) -> dict[str, str]:
        base = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGDATABASE": database, "PGUSER": "shop_app"}
        base["PGOPTIONS"] = HEARS_AT_ONCE
        return {**base, "PGPASSWORD": self.mint() if token is None else token, "PGCONNECT_TIMEOUT": "15", **more}

    def tls_settings(self) -> dict[str, str]:
        return {"PGHOST": "localhost", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.world.authority.path)}

    def psql(
        self, *arguments: str, token: str | None = None, database: str = "shop", tls: bool = False, stdin: str = ""
    ) -> Answer:
        """Run psql to its end: the wheel's in clear, or the system's inside TLS."""
        program = (system_programs() if tls else wheel_programs()) / "psql"
        settings = self.psql_environment(token, database, **(self.tls_settings() if tls else {}))
        return run([str(program), "-X", "-v", "VERBOSITY=verbose", *arguments], settings, stdin=stdin)

    def open_psql(self, *arguments: str, token: str | None = None, database: str = "shop", tls: bool = False) -> Psql:
        """A psql that stays open."""
        program = (system_programs() if tls else wheel_programs()) / "psql"
        settings = self.psql_environment(token, database, **(self.tls_settings() if tls else {}))
        return Psql([str(program), "-X", "-v", "VERBOSITY=verbose", *arguments], settings)

    def connect(self, token: str | None = None, database: str = "shop", **more: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A psycopg connection inside verified TLS."""
        settings: dict[str, Any] = {
            "host": "localhost", "port": self.port, "dbname": database, "user": "shop_app", "connect_timeout": 15,
            "password": self.mint() if token is None else token,
            "sslmode": "verify-full", "sslrootcert": str(self.world.authority.path), "options": HEARS_AT_ONCE,
        }  # fmt: skip
        return psycopg.connect(**(settings | more))

    def raw(self) -> socket.socket:
        """A socket to the listener, in clear."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        made.settimeout(10)
        return made

    @property
    def http_url(self) -> str:
        """Where HTTP targets are reached by path."""
        return f"{'https' if self.http_tls else 'http'}://127.0.0.1:{self.http_port}/http"

    def http(self, token: str | None = None, **more: Any) -> httpx.Client:
        """An HTTP client, with a token."""
        trust = ssl.create_default_context(cafile=str(self.world.authority.path))
        headers = {"Authorization": f"Bearer {self.mint() if token is None else token}"}
        return httpx.Client(base_url=self.http_url, headers=headers, verify=trust, trust_env=False, timeout=20, **more)

    def api(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        trust = ssl.create_default_context(cafile=str(self.world.authority.path))
        return httpx.get(f"https://127.0.0.1:{self.api_port}{path}", headers=headers, verify=trust, trust_env=False)

    def send(self, method: str, path: str, token: str, body: dict[str, Any]) -> httpx.Response:
        """The API, with something to say."""
        headers = {"Authorization": f"Bearer {token}"}
        trust = ssl.create_default_context(cafile=str(self.world.authority.path))
        url = f"https://127.0.0.1:{self.api_port}{path}"
        return httpx.request(method, url, headers=headers, json=body, verify=trust, trust_env=False)

    def gateway_token(self, provided: str | None = None) -> str:
        """A provider's token exchanged for a gateway token."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": provided or self.mint(),
        }
        trust = ssl.create_default_context(cafile=str(self.world.authority.path))
        url = f"https://127.0.0.1:{self.api_port}/api/v1/token"
        answer = httpx.post(url, data=form, verify=trust, trust_env=False)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def gatebook(self, *arguments: str) -> Answer:
        """The `gatebook` command with this gateway's configuration."""
        settings = {**clean_environment(), "GATEBOOK_CONFIG": str(self.config)}
        return run([*gatebook_command(), *arguments], settings)

    def replay(self, name: str, session: str, *options: str) -> Answer:
        """`gatebook sessions replay` or `tail` by the auditor."""
        identity = self.home / "auditor.txt"
        identity.write_text(AUDITOR)
        return self.gatebook("sessions", name, session, "--identity", str(identity), *options)

    def sessions(self, *options: str) -> list[dict[str, Any]]:
        answer = self.gatebook("sessions", "ls", "--json", *options)
        assert answer.status == 0, answer.output
        return list(json.loads(answer.output))

    # Its book -------------------------------------------------------------------------------------------------------

    def verified(self) -> Book:
        """The report of a book that must be intact, also while it is written."""
        report = verify_book(self.home / "ledger")
        assert report.intact, render(report)
        return report

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """The entries of these kinds, in their order, each once."""
        data, found = self.book_bytes().decode(errors="replace"), {}
        for match in re.finditer(r'\{"', data):
            try:
                entry, _ = json.JSONDecoder().raw_decode(data, match.start())
            except ValueError:
                continue
            if {"v", "id", "type"} <= entry.keys():
                found[entry["id"]] = entry
        return [entry for _, entry in sorted(found.items()) if entry["type"] in kinds]

    def book_bytes(self) -> bytes:
        """Every byte of the ledger's folder."""
        return b"\n".join(path.read_bytes() for path in sorted((self.home / "ledger").rglob("*")) if path.is_file())
