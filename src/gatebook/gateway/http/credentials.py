"""What the gateway shows to HTTP targets in their clients' place: read from references, kept for a moment, never logged.

A token of the target's own authorization server is fetched by client credentials (RFC 6749, section 4.4) and kept until shortly
before it ends. Several requests that need one at the same time wait for one fetch.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import httpx
import structlog

from gatebook.config import KubernetesRole, WebTarget
from gatebook.config.targets import HttpRole, OauthClient
from gatebook.errors import ConfigError, GatebookError
from gatebook.protocols.http.grpc import Status
from gatebook.protocols.http.message import End, Message, Response
from gatebook.protocols.http.relay import Failed
from gatebook.protocols.http.terms import Injected
from gatebook.protocols.relay import Allowed

KEPT_SECONDS = 2.0  # a secret that was replaced counts from then on
FETCH_SECONDS = 10.0
ANSWER_BYTES = 65_536
EARLY_SECONDS = 30.0  # before its end a token is no longer shown
FIRST_SECONDS, MOST_SECONDS = 5.0, 300.0  # before another token is asked for where one was not taken, or not to be had
LEAST_SECONDS = 5.0  # a token is kept, whatever its server says: else each request would ask for one

log = structlog.get_logger("gatebook.http")


class CredentialError(GatebookError):
    """What the target is to be shown cannot be had."""


@dataclass(frozen=True, slots=True)
class _Kept:
    injected: Injected
    until: float


@dataclass(frozen=True, slots=True)
class _Pause:
    """After a token was not taken, or could not be had: so long nobody asks for another. ``why`` is what was said instead."""

    seconds: float
    until: float
    why: str = ""

    def longer(self, now: float, why: str = "") -> _Pause:
        """The next one: twice as long where it follows soon, up to ``MOST_SECONDS``."""
        seconds = min(self.seconds * 2, MOST_SECONDS) if now < self.until + self.seconds else FIRST_SECONDS
        return _Pause(seconds, now + seconds, why)


_NOTHING = Injected()
_NONE = _Pause(0.0, 0.0)
Fetch = Callable[[WebTarget, OauthClient], Awaitable[tuple[Injected, float]]]


class Credentials:
    """Of one process. Used from one event loop. ``ask`` fetches a token and says for how many seconds it is good."""

    def __init__(self, ask: Fetch | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._token, self._now = ask or _token, now
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._fetching: dict[tuple[str, str], asyncio.Future[Injected]] = {}
        self._refused: dict[tuple[str, str], _Pause] = {}
        self._failed: dict[tuple[str, str], _Pause] = {}

    def known(self, target: WebTarget, role: str) -> Injected:
        """What was shown as this role last, as far as it is at hand."""
        kept = self._kept.get((target.name, role))
        return kept.injected if kept is not None else _NOTHING

    def at_once(self, target: WebTarget, role: str) -> Injected | None:
        """What is shown as this role; None where it must be fetched. Raises CredentialError."""
        now = self._now()
        kept = self._kept.get((target.name, role))
        if kept is not None and now < kept.until:
            return kept.injected
        shown = target.roles[role]
        if _oauth(target, role) is not None:
            return None
        try:
            made = _injected(shown)
        except ConfigError as error:
            raise _unreadable(target, error) from error
        if kept is not None and kept.injected == made:
            made = kept.injected  # what rests on it need not be made anew
        self._kept[target.name, role] = _Kept(made, now + KEPT_SECONDS)
        return made

    async def fetch(self, target: WebTarget, role: str) -> Injected:
        """The same for what must be fetched. Raises CredentialError."""
        key, oauth = (target.name, role), _oauth(target, role)
        if oauth is None:
            raise AssertionError("nothing to fetch")
        fetching = self._fetching.get(key)
        if fetching is not None:
            return await asyncio.shield(fetching)
        pause = self._failed.get(key, _NONE)
        if self._now() < pause.until:
            raise CredentialError(pause.why)
        self._fetching[key] = fetching = asyncio.get_running_loop().create_future()
        try:
            made, seconds = await self._token(target, oauth)
        except BaseException as error:
            told = error if isinstance(error, CredentialError) else CredentialError("the gateway is stopping")
            if told is error:
                self._failed[key] = pause.longer(self._now(), str(told))
            fetching.set_exception(told)
            fetching.exception()  # nobody may be waiting for it
            raise
        finally:
            del self._fetching[key]
        self._failed.pop(key, None)
        self._kept[key] = _Kept(made, self._now() + max(LEAST_SECONDS, seconds - EARLY_SECONDS))
        fetching.set_result(made)
        return made

    def refused(self, target: WebTarget, role: str, shown: Injected) -> None:
        """The target did not take what it was shown: the next request fetches anew, once for each token.

        A target may say 401 to what no token would change, so that who asks for just that must not have one fetched each time.
        """
        key, now = (target.name, role), self._now()
        kept, pause = self._kept.get(key), self._refused.get(key, _NONE)
        if _oauth(target, role) is None or kept is None or kept.injected is not shown or now < pause.until:
            return
        self._refused[key] = pause.longer(now)
        del self._kept[key]


class ShownAs:
    """What one request's target is shown: taken once the request may go, and not before. Owned by its exchange."""

    def __init__(self, credentials: Credentials, target: WebTarget, role: str) -> None:
        self._credentials, self._target, self._role = credentials, target, role
        self.injected = credentials.known(target, role)

    def take(self, allowed: Allowed) -> Allowed | Failed | None:
        """What the relay hears of an action that may go; None: what is shown must be fetched."""
        try:
            found = self._credentials.at_once(self._target, self._role)
        except CredentialError as error:
            return Failed(HTTPStatus.SERVICE_UNAVAILABLE, str(error), allowed.permit)
        if found is None:
            return None
        self.injected = found
        return allowed

    async def fetch(self, allowed: Allowed) -> Allowed | Failed:
        """The same once it was fetched."""
        try:
            self.injected = await self._credentials.fetch(self._target, self._role)
        except CredentialError as error:
            return Failed(HTTPStatus.SERVICE_UNAVAILABLE, str(error), allowed.permit)
        return allowed

    async def ready(self) -> None:
        """Have it at hand for what is asked before that, under a permit of its own. Raises CredentialError."""
        found = self._credentials.at_once(self._target, self._role)
        self.injected = found if found is not None else await self._credentials.fetch(self._target, self._role)

    def heard(self, message: Message) -> None:
        """The target's answer may say that it does not take what it was shown."""
        match message:
            case Response(status):
                refused = status == HTTPStatus.UNAUTHORIZED
            case End(trailers):
                refused = (b"grpc-status", b"%d" % Status.UNAUTHENTICATED) in trailers
            case _:
                return
        if refused:
            self._credentials.refused(self._target, self._role, self.injected)


