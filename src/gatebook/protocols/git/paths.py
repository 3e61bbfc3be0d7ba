"""Where a request to a git server goes: which repository, and which of git's services (gitprotocol-http).

Only the smart protocol is known. The dumb one reads files of the repository one by one, and nobody could tell which refs; LFS
keeps files elsewhere. A name of a repository is plain: no encoding, no dots alone, nothing that a server reads in two ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.http.message import Request

SEGMENTS = 8
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LFS = "/info/lfs"
_REFS = "/info/refs"


class Service(StrEnum):
    """What git calls its two programs, and so its services."""

    UPLOAD = "git-upload-pack"
    RECEIVE = "git-receive-pack"


@dataclass(frozen=True, slots=True)
class Place:
    """``opens`` is the request by which a client learns what the service can do. ``lfs`` is no service of git's own."""

    repository: str = ""
    service: Service | None = None
    opens: bool = False
    lfs: bool = False


def read_place(request: Request, doubts: Doubts) -> Place:
    """Where a request goes. What is not git's own is a fault: it is never sent."""
    path, query = request.path, request.query
    if _LFS in path:
        doubts.wrong("large files (LFS) are not carried; push without lfs.url, or keep them in the repository")
        return Place(read_name(path[: path.index(_LFS)], doubts), lfs=True)
    if path.endswith(_REFS):
        service = _service(query.removeprefix("service="))
        if request.method != "GET" or service is None or not query.startswith("service="):
            doubts.wrong("a list of refs by git's dumb protocol; use a git that is newer than 1.6.6")
            return Place(read_name(path.removesuffix(_REFS), doubts))
        return Place(read_name(path.removesuffix(_REFS), doubts), service, opens=True)
    for one in Service:
        if path.endswith(f"/{one}"):
            kind = (request.get(b"content-type") or b"").decode("latin-1")
            if request.method != "POST" or query or kind != f"application/x-{one}-request":
                doubts.wrong(f"not as git asks {one}: by POST, of type application/x-{one}-request")
            return Place(read_name(path.removesuffix(f"/{one}"), doubts), one)
    doubts.wrong(f"{request.method} {quoted(path)} is nothing that git asks for")
    return Place()


def _service(name: str) -> Service | None:
    try:
        return Service(name)
    except ValueError:
        return None


def read_name(path: str, doubts: Doubts) -> str:
    """``org/app`` of ``/org/app.git``; "" with a fault for what is no plain name."""
    name = path.removeprefix("/").removesuffix(".git")
    segments = name.split("/")
    if not path.startswith("/") or len(segments) > SEGMENTS or not all(map(_is_plain, segments)):
        doubts.wrong(f"{quoted(path)} is no plain name of a repository")
        return ""
    if name != name.lower():
        doubts.unsure("its repository is named with capital letters, which some servers take for small ones")
    return name


def _is_plain(segment: str) -> bool:
    return _SEGMENT.fullmatch(segment) is not None and ".." not in segment and not segment.lower().endswith((".git", ".lock"))
