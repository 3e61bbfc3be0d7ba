"""What the configuration says of an SSH host: where it is, by which keys it proves itself, who the gateway is to it."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gatebook.config.git import PUSH_BYTES_MAX
from gatebook.config.targets import TargetConfig, known_role
from gatebook.config.values import Bind, File, HostPort, Items, Part, PrivateFile, Secret, Some, Table, Text, expected
from gatebook.protocols.git.pushing import PUSH_BYTES

ENVIRONMENT = ("LANG", "LC_*")  # as OpenSSH's own defaults have it

_FOLDER = re.compile(r"/|(?:/[A-Za-z0-9_][A-Za-z0-9._+-]*)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?")


def _public_key(line: str) -> str:
    """``type base64``, without what stands behind it: a comment says nothing of a key."""
    kind, _, rest = line.strip().partition(" ")
    plain = f"{kind} {rest.strip().split(' ')[0]}"
    try:
        load_ssh_public_key(plain.encode("utf-8", "replace"))
    except (ValueError, UnsupportedAlgorithm):
        raise expected("a public key as ssh-keyscan prints it, without the host's name: ssh-ed25519 AAAA…") from None
    return plain


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise expected("the name of a variable, or the beginning of names with * behind it, as LC_*")
    return name


def _folder(path: str) -> str:
    if not _FOLDER.fullmatch(path):
        raise expected("a folder of the host from / on, of plain letters and without .., as /srv/git")
    return path


class SshListener(Part):
    """Where SSH clients connect. What they say is encrypted from before their token on, wherever that is."""

    bind: Bind = Field(description="host:port to listen on")
    certificate_seconds: int = Field(default=3_600, ge=60, le=86_400, description="seconds a user's certificate may last")
    certificate_source: Literal["any", "asker"] = Field(
        default="any", description="any, or asker to have certificates count from the address alone that asked for them"
    )


class SshRole(Part):
    """A user of the host, and by what the gateway proves to be it."""

    user: Text | None = Field(default=None, description="the user's name there, where it is not the role's own")
    key: PrivateFile | None = Field(default=None, description="the file of a private key without passphrase")
    certificate: File | None = Field(default=None, description="the file of an OpenSSH certificate of that key")
    password: Secret | None = Field(
        default=None, description="a reference to a password, env:NAME or file:PATH", validate_default=True
    )

    @field_validator("password", mode="after")
    @classmethod
    def _one(cls, password: object, info: ValidationInfo) -> object:
        key: Path | None = info.data.get("key")
        if "key" in info.data and "certificate" in info.data:
            if info.data["certificate"] is not None and key is None:
                raise expected("key beside certificate, which is that key's")
            if (key is None) == (password is None):
                raise expected("key, or password: one of them")
        return password


class SshTarget(TargetConfig):
    """A host that speaks SSH."""

    protocol: Literal["ssh"] = Field(description="postgres, http, kubernetes, ssh or git")
    address: HostPort = Field(description="host:port of the target")
    host_keys: Items[Annotated[Text, AfterValidator(_public_key)]] = Field(
        default=(), description="a list of the host's public keys: one that shows another is not spoken to"
    )
    host_authorities: Items[Annotated[Text, AfterValidator(_public_key)]] = Field(
        default=(),
        description="a list of public keys of authorities whose host certificates count for it",
        validate_default=True,
    )
    roles: Annotated[Table[SshRole], Some] = Field(
        description="the users of the host, each with key, or password; user where its name is another"
    )
    default_role: Annotated[Text, AfterValidator(known_role)] = Field(description="the role of clients that ask for none")
    forwards: Items[Literal["local", "remote", "agent"]] = Field(
        default=(), description="a list of local, remote and agent: the forwards that rules are asked about; others are refused"
    )
    environment: Items[Annotated[Text, AfterValidator(_variable)]] = Field(
        default=ENVIRONMENT, description="the variables that clients may set, LC_* for all that begin so"
    )

    @field_validator("host_authorities", mode="after")
    @classmethod
    def _pinned(cls, authorities: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "host_keys" in info.data and not (authorities or info.data["host_keys"]):
            raise expected("host_keys or host_authorities: whoever answers in the host's place is shown what opens it")
        return authorities

    lines: Literal["recorded", "decided"] = Field(
        default="recorded", description="recorded, or decided: what becomes of lines that are typed at a terminal"
    )
    transfers: Literal["digests", "contents"] = Field(
        default="digests", description="digests, or contents: what of files that pass by SFTP is recorded"
    )
    repositories: Annotated[Text, AfterValidator(_folder)] | None = Field(
        default=None, description="the folder of the host below which git repositories lie, / for a forge"
    )
    push_bytes: int = Field(
        default=PUSH_BYTES, ge=65_536, le=PUSH_BYTES_MAX, description="how long a push may be, all of which is read"
    )

    def user(self, role: str) -> str:
        """The name that the gateway logs in by."""
        return self.roles[role].user or role

    def takes(self, variable: str) -> bool:
        """Whether clients may set it. The version of git's protocol is git's to say."""
        if variable == "GIT_PROTOCOL" and self.repositories is not None:
            return True
        return any(variable == one or (one.endswith("*") and variable.startswith(one[:-1])) for one in self.environment)

    @property
    def place(self) -> str:
        """Where it is, ``host:port``."""
        return self.address

    @property
    def identity(self) -> str:
        """Where it is and by what it proves itself: a yes given to one host counts for no other."""
        return f"{self.address} {sha256(chr(0).join((*self.host_keys, '', *self.host_authorities)).encode()).hexdigest()}"
