from __future__ import annotations

from enum import Enum
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.books import action

from gatebook.errors import LedgerError
from gatebook.ledger.entries import KINDS, OWN, TEXT_BYTES, canonical, check, clip, plain, uuid7
from gatebook.ledger.verifier import _fields
from gatebook.ledger.wal import LONGEST
from gatebook.model import Entry, Reach

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(max_codepoint=127), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_the_bytes_of_an_entry_are_those_of_rfc_8785(fields):
    data = canonical(plain(fields, "entry"))
    assert data == rfc8785.dumps(fields)
    assert _fields(data) == fields


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        None,
        b"bytes",
        {1: "a"},
        {"é": 1},
        {1, 2},
        frozenset("a"),
        2**53,
        -(2**53),
        object(),
        [None],
        {"a": [0.5]},
    ],
)
def test_a_value_that_canonical_json_could_misread_is_refused(value):
    with pytest.raises(LedgerError):
        plain(value, "field")


def test_a_value_nested_too_deep_is_refused():
    value: object = "leaf"
    for _ in range(40):
        value = [value]
    with pytest.raises(LedgerError, match="too deep"):
        plain(value, "field")


def test_enums_tuples_and_read_only_mappings_are_written_as_what_they_stand_for():
    class Old(str, Enum):  # noqa: UP042  the older way to write a string enum
        NAME = "value"

    assert plain([Reach.ADMIN, (1, True), MappingProxyType({"a": "b"}), Old.NAME], "f") == [
        "admin",
        [1, True],
        {"a": "b"},
        "value",
    ]
    assert type(plain(Reach.ADMIN, "f")) is str


def test_a_lone_surrogate_is_refused_with_a_ledger_error():
    with pytest.raises(LedgerError, match="Unicode"):
        canonical(check(action("s", 1, reason="\ud800")))


def test_an_entry_longer_than_a_bundle_can_hold_is_refused():
    canonical({"a": "x" * (LONGEST - len('{"a":""}'))})
    with pytest.raises(LedgerError, match="65536 bytes"):
        canonical({"a": "x" * (LONGEST + 1 - len('{"a":""}'))})


@pytest.mark.parametrize("name", list(KINDS["action"]))
def test_an_action_without_one_of_its_fields_is_refused_by_name(name):
    fields = {key: value for key, value in action("s", 1).fields.items() if key != name}
    with pytest.raises(LedgerError, match=name):
        check(Entry(kind="action", fields=fields))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": "maybe"}, "step 'maybe'"),
        ({"reach": "far"}, "reach 'far'"),
        ({"ruling": "perhaps"}, "ruling 'perhaps'"),
        ({"size": True}, "size: expected int, not bool"),
        ({"sid": 5}, "sid: expected str, not int"),
        ({"text": "é" * 1025}, "longer than 2048"),
        ({"schlüssel": 1}, "ASCII"),
    ],
)
def test_an_action_with_a_wrong_value_is_refused_with_the_value(changes, said):
    with pytest.raises(LedgerError, match=said):
        check(action("s", 1, **changes))


@pytest.mark.parametrize("name", sorted(OWN))
def test_nobody_but_the_ledger_sets_its_own_fields(name):
    with pytest.raises(LedgerError, match="set by the ledger alone"):
        check(action("s", 1, **{name: 1}))


@pytest.mark.parametrize("kind", ["log.boot", "log.heartbeat", "log.seal", "log.close", "log.anything"])
def test_nobody_but_the_ledger_writes_about_the_ledger(kind):
    with pytest.raises(LedgerError, match="only the ledger"):
        check(Entry(kind=kind, fields={}))


def test_a_kind_that_is_not_on_the_list_is_refused():
    with pytest.raises(LedgerError, match="not a kind"):
        check(Entry(kind="gossip", fields={}))


def test_a_session_id_of_another_type_is_refused_even_where_it_is_not_demanded():
    with pytest.raises(LedgerError, match="sid"):
        check(Entry(kind="exception", fields={"what": "w", "why": "y", "sid": ["s"]}))


@given(st.text(max_size=3000))
def test_a_clipped_text_always_fits_an_action(text):
    clipped = clip(text)
    assert len(clipped.encode()) <= TEXT_BYTES
    assert clipped == text.encode(errors="replace").decode() or clipped.endswith("…")


@given(st.integers(0, 2**47 * 1000))
def test_an_id_is_a_uuid_of_version_7_with_its_time(time):
    found = UUID(uuid7(time))
    assert found.version == 7
    assert found.variant == "specified in RFC 4122"
    assert found.int >> 80 == time // 1000


def test_every_kind_stands_in_the_docs_with_its_fields():
    text = (Path(__file__).parents[2] / "docs/ledger.md").read_text()
    for kind, shape in KINDS.items():
        line = next((line for line in text.splitlines() if line.startswith(f"| `{kind}`")), "")
        assert all(f"`{name}`" in line for name in shape), f"docs/ledger.md: {kind}: {', '.join(shape)}"
