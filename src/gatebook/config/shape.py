"""The shape of ``gatebook.yaml``: each class is a part of it, each field a key, each description what is expected there.

``docs/configuration.md`` shows all of it with an example.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

import pyrage
from pydantic import AfterValidator, BaseModel, Field, PlainValidator, PrivateAttr, ValidationInfo, field_validator
from pydantic_core import core_schema

from gatebook.config.git import GitTarget
from gatebook.config.kubernetes import KubernetesTarget
from gatebook.config.objects import ObjectRuleConfig
from gatebook.config.ssh import SshListener, SshTarget
from gatebook.config.targets import HttpTarget, PostgresTarget, TargetConfig
from gatebook.config.values import (
    AnyPath,
    Bind,
    Context,
    File,
    Folder,
    Items,
    Name,
    Part,
    Secret,
    Some,
    Table,
    Text,
    TlsFiles,
    Url,
    expected,
    is_address,
    once,
)
from gatebook.errors import ConfigError
from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import ColumnPattern, FieldPattern, HeaderPattern, MaskSet, Style
from gatebook.model import PURPOSE, Kind, Reach

WORKERS_MAX = 64
WORKERS_AUTO = 8  # more only where somebody says so: each has its own log, and keeps memory of its own


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Listeners ---------------------------------------------------------------------------------------------------------------


class Listener(Part):
    """Where the gateway listens, and as whom. Without TLS only on loopback: tokens come in here."""

    bind: Bind = Field(description="host:port to listen on")
    tls: TlsFiles | None = Field(default=None, description="cert and key", validate_default=True)

    @field_validator("tls", mode="after")
    @classmethod
    def _secured(cls, tls: TlsFiles | None, info: ValidationInfo) -> TlsFiles | None:
        bind = info.data.get("bind")
        if tls is None and bind is not None and not bind.loopback:
            raise expected(f"tls with cert and key, since {bind} is not on loopback")
        return tls


def _known_provider(name: str, info: ValidationInfo) -> str:
    known = Context.of(info).provider_names
    if name not in known:
        raise expected(f"a name of identity.providers: {', '.join(known) or 'there is none'}")
    return name


_DOMAIN = re.compile(r"(?=.{1,200}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")


def _domain(name: str) -> str:
    if not _DOMAIN.fullmatch(name):
        raise expected("a domain in lower case, as targets.example.org")
    return name


class PostgresListener(Listener):
    """Where PostgreSQL clients connect, and how they are asked for their tokens."""

    auth: Literal["password", "oauth"] = Field(
        default="password", description="password, or oauth to ask every client by OAUTHBEARER"
    )
    oauth_provider: Annotated[Text, AfterValidator(_known_provider)] | None = Field(
        default=None, description="the provider that OAUTHBEARER clients are told of; the first one unless named"
    )
    oauth_scope: Text = Field(default="openid", description="the scope that OAUTHBEARER clients are told to ask for")


class HttpListener(Listener):
    """Where clients of HTTP APIs connect, and under which names."""

    domain: Annotated[Text, AfterValidator(_domain)] | None = Field(
        default=None, description="the domain under which each target has a host of its own, as targets.example.org"
    )
    public_port: int | None = Field(
        default=None, ge=1, le=65_535, description="the port at which clients reach it, where that is not the one of bind"
    )

    @property
    def port(self) -> int:
        """Where clients reach it."""
        return self.public_port or self.bind.port

    def origin_of(self, target: str) -> str:
        """The target's own origin, as browsers write it."""
        scheme, usual = ("https", 443) if self.tls is not None else ("http", 80)
        return f"{scheme}://{target}.{self.domain}" + (f":{self.port}" if self.port != usual else "")


class Listeners(Part):
    """The doors."""

    postgres: PostgresListener | None = Field(default=None, description="where PostgreSQL clients connect: bind, tls, auth")
    http: HttpListener | None = Field(default=None, description="where clients of HTTP APIs connect: bind, tls, domain")
    ssh: SshListener | None = Field(default=None, description="where SSH clients connect: bind")
    api: Listener = Field(description="where the HTTP API answers: bind, tls")
    public_url: Url = Field(description="the URL under which clients reach the API")

    @field_validator("public_url", mode="after")
    @classmethod
    def _apart(cls, url: str, info: ValidationInfo) -> str:
        """Pages of targets never are of the same site as the gateway's own: what they say would count as said by those."""
        http, own = info.data.get("http"), urlsplit(url).hostname or ""
        if http is not None and http.domain is not None and _site(own) == _site(http.domain):
            raise expected(f"another registrable domain than that of listeners.http.domain, {http.domain}")
        return url


