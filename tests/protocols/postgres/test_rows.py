import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.errors import WireError
from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import Style
from gatebook.protocols.postgres.reports import cover_notification, cover_report
from gatebook.protocols.postgres.rows import Column, Cover, RowCover, parse_row_description

KEY = b"k" * 32
OPEN = Cover(None, False)
WHOLE = Cover(None, True)
TEXT, VARCHAR, JSON, JSONB, XML, BYTEA, CHAR = 25, 1043, 114, 3802, 142, 17, 18
INT4, INT8, NUMERIC, BOOL, DATE, UUID = 23, 20, 1700, 16, 1082, 2950
TEXTS, INT4S, INT8S, NUMERICS, BYTEAS, RECORD, JSONS = 1009, 1007, 1016, 1231, 1001, 2249, 199
CITEXT = 16500
CARD = b"4111111111111111"


def column(oid: int = TEXT, form: int = 0) -> Column:
    return Column("c", 0, 0, oid, form)


def row(*cells: bytes | None) -> bytes:
    shown = (struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells)
    return struct.pack("!H", len(cells)) + b"".join(shown)


def cells(body: bytes) -> list[bytes | None]:
    out: list[bytes | None] = []
    at = 2
    while at < len(body):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        out.append(None if length < 0 else body[at : at + length])
        at += max(length, 0)
    assert len(out) == struct.unpack_from("!H", body)[0]
    return out


def cover(columns, covers=None, detectors=NAMES) -> RowCover:
    return RowCover(columns, covers or [OPEN] * len(columns), detectors, KEY)


def one(cell: bytes, oid: int = TEXT, form: int = 0, how: Cover = OPEN) -> bytes | None:
    return cells(cover([column(oid, form)], [how]).cover(row(cell)))[0]


# Row descriptions -----------------------------------------------------------------------------------------------------------


def description(*columns: Column) -> bytes:
    fields = (
        each.name.encode() + b"\0" + struct.pack("!IhIhih", each.table_oid, each.attnum, each.type_oid, -1, -1, each.format)
        for each in columns
    )
    return struct.pack("!H", len(columns)) + b"".join(fields)


def test_a_row_description_is_read():
    columns = (Column("id", 16400, 1, INT4, 1), Column("ctid", 16400, -1, 27, 0), Column("é", 0, 0, TEXT, 0))
    assert parse_row_description(description(*columns)) == columns
    assert parse_row_description(b"\0\0") == ()


@given(st.data())
def test_a_damaged_row_description_is_a_wire_error(data):
    body = description(column(), column(INT8, 1))
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(WireError):
        parse_row_description(body[:cut])
    with pytest.raises(WireError):
        parse_row_description(body + b"\0")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_row_description_or_a_wire_error(body):
    try:
        columns = parse_row_description(body)
    except WireError:
        return
    assert len(columns) == int.from_bytes(body[:2])


def test_a_format_that_does_not_exist_is_a_wire_error():
    with pytest.raises(WireError, match="format 2"):
        parse_row_description(description(column(TEXT, 2)))


# Rows by detectors ----------------------------------------------------------------------------------------------------------


def test_a_row_without_a_finding_is_the_same_object():
    body = row(b"1", None, b"", b"nothing here", b"2024-01-01 12:34:56.789+00")
    assert cover([column(oid) for oid in (INT8, TEXT, TEXT, VARCHAR, 1184)]).cover(body) is body
    assert cover([column(oid, 1) for oid in (JSON, TEXT, TEXT, VARCHAR, TEXT)]).cover(body) is body


def test_a_row_that_only_looked_suspicious_is_the_same_object():
    body = row(b"4111111111111112", b"key=value")
    assert cover([column(), column()]).cover(body) is body


def test_findings_are_covered_and_counted_and_their_neighbours_stay():
    rows = cover([column(), column(), column(INT4), column()])
    body = row(b"x", b"mail alice@example.com", b"7", CARD)
    assert cells(rows.cover(body)) == [b"x", b"mail a***@example.com", b"7", b"************1111"]
    rows.cover(body)
    assert rows.masked == {"email": 2, "card": 2}


@pytest.mark.parametrize("length", [0x30, 0x41, 0x2D, 0x61, 0x40])
def test_a_length_byte_that_looks_like_text_hides_nothing(length):
    cell = CARD + b" " * (length - len(CARD))
    assert one(cell) == b"************1111" + b" " * (length - len(CARD))


