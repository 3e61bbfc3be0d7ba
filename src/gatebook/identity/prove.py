"""Proof of identity at every door: a gateway token or a provider's JSON Web Token comes in, an Identity or an error out."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gatebook.db import writing
from gatebook.errors import IdentityError
from gatebook.identity import store
from gatebook.identity.certificates import Certificates, Proven
from gatebook.identity.claims import shown
from gatebook.identity.oidc import Verifier
from gatebook.identity.tokens import GatewayTokens, is_gateway_token
from gatebook.model import Identity

SEEN_MICROSECONDS = 60_000_000  # how far behind the time may be that somebody was last seen
SEEN = 1_000  # identities whose last time is remembered

Learn = Callable[[Identity], None]

_UNUSABLE = "gatebook's database cannot be used, so nobody can be let in: tell whoever runs it"


def _nothing(_identity: Identity) -> None:
    """Nothing more is asked."""


class Prover:
    """Turns tokens into identities, and remembers who was seen. Used from one event loop; the database from threads."""

    def __init__(self, engine: Engine, verifier: Verifier, tokens: GatewayTokens) -> None:
        self._engine = engine
        self._verifier = verifier
        self._tokens = tokens
        self._certificates = Certificates(engine)
        self._seen: OrderedDict[tuple[str, str], tuple[Identity, int]] = OrderedDict()
        self._lock = Lock()

    async def prove(self, token: str, now: int, learn: Learn = _nothing) -> Identity:
        """Whom ``token``, of either sort, proves at ``now`` (µs); raises IdentityError.

        ``learn`` is told of whom it proves in the thread that asked the database, and may raise.
        """
        if not is_gateway_token(token):
            return await self.prove_from_provider(token, now, learn)
        try:
            return await asyncio.to_thread(self._from_gateway_token, token, now, learn)
        except SQLAlchemyError as error:
            raise IdentityError(_UNUSABLE) from error

    async def prove_browser(self, token: str, target: str, now: int, learn: Learn = _nothing) -> Identity:
        """Whom a browser's cookie proves on a target's own host; raises IdentityError. No token of another sort is one."""
        try:
            return await asyncio.to_thread(self._from_gateway_token, token, now, learn, target)
        except SQLAlchemyError as error:
            raise IdentityError(_UNUSABLE) from error

    async def prove_certificate(self, blob: bytes, now: int, learn: Learn = _nothing) -> Proven:
        """Whom a certificate of SSH proves, whose signature and bearer were checked; raises IdentityError."""

        def find() -> Proven:
            found = self._certificates.find(blob, now)
            learn(found.identity)
            return found

        try:
            return await asyncio.to_thread(find)
        except SQLAlchemyError as error:
            raise IdentityError(_UNUSABLE) from error

    async def vouch(self, identity: Identity, now: int, seconds: int) -> str:
        """A gateway token for somebody whom their provider proved just now: what is asked again stands on it.

        Raises IdentityError, also where they may not come in at all.
        """

        def issue() -> str:
            self._record(identity, now, _nothing)
            return self._tokens.issue(identity, now=now, seconds=seconds)

        try:
            return await asyncio.to_thread(issue)
        except SQLAlchemyError as error:
            raise IdentityError(_UNUSABLE) from error

    async def prove_from_provider(self, token: str, now: int, learn: Learn = _nothing) -> Identity:
        """The same for provider's tokens only: what may be exchanged. A gateway token is refused."""
        if is_gateway_token(token):
            raise IdentityError("a gateway token cannot be exchanged for another: send a token of the identity provider")
        identity = await self._verifier.verify(token, now)
        try:
            await asyncio.to_thread(self._record, identity, now, learn)
        except SQLAlchemyError as error:
            raise IdentityError(_UNUSABLE) from error
        return identity

    def _from_gateway_token(self, token: str, now: int, learn: Learn, target: str = "") -> Identity:
        found = self._tokens.find_browser(token, target, now) if target else self._tokens.find(token, now)
        if found is None:
            instead = "sign in again" if target else "get a new one with `gatebook token`"
            raise IdentityError(f"{self._fault(token, target)}: {instead}")
        learn(found)
        return found

    def _fault(self, token: str, target: str) -> str:
        held, called = self._tokens.look_up(token, target), "sign-in" if target else "gateway token"
        if held is None:
            return f"the {called} is not known here"
        if held.revoked_at is not None:
            return f"the {called} {'was ended' if target else 'was revoked'} at {shown(held.revoked_at)}"
        return f"the {called} expired at {shown(held.identity.expires_at)}"

    def _record(self, identity: Identity, now: int, learn: Learn) -> None:
        if self._recorded(identity, now):
            with self._engine.connect() as connection:
                store.check_seen(connection, identity)
        else:
            with writing(self._engine) as connection:
                store.record_seen(connection, identity, now)
            self._remember(identity, now)
        learn(identity)

    def _recorded(self, identity: Identity, now: int) -> bool:
        """Whether just this was written down a moment ago: a job that connects all day writes no row for each connection."""
        with self._lock:
            known = self._seen.get((identity.issuer, identity.subject))
        return known is not None and known[0] == _said(identity) and 0 <= now - known[1] < SEEN_MICROSECONDS

    def _remember(self, identity: Identity, now: int) -> None:
        with self._lock:
            self._seen[identity.issuer, identity.subject] = (_said(identity), now)
            self._seen.move_to_end((identity.issuer, identity.subject))
            if len(self._seen) > SEEN:
                self._seen.popitem(last=False)


def _said(identity: Identity) -> Identity:
    """What the provider said of somebody, without when."""
    return replace(identity, proven_at=0, expires_at=0)
