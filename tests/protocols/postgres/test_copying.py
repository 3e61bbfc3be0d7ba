"""COPY … TO STDOUT, covered: the server's writer is played by hand, and its rows are cut anywhere."""

import csv
import io
import struct
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatebook.errors import WireError
from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import Style
from gatebook.protocols.postgres import statement
from gatebook.protocols.postgres.copying import SIGNATURE, TRAILER, CopyCover, formats
from gatebook.protocols.postgres.oids import UNTYPED
from gatebook.protocols.postgres.reading import CopyPlan, Relation
from gatebook.protocols.postgres.rows import Cover

OPEN, REDACT, PARTIAL, WHOLE = Cover(None, False), Cover(Style.REDACT, False), Cover(Style.PARTIAL, False), Cover(None, True)
TEXT, INT4, INT8, NUMERIC, BYTEA, JSON, JSONB, UUID = 25, 23, 20, 1700, 17, 114, 3802, 2950
CARD, SSN = b"4242424242424242", b"536-90-4399"
KEY = b"k" * 32
HEAD = SIGNATURE + bytes(8)

cells_of_three = st.lists(
    st.one_of(st.none(), st.binary(max_size=12), st.text(max_size=8).map(str.encode)), min_size=3, max_size=3
)
rows_of_three = st.lists(cells_of_three, max_size=6)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def plan_of(options, inward=False):
    (read,) = statement.read(f"COPY t {'FROM STDIN' if inward else 'TO STDOUT'} {options}").statements
    assert read.copy is not None
    return read.copy


def cover_of(plan, *covers, types=None, names=NAMES, **more):
    return CopyCover(plan, types or [TEXT] * len(covers), list(covers), names, KEY, **more)


def fed(cover, data, sizes=(10**9,)):
    """Everything the cover gives for the data, cut into these sizes again and again."""
    pieces, at, number = [], 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        pieces.append(cover.feed(data[at : at + size]))
        at, number = at + size, number + 1
    cover.close()
    return b"".join(pieces)


# The server's own writer, after CopyAttributeOutText and CopyAttributeOutCSV

LETTERS = {8: b"\\b", 12: b"\\f", 10: b"\\n", 13: b"\\r", 9: b"\\t", 11: b"\\v", 92: b"\\\\"}


def text_rows(plan, rows):
    def cell(value):
        if value is None:
            return plan.null
        return b"".join(
            LETTERS.get(byte) or (b"\\" + bytes([byte]) if bytes([byte]) == plan.delimiter else bytes([byte])) for byte in value
        )

    return b"".join(plan.delimiter.join(map(cell, row)) + b"\n" for row in rows)


def csv_rows(plan, rows, force=False):
    def cell(value):
        if value is None:
            return plan.null
        special = {plan.delimiter, plan.quote, b"\n", b"\r"}
        if not (force or value == plan.null or value == b"\\." or any(one in value for one in special)):
            return value
        marks = {plan.quote[0], plan.escape[0]}
        return plan.quote + b"".join(plan.escape * (byte in marks) + bytes([byte]) for byte in value) + plan.quote

    return b"".join(plan.delimiter.join(map(cell, row)) + b"\n" for row in rows)


def binary_rows(rows, trailer=TRAILER):
    def row(cells):
        return struct.pack("!h", len(cells)) + b"".join(
            struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells
        )

    return HEAD + b"".join(map(row, rows)) + trailer


def array(element, value):
    return struct.pack("!iiIiii", 1, 0, element, 1, 1, len(value)) + value


def text_read(plan, data):
    """Rows of the text format, read a byte at a time."""
    backs = {value[1]: bytes([key]) for key, value in LETTERS.items()}
    rows, cells, raw, value, at = [], [], b"", b"", 0
    while at < len(data):
        byte = data[at : at + 1]
        if byte in (plan.delimiter, b"\n"):
            cells.append(None if raw == plan.null else value)
            raw, value = b"", b""
            if byte == b"\n":
                rows.append(cells)
                cells = []
        elif byte == b"\\":
            raw += data[at : at + 2]
            value += backs.get(data[at + 1], data[at + 1 : at + 2])
            at += 1
        else:
            raw, value = raw + byte, value + byte
        at += 1
    return rows


