import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import CREDENTIAL, RULES, answer, fed, plan, shown

from gatebook.protocols.http.covering.needles import NeedleFilter, Needles

NEEDLES = Needles([CREDENTIAL])
WITH = plan(detectors=(), needles=[CREDENTIAL])
ALL = "".join(f"%{byte:02x}" for byte in CREDENTIAL)
FORMS = [
    CREDENTIAL,
    base64.b64encode(CREDENTIAL),
    base64.b64encode(b"user:" + CREDENTIAL),
    base64.b64encode(b"u:" + CREDENTIAL + b":more"),
    base64.urlsafe_b64encode(b"abc" + CREDENTIAL),
    quote(CREDENTIAL).encode(),
    quote(CREDENTIAL, safe="").encode(),
    ALL.encode(),
    ALL.upper().encode(),
    json.dumps(CREDENTIAL.decode()).replace("/", r"\/").encode(),
    "".join(rf"\u{byte:04x}" for byte in CREDENTIAL).encode(),
    "".join(f"&#{byte};" for byte in CREDENTIAL).encode(),
    "".join(f"&#x{byte:x};" for byte in CREDENTIAL).encode(),
    b"s%33cr3t/of&#43;the\\u003dtarget",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_credential_is_found_in_any_form(form):
    out = fed(NeedleFilter(NEEDLES), b"before " + form + b" after")
    assert out.startswith(b"before ")
    assert out.endswith(b" after")
    core = form[4:-4]
    assert core not in out


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(FORMS), st.binary(max_size=40), st.binary(max_size=40), st.lists(st.integers(0, 300), max_size=20))
@example(FORMS[7], b"%", b"%7", [3, 4, 5])
@example(FORMS[10], b"\\", b"", [2])
def test_cut_anywhere_a_credential_is_covered(form, before, after, cuts):
    data = before + form + after
    coverer = NeedleFilter(NEEDLES)
    out = fed(coverer, data, cuts)
    assert CREDENTIAL not in out
    assert form[4:-4] not in out
    assert coverer.masked["credential"] >= 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=20))
def test_what_holds_none_passes_as_it_came(data, cuts):
    coverer = NeedleFilter(NEEDLES)
    assert fed(coverer, data, cuts) == data
    assert coverer.masked == {}


def test_nothing_is_held_back_that_cannot_begin_one():
    coverer = NeedleFilter(NEEDLES)
    assert coverer.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert coverer.feed(b"data: s3cr") == b"data: "
    assert coverer.feed(b"ow\n") == b"s3crow\n"


@pytest.mark.parametrize("kind", ["image/png", "application/json", "text/html", "text/plain", "application/octet-stream"])
def test_no_answer_of_whatever_type_shows_it(kind):
    data = b'{"a":"x ' + CREDENTIAL + b'"}'
    for cuts in ((), range(len(data))):
        out = shown(kind, WITH, data, cuts, passes="image/* application/octet-stream")
        assert b"s3cr3t" not in out
        assert out.startswith(b'{"a":"x ')


def test_an_unread_type_keeps_its_length():
    data = b"\x89PNG" + CREDENTIAL + b"\0" * 100
    choice = answer("image/png", WITH, content_length=str(len(data)), etag='"1"')
    assert choice.head.fields[1:] == ((b"content-length", str(len(data)).encode()), (b"etag", b'"1"'))
    assert fed(choice.coverer, data) == b"\x89PNG" + b"*" * len(CREDENTIAL) + b"\0" * 100


def test_a_head_shows_none_either():
    choice = answer(
        "text/plain",
        WITH,
        x_debug=CREDENTIAL.decode(),
        location="/?k=" + quote(CREDENTIAL, safe=""),
        server=CREDENTIAL.decode(),
    )
    assert b"s3cr3t" not in b"".join(value for _, value in choice.head.fields)
    assert choice.masked == {"credential": 3}


def test_short_credentials_are_not_looked_for_and_none_is_in_a_repr():
    assert not Needles([b"abc"])
    assert "s3cr3t" not in repr(WITH) + repr(RULES) + repr(NEEDLES)
