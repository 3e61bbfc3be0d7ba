import pytest

from gatebook.errors import WireError
from gatebook.masking.fields import PLACES, TOP, FieldTree
from gatebook.masking.rules import FieldPattern, HeaderPattern, Level, MaskSet, Style, means_fields

ITEM = object()


def tree(*paths: str, style: Style = Style.REDACT) -> FieldTree:
    return FieldTree([MaskSet("pii", (), style, tuple(FieldPattern.parse(path) for path in paths))])


def down(found: FieldTree, steps: list[object]) -> int:
    place = TOP
    for step in steps:
        place = found.item(place) if step is ITEM else found.member(place, str(step))
    return place


@pytest.mark.parametrize(
    ("text", "parts", "top"),
    [
        ("ssn", ("ssn",), False),
        ("customer.ssn", ("customer", "ssn"), False),
        ("$.customers.*.ssn", ("customers", Level.ONE, "ssn"), True),
        ("**.ssn", (Level.MANY, "ssn"), False),
        ("$.*", (Level.ONE,), True),
        ('"unit.price"."*"', ("unit.price", "*"), False),
        ("x-y.größe", ("x-y", "größe"), False),
    ],
)
def test_a_path_is_read_from_its_parts(text, parts, top):
    assert FieldPattern.parse(text) == FieldPattern(parts, top)


@pytest.mark.parametrize(
    "text", ["", "$", "$.", ".", "a.", ".a", "a..b", "a.**", "*", "**.*", "s*", "a b", "a[0]$", '"a', ".".join("a" * 33)]
)
def test_a_path_that_would_mean_something_else_is_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match="expected"):
        FieldPattern.parse(text)


@pytest.mark.parametrize(
    ("path", "steps", "meant"),
    [
        ("ssn", ["ssn"], True),
        ("ssn", ["SSN"], True),
        ("ssn", ["a", "b", ITEM, "ssn"], True),
        ("ssn", ["ssn", "x"], False),
        ("ssn", ["ssn2"], False),
        ("customer.ssn", ["data", "customer", "ssn"], True),
        ("customer.ssn", ["customer", ITEM, "ssn"], True),
        ("customer.ssn", ["customer", ITEM, ITEM, "ssn"], True),
        ("customer.ssn", ["customer", "address", "ssn"], False),
        ("customers.*.ssn", ["customers", ITEM, "ssn"], True),
        ("customers.*.ssn", ["customers", "7", "ssn"], True),
        ("customers.*.ssn", ["customers", "ssn"], False),
        ("customers.**.ssn", ["customers", "ssn"], True),
        ("customers.**.ssn", ["customers", ITEM, "a", ITEM, "ssn"], True),
        ("$.ssn", ["ssn"], True),
        ("$.ssn", ["data", "ssn"], False),
        ("$.ssn", [ITEM, "ssn"], True),
        ("$.*", ["anything"], True),
        ("$.a.*", ["a", ITEM], True),
        ("STRASSE", ["strasse"], True),
        ("Größe", ["GRÖSSE".replace("SS", "ß")], True),
    ],
)
def test_a_path_means_what_its_names_lead_to(path, steps, meant):
    found = tree(path)
    assert (found.style(down(found, steps)) is not None) is meant


def test_the_strictest_style_of_a_field_holds_and_the_first_of_its_sets():
    sets = [
        MaskSet(name, (), style, (FieldPattern.parse("ssn"),))
        for name, style in (("c", Style.TOKEN), ("b", Style.TOKEN), ("a", Style.HASH))
    ]
    found = FieldTree(sets)
    assert found.style(found.member(TOP, "ssn")) == (Style.TOKEN, "b")


def test_names_that_no_rule_has_do_not_make_the_tree_grow():
    found = tree("a.*.b", "$.c.**.d")
    for number in range(10_000):
        found.member(found.member(TOP, f"name {number}"), f"other {number}")
    assert not found.grown


def test_a_document_made_to_meet_rules_in_ever_new_ways_is_refused():
    found = tree("a." + "*." * 20 + "b")
    ways = (["a" if number >> bit & 1 else "x" for bit in range(18)] for number in range(100_000))
    with pytest.raises(WireError, match=f"more than {PLACES} ways"):
        [down(found, way) for way in ways]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("X-Customer", HeaderPattern("x-customer")),
        ("cookie:SID", HeaderPattern("SID", cookie=True)),
        ("Cookie:a", HeaderPattern("a", True)),
    ],
)
def test_a_header_or_a_cookie_is_named(text, pattern):
    assert HeaderPattern.parse(text) == pattern


@pytest.mark.parametrize("text", ["", "a b", "set-cookie:x", "cookie:", "x:", "ü"])
def test_what_is_no_name_of_a_header_is_refused(text):
    with pytest.raises(ValueError, match="expected the name of a header"):
        HeaderPattern.parse(text)


def test_only_sets_with_fields_or_headers_say_something_of_http():
    assert means_fields([MaskSet("a", (), Style.HASH, headers=(HeaderPattern("x"),))])
    assert means_fields([MaskSet("a", (), Style.HASH, (FieldPattern(("x",)),))])
    assert not means_fields([MaskSet("a", (), Style.HASH)])
