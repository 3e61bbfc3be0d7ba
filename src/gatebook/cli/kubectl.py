"""kubectl on a cluster, identity in place, or a shell in which every client of Kubernetes goes there.

The kubeconfig is in memory, or in a file of this user's own where the system has no such memory. It holds no token: clients ask
for one by the same command as with ``gatebook kubeconfig``, for as long as they run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import yaml


def held(made: Mapping[str, Any]) -> str:
    """A path at which what this process becomes, and whatever it starts, finds a kubeconfig, as often as they open it."""
    data = yaml.safe_dump(dict(made), sort_keys=False).encode()
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("kubeconfig", 0)
        path = f"/proc/{os.getpid()}/fd/{handle}"
    else:
        handle, path = tempfile.mkstemp(prefix="gatebook-kubeconfig-")
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(data)
    return path


def command(client: str | None, args: list[str], surroundings: Mapping[str, str]) -> list[str]:
    """What is run: kubectl or another client with its arguments, or the user's own shell where nothing is said."""
    if client is not None or args:
        return [client or "kubectl", *(args[1:] if client is None and args[0] == "kubectl" else args)]
    return [surroundings.get("SHELL") or "/bin/sh"]