def test_a_value_is_found_in_every_column_of_a_wide_row():
    columns = [column()] * 300
    assert cells(cover(columns).cover(row(*[CARD] * 300))) == [b"************1111"] * 300


def test_only_the_chosen_detectors_run_over_rows():
    assert cells(cover([column()], detectors=frozenset({"email"})).cover(row(CARD))) == [CARD]


def test_without_detectors_every_type_passes_that_no_rule_covers():
    body = row(CARD, b"\0\1")
    assert cover([column(), column(CITEXT, 1)], detectors=frozenset()).cover(body) is body


@pytest.mark.parametrize("oid", [INT8, NUMERIC, INT8S, NUMERICS, 3926, JSONS])
def test_a_finding_in_a_type_that_cannot_hold_its_cover_becomes_null(oid):
    assert one(CARD, oid) is None


@pytest.mark.parametrize("oid", [BOOL, DATE, UUID, INT4, 700, 869])
@pytest.mark.parametrize("form", [0, 1])
def test_rigid_types_pass(oid, form):
    body = row(b"+1 415 555 2671")
    assert cover([column(oid, form)]).cover(body) is body


def test_text_of_types_made_by_extensions_is_covered_in_place():
    assert one(b"alice@example.com", CITEXT) == b"a***@example.com"
    assert one(b'"mail"=>"alice@example.com"', CITEXT) == b'"mail"=>"a***@example.com"'


@pytest.mark.parametrize(
    ("oid", "text", "shown"),
    [
        (TEXTS, b"{alice@example.com,NULL,x}", b"{a***@example.com,NULL,x}"),
        (TEXTS, rb'{"{\"password\": \"hun\\\"ter2\"}",b}', rb'{"{\"password\": \"<secret>\"}",b}'),
        (TEXTS, b'{"+1 415 555 2671","4111 1111 1111 1111"}', b'{"<phone>","************1111"}'),
        (
            RECORD,
            b'(1,"{""password"": ""hunter2""}",alice@example.com)',
            b'(1,"{""password"": ""<secret>""}",a***@example.com)',
        ),
        (CITEXT, b'("{""alice@example.com"",""536-90-4399""}")', b'("{""a***@example.com"",""***-**-4399""}")'),
    ],
)
def test_arrays_and_rows_as_text_keep_their_form(oid, text, shown):
    assert one(text, oid) == shown


def test_hex_of_bytea_is_looked_into():
    assert one(rb"\x" + b"mail alice@example.com".hex().encode(), BYTEA) == rb"\x" + b"mail a***@example.com".hex().encode()
    hexed = b"alice@example.com".hex().encode()
    shown = b"a***@example.com".hex().encode()
    assert one(b'{"\\\\x' + hexed + b'"}', BYTEAS) == b'{"\\\\x' + shown + b'"}'
    assert one(b'(1,"\\\\x' + hexed + b'")', RECORD) == b'(1,"\\\\x' + shown + b'")'
    assert one(b'(1,"\\\\x' + hexed + b'")', CITEXT) == b'(1,"\\\\x' + shown + b'")'


def test_hex_that_hides_nothing_is_the_same_object():
    body = row(rb"\x00ff00ff00ff00ff", rb"\x", b"")
    assert cover([column(BYTEA)] * 3).cover(body) is body


def test_binary_bytea_is_covered_as_bytes():
    assert one(b"\0\xffalice@example.com\0", BYTEA, 1) == b"\0\xffa***@example.com\0"


# JSON -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("oid", [JSON, JSONB, TEXT, VARCHAR])
def test_json_stays_json_where_a_number_was_covered(oid):
    shown = one(b'{"card": 4111111111111111, "n": [1, -2.5e3, true, null], "password": 12345}', oid)
    assert shown is not None
    assert json.loads(shown) == {"card": "************1111", "n": [1, -2500.0, True, None], "password": "<secret>"}


def test_a_number_alone_is_json_too():
    assert one(CARD, JSON) == b'"************1111"'
    assert one(CARD, TEXT) == b"************1111"


def test_escapes_of_json_hide_nothing():
    assert one(rb'{"mail": "alice\u0040example.com"}', JSON) == b'{"mail": "a***@example.com"}'
    assert one(rb'{"url": "postgres:\/\/u:pw@h\/x"}', JSON) == b'{"url": "postgres://u:<url-password>@h/x"}'
    assert one(rb'{"x": "\\u0040 \u0022"}', JSON) == rb'{"x": "\\u0040 \u0022"}'


