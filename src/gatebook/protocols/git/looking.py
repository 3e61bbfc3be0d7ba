"""What the target is asked before a push is decided about: its refs, and the objects that the push does not bring.

By protocol version 2, which every server speaks since git 2.18, and which gives any object by its name (gitprotocol-v2).
Objects come in packs; ``filter tree:0`` has nothing come that was not asked for, where the server takes filters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gatebook.errors import WireError
from gatebook.protocols.git.pktline import Line, Mark, is_object, line, read_line, read_section

REFS = 200_000
LINES = 2_000_000
_SERVICE = b"# service="


@dataclass(frozen=True, slots=True)
class Server:
    """What a server can do, as it says when it is first asked."""

    filters: bool = False
    sha256: bool = False

    @property
    def length(self) -> int:
        """How many digits its objects' names have."""
        return 64 if self.sha256 else 40


def read_server(data: bytes) -> Server:
    """Its capabilities. Raises WireError for one that does not speak version 2."""
    lines, _, at = read_section(data, 0, REFS)
    if lines and lines[0].data.startswith(_SERVICE):
        lines, _, at = read_section(data, at, REFS)
    if not lines or lines[0].text != "version 2":
        raise WireError("the git server does not speak protocol version 2")
    told = [one.text for one in lines]
    fetch = next((one.partition("=")[2].split() for one in told if one == "fetch" or one.startswith("fetch=")), None)
    if fetch is None or not any(one.partition("=")[0] == "ls-refs" for one in told):
        raise WireError("the git server gives neither refs nor objects")
    return Server("filter" in fetch, "object-format=sha256" in told)


def list_refs(server: Server) -> bytes:
    """The question for all refs."""
    return _command("ls-refs", server) + b"0001" + line("symrefs\n") + line("ref-prefix refs/\n") + b"0000"


@dataclass(frozen=True, slots=True)
class Refs:
    """Digests by name, and the names of those that stand for others (git-symbolic-ref)."""

    digests: dict[str, str]
    aliases: frozenset[str]


def read_refs(data: bytes) -> Refs:
    """What a server says of its refs. Raises WireError."""
    _check_said(data)
    lines, mark, _ = read_section(data, 0, REFS)
    refs: dict[str, str] = {}
    aliases: set[str] = set()
    for one in lines:
        digest, _, rest = one.text.partition(" ")
        if digest != "unborn":
            if not is_object(digest):
                raise WireError("the git server's refs cannot be read")
            name, *more = rest.split(" ")
            refs[name] = digest
            if any(one.startswith("symref-target:") for one in more):
                aliases.add(name)
    if mark is not Mark.FLUSH:
        raise WireError("the git server's refs do not end")
    return Refs(refs, frozenset(aliases))


def ask_objects(wanted: Collection[str], server: Server, depth: int) -> bytes:
    """The question for these objects; of commits, so many generations."""
    said = ["no-progress\n", "ofs-delta\n", *(f"want {digest}\n" for digest in sorted(wanted)), f"deepen {depth}\n"]
    if server.filters:
        said.append("filter tree:0\n")
    return _command("fetch", server) + b"0001" + b"".join(map(line, [*said, "done\n"])) + b"0000"


def read_objects(data: bytes) -> bytes:
    """The pack of an answer. Raises WireError with what the server says where it has none."""
    _check_said(data)
    at = 0
    while at < len(data):
        lines, mark, at = read_section(data, at, LINES)
        if lines and lines[0].data.rstrip(b"\n") == b"packfile":
            return b"".join(_banded(lines[1:]))
        if mark is not Mark.DELIMITER:
            break
    raise WireError("the git server gives no objects")


def _check_said(data: bytes) -> None:
    """An error ends the answer, without a flush."""
    first = read_line(data)
    if isinstance(first, Line) and first.data.startswith(b"ERR "):
        raise WireError(f"the git server says: {first.text[4:200]}")


def _banded(lines: list[Line]) -> list[bytes]:
    pieces = []
    for one in lines:
        if one.data[:1] == b"\3":
            raise WireError(f"the git server says: {one.data[1:200].decode(errors='replace').strip()}")
        if one.data[:1] == b"\1":
            pieces.append(one.data[1:])
    return pieces


def _command(name: str, server: Server) -> bytes:
    return line(f"command={name}\n") + line(f"object-format={'sha256' if server.sha256 else 'sha1'}\n")
