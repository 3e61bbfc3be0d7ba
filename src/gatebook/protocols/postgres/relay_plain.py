"""The short way of what only reads and is known in all it names (``Meaning.plain``), to the very effects of the long one.

Most requests are such. Nothing of theirs has to be looked at that others are looked at for: no name to ask the catalog about,
no value to put in, no ceiling, no setting or transaction to follow, no copy. What is not plain, is held, or was decided while
something changed, goes the long way (``relay_asking.py``).

Describe, Execute and Sync that stand right behind a Bind of the unnamed portal, as most drivers send them, go along with it. So
the effects are the same however the client's bytes were cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gatebook.masking.styles import is_ours
from gatebook.model import Action, Permit
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.answers import Answers
from gatebook.protocols.postgres.asked import Asked, AskedBind, AskedQuery, forms
from gatebook.protocols.postgres.expected import Described, Executed, Portal, Prepared, Running, Simple, Synced
from gatebook.protocols.postgres.meaning import Meaning
from gatebook.protocols.postgres.reading import Reading
from gatebook.protocols.postgres.relay_inquiry import Inquiry
from gatebook.protocols.relay import Ask, Effect, Own, ToServer

AHEAD_BYTES = 4_194_304  # of unanswered Parse and Bind messages; past it the server is asked to answer before more is taken
_DESCRIBE = wire.describe("P", "")
_EXECUTE = wire.message(b"E", bytes(5))[:-4]  # of the unnamed portal; four bytes behind it are a limit on rows
_OWN_DESCRIBE, _OWN_SYNC = Own("describe", _DESCRIBE), Own("sync", wire.SYNC)


@dataclass(frozen=True, slots=True)
class Went:
    """A request that went the plain way last; ``portal`` is None for a Query."""

    meaning: Meaning
    running: Running
    portal: Portal | None


class Plain(Inquiry):
    """The part of ``Asking`` that handles plain requests. ``client`` has what the client sent next."""

    def __init__(self, answers: Answers, secret: str, out: list[Effect], client: wire.Frames) -> None:
        super().__init__(answers, secret, out)
        self._client, self._ahead = client, 0
        self._asked: Asked | None = None
        self.held = False
        self.went: Went | None = None

    @property
    def deciding(self) -> bool:
        """Whether a request was asked for and is about to go, by what is known now; people who hold one may take hours."""
        return self._asked is not None and not self.held

    def _meant(self, reading: Reading) -> Meaning | None:
        """What a text means, if it is plain as things are now."""
        if self._whole or not self._answers.catalog.search_path:
            return None
        meaning = self._answers.meaning(reading)
        return meaning if meaning.plain else None

    def _asks_query(self, reading: Reading, body: bytes) -> bool:
        """Ask for a Query, if it is plain."""
        meaning = self._meant(reading)
        if meaning is None:
            return False
        action, line = self._action(reading, "run", reading.text)
        self._asked = AskedQuery(action, reading, body, plain=True)
        self._out.append(Ask(action, meaning.columns, line))
        return True

    def _asks_bind(self, bind: wire.Bind, prepared: Prepared, body: bytes) -> bool:
        """Ask for a Bind, if it is plain, what it is bound to stands for itself, and it means what it meant when prepared."""
        reading = prepared.reading
        meaning = self._meant(reading)
        if meaning is None or prepared.settings != self._answers.catalog.settings:
            return False
        for value in bind.values:
            if value is not None and is_ours(value):
                return False
        action, line = self._action(reading, "run", reading.text, bind.values, meant=forms(bind, prepared.types))
        self._asked = AskedBind(action, prepared, bind.portal, body, plain=True)
        self._out.append(Ask(action, meaning.columns, line))
        return True

    def _sends_plain(self, asked: Asked, permit: Permit, decision: str) -> bool:
        """Send on what was asked for, if it is plain still."""
        match asked:
            case AskedQuery(action, reading, body, plain=True):
                meaning = self._meant(reading)
                if meaning is None or self._answers.skipping:
                    return False
                self._expects_answer(action, permit, reading, meaning)
                self._out.append(ToServer(permit, wire.message(b"Q", body)))
                return True
            case AskedBind(action, prepared, name, body, plain=True):
                meaning = self._meant(prepared.reading)
                if meaning is None or name or self._answers.skipping or self._answers.own_block:
                    return False
                return self._sends_along(asked, permit, decision, meaning)
            case _:
                return False

    def _sends_along(self, asked: AskedBind, permit: Permit, decision: str, meaning: Meaning) -> bool:
        data, at = self._client.rest()
        end = at + len(_DESCRIBE)
        if not data.startswith(_DESCRIBE, at) or not data.startswith(_EXECUTE, end):
            return False
        behind = end + len(_EXECUTE) + 4
        if not data.startswith(wire.SYNC, behind) or self._ahead + len(asked.body) > AHEAD_BYTES:
            return False
        self._ahead += len(asked.body)
        portal = Portal(asked.action, permit, asked.prepared, meaning.touches, fresh=False, decision=decision)
        self._expects_answers(portal, meaning, own=False)
        self._client.skip(behind + len(wire.SYNC))
        self._retags = True
        bound, executed = wire.message(b"B", asked.body), data[end:behind]
        self._out += (ToServer(permit, bound), _OWN_DESCRIBE, ToServer(permit, executed), _OWN_SYNC)
        return True

    def _expects_answer(self, action: Action, permit: Permit, reading: Reading, meaning: Meaning) -> None:
        running = Running(action, permit, reading, meaning.touches, plain=True)
        self._answers.read_only(meaning.touches)
        self._answers.expect(Simple(running))
        self.went = Went(meaning, running, None)

    def _expects_answers(self, portal: Portal, meaning: Meaning, *, own: bool) -> None:
        """Of a Bind, a Describe, which may be the gateway's own, an Execute and a Sync."""
        answers = self._answers
        running = Running(portal.action, portal.permit, portal.prepared.reading, meaning.touches, plain=True)
        answers.read_only(meaning.touches)
        answers.binding("", portal)
        answers.expect(Described(portal, own=own, first=True))
        answers.expect(Executed(running, portal))
        answers.expect(Synced())
        self.went = Went(meaning, running, portal)

    # Beside the lane (``relay_lane.py``) -----------------------------------------------------------------------------

    def number(self) -> None:
        """The session has one action more."""
        self.seq += 1
        self._retags = True

    def sent_by_lane(
        self,
        reading: Reading,
        meaning: Meaning,
        prepared: Prepared | None,
        data: bytes,
        seq: int,
        decision: str,
        permit: Callable[[Action], Permit],
    ) -> Action:
        """Stand as if this request, which was sent, had been sent from here; its action."""
        frames = wire.Frames(wire.CLIENT_BYTES)
        frames.add(data)
        sent = list(frames.messages())
        bind = wire.bind(sent[0][1]) if prepared is not None else None
        action = Action(
            session=self._session,
            seq=seq,
            deeds=meaning.deeds,
            text=reading.text if bind is not None else wire.query_text(sent[0][1]),
            parameters=bind.values if bind is not None else (),
            forms=forms(bind, prepared.types) if bind is not None and prepared is not None else (),
            search_path=self._answers.catalog.search_path,
            settings=self._answers.catalog.settings,
        )
        if prepared is None:
            self._expects_answer(action, permit(action), reading, meaning)
        else:
            portal = Portal(action, permit(action), prepared, meaning.touches, fresh=False, decision=decision)
            self._ahead += len(sent[0][1])
            self._expects_answers(portal, meaning, own=sent[1][0] != b"D")
        return action
