"""What the gateway shows to a target: read at its use, kept nowhere."""

from __future__ import annotations

from gatebook.config import PostgresTarget
from gatebook.gateway.dial import is_private
from gatebook.protocols.relay import Credential


def postgres(target: PostgresTarget, name: str, database: str, binding: bytes) -> Credential:
    """For a login as this role; ``binding`` is a digest of the certificate that the target showed. Raises ConfigError."""
    role = target.roles[name]
    return Credential(
        name,
        role.password.read() if role.password is not None else "",
        database,
        target.login,
        private=is_private(target),
        binding=binding,
        insists=target.tls.binding,
    )
