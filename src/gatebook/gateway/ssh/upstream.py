"""Dial a host by SSH: its key must be one that is pinned, or vouched for; then the gateway proves to be the role's user.

Nothing of the surroundings counts: no configuration of OpenSSH, no agent, no keys of whoever runs the gateway.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncssh
import structlog

from gatebook.config import SshTarget
from gatebook.config.values import host_of
from gatebook.errors import ConfigError
from gatebook.gateway.dial import DialError
from gatebook.gateway.ssh.packets import HOST_CIPHERS, HostConnection, connect

DIAL_SECONDS = 10.0
ALIVE_SECONDS = 30  # between two questions whether the host is there, where nothing comes
ALIVE_TRIES = 3

log = structlog.get_logger("gatebook.ssh")


async def dial(target: SshTarget, role: str) -> HostConnection:
    """A connection to the host as this role; raises DialError with a sentence fit for the client."""
    name = target.name
    try:
        known, shown = await asyncio.to_thread(lambda: (_known(target), _shown(target, role)))
    except (ConfigError, OSError, asyncssh.KeyImportError) as error:
        log.error("a credential cannot be read", target=name, why=str(error))
        raise DialError(f"the gateway's credential for target {name} cannot be read; its operators' log says more") from error
    host, port = host_of(target.address), int(target.address.rpartition(":")[2])
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            options = await asyncssh.SSHClientConnectionOptions.construct(
                host=host,
                port=port,
                config=None,
                known_hosts=known,
                username=target.user(role),
                agent_path=None,
                gss_host=None,
                host_based_auth=False,
                x509_trusted_certs=None,
                compression_algs=None,
                disable_trivial_auth=True,
                keepalive_interval=ALIVE_SECONDS,
                keepalive_count_max=ALIVE_TRIES,
                client_version="Gatebook",
                encoding=None,
                encryption_algs=HOST_CIPHERS,
                **shown,
            )
            return await connect(options)
    except TimeoutError:
        raise DialError(f"target {name} did not answer within {DIAL_SECONDS:.0f} s") from None
    except asyncssh.HostKeyNotVerifiable as error:
        raise DialError(f"target {name} cannot prove that it is itself: its key is none of those that are pinned") from error
    except asyncssh.PermissionDenied as error:
        raise DialError(f"target {name} does not take the gateway's credential for role {role}") from error
    except (OSError, asyncssh.Error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DialError(f"target {name} cannot be reached: {why}") from error


def _known(target: SshTarget) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
    keys, authorities = (
        [asyncssh.import_public_key(one) for one in lines] for lines in (target.host_keys, target.host_authorities)
    )
    return keys, authorities, []


def _shown(target: SshTarget, role: str) -> dict[str, Any]:
    """What proves that the gateway is this role: read for each connection, so that one that was replaced counts."""
    wanted = target.roles[role]
    if wanted.key is None:
        if wanted.password is None:
            raise AssertionError("a role without a credential")
        return {"client_keys": None, "password": wanted.password.read(), "public_key_auth": False}
    key = asyncssh.read_private_key(wanted.key)
    shown: list[Any] = [key]
    if wanted.certificate is not None:
        shown = [(key, asyncssh.read_certificate(wanted.certificate))]
    return {"client_keys": shown, "password": None, "password_auth": False, "kbdint_auth": False}


def needles(target: SshTarget, role: str) -> list[bytes]:
    """The credential, where it is one that could come back in output. Raises ConfigError."""
    password = target.roles[role].password
    return [password.read().encode()] if password is not None else []