def clean(rows):
    """No NUL, which no text of the server holds; and rows without what a detector finds."""
    assume(not any(cell and b"\0" in cell for row in rows for cell in row))
    return rows


# Passing on


@given(rows_of_three, cuts, st.sampled_from(["", "(DELIMITER '|', NULL 'nil')", "(DELIMITER ' ', NULL '')"]))
def test_text_that_needs_no_cover_comes_out_as_the_bytes_that_went_in(rows, sizes, options):
    plan = plan_of(options)
    data = text_rows(plan, clean(rows))
    assert fed(cover_of(plan, OPEN, OPEN, OPEN, names=frozenset()), data, sizes) == data


CSV_OPTIONS = [
    "(FORMAT csv)",
    "(FORMAT csv, DELIMITER ';', NULL 'nil', QUOTE '''')",
    "(FORMAT csv, ESCAPE '\\')",
    "(FORMAT csv, ESCAPE ',', DELIMITER ',')",
    "(FORMAT csv, QUOTE '-', DELIMITER '|')",
]


@given(rows_of_three, cuts, st.sampled_from(CSV_OPTIONS), st.booleans())
def test_csv_that_needs_no_cover_comes_out_as_the_bytes_that_went_in(rows, sizes, options, force):
    plan = plan_of(options)
    data = csv_rows(plan, clean(rows), force)
    assert fed(cover_of(plan, OPEN, OPEN, OPEN, names=frozenset()), data, sizes) == data


@given(rows_of_three, cuts)
def test_binary_that_needs_no_cover_comes_out_as_the_bytes_that_went_in(rows, sizes):
    data = binary_rows(rows)
    cover = cover_of(plan_of("(FORMAT binary)"), OPEN, OPEN, OPEN, names=frozenset())
    assert fed(cover, data, sizes) == data


@given(rows_of_three, cuts)
def test_a_copy_cut_anywhere_is_covered_the_same(rows, sizes):
    rows = [[*row[:2], SSN] for row in clean(rows)]
    for plan, data in (
        (plan_of(""), text_rows(plan_of(""), rows)),
        (plan_of("(FORMAT csv)"), csv_rows(plan_of("(FORMAT csv)"), rows)),
        (plan_of("(FORMAT binary)"), binary_rows(rows)),
    ):
        whole = fed(cover_of(plan, OPEN, PARTIAL, OPEN), data)
        assert fed(cover_of(plan, OPEN, PARTIAL, OPEN), data, sizes) == whole
        assert SSN not in whole


def test_each_message_of_whole_rows_is_answered_by_one_of_the_same_rows():
    cover = cover_of(plan_of("(FORMAT binary)"), OPEN)
    first = binary_rows([[b"a"]], b"")
    assert cover.feed(first) == first
    assert cover.feed(TRAILER) == TRAILER
    cover.close()


# Covering


@given(rows_of_three, st.sampled_from(["", "(DELIMITER '|')"]))
def test_a_covered_column_of_text_leaves_the_others_as_they_are(rows, options):
    plan = plan_of(options)
    rows = clean(rows)
    found = text_read(plan, fed(cover_of(plan, OPEN, REDACT, OPEN, names=frozenset()), text_rows(plan, rows)))
    assert found == [[a, None if b is None else b"****", c] for a, b, c in rows]


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), min_size=1), min_size=3, max_size=3
        )
    )
)
def test_a_covered_column_of_csv_leaves_the_others_as_they_are(rows):
    plan = plan_of("(FORMAT csv)")
    data = fed(
        cover_of(plan, OPEN, REDACT, OPEN, names=frozenset()), csv_rows(plan, [[cell.encode() for cell in row] for row in rows])
    )
    assert list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True)) == [[a, "****", c] for a, _, c in rows]


