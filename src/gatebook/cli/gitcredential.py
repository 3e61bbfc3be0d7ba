"""``gatebook git-credential``: gives git a token where it asks for a password (gitcredentials, git-credential).

git runs it with what it wants as argument, and says on standard input for which server. A token goes to the gateway's own host
alone, over TLS, whatever a repository's settings have git ask for.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, TextIO
from urllib.parse import urlsplit

import typer

from gatebook.cli.apiclient import find_gateway
from gatebook.cli.execcredential import EARLY_SECONDS, forget, held_token
from gatebook.cli.token import CaOption, FromOption, IssuerOption, UrlOption, fail
from gatebook.errors import GatebookError

LINES = 100
LINE_CHARACTERS = 65_536
WHAT_HELP = "What git wants: get, store or erase."


class Wanted(StrEnum):
    """What git asks a helper for."""

    GET = "get"
    STORE = "store"
    ERASE = "erase"


def git_credential(
    what: Annotated[Wanted, typer.Argument(help=WHAT_HELP)],
    url: UrlOption = None,
    ca: CaOption = None,
    source: FromOption = None,
    issuer: IssuerOption = None,
) -> None:
    """Give git a token as its password: git config --global credential.https://GATEWAY:PORT.helper '!gatebook git-credential'.

    It answers for the gateway's host alone. A token is kept until shortly before its end, or until it was refused.
    """
    try:
        asked = read_asked(sys.stdin)
        gateway = find_gateway(url, ca)
        if not is_for(asked, gateway.url):
            return
        if what is Wanted.ERASE:
            forget(gateway, source, issuer)
        elif what is Wanted.GET:
            held = held_token(gateway, source, issuer)
            print(f"username=gatebook\npassword={held.token}")
            if held.ends_at is not None:
                print(f"password_expiry_utc={int(held.ends_at - EARLY_SECONDS)}")
    except GatebookError as error:
        fail("git-credential", error)


def read_asked(source: TextIO) -> dict[str, str]:
    """What git says, ``key=value`` in lines up to an empty one."""
    asked: dict[str, str] = {}
    for _ in range(LINES):
        line = source.readline(LINE_CHARACTERS).rstrip("\n")
        if not line:
            break
        key, _, value = line.partition("=")
        asked[key] = value
    return asked


def is_for(asked: dict[str, str], url: str) -> bool:
    """Whether git asks for the gateway at this address, over TLS."""
    try:
        host = urlsplit(f"//{asked.get('host', '')}").hostname
    except ValueError:
        return False
    return asked.get("protocol") == "https" and host is not None and host == urlsplit(url).hostname
