import csv
import io
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import DETECTORS, RULES, answer, both, mask_set, plan, shown

from gatebook.errors import WireError
from gatebook.masking.rules import Style
from gatebook.protocols.http.covering.choosing import Unreadable
from gatebook.protocols.http.covering.forms import FormCover, cover_query
from gatebook.protocols.http.covering.tables import TableCover

TABLE = (
    b'\xef\xbb\xbfid,"SSN",email,note,password\r\n'
    b'1,"hu""sh",bob@example.com,"two\r\nlines, 4111111111111111",hunter22\r\n'
    b"2,,x,,\r\n\r\n"
    b"3,hush,x,plain,,extra\r\n"
    b"4,hush,1234567,x,y"
)


def test_columns_are_covered_by_the_names_in_the_first_record():
    out, masked = both(TableCover, RULES, TABLE)
    assert out == (
        b'\xef\xbb\xbfid,"SSN",email,note,password\r\n'
        b'1,****,b***@example.com,"two\r\nlines, ************1111",<secret>\r\n'
        b"2,****,****,,\r\n\r\n"
        b"3,****,****,plain,,****\r\n"
        b"4,****,1****,x,y"
    )
    assert masked == {"redact": 4, "partial": 4, "card": 1, "secret": 1, "uncertain": 1}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, len(TABLE)), max_size=20))
def test_cut_anywhere_the_same_table_comes_out(cuts):
    assert both(TableCover, RULES, TABLE, cuts) == both(TableCover, RULES, TABLE)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.text(alphabet='ab,;"\n\r \t|é1', max_size=6), min_size=3, max_size=3), max_size=6),
    st.sampled_from(",;\t|"),
    st.lists(st.integers(0, 200), max_size=10),
)
def test_no_cell_of_a_ruled_column_gets_through_however_it_is_quoted(rows, delimiter, cuts):
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL if len(rows) % 2 else csv.QUOTE_MINIMAL)
    writer.writerow(["id", "ssn", "more"])
    writer.writerows([a, f"hush{b}", c] for a, b, c in rows)
    out = both(TableCover, plan(mask_set(Style.REDACT, "ssn"), detectors=()), written.getvalue().encode(), cuts)[0].decode()
    found = list(csv.reader(io.StringIO(out, newline=""), delimiter=delimiter))[1:]
    assert [row for row in found if row] == [[a, "****", c] for a, b, c in rows]


@pytest.mark.parametrize("record", [b'1,"a"b,c', b'1,"a" ,c', b'1,"a"",b'])
def test_quotes_that_everybody_reads_differently_are_refused(record):
    with pytest.raises(WireError):
        both(TableCover, RULES, b"id,ssn,x\n" + record + b"\n")


def test_a_table_without_names_may_not_pass_under_a_rule():
    assert isinstance(answer("text/csv; header=absent", RULES), Unreadable)
    assert shown("text/csv", RULES, b"a;ssn\n1;2\n") == b"a;ssn\n1;****\n"
    assert shown("text/csv", DETECTORS, b"a\nbob@example.com\n") == b"a\nb***@example.com\n"


FORM = b"a=1&ssn=12%203&customer%5Bssn%5D=x&customer.ssn=&password=hunter22&q=bob%40example.com&&flag&j=%7B%22ssn%22%3A1%7D"


def test_a_form_is_covered_by_the_names_of_its_fields():
    out, masked = both(FormCover, RULES, FORM)
    assert out == (
        b"a=1&ssn=****&customer%5Bssn%5D=****&customer.ssn=****&password=<secret>&q=b***@example.com&&flag"
        b"&j=%7B%22ssn%22:%22****%22%7D"
    )
    assert masked == {"redact": 4, "secret": 1, "email": 1}
    for cuts in ((3, 9, 20), range(len(FORM))):
        assert both(FormCover, RULES, FORM, cuts) == (out, masked)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "ssn", "é"]), st.text(max_size=8)), max_size=6))
def test_the_rest_of_a_form_means_the_same(pairs):
    out = both(FormCover, plan(mask_set(Style.REDACT, "ssn"), detectors=()), urlencode(pairs).encode())[0]
    shown = [(name, "****" if name == "ssn" else value) for name, value in pairs]
    assert parse_qsl(out.decode(), keep_blank_values=True) == shown


def test_a_query_is_covered_for_the_log():
    assert cover_query("ssn=1&b=2&card=4111+1111+1111+1111", RULES, {}) == "ssn=****&b=2&card=************1111"
    assert cover_query("", RULES, {}) == ""
