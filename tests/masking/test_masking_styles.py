import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.masking.rules import Style
from gatebook.masking.styles import cover_value

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("4111111111111111", "************1111"),
        ("4111 1111 1111 1112", "************1112"),
        ("123-45-6789", "***-**-6789"),
        ("123456789", "***-**-6789"),
        ("alice@example.com", "a***@example.com"),
        ("o'brien@example.com", "o***@example.com"),
        ("@example.com", "***@example.com"),
        ("Alice Smith", "A****"),
        ("Bob", "****"),
        ("F", "****"),
        ("true", "t****"),
        ("", "****"),
        ("  ", "****"),
        ("Édouard", "É****"),
        ("{secret}", "****"),
        ('"quoted"', "****"),
        ("+1 415 555 2671", "****"),
        ("padded@example.com     ", "p***@example.com"),
    ],
)
def test_partial_keeps_what_the_look_of_a_value_allows(value, shown):
    assert cover_value(value.encode(), Style.PARTIAL, KEY) == shown.encode()


def test_redact_is_always_the_same():
    assert {cover_value(value, Style.REDACT, KEY) for value in (b"", b"a", b"4111111111111111", b"\xff" * 99)} == {b"****"}


def test_a_hash_joins_under_one_key_and_under_no_other():
    one, same, other = (cover_value(value, Style.HASH, KEY) for value in (b"alice", b"alice", b"bob"))
    assert one == same != other
    assert one != cover_value(b"alice", Style.HASH, b"another key")
    assert len(one) == 18
    assert one.startswith(b"h:")


def test_a_hash_without_a_key_is_our_own_fault():
    with pytest.raises(AssertionError):
        cover_value(b"alice", Style.HASH, b"")


@given(st.text(min_size=4, max_size=30), st.text(min_size=4, max_size=30))
def test_partial_does_not_tell_how_long_a_value_is(first, second):
    lengths = [len(cover_value(value.encode(), Style.PARTIAL, KEY).decode()) for value in (first, second) if "@" not in value]
    assert all(length in (4, 5, 11, 16) for length in lengths)


@given(st.binary(max_size=60))
def test_any_bytes_become_text_that_needs_no_quoting(value):
    for style in Style:
        shown = cover_value(value, style, KEY)
        assert shown.decode()
        assert not set(shown) & set(b"\"'\\,{}[]()\t\r\n\0 ")
