"""Who is asking: the bearer token of a request becomes an Identity, and addresses that fail too often wait."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request

from gatebook.errors import IdentityError
from gatebook.identity.oidc import ProviderError
from gatebook.identity.prove import Prover
from gatebook.model import Identity
from gatebook.web.limits import FailedProofs
from gatebook.web.problems import Problem


def now_microseconds() -> int:
    """The time of the system's clock."""
    return time.time_ns() // 1_000


class Door:
    """Proves who is behind a request. ``clock`` gives microseconds since 1970, ``monotonic`` seconds of a steady clock."""

    def __init__(
        self,
        prover: Prover,
        clock: Callable[[], int] = now_microseconds,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prover = prover
        self._clock = clock
        self._monotonic = monotonic
        self._failed = FailedProofs()

    def now(self) -> int:
        """Microseconds since 1970."""
        return self._clock()

    async def bearer(self, request: Request) -> Identity:
        """Whom the Authorization header proves; raises Problem 401, 429 or 503."""
        token = bearer_token(request)
        try:
            return await self.checked(request, token, self._prover.prove)
        except ProviderError as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        except IdentityError as error:
            raise _unauthorized(str(error), "invalid_token") from error

    async def from_provider(self, request: Request, token: str) -> Identity:
        """Whom a provider's token proves, for an exchange; raises IdentityError, and Problem 429."""
        return await self.checked(request, token, self._prover.prove_from_provider)

    async def checked(self, request: Request, token: str, prove: Callable[[str, int], Awaitable[Identity]]) -> Identity:
        """Run ``prove`` unless this address must wait; its failures count, a provider's do not."""
        address = request.client.host if request.client else ""
        wait = self._failed.wait(address, self._monotonic())
        if wait > 0:
            seconds = math.ceil(wait)
            text = f"too many tokens from {address or 'this address'} failed: try again in {seconds} s"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, {"Retry-After": str(seconds)})
        try:
            return await prove(token, self.now())
        except ProviderError:
            raise
        except IdentityError:
            self._failed.failed(address, self._monotonic())
            raise


def bearer_token(request: Request) -> str:
    """The token that a request sends; raises Problem 401."""
    given = request.headers.getlist("authorization")
    if not given:
        raise _unauthorized("send a token: Authorization: Bearer TOKEN; `gatebook token` gets one")
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized("expected one header: Authorization: Bearer TOKEN", "invalid_request")
    return token.strip()


def _unauthorized(detail: str, error: str = "") -> Problem:
    """RFC 6750 §3: the challenge names an error only when a token was sent."""
    challenge = 'Bearer realm="gatebook"' + (f', error="{error}"' if error else "")
    return Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})
