"""What a push or a fetch does, told as deeds that rules can ask about: one for each ref that moves, one for what is read.

Closed unless proven open: a ref outside of branches and tags, a history that is not known far enough, and objects that could
not be read add ``git.unknown``; what is not known to be a fast-forward is told as forced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gatebook.masking.detectors import cover, cover_text
from gatebook.model import Deed, Reach, Resource
from gatebook.protocols.git.diffs import added
from gatebook.protocols.git.fetching import Fetch
from gatebook.protocols.git.history import History, MissingError, Touched
from gatebook.protocols.git.objects import Commit, Kind
from gatebook.protocols.git.pushing import Change, Command, Push
from gatebook.protocols.http.doubts import Doubts, quoted

VERBS: Mapping[str, Reach] = MappingProxyType(
    {
        "git.list": Reach.READ,  # which refs there are
        "git.fetch": Reach.READ,  # clone, fetch, pull
        "git.push": Reach.WRITE,  # a ref is made, or goes forward
        "git.force": Reach.WRITE,  # a ref is moved to where what it had is not in its history; a tag that is moved
        "git.delete": Reach.WRITE,  # a ref goes
        "git.lfs": Reach.UNKNOWN,  # large files, which lie elsewhere
        "git.unknown": Reach.UNKNOWN,  # besides the others, where something could not be told for sure
    }
)

Facts = dict[str, bool | int | str | frozenset[str]]

FACTS: Mapping[str, bool | int | str | frozenset[str]] = MappingProxyType(
    {
        "repository": "",  # org/app, without .git
        "ref": "",  # refs/heads/main
        "branch": "",  # main; "" for what is no branch
        "tag": "",  # v1.0; "" for what is no tag
        "change": "",  # create, update or delete
        "force": False,  # what the ref had is not in its new history, or nobody knows
        "old": "",  # the digest that the client says the ref has
        "new": "",  # the digest that it gets
        "refs": 0,  # how many the push moves
        "commits": -1,  # that are new to the ref; -1 where it is not known
        "merges": 0,  # those of them with several parents
        "unsigned": 0,  # those of them without a signature; whose one is, is not looked at
        "authors": frozenset(),  # mail addresses, in small letters
        "committers": frozenset(),  # likewise
        "trailers": frozenset(),  # "Name: value" of their messages
        "models": frozenset(),  # that trailers say have helped: declared, not proven
        "files": -1,  # how many are touched; -1 where it is not known
        "paths": frozenset(),  # that are touched
        "folders": frozenset(),  # all that these lie in, with a slash at the end
        "names": frozenset(),  # of touched files, without their folders
        "links": False,  # a symbolic link or a module is touched
        "secrets": frozenset(),  # detectors that find something in added lines or messages
        "options": frozenset(),  # of the push
        "depth": 0,  # of a shallow fetch; 0 for all, -1 by time or ref
        "filter": "",  # of a partial fetch
        "why_unknown": "",  # why something could not be told for sure
    }
)

LOOKED_AT = 2_000  # commits whose files are told
SEARCHED_BYTES = 64 * 1024 * 1024  # of all lines that a push adds to one ref
PATHS = 2_000  # that a fact has; of more of them the deed is unknown besides
_BRANCH, _TAG = "refs/heads/", "refs/tags/"
_PERSONAL = frozenset({"email", "iban", "ssn", "card", "phone"})
_MODELS = frozenset({"assisted-by", "generated-by", "generated-with", "model", "ai-model", "co-authored-with"})
_LINKS = (0o120000, 0o160000)


@dataclass(slots=True)
class Told:
    """What is told of one ref that moves: commits that are new to it, files that these touch, and those between its ends."""

    command: Command
    doubts: Doubts = field(default_factory=Doubts)
    facts: Facts = field(default_factory=dict)
    commits: tuple[tuple[str, Commit], ...] = ()
    files: tuple[Touched, ...] = ()
    ends: tuple[Touched, ...] = ()


def push_told(push: Push, history: History, refs: Mapping[str, str], aliases: Collection[str] = frozenset()) -> list[Told]:
    """What a push does to each ref. ``refs`` are the target's, by name; ``aliases`` those of them that stand for others.

    Raises MissingError for objects that are to be asked of the target, for all of its refs at once.
    """
    missing: set[str] = set()
    told = []
    there = _There(refs, aliases, frozenset(name.lower() for name in refs), _had(history, refs))
    for command in push.commands:
        try:
            told.append(_ref(push, command, history, there))
        except MissingError as error:
            missing |= error.digests
    if missing:
        raise MissingError(missing)
    return told


def deeds_of(told: Iterable[Told], repository: str) -> Iterator[Deed]:
    """The deeds of a push."""
    for one in told:
        facts = {**FACTS, **one.facts, "repository": repository, "why_unknown": one.doubts.why}
        resource = Resource(kind="ref", name=cover_text(f"{repository}/{one.command.ref}"))
        verb = "git.push"
        if one.command.change is Change.DELETE:
            verb = "git.delete"
        elif facts["force"]:
            verb = "git.force"
        yield Deed(verb=verb, reach=VERBS[verb], resource=resource, facts=facts)
        if one.doubts.found:
            yield Deed(verb="git.unknown", reach=VERBS["git.unknown"], resource=resource, facts=facts)


def fetch_deed(fetch: Fetch, repository: str) -> Deed:
    """The deed of a fetch or a list."""
    verb = "git.list" if fetch.lists else "git.fetch"
    facts = {**FACTS, "repository": repository, "depth": fetch.depth, "filter": fetch.filter[:80]}
    return Deed(verb=verb, reach=VERBS[verb], resource=Resource(kind="repository", name=cover_text(repository)), facts=facts)


@dataclass(frozen=True, slots=True)
class _There:
    """What the target has: refs, those that stand for others, all names in small letters, and the commits of all."""

    refs: Mapping[str, str]
    aliases: Collection[str]
    lowered: Collection[str]
    had: Collection[str]


def _ref(push: Push, command: Command, history: History, there: _There) -> Told:
    told = Told(command)
    told.facts |= {
        "ref": command.ref,
        "branch": command.ref.removeprefix(_BRANCH) if command.ref.startswith(_BRANCH) else "",
        "tag": command.ref.removeprefix(_TAG) if command.ref.startswith(_TAG) else "",
        "change": command.change.value,
        "old": command.old,
        "new": command.new,
        "refs": len(push.commands),
        "options": frozenset(push.options),
    }
    if not command.ref.startswith((_BRANCH, _TAG)):
        told.doubts.unsure(f"{quoted(command.ref)} is neither a branch nor a tag")
    if command.ref in there.aliases:
        told.doubts.unsure(f"{quoted(command.ref)} stands for another ref, which would move")
    if command.ref not in there.refs and command.ref.lower() in there.lowered:
        told.doubts.unsure(f"{quoted(command.ref)} differs from another ref in the case of its letters alone")
    if there.refs.get(command.ref, "0" * len(command.old)) != command.old:
        told.doubts.unsure(f"{quoted(command.ref)} is not where the client says; fetch first")
    if command.change is not Change.DELETE:
        _history(told, history, there)
    return told


def _history(told: Told, history: History, there: _There) -> None:
    """What the ref gets, and whether it keeps what it had."""
    command = told.command
    new, kind = history.peeled(command.new)
    tagged: set[str] = set()
    for tag in history.tags(command.new):
        tagged |= _secrets(tag.message)
    told.facts["secrets"] = frozenset(tagged)
    if command.change is Change.UPDATE:
        told.facts["force"] = command.ref.startswith(_TAG) or not _goes_forward(command, history)
    if kind is not Kind.COMMIT:
        told.doubts.unsure(f"{quoted(command.ref)} would be no commit")
        return
    old = _commit_of(command.old, history) if command.change is Change.UPDATE else None
    found = history.new_commits(new, [old] if old is not None else there.had)
    told.commits = tuple((digest, history.commit(digest)) for digest in found)
    _commits(told, [commit for _, commit in told.commits])
    _files(told, history, old, new)


def _goes_forward(command: Command, history: History) -> bool:
    old, new = _commit_of(command.old, history), _commit_of(command.new, history)
    return old is not None and new is not None and history.is_ancestor(old, new)


def _commit_of(digest: str, history: History) -> str | None:
    """The commit that a ref's digest leads to. Raises MissingError."""
    found, kind = history.peeled(digest)
    return found if kind is Kind.COMMIT else None


