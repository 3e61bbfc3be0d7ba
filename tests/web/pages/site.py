"""The pages without a browser: a site with an issuer in memory, people who sign in, and requests that wait for them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from tests.identity.issuer import AUDIENCE, ISSUER, NOW, SECOND, Clock, all_jwks, claims, token
from tests.web.place import acts_of, describe

from gatebook.access.approvals import Approvals, Request
from gatebook.access.book import Book
from gatebook.config import Config
from gatebook.db import engine, migrate, writing
from gatebook.errors import LedgerError
from gatebook.gateway import store
from gatebook.model import Action, Attribute, Deed, Entry, Identity, Kind, Reach, Resource, Ruling, Session, Target, Verdict
from gatebook.recording.reader import Reader
from gatebook.web.guard import Guard
from gatebook.web.pages.site import page_routes

ORIGIN = "https://gatebook.test"
RETURN = f"{ORIGIN}/sign-in/return"
CLIENT = "gatebook-web"
OWN = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
PROVIDER = {
    "name": "demo", "issuer": ISSUER, "audience": AUDIENCE, "groups_claim": "groups", "kind": {"claim": "kind"},
    "attributes": ["model"], "client_id": CLIENT,
}  # fmt: skip
DANA = {"sub": "dana", "kind": "person", "groups": ["dba"], "model": None}


def uuid(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


def identity(subject: str = "shop-agent", kind: Kind = Kind.AGENT, **more: Any) -> Identity:
    return Identity(subject=subject, issuer=ISSUER, kind=kind, proven_at=NOW, expires_at=NOW + 600 * SECOND, **more)


def asked(number: int = 1, **changes: Any) -> Request:
    attributes = {"model": Attribute(value="example-model", attested=True)}
    base: dict[str, Any] = {
        "id": uuid(number), "digest": f"sha256:{number:064x}", "session": uuid(900), "target": "shop", "role": "shop_app",
        "requester": identity(groups=frozenset({"agents"}), attributes=attributes), "verb": "sql.alter", "reach": Reach.ADMIN,
        "resources": ("public.orders",), "text": "ALTER TABLE orders ADD COLUMN gift boolean", "rule": "schema-needs-a-dba",
        "reason": "changes to the schema need a dba", "approvers": frozenset({"group:dba"}), "purpose": "SHOP-7",
        "policy_digest": "sha256:" + "p" * 64, "opened_at": NOW, "expires_at": NOW + 900 * SECOND,
    }  # fmt: skip
    return Request(**(base | changes))


def add_session(source: Engine, number: int = 900, subject: str = "shop-agent", *texts: str) -> str:
    target = Target(name="shop", protocol="postgres", address="127.0.0.1:1")
    made = Session(
        id=uuid(number), identity=identity(subject), target=target, client_address="127.0.0.1", opened_at=NOW, purpose="SHOP-7"
    )
    verdict = Verdict(ruling=Ruling.BLOCK, rule="no-empty-where", reason="it has no WHERE", policy_digest="sha256:p")
    with writing(source) as connection:
        store.open_session(connection, session=made, role="shop_app")
        for seq, text in enumerate(texts, 1):
            deed = Deed(verb="sql.delete", reach=Reach.WRITE, resource=Resource(kind="table", name="customers"), facts={})
            action = Action(session=made.id, seq=seq, deeds=(deed,), text=text)
            store.add_action(
                connection, session=made.id, action=action, verdict=verdict, text_=text, decision=uuid(700 + seq), at=NOW
            )
    return made.id


@dataclass
class Site:
    """What a test may turn: the clock, what the provider says, what it did."""

    config: Config
    source: Engine
    now: int = NOW
    entries: list[Entry] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=lambda: dict(DANA))
    described: dict[str, Any] = field(default_factory=dict)
    token: str | None = None  # instead of a good ID token
    status: int = 200
    book_lost: bool = False
    asked: dict[str, str] = field(default_factory=dict)  # what the browser brought to the provider
    forms: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    approvals: Approvals = field(init=False)
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        book = Book(keep=self._keep, commit=lambda who, value: hashlib.sha256(f"{who} {value}".encode()).hexdigest())
        self.approvals = Approvals(self.source, lambda: self.now, book)
        transport = httpx.MockTransport(self._provider)
        routes = page_routes(
            self.config,
            self.source,
            self.approvals,
            acts_of(self.config, lambda: self.now, book),
            lambda: self.now,
            reader=Reader.of(self.config),
            transport=transport,
            monotonic=Clock(),
        )
        self.app = Starlette(routes=routes, middleware=[Middleware(Guard)])

    def _keep(self, entry: Entry) -> None:
        if self.book_lost:
            raise LedgerError("the disk is full")
        self.entries.append(entry)

    def browser(self) -> httpx.AsyncClient:
        """A browser on this machine that keeps cookies and follows no redirect by itself."""
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 40_000))
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Sec-Fetch-Site": "same-origin"})

    async def sign_in(self, client: httpx.AsyncClient, page: str = "/approvals", **said: Any) -> httpx.Response:
        """Go through the whole sign-in as somebody; the answer to the return."""
        self.claims = DANA | said
        return await client.get(back(await self.leave(client, page)))

    async def leave(self, client: httpx.AsyncClient, page: str = "/approvals") -> httpx.Response:
        """Go off to the provider, which notes the nonce."""
        answer = await client.get("/sign-in/with/demo", params={"page": page})
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        return answer

    def _provider(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        if url == f"{ISSUER}/.well-known/openid-configuration":
            usual = {name: f"{ISSUER}/{name}" for name in ("authorization_endpoint", "token_endpoint")}
            body: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", **usual, **self.described}
            return _json(200, body)
        if url == f"{ISSUER}/keys":
            return _json(200, {"keys": all_jwks()})
        self.forms.append({name: values[0] for name, values in parse_qs(request.content.decode()).items()})
        self.authorizations.append(request.headers.get("authorization", ""))
        return _json(self.status, {"id_token": self.token or self._id_token(), "token_type": "Bearer"})

    def _id_token(self) -> str:
        return token(claims(**({"aud": CLIENT, "nonce": self.asked["nonce"], "exp": self.now // SECOND + 600} | self.claims)))


def _json(status: int, body: dict[str, Any]) -> httpx.Response:
    return httpx.Response(status, stream=httpx.ByteStream(json.dumps(body).encode()))


def back(leaving: httpx.Response, **changes: str | None) -> str:
    """Where the provider sends the browser: with a code and the state it got, unless something is changed."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(leaving.headers["location"]).query).items()}
    answer = {"code": "c0de", "state": query["state"], "iss": ISSUER} | changes
    return f"{RETURN}?{httpx.QueryParams({name: value for name, value in answer.items() if value is not None})}"


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@contextmanager
def open_site(folder: Path, **changes: Any) -> Iterator[Site]:
    """A site whose database lives in ``folder``; the starter rules hold."""
    source = engine(f"sqlite:///{folder}/gatebook.db")
    migrate(source)
    listeners = {"postgres": {"bind": "127.0.0.1:15432"}, "api": {"bind": "127.0.0.1:18443"}, "public_url": ORIGIN}
    usual = {
        "identity": {"token_seconds": 300, "providers": [PROVIDER]},
        "listeners": listeners,
    }
    yield Site(describe(folder, **(usual | changes)), source)
    source.dispose()