def test_binary_jsonb_keeps_its_version():
    assert one(b'\x01{"mail": "alice@example.com"}', JSONB, 1) == b'\x01{"mail": "a***@example.com"}'
    assert one(b'\x02{"mail": "x"} password', JSONB, 1) is None


def test_json_that_covering_would_break_is_covered_whole():
    assert one(b'{"a": "password=\'", "b": alice@example.com "', JSON) == b'"****"'


def test_a_document_with_a_finding_is_covered_whole_since_a_marker_would_be_a_tag():
    assert one(b"<a>+1 415 555 2671</a>", XML) == b"****"
    assert one(b"<a>nothing</a>", XML) == b"<a>nothing</a>"


LEAVES = st.sampled_from([4111111111111111, "a@example.com", "4111111111111111", "\\", "'", '"', None, True, -2.5, "", "é"])
KEYS = st.sampled_from(["password", "token", "a@b.example", "x"])
JSON_VALUES = st.recursive(
    LEAVES | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(JSON_VALUES, st.booleans(), st.sampled_from([(JSON, 0), (JSON, 1), (JSONB, 0), (TEXT, 0)]))
def test_any_json_stays_json_and_loses_what_is_to_be_covered(value, ascii_only, kind):
    shown = one(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace"), *kind)
    assert shown is not None
    assert b"4111111111111111" not in shown
    if kind[0] != TEXT or shown[:1] in (b"{", b"["):
        json.loads(shown)


# Binary -----------------------------------------------------------------------------------------------------------------------


def numeric(value: str, sign: int = 0) -> bytes:
    """The binary form of a numeric, as numeric_send makes it."""
    whole, _, fraction = value.partition(".")
    whole = whole.zfill(-(-len(whole) // 4) * 4)
    tail = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int((whole + tail)[at : at + 4]) for at in range(0, len(whole + tail), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[-1] == 0:
        groups.pop()
    return struct.pack("!HhHH", len(groups), weight, sign, len(fraction)) + b"".join(
        struct.pack("!H", group) for group in groups
    )


def array(oid: int, *values: bytes | None, dimensions: int = 1, gaps: int | None = None) -> bytes:
    has_gaps = int(None in values) if gaps is None else gaps
    head = struct.pack("!iiI", dimensions, has_gaps, oid) + struct.pack("!ii", len(values), 1) * dimensions
    return head + b"".join(struct.pack("!i", -1) if each is None else struct.pack("!i", len(each)) + each for each in values)


def test_a_card_in_a_binary_number_becomes_null():
    assert one(int(CARD).to_bytes(8), INT8, 1) is None
    assert one(numeric("4111111111111111"), NUMERIC, 1) is None
    assert one(numeric("4111111111111111.00"), NUMERIC, 1) is None
    assert one(numeric("378282246310005"), NUMERIC, 1) is None
    assert one(numeric("4000000000000002"), NUMERIC, 1) is None


@pytest.mark.parametrize(
    ("cell", "oid"),
    [
        ((4111111111111112).to_bytes(8), INT8),
        ((-4111111111111111).to_bytes(8, signed=True), INT8),
        ((1714554821123456).to_bytes(8), INT8),
        (numeric("4111111111111111.25"), NUMERIC),
        (numeric("4111111111111111", sign=0x4000), NUMERIC),
        (numeric("0"), NUMERIC),
        (struct.pack("!HhHH", 0, 0, 0xC000, 0), NUMERIC),
        (struct.pack("!HhHH", 0, 32767, 0, 0), NUMERIC),
    ],
)
def test_binary_numbers_that_are_no_card_pass(cell, oid):
    body = row(cell)
    assert cover([column(oid, 1)]).cover(body) is body


@pytest.mark.parametrize(("cell", "oid"), [(b"1234", INT8), (b"", INT8), (b"", NUMERIC), (b"\0\2\0\0\0\0\0\0\0\1", NUMERIC)])
def test_a_binary_number_of_the_wrong_size_is_not_passed(cell, oid):
    rows = cover([column(oid, 1)])
    assert cells(rows.cover(row(cell))) == [None]
    assert rows.masked == {"unread": 1}


@pytest.mark.parametrize("oid", [RECORD, CITEXT, 3904, 3926, 3614, 99])
def test_a_binary_type_that_is_not_understood_never_passes(oid):
    rows = cover([column(oid, 1)])
    assert cells(rows.cover(row(b"anything"))) == [None]
    assert rows.masked == {"unread": 1}


def test_binary_arrays_are_covered_by_element():
    assert one(array(TEXT, b"alice@example.com", None, b"x"), TEXTS, 1) == array(TEXT, b"a***@example.com", None, b"x")
    assert one(array(INT8, (7).to_bytes(8), int(CARD).to_bytes(8)), INT8S, 1) == array(INT8, (7).to_bytes(8), None)
    assert one(array(JSONB, b"\x01" + CARD), 3807, 1) == array(JSONB, b'\x01"************1111"')


def test_binary_arrays_without_a_finding_are_the_same_object():
    body = row(array(TEXT, b"a", None), array(INT8, bytes(8)), array(INT4, bytes(4)), array(TEXT, dimensions=0))
    assert cover([column(oid, 1) for oid in (TEXTS, INT8S, INT4S, TEXTS)]).cover(body) is body


@pytest.mark.parametrize(
    "cell",
    [
        array(TEXT, CARD)[:-1],
        array(TEXT, CARD) + b"\0",
        array(VARCHAR, CARD),
        array(TEXT, CARD, gaps=2),
        array(TEXT, CARD, dimensions=7),
        struct.pack("!iiI", -1, 0, TEXT) + CARD,
        struct.pack("!iiIii", 1, 0, TEXT, -5, 1) + CARD,
        struct.pack("!iiIii", 1, 0, TEXT, 2**31 - 1, 1) + struct.pack("!i", 16) + CARD,
        CARD,
    ],
)
def test_a_damaged_binary_array_is_not_passed(cell):
    assert one(cell, TEXTS, 1) is None


# Rules ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [0, 1])
def test_a_rule_covers_text_by_its_style(form):
    styles = [Cover(style, False) for style in (Style.REDACT, Style.PARTIAL, Style.HASH)]
    rows = cover([column(VARCHAR, form)] * 3, styles)
    redact, partial, hashed = cells(rows.cover(row(b"Alice Smith", b"Alice Smith", b"Alice Smith")))
    assert (redact, partial) == (b"****", b"A****")
    assert hashed is not None
    assert hashed.startswith(b"h:")
    assert rows.masked == {"redact": 1, "partial": 1, "hash": 1}


@pytest.mark.parametrize(
    ("oid", "form", "shown"),
    [
        (TEXT, 1, b"****"),
        (CITEXT, 0, b"****"),
        (CITEXT, 1, None),
        (CHAR, 0, b"*"),
        (CHAR, 1, b"*"),
        (JSON, 0, b'"****"'),
        (JSON, 1, b'"****"'),
        (JSONB, 0, b'"****"'),
        (JSONB, 1, b'\x01"****"'),
        (XML, 0, b"****"),
        (INT4, 0, None),
        (INT4, 1, None),
        (BOOL, 0, None),
        (DATE, 1, None),
        (BYTEA, 0, None),
        (TEXTS, 0, None),
        (RECORD, 0, None),
    ],
)
@pytest.mark.parametrize("how", [WHOLE, Cover(Style.REDACT, False), Cover(Style.PARTIAL, True)])
def test_a_whole_cover_fits_the_type_or_is_null(oid, form, shown, how):
    assert one(b"t", oid, form, how) == shown


def test_null_stays_null_and_empty_does_not_show():
    rows = cover([column(), column(), column(INT4)], [Cover(Style.REDACT, False), WHOLE, WHOLE])
    assert cells(rows.cover(row(None, b"", None))) == [None, b"****", None]
    assert rows.masked == {"uncertain": 1}


def test_a_hash_of_json_is_a_json_string_and_of_a_number_is_null():
    shown = one(b'{"a": 1}', JSONB, 0, Cover(Style.HASH, False))
    assert shown is not None
    assert json.loads(shown).startswith("h:")
    assert one(b"12", INT4, 0, Cover(Style.HASH, False)) is None


def test_rule_and_detectors_work_side_by_side():
    rows = cover([column(), column()], [Cover(Style.PARTIAL, False), OPEN])
    assert cells(rows.cover(row(b"bob@example.org", b"alice@example.com"))) == [b"b***@example.org", b"a***@example.com"]
    assert cells(rows.cover(row(b"Alice Smith", b"x"))) == [b"A****", b"x"]
    assert rows.masked == {"partial": 2, "email": 1}


@pytest.mark.parametrize(
    ("oid", "cell", "seen"),
    [
        (CITEXT + 1, b'"mail"=>"alice@example.com", "n"=>"1"', b'"mail"=>"a***@example.com", "n"=>"1"'),  # hstore
        (CITEXT + 2, b'("Bern","alice@example.com",)', b'("Bern","a***@example.com",)'),  # a composite type
        (CITEXT + 3, b'["alice@example.com","bob@example.com")', b'["a***@example.com","b***@example.com")'),  # a range of text
        (RECORD, b'(1,"\\\\x616c696365406578616d706c652e636f6d")', b'(1,"\\\\x612a2a2a406578616d706c652e636f6d")'),
        (3926, b"[4111111111111111,4111111111111112)", None),  # int8range
        (TEXTS, b'{alice@example.com,"a b"}', b'{a***@example.com,"a b"}'),
        (JSONS, b'{"{\\"mail\\": \\"alice@example.com\\"}"}', None),
        (JSONB, b'{"a": [4111111111111111]}', b'{"a": ["************1111"]}'),
    ],
)  # fmt: skip
def test_values_inside_of_other_forms_are_found(oid: int, cell: bytes, seen: bytes | None) -> None:
    assert one(cell, oid) == seen


# Damage -----------------------------------------------------------------------------------------------------------------------

TYPES = st.sampled_from(
    [TEXT, VARCHAR, JSON, JSONB, XML, BYTEA, CHAR, INT8, NUMERIC, TEXTS, INT8S, JSONS, RECORD, CITEXT, 3926]
)
COLUMNS = st.tuples(
    TYPES, st.sampled_from([0, 1]), st.sampled_from([OPEN, WHOLE, Cover(Style.PARTIAL, False), Cover(Style.HASH, False)])
)
CELLS = (
    st.none()
    | st.binary(max_size=24)
    | st.sampled_from([CARD, b"a@example.com", rb"\x61406578616d706c652e636f6d", b'{"a\\u0040": 1}'])
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(COLUMNS, CELLS), min_size=1, max_size=5))
def test_any_row_stays_a_row_of_as_many_columns(parts):
    rows = cover([column(oid, form) for (oid, form, _), _ in parts], [how for (_, _, how), _ in parts])
    body = row(*(cell for _, cell in parts))
    shown = cells(rows.cover(body))
    assert len(shown) == len(parts)
    for (_, old), new in zip(parts, shown, strict=True):
        assert old is not None or new is None
        assert new is None or CARD not in new


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(COLUMNS, CELLS), min_size=1, max_size=4), st.data())
def test_a_damaged_row_is_a_wire_error_or_holds_nothing(parts, data):
    rows = cover([column(oid, form) for (oid, form, _), _ in parts], [how for (_, _, how), _ in parts])
    body = bytearray(row(*(cell for _, cell in parts)))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        shown = rows.cover(damaged)
    except WireError:
        return
    assert CARD not in shown or shown is damaged


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\2" + row(CARD)[2:],
        row(CARD)[:-1],
        row(CARD) + b"x",
        b"\0\1" + struct.pack("!i", -2) + CARD,
        b"\0\1" + struct.pack("!i", 2**31 - 1) + CARD,
        b"\0\1" + struct.pack("!i", 3) + CARD,
    ],
)
def test_a_row_whose_counts_or_lengths_lie_is_a_wire_error(body):
    with pytest.raises(WireError):
        cover([column()]).cover(body)


