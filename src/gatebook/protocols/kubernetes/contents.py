"""The content of a request to the API: one value, read strictly from JSON, YAML or protobuf, and what kind of patch it is.

Protobuf may be the JSON already that it says (dialect.py). CBOR is not read, a fault and no doubt: every client can send JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gatebook.protocols.http.contents import ABSENT, media_type_of, read_json
from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.http.message import Request
from gatebook.protocols.kubernetes.protobuf import MEDIA_TYPE as PROTOBUF
from gatebook.protocols.kubernetes.protobuf import as_json
from gatebook.protocols.kubernetes.protobuf_values import ProtobufError
from gatebook.protocols.kubernetes.yaml_text import read_yaml

JSON = "application/json"
YAML = "application/yaml"
PATCHES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
_UTF8 = ("", "utf-8", "utf8", "us-ascii")


@dataclass(frozen=True, slots=True)
class Content:
    """``value`` is ABSENT where there is none, or where it was not read; ``patch`` is json, merge, strategic, apply or ""."""

    media_type: str = ""
    patch: str = ""
    size: int = 0
    read: bool = True
    value: Any = ABSENT


def read_content(request: Request, body: bytes | None, verb: str, doubts: Doubts) -> Content:
    """What a request carries; ``body`` is None where it was not read. Of reading ones nothing is looked at: no server does."""
    media_type, charset = media_type_of(request, doubts)
    patch = PATCHES.get(media_type, "") if verb == "patch" else ""
    if verb in ("get", "list", "watch"):
        return Content(media_type, size=len(body or b""), read=body is not None)
    if body is None:
        doubts.unsure("its content was not read")
        return Content(media_type, patch, -1, read=False)
    if not body:
        return Content(media_type, patch)
    unread = Content(media_type, patch, len(body), read=False)
    if any(value.strip().lower() not in (b"", b"identity") for value in request.all(b"content-encoding")):
        doubts.wrong("its content is compressed, which no API server takes")
        return unread
    if not _known(media_type, verb, doubts):
        return unread
    if charset not in _UTF8:
        doubts.wrong(f"its content is said to be in {quoted(charset)}: send it in UTF-8")
        return unread
    if media_type == PROTOBUF:
        value = _read_protobuf(body, doubts)
    else:
        value = read_yaml(body, doubts) if patch == "apply" or media_type == YAML else _read_json(body, doubts)
    return Content(media_type, patch, len(body), read=value is not ABSENT, value=value)


def _read_json(body: bytes, doubts: Doubts) -> Any:
    """The value; JSON that is deeper than objects of Kubernetes are is no more read than what is no JSON."""
    inner = Doubts()
    value = read_json(body, inner)
    for why in inner.found:
        doubts.wrong(why)
    return value


def _read_protobuf(body: bytes, doubts: Doubts) -> Any:
    """The value of an object in protobuf, or of the JSON that it was made."""
    if body.startswith(b"{"):
        return _read_json(body, doubts)
    try:
        return _read_json(as_json(body), doubts)
    except ProtobufError as error:
        doubts.wrong(str(error))
        return ABSENT


def _known(media_type: str, verb: str, doubts: Doubts) -> bool:
    if verb == "patch":
        if media_type in PATCHES:
            return True
        doubts.wrong(f"a patch of type {quoted(media_type)} is not read: send one of {', '.join(sorted(PATCHES))}")
        return False
    if media_type in ("", JSON, YAML, PROTOBUF):
        return True
    doubts.wrong(f"content of type {quoted(media_type)} is not read: send it as {JSON}")
    return False
