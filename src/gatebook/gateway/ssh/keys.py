"""The gateway's own keys for SSH: by one it proves itself, by one it vouches for that, by one it vouches for its clients.

They lie in the home's folder of keys, readable by their owner alone, and are made on first use. ``known_hosts`` of clients has
the host authority, so that the host key may change, and replicas have their own.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from asyncssh.public_key import SSHOpenSSHCertificate

from gatebook.errors import ConfigError

ALGORITHM = "ssh-ed25519"
HOST, HOST_AUTHORITY, USER_AUTHORITY = "ssh_host_key", "ssh_host_authority", "ssh_user_authority"
WHOLE_YEAR = "52w"


@dataclass(frozen=True, slots=True)
class Keys:
    """Read once by each process. Its repr shows none. Of the authority for users it has the public half: the API signs."""

    host: asyncssh.SSHKey
    host_authority: asyncssh.SSHKey
    user_authority: asyncssh.SSHKey

    def __repr__(self) -> str:
        return "Keys(…)"

    def shown(self) -> tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]:
        """The host key with its certificate, which is made anew by each process: good for a year, under whatever name."""
        certificate = self.host_authority.generate_host_certificate(self.host, "gatebook", valid_before=WHOLE_YEAR)
        return self.host, certificate

    def vouched(self, certificate: SSHOpenSSHCertificate) -> bool:
        """Whether the gateway's own authority for users signed it. Its signature was checked as it was read."""
        return hmac.compare_digest(certificate.signing_key.public_data, self.user_authority.public_data)

    @property
    def known_hosts(self) -> str:
        """The authority's public key, as a line of ``known_hosts`` has it behind the marker and the names."""
        return self.host_authority.export_public_key().decode().strip()


def load_or_make(home: Path) -> Keys:
    """The keys of this home. Raises ConfigError."""
    host, host_authority, user_authority = (_key(home / "keys" / name) for name in (HOST, HOST_AUTHORITY, USER_AUTHORITY))
    return Keys(host, host_authority, user_authority.convert_to_public())


def make_sure(home: Path) -> None:
    """The same, for who only wants them to be there."""
    load_or_make(home)


def _key(path: Path) -> asyncssh.SSHKey:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read(path)
    made = asyncssh.generate_private_key(ALGORITHM, comment=f"gatebook {path.name}")
    with os.fdopen(opened, "wb") as file:
        file.write(made.export_private_key())
        file.flush()
        os.fsync(file.fileno())
    return made


def _read(path: Path) -> asyncssh.SSHKey:
    try:
        return asyncssh.read_private_key(path)
    except (OSError, asyncssh.KeyImportError) as error:
        raise ConfigError([f"{path}: {error}: expected a private key; restore it, or remove it for a new one"]) from None