def _had(history: History, refs: Mapping[str, str]) -> frozenset[str]:
    """The commits of the target's refs, as far as they were looked at: where a walk ends by its name it needs no more."""
    found: set[str] = set()
    for digest in refs.values():
        try:
            commit = _commit_of(digest, history)
        except MissingError:
            commit = digest
        if commit is not None:
            found.add(commit)
    return frozenset(found)


def _commits(told: Told, commits: list[Commit]) -> None:
    trailers = [(name, value) for commit in commits for name, value in commit.trailers]
    found: set[str] = set()
    for commit in commits:
        found |= _secrets(commit.message)
    before = told.facts["secrets"]
    told.facts |= {
        "commits": len(commits),
        "merges": sum(len(commit.parents) > 1 for commit in commits),
        "unsigned": sum(not commit.signed for commit in commits),
        "authors": frozenset(_mail(commit.author) for commit in commits),
        "committers": frozenset(_mail(commit.committer) for commit in commits),
        "trailers": frozenset(f"{name}: {value}" for name, value in trailers[:PATHS]),
        "models": frozenset(value for name, value in trailers if name.lower() in _MODELS),
        "secrets": frozenset(found) | (before if isinstance(before, frozenset) else frozenset()),
    }


def _files(told: Told, history: History, old: str | None, new: str) -> None:
    """Files of each new commit, and those between what the ref had and what it gets."""
    touched: dict[Touched, None] = {}
    missing: set[str] = set()
    for one in _all_touched(told, history, old, new, missing):
        touched[one] = None
    found = _searched(told, history, touched, missing)
    if missing:
        raise MissingError(missing)
    paths = sorted({one.path for one in touched})
    if len(paths) > PATHS:
        told.doubts.unsure(f"it touches {len(paths)} files, of which rules see {PATHS}")
    paths = paths[:PATHS]
    told.files = tuple(touched)
    told.facts |= {
        "files": len({one.path for one in touched}),
        "paths": frozenset(_shown(path) for path in paths),
        "folders": frozenset(_shown(folder) for path in paths for folder in _folders(path)),
        "names": frozenset(_shown(path.rpartition("/")[2]) for path in paths),
        "links": any(side is not None and side.mode & 0o170000 in _LINKS for one in touched for side in (one.old, one.new)),
    }
    if isinstance(told.facts["secrets"], frozenset):
        told.facts["secrets"] |= found


