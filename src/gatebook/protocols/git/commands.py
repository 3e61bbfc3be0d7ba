"""Which of git's services does a command on a host want, and of which repository (git-upload-pack, git-receive-pack)?

git asks a host for ``git-upload-pack 'PATH'``, and nothing but that form is taken for git's own; what is sent on is written
anew. Only below the folder that the configuration names is it told so: whoever can write files elsewhere on the host could make
a repository whose hooks run what they like, and there it is a command like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatebook.protocols.git.paths import Service, read_name
from gatebook.protocols.http.doubts import Doubts

_COMMAND = re.compile(r"git[- ](upload-pack|receive-pack|upload-archive|lfs-authenticate|lfs-transfer)(?: (.*))?", re.DOTALL)
_PATH = re.compile(r"'([^'\\!]*)'|([A-Za-z0-9._/~+-]+)")
_NOT_CARRIED = {
    "upload-archive": "archives are not carried; clone with --depth=1",
    "lfs-authenticate": "large files (LFS) are not carried; push without lfs.url, or keep them in the repository",
    "lfs-transfer": "large files (LFS) are not carried; push without lfs.url, or keep them in the repository",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """``command`` is what the host is told, ``look`` what it is asked for what the gateway has to know of a push."""

    repository: str
    service: Service | None
    command: str
    look: str = ""
    fault: str = ""
    why_unknown: str = ""


def wanted(command: str, folder: str) -> Wanted | None:
    """What a command wants of the repositories below a folder; None for what is none of git's services there."""
    found = _COMMAND.fullmatch(command)
    if found is None or not folder:
        return None
    if found[1] in _NOT_CARRIED:
        return Wanted(repository="", service=None, command=command, fault=_NOT_CARRIED[found[1]])
    path = _PATH.fullmatch(found[2] or "")
    if path is None:
        return Wanted(
            repository="", service=None, command=command, fault="not as git asks for a repository: git-upload-pack 'PATH'"
        )
    place = path[1] if path[1] is not None else path[2]
    if ".." in place.split("/"):
        return Wanted(repository="", service=None, command=command, fault="the name of a repository leads elsewhere by ..")
    below = f"{folder.rstrip('/')}/"
    if below == "/" and not place.startswith(("/", "~")):
        place = f"/{place}"  # to a forge, both are the same
    if not place.startswith(below):
        return None
    doubts = Doubts()
    name = read_name(f"/{place.removeprefix(below).removesuffix('/')}", doubts)
    if doubts.fault:
        return Wanted(repository=name, service=None, command=command, fault=doubts.fault)
    service, quoted = Service(f"git-{found[1]}"), f"'{place.removesuffix('/')}'"
    return Wanted(
        repository=name,
        service=service,
        command=f"{service} {quoted}",
        look=f"{Service.UPLOAD} {quoted}",
        why_unknown=doubts.why,
    )
