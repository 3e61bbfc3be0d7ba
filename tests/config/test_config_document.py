from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.config.document import read
from gatebook.errors import ConfigError


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        read(text.encode(), "gatebook.yaml")
    return raised.value.faults[0]


def bomb() -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "expected YAML (line 1, column 9)"),
        ("a: 1\n\tb: 2", "gatebook.yaml: found character '\\t' that cannot start any token: expected YAML (line 2"),
        ("a: !!python/object/apply:os.system ['true']", "gatebook.yaml: a: a tag (!…): expected a plain value (line 1)"),
        ("a: !secret x", "gatebook.yaml: a: a tag (!…): expected a plain value (line 1)"),
        ("a: !!binary aGk=", "gatebook.yaml: a: a tag (!…)"),
        ("a: !!int words", "expected plain values without tags"),
        ("a: &a [*a]", "aliases that grow, or nested too deeply"),
        ("a: &a {b: *a}", "aliases that grow, or nested too deeply"),
        ("a: &a {b: 1}\nc: {<<: *a}", "gatebook.yaml: c: <<: expected the keys themselves: merge keys are not read (line 2)"),
        ("? [a]\n: 1", "gatebook.yaml: a key that is not text: expected text (quote it) (line 1)"),
        ("1: 2", "gatebook.yaml: a key that is not text: expected text (quote it) (line 1)"),
        ("a: 1\n---\nb: 2", "gatebook.yaml: but found another document: expected YAML"),
        ("a: \x01", "a control character"),
        ("[" * 5000, "nested too deeply"),
        ("{a: " * 40 + "1" + "}" * 40, "nested too deeply"),
    ],
)  # fmt: skip
def test_text_that_is_not_plain_yaml_is_refused_in_one_sentence(text: str, said: str) -> None:
    assert said in fault(text)
    assert "\n" not in fault(text)


def test_a_key_written_twice_is_a_fault_with_both_lines() -> None:
    found = read(b"a:\n  b: 1\n  c: 2\n  b: 3\n", "gatebook.yaml")
    assert found.faults == ["gatebook.yaml: a.b: written twice, first in line 2: expected it once (line 4)"]


def test_aliases_that_grow_are_refused_before_they_cost_anything() -> None:
    before = process_time()
    assert "aliases that grow" in fault(bomb())
    assert process_time() - before < 2


def test_an_alias_that_does_not_grow_is_read() -> None:
    assert read(b"a: &t {cert: x}\nb: *t\n", "gatebook.yaml").value == {"a": {"cert": "x"}, "b": {"cert": "x"}}


@pytest.mark.parametrize("word", ["on", "no", "yes", "1:30", "2026-01-01", "1e3", "0x10", "010", "1_000", ".inf", "True"])
def test_words_that_old_yaml_takes_for_something_else_are_text(word: str) -> None:
    assert read(f"a: {word}".encode(), "gatebook.yaml").value == {"a": word}


def test_true_null_and_decimal_numbers_are_what_they_are() -> None:
    assert read(b"{a: true, b: null, c: -12, d: '12', e: }", "x").value == {
        "a": True,
        "b": None,
        "c": -12,
        "d": "12",
        "e": None,
    }


def test_bytes_that_are_not_utf8_are_refused_with_their_line() -> None:
    with pytest.raises(ConfigError, match=r"byte 6: expected UTF-8 \(line 2\)"):
        read(b"a: 1\nb\xff: 2", "gatebook.yaml")


def test_a_file_without_end_is_refused() -> None:
    assert "expected a configuration written by hand" in fault("#" * ((1 << 20) + 1))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:[]{}&*!-?<\"'\n \t,#%@|>0~", max_size=60))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        read(text.encode(), "gatebook.yaml")
    except ConfigError:
        return
