import json
import random
import time
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import DETECTORS, RULES, TOKENS, both, fed, mask_set, plan

from gatebook.errors import WireError
from gatebook.masking.rules import Style
from gatebook.masking.tokens import unseal
from gatebook.protocols.http.covering import json_walk
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.native import python_walk

NONE = plan(detectors=())


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"ssn":"123-45-6789"}', '{"ssn":"****"}'),
        ('{"SSN": 12, "a": [ {"ssn":true} ] }', '{"SSN": "****", "a": [ {"ssn":"****"} ] }'),
        ('{"ssn":null,"x":1}', '{"ssn":null,"x":1}'),
        ('{"ssn":{"a":[1,{"b":2}]},"x":1}', '{"ssn":"****","x":1}'),
        ('{"ssn":[1,2],"x":[3]}', '{"ssn":"****","x":[3]}'),
        ('{"ssn":[],"x":{}}', '{"ssn":"****","x":{}}'),
        ('{"ssn":""}', '{"ssn":"****"}'),
        (r'{"s\u0073n":"a","\u0053SN":"b"}', r'{"s\u0073n":"****","\u0053SN":"****"}'),
        ('{"ssn":"a","ssn":"b","SSN":"c"}', '{"ssn":"****","ssn":"****","SSN":"****"}'),
        ('{"customers":[{"card":"x"},{"card":"y"}]}', '{"customers":[{"card":"****"},{"card":"****"}]}'),
        (
            '{"card":"x","top":{"a":{"x":1}},"b":{"top":{"a":{"x":1}}}}',
            '{"card":"x","top":{"a":{"x":"****"}},"b":{"top":{"a":{"x":1}}}}',
        ),
        ('{"email":"bob@example.com"}', '{"email":"b***@example.com"}'),
        ('{"email":1234567}', '{"email":"1****"}'),
        (r'{"t":"{\"ssn\":\"a\",\"n\":1}"}', r'{"t":"{\"ssn\":\"****\",\"n\":1}"}'),
        (r'{"t":" [{\"s\\u0073n\":1}]"}', r'{"t":" [{\"s\\u0073n\":\"****\"}]"}'),
        ('[{"ssn":1}]\n{"ssn":2} {"ssn":3}', '[{"ssn":"****"}]\n{"ssn":"****"} {"ssn":"****"}'),
        ('\ufeff{"ssn":1}', '\ufeff{"ssn":"****"}'),
        (")]}'\n" + '{"ssn":1}', ")]}'\n" + '{"ssn":"****"}'),
        ("", ""),
        ("  ", "  "),
        ("1", "1"),
    ],
)
def test_what_a_rule_names_is_covered_and_nothing_else_changes(document, expected):
    assert both(JsonCover, RULES, document.encode())[0].decode() == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"card":4111111111111111,"n":41}', '{"card":"************1111","n":41}'),
        (r'{"a":"\u0034111 1111 1111 1111"}', '{"a":"************1111"}'),
        ('{"password":"hunter22","user":"bob"}', '{"password":"<secret>","user":"bob"}'),
        (r'{"pass\u0077ord" : "hunter22"}', r'{"pass\u0077ord" : "<secret>"}'),
        ('{"password":12345}', '{"password":"<secret>"}'),
        ('{"name":"DB_PASSWORD","value":"hunter22"}', '{"name":"DB_PASSWORD","value":"<secret>"}'),
        (
            '[{"value":"x y","name":"DB_PASSWORD","value" : "hunter22"}]',
            '[{"value":"x y","name":"DB_PASSWORD","value" : "<secret>"}]',
        ),
        ('{"name":"passwords","value":["hunter22",true]}', '{"name":"passwords","value":["<secret>",true]}'),
        (r'{"name":"pass\u0077ord","value":"hunter22"}', r'{"name":"pass\u0077ord","value":"<secret>"}'),
        (r'{"t":"{\"name\":\"PASSWORD\",\"value\":\"hunter22\"}"}', r'{"t":"{\"name\":\"PASSWORD\",\"value\":\"<secret>\"}"}'),
        ('{"name":"password","other":{"value":"hunter22"}}', '{"name":"password","other":{"value":"hunter22"}}'),
        ('{"name":"password","name":1,"value":"hunter22"}', '{"name":"password","name":1,"value":"hunter22"}'),
        ('[{"name":"password"},{"value":"hunter22"}]', '[{"name":"password"},{"value":"hunter22"}]'),
        ('{"name":"password","value":null}', '{"name":"password","value":null}'),
        (
            '{"automountServiceAccountToken":false,"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}',
            '{"automountServiceAccountToken":false,"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}',
        ),
        ('{"passwords":["hunter22",null,true]}', '{"passwords":["<secret>",null,true]}'),
        ('{"bob@example.com":{"x":1}}', '{"b***@example.com":{"x":1}}'),
        (r'{"a":"bob\u0040example.com \ud83d\ude00 \ud83d"}', None),
        (r'{"a":"say \"123-45-6789\"\n"}', r'{"a":"say \"***-**-6789\"\n"}'),
        (r'{"t":"{\"password\":\"hunter22\"}"}', r'{"t":"{\"password\":\"<secret>\"}"}'),
        (r'{"t":"{\"a\":\"\\u0034111111111111111\"}"}', r'{"t":"{\"a\":\"************1111\"}"}'),
        ('"123-45-6789"', '"***-**-6789"'),
        ("[4111111111111111]", '["************1111"]'),
        ("4111111111111111", '"************1111"'),
        (r'{"url":"https:\/\/u:hunter22@x\/"}', '{"url":"https://u:<url-password>@x/"}'),
        (r'{"url":"https:\/\/x\/","u":"\u00e9"}', r'{"url":"https:\/\/x\/","u":"\u00e9"}'),
    ],
)
def test_what_a_detector_finds_is_covered_behind_any_escape(document, expected):
    out, masked = both(JsonCover, DETECTORS, document.encode())
    if expected is None:
        assert b"bob" not in out
        json.loads(out)
    else:
        assert out.decode() == expected
    assert bool(masked) is (out != document.encode())


