"""Tokens: equal for equal values, good for one key alone, and nothing that anybody else could make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.masking.rules import Style
from gatebook.masking.styles import cover_value
from gatebook.masking.tokens import VALUE_BYTES, is_token, seal, token_key, unseal

MASTER = b"m" * 32
KEY = token_key(MASTER, "https://idp", "agent", "shop", "purpose", "TICKET-7", "pii", "20000")


@given(st.binary(max_size=VALUE_BYTES))
def test_a_token_stands_for_its_value_and_for_no_other(value: bytes) -> None:
    token = seal(value, KEY)
    assert token is not None
    assert is_token(token)
    assert unseal(token, KEY) == value
    assert seal(value, KEY) == token


@pytest.mark.parametrize("place", range(7))
def test_a_token_of_another_identity_run_target_set_or_day_is_none_here(place: int) -> None:
    parts = ["https://idp", "agent", "shop", "purpose", "TICKET-7", "pii", "20000"]
    parts[place] += "x"
    assert unseal(seal(b"987-65-4320", KEY) or b"", token_key(MASTER, *parts)) is None


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    assert token_key(MASTER, "ab", "c") != token_key(MASTER, "a", "bc")


def test_a_changed_token_stands_for_nothing() -> None:
    token = seal(b"987-65-4320", KEY) or b""
    for at in range(4, len(token)):
        changed = token[:at] + (b"A" if token[at : at + 1] != b"A" else b"B") + token[at + 1 :]
        assert unseal(changed, KEY) is None


@pytest.mark.parametrize(
    "text", [b"", b"gbk_", b"gbk_short", b"gbt_" + b"A" * 44, b"gbk_" + b"A" * 43 + b"=", b"gbk_" + b"!" * 44]
)
def test_what_only_looks_like_a_token_is_none(text: bytes) -> None:
    assert unseal(text, KEY) is None


def test_a_token_tells_the_length_of_its_value_in_steps_only() -> None:
    lengths = {len(seal(b"x" * size, KEY) or b"") for size in range(15)}
    assert len(lengths) == 1


def test_what_has_no_token_is_redacted() -> None:
    assert cover_value(b"x" * (VALUE_BYTES + 1), Style.TOKEN, KEY) == b"****"
    assert cover_value(b"x", Style.TOKEN, b"") == b"****"
    assert cover_value(b"x", Style.TOKEN, KEY) == seal(b"x", KEY)