def test_a_row_of_another_number_of_columns_is_a_wire_error_even_when_nothing_is_found():
    with pytest.raises(WireError, match="row of 1 columns, described as 2"):
        cover([column(), column()]).cover(row(b"x"))


# Reports ----------------------------------------------------------------------------------------------------------------------


def report(**fields: str) -> bytes:
    return b"".join(kind.encode() + text.encode() + b"\0" for kind, text in fields.items()) + b"\0"


def fields(body: bytes) -> dict[str, str]:
    return {part[:1].decode(): part[1:].decode() for part in body[:-1].split(b"\0") if part}


def told(code: str, *, generic: bool = True, **more: str) -> dict[str, str]:
    known = {"S": "ERROR", "V": "ERROR", "C": code, "M": "it says alice", "F": "x.c", "L": "1", "R": "f"} | more
    return fields(cover_report(report(**known), generic=generic, detectors=NAMES))


def test_detectors_cover_every_text_of_a_report():
    body = report(
        S="ERROR", C="23505", M="duplicate", D="Key (email)=(alice@example.com) already exists.", W="near 536-90-4399"
    )
    shown = fields(cover_report(body, generic=False, detectors=NAMES))
    assert shown["D"] == "Key (email)=(a***@example.com) already exists."
    assert shown["W"] == "near ***-**-4399"
    assert shown["C"] == "23505"