def _site(host: str) -> str:
    """The last two labels: where a suffix has two itself, this takes more hosts for one site than browsers do."""
    return host if is_address(host) else ".".join(host.split(".")[-2:])


# Identity ----------------------------------------------------------------------------------------------------------------


class KindRule(Part):
    """How a token says whether it stands for a person, an agent or a CI job."""

    claim: Text | None = Field(default=None, description="the claim that holds person, agent or ci")
    always: Annotated[Kind, Field(strict=False)] | None = Field(
        default=None, description="person, agent or ci", validate_default=True
    )

    @field_validator("always", mode="after")
    @classmethod
    def _one_way(cls, always: Kind | None, info: ValidationInfo) -> Kind | None:
        if "claim" in info.data and (always is None) == (info.data["claim"] is None):
            raise expected("either claim or always")
        return always


def _unique_provider(name: str, info: ValidationInfo) -> str:
    return once(name, Context.of(info).provider_names)


def _unique_issuer(issuer: str, info: ValidationInfo) -> str:
    return once(issuer, Context.of(info).issuers)


class Provider(Part):
    """An OpenID Connect provider whose tokens prove an identity."""

    name: Annotated[Name, AfterValidator(_unique_provider)] = Field(description="a name for the provider")
    issuer: Annotated[Url, AfterValidator(_unique_issuer)] = Field(description="the issuer's URL, exactly as tokens have it")
    audience: Text = Field(description="the audience that tokens must be made for")
    ca: File | None = Field(default=None, description="the file of the authority that vouches for the provider's TLS, PEM")
    groups_claim: Text = Field(default="groups", description="the claim that holds the groups")
    kind: KindRule = Field(description="claim: NAME, or always: person, agent or ci")
    attributes: Items[Text] = Field(default=(), description="claims taken over as attested attributes")
    purpose_claim: Text | None = Field(
        default=None, description="the claim that says what a session is for, another than any of attributes named purpose"
    )
    client_id: Text | None = Field(default=None, description="the client by which people sign in to the pages")
    client_secret: Secret | None = Field(default=None, description="a reference to that client's secret, env:NAME or file:PATH")

    device_client_id: Text | None = Field(
        default=None, description="the client without a secret by which people sign in from a bare ssh, with a device code"
    )

    @field_validator("purpose_claim", mode="after")
    @classmethod
    def _one_purpose(cls, claim: str | None, info: ValidationInfo) -> str | None:
        if claim not in (None, PURPOSE) and PURPOSE in info.data.get("attributes", ()):
            raise expected(f"{PURPOSE}, since attributes has a claim of that name")
        return claim


class Identities(Part):
    """Who may prove who they are, and for how long."""

    token_seconds: int = Field(default=3600, ge=60, le=86_400, description="the longest life of a gateway token, in seconds")
    providers: Annotated[Items[Provider], Some] = Field(description="a list with at least one provider")


# Masking -----------------------------------------------------------------------------------------------------------------


def _pattern(value: object) -> ColumnPattern:
    try:
        return ColumnPattern.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise expected("table.column or schema.table.column, each part a name or *") from None


def _field(value: object) -> FieldPattern:
    try:
        return FieldPattern.parse(value if isinstance(value, str) else "")
    except ValueError as error:
        raise expected(str(error).rpartition(": expected ")[2]) from None


def _header(value: object) -> HeaderPattern:
    try:
        return HeaderPattern.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise expected("the name of a header field, or cookie:NAME") from None


class _MaskSet(Part):
    """A mask set as the file has it; its name is its key."""

    columns: Annotated[Items[Annotated[ColumnPattern, PlainValidator(_pattern)]], Some] | None = Field(
        default=None, description="a list of columns"
    )
    fields: Annotated[Items[Annotated[FieldPattern, PlainValidator(_field)]], Some] | None = Field(
        default=None, description="a list of fields of what HTTP carries, as ssn or customers.*.card"
    )
    kubernetes: Annotated[Items[ObjectRuleConfig], Some] | None = Field(
        default=None, description="a list of fields of a cluster's objects: fields, resources, namespaces"
    )
    headers: Annotated[Items[Annotated[HeaderPattern, PlainValidator(_header)]], Some] | None = Field(
        default=None, description="a list of header fields, and of cookies as cookie:NAME", validate_default=True
    )
    style: Annotated[Style, Field(strict=False)] = Field(default=Style.REDACT, description="redact, partial, hash or token")

    @field_validator("headers", mode="after")
    @classmethod
    def _something(cls, headers: tuple[HeaderPattern, ...] | None, info: ValidationInfo) -> tuple[HeaderPattern, ...] | None:
        if headers is None and all(
            name in info.data and info.data[name] is None for name in ("columns", "fields", "kubernetes")
        ):
            raise expected("at least one of columns, fields, kubernetes and headers")
        return headers


