"""SASL OAUTHBEARER (RFC 7628) as PostgreSQL 18 speaks it: what a client says, and what it hears about where tokens come from.

A client that has no token yet sends an empty one; it is told the provider's configuration and the scope, answers with a single
byte, hears that it failed, and comes again with a token. The same is said about a token that proves nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from gatebook.errors import WireError

MECHANISM = "OAUTHBEARER"
USER = "oauth"  # a client that connects as this user is asked by OAUTHBEARER, whatever the listener asks of others
DISMISSED = b"\x01"  # what a client says when it heard of its failure

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1


@dataclass(frozen=True, slots=True)
class Bearer:
    """Where clients get tokens; with ``always`` every client of the listener is asked by OAUTHBEARER."""

    configuration: str
    scope: str
    always: bool = False

    def failure(self) -> bytes:
        """The error result: RFC 7628, section 3.2.2."""
        fields = {"status": "invalid_token", "openid-configuration": self.configuration, "scope": self.scope}
        return json.dumps(fields, separators=(",", ":")).encode()


def token(mechanism: str, data: bytes) -> str:
    """The token of a client's first message, empty when it asks where to get one. Raises WireError, without the token."""
    if mechanism != MECHANISM:
        raise WireError(f"SASL mechanism {mechanism!r} was not offered; use {MECHANISM}")
    head, _, rest = data.partition(b"\x01")
    if head not in (b"n,,", b"y,,"):
        raise WireError(f"{MECHANISM} begins with n,, here: no channel binding, and no other identity than the token's")
    if not rest.endswith(b"\x01\x01") and rest != b"\x01":
        raise WireError(f"the {MECHANISM} message has no end")
    pairs = [pair.partition(b"=") for pair in rest[:-2].split(b"\x01")]
    values = [value for key, _, value in pairs if key == b"auth"]
    if len(values) != 1:
        raise WireError(f"the {MECHANISM} message has {len(values)} values for auth; expected one")
    if not values[0]:
        return ""
    scheme, _, found = values[0].decode("ascii", "replace").partition(" ")
    found = found.lstrip(" ")
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(found):
        raise WireError(f"the {MECHANISM} message holds no bearer token")
    return found