@pytest.mark.parametrize(
    ("options", "data", "shown"),
    [
        ("", b"1\t536-90-4399\t\\N\n", b"1\t***-**-4399\t\\N\n"),
        ("", b"1\t\\N\tx\\\\y\n", b"1\t\\N\tx\\\\y\n"),
        ("", b"a\\tb\t\ta\\nb\n", b"a\\tb\t****\ta\\nb\n"),
        ("(DELIMITER '-')", b"1-536\\-90\\-4399-x\n", b"1-***\\-**\\-4399-x\n"),
        ("(DELIMITER '-')", b"536\\-90\\-4399-x-y\n", b"***\\-**\\-4399-****-y\n"),
        ("(FORMAT csv)", b'1,"a,b\nc",x\n', b'1,"a****",x\n'),
        ("(FORMAT csv)", b'1,"",\n', b'1,"****",\n'),
        ("(FORMAT csv)", b"1,,\n", b"1,,\n"),
        ("(FORMAT csv, FORCE_QUOTE *)", b'"1","536-90-4399","a ""b"""\n', b'"1","***-**-4399","a ""b"""\n'),
        ("(FORMAT csv, QUOTE '-')", b"1,-536--90--4399-,x\n", b"1,-***--**--4399-,x\n"),
        ("(FORMAT csv, QUOTE '-')", b"-536--90--4399-,x,y\n", b"-***--**--4399-,****,y\n"),
        ("(FORMAT csv, HEADER)", b"id,ssn,note\n1,536-90-4399,\n", b"id,ssn,note\n1,***-**-4399,\n"),
        ("(HEADER)", b"id\tssn\tnote\n1\t536-90-4399\tx\n", b"id\tssn\tnote\n1\t***-**-4399\tx\n"),
    ],
)
def test_a_rules_column_is_covered_in_its_style_and_written_as_the_server_would(options, data, shown):
    assert fed(cover_of(plan_of(options), OPEN, PARTIAL, OPEN), data) == shown


@pytest.mark.parametrize(
    "options",
    ["", "(FORMAT csv)", "(FORMAT csv, FORCE_QUOTE *)", "(DELIMITER '-')", "(DELIMITER '4')", "(FORMAT csv, QUOTE '4')"],
)
def test_detectors_see_through_the_way_a_value_is_written(options):
    plan = plan_of(options)
    if plan.refusal:
        return
    write = csv_rows if plan.format == "csv" else text_rows
    data = write(plan, [[b"his card: 4242-4242-4242-4242, ok", b"\\x" + b"x".join([SSN]).hex().encode(), b"x"]])
    shown = fed(cover_of(plan, OPEN, OPEN, OPEN, types=[UNTYPED] * 3), data)
    found = text_read(plan, shown)[0] if plan.format == "text" else None
    assert b"4242-4242-4242-4242" not in shown.replace(b"\\", b"").replace(b"44", b"4")
    assert SSN.hex().encode() not in shown
    assert found is None or len(found) == 3


def test_a_null_string_that_a_value_could_be_tells_nothing_about_a_covered_column():
    plan = plan_of("(NULL '536-90-4399')")
    data = b"536-90-4399\t536-90-4399\tx\n"
    assert b"536-90" not in fed(cover_of(plan, REDACT, PARTIAL, OPEN), data)


def test_in_csv_the_null_string_is_null_only_where_it_has_no_quotes():
    plan = plan_of("(FORMAT csv, NULL '536-90-4399')")
    shown = fed(cover_of(plan, REDACT, REDACT), b'"536-90-4399",536-90-4399\n')
    assert shown == b'"****",536-90-4399\n'  # NULL is written as the client said


