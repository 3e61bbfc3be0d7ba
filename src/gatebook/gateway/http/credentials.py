"""What the gateway shows to HTTP targets in their clients' place: read from references, kept for a moment, never logged.

A token of the target's own authorization server is fetched by client credentials (RFC 6749, section 4.4) and kept until shortly
before it ends. Several requests that need one at the same time wait for one fetch.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass

import httpx
import structlog

from gatebook.config import KubernetesRole, WebTarget
from gatebook.config.targets import HttpRole, OauthClient
from gatebook.errors import ConfigError, GatebookError
from gatebook.protocols.http.terms import Injected

KEPT_SECONDS = 2.0  # a secret that was replaced counts from then on
FETCH_SECONDS = 10.0
ANSWER_BYTES = 65_536
EARLY_SECONDS = 30.0  # before its end a token is no longer shown
LEAST_SECONDS = 5.0  # a token is kept, whatever its server says: else each request would ask for one

log = structlog.get_logger("gatebook.http")


class CredentialError(GatebookError):
    """What the target is to be shown cannot be had."""


@dataclass(frozen=True, slots=True)
class _Kept:
    injected: Injected
    until: float


class Credentials:
    """Of one process. Used from one event loop."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._fetching: dict[tuple[str, str], asyncio.Future[Injected]] = {}

    def at_once(self, target: WebTarget, role: str) -> Injected | None:
        """What is shown as this role; None where it must be fetched. Raises CredentialError."""
        now = asyncio.get_running_loop().time()
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
        self._fetching[key] = fetching = asyncio.get_running_loop().create_future()
        try:
            made, seconds = await _token(target, oauth)
        except BaseException as error:
            told = error if isinstance(error, CredentialError) else CredentialError("the gateway is stopping")
            fetching.set_exception(told)
            fetching.exception()  # nobody may be waiting for it
            raise
        finally:
            del self._fetching[key]
        self._kept[key] = _Kept(made, asyncio.get_running_loop().time() + max(LEAST_SECONDS, seconds - EARLY_SECONDS))
        fetching.set_result(made)
        return made

    def refused(self, target: WebTarget, role: str) -> None:
        """The target did not take what it was shown: the next request fetches anew."""
        if _oauth(target, role) is not None:
            self._kept.pop((target.name, role), None)


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
