"""A request as people are shown it who decide about it: in words, its objects as YAML, what Secrets hold covered.

Not how it is recorded or logged. Nothing here refuses: what cannot be read is told by its size and digest.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from gatebook.masking.detectors import cover_text
from gatebook.protocols.http.contents import ABSENT
from gatebook.protocols.http.doubts import Doubts, visible
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.paths import read_path, read_query
from gatebook.protocols.http.reading import SEEN_CHARACTERS
from gatebook.protocols.kubernetes.contents import read_content
from gatebook.protocols.kubernetes.patches import pointer
from gatebook.protocols.kubernetes.paths import Place

COVERED = "<covered>"
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
HELD = frozenset({"data", "stringData"})
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def seen(request: Request, body: bytes | None, place: Place, shown: bytes | None = None) -> str:
    """The request in words; ``shown`` is what stands for its content, where rules cover something in it."""
    nobody = Doubts()
    query = read_query(request.query, nobody)
    lines = [f"{request.method} {read_path(request.path, nobody).text}", *(f"  {name} = {value}" for name, value in query)]
    if body is None:
        lines.append("content: not read")
    elif body:
        content = read_content(request, body if shown is None else shown, place.verb, nobody)
        digest = hashlib.sha256(body).hexdigest()
        lines += [f"content: {content.media_type or 'of no type'}, {len(body)} bytes, sha256 {digest}"]
        if content.value is not ABSENT:
            lines += ["", _written(_covered(content.value, secret=not place.group and place.resource == "secrets"), len(body))]
    return visible(cover_text("\n".join(lines)))


def _written(value: Any, size: int) -> str:
    """As YAML, which is slow to write; what is too large to be shown whole anyway, as JSON."""
    try:
        if size > SEEN_CHARACTERS:
            text = json.dumps(value, ensure_ascii=False, indent=1)
        else:
            text = yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)
    except (yaml.YAMLError, ValueError, RecursionError):  # a text that is no Unicode
        return "(not shown: it has characters that are none)"
    rest = len(text) - SEEN_CHARACTERS
    return text if rest <= 0 else f"{text[:SEEN_CHARACTERS]}\n({rest} characters more)"


def _covered(value: Any, *, secret: bool) -> Any:
    """The same without what Secrets hold, without copies of whole objects in annotations, and without tokens."""
    if isinstance(value, list):
        return [
            _operation(one) if secret and isinstance(one, dict) and "op" in one else _covered(one, secret=secret)
            for one in value
        ]
    if not isinstance(value, dict):
        return value
    secret = secret or value.get("kind") == "Secret"
    return {key: _field(key, one, secret) for key, one in value.items()}


def _field(key: str, value: Any, secret: bool) -> Any:
    if key in (LAST_APPLIED, "token") and value is not None:
        return COVERED
    if secret and key in HELD and value is not None:
        return dict.fromkeys(value, COVERED) if isinstance(value, dict) else COVERED
    return _covered(value, secret=secret)


def _operation(one: dict[str, Any]) -> dict[str, Any]:
    """An operation of a JSON Patch of a Secret."""
    steps = pointer(one.get("path"), Doubts()) or ()
    if "value" not in one or (steps and steps[0] == "metadata" and LAST_APPLIED not in steps):
        return {key: _covered(value, secret=True) for key, value in one.items()}
    return one | {"value": COVERED}
