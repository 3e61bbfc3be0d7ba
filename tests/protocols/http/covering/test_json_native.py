"""The compiled walk and the Python walk give the same bytes, the same counts and the same faults."""

import json
from base64 import b64encode
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.masking.test_detectors import each_vector
from tests.protocols.http.covering.stage import CREDENTIAL, DETECTORS, RULES, both, mask_set, plan
from tests.protocols.http.covering.test_json_cover import VALUES

from gatebook.errors import WireError
from gatebook.masking import compiled
from gatebook.masking.detectors import NAMES, scan
from gatebook.masking.rules import FieldPattern, MaskSet, Style
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.native import passes, python_walk

pytestmark = pytest.mark.skipif(compiled.crate is None, reason="the compiled twin is not installed")

PYTHON = partial(JsonCover, make=python_walk)
STARS = plan(mask_set(Style.HASH, "a.*.b", "$.**.é", "items.*"), mask_set(Style.TOKEN, "$.top", "x"), x=["a"], y=["ssn"])
OBJECTS = tuple(
    FieldPattern.of_objects(one) for one in ("data.*host*", "env[DB_*]", "*pass*", "top.b*", "items.name", "x.**.s*n")
)
WILD = plan(MaskSet("objects", (), Style.REDACT, OBJECTS))
WILD_ALONE = plan(MaskSet("objects", (), Style.HASH, OBJECTS[1:3]), detectors=())
PLANS = [
    WILD,
    WILD_ALONE,
    RULES,
    DETECTORS,
    STARS,
    plan(detectors=()),
    plan(mask_set(Style.REDACT, "ssn"), detectors=()),
    plan(needles=[CREDENTIAL]),
]
VECTORS = sorted(
    {line.partition(" -> ")[0] for expect in ("cover", "keep") for _, line in (one.values for one in each_vector(expect))}
)
KEYS = [
    "data",
    "env",
    "Value",
    "db_HOST",
    "val\u0075e",
    "a",
    "b",
    "ssn",
    "SSN",
    "s\u0073n",
    "password",
    "api_key",
    "é",
    "É",
    "items",
    "x",
    "y",
    "top",
    "name",
    "value",
    "bob@example.com",
    'q"\\/',
    "",
]
TEXTS = st.sampled_from(
    [
        *VECTORS,
        CREDENTIAL.decode(),
        "DB_PASSWORD",
        "DB_HOST",
        "db\u005fx",
        "api\\key",
        '{"ssn":"x"}',
        '[["a",{"b":1}]]',
        "x",
        "\ud800",
        "\x7f\u2028 😀",
        "a\nb\tc",
    ]
)


def told(make, chosen, data, cuts=()):
    try:
        return both(make, chosen, data, cuts)
    except WireError:
        return "WireError"


def values(leaf: st.SearchStrategy) -> st.SearchStrategy:
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
        max_leaves=15,
    )


def escaped(text: str, every: bool) -> str:
    """A document with some of its characters written as escapes."""
    return "".join(f"\\u{ord(char):04x}" if char.isalnum() and ord(char) < 0x80 and every else char for char in text)


@settings(max_examples=300, deadline=None)
@given(
    values(
        TEXTS
        | st.text(max_size=10)
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.booleans()
        | st.none()
    ),
    st.sampled_from(PLANS),
    st.booleans(),
    st.sampled_from([None, 2]),
    st.lists(st.integers(0, 600), max_size=8),
)
@example({"passwords": ["hunter22", "x" * 40]}, RULES, True, None, [15])
@example([4111111111111111, "bob@example.com"], DETECTORS, True, None, [])
def test_both_cover_the_same(value, chosen, ascii_only, indent, cuts):
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    whole = told(PYTHON, chosen, data)
    assert told(JsonCover, chosen, data) == whole
    assert told(JsonCover, chosen, data, cuts) == whole
    assert told(PYTHON, chosen, data, cuts) == whole


