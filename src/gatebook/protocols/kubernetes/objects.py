"""What objects ask for, whole or in part: images, rights on the node, accounts, roles, webhooks.

Not by kind: whatever has ``privileged`` or ``hostPath`` somewhere below is taken to ask for it, be it a Deployment, a custom
resource with a pod's template inside, or one member of a List. A value that is not plainly a no counts as a yes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.kubernetes.known import RBAC

VALUES = 500  # of one fact
CHARACTERS = 1_024  # of one value
ITEMS = 10_000  # objects of one List

_NOT_LOOKED_INTO = frozenset({"managedFields", "openAPIV3Schema"})
_LOOKED_AT = frozenset(
    "privileged hostProcess procMount hostPID hostNetwork hostIPC runAsUser hostPath add image serviceAccountName "
    "serviceAccount secretKeyRef secretRef secret clientConfig".split()
)  # every key that _look has a case for
_OF_METADATA = frozenset({"annotations", "labels"})
_OF_DATA = frozenset({"data", "stringData", "binaryData"})
_ADMIN_VERBS = frozenset({"*", "escalate", "bind", "impersonate"})
_ADMIN_RESOURCES = frozenset({"*", "*/*", "nodes/proxy", "serviceaccounts/token"})


@dataclass(slots=True)
class Asked:
    """What was found, in any number of objects."""

    flags: set[str] = field(default_factory=set)
    sets: dict[str, set[str]] = field(default_factory=dict)
    replicas: set[int] = field(default_factory=set)
    doubts: Doubts = field(default_factory=Doubts)

    def add(self, name: str, value: Any) -> None:
        """One value of a fact; what is no text is any: ``*``."""
        text = value if isinstance(value, str) else "*"
        known = self.sets.setdefault(name, set())
        if len(text) > CHARACTERS or len(known) >= VALUES:
            self.doubts.unsure(f"it has more in {name} than is told")
            text = text[:CHARACTERS]
        if len(known) < VALUES:
            known.add(text)

    @property
    def facts(self) -> dict[str, bool | int | str | frozenset[str]]:
        """As rules see them."""
        if len(self.replicas) > 1:
            self.doubts.unsure("it sets different numbers of replicas")
        return {
            **dict.fromkeys(self.flags, True),
            **{name: frozenset(values) for name, values in self.sets.items()},
            "replicas": min(self.replicas, default=-1),
        }


def members(value: Any, doubts: Doubts) -> list[Any]:
    """The objects in a content: the items of a List, else the one that it is."""
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        if len(value["items"]) > ITEMS:
            doubts.wrong(f"its List has more than {ITEMS} items")
        return list(value["items"][:ITEMS])
    return [value]


def looked_through(objects: list[Any], group: str, resource: str, doubts: Doubts) -> Asked:
    """What objects of this resource ask for."""
    asked = Asked(doubts=doubts)
    plain_data = not group and resource in ("configmaps", "secrets")
    for one in objects:
        if not isinstance(one, dict):
            if one is not None:
                doubts.wrong("its content is no object")
            continue
        _replicas(one, asked)
        if group == RBAC:
            _rbac(one, resource, asked)
        if not group and resource == "secrets" and "type" in one:
            asked.add("secret_types", one["type"])
        if group == "apiregistration.k8s.io":
            _service(_within(one, "spec", "service"), asked)
        told = {key: value for key, value in one.items() if key not in _OF_DATA} if plain_data else one
        for parent, key, value in _pairs(told):
            if key in _LOOKED_AT:
                _look(parent, key, value, asked)
    return asked


def _pairs(root: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every key below, with the key above it, and its value."""
    todo: list[tuple[str, Any]] = [("", root)]
    while todo:
        parent, one = todo.pop()
        if isinstance(one, list):
            todo += [(parent, each) for each in one]
        elif isinstance(one, dict):
            for key, value in one.items():
                yield parent, key, value
                skipped = key in _NOT_LOOKED_INTO or (parent == "metadata" and key in _OF_METADATA)
                if not skipped and isinstance(value, dict | list):
                    todo.append((key, value))


