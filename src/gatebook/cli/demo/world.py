"""Everything that the demo runs: database, identity provider, gateway, their files, and how to talk to each of them."""

from __future__ import annotations

import importlib.resources
import json
import os
import secrets
import shlex
import shutil
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from gatebook.cli.demo import billing
from gatebook.cli.demo.certificates import Authority
from gatebook.cli.demo.clients import Answer, Psql, run
from gatebook.cli.demo.cluster import Cluster
from gatebook.cli.demo.forge import USER, new_repository
from gatebook.cli.demo.host import Host
from gatebook.cli.demo.parts import EmbeddedPostgres, wheel_programs
from gatebook.cli.demo.processes import PartError, Roster, Running, answers, free_port, wait_until, write_private
from gatebook.cli.demo.provider import Registration, register
from gatebook.cli.demo.signin import Person
from gatebook.recording.reading import new_identity

MARK = ".gatebook-demo"  # only a folder with this file in it is ever emptied
READY_SECONDS = 30.0
LOG_TAIL = 30
DATABASE = "shop"
ROLE = "shop_app"
BILLING, CLUSTER, FORGE, WEB1 = "billing", "cluster", "forge", "web1"
REPOSITORY = "shop/app"
AGENT, FOREIGN, APPROVER, JOB = "shop-agent", "payroll-agent", "dana", "nightly-report"
JOB_CLAIMS: Mapping[str, str | list[str]] = {"kind": "ci", "groups": ["jobs"]}
AGENT_CLAIMS: Mapping[str, str | list[str]] = {
    "kind": "agent",
    "groups": ["agents"],
    "agent": "order-desk",
    "model": "example-model",
    "model_version": "2026-09",
}
FOREIGN_AUDIENCE = "payroll"
WEB, PROGRAM = "gatebook-web", "gatebook-cli"
PEOPLE = (
    Person(APPROVER, "Dana, dba", {"kind": "person", "groups": ["dba"]}),
    Person("erin", "Erin, dba", {"kind": "person", "groups": ["dba"]}),
    Person("frank", "Frank, support", {"kind": "person", "groups": ["support"]}),
)


def prepare_folder(folder: Path) -> None:
    """An empty private folder for this run; one that a demo did not make is left alone."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            raise PartError(f"{folder} is not empty and not from a demo: name another folder with --dir")
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
    (folder / MARK).touch()


def stop(folder: Path) -> list[str]:
    """End what an earlier demo in this folder left running; the names of what ended."""
    return Roster.read(folder / "run.json").stop()


def gatebook_command() -> list[str]:
    """How to start this very Gatebook again."""
    script = Path(sys.executable).with_name("gatebook")
    return [str(script)] if script.exists() else [sys.executable, "-c", "from gatebook.cli.main import main; main()"]


def clean_environment() -> dict[str, str]:
    """Ours, without what would point a client or Gatebook elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "GATEBOOK", "PYTHON"))}


