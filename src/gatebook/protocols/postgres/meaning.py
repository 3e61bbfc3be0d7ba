"""What a text means right now: its reading put together with what the catalog says, kept for as long as both are the same.

The same prepared statement runs again and again. Its deeds, the columns of its answer, and whether it touches masked ones
follow from the reading, from the catalog and from the session's covering. So they are found by the very statements that were
read (never by a text or tree that looks alike) under the catalog's version, which changes with everything that is learnt or
forgotten: a setting of the search_path, a change of a definition, five seconds. The deeds are the same object each time; who
decides may tell by that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatebook.masking.rules import MaskSet
from gatebook.model import Deed
from gatebook.protocols.postgres.catalog import Catalog
from gatebook.protocols.postgres.lineage import answer_columns, completed, touches_masked
from gatebook.protocols.postgres.own_code import asks_for_own
from gatebook.protocols.postgres.reading import Place, Reading, Statement, Tally

takes_names = re.compile("close|declare|discard", re.IGNORECASE).search  # of a portal, if SQL says so
KEPT = 512  # readings of a session; one that has more begins anew


@dataclass(frozen=True, slots=True)
class Meaning:
    """``touches``: whether errors may quote a covered value. ``columns``: what may stand in the answer, "*" for anything.

    ``known``: whether the catalog was asked about all that it names, and it reads nothing that it does not name. ``plain``: it
    is one SELECT, all of it known, that leaves the session what it is: no setting, no transaction, no name, no COPY; and no
    string in it could be replaced.
    """

    statements: tuple[Statement, ...]
    version: int
    deeds: tuple[Deed, ...]
    columns: frozenset[str]
    touches: bool
    known: bool
    plain: bool


class Meanings:
    """Owned by one session. ``possible`` are the mask sets that may hold in it, ``every`` all that there are."""

    def __init__(self, catalog: Catalog, possible: list[MaskSet], every: list[MaskSet]) -> None:
        self._catalog, self._possible, self._every = catalog, possible, every
        self._kept: dict[tuple[int, str], Meaning] = {}

    def of(self, reading: Reading, step: str) -> Meaning:
        """What it means by the catalog as it is known now, when it is run or (``step``) prepared.

        What parameters hold is not known while preparing.
        """
        statements = reading.statements
        key = id(statements), step
        kept = self._kept.get(key)
        if kept is not None and kept.statements is statements and kept.version == self._catalog.version:
            return kept
        known = all(self._known(one) for one in statements)
        deeds = completed(reading, self._catalog, self._possible, not_bound_yet(reading, step))
        alone = known and not reading.error and len(statements) == 1 and not takes_names(reading.text)
        made = Meaning(
            statements,
            self._catalog.version,
            deeds,
            answer_columns(reading, self._catalog),
            touches_masked(reading, self._catalog, self._every),
            known,
            alone and _plain(statements[0], deeds),
        )
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[key] = made
        return made

    def _known(self, statement: Statement) -> bool:
        names_all = statement.outputs is not None or statement.relations or statement.executes
        if self._catalog.namesakes is None and (self._catalog.own_code or asks_for_own(statement)):
            return False
        asked = bool(names_all) and not self._catalog.missing(statement.relations)
        return asked and not self._catalog.unread(statement.relations, self._every)


def _plain(one: Statement, deeds: tuple[Deed, ...]) -> bool:
    if one.outputs is None or one.copy or one.transaction or one.tally is not Tally.NONE:
        return False
    names = one.prepares is None and one.executes is None and one.forgets is None
    own = all(deed.verb == "sql.select" and not deed.facts["setting"] for deed in deeds)
    return names and own and all(place.slot.param for place in one.places)


def not_bound_yet(reading: Reading, step: str) -> frozenset[Place]:
    """The places of parameters while a text is only prepared: what they hold is not known yet."""
    if step != "prepare":
        return frozenset()
    return frozenset(place for statement in reading.statements for place in statement.places if place.slot.param)
