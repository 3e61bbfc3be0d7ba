"""What a client asks of ``git receive-pack``: which refs to move, with which options, and the pack of what is new.

Format: gitprotocol-pack, "Reference Update Request and Packfile Transfer".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from gatebook.errors import WireError
from gatebook.protocols.git.pktline import Line, Mark, is_object, is_ref, read_section

COMMANDS = 1_000  # in one push; `git push --mirror` of a larger repository goes in parts
OPTIONS = 100
PUSH_BYTES = 64 * 1024 * 1024  # of a whole push, unless somebody says otherwise
_CERTIFICATE = "push-cert"


class Change(StrEnum):
    """What becomes of a ref."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Command:
    """One ref: ``old`` and ``new`` are digests, all zeros for none."""

    old: str
    new: str
    ref: str

    @property
    def change(self) -> Change:
        """What becomes of it."""
        if not int(self.new, 16):
            return Change.DELETE
        return Change.UPDATE if int(self.old, 16) else Change.CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A request of ``git push``. ``pack`` is where its pack begins; ``shallow`` are commits whose parents the client lacks."""

    commands: tuple[Command, ...] = ()
    capabilities: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    shallow: frozenset[str] = frozenset()
    pack: int = 0

    @property
    def probes(self) -> bool:
        """It asks for nothing: git finds out so whether it may, before a long push."""
        return not self.commands

    @property
    def brings(self) -> bool:
        """A pack stands behind it: nobody deletes with one."""
        return any(one.change is not Change.DELETE for one in self.commands)

    @property
    def states(self) -> bool:
        """Options stand behind its commands."""
        return bool(self.commands) and self.capability("push-options") is not None

    def capability(self, name: str) -> str | None:
        """The value of a capability, "" for one that has none, None where the client does not have it."""
        for one in self.capabilities:
            key, _, value = one.partition("=")
            if key == name:
                return value
        return None


@dataclass(slots=True)
class _Reading:
    commands: list[Command] = field(default_factory=list)
    capabilities: tuple[str, ...] = ()
    shallow: set[str] = field(default_factory=set)


def read_commands(data: bytes) -> Push:
    """Which refs a push moves, without what stands behind them. Raises WireError with what is wrong, and for signed pushes."""
    lines, mark, at = read_section(data, 0, COMMANDS + COMMANDS)
    if mark is not Mark.FLUSH:
        raise WireError(f"git's protocol wants a flush after the refs of a push, and here is {mark.value}")
    found = _Reading()
    for line in lines:
        _take(found, line)
    if len({command.ref for command in found.commands}) < len(found.commands):
        raise WireError("a push that names a ref twice; push it once")
    if len(found.commands) > COMMANDS:
        raise WireError(f"a push of more than {COMMANDS} refs; push them in parts")
    push = Push(commands=tuple(found.commands), capabilities=found.capabilities, shallow=frozenset(found.shallow), pack=at)
    _check_format(push)
    return push


def read_push(data: bytes) -> Push:
    """Read the content of a push. Raises WireError with what is wrong, and for signed pushes, which are not read here."""
    push = read_commands(data)
    if not push.states:
        return push
    said, mark, at = read_section(data, push.pack, OPTIONS)
    if mark is not Mark.FLUSH:
        raise WireError(f"git's protocol wants a flush after the options of a push, and here is {mark.value}")
    return replace(push, options=tuple(line.text for line in said), pack=at)


def _take(found: _Reading, line: Line) -> None:
    head, nul, said = line.data.partition(b"\0")
    text = Line(head, line.end).text
    if text.startswith(_CERTIFICATE):
        raise WireError("a signed push; push without --signed")
    if text.startswith("shallow "):
        name = text.removeprefix("shallow ")
        if not is_object(name) or found.commands:
            raise WireError(f"not what says that a commit is shallow: {text[:80]!r}")
        found.shallow.add(name)
        return
    if nul and found.commands:
        raise WireError("capabilities behind another ref than the first")
    if nul:
        found.capabilities = tuple(Line(said, line.end).text.split())
    old, space, rest = text.partition(" ")
    new, again, ref = rest.partition(" ")
    if not (space and again and is_object(old) and is_object(new) and len(old) == len(new)):
        raise WireError(f"not what moves a ref: {text[:80]!r}")
    if not is_ref(ref):
        raise WireError(f"not the name of a ref: {ref[:80]!r}")
    if not int(old, 16) and not int(new, 16):
        raise WireError(f"a ref that moves from nothing to nothing: {ref[:80]!r}")
    found.commands.append(Command(old, new, ref))


def _check_format(push: Push) -> None:
    """SHA-256 has to be agreed on: a server takes the digests for SHA-1 otherwise."""
    length = {"sha1": 40, "sha256": 64}.get(push.capability("object-format") or "sha1")
    if length is None:
        raise WireError(f"an object format that is not known: {(push.capability('object-format') or '')[:20]!r}")
    if any(len(command.new) != length for command in push.commands):
        raise WireError("digests of another length than the push's object format has")
