"""A target's answer on its way to the client: its head made fit, its content covered."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import urlsplit

from gatebook.errors import WireError
from gatebook.protocols.http.covering.charsets import python_name
from gatebook.protocols.http.covering.choosing import Covered, Documents, Passed, Unreadable
from gatebook.protocols.http.covering.heads import covered_fields
from gatebook.protocols.http.covering.media import media_type
from gatebook.protocols.http.covering.plan import Counts, Coverer, Plan
from gatebook.protocols.http.dialect import Opening
from gatebook.protocols.http.door import COOKIE
from gatebook.protocols.http.forwarding import forwardable, without_cookies
from gatebook.protocols.http.mcp_answers import ToolFilter
from gatebook.protocols.http.message import End, Fields, Request, Response
from gatebook.protocols.http.terms import Terms

_NEVER = frozenset((b"alt-svc", b"public-key-pins", b"strict-transport-security", b"service-worker-allowed"))
_OWN_ORIGIN = frozenset((b"set-cookie", b"clear-site-data", b"content-security-policy"))  # of a host of its own
_REDIRECTS = frozenset((b"location", b"content-location", b"refresh"))
_DOMAIN = re.compile(rb";[ \t]*domain[ \t]*=[^;]*", re.IGNORECASE)
_REFRESH = re.compile(rb"[ \t]*([0-9.]*)[ \t]*(?:[;,][ \t]*(?:[uU][rR][lL][ \t]*=)?(.*))?")
_SANDBOX = (b"content-security-policy", b"sandbox")
TOOL = "tool"  # what is counted for a tool that a list was shown without


@dataclass(frozen=True, slots=True)
class Said:
    """The head as the client gets it; ``length`` is that of all content, None: not known."""

    head: Response
    length: int | None


class Answering:
    """Of one answer. Everything here may raise WireError: then the answer cannot be passed on.

    ``told`` is the request as the target heard it. ``opens`` says which tools of MCP the client may see listed, where the
    answer may list any, ``opening`` which upgrade was asked for.
    """

    def __init__(
        self,
        request: Request,
        terms: Terms,
        plan: Plan,
        told: Request,
        opens: Callable[[str], bool] | None = None,
        opening: Opening | None = None,
    ) -> None:
        self._request, self._terms, self.plan, self.told = request, terms, plan, told
        self._opens, self.opening = opens, opening
        self._coverer: Coverer | None = None
        self._tools: ToolFilter | None = None
        self._counts: Counts = {}
        self.status = self.size = 0

    @property
    def coverer(self) -> Coverer | None:
        """What covers its content; None where that passes."""
        return self._coverer

    @property
    def masked(self) -> dict[str, int]:
        """What was covered, head, content and trailers, by style or detector."""
        inner = dict(self._coverer.masked) if self._coverer is not None else {}
        if self._tools is not None and self._tools.left_out:
            inner[TOOL] = self._tools.left_out
        return {name: self._counts.get(name, 0) + inner.get(name, 0) for name in (*self._counts, *inner)}

    @property
    def between(self) -> bool:
        """Whether what the client has is whole documents, so that another one may follow."""
        return isinstance(self._coverer, Documents) and self._coverer.between

    def head(self, response: Response) -> Said | None:
        """The head, or None for one that is not the last."""
        if response.status < 200 and response.status != 101:
            return None
        if response.status == 101:
            return self._opened(response)
        self.status = response.status
        if self.plan.needles and response.get(b"grpc-encoding") not in (None, b"identity"):
            raise WireError("its messages are compressed, which was not asked for, and so a credential in them is not found")
        stated = response.get(b"content-length")
        asked = Response(response.status, (*self._fields(forwardable(response.fields)), *_length(stated)))
        choice = self._terms.dialect.cover(self._request, asked, self.plan, self._terms.passes)
        match choice:
            case Unreadable(why):
                raise WireError(self.plan.looked(why.encode("utf-8", "replace"), {}, b"it cannot be read here").decode())
            case Passed(head, masked):
                length = int(stated) if stated is not None else None
            case Covered(head, coverer, masked):
                self._coverer, length = coverer, None
            case _:
                assert_never(choice)
        self._counts = dict(masked)
        fields = tuple(field for field in head.fields if field[0] != b"content-length")
        if self._opens is not None and head.status < 300:
            if response.get(b"content-encoding") is not None:
                raise WireError("a list of tools comes in a coding that was not asked for")
            kind = media_type(response.get(b"content-type"))
            if python_name(kind.charset) != "":
                raise WireError("a list of tools comes in another character set than UTF-8")
            self._tools, length = ToolFilter(kind.name, self._opens), None
        return Said(Response(head.status, fields), length)

    def _opened(self, response: Response) -> Said:
        """The target agrees to a WebSocket."""
        if self.opening is None:
            raise WireError("it changes to another protocol, which nobody asked for")
        self.opening.agreed(self.told, response)
        self.status = response.status
        fields = covered_fields(self._fields(forwardable(response.fields)), self.plan, self._counts, content=False)
        return Said(Response(response.status, fields), None)

    def passes(self, response: Response) -> bool:
        """Whether an answer with this head can be passed on, whatever is in it."""
        head = Response(response.status, forwardable(response.fields))
        choice = self._terms.dialect.cover(self._request, head, self.plan, self._terms.passes)
        return not isinstance(choice, Unreadable)

    def anew(self, told: Request) -> Answering:
        """The same for another try, asked by other words."""
        return Answering(self._request, self._terms, self.plan, told, self._opens, self.opening)

    def data(self, data: bytes) -> bytes:
        """Content as the client gets it."""
        if self._tools is not None:
            data = self._tools.feed(data)
        return self._counted(self._coverer.feed(data) if self._coverer is not None else data)

    def end(self, trailers: Fields) -> tuple[bytes, Fields]:
        """What was held back, and the trailers."""
        rest = self._tools.finish() if self._tools is not None else b""
        if self._coverer is not None:
            rest = self._coverer.feed(rest) + self._coverer.finish()
        told = covered_fields(trailers, self.plan, self._counts, content=self._coverer is not None) if trailers else ()
        return self._counted(rest), told

    def _counted(self, data: bytes) -> bytes:
        self.size += len(data)
        return data

    # The head -----------------------------------------------------------------------------------------------------------

    def _fields(self, fields: Fields) -> Fields:
        kept: list[tuple[bytes, bytes]] = []
        for name, value in without_cookies(fields, COOKIE):
            if name in _NEVER or (self._terms.shared and name in _OWN_ORIGIN):
                continue
            if name in _REDIRECTS:
                value = self._address(name, value)
            elif name == b"set-cookie":
                value = _DOMAIN.sub(b"", value)
            kept.append((name, value))
        return (*kept, _SANDBOX) if self._terms.shared else tuple(kept)

    def _address(self, name: bytes, value: bytes) -> bytes:
        """An address as the client can use it: the target's own origins are the gateway's to it."""
        if name == b"refresh":
            found = _REFRESH.fullmatch(value)
            if found is None:
                raise WireError("it sends the client to an address that cannot be read")
            return found[1] + (b"; url=" + self._rewritten(found[2].strip(b" \"'")) if found[2] else b"")
        return self._rewritten(value)

    def _rewritten(self, value: bytes) -> bytes:
        try:
            text = value.decode("ascii")
            parts = urlsplit(text)
            host = parts.hostname or ""
        except ValueError:
            raise WireError("it sends the client to an address that cannot be read") from None
        if "\\" in text or any(ord(char) <= 0x20 for char in text) or text.startswith("///"):
            raise WireError("it sends the client to an address that cannot be read")
        base = self._terms.base
        if not parts.scheme and not parts.netloc:
            return base.encode() + value if self._terms.shared and text.startswith("/") else value
        if self._is_own(parts.scheme.lower(), parts.netloc.lower()):
            rest = text.partition("//")[2][len(parts.netloc) :]
            return (base + (rest if rest.startswith("/") else f"/{rest}")).encode()
        if parts.scheme in ("http", "https") and host in self._terms.elsewhere:
            return value
        raise WireError("it sends the client elsewhere, to a host which `redirects` does not list")

    def _is_own(self, scheme: str, place: str) -> bool:
        """Whether an address is the target's own: an origin of it, or the name by which the client calls it."""
        if "@" in place:
            return False
        said = (f"{scheme}://{place}",) if scheme else (f"http://{place}", f"https://{place}")
        called = f"{self._request.scheme}://{self._request.authority}"
        return any(one in (*(origin.lower() for origin in self._terms.origins), called.lower()) for one in said)


def _length(stated: bytes | None) -> Fields:
    return ((b"content-length", stated),) if stated is not None else ()


def shown(head: Response | End) -> bytes:
    """A head, or trailers, as a replay shows it."""
    first, fields = (str(head.status).encode(), head.fields) if isinstance(head, Response) else (b"trailers", head.trailers)
    return b"\n".join([first, *(name + b": " + value for name, value in fields)])
