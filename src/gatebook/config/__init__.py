"""One typed config value, read whole and checked whole before anything starts.

``load`` reads ``gatebook.yaml`` and either returns a frozen ``Config`` or raises ``ConfigError`` with every fault at once, each
as ``file: key: value: expected …``. The order: bytes, YAML nodes where keys written twice, aliases that grow and depth are seen
(``document``), typed values (``shape``, ``values``), then the faults in words (``faults``).

What a fault shows. A secret belongs in the environment or in a file, and a person who writes it into the config by mistake must
not find it in a log next. So values under ``roles``, values of unknown keys, URLs with a password in them and what the YAML
parser quotes are never shown.

What this package refuses to know: who reads it. Secrets are references, read at their use.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from gatebook.config import document, faults
from gatebook.config.git import GitTarget
from gatebook.config.kubernetes import CustomResource, Impersonation, KubernetesRole, KubernetesTarget
from gatebook.config.shape import (
    Config,
    GrantsConfig,
    HttpListener,
    Identities,
    KindRule,
    LedgerConfig,
    Limits,
    Listener,
    Listeners,
    Masking,
    PolicyConfig,
    PostgresListener,
    Provider,
    Recording,
)
from gatebook.config.ssh import SshListener, SshRole, SshTarget
from gatebook.config.targets import HttpRole, HttpTarget, PostgresRole, PostgresTarget, TargetConfig, TargetTls
from gatebook.config.values import Address, Context, SecretReference, TlsFiles
from gatebook.errors import ConfigError

WebTarget: TypeAlias = HttpTarget | KubernetesTarget | GitTarget  # whose clients speak HTTP

__all__ = [
    "Address",
    "Config",
    "CustomResource",
    "GitTarget",
    "GrantsConfig",
    "HttpListener",
    "HttpRole",
    "HttpTarget",
    "Identities",
    "Impersonation",
    "KindRule",
    "KubernetesRole",
    "KubernetesTarget",
    "LedgerConfig",
    "Limits",
    "Listener",
    "Listeners",
    "Masking",
    "PolicyConfig",
    "PostgresListener",
    "PostgresRole",
    "PostgresTarget",
    "Provider",
    "Recording",
    "SecretReference",
    "SshListener",
    "SshRole",
    "SshTarget",
    "TargetConfig",
    "TargetTls",
    "TlsFiles",
    "WebTarget",
    "load",
]


def load(path: Path, *, files: bool = True) -> Config:
    """Read and check a config; raises ConfigError with all faults. Without ``files`` it may name files that are elsewhere."""
    source = _source(path)
    read = document.read(source, path.name)
    context = Context(folder=path.absolute().parent, files=files, **_names(read.value))
    found = list(read.faults)
    try:
        config = Config.model_validate(read.value, context={"config": context})
    except ValidationError as error:
        found += faults.sentences(path.name, error.errors(include_url=False), read.lines)
    if found:
        raise ConfigError(found)
    return config.placed(path.absolute(), f"sha256:{hashlib.sha256(source).hexdigest()}")


def _source(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(document.LONGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}: expected a file with Gatebook's configuration"]) from None


def _names(value: Any) -> dict[str, Any]:
    """What single values are checked against elsewhere in the document, as far as it can be found there."""
    top = value if isinstance(value, dict) else {}
    return {
        "mask_sets": _keys(_within(top, "masking", "sets")),
        "target_names": _each(top.get("targets"), "name"),
        "provider_names": _each(_within(top, "identity", "providers"), "name"),
        "issuers": _each(_within(top, "identity", "providers"), "issuer"),
    }


def _within(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _keys(value: Any) -> frozenset[str]:
    return frozenset(key for key in value if isinstance(key, str)) if isinstance(value, dict) else frozenset()


def _each(items: Any, key: str) -> tuple[str, ...]:
    found = [_within(item, key) for item in items] if isinstance(items, list) else []
    return tuple(one for one in found if isinstance(one, str))
