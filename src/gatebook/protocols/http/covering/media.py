"""Types of contents (RFC 9110, 8.3): what a Content-Type says, and to which kinds it belongs."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type: ``name`` in lower case without parameters, "" where it is not said or no type."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def charset(self) -> str:
        """The character set it names; "" for none."""
        return self.parameter("charset")

    def parameter(self, name: str) -> str:
        """A parameter's value; "" without it."""
        return next((value for known, value in self.parameters if known == name), "")

    @property
    def suffix(self) -> str:
        """The structured syntax behind the plus sign."""
        return self.name.rpartition("+")[2] if "+" in self.name else ""

    @property
    def is_json(self) -> bool:
        """Whether it is one document of JSON, or some."""
        return self.suffix in ("json", "json-seq") or self.name in _JSON

    @property
    def is_markup(self) -> bool:
        """Whether it is HTML or XML."""
        return self.suffix == "xml" or self.name in _MARKUP

    @property
    def is_drawing(self) -> bool:
        """Whether it is text under the name of an image: names and values may stand in it."""
        return self.name == "image/svg+xml"

    @property
    def is_opaque(self) -> bool:
        """Whether it is of no kind that is read."""
        return not (self.is_json or self.is_markup or self.is_text or self.name == FORM or self.name.startswith("multipart/"))

    @property
    def is_text(self) -> bool:
        """Whether it is text of any kind."""
        return self.suffix == "yaml" or self.name.startswith("text/") or self.name in _TEXT


PASSES = ("image/*", "font/*", "audio/*", "video/*")  # what a target lets pass unless its configuration says otherwise

FORM = "application/x-www-form-urlencoded"
TABLES = {"text/csv": b"", "application/csv": b"", "text/tab-separated-values": b"\t"}
AS_IT_IS = (b"binary", b"8bit", b"7bit")  # a part's Content-Transfer-Encoding that is none
_JSON = frozenset(
    "application/json text/json application/x-json application/csp-report application/json-seq application/x-ndjson "
    "application/ndjson application/jsonl application/x-jsonl application/jsonlines application/x-jsonlines "
    "application/json-lines".split()
)
_MARKUP = frozenset({"text/html", "application/xhtml+xml", "application/xml", "text/xml", "image/svg+xml"})
_TEXT = frozenset(
    "application/javascript application/x-javascript application/ecmascript application/yaml application/x-yaml "
    "application/toml application/graphql application/sql application/x-sh application/x-pem-file "
    "application/openmetrics-text application/csv".split()
)
_TYPE = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?=;|$)")
_PARAMETER = re.compile(r";\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^;\"]*))")


def media_type(value: bytes | None) -> MediaType:
    """Read a Content-Type."""
    text = (value or b"").decode("latin-1")
    found = _TYPE.match(text)
    if found is None:
        return MediaType("")
    rest = _PARAMETER.findall(text, found.end())
    return MediaType(found[1].lower(), tuple((name.lower(), quoted or bare.strip()) for name, quoted, bare in rest))


def meets(kind: MediaType, patterns: Collection[str]) -> bool:
    """Whether a type is one of these: ``image/png``, ``image/*`` or ``*/*``. What says no type is only the last."""
    main = kind.name.partition("/")[0]
    return any(one in (kind.name, f"{main}/*", "*/*") for one in patterns if kind.name or one == "*/*")
