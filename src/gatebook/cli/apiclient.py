"""Calls of the command line to Gatebook's API and to identity providers: checked addresses, no redirects, limits."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from gatebook.errors import GatebookError
from gatebook.identity.keys import LOOPBACK, trustworthy

SECONDS = 15.0
ANSWER_BYTES = 1024 * 1024
SHOWN_CHARACTERS = 500  # of an error that a server words


class RefusedError(GatebookError):
    """Somebody said no, or did not answer: exit code 1."""


class UsageError(GatebookError):
    """The command or its surroundings are not complete: exit code 2."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where Gatebook's API is. ``ca`` is the file of the certificate authority to trust, else the system's are."""

    url: str
    ca: Path | None

    @property
    def verify(self) -> ssl.SSLContext:
        """Certificates that the API may show: those of ``ca`` alone when it is given."""
        return _context(self.ca, system=self.ca is None)

    @property
    def verify_provider(self) -> ssl.SSLContext:
        """Certificates that an identity provider may show: the system's, and those of ``ca``."""
        return _context(self.ca, system=True)


def find_gateway(url: str | None, ca: Path | None) -> Gateway:
    """The gateway from options or environment; raises UsageError."""
    url = url or os.environ.get("GATEBOOK_URL") or None
    if url is None:
        raise UsageError("where is Gatebook? Give --url https://HOST:PORT or set GATEBOOK_URL")
    if not trustworthy(url):
        raise UsageError(f"{url}: expected https://HOST:PORT (http only for this machine): a token must not travel in clear")
    found = ca or (Path(os.environ["GATEBOOK_CA"]) if os.environ.get("GATEBOOK_CA") else None)
    if found is not None and not found.is_file():
        raise UsageError(f"{found}: expected the file of a certificate authority (--ca, GATEBOOK_CA)")
    return Gateway(url.rstrip("/"), found)


def call(
    method: str,
    url: str,
    verify: ssl.SSLContext,
    *,
    form: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    bearer: str | None = None,
    basic: tuple[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of the answer to a ``form``, a JSON ``body`` or neither; raises RefusedError when none comes."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    content = None
    if body is not None:
        headers["Content-Type"], content = "application/json", json.dumps(body).encode("ascii")
    local = urlsplit(url).hostname in LOOPBACK
    auth = httpx.BasicAuth(*basic) if basic else None
    try:
        with (
            httpx.Client(verify=verify, timeout=SECONDS, trust_env=not local) as client,
            client.stream(method, url, data=form, content=content, headers=headers, auth=auth) as answer,
        ):
            return answer.status_code, _object(answer, url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        hint = "; is its certificate signed by the authority in --ca?" if "CERTIFICATE" in str(error) else ""
        raise RefusedError(f"{_origin(url)} does not answer: {plain(str(error)) or type(error).__name__}{hint}") from None


def plain(text: object) -> str:
    """A server's words made safe for a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:SHOWN_CHARACTERS])


def said(answer: Mapping[str, Any], status: int) -> str:
    """What a refusal says for itself."""
    for name in ("detail", "error_description", "error"):
        if isinstance(answer.get(name), str):
            return plain(answer[name])
    return f"status {status}"


def check_token(token: str, source: str) -> str:
    """``token`` without surrounding space, if it can be one; raises UsageError that shows nothing of it."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{source}: expected one token, without spaces or line breaks inside")
    return token


def _object(answer: httpx.Response, url: str) -> dict[str, Any]:
    body = bytearray()
    for part in answer.iter_raw():
        body += part
        if len(body) > ANSWER_BYTES:
            raise RefusedError(f"{_origin(url)} answers more than {ANSWER_BYTES} bytes")
    try:
        found = json.loads(bytes(body))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RefusedError(f"{url} answers {answer.status_code} without a JSON object: is this the right address?")
    return found


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _context(ca: Path | None, *, system: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if system or ca is None else str(ca))
        if system and ca is not None:
            context.load_verify_locations(cafile=str(ca))
    except (OSError, ssl.SSLError):
        raise UsageError(f"{ca}: expected certificates in PEM form (--ca, GATEBOOK_CA)") from None
    return context
