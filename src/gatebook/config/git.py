"""What the configuration says of a git server: where it is, who the gateway is to it, how large a push may be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gatebook.config.targets import OriginTarget
from gatebook.protocols.git.pushing import PUSH_BYTES

PUSH_BYTES_MAX = 512 * 1024 * 1024


class GitTarget(OriginTarget):
    """A git server that speaks the smart protocol over HTTP, with all of its repositories."""

    protocol: Literal["git"] = Field(description="postgres, http, kubernetes, ssh or git")
    push_bytes: int = Field(
        default=PUSH_BYTES, ge=65_536, le=PUSH_BYTES_MAX, description="how long a push may be, all of which is read"
    )

    @property
    def redirects(self) -> tuple[str, ...]:
        """It sends clients nowhere else."""
        return ()

    @property
    def passes(self) -> tuple[str, ...]:
        """Nothing but git's own content, which its dialect knows."""
        return ()
