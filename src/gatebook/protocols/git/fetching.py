"""What a client asks of ``git upload-pack``: a list of refs, or objects.

Format: gitprotocol-v2 for ``command=``, gitprotocol-pack for versions 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatebook.errors import WireError
from gatebook.protocols.git.pktline import Line, Mark, is_object, read_section

LINES = 200_000  # of one request: a client of many refs says what it has in that many
_COMMANDS = frozenset({"ls-refs", "fetch", "object-info", "bundle-uri"})
_BARE = frozenset(
    "done thin-pack no-progress include-tag ofs-delta deepen-relative sideband-all wait-for-done size peel symrefs "
    "unborn".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A request of ``git fetch``, ``clone`` or ``ls-remote``. ``command`` is "" in versions 0 and 1.

    ``depth`` is 0 where all of the history may come, ``filter`` as the client says it (``blob:none``). ``prefixes`` are of the
    refs that are listed.
    """

    command: str = ""
    wants: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    depth: int = 0
    filter: str = ""
    done: bool = False

    @property
    def lists(self) -> bool:
        """It asks for no object."""
        return self.command in ("ls-refs", "bundle-uri", "object-info")


def read_fetch(data: bytes) -> Fetch:
    """Read the content of a fetch. Raises WireError with what is wrong."""
    if not data:
        raise WireError("a fetch that asks for nothing")
    lines, mark, at = read_section(data, 0, LINES)
    if lines and lines[0].data.startswith(b"command="):
        return _version2(lines, mark, data, at)
    return _version0(lines, mark, data, at)


def _version2(lines: list[Line], mark: Mark, data: bytes, at: int) -> Fetch:
    command = lines[0].text.removeprefix("command=")
    if command not in _COMMANDS:
        raise WireError(f"a command of git's protocol that is not known: {command[:40]!r}")
    arguments: list[Line] = []
    if mark is Mark.DELIMITER:
        arguments, mark, at = read_section(data, at, LINES)
    if mark is not Mark.FLUSH or at != len(data):
        raise WireError("a request of git's protocol with more behind its end")
    return _read(command, arguments)


def _version0(lines: list[Line], mark: Mark, data: bytes, at: int) -> Fetch:
    if mark is not Mark.FLUSH:
        raise WireError(f"git's protocol wants a flush here, and it is {mark.value}")
    said = list(lines)
    while at < len(data):
        if data[at : at + 4] == b"0000":
            at += 4
            continue
        rest, at = _rest(data, at)
        said += rest
    return _read("", said)


def _rest(data: bytes, at: int) -> tuple[list[Line], int]:
    """What the client has; the last section ends with ``done``, without a flush."""
    if data[at:] in (b"0009done\n", b"0008done"):
        return [Line(b"done", len(data))], len(data)
    marker = max(data.rfind(b"0009done\n", at), data.rfind(b"0008done", at))
    if marker > at and data[marker:] in (b"0009done\n", b"0008done"):
        lines, mark, end = read_section(data[:marker] + b"0000", at, LINES)
        if end == marker + 4:
            return [*lines, Line(b"done", len(data))], len(data)
    lines, mark, end = read_section(data, at, LINES)
    if mark is not Mark.FLUSH:
        raise WireError(f"git's protocol wants a flush here, and it is {mark.value}")
    return lines, end


def _read(command: str, arguments: list[Line]) -> Fetch:
    wants: list[str] = []
    named: list[str] = []
    prefixes: list[str] = []
    depth, chosen, done = 0, "", False
    for line in arguments:
        text = line.text
        name, _, value = text.partition(" ")
        match name:
            case "want":
                digest = value.partition(" ")[0]  # the first of version 0 has capabilities behind it
                _check(digest, text)
                wants.append(digest)
            case "want-ref":
                named.append(value)
            case "ref-prefix":
                prefixes.append(value)
            case "have" | "shallow" | "oid":
                _check(value, text)
            case "deepen":
                if not (value.isascii() and value.isdigit() and len(value) < 12):
                    raise WireError(f"a depth that is none: {text[:80]!r}")
                depth = int(value)
            case "deepen-since" | "deepen-not":
                depth = depth or -1
            case "filter":
                chosen = value
            case "packfile-uris":
                raise WireError("packs by other addresses than the repository's do not pass; fetch without fetch.uriprotocols")
            case _ if text in _BARE:
                done = done or text == "done"
            case _:
                raise WireError(f"a line of a fetch that is not known: {text[:80]!r}")
    return Fetch(
        command=command, wants=tuple(wants), named=tuple(named), prefixes=tuple(prefixes), depth=depth, filter=chosen, done=done
    )


def _check(digest: str, text: str) -> None:
    if not is_object(digest):
        raise WireError(f"not the name of an object: {text[:80]!r}")
