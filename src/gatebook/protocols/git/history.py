"""What a push changes: which commits are new, whether a branch is rewound, which files each commit touches.

Objects are looked up in what was pushed and in what the target was asked for; what neither has is ``Missing``: whoever asks
gets it from the target and asks again. Nothing is taken for unchanged because it is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import heappop, heappush

from gatebook.errors import WireError
from gatebook.protocols.git.objects import Commit, Entry, Kind, Object, Tag, read_commit, read_tag, read_tree

COMMITS = 20_000  # that are walked for one ref
FILES = 50_000  # that are told of one push
DEPTH = 100  # of folders
SKEW_SECONDS = 86_400  # by which clocks of those who commit may differ
_TAGS = 20  # that a tag may go through

Find = Callable[[str], Object | None]


class MissingError(Exception):
    """Objects that have to be known first."""

    def __init__(self, digests: Iterable[str]) -> None:
        self.digests = frozenset(digests)
        super().__init__(f"{len(self.digests)} objects are not known")


@dataclass(frozen=True, slots=True)
class Touched:
    """A file that a commit changes; None on the side where it is not."""

    path: str
    old: Entry | None
    new: Entry | None


@dataclass(slots=True)
class History:
    """Objects by their digests; ``pushed`` are those that come with the push, which are new to the target."""

    find: Find
    pushed: Container[str] = frozenset()
    length: int = 40
    _commit: Callable[[str], Commit] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._commit = lru_cache(maxsize=4_096)(self._read_commit)

    def object(self, digest: str, kind: Kind) -> Object:
        """An object of this kind. Raises MissingError, and WireError where it is of another."""
        found = self.find(digest)
        if found is None:
            raise MissingError([digest])
        if found.kind is not kind:
            raise WireError(f"{digest[:12]} is a {found.kind.value}, and should be a {kind.value}")
        return found

    def commit(self, digest: str) -> Commit:
        """A commit. Raises MissingError and WireError."""
        return self._commit(digest)

    def _read_commit(self, digest: str) -> Commit:
        return read_commit(self.object(digest, Kind.COMMIT).data)

    def peeled(self, digest: str) -> tuple[str, Kind]:
        """What a ref or a tag leads to in the end: mostly a commit. Raises MissingError and WireError."""
        for tag in self.tags(digest):
            digest = tag.target
        found = self.find(digest)
        if found is None or found.kind is Kind.TAG:
            raise WireError(f"a tag that goes through more than {_TAGS} others")
        return digest, found.kind

    def tags(self, digest: str) -> Iterator[Tag]:
        """The annotated tags that a ref goes through. Raises MissingError and WireError."""
        for _ in range(_TAGS):
            found = self.find(digest)
            if found is None:
                raise MissingError([digest])
            if found.kind is not Kind.TAG:
                return
            tag = read_tag(found.data)
            yield tag
            digest = tag.target

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether one commit is the other, or came before it. Raises MissingError where what is between is not known."""
        return not self.new_commits(old, [new])

    def new_commits(self, new: str, have: Iterable[str]) -> list[str]:
        """Commits of this one's history that none of these have. Raises MissingError, and WireError where there are too many.

        Both histories are walked from the latest to the oldest until nothing is left that may be new. Where commits are dated
        more than a day before their parents there may be one too many, and never one too few.
        """
        walk = _Walk(self.commit, new, have)
        while walk.unsure(self.pushed):
            walk.step()
        found = [digest for digest in walk.passed if digest not in walk.had]
        missing = walk.all_missing()
        if walk.missing or (missing and any(digest not in self.pushed for digest in found)):
            raise MissingError(missing)
        return found

    def touched(self, digest: str) -> list[Touched]:
        """Files that a commit changes against any of its parents; all of them where it has none. Raises MissingError."""
        commit = self.commit(digest)
        parents = commit.parents or (None,)
        trees = self._trees(parents)
        found: dict[str, Touched] = {}
        for tree in trees:
            for one in self.between(tree, commit.tree):
                found.setdefault(one.path, one)
        return list(found.values())

    def _trees(self, parents: Iterable[str | None]) -> list[str | None]:
        missing: set[str] = set()
        trees: list[str | None] = []
        for parent in parents:
            try:
                trees.append(self.commit(parent).tree if parent is not None else None)
            except MissingError as error:
                missing |= error.digests
        if missing:
            raise MissingError(missing)
        return trees

    def between(self, old: str | None, new: str | None) -> list[Touched]:
        """Files that differ in two trees, by path. Raises MissingError with all that is missing at one level at once."""
        found: list[Touched] = []
        level = [("", old, new)]
        for _ in range(DEPTH):
            if not level:
                return sorted(found, key=lambda one: one.path)
            missing: set[str] = set()
            deeper: list[tuple[str, str | None, str | None]] = []
            for path, was, becomes in level:
                if was == becomes:
                    continue
                try:
                    self._compare(path, was, becomes, found, deeper)
                except MissingError as error:
                    missing |= error.digests
            if missing:
                raise MissingError(missing)
            if len(found) > FILES:
                raise WireError(f"more than {FILES} files are touched at once; push them in parts")
            level = deeper
        raise WireError(f"folders more than {DEPTH} deep")

    def _compare(
        self,
        path: str,
        old: str | None,
        new: str | None,
        found: list[Touched],
        deeper: list[tuple[str, str | None, str | None]],
    ) -> None:
        was, becomes = self._tree(old), self._tree(new)
        for name in was.keys() | becomes.keys():
            left, right = was.get(name), becomes.get(name)
            if left == right:
                continue
            whole = f"{path}{name}"
            folders = [one.digest if one is not None and one.is_tree else None for one in (left, right)]
            files = [one if one is not None and not one.is_tree else None for one in (left, right)]
            if any(folders):
                deeper.append((whole + "/", folders[0], folders[1]))
            if any(files):
                found.append(Touched(whole, files[0], files[1]))

    def _tree(self, digest: str | None) -> dict[str, Entry]:
        return read_tree(self.object(digest, Kind.TREE).data, self.length) if digest is not None else {}