def _look(parent: str, key: str, value: Any, asked: Asked) -> None:
    """One key and its value, wherever it stands."""
    match key:
        case "privileged" | "hostProcess" if _yes(value):
            asked.flags.add("privileged")
        case "procMount" if value not in (None, "Default"):
            asked.flags.add("privileged")
        case "hostPID" if _yes(value):
            asked.flags.add("host_pid")
        case "hostNetwork" if _yes(value):
            asked.flags.add("host_network")
        case "hostIPC" if _yes(value):
            asked.flags.add("host_ipc")
        case "runAsUser" if value is not None and not (type(value) is int and value > 0):
            asked.flags.add("run_as_root")
        case "hostPath" if value is not None:
            asked.add("host_paths", value.get("path") if isinstance(value, dict) else value)
        case "add" if parent == "capabilities":
            for one in _each(value):
                asked.add("capabilities", one)
        case "image" if isinstance(value, str):
            asked.add("images", value)
        case "image" if isinstance(value, dict) and "reference" in value:
            asked.add("images", value["reference"])
        case "serviceAccountName" | "serviceAccount" if isinstance(value, str) and value:
            asked.add("service_accounts", value)
        case "secretKeyRef" | "secretRef" if isinstance(value, dict):
            asked.add("mounts_secrets", value.get("name"))
        case "secret" if isinstance(value, dict) and ("secretName" in value or "name" in value):
            asked.add("mounts_secrets", value.get("secretName", value.get("name")))
        case "clientConfig" if isinstance(value, dict):
            _client(value, asked)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _yes(value: Any) -> bool:
    return value is not None and value is not False and not isinstance(value, dict | list)


def _replicas(one: dict[str, Any], asked: Asked) -> None:
    value = _within(one, "spec", "replicas")
    if type(value) is int and 0 <= value < 2**31:
        asked.replicas.add(value)
    elif value is not None:
        asked.doubts.unsure(f"its number of replicas, {quoted(str(value))}, is none")


def _within(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _client(value: dict[str, Any], asked: Asked) -> None:
    """Where a webhook goes."""
    if "url" in value:
        asked.add("webhooks", value["url"])
    _service(value.get("service"), asked)


def _service(value: Any, asked: Asked) -> None:
    if isinstance(value, dict):
        asked.add("webhooks", f"{value.get('namespace', '')}/{value.get('name', '')}")


# Who may do what ---------------------------------------------------------------------------------------------------------


def _rbac(one: dict[str, Any], resource: str, asked: Asked) -> None:
    if resource.endswith("bindings"):
        _binding(one, asked)
        return
    for rule in _each(one.get("rules")):
        verbs, resources = _names(rule, "verbs"), _names(rule, "resources")
        if verbs & _ADMIN_VERBS or resources & _ADMIN_RESOURCES or "*" in _names(rule, "nonResourceURLs"):
            asked.flags.add("grants_admin")
        if any(name.startswith("*/") for name in resources):
            asked.flags.add("grants_admin")
    if one.get("aggregationRule") is not None:
        asked.doubts.unsure("it takes over the rules of other roles, which are not known here")


def _names(rule: Any, key: str) -> frozenset[str]:
    found = rule.get(key) if isinstance(rule, dict) else rule
    return frozenset(name if isinstance(name, str) else "*" for name in _each(found))


def _binding(one: dict[str, Any], asked: Asked) -> None:
    role = one.get("roleRef")
    if isinstance(role, dict):
        name = str(role.get("name", ""))
        asked.add("role_refs", f"{role.get('kind', '')}/{name}")
        if name == "cluster-admin" or name.startswith("system:"):
            asked.flags.add("grants_admin")
    for subject in _each(one.get("subjects")):
        if isinstance(subject, dict):
            parts = (subject.get("kind", ""), subject.get("namespace"), subject.get("name", ""))
            asked.add("subjects", "/".join(str(part) for part in parts if part is not None))
        if not isinstance(role, dict):
            asked.doubts.unsure("it binds somebody to a role that it does not name")
