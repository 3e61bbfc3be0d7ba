"""What the book writes where it stands is not checked again by the ledger: so it is checked here, for whatever may come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from tests.protocols.postgres.stage import SESSION

from gatebook.db import migrate
from gatebook.gateway.book import Book, Said, new_id
from gatebook.gateway.rows import Rows
from gatebook.ledger.commitments import Commitments
from gatebook.ledger.entries import KINDS, LONGEST, canonical, check
from gatebook.model import Action, Ceiling, Deed, Entry, Reach, Resource, Ruling, Verdict
from gatebook.protocols.postgres.reading import VERBS
from gatebook.protocols.relay import Answered

NOW = 1_700_000_000_000_000


class Strict:
    """A log that looks at what it is given as the ledger does at what it checks, and keeps it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append_at_once(self, entry: Entry) -> None:
        checked = check(entry)
        assert entry.kind in KINDS
        assert canonical(entry.fields) == canonical(checked), "unchecked it would be other bytes"
        assert len(canonical(checked)) < LONGEST // 2
        self.entries.append(entry)


def book() -> tuple[Book, Strict]:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    migrate(engine)
    log = Strict()
    return Book(log, Commitments(engine), Rows(engine), all_durable=False), log  # type: ignore[arg-type]


BOOK, LOG = book()
TEXT = st.text(max_size=3000) | st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=40)  # lone surrogates too
NAMES = st.text(max_size=64)
COUNTS = st.integers(0, 2**53 - 1)
DEEDS = st.builds(
    lambda verb, name: Deed(verb=verb, reach=VERBS[verb], resource=Resource(kind="table", name=name), facts={}),
    st.sampled_from(sorted(VERBS)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=64),
)
ACTIONS = st.builds(
    lambda seq, deeds, text, step, parameters: Action(
        session=SESSION.id, seq=seq, deeds=tuple(deeds), text=text, step=step, parameters=tuple(parameters)
    ),
    st.integers(1, 2**40),
    st.lists(DEEDS, min_size=1, max_size=120),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3000),
    st.sampled_from(["run", "prepare"]),
    st.lists(st.none() | st.binary(max_size=40), max_size=5),
)
VERDICTS = st.builds(
    lambda reason, masks, ceiling: Verdict(
        ruling=Ruling.ALLOW,
        rule="reads-are-free",
        reason=reason,
        policy_digest="d" * 64,
        masks=frozenset(masks),
        ceiling=ceiling,
    ),
    TEXT,
    st.lists(st.sampled_from(["pii", "cards"]), max_size=2),
    st.none() | st.builds(Ceiling, rows=COUNTS, rule=st.just("few-rows")),
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS, VERDICTS, TEXT, st.lists(st.sampled_from(["one", "two"]), max_size=2))
def test_every_action_written_where_it_stands_passes_the_check(action, verdict, shown, shadow):
    said = BOOK.said(SESSION, action, verdict, tuple(shadow))
    assert isinstance(said, Said)
    BOOK.decided_at_once(SESSION, action, verdict, shown, new_id(NOW), NOW, said)
    written = LOG.entries[-1]
    assert (written.kind, written.fields["action"]) == ("action", action.seq)
    assert written.fields["size"] == len(action.text.encode()) + sum(len(value or b"") for value in action.parameters)


@settings(max_examples=150, deadline=None)
@given(ACTIONS, TEXT, COUNTS, COUNTS, st.dictionaries(st.sampled_from(["card", "email", "unread"]), COUNTS), COUNTS)
def test_every_answer_written_where_it_stands_passes_the_check(action, status, rows, size, masked, milliseconds):
    BOOK.answered_at_once(SESSION, Answered(action, status, rows, size, masked), milliseconds)
    assert LOG.entries[-1].fields["rows"] == rows


def test_texts_with_the_same_reading_have_digests_of_their_own():
    deed = Deed(verb="sql.select", reach=Reach.READ, resource=Resource(kind="table", name="orders"), facts={})
    verdict = Verdict(ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="d")
    said = None
    for seq, text in enumerate(("SELECT 1 FROM orders WHERE id = 1", "SELECT 1 FROM orders WHERE id = 2"), start=1):
        action = Action(session=SESSION.id, seq=seq, deeds=(deed,), text=text)
        said = said or BOOK.said(SESSION, action, verdict, ())
        BOOK.decided_at_once(SESSION, action, verdict, text, new_id(NOW), NOW, said)
    one, other = LOG.entries[-2:]
    assert one.fields["text"] != other.fields["text"]
    assert one.fields["stmt_h"] != other.fields["stmt_h"]
    assert len(str(one.fields["stmt_h"])) == 43
