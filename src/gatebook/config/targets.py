"""The shape of a target: what every one has, and what those of each protocol have besides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gatebook.config.http import BODY_BYTES_MAX, FactConfig, GraphqlConfig, McpConfig, OpenApi, RouteConfig
from gatebook.config.values import (
    Context,
    File,
    HostPort,
    Items,
    Name,
    Part,
    PrivateFile,
    Secret,
    Some,
    Table,
    Text,
    Url,
    expected,
    host_of,
    is_loopback,
    once,
)
from gatebook.model import Target
from gatebook.protocols.http.covering.media import PASSES
from gatebook.protocols.http.reading import BODY_BYTES


class TargetTls(Part):
    """How the gateway makes sure that the target is the target."""

    mode: Literal["disable", "require", "verify-full"] = Field(
        default="verify-full", description="disable, require or verify-full"
    )
    ca: File | None = Field(default=None, description="the file of the authority that vouches for the target, PEM")
    name: Text | None = Field(default=None, description="the name in the target's certificate, when the address has another")
    cert: File | None = Field(default=None, description="the file of the certificate that the gateway shows, PEM")
    key: PrivateFile | None = Field(default=None, description="the file of that certificate's key, PEM", validate_default=True)
    binding: bool = Field(default=False, description="true to insist that logins are bound to the target's certificate")

    @field_validator("key", mode="after")
    @classmethod
    def _with_its_cert(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "cert" in info.data and (key is None) != (info.data["cert"] is None):
            raise expected("cert and key, or neither")
        return key


def _known_mask(mask: str, info: ValidationInfo) -> str:
    known = Context.of(info).mask_sets
    if mask not in known:
        raise expected(f"a name of masking.sets: {', '.join(sorted(known)) or 'there is none'}")
    return mask


def _unique_target(name: str, info: ValidationInfo) -> str:
    return once(name, Context.of(info).target_names)


def known_role(role: str, info: ValidationInfo) -> str:
    """One of the roles that the target has."""
    roles = info.data.get("roles")
    if roles is not None and role not in roles:
        raise expected(f"one of the target's roles: {', '.join(sorted(roles))}")
    return role


class TargetConfig(Part):
    """A server that Gatebook stands in front of."""

    name: Annotated[Name, AfterValidator(_unique_target)] = Field(description="a name for the target")
    protocol: str = Field(description="postgres, http, kubernetes, ssh or git")
    labels: Table[Text] = Field(default_factory=dict, description="free labels that policies can ask for")
    masks: Items[Annotated[Text, AfterValidator(_known_mask)]] = Field(default=(), description="the names of mask sets")

    if TYPE_CHECKING:  # each kind has them, in the order in which its own keys are checked
        tls: TargetTls
        roles: Any
        default_role: str

    @property
    def door(self) -> str:
        """The listener that its clients connect to."""
        return self.protocol

    @property
    def place(self) -> str:
        """Where it is, ``host:port``."""
        raise NotImplementedError

    @property
    def role_names(self) -> frozenset[str]:
        """What clients may ask to be on it."""
        return frozenset(self.roles)

    def certificate(self, role: str) -> tuple[Path | None, Path | None]:
        """The files of the certificate that the gateway shows to it in this role, and of its key."""
        return self.tls.cert, self.tls.key

    @property
    def target(self) -> Target:
        """The target as the rest of Gatebook knows it."""
        return Target(name=self.name, protocol=self.protocol, address=self.place, labels=self.labels)


# PostgreSQL --------------------------------------------------------------------------------------------------------------


class PostgresRole(Part):
    """A user of the target's database, and where its password lies."""

    password: Secret | None = Field(default=None, description="a reference to a secret, env:NAME or file:PATH")


