import json
import random
import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.masking.checks import luhn
from gatebook.masking.detectors import NAMES, cover, cover_text, scan
from gatebook.masking.table import TABLE

VECTORS = Path(__file__).parent.parent / "vectors" / "detectors"
KINDS = {
    "alnum": string.ascii_letters + string.digits,
    "url": string.ascii_letters + string.digits + "_",
    "b64": string.ascii_letters + string.digits + "+/",
    "hex": "0123456789abcdef",
    "digit": string.digits,
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
}


def characters(found: re.Match[str]) -> str:
    """Made, not written down, so that no scanner of repositories takes a vector for a leaked secret."""
    kind, count = found[1], int(found[2])
    return "".join(random.Random(f"{kind} {count}").choices(KINDS[kind], k=count))


def expanded(line: str) -> str:
    return re.sub(r"\{(\w+):([0-9]+)\}", characters, line)


def vectors(expect: str):
    return list(each_vector(expect))


def each_vector(expect: str):
    for path in sorted(VECTORS.glob("*.txt")):
        head, _, body = path.read_text().partition("\n\n")
        header = dict(line.split(": ", 1) for line in head.splitlines())
        if header["expect"] == expect:
            names = frozenset(header["detector"].split(", "))
            for line in filter(None, body.splitlines()):
                yield pytest.param(names, expanded(line), id=f"{path.stem}: {line}")


@pytest.mark.parametrize(("names", "line"), vectors("cover"))
def test_a_value_is_covered_and_what_surrounds_it_stays(names, line):
    text, _, wanted = line.partition(" -> ")
    assert cover_text(text, names) == wanted


@pytest.mark.parametrize(("names", "line"), vectors("cover"))
def test_all_detectors_together_leave_nothing_that_one_alone_would_cover(names, line):
    text, _, wanted = line.partition(" -> ")
    covered = cover_text(text)
    assert cover_text(covered, names) == covered
    assert (covered != text) == (wanted != text)


@pytest.mark.parametrize(("names", "line"), vectors("pass"))
def test_a_look_alike_passes(names, line):
    assert cover_text(line, names) is line


def test_every_detector_has_vectors_for_both():
    for expect in ("cover", "pass"):
        assert frozenset().union(*(vector.values[0] for vector in vectors(expect))) == NAMES


def test_ordinary_rows_hold_nothing_for_any_detector():
    rows = [
        "1|2024-01-01 12:34:56.789012+00|shipped|12.50|t",
        "order 2024-0001-4711 for 3 items, SKU AB12-CD34, EAN 4006381333931",
        "sha256:9e107d9d372bb6826bd81d3542a419d69e107d9d372bb6826bd81d3542a419d6",
        "v1.2.3-rc.4 on 10.0.0.1:5432 took 0.123456789012345 s, see https://example.com/a?b=c#d",
        "-122.4194155512345,37.77492950123456 (0,1) {1,2,3} [2024-01-01,2024-02-01)",
    ]
    assert [row for row in rows if cover_text(row) is not row] == []


def test_the_same_object_comes_back_when_nothing_was_found():
    data = b"nothing to see, not even 4111111111111112 or key=value"
    covered, counts = cover(data)
    assert covered is data
    assert counts == {}


def test_findings_are_counted_by_detector():
    _, counts = cover(b"a@example.com b@example.com 4111111111111111")
    assert counts == {"email": 2, "card": 1}


def test_only_the_chosen_detectors_run():
    assert cover(b"a@example.com 4111111111111111", frozenset({"card"}))[0] == b"a@example.com ************1111"
    data = b"a@example.com"
    assert cover(data, frozenset())[0] is data


def test_an_unknown_detector_is_a_fault():
    with pytest.raises(ValueError, match="no such detector: cards"):
        cover(b"", frozenset({"cards"}))


def test_a_password_in_a_url_is_not_taken_for_a_mailbox():
    assert cover_text("postgres://app:hunter2@db.example.com/x") == "postgres://app:<url-password>@db.example.com/x"


def test_a_card_beside_bytes_that_are_no_text_is_found():
    assert cover(b"\xff\x004111111111111111\x00\xff")[0] == b"\xff\x00************1111\x00\xff"


def test_an_address_beside_bytes_that_are_no_text_is_found_and_leaves_them():
    assert cover(b"\xff\xfealice@example.com\xff")[0] == b"\xff\xfea***@example.com\xff"


def test_a_secret_ends_at_a_zero_byte():
    assert cover(b"password=hunter2\0next")[0] == b"password=<secret>\0next"


@pytest.mark.parametrize(("digits", "valid"), [(b"79927398713", True), (b"79927398710", False), (b"0", True)])
def test_luhn_knows_its_check_digit(digits, valid):
    assert luhn(digits) is valid


# Properties ---------------------------------------------------------------------------------------------------------------

PIECES = [
    *"0123456789 -+().,:;=/@'\"\\{}[]<>*$_\n\0aZé",
    "4111",
    "1111 ",
    "password",
    "token=",
    "\\n",
    "\\u00e9",
    "://",
    "***",
    "DE89",
]
FRAGMENTS = st.sampled_from(
    [part for vector in vectors("cover") for part in vector.values[1].split(" -> ")]
    + [vector.values[1] for vector in vectors("pass")]
    + PIECES
)
TEXTS = st.lists(FRAGMENTS, max_size=8).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_covering_twice_is_covering_once(text):
    once = cover_text(text)
    assert cover_text(once) == once


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_can_be_covered(data):
    covered, counts = cover(data)
    assert (covered is data) == (not counts)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=60), TEXTS)
def test_any_text_can_be_covered_and_stays_text(free, text):
    assert isinstance(cover_text(free + text + free), str)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.binary(max_size=8), st.binary(max_size=8))
def test_what_would_be_found_alone_is_suspected_between_any_other_bytes(text, before, after):
    data = text.encode()
    _, counts = cover(data)
    suspected = {detector.name for detector in scan().suspects(before + data + after)}
    # a detector may also find what another one's replacement left; it is enough that the row is looked at for the first
    assert not counts or suspected & counts.keys()
    for name in NAMES:
        if cover(data, frozenset({name}))[1]:
            assert name in suspected


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, TEXTS)
def test_json_of_strings_stays_json(first, second, third):
    document = json.dumps({first: [second, {"password": third, "note": first}]})
    assert isinstance(json.loads(cover_text(document)), dict)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_a_replacement_adds_no_byte_that_has_a_meaning_in_json_arrays_csv_or_copy(text):
    meaning = set("\"'\\,{}[]()\t\r\n\0")
    covered = cover_text(text)
    for sign in meaning:
        assert covered.count(sign) <= text.count(sign)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_the_text_grows_by_no_more_than_a_replacement_for_each_finding(text):
    covered, counts = cover(text.encode())
    assert len(covered) <= len(text.encode()) + 20 * sum(counts.values())


def test_the_table_is_data_that_another_engine_can_take_over():
    for detector in TABLE:
        re.compile(detector.pattern)
        assert detector.hints
        for _, hint in detector.hints:
            assert not hint.startswith((b"(", b"[")), "a hint begins with a literal byte, or re cannot skip to it"
