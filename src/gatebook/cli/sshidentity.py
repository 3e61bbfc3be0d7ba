"""A user's key for SSH and the gateway's certificate of it, in a folder that only its owner can read.

The key is made here and stays here; what goes to the gateway is its public half. ``config`` beside them is all that OpenSSH's
clients need: where the gateway is, by what it proves itself, and by what its user does.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    load_ssh_private_key,
    load_ssh_public_identity,
)

from gatebook.cli.apiclient import Gateway, RefusedError, UsageError, call, said
from gatebook.cli.places import HOST

EARLY_SECONDS = 60  # before its end a certificate is no longer used
KEY, CERTIFICATE, KNOWN_HOSTS, CONFIG, RENEW = "id_ed25519", "id_ed25519-cert.pub", "known_hosts", "config", "renew"

WHOSE = ("GATEBOOK_TOKEN", "GATEBOOK_PROVIDER_TOKEN", "GATEBOOK_CLIENT_ID")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PUBLIC = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+")
_CERTIFICATE = re.compile(r"[a-z0-9@.-]+-cert-v01@openssh\.com [A-Za-z0-9+/=]+")
_PATH = re.compile(r"""[^"'\\\n\r%$]+""")  # Match exec of older clients knows no escapes


@dataclass(frozen=True, slots=True)
class Given:
    """What the gateway gave, checked: nothing of it can be more than a word of a configuration."""

    certificate: str
    names: tuple[str, ...]
    host: str
    port: int
    host_authority: str


def refresh(gateway: Gateway, token: str, folder: Path, why: str = "", renewal: Sequence[str] = ()) -> Given:
    """A new certificate in this folder, with the rest beside it. Raises RefusedError and UsageError.

    ``renewal`` is the command that OpenSSH runs before each connection, for a certificate that lives.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        key = _key(folder / KEY)
        given = ask(gateway, token, key, why)
        _write(folder / CERTIFICATE, f"{given.certificate}\n")
        _write(folder / KNOWN_HOSTS, known_hosts(given))
        if renewal:
            _write(folder / RENEW, script(given, folder, renewal), 0o700)
        _write(folder / CONFIG, configuration(given, folder, renews=bool(renewal)))
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}: expected a folder of yours alone") from None
    return given


def kept_at(gateway: Gateway, source: str | None, issuer: str | None, why: str) -> Path:
    """Where ``gatebook connect`` keeps a key for this gateway, identity and purpose; its name tells nothing of them."""
    whose = [gateway.url, str(gateway.ca), source or "", issuer or "", why, *(os.environ.get(name, "") for name in WHOSE)]
    name = hashlib.sha256("\0".join(whose).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache.absolute() / "gatebook" / "ssh" / name


def script(given: Given, folder: Path, renewal: Sequence[str]) -> str:
    """What OpenSSH runs: the command takes a second to begin, and Ansible connects dozens of times, so a shell looks first."""
    until = _end(given.certificate.encode("ascii")) - EARLY_SECONDS
    lives = f'[ "$(date +%s)" -lt {until} ] && [ -s {shlex.quote(str(folder / CERTIFICATE))} ] && exit 0'
    return f"#!/bin/sh\n{lives}\nexec {shlex.join(renewal)}\n"


def lives(folder: Path, now: float | None = None) -> bool:
    """Whether the folder's certificate is good for a while."""
    try:
        end = _end((folder / CERTIFICATE).read_bytes().strip())
    except OSError:
        return False
    return end > (time.time() if now is None else now) + EARLY_SECONDS and (folder / KEY).exists()


def _end(certificate: bytes) -> int:
    """When a certificate ends, 0 for what is none."""
    try:
        found = load_ssh_public_identity(certificate)
    except ValueError:
        return 0
    return found.valid_before if isinstance(found, SSHCertificate) else 0


def ask(gateway: Gateway, token: str, key: Ed25519PrivateKey, why: str) -> Given:
    """Have the gateway certify a key. Raises RefusedError."""
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    body = {"public_key": public, "why": why}
    status, answer = call("POST", f"{gateway.url}/api/v1/ssh/certificates", gateway.verify, body=body, bearer=token)
    if status == 404:
        raise RefusedError("Gatebook has no door for SSH: listeners.ssh is not configured, or it is an older version")
    if status != 201:
        raise RefusedError(f"Gatebook gives no certificate: {said(answer, status)}")
    return _checked(answer)


def _checked(answer: dict[str, Any]) -> Given:
    """What a gateway says goes into files that OpenSSH obeys: words alone may."""
    certificate, host, port, authority = (answer.get(name) for name in ("certificate", "host", "port", "host_authority"))
    names = answer.get("principals")
    whole = (
        isinstance(certificate, str)
        and _CERTIFICATE.fullmatch(certificate)
        and isinstance(authority, str)
        and _PUBLIC.fullmatch(authority)
        and isinstance(host, str)
        and HOST.fullmatch(host)
        and isinstance(port, int)
        and 0 < port < 65_536
        and isinstance(names, list)
        and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
    )
    if not whole:
        raise RefusedError("Gatebook's answer is no certificate for SSH: is it running the same version?")
    return Given(str(certificate), tuple(names or ()), str(host), int(port or 0), str(authority))


def known_hosts(given: Given) -> str:
    """The gateway's authority, for the gateway's address alone."""
    place = given.host if given.port == 22 else f"[{given.host}]:{given.port}"
    return f"@cert-authority {place} {given.host_authority}\n"


def configuration(given: Given, folder: Path, *, renews: bool = False) -> str:
    """A configuration of OpenSSH with each target under its own name. Raises UsageError."""
    if not _PATH.fullmatch(str(folder)):
        raise UsageError(f"{folder}: expected a folder whose name has no quote, backslash, % or $")
    lines = ["# Written by gatebook ssh-config, and again whenever the certificate is renewed."]
    if renews:
        lines += [f"Match originalhost {','.join(given.names)} exec \"'{folder / RENEW}'\"", ""]
    for name in given.names:
        lines += [
            f"Host {name}",
            f"  HostName {given.host}",
            f"  Port {given.port}",
            f"  User {name}",
            f'  IdentityFile "{folder / KEY}"',
            f'  CertificateFile "{folder / CERTIFICATE}"',
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            f'  UserKnownHostsFile "{folder / KNOWN_HOSTS}"',
            "  GlobalKnownHostsFile /dev/null",
            "  StrictHostKeyChecking yes",
            "  UpdateHostKeys no",
            "",
        ]
    return "\n".join(lines)


def _key(path: Path) -> Ed25519PrivateKey:
    """The folder's key; made where there is none, or none that is ours alone."""
    try:
        about = path.stat(follow_symlinks=False)
        if about.st_uid == os.getuid() and not about.st_mode & 0o077:
            found = load_ssh_private_key(path.read_bytes(), None)
            if isinstance(found, Ed25519PrivateKey):
                return found
    except (FileNotFoundError, ValueError):
        pass
    made = Ed25519PrivateKey.generate()
    _write(path, made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii"))
    return made


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file whole, by one that nobody else may read."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w") as out:
            out.write(text)
            os.fchmod(out.fileno(), mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