class PostgresTarget(TargetConfig):
    """A PostgreSQL server."""

    protocol: Literal["postgres"] = Field(description="postgres, http, kubernetes, ssh or git")
    address: HostPort = Field(description="host:port of the target")
    database: Text = Field(description="the database of clients that name only the target")
    databases: Items[Text] = Field(default=(), description="the databases that clients may name", validate_default=True)
    tls: TargetTls = Field(default_factory=TargetTls, description="mode, ca and name", validate_default=True)
    login: Literal["scram", "md5", "password", "certificate", "none"] = Field(
        default="scram",
        description="scram, md5, password, certificate or none: the least that it may ask for",
        validate_default=True,
    )
    roles: Annotated[Table[PostgresRole], Some] = Field(
        description="the users of the target's database, each with its password"
    )
    default_role: Annotated[Text, AfterValidator(known_role)] = Field(description="the role of clients that ask for none")
    preview: bool = Field(default=False, description="true to try held writes and undo them, so that approvers see the rows")

    @field_validator("databases", mode="after")
    @classmethod
    def _with_its_own(cls, databases: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        own = info.data.get("database")
        if own is None or own in databases:
            return databases
        if databases:
            raise expected(f"{own} among them, the target's database")
        return (own,)

    @field_validator("tls", mode="after")
    @classmethod
    def _secured(cls, tls: TargetTls, info: ValidationInfo) -> TargetTls:
        address = info.data.get("address")
        if tls.mode == "disable" and address is not None and not is_loopback(host_of(address)):
            raise expected(f"mode require or verify-full, since {address} is not on loopback")
        return tls

    @field_validator("login", mode="after")
    @classmethod
    def _fit_for_its_way(cls, login: str, info: ValidationInfo) -> str:
        tls, address = info.data.get("tls"), info.data.get("address")
        if tls is None or address is None:
            return login
        if login == "certificate" and (tls.cert is None or tls.mode != "verify-full"):
            raise expected("tls.cert, tls.key and mode verify-full, by which both sides know each other")
        if login in ("password", "none") and tls.mode != "verify-full" and not is_loopback(host_of(address)):
            raise expected(f"tls.mode verify-full, since {address} is not on loopback, or a stronger login")
        if tls.binding and (tls.mode == "disable" or login != "scram"):
            raise expected("scram inside TLS, since tls.binding is true")
        return login

    @field_validator("roles", mode="after")
    @classmethod
    def _with_passwords(cls, roles: Mapping[str, PostgresRole], info: ValidationInfo) -> Mapping[str, PostgresRole]:
        bare = [name for name, role in roles.items() if role.password is None]
        if bare and info.data.get("login", "none") not in ("certificate", "none"):
            raise expected(f"a password for {', '.join(sorted(bare))}, by which the gateway logs in")
        return roles

    @property
    def place(self) -> str:
        """Where it is, ``host:port``."""
        return self.address


# HTTP --------------------------------------------------------------------------------------------------------------------


class Basic(Part):
    """A user name and its password (RFC 7617)."""

    user: Text = Field(description="the user name")
    password: Secret = Field(description="a reference to a secret, env:NAME or file:PATH")

    @field_validator("user", mode="after")
    @classmethod
    def _sayable(cls, user: str) -> str:
        if ":" in user:
            raise expected("a name without a colon")
        return user


_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_NOT_KEYS = frozenset(
    "host connection content-length content-type transfer-encoding te trailer upgrade expect cookie via".split()
)


def _field_name(name: str) -> str:
    if not _FIELD.fullmatch(name) or name.lower() in _NOT_KEYS:
        raise expected("the name of a header field that carries a key, as X-Api-Key")
    return name


class KeyField(Part):
    """A header field of the API's own that carries a key."""

    name: Annotated[Text, AfterValidator(_field_name)] = Field(description="the name of the header field")
    value: Secret = Field(description="a reference to a secret, env:NAME or file:PATH")


class OauthClient(Part):
    """A client of the target's own authorization server (RFC 6749, section 4.4)."""

    token_url: Url = Field(description="the URL of its token endpoint")
    client_id: Text = Field(description="the client's id")
    client_secret: Secret = Field(description="a reference to a secret, env:NAME or file:PATH")
    scope: Text | None = Field(default=None, description="the scope to ask for")
    audience: Text | None = Field(default=None, description="the audience to ask for, where the server wants one")


class HttpRole(Part):
    """Who the gateway is to the target: one credential, or none where its certificate says it all."""

    bearer: Secret | None = Field(default=None, description="a reference to a bearer token, env:NAME or file:PATH")
    basic: Basic | None = Field(default=None, description="user and password")
    header: KeyField | None = Field(default=None, description="name and value of a header field")
    oauth: OauthClient | None = Field(default=None, description="token_url, client_id, client_secret", validate_default=True)

    @field_validator("oauth", mode="after")
    @classmethod
    def _one(cls, oauth: OauthClient | None, info: ValidationInfo) -> OauthClient | None:
        given = [name for name in ("bearer", "basic", "header") if info.data.get(name) is not None]
        if len(given) + (oauth is not None) > 1:
            raise expected("one of bearer, basic, header and oauth, not several")
        return oauth


def _host(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,252}", name):
        raise expected("the name of a host in lower case, as login.example.org")
    return name


def origin(url: str) -> str:
    """A URL without a path, and without a slash at its end."""
    parts = urlsplit(url)
    if parts.path not in ("", "/"):
        raise expected("a URL without a path, as https://billing.internal:8443")
    return url.rstrip("/")


_MEDIA_RANGE = re.compile(r"(?:[a-z0-9!#$&^_.+-]+/(?:[a-z0-9!#$&^_.+-]+|\*)|\*/\*)")


def _media_range(text: str) -> str:
    if not _MEDIA_RANGE.fullmatch(text.lower()):
        raise expected("a type as application/pdf, image/* or */*, without parameters")
    return text.lower()


class OriginTarget(TargetConfig):
    """A server that speaks HTTP, behind one origin or several that are the same."""

    origins: Annotated[Items[Annotated[Url, AfterValidator(origin)]], Some] = Field(
        description="a list of URLs without paths, each the same API: requests go to one that answers"
    )
    tls: TargetTls = Field(default_factory=TargetTls, description="mode, ca and name", validate_default=True)
    roles: Annotated[Table[HttpRole], Some] = Field(
        description="who the gateway may be to the target, each with its credential"
    )
    default_role: Annotated[Text, AfterValidator(known_role)] = Field(description="the role of clients that ask for none")

    @field_validator("tls", mode="after")
    @classmethod
    def _secured(cls, tls: TargetTls, info: ValidationInfo) -> TargetTls:
        if tls.mode == "disable":
            raise expected("mode require or verify-full; an origin with http:// has no TLS")
        if tls.binding:
            raise expected("no binding, which is PostgreSQL's")
        return tls

    @property
    def door(self) -> str:
        """Its clients speak HTTP."""
        return "http"

    @property
    def place(self) -> str:
        """Where the first of its origins is, ``host:port``."""
        return origin_place(self.origins[0])


class HttpTarget(OriginTarget):
    """An HTTP API, behind one origin or several that are the same."""

    protocol: Literal["http"] = Field(description="postgres, http, kubernetes, ssh or git")
    openapi: OpenApi | None = Field(default=None, description="the file of its OpenAPI document, JSON or YAML")
    undocumented: Literal["allow", "unknown"] = Field(
        default="allow", description="allow, or unknown: what requests count as that the document does not have"
    )
    routes: Items[RouteConfig] = Field(default=(), description="a list of routes, each with its reach")
    facts: Items[FactConfig] = Field(default=(), description="a list of what rules ask about in the content of requests")
    graphql: GraphqlConfig | None = Field(default=None, description="paths")
    mcp: McpConfig | None = Field(default=None, description="paths, reads, writes")
    method_override: Literal["unknown", "ignored"] = Field(
        default="unknown", description="unknown, or ignored where the target takes no method from fields and parameters"
    )
    encoded_slashes: Literal["unknown", "kept"] = Field(
        default="unknown", description="unknown, or kept where the target takes %2F for a letter of a name"
    )
    passes: Items[Annotated[Text, AfterValidator(_media_range)]] = Field(
        default=PASSES, description="a list of types of content that pass unread, as image/*"
    )
    body_bytes: int = Field(
        default=BODY_BYTES, ge=1024, le=BODY_BYTES_MAX, description="how much of a request's content is read"
    )
    redirects: Items[Annotated[Text, AfterValidator(_host)]] = Field(
        default=(), description="hosts besides its own that it may send clients to"
    )


def origin_place(origin: str) -> str:
    """``host:port`` of an origin, with the scheme's port where it has none."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
