"""Certificates for users of SSH: a public key in, a certificate of it out, for the hosts that its bearer may open.

POST /api/v1/ssh/certificates   {"public_key": "ssh-ed25519 AAAA…", "why": "OPS-7", "targets": ["web1"]}

It stands on the gateway token that asks, or on one made for it where a provider's token does; that one is told to nobody. The
book has each before it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatebook.config import Config
from gatebook.errors import IdentityError
from gatebook.identity.certificates import PRINCIPALS, Authority, Certificates, Issued, UserKey, user_key
from gatebook.identity.tokens import GatewayTokens, digest_of
from gatebook.model import PURPOSE_CHARACTERS, Identity
from gatebook.web.access import Door, bearer_token
from gatebook.web.acts import Acts, Asker
from gatebook.web.answers import only, read_json, take
from gatebook.web.problems import Problem

MayOpen = Callable[[Identity, str, str], bool]
ASKER = "asker"


@dataclass(frozen=True, slots=True)
class Signing:
    """What gives certificates: the list of them, the authority over users, and the public key of that over the gateway."""

    certificates: Certificates
    authority: Authority
    host_authority: str


@dataclass(frozen=True, slots=True)
class _Wish:
    key: UserKey
    why: str
    targets: frozenset[str]


def certificate_routes(
    config: Config, signing: Signing, door: Door, tokens: GatewayTokens, may_open: MayOpen, acts: Acts
) -> list[Route]:
    """The route."""
    api = _Api(config, signing, door, tokens, may_open, acts)
    return [Route("/api/v1/ssh/certificates", api.issue, methods=["POST"])]


class _Api:
    def __init__(
        self, config: Config, signing: Signing, door: Door, tokens: GatewayTokens, may_open: MayOpen, acts: Acts
    ) -> None:
        self._config, self._signing, self._door, self._tokens = config, signing, door, tokens
        self._may_open, self._acts = may_open, acts

    async def issue(self, request: Request) -> Response:
        identity = await self._door.bearer(request)
        asker, held = Asker.of(identity, request), digest_of(bearer_token(request))
        wish = _wish(await read_json(request))
        names = self._principals(identity, wish)
        try:
            issued = await asyncio.to_thread(self._issue, asker, held, wish, names)
        except IdentityError as error:
            raise Problem(HTTPStatus.CONFLICT, str(error)) from error
        return JSONResponse(self._shown(issued), HTTPStatus.CREATED)

    def _principals(self, identity: Identity, wish: _Wish) -> list[str]:
        hosts = [one.name for one in self._config.targets if one.door == "ssh"]
        wanted = [name for name in hosts if not wish.targets or name in wish.targets]
        names = [name for name in wanted if self._may_open(identity, name, wish.why)]
        if missing := sorted(wish.targets - set(names)):
            raise Problem(HTTPStatus.FORBIDDEN, f"{missing[0]!r} is no host that you may open")
        if not names:
            raise Problem(HTTPStatus.FORBIDDEN, "there is no host that you may open by SSH: ask for access to one first")
        if len(names) > PRINCIPALS:
            text = f"you may open {len(names)} hosts, and a certificate names at most {PRINCIPALS}: say which in targets"
            raise Problem(HTTPStatus.BAD_REQUEST, text)
        return names

    def _issue(self, asker: Asker, held: bytes | None, wish: _Wish, names: list[str]) -> Issued:
        """Make it, then have the book say so, then give it away. Raises IdentityError and LedgerError."""
        listener, now, identity = self._config.listeners.ssh, self._acts.now(), asker.identity
        if listener is None:
            raise AssertionError("certificates without a listener")
        token = held or digest_of(self._tokens.issue(identity, now=now, seconds=self._config.identity.token_seconds))
        if token is None:
            raise AssertionError("a gateway token without a digest")
        issued = self._signing.certificates.issue(
            self._signing.authority,
            identity,
            token,
            wish.key,
            names,
            now=now,
            seconds=listener.certificate_seconds,
            purpose=wish.why,
            address=asker.address if listener.certificate_source == ASKER else "",
        )
        self._acts.certified(asker, issued, token)
        return issued

    def _shown(self, issued: Issued) -> dict[str, Any]:
        listener = self._config.listeners.ssh
        return {
            "certificate": issued.line,
            "serial": issued.serial,
            "key_id": issued.key_id,
            "principals": list(issued.principals),
            "valid_before": issued.valid_before,
            "host": urlsplit(self._config.listeners.public_url).hostname or "",
            "port": listener.bind.port if listener is not None else 0,
            "host_authority": self._signing.host_authority,
        }


def _wish(found: dict[str, Any]) -> _Wish:
    only(found, "public_key", "why", "targets")
    try:
        key = user_key(take(found, "public_key", str))
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"public_key: expected {error}") from None
    why, targets = take(found, "why", str, ""), take(found, "targets", list, [])
    if len(why) > PURPOSE_CHARACTERS or not why.isprintable():
        text = f"why: expected a ticket or task of at most {PURPOSE_CHARACTERS} printable characters"
        raise Problem(HTTPStatus.BAD_REQUEST, text)
    if not all(isinstance(name, str) for name in targets):
        raise Problem(HTTPStatus.BAD_REQUEST, "targets: expected names")
    return _Wish(key, why, frozenset(targets))
