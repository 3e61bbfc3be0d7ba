"""What does a request of SFTP do, and to which file? Its path is the one that the host itself resolved, links followed.

What is done to a file that decides who gets in, or what runs by itself (keys, start files of shells, cron, services, programs),
is of reach admin.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatebook.errors import WireError
from gatebook.masking.detectors import cover_text
from gatebook.model import Deed, Reach
from gatebook.protocols.ssh.reading import ADMIN, TARGET, no_facts
from gatebook.protocols.ssh.sftp_packets import Fields, Kind, string
from gatebook.protocols.ssh.verbs import VERBS

PATH_BYTES = 4_096
READS = 0x01  # of an opening; write, append, create, truncate, exclusive and what is not known are the other bits
WRITES = 0xFFFFFFFF ^ READS


@dataclass(frozen=True, slots=True)
class PathRequest:
    """A request about one path or two. ``follows``: a link in its last place leads on. ``rest`` stands behind the paths."""

    kind: Kind
    verbs: tuple[str, ...]
    paths: tuple[bytes, ...]
    follows: bool
    rest: bytes = b""
    flags: int = 0
    extension: bytes = b""
    aside: bytes = b""  # of a new link: what stands in it

    def said(self, paths: tuple[bytes, ...]) -> bytes:
        """It, about these paths, as it goes to the host behind its number."""
        parts = [string(self.extension)] if self.extension else []
        parts += [string(self.aside)] if self.kind is Kind.SYMLINK else []
        return b"".join((*parts, *map(string, paths), self.rest))


_PLAIN = {
    Kind.LSTAT: (("ssh.sftp.stat",), 1, False),
    Kind.STAT: (("ssh.sftp.stat",), 1, True),
    Kind.READLINK: (("ssh.sftp.stat",), 1, False),
    Kind.OPENDIR: (("ssh.sftp.list",), 1, True),
    Kind.SETSTAT: (("ssh.sftp.setstat",), 1, True),
    Kind.REMOVE: (("ssh.sftp.remove",), 1, False),
    Kind.RMDIR: (("ssh.sftp.remove",), 1, False),
    Kind.MKDIR: (("ssh.sftp.mkdir",), 1, False),
    Kind.RENAME: (("ssh.sftp.rename",), 2, False),
}
_EXTENDED = {
    b"posix-rename@openssh.com": (("ssh.sftp.rename",), 2, False),
    b"hardlink@openssh.com": (("ssh.sftp.link",), 2, False),
    b"lsetstat@openssh.com": (("ssh.sftp.setstat",), 1, False),
    b"statvfs@openssh.com": (("ssh.sftp.stat",), 1, True),
}
HARMLESS = frozenset((b"limits@openssh.com", b"expand-path@openssh.com", b"home-directory", b"users-groups-by-id@openssh.com"))


def path_request(kind: Kind, data: bytes) -> PathRequest | None:
    """A request that names a path, None for any other. Raises WireError."""
    fields = Fields(data)
    if kind is Kind.OPEN:
        path, flags = _path(fields), fields.u32()
        verbs = (("ssh.sftp.read",) if flags & READS or not flags & WRITES else ()) + (
            ("ssh.sftp.write",) if flags & WRITES else ()
        )
        return PathRequest(kind, verbs, (path,), True, data[len(path) + 4 :], flags)
    if kind is Kind.SYMLINK:  # OpenSSH says what stands in the link first, whatever the draft says
        aside, path = _path(fields), _path(fields)
        return PathRequest(kind, ("ssh.sftp.link",), (path,), False, fields.rest(), aside=aside)
    extension = fields.string() if kind is Kind.EXTENDED else b""
    found = _EXTENDED.get(extension) if kind is Kind.EXTENDED else _PLAIN.get(kind)
    if found is None:
        return None
    verbs, count, follows = found
    paths = tuple(_path(fields) for _ in range(count))
    return PathRequest(kind, verbs, paths, follows, fields.rest(), extension=extension)


def _path(fields: Fields) -> bytes:
    path = fields.string()
    if len(path) > PATH_BYTES or b"\0" in path:
        raise WireError(f"a path of SFTP that is longer than {PATH_BYTES} bytes, or has a zero byte in it")
    return path


def deeds(request: PathRequest, resolved: tuple[bytes, ...], user: str) -> tuple[Deed, ...]:
    """What it does, each with all facts."""
    path, to = visible(resolved[0]), visible(resolved[1]) if len(resolved) > 1 else ""
    to = visible(request.aside) if request.kind is Kind.SYMLINK else to
    facts = no_facts(user=user, subsystem="sftp", path=path, to=to)
    return tuple(Deed(verb=verb, reach=_reach(verb, path, to), resource=TARGET, facts=facts) for verb in request.verbs)


def session_deeds(user: str) -> tuple[Deed, ...]:
    """What beginning to speak SFTP does: as whom, and where paths lead."""
    facts = no_facts(user=user, subsystem="sftp")
    return (Deed(verb="ssh.sftp", reach=VERBS["ssh.sftp"], resource=TARGET, facts=facts),)


def _reach(verb: str, path: str, to: str) -> Reach:
    usual = VERBS[verb]
    return Reach.ADMIN if usual is Reach.WRITE and any(ADMIN.search(one) for one in (path, to) if one) else usual


def shown(verbs: tuple[str, ...], request: PathRequest, resolved: tuple[bytes, ...]) -> str:
    """The request in one line, for logs."""
    words = " ".join(visible(one) for one in resolved)
    text = f"{'+'.join(verb.rpartition('.')[2] for verb in verbs)} {words}"
    text += f" -> {visible(request.aside)}" if request.kind is Kind.SYMLINK else ""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cover_text(text))


def visible(path: bytes) -> str:
    """A path as rules and people have it: bytes that are no text are written out."""
    return path.decode("utf-8", "backslashreplace")


def split(path: bytes) -> tuple[bytes, bytes]:
    """The folder of a path and the name in it; no name where a path ends in a folder by itself."""
    folder, slash, name = path.rstrip(b"/").rpartition(b"/")
    if name in (b"", b".", b".."):
        return path or b".", b""
    return (folder or b"/" if slash else b"."), name
