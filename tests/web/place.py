"""A small Gatebook for tests of the API: a configuration on disk, a database, an issuer in memory, and clocks that stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import yaml
from sqlalchemy import Engine
from starlette.applications import Starlette
from tests.access.party import Pages
from tests.identity.issuer import AUDIENCE, ISSUER, NOW, Clock, Issuer

from gatebook import config as configuration
from gatebook.access.approvals import Approvals
from gatebook.access.book import Book
from gatebook.access.grants import Grants, Terms
from gatebook.db import engine, migrate
from gatebook.identity.certificates import Authority, Certificates
from gatebook.identity.oidc import Verifier
from gatebook.identity.prove import Prover
from gatebook.identity.tokens import GatewayTokens
from gatebook.model import Identity
from gatebook.policy.rules import load
from gatebook.web.access import Door
from gatebook.web.acts import Acts
from gatebook.web.app import make_app
from gatebook.web.certificates import Signing


def describe(folder: Path, rules: str = "", **changes: Any) -> configuration.Config:
    """A configuration with two targets; ``changes`` replace whole top-level keys, ``rules`` the starter rules."""
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "all.cedar").write_text('@id("sql-all")\npermit(principal, action in Action::"sql", resource);\n')
    starter = files("gatebook.cli.demo").joinpath("policies", "gatebook.cedar").read_text()
    (folder / "policies" / "gatebook.cedar").write_text(rules or starter)
    target = {"protocol": "postgres", "address": "127.0.0.1:1", "tls": {"mode": "disable"}, "default_role": "app"}
    target |= {"database": "shop", "roles": {"app": {"password": "env:NOWHERE"}}}
    described: dict[str, Any] = {
        "deployment": "test",
        "home": ".",
        "listeners": {
            "postgres": {"bind": "127.0.0.1:15432"},
            "api": {"bind": "127.0.0.1:18443"},
            "public_url": "http://127.0.0.1:18443",
        },
        "identity": {
            "token_seconds": 300,
            "providers": [
                {
                    "name": "demo",
                    "issuer": ISSUER,
                    "audience": AUDIENCE,
                    "groups_claim": "groups",
                    "kind": {"claim": "kind"},
                    "attributes": ["model"],
                }
            ],
        },
        "targets": [{"name": "shop", **target}, {"name": "vault", **target}],
        "policy": {"folder": "policies"},
        "ledger": {"folder": "ledger"},
    }
    path = folder / "gatebook.yaml"
    path.write_text(yaml.safe_dump(described | changes))
    path.chmod(0o600)
    return configuration.load(path)


def acts_of(config: configuration.Config, clock: Callable[[], int], book: Book) -> Acts:
    """Acts as the starter rules decide them."""
    policy = load(config.policy_files())
    return Acts(lambda: policy, config.deployment, clock, book)


@dataclass
class Place:
    """What a test may turn: the issuer, the clocks, what the ledger says, who may open what."""

    config: configuration.Config
    source: Engine
    tokens: GatewayTokens
    issuer: Issuer = field(default_factory=Issuer)
    steady: Clock = field(default_factory=Clock)
    now: int = NOW
    ledger_ok: bool = True
    may_open: Callable[[Identity, str, str], bool] = lambda _identity, name, _why: name == "shop"
    pages: Pages = field(default_factory=Pages)
    authority: Authority | None = None  # over users of SSH
    approvals: Approvals = field(init=False)
    grants: Grants = field(init=False)
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        verifier = Verifier(self.config.identity.providers, transport=self.issuer.transport, monotonic=self.steady)
        prover = Prover(self.source, verifier, self.tokens)
        book = Book(self.pages.keep, lambda subject, _value: f"c({subject})")
        terms = Terms(approvers=frozenset({"group:dba"}), longest_seconds=7_200)
        self.approvals = Approvals(self.source, lambda: self.now, book)
        self.grants = Grants(self.source, lambda: self.now, book, self.approvals, terms)
        self.app = make_app(
            self.config,
            self.source,
            prover,
            self.tokens,
            ledger_ok=lambda: self.ledger_ok,
            may_open=self._may_open_now,
            door=Door(prover, clock=lambda: self.now, monotonic=self.steady),
            acts=acts_of(self.config, lambda: self.now, book),
            approvals=self.approvals,
            grants=self.grants,
            signing=self.authority and Signing(Certificates(self.source), self.authority, self.authority.public),
        )

    def _may_open_now(self, identity: Identity, name: str, why: str) -> bool:
        return self.may_open(identity, name, why)

    def client(self, address: str = "127.0.0.1", base: str = "https://gatebook.test") -> httpx.AsyncClient:
        """A client that calls from ``address``; by http when ``base`` says so."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 40_000))
        return httpx.AsyncClient(transport=transport, base_url=base)


@contextmanager
def open_place(folder: Path, *, authority: Authority | None = None, **changes: Any) -> Iterator[Place]:
    """A place whose database lives in ``folder``."""
    source = engine(f"sqlite:///{folder}/gatebook.db")
    migrate(source)
    yield Place(describe(folder, **changes), source, GatewayTokens(source), authority=authority)
    source.dispose()