def test_a_column_of_a_type_that_holds_no_text_becomes_null():
    cover = cover_of(plan_of(""), REDACT, REDACT, WHOLE, types=[INT4, JSON, TEXT])
    assert fed(cover, b'1\t{"a":1}\tx\n') == b'\\N\t"****"\t****\n'
    assert cover.masked == {"redact": 2, "uncertain": 1}


def test_a_column_whose_type_nobody_knows_is_covered_whole_as_text_and_as_null_in_binary():
    assert fed(cover_of(plan_of(""), WHOLE, types=[UNTYPED]), b"17\n") == b"****\n"
    binary = cover_of(plan_of("(FORMAT binary)"), WHOLE, types=[UNTYPED])
    assert fed(binary, binary_rows([[b"\0\0\0\1"]])) == binary_rows([[None]])


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (b"\0\0\0\1", b"\0\0\0\1"),
        (b"plain words", b"plain words"),
        (b"card " + CARD, b"card ************4242"),
        (int(CARD).to_bytes(8), None),
        ((1234567).to_bytes(8), (1234567).to_bytes(8)),
        (struct.pack("!HhHH4H", 4, 3, 0, 0, 4242, 4242, 4242, 4242), None),
        (struct.pack("!HhHH1H", 1, 0, 0, 0, 42), struct.pack("!HhHH1H", 1, 0, 0, 0, 42)),
        (b"\x01" + b'{"ssn": "536-90-4399"}', b"\x01" + b'{"ssn": "***-**-4399"}'),
        (bytes(range(0x80, 0x90)), bytes(range(0x80, 0x90))),
        (array(23, b"\0\0\0\7"), array(23, b"\0\0\0\7")),
        (array(25, SSN), array(25, b"***-**-4399")),
        (array(23, b"\0\0\0\7")[:-1], None),
        (struct.pack("!iIi", 1, 25, 11) + SSN, None),
        (b"\0\1\2\3\4\5\6\7\x08\x09", None),
    ],
)  # fmt: skip
def test_a_binary_cell_of_a_type_nobody_knows_passes_only_as_what_it_can_be_read_as(cell, shown):
    cover = cover_of(plan_of("(FORMAT binary)"), OPEN, types=[UNTYPED])
    assert fed(cover, binary_rows([[cell]])) == binary_rows([[shown]])


def test_binary_columns_of_known_types_are_covered_as_in_any_answer():
    cover = cover_of(plan_of("(FORMAT binary)"), PARTIAL, OPEN, REDACT, types=[TEXT, UUID, INT4])
    rows = [[SSN, b"u" * 16, b"\0\0\0\1"], [None, None, None]]
    assert fed(cover, binary_rows(rows)) == binary_rows([[b"***-**-4399", b"u" * 16, None], [None, None, None]])
    assert cover.masked == {"partial": 1, "redact": 1}


def test_a_table_without_columns_has_empty_rows():
    for options in ("", "(FORMAT csv)"):
        assert fed(cover_of(plan_of(options)), b"\n\n") == b"\n\n"
        with pytest.raises(WireError, match="described as none"):
            cover_of(plan_of(options)).feed(b"x\n")