def _unreadable(target: WebTarget, error: ConfigError) -> CredentialError:
    log.error("a credential cannot be read", target=target.name, why=str(error))
    return CredentialError(f"the gateway's credential for target {target.name} cannot be read; its operators' log says more")


def _oauth(target: WebTarget, role: str) -> OauthClient | None:
    shown = target.roles[role]
    return shown.oauth if isinstance(shown, HttpRole) else None


def _injected(role: HttpRole | KubernetesRole) -> Injected:
    if role.bearer is not None:
        return _bearer(role.bearer.read())
    if isinstance(role, KubernetesRole):
        return Injected()  # its certificate says it all
    if role.basic is not None:
        password = role.basic.password.read()
        pair = base64.b64encode(f"{role.basic.user}:{password}".encode())
        return Injected(((b"authorization", b"Basic " + pair),), (password.encode(), pair))
    if role.header is not None:
        value = role.header.value.read().encode()
        return Injected(((role.header.name.lower().encode(), _sayable(value)),), (value,))
    return Injected()


def _bearer(token: str) -> Injected:
    value = _sayable(token.encode())
    return Injected(((b"authorization", b"Bearer " + value),), (value,))


def _sayable(value: bytes) -> bytes:
    """A secret as a field's value: what would end the line ends nothing here."""
    if not value or any(byte < 0x20 or byte == 0x7F for byte in value):
        raise ConfigError(["a credential that is empty or has control characters: expected one line of text"])
    return value


async def _token(target: WebTarget, oauth: OauthClient) -> tuple[Injected, float]:
    """A fresh token and how many seconds it is good for."""
    form = {"grant_type": "client_credentials"}
    if oauth.scope is not None:
        form["scope"] = oauth.scope
    if oauth.audience is not None:
        form["audience"] = oauth.audience
    trust = ssl.create_default_context(cafile=str(target.tls.ca) if target.tls.ca is not None else None)
    try:
        auth = httpx.BasicAuth(oauth.client_id, oauth.client_secret.read())
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(verify=trust, trust_env=False, timeout=FETCH_SECONDS, follow_redirects=False) as client,
            client.stream("POST", oauth.token_url, data=form, auth=auth) as answer,
        ):
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > ANSWER_BYTES:
                    raise CredentialError(f"target {target.name}: its token endpoint answers at length")
        if answer.status_code != 200:
            raise CredentialError(f"target {target.name}: its token endpoint says {answer.status_code}")
        said = httpx.Response(200, content=body).json()
        token, seconds = said["access_token"], float(said.get("expires_in", 60))
        if not isinstance(token, str) or str(said.get("token_type", "")).lower() != "bearer":
            raise CredentialError(f"target {target.name}: its token endpoint gives no bearer token")
        return _bearer(token), seconds
    except ConfigError as error:
        raise _unreadable(target, error) from error
    except (httpx.HTTPError, TimeoutError, OSError) as error:
        raise CredentialError(f"target {target.name}: its token endpoint cannot be reached ({type(error).__name__})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CredentialError(f"target {target.name}: its token endpoint's answer is no token") from error
