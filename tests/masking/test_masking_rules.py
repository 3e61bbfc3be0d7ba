import pytest

from gatebook.masking.rules import ColumnPattern, MaskSet, Style, may_cover, style_of


def masks(style: Style, *columns: str) -> MaskSet:
    return MaskSet("pii", tuple(ColumnPattern.parse(column) for column in columns), style)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("*.ssn", ("*", "*", "ssn")),
        ("customers.email", ("*", "customers", "email")),
        ("public.customers.email", ("public", "customers", "email")),
        ("public.customers.*", ("public", "customers", "*")),
        ('"Order Lines"."unit.price"', ("*", "Order Lines", "unit.price")),
        ('t."say ""hi"""', ("*", "t", 'say "hi"')),
    ],
)
def test_a_pattern_is_read_from_its_parts(text, parts):
    pattern = ColumnPattern.parse(text)
    assert (pattern.schema, pattern.table, pattern.column) == parts


@pytest.mark.parametrize(
    "text", ["", "ssn", "*", "a.b.c.d", "a..b", ".b", "a.", "*_ssn.x", "a.s*", "a b.c", '"a.b', 'a."b', "a.b\n"]
)
def test_a_pattern_that_would_mean_something_else_is_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match=r"expected table\.column or schema\.table\.column"):
        ColumnPattern.parse(text)


@pytest.mark.parametrize(
    ("pattern", "schema", "tables", "column", "meant"),
    [
        ("*.ssn", "public", ["customers"], "ssn", True),
        ("*.ssn", "public", ["customers"], "SSN", True),
        ("*.ssn", "public", ["customers"], "ssn2", False),
        ("customers.email", "crm", ["customers"], "email", True),
        ("customers.email", "crm", ["orders"], "email", False),
        ("customers.email", "crm", ["customers_2024", "customers"], "email", True),
        ("public.customers.email", "crm", ["customers"], "email", False),
        ("public.customers.email", "PUBLIC", ["Customers"], "Email", True),
        ("public.customers.*", "public", ["customers"], "anything", True),
        ("public.customers.email", "", ["customers"], "email", True),
        ("public.customers.email", "public", [], "email", True),
        ("public.customers.email", "public", ["*"], "email", True),
        ("public.customers.email", "public", ["customers"], "*", True),
    ],
)
def test_what_is_not_known_counts_as_any(pattern, schema, tables, column, meant):
    assert ColumnPattern.parse(pattern).covers(schema, tables, column) is meant


def test_the_strictest_style_holds():
    partial, hashed, redact = (masks(style, "*.ssn") for style in (Style.PARTIAL, Style.HASH, Style.REDACT))
    assert style_of([partial, hashed, redact], "", ["t"], "ssn") is Style.REDACT
    assert style_of([hashed, partial], "", ["t"], "ssn") is Style.HASH
    assert style_of([partial], "", ["t"], "ssn") is Style.PARTIAL
    assert style_of([partial], "", ["t"], "name") is None
    assert style_of([], "", ["t"], "ssn") is None


def test_tables_may_be_any_iterable_and_every_set_sees_all_of_them():
    sets = [masks(Style.PARTIAL, "a.x"), masks(Style.REDACT, "b.x")]
    assert style_of(sets, "", iter(["a", "b"]), "x") is Style.REDACT


def test_columns_that_no_set_names_cannot_be_covered():
    sets = [masks(Style.REDACT, "*.ssn", "customers.email")]
    assert may_cover(sets, ["id", "EMAIL"])
    assert may_cover(sets, ["*"])
    assert not may_cover(sets, ["id", "name"])
    assert not may_cover(sets, [])
    assert not may_cover([], ["*"])
    assert may_cover([masks(Style.REDACT, "secrets.*")], ["anything"])
