"""What a patch sets: as partial objects, and doubts for what nobody can tell who does not know the object it falls on.

JSON Patch (RFC 6902) is turned into one partial object for each value that it sets; a merge patch (RFC 7396), a strategic one
and an applied configuration are partial objects by themselves. What is taken away may have been what kept a pod in bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gatebook.protocols.http.doubts import Doubts, quoted

OPERATIONS = 10_000  # as many as the server takes
STEPS = 64  # of one pointer
STEPS_IN_ALL = 20_000  # of all pointers of one patch: each is walked

_INDEX = re.compile(r"[-+]?[0-9]+|-")
_ESCAPE = re.compile(r"~(?![01])")
_SETTING = frozenset({"add", "replace"})
_DIRECTIVES = frozenset({"delete", "replace", "merge"})
# Without these a pod, a role or a webhook may do more than with them.
BOUNDS = frozenset(
    "securityContext capabilities drop runAsNonRoot runAsUser runAsGroup seccompProfile appArmorProfile seLinuxOptions "
    "readOnlyRootFilesystem allowPrivilegeEscalation automountServiceAccountToken hostUsers serviceAccountName serviceAccount "
    "roleRef subjects rules aggregationRule resourceNames nonResourceURLs webhooks failurePolicy namespaceSelector "
    "objectSelector matchConditions clientConfig".split()
)
_HOLDERS = frozenset("spec template jobTemplate podTemplate".split())  # what holds such


def partial_objects(patch: str, value: Any, doubts: Doubts) -> list[Any]:
    """What a patch sets, as objects that have nothing else."""
    if patch != "json":
        if not isinstance(value, dict):
            doubts.wrong("its patch is no object")
            return []
        if patch in ("merge", "strategic"):
            _look(value, patch, doubts)
        return [value]
    if not isinstance(value, list):
        doubts.wrong("its JSON Patch is no list of operations")
        return []
    if len(value) > OPERATIONS:
        doubts.wrong(f"its JSON Patch has more than {OPERATIONS} operations")
        return []
    paths = [one.get("path") for one in value if isinstance(one, dict)]
    if sum(path.count("/") for path in paths if isinstance(path, str)) > STEPS_IN_ALL:
        doubts.wrong(f"its JSON Patch has paths of more than {STEPS_IN_ALL} steps in all")
        return []
    return [found for operation in value for found in _set(operation, doubts)]


def _set(operation: Any, doubts: Doubts) -> Iterator[Any]:
    """The partial object of one operation, if it sets something."""
    op = operation.get("op") if isinstance(operation, dict) else None
    if not isinstance(op, str):
        doubts.wrong("its JSON Patch has an operation without op")
        return
    steps = pointer(operation.get("path"), doubts)
    if steps is None:
        return
    if op in _SETTING:
        found = operation.get("value")
        if op == "replace" and found is None:
            _taken(steps, doubts)
        for step in reversed(steps):
            found = [found] if _INDEX.fullmatch(step) else {step: found}
        yield found
    elif op == "remove":
        _taken(steps, doubts)
    elif op != "test":
        doubts.unsure(f"{quoted(op)} in a JSON Patch takes what the object has, which is not known here")


def pointer(text: Any, doubts: Doubts) -> tuple[str, ...] | None:
    """The steps of a JSON pointer (RFC 6901), None where it is none. ``~1`` is a slash, and ``~01`` is ``~1``."""
    if not isinstance(text, str) or (text and not text.startswith("/")):
        doubts.wrong("its JSON Patch has a path that does not begin with a slash")  # servers drop what stands before it
        return None
    steps = tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])
    if _ESCAPE.search(text) or len(steps) > STEPS:
        doubts.wrong(f"its JSON Patch has a path that is none: {quoted(text)}")
        return None
    return steps


def _taken(steps: tuple[str, ...], doubts: Doubts) -> None:
    if not steps or steps[-1] in _HOLDERS or BOUNDS & set(steps):
        doubts.unsure(f"it takes away {quoted('/'.join(steps))}, and what that leaves cannot be told")


def _look(value: Any, patch: str, doubts: Doubts) -> None:
    """Whether a merge patch takes away, or gives orders, that matter."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while todo:
        at, one = todo.pop()
        if isinstance(one, list):
            todo += [(at, each) for each in one]
        elif isinstance(one, dict):
            for key, inner in one.items():
                if patch == "strategic" and key.startswith("$"):
                    _directive(at, key, inner, doubts)
                elif inner is None:
                    _taken((*at, key), doubts)
                else:
                    todo.append(((*at, key), inner))


def _directive(at: tuple[str, ...], key: str, value: Any, doubts: Doubts) -> None:
    """``$patch`` and its like (k8s.io/apimachinery, pkg/util/strategicpatch)."""
    if key == "$patch":
        if not isinstance(value, str) or value not in _DIRECTIVES:
            doubts.wrong(f"its patch has the directive {quoted(str(value))}")
        elif value != "merge":
            _taken(at, doubts)
    elif key.startswith("$deleteFromPrimitiveList/"):
        _taken((*at, key.partition("/")[2]), doubts)
    elif key == "$retainKeys":
        _taken(at, doubts)
    elif not key.startswith("$setElementOrder/"):
        doubts.wrong(f"its patch has the directive {quoted(key)}")
