"""What a request of an open session means: read, its names asked for in the catalog, made the action that is asked for.

Catalog questions go out on this very connection, where no client can tell (``batch.py``); what could not be asked counts as
not known, and what is not known is covered whole. People are asked about nothing whose meaning is not settled: not between a
setting and its answer, nor when it was prepared under other settings than it would run with.
"""

from __future__ import annotations

from gatebook.masking.rules import MaskSet
from gatebook.model import Action, Deed
from gatebook.protocols.postgres import catalog, catalog_views, lineage, tagged, wire
from gatebook.protocols.postgres.answers import Answers
from gatebook.protocols.postgres.asked import Asked, AskedBind, AskedExecute, fault_of, reading_of, resolved_of, shown
from gatebook.protocols.postgres.expected import Closed, Described, Failing, Looking, Synced
from gatebook.protocols.postgres.meaning import not_bound_yet
from gatebook.protocols.postgres.own_code import asks_for_own
from gatebook.protocols.postgres.reading import Reading, Relation
from gatebook.protocols.postgres.resolving import PLAIN, Resolved, resolve
from gatebook.protocols.postgres.statement import read
from gatebook.protocols.relay import Effect, Own

UNSETTLED = "it stands behind a setting, or a call that may set one, in the same batch: send it in a batch of its own"
ISOLATION = "SHOW transaction_isolation"  # takes no snapshot, and nothing can stand in its place
PREPARED_ELSE = "it was prepared under other settings than those that hold now: prepare it again"