def test_a_report_with_nothing_to_cover_is_the_same_object():
    body = report(S="ERROR", C="42601", M='syntax error at or near "x"', P="8", F="scan.l", L="1244", R="scanner_yyerror")
    assert cover_report(body, generic=False, detectors=NAMES) is body
    assert cover_report(body, generic=True, detectors=NAMES) is body


def test_a_generic_report_quotes_nothing():
    shown = told(
        "22P02", D="alice", H="alice", W="alice", q="select alice", p="3", P="15", s="public", t="customers", Z="alice"
    )
    assert shown["M"] == "details withheld: the statement reads masked columns (SQLSTATE 22P02)"
    assert "alice" not in "".join(shown.values())
    assert shown.keys() == set("SVCMFLRPst")


@pytest.mark.parametrize("code", ["25P02", "40001", "40P01", "53300", "57014", "57P01", "55P03"])
def test_messages_that_cannot_quote_a_value_stay(code):
    assert told(code)["M"] == "it says alice"


@pytest.mark.parametrize("code", ["42703", "42P01", "42601", "42883", "3D000", "3F000", "26000", "34000"])
def test_a_message_about_names_stays_only_where_it_points_into_the_clients_own_text(code):
    assert told(code, P="8")["M"] == "it says alice"
    assert "alice" not in told(code)["M"]
    assert "alice" not in told(code, P="8", q="select alice", p="3")["M"]
    assert "alice" not in told(code, p="3")["M"]
    assert "alice" not in told(code, P="8", W="invalid type name")["M"]


