"""What the configuration says of a Kubernetes cluster: where it is, who the gateway is to it, its custom resources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gatebook.config.targets import TargetConfig, TargetTls, known_role, origin, origin_place
from gatebook.config.values import File, Items, Part, PrivateFile, Secret, Some, Table, Text, Url, expected
from gatebook.model import Reach

SYSTEM = "system:"  # what the cluster keeps for itself: system:masters may do everything

_GROUP = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_RESOURCE = re.compile(r"[a-z][a-z0-9-]{0,62}|\*")


def _prefix(text: str) -> str:
    """One that no name behind it turns into a name of the cluster's own: ``sys`` would, with a group ``tem:masters``."""
    folded = text.casefold()
    if folded.startswith(SYSTEM) or SYSTEM.startswith(folded):
        raise expected(f"a prefix as gatebook: that no name behind it turns into one of {SYSTEM}")
    return text


class Impersonation(Part):
    """How the cluster is told who asks: as whom its own rules decide, and whom its audit log names."""

    user_prefix: Annotated[Text, AfterValidator(_prefix)] = Field(
        default="gatebook:", description="what stands before the subject in the user's name"
    )
    group_prefix: Annotated[Text, AfterValidator(_prefix)] = Field(
        default="gatebook:", description="what stands before each group's name"
    )
    groups: Items[Text] | None = Field(default=None, description="the groups that the cluster is told of; all unless named")
    extra: Items[Literal["session", "on_behalf_of", "issuer", "purpose"]] = Field(
        default=("session", "on_behalf_of"), description="a list out of session, on_behalf_of, issuer, purpose"
    )

    def user(self, subject: str) -> str:
        """The user's name for a subject."""
        return f"{self.user_prefix}{subject}"

    def told(self, groups: frozenset[str]) -> tuple[str, ...]:
        """The names of those of the groups that the cluster is told of."""
        return tuple(self.group_prefix + name for name in sorted(groups) if self.groups is None or name in self.groups)


class KubernetesRole(Part):
    """Who the gateway is to the cluster: one credential, or none where ``tls.cert`` says it all."""

    bearer: Secret | None = Field(default=None, description="a reference to a bearer token, env:NAME or file:PATH")
    cert: File | None = Field(default=None, description="the file of a client certificate, PEM")
    key: PrivateFile | None = Field(default=None, description="the file of that certificate's key, PEM", validate_default=True)
    impersonate: Impersonation | None = Field(
        default=None, description="user_prefix, group_prefix, groups, extra; without it the cluster knows the gateway alone"
    )

    @field_validator("key", mode="after")
    @classmethod
    def _one(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        cert, bearer = info.data.get("cert"), info.data.get("bearer")
        if "cert" in info.data and (key is None) != (cert is None):
            raise expected("cert and key, or neither")
        if cert is not None and bearer is not None:
            raise expected("bearer, or cert and key, not both")
        return key


def _group(name: str) -> str:
    if not _GROUP.fullmatch(name):
        raise expected("an API group as cert-manager.io")
    return name


def _resource(name: str) -> str:
    if not _RESOURCE.fullmatch(name):
        raise expected("the plural name of a resource in lower case, as certificates, or * for all of its group")
    return name


class CustomResource(Part):
    """A resource that the cluster does not have by itself, so that what is done with it is known."""

    group: Annotated[Text, AfterValidator(_group)] = Field(description="its API group, as cert-manager.io")
    resource: Annotated[Text, AfterValidator(_resource)] = Field(description="its plural name, or * for all of the group")
    reach: Annotated[Reach, Field(strict=False)] = Field(
        default=Reach.WRITE, description="how far changing it goes: write, admin or unknown"
    )
    scope: Literal["namespaced", "cluster"] = Field(default="namespaced", description="namespaced or cluster")

    @field_validator("reach", mode="after")
    @classmethod
    def _changes(cls, reach: Reach) -> Reach:
        if reach is Reach.READ:
            raise expected("write, admin or unknown: how far changing it goes")
        return reach


def _server(url: str) -> str:
    if urlsplit(url).scheme != "https":
        raise expected("https://, as a cluster's API speaks it")
    return origin(url)


class KubernetesTarget(TargetConfig):
    """A Kubernetes cluster, behind one API server or several."""

    protocol: Literal["kubernetes"] = Field(description="postgres, http, kubernetes, ssh or git")
    servers: Annotated[Items[Annotated[Url, AfterValidator(_server)]], Some] = Field(
        description="a list of https URLs without paths, each an API server of the same cluster"
    )
    tls: TargetTls = Field(default_factory=TargetTls, description="ca, name, cert and key", validate_default=True)
    roles: Annotated[Table[KubernetesRole], Some] = Field(
        description="who the gateway may be to the cluster, by name: bearer, or cert and key; impersonate"
    )
    default_role: Annotated[Text, AfterValidator(known_role)] = Field(description="the role of clients that ask for none")
    secrets: Literal["token", "redact", "hash", "shown"] = Field(
        default="token", description="token, redact, hash, or shown: how the data of Secrets is covered"
    )
    custom: Items[CustomResource] = Field(default=(), description="a list of custom resources: group, resource, reach, scope")

    @field_validator("tls", mode="after")
    @classmethod
    def _secured(cls, tls: TargetTls) -> TargetTls:
        if tls.mode != "verify-full":
            raise expected("mode verify-full: whoever answers in the cluster's place is shown what opens the cluster")
        if tls.binding:
            raise expected("no binding, which is PostgreSQL's")
        return tls

    @field_validator("roles", mode="after")
    @classmethod
    def _with_credentials(cls, roles: dict[str, KubernetesRole], info: ValidationInfo) -> dict[str, KubernetesRole]:
        tls = info.data.get("tls")
        if tls is None:
            return roles
        for name, role in sorted(roles.items()):
            if tls.cert is not None and role.cert is not None:
                raise expected(f"no cert for {name}, since tls.cert is there: the gateway shows one certificate")
            if tls.cert is None and role.cert is None and role.bearer is None:
                raise expected(f"bearer, or cert and key, for {name}, by which the gateway proves who it is")
        return roles

    @field_validator("custom", mode="after")
    @classmethod
    def _once(cls, custom: tuple[CustomResource, ...]) -> tuple[CustomResource, ...]:
        named = [(one.group, one.resource) for one in custom]
        for group, resource in named:
            if named.count((group, resource)) > 1:
                raise expected(f"{resource}.{group} once")
        return custom

    @property
    def origins(self) -> tuple[str, ...]:
        """Its servers, as an HTTP target's are called."""
        return self.servers

    @property
    def redirects(self) -> tuple[str, ...]:
        """It sends clients nowhere else."""
        return ()

    @property
    def passes(self) -> tuple[str, ...]:
        """No content of it goes on unread."""
        return ()

    def certificate(self, role: str) -> tuple[Path | None, Path | None]:
        """The role's own, or that of ``tls``."""
        own = self.roles[role]
        return (own.cert, own.key) if own.cert is not None else (self.tls.cert, self.tls.key)

    @property
    def door(self) -> str:
        """Its clients speak HTTP."""
        return "http"

    @property
    def place(self) -> str:
        """Where the first of its servers is, ``host:port``."""
        return origin_place(self.servers[0])
