"""What the configuration says of a git server: where it is, who the gateway is to it, how large a push may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from gatebook.config.targets import HttpRole, TargetConfig, TargetTls, known_role, origin, origin_place
from gatebook.config.values import Items, Some, Table, Text, Url, expected
from gatebook.protocols.git.pushing import PUSH_BYTES

PUSH_BYTES_MAX = 512 * 1024 * 1024


class GitTarget(TargetConfig):
    """A git server that speaks the smart protocol over HTTP, with all of its repositories."""

    protocol: Literal["git"] = Field(description="postgres, http, kubernetes, ssh or git")
    origins: Annotated[Items[Annotated[Url, AfterValidator(origin)]], Some] = Field(
        description="a list of URLs without paths, each the same server"
    )
    tls: TargetTls = Field(default_factory=TargetTls, description="mode, ca and name", validate_default=True)
    roles: Annotated[Table[HttpRole], Some] = Field(
        description="who the gateway may be to the server, each with its credential"
    )
    default_role: Annotated[Text, AfterValidator(known_role)] = Field(description="the role of clients that ask for none")
    push_bytes: int = Field(
        default=PUSH_BYTES, ge=65_536, le=PUSH_BYTES_MAX, description="how long a push may be, all of which is read"
    )

    @field_validator("tls", mode="after")
    @classmethod
    def _secured(cls, tls: TargetTls) -> TargetTls:
        if tls.mode == "disable":
            raise expected("mode require or verify-full; an origin with http:// has no TLS")
        if tls.binding:
            raise expected("no binding, which is PostgreSQL's")
        return tls

    @property
    def redirects(self) -> tuple[str, ...]:
        """It sends clients nowhere else."""
        return ()

    @property
    def passes(self) -> tuple[str, ...]:
        """Nothing but git's own content, which its dialect knows."""
        return ()

    @property
    def door(self) -> str:
        """Its clients speak HTTP."""
        return "http"

    @property
    def place(self) -> str:
        """Where the first of its origins is, ``host:port``."""
        return origin_place(self.origins[0])

    @property
    def role_names(self) -> frozenset[str]:
        """What clients may ask to be on it."""
        return frozenset(self.roles)