@pytest.mark.parametrize(
    "chosen", PLANS, ids=["wild", "wild alone", "rules", "detectors", "stars", "nothing", "fields", "needles"]
)
def test_both_cover_every_vector_the_same_bare_and_escaped(chosen):
    for text in VECTORS:
        for written in (json.dumps(text), '"' + escaped(text, every=True).replace('"', '\\"').replace("\n", "\\n") + '"'):
            for document in (written, f'{{"password":{written},"n":[{written}]}}', f'{{"ke\\u0079":[{written}, 1 ]}}'):
                data = document.encode("utf-8", "surrogatepass")
                assert told(JsonCover, chosen, data) == told(PYTHON, chosen, data), document


@settings(max_examples=400, deadline=None)
@given(VALUES, st.integers(0, 500), st.binary(max_size=4), st.lists(st.integers(0, 300), max_size=5))
@example([1], 1, b"01", [])
@example([1], 1, b"1.e5", [])
@example([1], 1, b"-", [])
@example([1], 1, b"1E+", [2])
@example(["x"], 2, b"\\ud8", [3])
def test_both_refuse_the_same(value, at, damage, cuts):
    data = json.dumps(value).encode()
    data = data[:at] + damage + data[at + 1 :]
    assert (told(JsonCover, RULES, data, cuts) == "WireError") == (told(PYTHON, RULES, data, cuts) == "WireError")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='{}[],:"\\u0041 \n-+.eE1tfn/x', max_size=30), st.lists(st.integers(0, 30), max_size=5))
def test_both_read_the_same_grammar(text, cuts):
    assert told(JsonCover, RULES, text.encode(), cuts) == told(PYTHON, RULES, text.encode(), cuts)


PLAIN = st.sampled_from(
    [
        {"id": 7, "name": "Ada", "note": "nothing to see here", "tags": ["a", ["b", []], {}], "on": True},
        {"name": "said", "items": [{"value": "x"}, {"value": None}], "none": None, "e": 1.5e-3},
        {"text": 'a "quoted"\nline', "path": "c:\\\\x", "deep": [[[[["z"]]]]]},
    ]
)
FOUND = st.sampled_from(
    [
        {"mail": "bob@example.com"},
        {"password": "hunter2-hunter2", "after": "x"},
        {"passwords": ["hunter22", ["x" * 40, {"a": "hunter22"}], "y" * 300, "hunter23"]},
        {"name": "DB_PASSWORD", "other": "n" * 280, "value": "hunter22"},
        {"name": "LOG_LEVEL", "pad": "n" * 280, "value": "bob@example.com"},
        {"card": 4111111111111111, "phone": "+49 30 1234567"},
        {"pad": " " * 250, "ssn": "078-05-1120"},
        {"doc": '{"mail":"bob@example.com"}'},
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(PLAIN | PLAIN | FOUND, min_size=3, max_size=40),
    st.sampled_from([DETECTORS, plan(detectors=()), plan(needles=[CREDENTIAL])]),
    st.sampled_from([None, 1, 80]),
    st.integers(0, 300),
    st.lists(st.integers(0, 9_000), max_size=4),
)
def test_both_cover_the_same_where_little_of_much_is_found(parts, chosen, indent, front, cuts):
    data = b" " * front + json.dumps({"all": parts, "names": parts[:1]}, indent=indent).encode()
    whole = told(PYTHON, chosen, data)
    assert told(JsonCover, chosen, data) == whole
    assert told(JsonCover, chosen, data, cuts) == told(PYTHON, chosen, data, cuts)


@pytest.mark.parametrize("front", range(200, 300, 3))
def test_a_finding_is_covered_wherever_it_stands_in_what_has_none(front):
    for text in VECTORS:
        data = json.dumps([{"a": "x" * front, "b": text, "c": ["y" * front]}] * 2).encode("utf-8", "replace")
        assert told(JsonCover, DETECTORS, data) == told(PYTHON, DETECTORS, data), text


@settings(max_examples=400, deadline=None)
@given(
    st.lists(PLAIN, min_size=4, max_size=12),
    st.integers(0, 2_000),
    st.binary(max_size=3),
    st.lists(st.integers(0, 2_000), max_size=3),
)
def test_both_refuse_the_same_of_what_nobody_has_to_look_at(parts, at, damage, cuts):
    data = json.dumps(parts).encode()
    data = data[: at % len(data)] + damage + data[at % len(data) + 1 :]
    assert told(JsonCover, DETECTORS, data, cuts) == told(PYTHON, DETECTORS, data, cuts)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(PLAIN | FOUND, min_size=1, max_size=12),
    st.sampled_from(PLANS),
    st.sampled_from([None, 1]),
    st.integers(0, 4_000),
    st.binary(max_size=3),
    st.booleans(),
)
def test_what_passes_unwalked_is_what_the_walk_leaves_as_it_is(parts, chosen, indent, at, damage, damaged):
    data = json.dumps(parts, indent=indent, ensure_ascii=False).encode()
    if damaged:
        data = data[: at % len(data)] + damage + data[at % len(data) + 1 :]
    if passes(chosen, data):
        assert told(PYTHON, chosen, data) == told(JsonCover, chosen, data) == (data, {})


