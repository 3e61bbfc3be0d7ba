"""Single values of a config: addresses, files, references to secrets. Each knows what was expected of it."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from gatebook.errors import ConfigError

SECRET_BYTES = 64 * 1024  # far beyond any password or key; a device file would never end

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a value's check needs to know of the rest: where the file lies, and which names it uses."""

    folder: Path
    files: bool
    mask_sets: frozenset[str]
    target_names: tuple[str, ...]
    provider_names: tuple[str, ...]
    issuers: tuple[str, ...]

    @classmethod
    def of(cls, info: ValidationInfo) -> Context:
        """The context that ``load`` handed in."""
        found: Context = info.context["config"]  # type: ignore[index]
        return found


def expected(what: str) -> PydanticCustomError:
    """The error of a value that is not what was expected."""
    return PydanticCustomError("gatebook", "expected {expected}", {"expected": what})


class Part(BaseModel):
    """A part of the config: frozen, no other keys, no guessing of types."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


# Text --------------------------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise expected("text that is not empty")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise expected("a name of at most 63 lower-case letters, digits, - and _, beginning with a letter or digit")
    return value


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[str, AfterValidator(_name)]


def _some(value: Any) -> Any:
    if not value:
        raise expected("at least one")
    return value


def once(value: str, all_values: tuple[str, ...]) -> str:
    """A value that must be the only one of its list."""
    if all_values.count(value) > 1:
        raise expected("it once in the list")
    return value


T = TypeVar("T")
Items = Annotated[tuple[T, ...], Field(strict=False)]
Some = AfterValidator(_some)  # pydantic's min_length counts only what is valid, and would add a fault of its own
Table = Annotated[Mapping[str, T], AfterValidator(lambda value: MappingProxyType(dict(value)))]

# Addresses ---------------------------------------------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether what is sent to or from there never leaves this machine; of names only ``localhost`` is taken to be so.

    An IPv4 address inside IPv6 counts as the IPv4 address: that is how a socket for both shows its IPv4 peers.
    """
    try:
        found = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def is_address(host: str) -> bool:
    """Whether it is an IP address, not a name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def host_of(address: str) -> str:
    """The host of ``host:port``, without the brackets of IPv6."""
    return address.rpartition(":")[0].strip("[]")


def _split(value: object, least_port: int) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if not found or not least_port <= int(found[2]) <= 65535:
        raise expected("host:port, with [ ] around an IPv6 address")
    if found[1].startswith("["):
        try:
            ipaddress.IPv6Address(found[1][1:-1])
        except ValueError:
            raise expected("host:port, with an IPv6 address in the [ ]") from None
    return found[1].strip("[]"), int(found[2])


def _bind(value: object) -> Address:
    return Address(*_split(value, least_port=0))


def _target_address(value: str) -> str:
    _split(value, least_port=1)
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.hostname and parts.port != 0 and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        raise expected("a URL as https://host") from None
    if not whole or any(char.isspace() or not char.isprintable() for char in value) or parts.scheme not in ("http", "https"):
        raise expected("a URL as https://host, without user, query or fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise expected("https:// (http only on loopback)")
    return value


Bind = Annotated[Address, PlainValidator(_bind)]
HostPort = Annotated[str, AfterValidator(_target_address)]
Url = Annotated[str, AfterValidator(_url)]

# Files -------------------------------------------------------------------------------------------------------------------


def _placed(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise expected("a path, relative to this file")
    return Context.of(info).folder / Path(value).expanduser()


def _file(path: Path, info: ValidationInfo) -> Path:
    if Context.of(info).files:
        _demand(path, stat.S_ISREG, "a file that is there")
    return path


def _private_file(path: Path, info: ValidationInfo) -> Path:
    if Context.of(info).files:
        found = _demand(path, stat.S_ISREG, "a file that is there")
        if is_open_to_others(found):
            raise expected("a file that only its owner can read (chmod 600)")
    return path


def _folder(path: Path, info: ValidationInfo) -> Path:
    if Context.of(info).files:
        _demand(path, stat.S_ISDIR, "a folder that is there")
    return path


def _demand(path: Path, right: Any, what: str) -> os.stat_result:
    try:
        found = path.stat()
    except (OSError, ValueError):
        raise expected(f"{what}: nothing at {path}") from None
    if not right(found.st_mode):
        raise expected(f"{what}: {path} is something else")
    return found


def is_open_to_others(found: os.stat_result) -> bool:
    """Whether somebody else can read it: any other user, or a group that is not given it by root (as PostgreSQL's rule)."""
    allowed = 0o640 if found.st_uid == 0 else 0o600
    return bool(stat.S_IMODE(found.st_mode) & 0o777 & ~(allowed | 0o100))


AnyPath = Annotated[Path, PlainValidator(_placed)]
File = Annotated[AnyPath, AfterValidator(_file)]
PrivateFile = Annotated[AnyPath, AfterValidator(_private_file)]
Folder = Annotated[AnyPath, AfterValidator(_folder)]


class TlsFiles(Part):
    """A certificate with its chain, and its key."""

    cert: File = Field(description="the file of a certificate with its chain, PEM")
    key: PrivateFile = Field(description="the file of the certificate's key, PEM")


# Secrets -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret lies: ``env:NAME`` or ``file:PATH``. It holds no secret, and is read at its use."""

    scheme: str
    place: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.place}"

    def read(self) -> str:
        """The secret itself; raises ConfigError, which names the place alone."""
        return self._variable() if self.scheme == "env" else self._contents()

    def _variable(self) -> str:
        value = os.environ.get(self.place, "")
        if not value:
            raise ConfigError([f"{self}: not set: expected the secret in this environment variable"])
        return value

    def _contents(self) -> str:
        try:
            with open(self.place, "rb") as file:
                if is_open_to_others(os.fstat(file.fileno())):
                    raise ConfigError([f"{self}: others can read it: expected a file that only its owner can read (chmod 600)"])
                text = file.read(SECRET_BYTES + 1)
        except OSError as error:
            raise ConfigError([f"{self}: {error.strerror}: expected a file with the secret"]) from None
        if not text or len(text) > SECRET_BYTES:
            raise ConfigError([f"{self}: {'more than ' * bool(text)}{len(text)} bytes: expected a file with the secret"])
        try:
            return text.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ConfigError([f"{self}: not UTF-8: expected a file with the secret as text"]) from None


def _secret(value: object, info: ValidationInfo) -> SecretReference:
    scheme, _, place = value.partition(":") if isinstance(value, str) else ("", "", "")
    if scheme == "env" and _VARIABLE.fullmatch(place):
        return SecretReference(scheme, place)
    if scheme == "file" and place:
        return SecretReference(scheme, str(_private_file(_placed(place, info), info)))
    raise expected("a reference to a secret, env:NAME or file:PATH, never the secret")


Secret = Annotated[SecretReference, PlainValidator(_secret)]