# Closed


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ("", b"1\t2\n"),
        ("", b"1\t2\t3\t4\n"),
        ("", b"1\t2\\N\n"),
        ("", b"a\rb\t2\t3\n"),
        ("", b"1\t2\t3\\\n4\n"),
        ("(FORMAT csv)", b"1,2\n"),
        ("(FORMAT csv)", b"1,2,3,4\n"),
        ("(FORMAT csv)", b'1,a"b"c,3\n'),
        ("(FORMAT csv)", b'1,"a"b,3\n'),
        ("(FORMAT csv)", b'1,2,3\r\n'),
        ("(FORMAT csv, ESCAPE '\\')", b'1,"a\\b",3\n'),
        ("(FORMAT binary)", b"PGCOPY\n\xff\r\n\1" + bytes(8)),
        ("(FORMAT binary)", SIGNATURE + b"\0\1\0\0" + bytes(4)),
        ("(FORMAT binary)", SIGNATURE + bytes(4) + b"\0\0\0\4" + b"tail"),
        ("(FORMAT binary)", binary_rows([[b"1", b"2"]])),
        ("(FORMAT binary)", HEAD + b"\0\3" + b"\xff\xff\xff\xfe" + bytes(8)),
        ("(FORMAT binary)", binary_rows([]) + b"\0\3"),
        ("(FORMAT binary)", binary_rows([]) + b"more"),
    ],
)  # fmt: skip
def test_a_row_that_the_server_does_not_write_ends_the_copy(options, data):
    with pytest.raises(WireError, match="COPY"):
        fed(cover_of(plan_of(options), OPEN, PARTIAL, OPEN), data)


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ("", b"1\t2"),
        ("(FORMAT csv)", b'1,"2\n'),
        ("(FORMAT binary)", b""),
        ("(FORMAT binary)", binary_rows([[b"1", b"2"]], b"")),
        ("(FORMAT binary)", binary_rows([[b"1", b"2"]], b"\0\2\0")),
    ],
)
def test_a_copy_that_ends_in_the_midst_of_a_row_is_not_whole(options, data):
    with pytest.raises(WireError, match="COPY ended"):
        fed(cover_of(plan_of(options), OPEN, OPEN), data)


@pytest.mark.parametrize("options", ["", "(FORMAT csv)", "(FORMAT binary)"])
def test_a_row_has_a_limit(options):
    start = {"": b"x", "(FORMAT csv)": b'"\n', "(FORMAT binary)": HEAD + b"\0\1\0\1\0\0"}[options]
    cover = cover_of(plan_of(options), OPEN, limit=100)
    cover.feed(start)
    cover.feed(b"x" * 50)
    with pytest.raises(WireError, match="over 100 bytes"):
        cover.feed(b"x" * 50)


@given(st.sampled_from(["", "(FORMAT csv)", "(FORMAT csv, ESCAPE '\\')", "(FORMAT binary)"]), st.binary(max_size=200), cuts)
def test_any_bytes_give_a_wire_error_or_no_masked_value(options, junk, sizes):
    cover = cover_of(plan_of(options), REDACT, REDACT)
    try:
        shown = fed(cover, junk + b"\tsecret-value\n", sizes)
    except WireError:
        return
    assert b"secret-value" not in shown


# The response that begins a copy


def test_the_response_says_format_and_columns():
    assert formats(b"\0\0\2" + b"\0\0" * 2) == (False, 2)
    assert formats(b"\1\0\1" + b"\0\1") == (True, 1)
    for body in (b"", b"\2\0\0", b"\0\0\1", b"\0\0\1\0\1", b"\0\0\0\0"):
        with pytest.raises(WireError):
            formats(body)