@dataclass(slots=True)
class World:
    """The parts of one run, under one folder. ``start`` them, then ``stop``."""

    folder: Path
    provider_port: int = field(default_factory=free_port)
    postgres_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    billing_port: int = field(default_factory=free_port)
    forge_port: int = field(default_factory=free_port)
    ssh_port: int = field(default_factory=free_port)
    roster: Roster = field(init=False)
    database: EmbeddedPostgres = field(init=False)
    gateway: Running = field(init=False)
    cluster: Cluster | None = None
    forge: Running | None = None
    host: Host | None = None
    secrets: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.roster = Roster(self.folder / "run.json")
        self.secrets = {
            name: secrets.token_urlsafe(24) for name in (AGENT, FOREIGN, APPROVER, JOB, WEB, "shop_owner", ROLE, BILLING, FORGE)
        }

    @property
    def issuer(self) -> str:
        """The identity provider's address and name."""
        return f"http://127.0.0.1:{self.provider_port}"

    @property
    def url(self) -> str:
        """The gateway's API."""
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def http_url(self) -> str:
        """The billing API, as its clients reach it."""
        return f"https://127.0.0.1:{self.http_port}/http/{BILLING}"

    @property
    def git_url(self) -> str:
        """The repository, as git reaches it."""
        return f"https://127.0.0.1:{self.http_port}/git/{FORGE}/{REPOSITORY}.git"

    @property
    def repository(self) -> Path:
        """The repository itself, on the git server."""
        return self.folder / "repositories" / f"{REPOSITORY}.git"

    @property
    def billing_log(self) -> Path:
        """What reached the billing API, a JSON line each."""
        return self.folder / "billing.requests"

    @property
    def kubeconfig(self) -> Path:
        """How the agent's kubectl reaches the cluster through the gateway."""
        return self.folder / "kubeconfig"

    @property
    def ssh_config(self) -> Path:
        """How the agent's ssh reaches the host through the gateway: ``gatebook ssh-config`` writes it."""
        return self.folder / "ssh" / "config"

    @property
    def command_path(self) -> str:
        """A PATH on which kubectl's plugin finds this very Gatebook."""
        return f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"

    @property
    def config(self) -> Path:
        """The gateway's configuration."""
        return self.folder / "gatebook.yaml"

    @property
    def ledger(self) -> Path:
        """The folder of the book."""
        return self.folder / "ledger"

    @property
    def auditor_identity(self) -> Path:
        """The auditor's half of the key that recordings are encrypted to."""
        return self.folder / "auditor" / "identity.txt"

    @property
    def evidence(self) -> Path:
        """The evidence package."""
        return self.folder / "evidence.zip"

    @property
    def ca(self) -> Path:
        """The authority that signed the gateway's certificate."""
        return self.folder / "tls" / "ca.crt"

    @property
    def target_dsn(self) -> str:
        """Straight to the database as its owner, past the gateway."""
        return self.database.dsn(DATABASE, "shop_owner", self.secrets["shop_owner"])

    # Starting -----------------------------------------------------------------------------------------------------------

    def start_database(self) -> None:
        """PostgreSQL with the shop in it; its own log keeps every statement that reaches it."""
        settings = {"log_statement": "all", "log_connections": "on"}
        self.database = EmbeddedPostgres(self.folder / "postgres", settings=settings, roster=self.roster)
        self.database.start()
        shop = importlib.resources.files("gatebook.cli.demo").joinpath("shop.sql").read_text()
        passwords = {"owner_password": self.secrets["shop_owner"], "app_password": self.secrets[ROLE]}
        self.database.sql(shop, variables=passwords)

    def start_provider(self) -> None:
        """The identity provider with an agent, an agent of somebody else's service, people, and how they sign in."""
        state = self.folder / "provider"
        clients = [
            Registration(AGENT, self.secrets[AGENT], AGENT_CLAIMS),
            Registration(FOREIGN, self.secrets[FOREIGN], AGENT_CLAIMS, (FOREIGN_AUDIENCE,)),
            Registration(APPROVER, self.secrets[APPROVER], PEOPLE[0].claims),
            Registration(JOB, self.secrets[JOB], JOB_CLAIMS),
            Registration(WEB, self.secrets[WEB], {}, redirect_uris=(f"{self.url}/sign-in/return",)),
            Registration(PROGRAM, "", {}),
        ]
        register(state, clients, PEOPLE)
        argv = [sys.executable, "-m", "gatebook.cli.demo.provider", "--port", str(self.provider_port), "--state", str(state)]
        running = self._start("provider", argv)
        self._wait("provider", running, lambda: answers(self.provider_port))

    def start_api(self) -> None:
        """An internal API that asks for a key which only the gateway has."""
        folder = self._secrets_folder()
        write_private(folder / BILLING, self.secrets[BILLING])
        (self.folder / "billing.json").write_text(json.dumps(billing.openapi(), indent=1))
        self.billing_log.touch()
        argv = [sys.executable, "-m", "gatebook.cli.demo.billing", str(self.billing_port)]
        running = self._start(BILLING, [*argv, str(folder / BILLING), str(self.billing_log)])
        self._wait(BILLING, running, lambda: answers(self.billing_port))

    def start_cluster(self) -> None:
        """A Kubernetes cluster with a shop in it, where a checkout has built one."""
        self.cluster = Cluster(self.folder / "kubernetes", self.roster)
        self.cluster.start()

    def start_forge(self) -> None:
        """A git server that wants a password which only the gateway has, and a repository on it."""
        new_repository(self.repository, **{"shop.py": 'print("hello")\n', "README": "A small shop.\n"})
        password = self._secrets_folder() / FORGE
        write_private(password, self.secrets[FORGE])
        argv = [sys.executable, "-m", "gatebook.cli.demo.forge", str(self.forge_port)]
        self.forge = self._start(FORGE, [*argv, str(self.folder / "repositories"), str(password)])
        self._wait(FORGE, self.forge, lambda: answers(self.forge_port))

    def start_host(self) -> None:
        """A host that lets in one key, which only the gateway has."""
        self.host = Host(self.folder / "host")
        running = self._start("host", self.host.argv())
        port = self.host.port
        self._wait("host", running, lambda: answers(port))

    def _secrets_folder(self) -> Path:
        folder = self.folder / "secrets"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def start_gateway(self) -> None:
        """Write its configuration and start it, as ``gatebook serve`` does anywhere."""
        authority = Authority(self.folder / "tls")
        authority.certificate("gateway")
        self._write_policies()
        folder = self._secrets_folder()
        for name in (ROLE, WEB):
            write_private(folder / name, self.secrets[name])
        self.config.write_text(yaml.safe_dump(self._configuration(folder), sort_keys=False))
        self.gateway = self._start("gateway", [*gatebook_command(), "serve", "--config", str(self.config)])
        self._wait("gateway", self.gateway, self._gateway_answers)

    def _start(self, name: str, argv: list[str]) -> Running:
        return self.roster.start(name, argv, log=self.folder / f"{name}.log", env=clean_environment(), cwd=self.folder)

    def _wait(self, name: str, running: Running, ready: Callable[[], bool]) -> None:
        if not wait_until(lambda: not running.alive or ready(), READY_SECONDS) or not running.alive:
            raise PartError(f"{name} did not start; its log says:\n{self.log_tail(name)}")

    def _gateway_answers(self) -> bool:
        if not answers(self.postgres_port):
            return False
        try:
            return httpx.get(f"{self.url}/readyz", verify=self.trust(), trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def _write_policies(self) -> None:
        folder = self.folder / "policies"
        folder.mkdir()
        for source in importlib.resources.files("gatebook.cli.demo").joinpath("policies").iterdir():
            if source.name.endswith(".cedar"):
                (folder / source.name).write_text(source.read_text())

    def _configuration(self, secrets_folder: Path) -> dict[str, object]:
        tls = {"cert": "tls/gateway.crt", "key": "tls/gateway.key"}
        return {
            "deployment": "demo",
            "home": ".",
            "listeners": {
                "postgres": {"bind": f"127.0.0.1:{self.postgres_port}", "tls": tls},
                "http": {"bind": f"127.0.0.1:{self.http_port}", "tls": dict(tls), "domain": "targets.localhost"},
                "api": {"bind": f"127.0.0.1:{self.api_port}", "tls": dict(tls)},
                **({"ssh": {"bind": f"127.0.0.1:{self.ssh_port}"}} if self.host is not None else {}),
                "public_url": self.url,
            },
            "identity": {
                "token_seconds": 3600,
                "providers": [
                    {
                        "name": "demo",
                        "issuer": self.issuer,
                        "audience": "gatebook",
                        "groups_claim": "groups",
                        "kind": {"claim": "kind"},
                        "attributes": ["agent", "model", "model_version", "flow"],
                        "client_id": WEB,
                        "device_client_id": PROGRAM,
                        "client_secret": f"file:{secrets_folder / WEB}",
                    }
                ],
            },
            "targets": [
                {
                    "name": "shop",
                    "protocol": "postgres",
                    "address": f"127.0.0.1:{self.database.port}",
                    "database": DATABASE,
                    "tls": {"mode": "disable"},
                    "roles": {ROLE: {"password": f"file:{secrets_folder / ROLE}"}},
                    "default_role": ROLE,
                    "labels": {"env": "production"},
                    "masks": ["pii"],
                },
                {
                    "name": BILLING,
                    "protocol": "http",
                    "origins": [f"http://127.0.0.1:{self.billing_port}"],
                    "roles": {"agent": {"header": {"name": "X-Api-Key", "value": f"file:{secrets_folder / BILLING}"}}},
                    "default_role": "agent",
                    "openapi": "billing.json",
                    "mcp": {"paths": ["/mcp"], "reads": ["find_customer"]},
                    "labels": {"env": "production"},
                    "masks": ["pii"],
                },
                *([self.cluster.target(CLUSTER)] if self.cluster is not None else []),
                *([self._forge_target(secrets_folder)] if self.forge is not None else []),
                *([self.host.target(WEB1)] if self.host is not None else []),
            ],
            "policy": {"folder": "policies"},
            "masking": {
                "sets": {
                    "pii": {
                        "columns": ["*.ssn", "*.card", "*.email"],
                        "fields": ["ssn", "card", "email"],
                        "style": "partial",
                    }
                },
                "detectors": "all",
            },
            "ledger": {"folder": "ledger", "durability": "writes"},
            "grants": {"approvers": ["group:dba"]},
            "recording": self._recording(secrets_folder),
        }

    def _forge_target(self, secrets_folder: Path) -> dict[str, object]:
        return {
            "name": FORGE,
            "protocol": "git",
            "origins": [f"http://127.0.0.1:{self.forge_port}"],
            "roles": {"agent": {"basic": {"user": USER, "password": f"file:{secrets_folder / FORGE}"}}},
            "default_role": "agent",
        }

    def _recording(self, secrets_folder: Path) -> dict[str, object]:
        """Two can read recordings: the auditor, and the pages by an identity of their own."""
        identity, recipient = new_identity()
        write_private(secrets_folder / "recordings.txt", identity + "\n")
        recipients = [self._make_auditor(), recipient]
        return {"folder": "recordings", "recipients": recipients, "reader": f"file:{secrets_folder / 'recordings.txt'}"}

    def _make_auditor(self) -> str:
        """The auditor's key for recordings: the gateway gets the public half alone."""
        identity, recipient = new_identity()
        self.auditor_identity.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(self.auditor_identity, identity + "\n")
        return recipient

    # Talking ------------------------------------------------------------------------------------------------------------

    def trust(self) -> ssl.SSLContext:
        """Trust in the demo's own authority alone."""
        return ssl.create_default_context(cafile=str(self.ca))

    def provider_token(self, client: str, audience: str) -> str:
        """Log in at the provider by client credentials; the access token."""
        form = {"grant_type": "client_credentials", "audience": audience}
        answer = httpx.post(f"{self.issuer}/token", data=form, auth=(client, self.secrets[client]), trust_env=False)
        if answer.status_code != 200:
            raise PartError(f"the provider gives {client} no token: {answer.text[:200]}")
        return str(answer.json()["access_token"])

    def approver_token(self) -> str:
        """A gateway token of the approver."""
        answer = self.gateway_token(self.provider_token(APPROVER, "gatebook"))
        if answer.status != 0:
            raise PartError(f"no token for {APPROVER}: {answer.output}")
        return answer.output.splitlines()[-1]

    def gatebook(self, *arguments: str, env: Mapping[str, str] | None = None) -> Answer:
        """Run the ``gatebook`` command as a user of this gateway."""
        surroundings = {**clean_environment(), "GATEBOOK_URL": self.url, "GATEBOOK_CA": str(self.ca), **(env or {})}
        return run([*gatebook_command(), *arguments], surroundings, cwd=self.folder)

    def sessions(self, *options: str) -> list[str]:
        """Which there are, by their ids, the newest first."""
        listed = self.gatebook("sessions", "ls", *options, "--json", "--config", str(self.config))
        return [str(one["id"]) for one in json.loads(listed.output)]

    def replay(self, session: str) -> Answer:
        """What passed through one, as the auditor reads it."""
        identity = str(self.auditor_identity)
        return self.gatebook("sessions", "replay", session, "--identity", identity, "--config", str(self.config))

    def gateway_token(self, provided: str) -> Answer:
        """Exchange a provider's token by ``gatebook token``."""
        return self.gatebook("token", env={"GATEBOOK_PROVIDER_TOKEN": provided})

    def psql_arguments(self) -> list[str]:
        """An unmodified psql that shows SQLSTATEs; where it goes is in the environment."""
        return [str(wheel_programs() / "psql"), "-X", "-v", "VERBOSITY=verbose"]

    def psql_environment(self, token: str) -> dict[str, str]:
        """The agent's way through the gateway."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.postgres_port),
            "PGDATABASE": "shop",
            "PGUSER": ROLE,
            "PGPASSWORD": token,
        }

    def psql(self, token: str) -> Psql:
        """A psql session through the gateway."""
        return Psql(self.psql_arguments(), self.psql_environment(token))

    def log_tail(self, name: str = "gateway") -> str:
        """The last lines of a part's log."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_TAIL:]) if path.exists() else "(no log)"

    def curl(self, token: str, *arguments: str) -> Answer:
        """An unmodified curl; the token comes by its standard input, where no list of processes shows it."""
        told = f'header = "Authorization: Bearer {token}"\n'
        return run(["curl", "--config", "-", *self.curl_arguments(), *arguments], {}, stdin=told)

    def curl_arguments(self) -> list[str]:
        """How curl is quiet, and trusts the demo's authority."""
        return ["-sS", "--cacert", str(self.ca)]

    # Keeping and ending -------------------------------------------------------------------------------------------------

    def write_env(self, agent_token: str, approver_token: str) -> Path:
        """Shell variables for trying it by hand, and for programs that check it."""
        variables = {
            "GATEBOOK_URL": self.url,
            "GATEBOOK_CA": str(self.ca),
            "GATEBOOK_HOME": str(self.folder),
            "GATEBOOK_TOKEN": agent_token,
            "AGENT_TOKEN": agent_token,
            "APPROVER_TOKEN": approver_token,
            **self.psql_environment(agent_token),
            "HTTP_URL": self.http_url,
            **({"KUBECONFIG": str(self.kubeconfig), "KUBECTL": self.cluster.kubectl} if self.cluster is not None else {}),
            **({"GIT_URL": self.git_url} if self.forge is not None else {}),
            **({"SSH_COMMAND": shlex.join(["ssh", "-F", str(self.ssh_config), WEB1])} if self.host is not None else {}),
            "TARGET_DSN": self.target_dsn,
            "PSQL": str(wheel_programs() / "psql"),
        }
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        hint = f'# no psql on this machine? export PATH={shlex.quote(str(wheel_programs()))}:"$PATH"'
        path = self.folder / "env"
        write_private(path, "\n".join([*lines, hint, ""]))
        return path

    def stop(self) -> None:
        """End everything and remove the database's data; the book and the logs stay."""
        self.roster.stop()
