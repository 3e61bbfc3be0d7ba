"""By what a client of SSH proves who they are: a token, or a certificate of the gateway's own and its key.

A proof is kept as long as its connection, and asked again for each target: what was revoked meanwhile opens nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Protocol

from asyncssh.public_key import CERT_TYPE_USER, SSHOpenSSHCertificate

from gatebook.errors import IdentityError
from gatebook.gateway.proving import Proving
from gatebook.identity.tokens import digest_of
from gatebook.model import Identity


@dataclass(frozen=True, slots=True)
class Proven:
    """Who it is; the gateway token that this stands on, by its digest; the purpose and serial number of a certificate."""

    identity: Identity
    token: bytes | None = field(repr=False)
    purpose: str = ""
    certificate: int = 0


class Proof(Protocol):
    """What a client shows."""

    @property
    def whole(self) -> bool:
        """Whether there is anything to ask about."""
        ...

    async def prove(self, target: str, now: int, *, jumps: bool = False) -> Proven:
        """Who it is that wants this target; raises IdentityError, and LedgerError where they cannot be written down.

        ``jumps``: they come to go on, and are asked again for the target that they go on to.
        """
        ...


class ByToken:
    """A provider's token, or a gateway token. Its repr shows none."""

    def __init__(self, proving: Proving, token: str) -> None:
        self._proving, self._token = proving, token

    def __repr__(self) -> str:
        return "ByToken(…)"

    @property
    def whole(self) -> bool:
        """Whether there is one."""
        return bool(self._token)

    async def prove(self, target: str, now: int, *, jumps: bool = False) -> Proven:
        """Whom it proves."""
        return Proven(await self._proving.prove(self._token, target, now), digest_of(self._token))


class ByCertificate:
    """A certificate that the gateway signed, from a client who has its key."""

    def __init__(self, proving: Proving, certificate: SSHOpenSSHCertificate, address: str) -> None:
        self._proving, self._certificate, self._address = proving, certificate, address

    whole = True

    async def prove(self, target: str, now: int, *, jumps: bool = False) -> Proven:
        """Whom it proves, on a target that it names, while it is good, from where it is good."""
        check(self._certificate, None if jumps else target, self._address)
        found = await self._proving.prove_certificate(self._certificate.public_data, target, now)
        return Proven(found.identity, found.token, found.purpose, found.serial)


def check(certificate: SSHOpenSSHCertificate, target: str | None, address: str) -> None:
    """Raises IdentityError where a certificate is not one for users, not good now, or not for this target or address.

    ``None`` is any target that it names.
    """
    if not certificate.principals:
        raise IdentityError("the certificate names no targets")
    try:
        certificate.validate(CERT_TYPE_USER, target)
    except ValueError as error:
        raise IdentityError(f"the certificate cannot be taken: {error}; `gatebook ssh-config` gets a new one") from None
    sources: Any = certificate.options.get("source-address")
    if sources and not any(ip_address(address) in one for one in sources):
        raise IdentityError("the certificate counts from another address alone")
