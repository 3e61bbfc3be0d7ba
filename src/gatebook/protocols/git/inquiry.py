"""A push, and what has to be asked of its target before anybody can decide about it: question by question.

    refs of the target -> what deltas of the pack are of -> commits and trees that the push does not bring -> what it does

Nothing that the target says is believed beyond what its objects' names prove, but where its refs are. Questions have an end:
who pushes something that would take more of them is told so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gatebook.errors import WireError
from gatebook.protocols.git import looking
from gatebook.protocols.git.history import History, MissingError
from gatebook.protocols.git.looking import Refs, Server
from gatebook.protocols.git.meaning import Told, push_told
from gatebook.protocols.git.objects import Object
from gatebook.protocols.git.pack import BasesMissingError, Limits, Pack, open_pack
from gatebook.protocols.git.pushing import Push

ROUNDS = 40  # of questions for one push
ASKED_BYTES = 256 * 1024 * 1024  # of all answers
_DEPTHS = (1, 16, 128, 1_024, 8_192)  # generations of commits that are asked for, more each time


@dataclass(frozen=True, slots=True)
class Question:
    """``content`` is None for the first, by which the server says what it can do."""

    content: bytes | None


@dataclass(slots=True)
class Inquiry:
    """Owned by one exchange. ``told`` is what the push does, once nothing is left to ask."""

    push: Push
    data: bytes = field(repr=False)
    limits: Limits = field(default_factory=Limits)
    told: list[Told] | None = None
    history: History | None = field(default=None, repr=False)
    _server: Server | None = None
    _refs: Refs | None = None
    _pushed: Pack | None = field(default=None, repr=False)
    _packs: list[Pack] = field(default_factory=list, repr=False)
    _asked: dict[str, int] = field(default_factory=dict, repr=False)
    _rounds: int = 0
    _bytes: int = 0

    def question(self) -> Question | None:
        """What to ask next; None once all is known. Takes time. Raises WireError for a push that is wrong or too much."""
        if self.told is not None:
            return None
        if not self.push.commands:
            self.told = []
            return None
        if self._server is None:
            return Question(None)
        if self._refs is None:
            return Question(looking.list_refs(self._server))
        try:
            self._look(self._server, self._refs)
        except (MissingError, BasesMissingError) as error:
            return Question(self._ask(self._server, error.digests))
        return None

    def answered(self, data: bytes) -> None:
        """The answer to the last question. Takes time. Raises WireError."""
        self._bytes += len(data)
        if self._bytes > ASKED_BYTES:
            raise WireError("too much would have to be asked of the git server to tell what this push does; push it in parts")
        if self._server is None:
            self._server = looking.read_server(data)
        elif self._refs is None:
            self._refs = looking.read_refs(data)
        else:
            length = self._server.length
            self._packs.append(open_pack(looking.read_objects(data), limits=self.limits, length=length, outside=self._known))

    def _look(self, server: Server, refs: Refs) -> None:
        pack = self.data[self.push.pack :]
        if pack and self._pushed is None:
            self._pushed = open_pack(pack, limits=self.limits, length=server.length, outside=self._known)
        pushed = self._pushed

        def find(digest: str) -> Object | None:
            return (pushed.read(digest) if pushed is not None else None) or self._known(digest)

        if self.history is None:
            self.history = History(find, pushed if pushed is not None else frozenset(), server.length)
        self.told = push_told(self.push, self.history, refs.digests, refs.aliases)

    def _known(self, digest: str) -> Object | None:
        return next((found for pack in self._packs if (found := pack.read(digest)) is not None), None)

    def _ask(self, server: Server, digests: Iterable[str]) -> bytes:
        self._rounds += 1
        wanted = sorted(digests)
        if self._rounds > ROUNDS:
            raise WireError(
                f"what this push does could not be told from {ROUNDS} questions to the git server; push it in parts"
            )
        for digest in wanted:
            times = self._asked.get(digest, 0)
            if times and self._known(digest) is None:
                raise WireError(f"the git server does not give {digest[:12]}, on which this push rests; fetch first")
            self._asked[digest] = times + 1
        return looking.ask_objects(wanted, server, _DEPTHS[min(self._rounds // 2, len(_DEPTHS) - 1)])
