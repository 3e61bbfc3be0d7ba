"""Proof of identity at every door: a gateway token or a provider's JSON Web Token comes in, an Identity or an error out."""

from __future__ import annotations

import asyncio

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gatebook.db import writing
from gatebook.errors import IdentityError
from gatebook.identity import store
from gatebook.identity.claims import shown
from gatebook.identity.oidc import Verifier
from gatebook.identity.tokens import GatewayTokens, is_gateway_token
from gatebook.model import Identity

_UNUSABLE = "gatebook's database cannot be used, so nobody can be let in: tell whoever runs it"


class Prover:
    """Turns tokens into identities, and remembers who was seen. Used from one event loop; the database from threads."""

    def __init__(self, engine: Engine, verifier: Verifier, tokens: GatewayTokens) -> None:
        self._engine = engine
        self._verifier = verifier
        self._tokens = tokens

    async def prove(self, token: str, now: int) -> Identity:
        """Whom ``token``, of either sort, proves at ``now`` (µs); raises IdentityError."""
        if not is_gateway_token(token):
            return await self.prove_from_provider(token, now)
        try:
            return await asyncio.to_thread(self._from_gateway_token, token, now)
        except SQLAlchemyError as error:
            raise IdentityError(_UNUSABLE) from error

    async def prove_from_provider(self, token: str, now: int) -> Identity:
        """The same for provider's tokens only: what may be exchanged. A gateway token is refused."""
        if is_gateway_token(token):
            raise IdentityError("a gateway token cannot be exchanged for another: send a token of the identity provider")
        identity = await self._verifier.verify(token, now)
        try:
            await asyncio.to_thread(self._record, identity, now)
        except SQLAlchemyError as error:
            raise IdentityError(_UNUSABLE) from error
        return identity

    def _from_gateway_token(self, token: str, now: int) -> Identity:
        found = self._tokens.find(token, now)
        if found is None:
            raise IdentityError(f"{self._fault(token)}: get a new one with `gatebook token`")
        return found

    def _fault(self, token: str) -> str:
        held = self._tokens.look_up(token)
        if held is None:
            return "the gateway token is not known here"
        if held.revoked_at is not None:
            return f"the gateway token was revoked at {shown(held.revoked_at)}"
        return f"the gateway token expired at {shown(held.identity.expires_at)}"

    def _record(self, identity: Identity, now: int) -> None:
        with writing(self._engine) as connection:
            store.record_seen(connection, identity, now)