def test_each_style_covers_what_json_can_hold():
    hashed, tokens = plan(mask_set(Style.HASH, "a"), detectors=()), plan(mask_set(Style.TOKEN, "a"), detectors=())
    document = b'{"a":"7","x":{"a":7},"b":[{"a":true},{"a":{"c":1}}]}'
    out = json.loads(both(JsonCover, hashed, document)[0])
    assert out["a"] == out["x"]["a"]
    assert out["a"].startswith("h:")
    assert out["b"] == [{"a": "****"}, {"a": "****"}]
    out = json.loads(both(JsonCover, tokens, document)[0])
    assert unseal(out["a"].encode(), TOKENS) == b"7"
    assert out["x"]["a"] == "****"
    assert out["b"] == [{"a": "****"}, {"a": "****"}]


def test_an_alias_counts_as_the_field_it_stands_for():
    assert (
        both(JsonCover, plan(mask_set(Style.REDACT, "ssn"), detectors=(), x=["ssn"]), b'{"x":1,"y":1}')[0]
        == b'{"x":"****","y":1}'
    )


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        b'{"a"',
        b'{"a":}',
        b'{"a":1,}',
        b"[1,]",
        b"[1 2]",
        b"[01]",
        b"[+1]",
        b"[.5]",
        b"[NaN]",
        b"[Infinity]",
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1}}',
        b"]",
        b"// c\n1",
        b"/* c */{}",
        b'["\\x41"]',
        b'["\t"]',
        b'["\\u12g4"]',
        b'["\xff"]',
        b'["\xc0\xb4"]',
        b'["\xed\xa0\x80"]',
        b"\xff\xfe{\x00}\x00",
        b"\x00{\x00}",
        b"\x00\x00\x00{",
        b"tru",
        b"nul",
        b'"abc',
        b"<html>",
        b"[" * 600,
        b"[" + b"1" * 10_000 + b"]",
        b'{"' + b"a" * json_walk.NAME_BYTES + b'":1}',
        b'{"a":1;"b":2}',
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
    ],
    ids=lambda document: repr(document[:20]),
)
def test_what_is_no_json_is_not_passed_on(document):
    for cuts in ((), (1,), range(min(100, len(document)))):
        with pytest.raises(WireError):
            both(JsonCover, RULES, document, cuts)


@pytest.mark.parametrize("make", [JsonCover, partial(JsonCover, make=python_walk)])
def test_what_a_name_says_is_known_however_the_content_is_cut(make):
    document = b'{"env":[{"name":"DB_PASSWORD","value":"hunter22"},{"name":"HOME","value":"hunter22"}]}'
    expected = b'{"env":[{"name":"DB_PASSWORD","value":"<secret>"},{"name":"HOME","value":"hunter22"}]}'
    for cut in range(len(document)):
        assert both(make, DETECTORS, document, (cut,))[0] == expected


