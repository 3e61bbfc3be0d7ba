"""Whose a token is: one identity's, on one target, in one run, and for two days at most."""

from dataclasses import replace

import pytest

from gatebook.config import Masking
from gatebook.gateway.tokens import DAY, token_keys
from gatebook.masking.rules import ColumnPattern, MaskSet, Style
from gatebook.model import Identity, Kind, Session, Target

MASTER = b"m" * 32
SETS = {
    name: MaskSet(name, (ColumnPattern.parse("a.b"),), style) for name, style in (("pii", Style.TOKEN), ("plain", Style.HASH))
}
SESSION = Session(
    id="s1",
    identity=Identity(subject="agent", issuer="https://idp", kind=Kind.AGENT, proven_at=1, expires_at=2),
    target=Target(name="shop", protocol="postgres", address="127.0.0.1:1"),
    client_address="127.0.0.1",
    opened_at=20_000 * DAY + 5,
    purpose="TICKET-7",
)


def keys(session: Session = SESSION, tokens: str = "purpose") -> tuple[bytes, ...]:
    masking = Masking.model_construct(sets=SETS, detectors=frozenset(), tokens=tokens)
    found = token_keys(session, masking.tokens, masking.sets, MASTER)
    assert found.keys() == {"pii"}
    return found["pii"]


@pytest.mark.parametrize(
    ("tokens", "same", "others"),
    [
        ("purpose", [{"id": "s2"}], [{"purpose": "TICKET-8"}]),
        ("session", [{"purpose": "TICKET-8"}], [{"id": "s2"}]),
        ("identity", [{"id": "s2"}, {"purpose": "TICKET-8"}], []),
    ],
)
def test_a_run_is_what_the_configuration_says(tokens: str, same: list[dict[str, str]], others: list[dict[str, str]]) -> None:
    assert all(keys(replace(SESSION, **one), tokens) == keys(tokens=tokens) for one in same)
    assert all(not set(keys(replace(SESSION, **one), tokens)) & set(keys(tokens=tokens)) for one in others)


@pytest.mark.parametrize("tokens", ["purpose", "session", "identity"])
def test_nobody_elses_tokens_are_ones_own(tokens: str) -> None:
    other = replace(SESSION, identity=replace(SESSION.identity, subject="agent2"))
    issuer = replace(SESSION, identity=replace(SESSION.identity, issuer="https://idp2"))
    target = replace(SESSION, target=replace(SESSION.target, name="vault"))
    assert not any(set(keys(one, tokens)) & set(keys(tokens=tokens)) for one in (other, issuer, target))


def test_yesterdays_tokens_are_resolved_and_older_ones_are_not() -> None:
    later = [replace(SESSION, opened_at=SESSION.opened_at + days * DAY) for days in range(3)]
    today, tomorrow, after = map(keys, later)
    assert tomorrow[1] == today[0]
    assert today[0] not in after