def test_a_denied_permission_names_the_table_and_nothing_that_only_claims_to_be_one():
    assert told("42501", F="aclchk.c")["M"] == "it says alice"
    assert "alice" not in told("42501", F="genfile.c")["M"]


@pytest.mark.parametrize("file", ["pl_exec.c", "plpy_elog.c", "plperl.c", "pltcl.c", ""])
@pytest.mark.parametrize("code", ["57014", "42501", "P0001", "22012"])
def test_what_a_function_says_in_any_field_is_withheld(file, code):
    shown = told(code, F=file, P="3", s="alice", t="alice", c="alice", n="alice", d="alice", D="alice")
    assert "alice" not in "".join(shown.values())


@pytest.mark.parametrize("code", ["22P02", "23505", "40002", "55000", "55006", "P0001", "XX000", "00000", "01000", "54001"])
def test_every_other_message_is_withheld(code):
    assert "alice" not in told(code)["M"]


def test_a_code_that_is_none_is_not_passed_on():
    assert told("alice")["C"] == "XX000"
    assert "alice" not in told("alice")["M"]


def test_a_kept_message_still_goes_through_the_detectors():
    assert (
        told("42703", P="8", M='column "alice@example.com" does not exist')["M"] == 'column "a***@example.com" does not exist'
    )


@pytest.mark.parametrize("body", [b"", b"SERROR", b"SERROR\0", b"SERROR\0\0x\0\0", b"\0\0\0"])
def test_a_report_that_does_not_end_where_it_should_is_a_wire_error(body):
    for generic in (False, True):
        with pytest.raises(WireError):
            cover_report(body, generic=generic, detectors=NAMES)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_a_report_or_a_wire_error(body, generic):
    try:
        shown = cover_report(body, generic=generic, detectors=NAMES)
    except WireError:
        return
    assert shown.endswith(b"\0")


# Notifications --------------------------------------------------------------------------------------------------------------


def test_a_payload_is_covered_and_its_channel_and_end_stay():
    assert cover_notification(b"\0\0\0\7ch\0password=hunter2\0", NAMES) == b"\0\0\0\7ch\0password=<secret>\0"
    body = b"\0\0\0\7ch\0\0"
    assert cover_notification(body, NAMES) is body


@pytest.mark.parametrize("body", [b"", b"\0\0\0\0", b"\0\0\0\0\0", b"\0\0\0\0a\0b", b"\0\0\0\0a\0b\0c\0", b"\0\0\0\0a\0b\0c"])
def test_a_damaged_notification_is_a_wire_error(body):
    with pytest.raises(WireError):
        cover_notification(body, NAMES)