def test_a_fault_is_seen_when_it_comes_not_when_it_ends():
    coverer = JsonCover(RULES)
    coverer.feed(b'{"a":1,"b":2,"c":3,"d":4}')
    with pytest.raises(WireError, match="not well-formed"):
        coverer.feed(b'{"x" 7')


def test_nothing_of_a_document_is_in_an_error():
    with pytest.raises(WireError) as caught:
        both(JsonCover, RULES, b'{"a":hunter22}')
    assert "hunter" not in str(caught.value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["123-45-6789", "4111 1111 1111 1111", "bob@example.com", '{"ssn":"x"}', "[4111111111111111]", "gbk_"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["ssn", "a", "customers", "card", "top", "password", "email", "é", 'q"\\']), inner, max_size=4
        )
    ),
    max_leaves=25,
)


def alike(before: object, after: object) -> bool:
    """Whether a covered value has the form of the value: what was covered is a string."""
    if isinstance(before, dict):
        return isinstance(after, str) or (
            isinstance(after, dict) and all(alike(before[key], after[key]) for key in before if key in after)
        )
    if isinstance(before, list):
        return isinstance(after, str) or (
            isinstance(after, list) and len(before) == len(after) and all(map(alike, before, after))
        )
    return before == after or isinstance(after, str)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]), st.lists(st.integers(0, 400), max_size=8))
def test_cut_anywhere_the_same_comes_out_and_it_is_json_of_the_same_form(value, ascii_only, indent, cuts):
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    for chosen in (RULES, DETECTORS, NONE):
        whole = both(JsonCover, chosen, data)
        assert both(JsonCover, chosen, data, cuts) == whole
        assert alike(json.loads(data), json.loads(whole[0]))
        if chosen is NONE:
            assert whole == (data, {})


@settings(max_examples=150, deadline=None)
@given(VALUES, st.integers(0, 500), st.binary(max_size=3))
def test_damaged_json_raises_wire_error_and_nothing_else(value, at, damage):
    data = json.dumps(value).encode()
    data = data[:at] + damage + data[at + 1 :]
    try:
        out = both(JsonCover, RULES, data)[0]
    except WireError:
        return
    assert b'"123-45-6789"' not in out


def test_no_value_under_a_rule_gets_through_random_cuts():
    chance = random.Random(7)
    document = json.dumps(
        [{"ssn": f"hush{n}", "deep": {"customers": [{"card": f"hush{n}"}]}, "n": n} for n in range(200)]
    ).encode()
    for _ in range(20):
        out, masked = both(JsonCover, RULES, document, chance.sample(range(len(document)), 50))
        assert b"hush" not in out
        assert masked == {"redact": 400}


def test_a_string_too_long_to_hold_is_covered_and_what_follows_is_not_lost():
    size = json_walk.HELD_BYTES + 100
    document = b'{"a":"' + b"x" * size + b'\\n\\u0041","b":{"ssn":"' + b"\\n" * (size // 2) + b'"},"c":1}'
    coverer = JsonCover(RULES)
    out = b"".join(coverer.feed(document[at : at + 65_536]) for at in range(0, len(document), 65_536)) + coverer.finish()
    assert out == b'{"a":"****","b":{"ssn":"****"},"c":1}'
    assert coverer.masked == {"unread": 1, "redact": 1}


def test_a_long_string_is_looked_through_in_pieces():
    document = json.dumps({"blob": "A" * 200_000 + " 123-45-6789 " + "B" * 200_000, "password": "x1" * 50_000}).encode()
    out, masked = both(JsonCover, DETECTORS, document, range(0, len(document), 10_000))
    assert json.loads(out) == {"blob": "A" * 200_000 + " ***-**-6789 " + "B" * 200_000, "password": "****"}
    assert masked == {"ssn": 1, "secret": 1, "unread": 1}


def test_a_long_string_that_comes_in_many_pieces_takes_time_linear_in_its_length():
    document = b'["' + b"\\n" * 1_000_000 + b'"]'
    before = time.process_time()
    both(JsonCover, RULES, document, range(0, len(document), 4_096))
    assert time.process_time() - before < 5


def test_what_is_whole_goes_on_at_once():
    coverer = JsonCover(RULES)
    assert coverer.feed(b'{"type":"ADDED","object":{"ssn":"x"}}\n{"ty') == b'{"type":"ADDED","object":{"ssn":"****"}}\n{'
    assert coverer.feed(b'pe":"x"}') == b'"type":"x"}'


def test_an_empty_feed_changes_nothing():
    coverer = JsonCover(DETECTORS)
    assert fed(coverer, b'{"a":1}') == b'{"a":1}'
