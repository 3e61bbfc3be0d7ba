"""What a forward asks for, as rules, books and clients see it."""

from __future__ import annotations

import pytest

from gatebook.model import Reach, RefusalClass, Ruling, Verdict
from gatebook.protocols.relay import Refused
from gatebook.protocols.ssh.forwarding import FAILURE_CHARACTERS, PLACE_CHARACTERS, Wish, asked, failure, refused
from gatebook.protocols.ssh.verbs import FACTS


@pytest.mark.parametrize(
    ("wish", "shown"),
    [
        (Wish("db.internal", 5432), "forward to db.internal port 5432"),
        (Wish("/run/docker.sock", -1), "forward to socket /run/docker.sock"),
        (Wish("", 0, listens=True), "forward from  port 0"),
        (Wish("/tmp/s", -1, listens=True), "forward from socket /tmp/s"),
        (Wish("a\n\x1b[2J", 1), "forward to a\\n\\x1b[2J port 1"),
    ],
)
def test_it_is_shown_on_one_line(wish: Wish, shown: str) -> None:
    assert wish.shown == shown


def test_rules_see_where_it_leads_and_which_way() -> None:
    ask = asked(Wish("db.internal", 5432), "deploy", "s1", 7)
    (deed,) = ask.action.deeds
    assert (deed.verb, deed.reach, ask.action.seq, ask.action.session) == ("ssh.forward", Reach.UNKNOWN, 7, "s1")
    assert set(deed.facts) == set(FACTS)
    assert [deed.facts[name] for name in ("user", "host", "port", "listens")] == ["deploy", "db.internal", 5432, False]
    assert ask.action.text == ask.shown == "forward to db.internal port 5432"
    assert ask.seen == "as deploy:\nforward to db.internal port 5432"


def test_two_wishes_are_two_texts_so_that_a_yes_to_one_is_none_to_the_other() -> None:
    wishes = [
        Wish("a", 1),
        Wish("a", 11),
        Wish("a", 1, listens=True),
        Wish("a", -1),
        Wish("a port 1", -1),
        Wish("a", 0, listens=True),
    ]
    assert len({asked(one, "u", "s", 1).action.text for one in wishes}) == len(wishes)


@pytest.mark.parametrize(
    ("wish", "fault"),
    [
        (Wish("a", 65_535), ""),
        (Wish("", 0, listens=True), ""),
        (Wish("a", 65_536), "no such port"),
        (Wish("a", 0), "a forward that leads nowhere"),
        (Wish("", 22), "a forward that leads nowhere"),
        (Wish("", -1), "a forward that leads nowhere"),
        (Wish("a\0b", 22), f"a forward names a place of at most {PLACE_CHARACTERS} printable characters"),
        (Wish("a" * (PLACE_CHARACTERS + 1), 22), f"a forward names a place of at most {PLACE_CHARACTERS} printable characters"),
    ],
)
def test_what_names_no_place_is_at_fault(wish: Wish, fault: str) -> None:
    assert wish.fault == fault


def test_a_refusal_is_one_line_with_what_to_do_instead() -> None:
    verdict = Verdict(ruling=Ruling.BLOCK, rule="no-db", reason="not\nhere", policy_digest="", instead="Ask for shop.")
    action = asked(Wish("db", 1), "u", "s", 1).action
    text = refused(action, Refused(action, verdict, RefusalClass.FIX, "d-1"))
    assert text.startswith("gatebook: blocked by no-db: not\\nhere (")
    assert text.endswith("Ask for shop. (decision d-1)")


def test_what_a_host_says_commands_no_terminal_and_has_an_end() -> None:
    assert failure("\x1b[2J\r\n") == "gatebook: \\x1b[2J\\r\\n"
    assert len(failure("x" * 10_000)) == FAILURE_CHARACTERS
