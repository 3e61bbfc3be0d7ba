"""What has to be asked of a host about a push before it is decided, and what is known of the push then."""

from __future__ import annotations

from dataclasses import dataclass

from gatebook.errors import WireError
from gatebook.model import Deed, Resource
from gatebook.protocols.git.commands import Wanted
from gatebook.protocols.git.inquiry import Inquiry
from gatebook.protocols.git.meaning import FACTS, VERBS, deeds_of
from gatebook.protocols.git.pushing import Push
from gatebook.protocols.git.seeing import diff_of, seen, shown


def deed(verb: str, wanted: Wanted) -> Deed:
    """A deed of which no more is known than its repository."""
    facts = {**FACTS, "repository": wanted.repository, "why_unknown": wanted.why_unknown or wanted.fault}
    return Deed(verb=verb, reach=VERBS[verb], resource=Resource(kind="repository", name=wanted.repository), facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a push does, for rules and people. ``bound`` is what a yes is bound to."""

    deeds: tuple[Deed, ...]
    shown: str
    seen: str
    bound: tuple[bytes, ...]
    fault: str = ""


class PushInquiry:
    """The questions about one push. Owned by one channel; each method but ``fail`` takes time."""

    def __init__(self, wanted: Wanted, inquiry: Inquiry) -> None:
        self._wanted, self._inquiry = wanted, inquiry
        self._why = ""

    @property
    def command(self) -> str:
        """By which a host answers them: it runs as long as there are questions."""
        return self._wanted.look

    def question(self) -> bytes | None:
        """What to say next, ``b""`` where the host speaks first; None once all is known."""
        if self._why:
            return None
        try:
            asked = self._inquiry.question()
        except WireError as error:
            self.fail(str(error))
            return None
        return None if asked is None else asked.content or b""

    def answered(self, data: bytes) -> None:
        """What the host said, up to its flush."""
        try:
            self._inquiry.answered(data)
        except WireError as error:
            self.fail(str(error))

    def fail(self, why: str) -> None:
        """No answer comes, or one that is none: nobody can say yes to the push."""
        self._why = self._why or why

    def told(self) -> Told:
        """What is known once there is no further question."""
        inquiry, wanted, why = self._inquiry, self._wanted, self._why
        found = tuple(inquiry.told or ())
        deeds = tuple(deeds_of(found, wanted.repository)) if not why else ()
        diff = ""
        if deeds:
            diff = diff_of(inquiry)
        if why or not deeds or wanted.why_unknown:
            deeds = (*deeds, deed("git.unknown", wanted))
        line = shown(deeds[0].verb, wanted.repository, found)
        return Told(deeds=deeds, shown=line, seen=seen(line, found, diff), bound=bound(inquiry.push), fault=why)


def bound(push: Push) -> tuple[bytes, ...]:
    """What a yes is bound to: refs and options. A pack of the same objects has other bytes each time."""
    moves = sorted(f"{one.old} {one.new} {one.ref}" for one in push.commands)
    whole = ["atomic"] if push.capability("atomic") is not None else []
    return tuple(one.encode() for one in (*moves, *whole, *(f"option {option}" for option in push.options)))