class _AsMaskSets:
    """Reads the file's form of all sets and makes the form that masking knows."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._made, handler.generate_schema(Table[_MaskSet]))

    @staticmethod
    def _made(sets: Mapping[str, _MaskSet]) -> Mapping[str, MaskSet]:
        return {
            name: MaskSet(
                name,
                one.columns or (),
                one.style,
                one.fields or (),
                one.headers or (),
                tuple(each.rule for each in one.kubernetes or ()),
            )
            for name, one in sets.items()
        }


def _detectors(value: object) -> frozenset[str]:
    if value == "all":
        return NAMES
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise expected("all, or a list of detectors")
    if unknown := sorted(set(value) - NAMES):
        raise expected(f"detectors out of {', '.join(sorted(NAMES))}, which {unknown[0]} is not")
    return frozenset(value)


class Masking(Part):
    """What is covered in answers: columns by rule, values by detector."""

    sets: Annotated[Mapping[str, MaskSet], _AsMaskSets()] = Field(default_factory=dict, description="mask sets by name")
    detectors: Annotated[frozenset[str], PlainValidator(_detectors)] = Field(
        default=NAMES, description="all, or a list of detectors"
    )
    tokens: Literal["purpose", "session", "identity"] = Field(
        default="purpose",
        description="where a token is good: purpose, session or identity",
    )


# The rest ----------------------------------------------------------------------------------------------------------------


class PolicyConfig(Part):
    """Where the rules are."""

    folder: Folder = Field(description="the folder with the *.cedar files")


class LedgerConfig(Part):
    """Where the book is, and what must be on disk before it may happen."""

    folder: AnyPath = Field(description="the folder of the ledger")
    durability: Literal["writes", "all"] = Field(
        default="writes", description="writes, or all to have reads on disk first, too"
    )


def _recipient(value: str) -> str:
    try:
        pyrage.x25519.Recipient.from_str(value)
    except pyrage.RecipientError:
        raise expected("the public key of an age identity, age1…, as age-keygen prints it") from None
    return value


class Recording(Part):
    """Where sessions are recorded, and who can read the recordings: the gateway only with a ``reader``."""

    folder: AnyPath = Field(description="the folder of the recordings")
    recipients: Annotated[Items[Annotated[str, AfterValidator(_recipient)]], Some] = Field(
        description="the age recipients who can read recordings, at least one"
    )
    reader: Secret | None = Field(
        default=None, description="a reference to the age identity by which pages read recordings, env:NAME or file:PATH"
    )
    required: bool = Field(default=True, description="true, or false to let sessions go on that cannot be recorded")


def _approver(value: str) -> str:
    kind, _, name = value.partition(":")
    if kind not in ("group", "subject") or not name.strip():
        raise expected("group:NAME or subject:NAME")
    return value


class GrantsConfig(Part):
    """What access people may ask for, for a time, and who decides about it."""

    approvers: Annotated[Items[Annotated[Text, AfterValidator(_approver)]], Some] = Field(
        description="a list of group:NAME or subject:NAME, at least one"
    )
    quorum: int = Field(default=1, ge=1, le=10, description="how many people must say yes")
    furthest: Annotated[Reach, Field(strict=False)] = Field(default=Reach.ADMIN, description="read, write, admin or unknown")
    longest_seconds: int = Field(default=28_800, ge=60, le=2_592_000, description="seconds a grant may last")
    answer_seconds: int = Field(default=3_600, ge=60, le=604_800, description="seconds a request waits for its answer")


class ApprovalsConfig(Part):
    """How long what is held waits for people."""

    wait_seconds: int = Field(default=300, ge=5, le=3_600, description="seconds a held client waits on its connection")
    valid_seconds: int = Field(
        default=3_600, ge=60, le=86_400, description="seconds an action that is answered at once may be approved and sent again"
    )
    proposal_seconds: int = Field(
        default=86_400, ge=60, le=604_800, description="seconds a proposed script may be approved and run"
    )


class Limits(Part):
    """Everything that waits or grows has an end."""

    login_seconds: int = Field(default=30, ge=1, le=600, description="seconds from connecting to a finished login")
    sessions: int = Field(default=500, ge=1, le=100_000, description="sessions at the same time")


def _workers(value: object) -> int | None:
    if value == "auto":
        return None
    if type(value) is not int or not 1 <= value <= WORKERS_MAX:
        raise expected(f"auto, or a number from 1 to {WORKERS_MAX}")
    return value


AnyTarget: TypeAlias = Annotated[
    PostgresTarget | HttpTarget | KubernetesTarget | SshTarget | GitTarget, Field(discriminator="protocol")
]


class Config(Part):
    """All of it."""

    deployment: Name = Field(description="the deployment's name, which the ledger's origin begins with")
    replica: Name = Field(default="1", description="this gateway's name among those of the deployment")
    workers: Annotated[int | None, PlainValidator(_workers)] = Field(
        default=None, description=f"auto, or how many processes serve sessions, 1 to {WORKERS_MAX}"
    )
    home: AnyPath = Field(description="the folder of database and keys")
    listeners: Listeners = Field(description="postgres, api and public_url")
    identity: Identities = Field(description="providers, token_seconds")
    targets: Annotated[Items[AnyTarget], Some] = Field(description="a list with at least one target")
    policy: PolicyConfig = Field(description="folder")
    masking: Masking = Field(default_factory=Masking, description="sets, detectors")
    ledger: LedgerConfig = Field(description="folder, durability")
    recording: Recording | None = Field(default=None, description="folder, recipients, required")
    grants: GrantsConfig | None = Field(default=None, description="approvers, quorum, furthest, longest and answer seconds")
    approvals: ApprovalsConfig = Field(
        default_factory=ApprovalsConfig, description="wait_seconds, valid_seconds, proposal_seconds"
    )
    limits: Limits = Field(default_factory=Limits, description="login_seconds, sessions")

    _file: Path = PrivateAttr(Path())
    _digest: str = PrivateAttr("")

    def placed(self, file: Path, digest: str) -> Config:
        """The same, knowing its file and the digest of that file's bytes."""
        self._file, self._digest = file, digest
        return self

    @field_validator("targets", mode="after")
    @classmethod
    def _reachable(cls, targets: tuple[TargetConfig, ...], info: ValidationInfo) -> tuple[TargetConfig, ...]:
        listeners = info.data.get("listeners")
        for one in targets:
            door = getattr(listeners, one.door, None)
            if listeners is not None and door is None:
                raise expected(f"listeners.{one.door}, where clients of the target {one.name} connect")
            if isinstance(one, KubernetesTarget) and door is not None and door.tls is None:
                raise expected(f"listeners.{one.door}.tls: without it clients of {one.name} send no token, on loopback neither")
        return targets

    @property
    def file(self) -> Path:
        """The file it was read from."""
        return self._file

    @property
    def digest(self) -> str:
        """``sha256:…`` of the file's bytes, as sha256sum has it."""
        return self._digest

    @property
    def worker_count(self) -> int:
        """How many processes serve sessions."""
        return self.workers or min(WORKERS_AUTO, cores())

    @property
    def database_url(self) -> str:
        """Where rows are kept."""
        return f"sqlite:///{self.home / 'gatebook.db'}"

    def target(self, name: str) -> TargetConfig | None:
        """The target of this name, if there is one."""
        return next((one for one in self.targets if one.name == name), None)

    def policy_files(self) -> dict[str, str]:
        """Name and text of each policy file, in the order of their names; raises ConfigError."""
        folder = self.policy.folder
        try:
            found = {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.cedar"))}
        except OSError as error:
            raise ConfigError(
                [f"policy.folder: {error.filename}: {error.strerror}: expected a file that can be read"]
            ) from None
        except UnicodeDecodeError:
            raise ConfigError([f"policy.folder: {folder}: a file that is not UTF-8: expected text"]) from None
        if not found:
            raise ConfigError([f"policy.folder: {folder}: no *.cedar in it: expected at least one, or nothing is allowed"])
        return found


def parts_of(annotation: Any) -> tuple[type[Part], ...]:
    """The classes that a key's type holds, inside of lists, tables and options; several where there is a choice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,) if issubclass(annotation, Part) else ()
    return tuple(dict.fromkeys(found for inner in get_args(annotation) for found in parts_of(inner)))


def keys(owner: type[Part] = Config, at: str = "") -> Iterator[tuple[str, str]]:
    """Every key as ``targets.tls.mode``, with what is expected there; for the docs and their test."""
    for name, field in owner.model_fields.items():
        yield f"{at}{name}", field.description or ""
        for inner in (_MaskSet,) if (owner, name) == (Masking, "sets") else parts_of(field.annotation):
            yield from keys(inner, f"{at}{name}.")
