"""What a forward of SSH asks for, as an action: a connection that the host is to make, or a place where it is to listen.

Nobody reads what passes through one, so it is unknown whatever it leads to; rules see where, and which way.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatebook.model import Action, Deed
from gatebook.protocols.refused import told
from gatebook.protocols.relay import Ask, Refused
from gatebook.protocols.ssh.reading import TARGET, no_facts
from gatebook.protocols.ssh.verbs import VERBS

PLACE_CHARACTERS = 255  # of a host's name; of a socket's path some 108 are the most that any system has
UNREAD = "what passes through a forward is not read"
UNTOLD = "what the client's keys open is not known here"
FAILURE_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Wish:
    """Where a forward leads, or where the host is to listen; port -1 is of a socket, whose path ``host`` is.

    ``agent``: it leads to the client's agent of keys, and nowhere else.
    """

    host: str = ""
    port: int = -1
    listens: bool = False
    agent: bool = False

    @property
    def verb(self) -> str:
        """Of the action."""
        return "ssh.agent" if self.agent else "ssh.forward"

    @property
    def many(self) -> bool:
        """Whether connections come from the host, as many as it likes."""
        return self.listens or self.agent

    @property
    def shown(self) -> str:
        """On one line."""
        if self.agent:
            return "use of the agent of keys"
        way = "from" if self.listens else "to"
        kind = "socket " if self.port < 0 else ""
        return f"forward {way} {kind}{visible(self.host)}" + (f" port {self.port}" if self.port >= 0 else "")

    @property
    def fault(self) -> str:
        """What is wrong with it itself, "" where nothing is."""
        if self.agent:
            return ""
        if len(self.host) > PLACE_CHARACTERS or not self.host.isprintable():
            return f"a forward names a place of at most {PLACE_CHARACTERS} printable characters"
        if not self.listens and (not self.host or self.port == 0):
            return "a forward that leads nowhere"
        return "no such port" if self.port > 65_535 else ""


def asked(wish: Wish, user: str, session: str, seq: int) -> Ask:
    """The action, to be decided."""
    why = UNTOLD if wish.agent else UNREAD
    facts = no_facts(user=user, host=wish.host, port=wish.port, listens=wish.listens, why_unknown=why)
    deed = Deed(verb=wish.verb, reach=VERBS[wish.verb], resource=TARGET, facts=facts)
    action = Action(session=session, seq=seq, deeds=(deed,), text=wish.shown)
    return Ask(action, frozenset(), wish.shown, fault=wish.fault, seen=f"as {user}:\n{wish.shown}")


def refused(action: Action, said: Refused) -> str:
    """What a client hears in place of the connection: a channel that cannot be opened has a line of text and no more."""
    instead = f" {said.verdict.instead}" if said.verdict.instead else ""
    return failure(f"{told(action, said.verdict)}.{instead} (decision {said.decision})")


def failure(words: str) -> str:
    """The same of anything else."""
    return visible(f"gatebook: {words}")[:FAILURE_CHARACTERS]


def visible(text: str) -> str:
    """One line that commands no terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
