"""A preview as a playbook: what it says to the target, in which order, and what it makes of the answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.postgres.stage import COVERING, SESSION, cells, complete, error, messages, ready, row

from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import ColumnPattern, MaskSet, Style
from gatebook.model import Action, Deed, Permit, Reach, Receipt, Resource, Ruling, Verdict
from gatebook.policy.permit import permit
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.catalog import Known
from gatebook.protocols.postgres.drafts import Apart, Draft, take_apart
from gatebook.protocols.postgres.reading import FACTS, Relation
from gatebook.protocols.postgres.relay_preview import OWN, SHOWN_CHARACTERS, Preview, Tried, login
from gatebook.protocols.postgres.scram import Stretched
from gatebook.protocols.relay import Covering, Credential, Effect, Own, ToServer

THINGS = Relation(None, "things")
KNOWN = Known(100, "public", ("things",), {1: "id", 2: "ssn", 3: "body"})
SETTINGS = {"current_user": "shop_app", "row_security": "on", "session_replication_role": "origin", "TimeZone": "UTC"}


def allowed() -> Permit:
    deed = Deed(verb="sql.preview", reach=Reach.WRITE, resource=Resource(kind="table", name="things"), facts=FACTS)
    verdict = Verdict(ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="d", until=10**18)
    return permit(Action(session=SESSION.id, seq=1, deeds=(deed,), text=""), verdict, Receipt(log="l", index=1))


def draft(text: str = "UPDATE things SET body = 'x' WHERE id = 1") -> Draft:
    apart = take_apart(text)
    assert isinstance(apart, Apart)
    return Draft(apart, {THINGS: 100}, "public", SETTINGS)


class Play:
    """One preview, with the target played by hand."""

    def __init__(self, text: str = "UPDATE things SET body = 'x' WHERE id = 1", covering: Covering = COVERING) -> None:
        credential = Credential("shop_app", "", "shop", login="none")
        self.preview = Preview(allowed(), draft(text), KNOWN, login(credential, SESSION.id, "nonce", Stretched()), covering)
        self.effects: list[Effect] = self.preview.start()
        settings = wire.message(b"S", b"client_encoding\0UTF8\0") + wire.message(b"S", b"standard_conforming_strings\0on\0")
        self.says(wire.AUTHENTICATED + settings + wire.message(b"K", b"12345678") + ready())

    def says(self, data: bytes) -> list[Effect]:
        new = self.preview.feed(data)
        self.effects += new
        return new

    def begun(self) -> Play:
        self.says(complete("BEGIN") + complete("LOCK TABLE") + ready(b"T"))
        return self

    def looked(self, *rows: bytes, version: bytes = b"180001") -> Play:
        self.says(
            described("kind", "what", "name") + row(b"v", b"", version) + b"".join(rows) + complete("SELECT") + ready(b"T")
        )
        return self

    def meant(self, *names: bytes) -> Play:
        self.says(described("set_config") + row(b"public") + complete("SELECT 1") + ready(b"T"))
        found = names or (b"shop_app", b"on", b"origin", b"100")
        self.says(described(*("x" for _ in found)) + row(*found) + complete("SELECT 1") + ready(b"T"))
        return self

    def tried(self) -> Tried:
        assert self.preview.tried is not None, "it goes on"
        return self.preview.tried

    def own(self) -> list[str]:
        return [effect.kind for effect in self.effects if isinstance(effect, Own)]

    def sent(self) -> list[ToServer]:
        return [effect for effect in self.effects if isinstance(effect, ToServer)]


def described(*names: str) -> bytes:
    body = len(names).to_bytes(2)
    for name in names:
        body += name.encode() + b"\0" + bytes(6) + (25).to_bytes(4) + b"\xff\xff" * 3 + bytes(2)
    return wire.message(b"T", body)


def answered(*rows: bytes) -> bytes:
    names = ("count", "hashes", "was", "becomes", "b1", "b2", "b3", "a1", "a2", "a3")
    done = wire.message(b"1") + wire.message(b"2") + described(*names) + b"".join(rows)
    return done + complete(f"SELECT {len(rows)}") + ready(b"T")


ONE = row(b"1", b"0" * 64, b"t", b"t", b"1", b"987-65-4321", b"a", b"1", b"987-65-4321", b"x")


def test_a_preview_sends_the_write_only_after_the_catalog_was_asked() -> None:
    play = Play()
    assert play.own() == ["login", "begin"]
    play.begun().looked()
    assert play.sent() == []
    play.meant()
    assert play.own() == ["login", "begin", "question", "meaning", "question"]
    (write,) = play.sent()
    assert write.permit.action.verb == "sql.preview"
    assert [kind for kind, _ in messages(write.data)] == [b"P", b"B", b"D", b"E", b"S"]
    play.says(answered(ONE))
    play.says(complete("SET CONSTRAINTS") + ready(b"T"))
    assert play.own()[-2:] == ["question", "undo"]
    assert messages(play.effects[-1].data)[0][1] == b"ROLLBACK\0"  # type: ignore[union-attr]
    assert set(play.own()) <= OWN
    tried = play.tried()
    assert (tried.why, tried.bond and tried.bond.rows) == ("", 1)
    assert play.says(answered(ONE)) == []


def test_it_begins_with_short_timeouts_and_the_targets_own_names() -> None:
    begin = next(effect for effect in Play().effects if isinstance(effect, Own) and effect.kind == "begin")
    text = begin.data.decode()
    assert "lock_timeout = 1000" in text
    assert "statement_timeout = 3000" in text
    assert text.endswith('LOCK TABLE "public"."things" IN ROW EXCLUSIVE MODE\0')


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (row(b"no", b"the trigger audit", b"of things may do anything"), "the trigger audit of things may do anything"),
        (row(b"f", b"the check c", b"pg_notify"), "calls pg_notify()"),
        (row(b"f", b"the default of column id", b"nextval"), "sequence"),
        (row(b"n", b"the default of column id", b"NEXTVALUEEXPR"), "sequence"),
        (row(b"n", b"the check c", b"SUBLINK"), "(SUBLINK) that is not known"),
    ],
)
def test_what_is_not_known_to_be_harmless_is_not_tried_and_says_why(found: bytes, why: str) -> None:
    play = Play().begun().looked(found)
    assert why in play.tried().why
    assert play.sent() == []
    assert play.own()[-1] == "undo"


def test_reasons_past_the_third_are_counted() -> None:
    rows = [row(b"no", b"trigger", str(number).encode()) for number in range(9)]
    assert Play().begun().looked(*rows).tried().why.endswith("and 6 more")


@pytest.mark.parametrize(
    "names",
    [
        (b"other", b"on", b"origin", b"100"),  # SET ROLE in the session
        (b"shop_app", b"off", b"origin", b"100"),
        (b"shop_app", b"on", b"replica", b"100"),
        (b"shop_app", b"on", b"origin", b"777"),  # a temporary table there, another here
        (b"shop_app", b"on", b"origin", None),
        (b"shop_app", b"on", b"origin"),
    ],
)
def test_where_names_mean_something_else_nothing_is_tried(names: tuple[bytes, ...]) -> None:
    play = Play().begun().looked().meant(*names)
    assert play.tried().why.startswith(("its session acts as another role", "a name in it means something"))
    assert play.sent() == []


@pytest.mark.parametrize(
    ("code", "why"),
    [("55P03", "locked by somebody else"), ("57014", "longer than 3 s"), ("23505", "unique key"), ("XX000", "SQLSTATE XX000")],
)
def test_an_error_of_the_target_is_the_reason_and_quotes_nothing(code: str, why: str) -> None:
    play = Play().begun().looked().meant()
    play.says(error(code, "Key (ssn)=(987-65-4321) exists"))
    assert why in play.tried().why
    assert "987" not in play.tried().why
    assert play.own()[-1] == "undo"


def test_deferred_constraints_are_checked_before_it_is_shown() -> None:
    play = Play().begun().looked().meant()
    play.says(answered(ONE))
    assert play.preview.tried is None
    play.says(error("23503", "violates foreign key"))
    assert play.tried().why == "the target refused its deferred constraints: a foreign key would be violated"
    assert play.tried().sample == ()


def test_values_are_covered_by_every_set_that_may_hold() -> None:
    """Also by one that would cover nothing of this requester's answers; a token would be the requester's own."""
    tokens = MaskSet("tokens", (ColumnPattern.parse("*.body"),), Style.TOKEN)
    covering = Covering({**COVERING.sets, "tokens": tokens}, COVERING.possible | {"tokens"}, NAMES, b"k" * 32)
    play = Play(covering=covering).begun().looked().meant()
    play.says(answered(ONE) + complete("SET") + ready(b"T"))
    (shown,) = play.tried().sample
    assert shown.before == ("1", "****", "****")
    assert shown.after == ("1", "****", "****")
    assert shown.changed == (2,)
    assert play.tried().masked == {"redact": 4}


def test_a_long_value_is_cut_after_it_was_covered_and_null_is_told_from_covered() -> None:
    card = b"4242 4242 4242 4242"
    long = b"x" * (SHOWN_CHARACTERS - 5) + b" " + card
    changed = row(b"1", b"0" * 64, b"t", b"t", b"1", None, long, b"1", b"s", None)
    play = Play().begun().looked().meant()
    play.says(answered(changed) + complete("SET") + ready(b"T"))
    (shown,) = play.tried().sample
    assert shown.before is not None and shown.after is not None  # noqa: PT018
    assert (shown.before[1], shown.after[1], shown.after[2]) == (None, "****", None)
    assert "4242 4242" not in (shown.before[2] or "")


def test_a_write_of_no_rows_is_held_to_no_rows() -> None:
    play = Play().begun().looked().meant()
    play.says(answered(row(b"0", b"0" * 64, *[None] * 8)) + complete("SET") + ready(b"T"))
    tried = play.tried()
    assert tried.bond is not None
    assert (tried.bond.rows, tried.sample) == (0, ())
    assert tried.bond.digest


def test_a_merge_on_an_old_server_is_counted_alone() -> None:
    play = Play("MERGE INTO things USING things t ON things.id = t.id WHEN MATCHED THEN DELETE").begun()
    play.looked(version=b"150000").meant(b"shop_app", b"on", b"origin", b"100")
    play.says(wire.message(b"1") + wire.message(b"2") + wire.message(b"n") + complete("MERGE 4") + ready(b"T"))
    play.says(complete("SET") + ready(b"T"))
    bond = play.tried().bond
    assert bond is not None
    assert (bond.rows, bond.digest) == (4, "")


def test_a_target_that_goes_away_or_talks_nonsense_ends_it_with_a_reason() -> None:
    play = Play().begun()
    assert play.preview.end("the target closed the connection")
    assert play.tried().why == "the target closed the connection"
    play = Play().begun()
    play.says(described("kind", "what", "name") + row(b"k") + complete("SELECT") + ready(b"T"))
    assert play.tried().why
    play = Play().begun().looked().meant()
    play.says(answered(row(b"many", b"x")))
    assert play.tried().why
    play = Play().begun().looked().meant()
    play.says(described("count", "hashes", "was") + row(b"1", b"0" * 64, b"t") + complete("SELECT 1") + ready(b"T"))
    assert play.tried().why


@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_answer_whatever_makes_it_send_the_write_twice_or_fail(data: bytes, step: int) -> None:
    play = Play()
    for go in (Play.begun, Play.looked, Play.meant)[:step]:
        if play.preview.tried is None:
            go(play)
    play.says(data)
    play.says(wire.message(b"D", cells(b"x")) + wire.message(b"C", b"SELECT 1\0") + ready(b"T"))
    assert len(play.sent()) <= 1
    play.preview.end("over")
    assert play.preview.tried is not None