@given(st.lists(PLAIN, max_size=30), st.sampled_from([None, 1]), st.sampled_from([b"", b"\n", b" \r\n"]))
def test_what_nobody_has_to_look_at_passes_unwalked(parts, indent, space):
    data = space + json.dumps(parts, indent=indent, ensure_ascii=False).encode() + space
    assert passes(DETECTORS, data)
    assert not passes(RULES, data)
    assert not passes(DETECTORS, data + b"[]")
    assert not passes(DETECTORS, data + b"1")
    assert not passes(DETECTORS, data.rstrip()[:-1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"1",
        b'"x"',
        b"[1][2]",
        b"[1",
        b'{"a":1]',
        b'["\xff"]',
        b'["\xed\xa0\x80"]',
        b'\xef\xbb\xbf["a"]',
        b")]}',\n[1]",
        b'["a\x00"]',
        b"[01]",
        b"[1,]",
        b'{"a":1,}',
        b'["\\ud800"]',
        b'["{\\"a\\":1}"]',
        b'["' + CREDENTIAL + b'"]',
        b'["' + CREDENTIAL.replace(b"/", b"\\/") + b'"]',
        b'["' + b64encode(CREDENTIAL) + b'"]',
        b"[" + b"1" * 5_000 + b"]",
        b"[" * 513 + b"]" * 513,
        b'{"' + b"a" * 70_000 + b'":1}',
        b'[{"' + b"a" * 5_000 + b'":"bob@example.com"}]',
    ],
)
def test_what_is_not_plain_is_walked(data):
    assert not passes(plan(needles=[CREDENTIAL]), data)


@pytest.mark.parametrize("depth", [511, 512, 513])
@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_both_end_at_the_same_depth(depth, opens, closes):
    data = opens * depth + b"1" + closes * depth
    assert told(JsonCover, DETECTORS, data) == told(PYTHON, DETECTORS, data)
    assert (told(JsonCover, DETECTORS, data) == "WireError") == (depth > 512)


@pytest.mark.parametrize("between", [b" ", b"   ", b"\n", b"\t"])
@pytest.mark.parametrize("first", [b"12", b"null", b'"x"', b"[1]", b"-0.5"])
def test_numbers_that_follow_each_other_are_each_looked_at(first, between):
    data = first + between + b"4111111111111111" + between + b"378282246310005 "
    assert told(JsonCover, DETECTORS, data) == told(PYTHON, DETECTORS, data)
    assert b"4111111111111111" not in told(JsonCover, DETECTORS, data)[0]
    assert b"378282246310005" not in told(JsonCover, DETECTORS, data)[0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(VECTORS), max_size=4).map(" ".join))
def test_the_crate_suspects_wherever_python_does(text):
    data = text.encode("utf-8", "surrogatepass")
    assert compiled.detectors(NAMES).suspect(data) == bool(scan(NAMES).suspects(data))
