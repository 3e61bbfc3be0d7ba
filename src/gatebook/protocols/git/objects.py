"""Git's objects: commits with their trailers, trees, tags.

Format: gitformat-pack names the kinds, git-cat-file shows them, git-interpret-trailers says what a trailer is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gatebook.errors import WireError
from gatebook.protocols.git.pktline import is_object

ENTRIES = 200_000  # of one tree
PARENTS = 64
TREE: Final = 0o040000
LINK: Final = 0o120000
MODULE: Final = 0o160000  # a commit of another repository
_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)[ \t]*:[ \t]*(\S.*)")
_ENCODING = re.compile(
    r"utf-?8|us-ascii|latin-?1|iso-?8859-\d\d?|cp125\d|windows-125\d|koi8-[ru]|euc-(jp|kr)|shift_jis|gb(k|2312|18030)|big5"
)
_MARKED = ("Signed-off-by: ", "(cherry picked from commit ")


class Kind(StrEnum):
    """What an object is."""

    COMMIT = "commit"
    TREE = "tree"
    BLOB = "blob"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class Object:
    """What an object is and holds."""

    kind: Kind
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """``author`` and ``committer`` are as git shows them: ``Name <mail>``, with the second of either since 1970."""

    tree: str
    parents: tuple[str, ...]
    author: str
    committer: str
    authored: int
    committed: int
    message: str
    signed: bool

    @property
    def subject(self) -> str:
        """Its first line."""
        return self.message.lstrip("\n").partition("\n")[0]

    @property
    def trailers(self) -> tuple[tuple[str, str], ...]:
        """``Name: value`` in the message's last paragraph, in their order."""
        return _trailers(self.message)


@dataclass(frozen=True, slots=True)
class Entry:
    """One of a tree: ``mode`` as git has it."""

    mode: int
    name: str
    digest: str

    @property
    def is_tree(self) -> bool:
        """Whether it is a folder."""
        return self.mode & 0o170000 == TREE

    @property
    def is_module(self) -> bool:
        """Whether it is a commit of another repository."""
        return self.mode & 0o170000 == MODULE


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """An annotated tag."""

    target: str
    kind: Kind
    name: str
    tagger: str
    message: str


def digest_of(kind: Kind, data: bytes, length: int = 40) -> str:
    """The name of an object, in as many digits: 40 of SHA-1 or 64 of SHA-256."""
    digest = hashlib.sha1(usedforsecurity=False) if length == 40 else hashlib.sha256()
    digest.update(b"%s %d\0" % (kind.value.encode(), len(data)))
    digest.update(data)
    return digest.hexdigest()


def read_commit(data: bytes) -> Commit:
    """Read a commit. Raises WireError for one that git would not make."""
    head, _, body = data.partition(b"\n\n")
    fields = _fields(head)
    parents = tuple(value for name, value in fields if name == "parent")
    told = dict(reversed(fields))
    tree = told.get("tree", "")
    if fields[:1] != [("tree", tree)] or not all(map(is_object, (tree, *parents))) or len(parents) > PARENTS:
        raise WireError("a commit without a tree, or whose parents are none")
    author, authored = _person(told, "author")
    committer, committed = _person(told, "committer")
    return Commit(
        tree=tree, parents=parents, author=author, authored=authored, committer=committer, committed=committed,
        message=_decoded(body, told.get("encoding", "utf-8")), signed="gpgsig" in told or "gpgsig-sha256" in told,
    )  # fmt: skip


def read_tree(data: bytes, length: int = 40) -> dict[str, Entry]:
    """Read a tree: its entries by name. ``length`` is of digests. Raises WireError; for names that lead elsewhere too."""
    entries: dict[str, Entry] = {}
    at, size = 0, length // 2
    while at < len(data):
        end = data.find(b"\0", at, at + 4_200)
        mode, space, raw = data[at:end].partition(b" ")
        if end < 0 or not space or not mode.isdigit() or len(mode) > 6 or end + 1 + size > len(data):
            raise WireError("a tree that is cut, or holds what is no entry")
        name = raw.decode(errors="surrogateescape")
        if name in ("", ".", "..") or "/" in name or name.lower() == ".git" or name in entries:
            raise WireError(f"a tree with an entry that git refuses: {name[:80]!r}")
        if len(entries) == ENTRIES:
            raise WireError(f"a tree of more than {ENTRIES} entries")
        try:
            entries[name] = Entry(int(mode, 8), name, data[end + 1 : end + 1 + size].hex())
        except ValueError:
            raise WireError("a tree with a mode that is none") from None
        at = end + 1 + size
    return entries


def read_tag(data: bytes) -> Tag:
    """Read an annotated tag. Raises WireError."""
    head, _, body = data.partition(b"\n\n")
    told: Mapping[str, str] = dict(reversed(_fields(head)))
    try:
        kind = Kind(told.get("type", ""))
    except ValueError:
        raise WireError("a tag of what is no object") from None
    if not is_object(told.get("object", "")):
        raise WireError("a tag of nothing")
    return Tag(
        target=told["object"], kind=kind, name=told.get("tag", ""), tagger=told.get("tagger", "").rpartition("> ")[0],
        message=body.decode(errors="replace"),
    )  # fmt: skip


def _fields(head: bytes) -> list[tuple[str, str]]:
    """Names and values; a line that begins with a space goes on with the one before (signatures do)."""
    fields: list[tuple[str, str]] = []
    for raw in head.split(b"\n"):
        if raw.startswith(b" ") and fields:
            continue
        name, _, value = raw.decode(errors="replace").partition(" ")
        fields.append((name, value))
    return fields


def _person(told: Mapping[str, str], name: str) -> tuple[str, int]:
    """``Name <mail> seconds zone``."""
    who, found, when = told.get(name, "").rpartition("> ")
    seconds = when.partition(" ")[0]
    if not found or not seconds.lstrip("-").isdigit() or len(seconds) > 20:
        raise WireError(f"a commit whose {name} is none: {told.get(name, '')[:80]!r}")
    return who + ">", int(seconds)


def _decoded(body: bytes, encoding: str) -> str:
    """As its commit says, where that is an encoding of text whose decoder takes no longer for long texts."""
    name = encoding.lower()
    try:
        return body.decode(name if _ENCODING.fullmatch(name) else "utf-8")
    except (LookupError, UnicodeDecodeError):
        return body.decode(errors="replace")


def _trailers(message: str) -> tuple[tuple[str, str], ...]:
    """Git takes the last paragraph for trailers where all of it is, or where a fourth is and git itself wrote one of them."""
    paragraphs = re.split(r"\n[ \t]*\n", message.strip("\n"))
    if len(paragraphs) < 2:
        return ()
    found: list[tuple[str, str]] = []
    others = 0
    known = False
    for text in paragraphs[-1].split("\n"):
        trailer = _TRAILER.fullmatch(text.rstrip())
        known = known or text.startswith(_MARKED)
        if text[:1] in (" ", "\t") and found:
            found[-1] = (found[-1][0], found[-1][1] + " " + text.strip())
        elif trailer is not None:
            found.append((trailer[1], trailer[2].rstrip()))
        elif not text.startswith("#"):
            others += 1
    if not others or (known and len(found) * 3 >= others):
        return tuple(found)
    return ()
