"""From the claims of a token whose signature holds to an Identity. Pure: the provider's configuration and the time come in.

Order of checks: type and audience first (is this token meant for Gatebook at all), then times, then who. Every fault is an
IdentityError that says which check failed and what to do, and holds nothing of the token but times and the name of a claim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gatebook.errors import IdentityError
from gatebook.model import PURPOSE, PURPOSE_CHARACTERS, Attribute, Identity, Kind

LEEWAY_SECONDS = 30  # between the provider's clock and ours, for nbf and iat; exp has none
NAME_CHARACTERS = 256  # of a subject, a group, an attribute's value
LATEST_SECONDS = 253_402_300_799  # the end of the year 9999: later times are no times
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How one provider's claims are read. Without a ``kind`` for all its tokens, ``kind_claim`` names each one's.

    ``purpose_claim`` says what its sessions are for. ``prefix`` stands before its groups' names: empty for the first provider.
    ``others`` are the prefixes of all other providers; no group of this one may begin with them.
    """

    issuer: str
    audience: str
    groups_claim: str
    kind: Kind | None
    kind_claim: str
    attributes: tuple[str, ...]
    purpose_claim: str = ""
    prefix: str = ""
    others: tuple[str, ...] = ()


def identity_of(claims: Mapping[str, Any], reading: Reading, now: int) -> Identity:
    """The identity that verified ``claims`` prove at ``now`` (µs); raises IdentityError."""
    _check_purpose(claims, reading)
    expires_at = _check_times(claims, now)
    subject, behind = _parties(claims, reading)
    return Identity(
        subject=subject,
        issuer=reading.issuer,
        kind=_kind(claims, reading),
        groups=_groups(claims, reading),
        attributes=_attributes(claims, reading),
        proven_at=now,
        expires_at=expires_at,
        on_behalf_of=behind,
    )


def _check_purpose(claims: Mapping[str, Any], reading: Reading) -> None:
    if claims.get("iss") != reading.issuer:
        raise IdentityError(f"the token's issuer (iss) is not {reading.issuer}")
    audience = claims.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in listed) or reading.audience not in listed:
        raise IdentityError(
            f"the token is meant for another audience (aud): ask {reading.issuer} for one whose audience is {reading.audience}"
        )
    if "events" in claims:
        raise IdentityError("the token reports an event (events), as a logout token does: it proves nobody's identity")
    if "cnf" in claims:
        raise IdentityError("the token is bound to a key (cnf) that cannot be proven here: ask for a plain bearer token")


def _check_times(claims: Mapping[str, Any], now: int) -> int:
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise IdentityError("the token has no expiry time (exp): ask for one that expires")
    if expires_at <= now:
        raise IdentityError(f"the token expired at {shown(expires_at)}: get a new one and connect again")
    latest = now + LEEWAY_SECONDS * MICROSECONDS
    for name, what in (("nbf", "is not valid before"), ("iat", "was issued in the future, at")):
        at = _time(claims, name)
        if at is not None and at > latest:
            raise IdentityError(f"the token {what} {shown(at)} ({name}), and it is {shown(now)} here: check the clocks")
    return expires_at


def _time(claims: Mapping[str, Any], name: str) -> int | None:
    """A NumericDate (RFC 7519 §2) in microseconds. bool is an int to Python, but no time."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise IdentityError(f"the token's {name} is not a number of seconds")
    if not 0 <= value <= LATEST_SECONDS:
        raise IdentityError(f"the token's {name} is not a time between 1970 and 9999")
    return int(value * MICROSECONDS)


def shown(at: int) -> str:
    """A time in microseconds as people read it, to the second, UTC."""
    return datetime.fromtimestamp(at // MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _kind(claims: Mapping[str, Any], reading: Reading) -> Kind:
    if reading.kind is not None:
        return reading.kind
    value = claims.get(reading.kind_claim)
    if not isinstance(value, str) or value not in frozenset(Kind):
        raise IdentityError(f"the token's claim {reading.kind_claim} is not one of {', '.join(Kind)}")
    return Kind(value)


def _groups(claims: Mapping[str, Any], reading: Reading) -> frozenset[str]:
    """A list that the provider cut short blocks: a rule that forbids by group would silently not apply."""
    if "_claim_names" in claims or claims.get("hasgroups", False) is not False:
        raise IdentityError("the token does not list all of its groups (_claim_names, hasgroups): let the provider send fewer")
    listed = claims.get(reading.groups_claim, [])
    if not isinstance(listed, list):
        raise IdentityError(f"the token's claim {reading.groups_claim} is not a list of group names")
    named = [_text(name, f"group in {reading.groups_claim}") for name in listed]
    if any(name.startswith(reading.others) for name in named):
        raise IdentityError("a group in the token is named like another provider's group: rename it at the provider")
    return frozenset(reading.prefix + name for name in named)


def _attributes(claims: Mapping[str, Any], reading: Reading) -> dict[str, Attribute]:
    found = {name: _text(claims[name], f"claim {name}") for name in reading.attributes if name in claims}
    if claims.get(reading.purpose_claim):
        stated = found[PURPOSE] = _text(claims[reading.purpose_claim], f"purpose ({reading.purpose_claim})")
        if len(stated) > PURPOSE_CHARACTERS:
            raise IdentityError(f"the token's purpose ({reading.purpose_claim}) is longer than {PURPOSE_CHARACTERS} characters")
    return {name: Attribute(value=value, attested=True) for name, value in found.items()}


def _parties(claims: Mapping[str, Any], reading: Reading) -> tuple[str, str | None]:
    """Who acts, and for whom. With an ``act`` claim (RFC 8693 §4.1) its subject acts, on behalf of the token's own subject."""
    subject = _text(claims.get("sub"), "subject (sub)")
    if "act" not in claims:
        return subject, None
    actor = claims["act"]
    if not isinstance(actor, dict):
        raise IdentityError("the token's claim act is not an object")
    if actor.get("iss", reading.issuer) != reading.issuer:
        raise IdentityError("the token's acting party (act) is of another issuer, whose word is not good here")
    return _text(actor.get("sub"), "acting party (act.sub)"), subject


def _text(value: object, what: str) -> str:
    """Printable, so that it reads the same in a rule, a log line and a terminal: no controls, no bidi marks, no surrogates."""
    if not isinstance(value, str) or not value:
        raise IdentityError(f"the token's {what} is missing or not a string")
    if len(value) > NAME_CHARACTERS or not value.isprintable():
        raise IdentityError(f"the token's {what} is longer than {NAME_CHARACTERS} characters or not printable")
    return value
