"""curl on an HTTP target, identity in place.

The token is in neither arguments nor environment: curl reads it from a pipe, as a configuration file. That is read before the
caller's own options, and instead of ``~/.curlrc``, which may name proxies, headers and authorities of other days.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gatebook.cli.apiclient import RefusedError, UsageError
from gatebook.cli.places import SECRETS, Place
from gatebook.identity.keys import LOOPBACK

PIPE_BYTES = 32_768  # that a pipe takes before anybody reads it, everywhere

# Where these would have curl trust other authorities, or write down the keys of its connections.
_TAKEN_AWAY = SECRETS | {"CURL_CA_BUNDLE", "CURL_HOME", "CURL_SSL_BACKEND", "SSLKEYLOGFILE", "SSL_CERT_DIR", "SSL_CERT_FILE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a target: the path below it, and what the gateway is told about the session."""

    path: str
    role: str | None
    why: str
    hold: str


def asked(target: str, args: Sequence[str]) -> tuple[str, list[str]]:
    """The path that TARGET/PATH or the last of curl's arguments names, and the other arguments. Raises UsageError.

    Only one of them may: what begins with a slash may be a file, too.
    """
    _, slash, rest = target.partition("/")
    others = list(args[1:] if args and args[0] == "curl" else args)
    path = f"/{rest}" if slash else others.pop() if others and others[-1].startswith("/") else "/"
    if not path.isprintable() or " " in path:
        raise UsageError(f"{path!r}: expected a path without blanks and line breaks; write a blank as %20")
    return path, others


def base_of(place: Place, target: str) -> str:
    """Where a target is, by path. Raises RefusedError when the token would travel in clear."""
    if not place.tls and place.host not in LOOPBACK:
        raise RefusedError(f"Gatebook's listener at {place.host} has no TLS: a token must not travel in clear")
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"{'https' if place.tls else 'http'}://{host}:{place.port}/http/{target}"


def configuration(place: Place, target: str, wish: Wish, token: str, ca: Path | None) -> str:
    """What curl reads from the pipe. The path goes as it is: curl would make another one of dots, brackets and braces."""
    fields = {
        "Authorization": f"Bearer {token}",
        "Gatebook-Role": wish.role,
        "Gatebook-Why": wish.why,
        "Gatebook-Hold": wish.hold,
    }
    lines = [f"url = {_quoted(base_of(place, target) + wish.path)}", "path-as-is", "globoff"]
    lines += [f"header = {_quoted(f'{name}: {value}')}" for name, value in fields.items() if value]
    lines += [f"cacert = {_quoted(str(ca))}"] if ca is not None else []
    lines += [f"proto-redir = {_quoted('=https')}"] if place.tls else ['noproxy = "*"']
    return "\n".join(lines) + "\n"


def environment(surroundings: Mapping[str, str]) -> dict[str, str]:
    """The environment that curl starts with."""
    return {name: value for name, value in surroundings.items() if name not in _TAKEN_AWAY}


def piped(text: str) -> int:
    """The reading end of a pipe that holds this text, for a program that takes this one's place. Raises UsageError."""
    data = text.encode()
    if len(data) > PIPE_BYTES:
        raise UsageError(f"path, token and purpose are {len(data)} bytes; expected at most {PIPE_BYTES}")
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    os.set_inheritable(reading, True)
    return reading


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