def _searched(told: Told, history: History, touched: Iterable[Touched], missing: set[str]) -> frozenset[str]:
    """What detectors find in lines that files gain."""
    found: set[str] = set()
    left = SEARCHED_BYTES
    for one in touched:
        if left <= 0:
            told.doubts.unsure(f"it brings more than the {SEARCHED_BYTES} bytes that are looked through for secrets")
            break
        try:
            text = added(history, one)
        except MissingError as error:
            missing |= error.digests
            continue
        left -= len(text)
        if not missing:  # else all of it is told anew, once what is missing came
            found |= _secrets(text)
    return frozenset(found)


def _all_touched(told: Told, history: History, old: str | None, new: str, missing: set[str]) -> Iterator[Touched]:
    if len(told.commits) > LOOKED_AT:
        told.doubts.unsure(f"it brings {len(told.commits)} commits, of which {LOOKED_AT} are looked at one by one")
    for digest, _ in told.commits[:LOOKED_AT]:
        try:
            yield from history.touched(digest)
        except MissingError as error:
            missing |= error.digests
    base = old
    if base is None and told.commits:  # of a new ref, what the oldest of its commits stands on
        parents = told.commits[-1][1].parents
        base = parents[0] if parents else None
    try:
        told.ends = tuple(history.between(history.commit(base).tree if base is not None else None, history.commit(new).tree))
    except MissingError as error:
        missing |= error.digests
    if old is not None:
        yield from told.ends


def _folders(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[: at + 1]
        at = path.find("/", at + 1)


def _shown(path: str) -> str:
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _mail(person: str) -> str:
    return person.rpartition("<")[2].rstrip(">").lower()


def _secrets(text: str) -> set[str]:
    _, counts = cover(text.encode(errors="surrogatepass"))
    return set(counts) - _PERSONAL
