"""The token endpoint: a provider's token in, a gateway token out (OAuth 2.0 Token Exchange, RFC 8693)."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gatebook.errors import IdentityError
from gatebook.identity.oidc import ProviderError
from gatebook.identity.tokens import MICROSECONDS, GatewayTokens
from gatebook.web.access import Door
from gatebook.web.guard import read_body
from gatebook.web.problems import oauth_error

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SUBJECT_TYPES = (ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
FIELDS = 20  # of a form; the exchange knows ten
_UNSUPPORTED = {  # asked for, they would change what the token means: better no token than another one
    "actor_token": "invalid_request",
    "audience": "invalid_target",
    "resource": "invalid_target",
    "scope": "invalid_scope",
}


class BadExchange(Exception):  # noqa: N818 - it is an answer, with RFC 6749's code
    """A request that RFC 8693 or this endpoint does not take; ``code`` as RFC 6749 §5.2 names it."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


async def exchange(request: Request, door: Door, tokens: GatewayTokens, seconds: int) -> Response:
    """Answer ``POST /api/v1/token``; the new token lives ``seconds``, or as long as the one sent in."""
    try:
        form = _form(request.headers.get("content-type", ""), await read_body(request))
        identity = await door.from_provider(request, _subject_token(form))
        now = door.now()
        token = await asyncio.to_thread(tokens.issue, identity, now=now, seconds=seconds)
    except BadExchange as error:
        return oauth_error(error.code, str(error))
    except ProviderError as error:
        return oauth_error("temporarily_unavailable", str(error), HTTPStatus.SERVICE_UNAVAILABLE)
    except IdentityError as error:
        return oauth_error("invalid_request", str(error))  # RFC 8693 §2.2.2: not invalid_grant
    lifetime = min(seconds, (identity.expires_at - now) // MICROSECONDS)
    return JSONResponse(
        {"access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": lifetime},
        headers={"Pragma": "no-cache"},
    )


def _form(content_type: str, body: bytes) -> dict[str, str]:
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise BadExchange("invalid_request", "expected a form: Content-Type: application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=FIELDS, errors="strict")
    except ValueError:
        raise BadExchange("invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise BadExchange("invalid_request", "a field of the form stands twice")
    return form


def _subject_token(form: dict[str, str]) -> str:
    if form.get("grant_type") != EXCHANGE:
        raise BadExchange("unsupported_grant_type", f"expected grant_type={EXCHANGE}")
    for name, code in _UNSUPPORTED.items():
        if name in form:
            raise BadExchange(code, f"{name} is not supported: leave it out")
    if form.get("subject_token_type") not in SUBJECT_TYPES:
        raise BadExchange("invalid_request", f"expected subject_token_type to be one of {', '.join(SUBJECT_TYPES)}")
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise BadExchange("invalid_request", f"expected requested_token_type={ACCESS_TOKEN}, or none")
    if "subject_token" not in form:
        raise BadExchange("invalid_request", "subject_token is missing: put the identity provider's token there")
    return form["subject_token"]