# Options


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ("", {}),
        ("BINARY", {"format": "binary"}),
        ("(FORMAT binary)", {"format": "binary"}),
        ("WITH CSV HEADER", {"format": "csv", "delimiter": b",", "null": b"", "header": True}),
        ("WITH DELIMITER '|' NULL ''", {"delimiter": b"|", "null": b""}),
        ("(FORMAT csv, HEADER false)", {"format": "csv", "delimiter": b",", "null": b""}),
        ("(FORMAT csv, HEADER 'On')", {"format": "csv", "delimiter": b",", "null": b"", "header": True}),
        ("(FORMAT csv, QUOTE '''')", {"format": "csv", "delimiter": b",", "null": b"", "quote": b"'", "escape": b"'"}),
        ("(HEADER 1, ENCODING 'utf-8')", {"header": True}),
        ("(DELIMITER E'\\x01')", {"delimiter": b"\x01"}),
        ("(FORMAT csv, FORCE_QUOTE *)", {"format": "csv", "delimiter": b",", "null": b""}),
    ],
)  # fmt: skip
def test_options_are_read_as_the_server_takes_them(options, changes):
    assert plan_of(options) == CopyPlan(False, Relation(None, "t"), **changes)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("(FORMAT 'json')", "format json"),
        ("(FORMAT 'CSV')", "format CSV"),
        ("(ENCODING 'latin1')", "encoding latin1"),
        ("(SPEED 9)", "option speed"),
        ("(NULL 'a', NULL 'b')", "given twice"),
        ("(DELIMITER '||')", "delimiter"),
        ("(DELIMITER 'é')", "delimiter"),
        ("(DELIMITER 'a')", "delimiter"),
        ("(DELIMITER '\\')", "delimiter"),
        ("(DELIMITER E'\\n')", "delimiter"),
        ("(NULL E'a\\tb')", "null"),
        ("(NULL '\\')", "null"),
        ("(NULL 'a\\\\\\')", "null"),
        ("(FORMAT csv, NULL 'a\"')", "null"),
        ("(FORMAT csv, QUOTE E'\\n')", "quote"),
        ("(FORMAT csv, ESCAPE '')", "escape"),
        ("(HEADER match)", "header match"),
        ("(HEADER 2)", "header 2"),
    ],
)
def test_options_that_cannot_be_covered_are_refused_in_words(options, why):
    refusal = plan_of(options).refusal
    assert refusal.startswith("COPY with ")
    assert refusal.endswith(" is not carried")
    assert why in refusal


def test_options_that_only_the_server_reads_are_its_own_business_on_the_way_in():
    for options in ("(FORMAT csv, HEADER match, DELIMITER '||')", "(FREEZE)", "(ON_ERROR ignore, FORMAT csv)"):
        assert not plan_of(options, inward=True).refusal
    assert "encoding" in plan_of("(ENCODING 'latin1')", inward=True).refusal
    assert "format json" in plan_of("(FORMAT 'json')", inward=True).refusal


def test_columns_and_queries_are_told_apart():
    (of_columns,) = statement.read('COPY s.t (a, "B") TO STDOUT').statements
    assert of_columns.copy == CopyPlan(False, Relation("s", "t"), ("a", "B"))
    (of_query,) = statement.read("COPY (SELECT 1) TO STDOUT").statements
    assert of_query.copy == CopyPlan(False, None)
    for text in ("COPY t TO '/tmp/x'", "COPY t FROM PROGRAM 'x'", "SELECT 1"):
        assert statement.read(text).statements[0].copy is None


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        ("CSV", b'""'),
        ("CSV", b"\n"),
        ("CSV", b'a""\n'),
        (r"CSV QUOTE '''' ESCAPE '\'", rb"\\"),
        (r"CSV QUOTE '''' ESCAPE '\'", rb"\'a"),
        ("", rb"\n"),
        ("", rb"\\\t"),
    ],
)
def test_a_cell_full_of_escapes_takes_less_than_two_seconds(options, piece):
    plan = plan_of(options)
    cell = piece * (2_500_000 // len(piece))
    row = plan.quote + cell + plan.quote if plan.format == "csv" else cell
    before = time.process_time()
    output = fed(cover_of(plan, OPEN, WHOLE), row + plan.delimiter + row + b"\n", (10**9,))
    assert time.process_time() - before < 2
    assert output.startswith(row + plan.delimiter)
    assert len(output) < len(row) + 20


def test_a_quoted_cell_that_comes_in_pieces_is_searched_once():
    cover, piece = cover_of(plan_of("CSV"), OPEN), b'a""b\n' * 4_000
    before = time.process_time()
    assert cover.feed(b'"') == b""
    assert all(cover.feed(piece) == b"" for _ in range(500))
    assert cover.feed(b'"\n') == b'"' + piece * 500 + b'"\n'
    assert time.process_time() - before < 2
