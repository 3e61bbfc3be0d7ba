"""What detectors look for and what looks like it, put together in any order, for tests that compare twins."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.masking.test_detectors import each_vector

VECTORS = sorted(
    {
        line.partition(" -> ")[0].encode()
        for expect in ("cover", "keep")
        for _, line in (one.values for one in each_vector(expect))
    }
)
PIECES = [
    b"a@example.com",
    b"\xc3\xbc@b\xc3\xbccher.example",
    b"\xff\xfe@ab.cd",
    b"\\nbob@example.com",
    b"1x.png",
    b"git@host.example",
    b"4111111111111111",
    b"4111 1111 1111 1111",
    b"378282246310005",
    b"4111-1111-1111-1112",
    b"078-05-1120",
    b"219-09-9999",
    b"+49 30 123456",
    b"+1 212 555 2368",
    b"212-555-2368",
    b"(212) 555-2368",
    b"01 23 45 67 89",
    b"030/123456",
    b"2020-01-01 00:00:00.123456+00",
    b"DE44500105175407324931",
    b"DE44 5001 0517 5407 3249 31",
    b"GB29NWBK60161331926819",
    b"password=hunter2",
    b'"password": "hunter2x"',
    b"pwd=/tmp",
    b"token:aaaaaaaaaaaaaaa1",
    b"api_key = 'q8Zr2Lk9Xw3Vb7Tn'",
    b"PASSWORD 'it''s'",
    b"secret: must",
    b"postgres://app:s3cretpw@db/x",
    b"AKIAIOSFODNN7EXAMPLE",
    b"Bearer abcdef0123456789xyz",
    b"Authorization: Basic dXNlcjpwYXNz",
    b"eyJhbGciOiJI.eyJzdWIiOiIx.abcdefgh",
    b"ghp_" + b"a1B2" * 9,
    b"glpat-" + b"x9" * 12,
    b"sk-" + b"aB3" * 8,
    b"xoxb-123456789012",
    b"-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    b"\\x34313131313131313131313131313131",
    b"\\x6140622e636f6d",
    b"\\u0040",
    b"\\/",
    b"\\\\",
    b"\\u002b",
    b'"',
    b"'",
    b",",
    b"{",
    b"}",
    b"[1]",
    b"\0",
    b"\n",
    b"\t",
    b"<email>",
    b"****",
    b" ",
    b"  ",
    b"-",
    b".",
    b"x",
    b"1",
    b"12",
    b"Z",
    b"\xc3\xa9",
    b"\xe4\xb8\xad",
    b"\xff",
    b"key",
    b"token",
    b"pass",
]

texts = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from(VECTORS),
        st.text(max_size=6).map(lambda t: t.encode("utf-8", "replace")),
        st.binary(max_size=6),
    ),
    max_size=6,
).map(b"".join)
numberish = st.lists(
    st.sampled_from(
        [b"0", b"1", b"4", b"42", b"5", b"9", b"11", b"000", b" ", b"-", b".", b"/", b"(", b")", b"+", b"A", b"DE"]
    ),
    max_size=30,
).map(b"".join)