def mode_of(entry: Entry | None) -> str:
    """As git shows it."""
    return f"{entry.mode:06o}" if entry is not None else f"{0:06o}"


class _Walk:
    """Two histories at once. ``had`` are commits that are known to be in the second."""

    def __init__(self, read: Callable[[str], Commit], new: str, have: Iterable[str]) -> None:
        self._read = read
        self._heap: list[tuple[float, int, str]] = []
        self._waiting: set[str] = set()
        self.had: set[str] = set()
        self.passed: dict[str, tuple[str, ...]] = {}
        self.missing: set[str] = set()
        for digest in have:
            self.had.add(digest)
            self._add(digest)
        self._add(new)

    def unsure(self, pushed: Container[str]) -> bool:
        """Whether a commit waits that may be new, or that may show that one is not which the target has."""
        if not self._waiting <= self.had:
            return True
        found = [digest for digest in self.passed if digest not in self.had and digest not in pushed]
        if not found or not self._waiting:
            return False
        since = min(self._read(digest).committed for digest in found) - SKEW_SECONDS
        return -self._heap[0][0] >= since or any(digest in pushed for digest in self._waiting)

    def all_missing(self) -> set[str]:
        """What is not known, with what is not known of the second history and was not needed yet."""
        return self.missing | {digest for digest in self._waiting if self._known(digest) is None}

    def step(self) -> None:
        """Pass one commit, the latest that waits."""
        _, _, digest = heappop(self._heap)
        self._waiting.discard(digest)
        commit = self._known(digest)
        if commit is None:
            self.missing.add(digest)
            return
        if len(self.passed) == COMMITS:
            raise WireError(f"more than {COMMITS} commits at once; push them in parts")
        self.passed[digest] = commit.parents
        if digest in self.had:
            self._mark(commit.parents)
        for parent in commit.parents:
            if parent not in self.passed:
                self._add(parent)

    def _mark(self, parents: Iterable[str]) -> None:
        stack = list(parents)
        while stack:
            digest = stack.pop()
            if digest not in self.had:
                self.had.add(digest)
                stack += self.passed.get(digest, ())

    def _add(self, digest: str) -> None:
        if digest in self._waiting or digest in self.missing:
            return
        commit = self._known(digest)
        self._waiting.add(digest)
        heappush(self._heap, (-commit.committed if commit is not None else math.inf, len(self.passed), digest))

    def _known(self, digest: str) -> Commit | None:
        try:
            return self._read(digest)
        except MissingError:
            return None