class Inquiry:
    """The part of ``Asking`` that looks things up. ``secret`` names what must not exist."""

    def __init__(self, answers: Answers, secret: str, out: list[Effect]) -> None:
        self._answers, self._out = answers, out
        self._secret, self._name = secret, f"{secret}-asks"  # of the statement and portal of the gateway's own questions
        self._session, self._whole = "", False
        self._again: tuple[bytes, bytes] | None = None
        self.seq = 0
        self._retags = False

    def _own(self, kind: str, data: bytes, *expected: Synced | Closed | Described | Failing | Looking) -> None:
        for one in expected:
            self._answers.expect(one)
        self._out.append(Own(kind, data))

    def _fail(self, said: bytes, *, whole: bool) -> None:
        """Have the request fail at the server, with this report instead of the server's. A ``whole`` one has its own end."""
        if self._answers.skipping:
            return  # an earlier error of the batch is what the client hears
        if whole:
            self._own("refusal", wire.execute(self._secret) + wire.SYNC, Failing(said), Synced())
        else:
            self._own("refusal", wire.execute(self._secret), Failing(said))
            self._answers.skipping = True

    def _read(self, text: str) -> Reading:
        reading = read(text)
        if any(statement.executes is not None for statement in reading.statements):
            return read(text, {name: prepared.reading for name, prepared in self._answers.prepared.items() if name})
        return reading

    def _relations(self, reading: Reading) -> set[Relation]:
        return {relation for statement in reading.statements for relation in self._answers.readable(statement).relations}

    def _look_up(self, reading: Reading, kind: bytes, body: bytes) -> bool:
        """Ask the catalog about names not known yet, now or once all is answered; then the request is handled again."""
        ahead = kind == b"P"  # of what may follow in the same batch, where less can be asked
        if not self._learn(reading, ahead=ahead):
            if self._answers.idle or not self._missing(reading, ahead=ahead):
                return False
            if self._answers.unsynced:  # else the server keeps its answers to itself
                self._out.append(Own("flush", wire.message(b"H")))
        self._again = (kind, body)
        return True

    def _missing(self, reading: Reading, *, ahead: bool = False) -> list[Relation]:
        placed = bool(self._answers.catalog.search_path)
        if placed and self._answers.meaning(reading).known:
            return []
        relations = self._relations(reading)
        needed = not relations and (depends(reading) or (ahead and _begins(reading)))
        if not placed and (needed or self._whole):
            relations.add(catalog.ANYWHERE)  # an approval is bound to where names are looked up, new ones too, and to settings
        missing = self._answers.catalog.missing(relations)
        if self._answers.catalog.unsettled and relations and not missing:
            missing = self._answers.catalog.missing([catalog.ANYWHERE])
        known = self._answers.catalog
        unsure = known.namesakes is None and (known.own_code or any(map(asks_for_own, reading.statements)))
        if unsure and not missing:  # whether somebody wrote a function of a name in it is told with any question
            missing = self._answers.catalog.missing([catalog.ANYWHERE])
        return missing if len(missing) <= catalog.QUESTION_RELATIONS else []

    def _learn(self, reading: Reading, *, ahead: bool = False) -> bool:
        missing = self._missing(reading, ahead=ahead)
        snapshots = any(statement.snapshots for statement in reading.statements[:1])
        inside = self._answers.askable_inside(snapshots=snapshots)
        known = self._answers.catalog
        settled = missing or self._answers.meaning(reading).known
        views = [] if settled else known.unread(self._relations(reading), self._all_sets())[: catalog_views.VIEWS]
        if not (missing or views):
            return False
        if not (inside or self._answers.askable_synced(snapshots=snapshots)):
            return self._asks_isolation(reading)
        free = self._answers.status == b"I" and not self._answers.within and not inside
        generation = known.generation if free else None
        if views:
            said, looking = catalog_views.question(views), Looking([], inside, generation=generation, views=views)
        elif free and known.asks_names(missing):
            said, looking = catalog.short_question(missing), Looking(missing, short=True)
        else:
            said = catalog.question(missing, own_code=known.own_code, plain=known.asks_plain(missing))
            looking = Looking(missing, inside, generation=generation)
        self._own("catalog", wire.question(said, self._name, inside=inside), looking)
        return True

    def _asks_isolation(self, reading: Reading) -> bool:
        """Whether what keeps a question back, a snapshot that none may take, may turn out not to: that is asked first."""
        if self._answers.batch.anew is not None or not self._relations(reading):
            return False
        inside = self._answers.askable_inside(snapshots=True)
        if not inside and not self._answers.askable_synced(snapshots=True):
            return False
        self._own("catalog", wire.question(ISOLATION, self._name, inside=inside), Looking([], inside, isolation=True))
        return True

    def _action(
        self,
        reading: Reading,
        step: str,
        text: str,
        parameters: tuple[bytes | None, ...] = (),
        resolved: Resolved = PLAIN,
        meant: tuple[str, ...] = (),
    ) -> tuple[Action, str]:
        """The next action of the session, and its text as the log may show it."""
        if self._answers.covering is None:
            raise AssertionError("an action before the session was opened")
        self.seq += 1
        meaning = self._answers.meaning(reading, step)
        deeds = self._completed(reading, step, resolved) if resolved.places else meaning.deeds
        action = Action(
            session=self._session,
            seq=self.seq,
            deeds=deeds,
            text=text,
            step=step,
            parameters=parameters,
            forms=meant,
            search_path=self._answers.catalog.search_path,
            settings=self._answers.catalog.settings,
        )
        return action, shown(text, parameters, meaning.touches, self._answers.covering.detectors)

    def _completed(self, reading: Reading, step: str, resolved: Resolved) -> tuple[Deed, ...]:
        """The deeds, by every mask set that may hold in this session. What parameters hold is not known while preparing."""
        if not resolved.places:
            return self._answers.meaning(reading, step).deeds
        return lineage.completed(reading, self._answers.catalog, self._sets(), resolved.places | not_bound_yet(reading, step))

    def _resolve(self, reading: Reading, given: tuple[bytes | None, ...]) -> Resolved:
        """What tokens in it stand for, as the catalog and the keys are now."""
        if self._answers.covering is None or not any(statement.places for statement in reading.statements):
            return PLAIN
        return resolve(reading, given, self._answers.catalog, self._sets(), self._answers.covering.tokens)

    def _all_sets(self) -> list[MaskSet]:
        return self._answers.sets(self._answers.covering.sets if self._answers.covering else ())

    def _sets(self) -> list[MaskSet]:
        return self._answers.sets(self._answers.covering.possible if self._answers.covering else ())

    def _still_meant(self, asked: Asked) -> bool:
        """Whether the names in it mean what they meant when it was decided."""
        reading, resolved = reading_of(asked), resolved_of(asked)
        if reading is None:
            return True
        known, action = self._answers.catalog, asked.action
        if (known.search_path, known.settings) != (action.search_path, action.settings):
            return False
        same = resolved == PLAIN or self._resolve(reading, asked.action.parameters) == resolved
        return same and self._completed(reading, asked.action.step, resolved) == asked.action.deeds

    def _fault(self, asked: Asked) -> str:
        """Why nobody need be asked about it, or can be: what they said yes to might not be what runs. Empty where neither."""
        if why := fault_of(asked):
            return why
        reading = reading_of(asked)
        if reading is None or not depends(reading):
            return ""
        if not self._answers.catalog.search_path:
            return UNSETTLED
        match asked:
            case AskedBind(action, prepared):
                return "" if prepared.settings == action.settings else PREPARED_ELSE
            case AskedExecute(action, portal):
                return "" if portal.action.settings == action.settings else PREPARED_ELSE
            case _:
                return ""

    def _tag_again(self) -> None:
        """Put the session's tag back where something took it away, once that can be said without touching the client's work.

        At most once for each request, whatever the server goes on to report.
        """
        lost = self._answers.untagged
        if lost is not None and self._retags and self._answers.askable:
            self._retags = False
            self._own("tag", wire.question(tagged.setting(self._session, lost), self._name), Looking([]))


def depends(reading: Reading) -> bool:
    """Whether what it does may depend on settings: all but settings themselves and the begin and end of transactions."""
    return any(deed.verb != "sql.session" for deed in reading.deeds)


def _begins(reading: Reading) -> bool:
    return any(statement.transaction for statement in reading.statements)
