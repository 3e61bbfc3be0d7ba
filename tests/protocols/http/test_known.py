"""What a request meant is found again for that very request alone, and only under what it was read with."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.protocols.http.exchanges import JSON, PII, Stage, request, terms

from gatebook.protocols.http.known import REQUEST_BYTES, REQUESTS, Known
from gatebook.protocols.http.message import Data, End, Request
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.terms import Injected

FIRST = request("GET", "/customers/1", (b"accept", b"application/json"), (b"x-a", b"1"), (b"x-a", b"2"))
UNDER = {name: getattr(terms(), name) for name in ("covering", "dialect", "injected")}
OTHERS = {
    "another path": request("GET", "/customers/2", *FIRST.fields),
    "another method": request("HEAD", FIRST.target, *FIRST.fields),
    "letters in another case": request("GET", "/Customers/1", *FIRST.fields),
    "a value in another case": request("GET", FIRST.target, (b"accept", b"application/JSON"), *FIRST.fields[1:]),
    "another order": request("GET", FIRST.target, FIRST.fields[0], FIRST.fields[2], FIRST.fields[1]),
    "a field twice": request("GET", FIRST.target, *FIRST.fields, FIRST.fields[0]),
    "one field less": request("GET", FIRST.target, *FIRST.fields[1:]),
    "another host": replace(FIRST, authority="other.targets.example.org"),
    "another scheme": replace(FIRST, scheme="http"),
    "two fields as one": request("GET", FIRST.target, FIRST.fields[0], (b"x-a", b"1, 2")),
}


def asked(stage: Stage, said: Request, content: bytes = b""):
    return stage.ask(said, *([Data(content)] if content else []), End())


def again(known: Known, said: Request, content: bytes = b"", **changes):
    return asked(Stage(**({"known": known} | UNDER | changes)), said, content)


def test_the_same_request_has_the_very_deeds_that_it_had():
    known = Known()
    first, second = again(known, FIRST), again(known, replace(FIRST))
    assert first.action.deeds is second.action.deeds
    assert first == second


@pytest.mark.parametrize("other", OTHERS)
def test_another_request_has_deeds_of_its_own_and_means_what_it_means_alone(other):
    known = Known()
    first = again(known, FIRST)
    second = again(known, OTHERS[other])
    assert second.action.deeds is not first.action.deeds
    assert second == asked(Stage(), OTHERS[other])


def test_content_is_a_part_of_what_is_found():
    known, said = Known(), request("POST", "/orders", JSON)
    found = [again(known, said, content) for content in (b"", b'{"a":1}', b'{"a":2}', b'{"a": 1}', b'{"a":1}')]
    assert found[1].action.deeds is found[4].action.deeds
    assert len({id(one.action.deeds) for one in found}) == 4
    assert [one.action.parameters for one in found] == [(), (b'{"a":1}',), (b'{"a":2}',), (b'{"a": 1}',), (b'{"a":1}',)]


def test_content_that_was_not_read_is_not_content_that_is_not_there():
    known, said = Known(), request("POST", "/orders", (b"content-type", b"image/png"), (b"content-length", b"5000"))
    unread = Stage(known=known, **UNDER).ask(said)
    assert unread.fault
    assert again(known, replace(said, fields=said.fields[:1])).action.deeds is not unread.action.deeds


@pytest.mark.parametrize(
    "changes",
    [
        {"dialect": Plain(Shape(undocumented="unknown", body_bytes=1000))},
        {"injected": lambda: Injected(((b"x-api-key", b"another-key-0001"),), (b"another-key-0001",))},
        {"covering": replace(UNDER["covering"], sets={"pii": PII}, detectors=frozenset({"email"}))},
    ],
)
def test_what_was_read_under_other_terms_is_read_anew(changes):
    known = Known()
    first = again(known, FIRST)
    second = again(known, FIRST, **changes)
    assert second.action.deeds is not first.action.deeds
    assert second == asked(Stage(**changes), FIRST)


def test_what_is_kept_has_an_end():
    known = Known()
    long = request("GET", "/" + "a" * REQUEST_BYTES)
    assert again(known, long).action.deeds is not again(known, long).action.deeds
    for number in range(3 * REQUESTS):
        again(known, request("GET", f"/customers/{number}"))
    assert 0 < len(known._meant) <= REQUESTS
