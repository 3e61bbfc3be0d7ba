import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import CREDENTIAL, RULES, answer, plan, shown

from gatebook.errors import WireError
from gatebook.protocols.http.covering.choosing import Unreadable

KIND = "multipart/form-data; boundary=xyz"
PARTS = b"""preamble\r
--xyz\r
Content-Disposition: form-data; name="ssn"\r
\r
hush\r
--xyz \r
content-disposition: form-data; name=note\r
\r
mail bob@example.com\r
--xy\r
--xyz\r
Content-Disposition: form-data; name="doc"; filename="a.json"\r
Content-Type: application/json\r
\r
{"ssn":"hush","a":[1]}\r
--xyz\r
Content-Disposition: form-data; name="p"; filename="p.png"\r
Content-Type: image/png\r
\r
\x89PNG\0\r\n--x\r
--xyz\r
\r
\r
--xyz--\r
hush"""
EXPECTED = b"""--xyz\r
content-disposition: form-data; name="ssn"\r
\r
****\r
--xyz\r
content-disposition: form-data; name=note\r
\r
mail b***@example.com\r
--xy\r
--xyz\r
content-disposition: form-data; name="doc"; filename="a.json"\r
content-type: application/json\r
\r
{"ssn":"****","a":[1]}\r
--xyz\r
content-disposition: form-data; name="p"; filename="p.png"\r
content-type: image/png\r
\r
\x89PNG\0\r\n--x\r
"""


def test_parts_are_covered_by_name_and_type():
    with pytest.raises(WireError, match="of the type"):  # the last part is text without a name: it may hold anything
        shown(KIND, RULES, PARTS)
    whole = PARTS.replace(b"--xyz\r\n\r\n\r\n", b"")
    assert shown(KIND, RULES, whole) == EXPECTED + b"--xyz--\r\n"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, len(PARTS)), max_size=20))
def test_cut_anywhere_the_same_parts_come_out(cuts):
    whole = PARTS.replace(b"--xyz\r\n\r\n\r\n", b"")
    assert shown(KIND, RULES, whole, cuts) == EXPECTED + b"--xyz--\r\n"


def test_a_part_without_content_is_no_way_around_the_next():
    data = (
        b'--xyz\r\ncontent-type: image/png\r\n\r\n--xyz\r\ncontent-type: application/json\r\n\r\n{"ssn":"hush"}\r\n--xyz--\r\n'
    )
    for cuts in ((), range(len(data))):
        assert b"hush" not in shown(KIND, RULES, data, cuts)


@pytest.mark.parametrize(
    "data",
    [
        b"--xyz\r\ncontent-type: image/png\r\n\r\nx\n--xyz\r\ncontent-type: text/plain\r\n\r\nhush\r\n--xyz--\r\n",
        b"--xyz\r\ncontent-type: application/zip\r\n\r\nx\r\n--xyz--\r\n",
        b"--xyz\r\ncontent-type: multipart/mixed; boundary=a\r\n\r\n--a--\r\n--xyz--\r\n",
        b"--xyz\r\ncontent-type: application/json\r\ncontent-transfer-encoding: base64\r\n\r\ne30=\r\n--xyz--\r\n",
        b"--xyz\r\nno colon\r\n\r\nx\r\n--xyz--\r\n",
        b"--xyz\r\nimage: x\r\n\r\nhush\r\n--xyz",
        b"--xyz\r\n\r\nhush",
        b"--xyzw\r\n\r\nhush\r\n--xyz--\r\n",
        b"--xyz\r\na: " + b"x" * 20_000,
        b"",
    ],
    ids=lambda data: repr(data[7:40]),
)
def test_parts_that_cannot_be_told_apart_or_read_do_not_pass(data):
    with pytest.raises(WireError):
        shown(KIND, RULES, data)


def test_a_content_of_parts_needs_its_boundary():
    assert isinstance(answer("multipart/mixed", RULES), Unreadable)
    assert isinstance(answer('multipart/mixed; boundary=""', RULES), Unreadable)


def test_a_credential_is_covered_in_parts_of_any_type():
    chosen = plan(detectors=(), needles=[CREDENTIAL])
    data = b"--xyz\r\ncontent-type: image/png\r\n\r\nx" + CREDENTIAL + b"\r\n--xyz--\r\n"
    assert b"s3cr3t" not in shown(KIND, chosen, data)
