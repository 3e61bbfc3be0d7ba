from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from gatebook.model import Action, Deed, Reach, RefusalClass, Resource, Ruling, Verdict
from gatebook.protocols.http import refusal, refusal_page
from gatebook.protocols.http.browsers import (
    BACK_SECONDS,
    MICROSECONDS,
    Back,
    Begun,
    navigates,
    own_page,
    packed,
    packed_page,
    shows_pages,
)
from gatebook.protocols.http.door import Own, Turned, cookies, knock
from gatebook.protocols.http.message import Request
from gatebook.protocols.relay import Refused

DOMAIN = "targets.example.org"
HOST = f"billing.{DOMAIN}"
SECRET, CODE = "s" * 43, "c" * 43
NOW = 1_700_000_000_000_000


def request(target: str = "/", *fields: tuple[bytes, bytes], method: str = "GET", upgrade: str = "") -> Request:
    return Request(method, "https", HOST, target, tuple(fields), upgrade)


def kept(begun: Begun) -> list[tuple[bytes, bytes]]:
    """As a browser sends back what it was told to keep."""
    return cookies(((b"cookie", begun.cookie.partition(b";")[0]),))


# The state -----------------------------------------------------------------------------------------------------------------


def test_a_browser_brings_back_what_it_began_with() -> None:
    begun = Begun(SECRET, NOW)
    assert Begun.read(kept(begun), NOW + 5) == begun


@pytest.mark.parametrize("later", [-1, BACK_SECONDS * MICROSECONDS])
def test_what_was_begun_long_ago_or_is_not_begun_yet_is_nothing(later: int) -> None:
    assert Begun.read(kept(Begun(SECRET, NOW)), NOW + later) is None


@pytest.mark.parametrize(
    "cookie",
    [
        b"",
        b"__Host-gatebook-begun=",
        b"__Host-gatebook-begun=short.1",
        b"__Host-gatebook-begun=" + SECRET.encode(),
        b"__Host-gatebook-begun=" + SECRET.encode() + b".x",
        b"__Host-gatebook-begun=\xff" + SECRET.encode()[1:] + b".1",
        b"__Host-gatebook-begun=%b.%d; __Host-gatebook-begun=%b.%d" % (SECRET.encode(), NOW, b"t" * 43, NOW),
        b"gatebook-begun=%b.%d" % (SECRET.encode(), NOW),
    ],
)
def test_a_damaged_or_doubled_cookie_is_nothing(cookie: bytes) -> None:
    assert Begun.read(cookies(((b"cookie", cookie),)), NOW) is None


def test_a_state_fits_one_browser_target_page_and_time() -> None:
    fits = Begun(SECRET, NOW).state("billing", "/a")
    others = {
        Begun("t" * 43, NOW).state("billing", "/a"),
        Begun(SECRET, NOW + 1).state("billing", "/a"),
        Begun(SECRET, NOW).state("wiki", "/a"),
        Begun(SECRET, NOW).state("billing", "/b"),
        Begun(SECRET, NOW).state("billing\n/a", ""),
    }
    assert len(others | {fits}) == 6


def test_neither_secret_nor_code_is_shown_where_they_are_held() -> None:
    assert SECRET not in repr(Begun(SECRET, NOW))
    assert CODE not in repr(Back(CODE, SECRET, "/"))


def test_the_cookie_is_of_this_host_alone_and_unseen_by_scripts() -> None:
    parts = Begun(SECRET, NOW).cookie.split(b"; ")
    assert parts[0].startswith(b"__Host-")
    assert {b"Path=/", b"Secure", b"HttpOnly", b"SameSite=Lax"} <= set(parts)
    assert not any(part.lower().startswith(b"domain") for part in parts)


# The page to come back to --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["/", "/a?b=c&d=/e//f", "/a%2F..%2fb", "/:80@x", "/a//b", "/.well-known/x"])
def test_a_page_of_the_host_comes_back_as_it_was(page: str) -> None:
    assert packed_page(packed(page)) == page


HOSTILE = [
    "//evil.example/",
    "/\\evil.example/",
    "\\/evil.example",
    "https://evil.example/",
    "javascript:alert(1)",
    "evil.example",
    "",
    "/\tevil",
    "/a b",
    "/a\r\nset-cookie: x=y",
    "/ü",
    "/.well-known/gatebook/sign-out",
    "/.well-known/gatebook/sign-in?code=x",
    "/" + "a" * 1_000,
    "*",
]


@pytest.mark.parametrize("page", HOSTILE)
def test_a_page_that_leads_away_or_round_becomes_the_first(page: str) -> None:
    assert own_page(page) == "/"
    assert packed_page(base64.urlsafe_b64encode(page.encode()).rstrip(b"=").decode()) is None


@pytest.mark.parametrize("text", ["", "!", "Lw==", "_____", "L w", "Lw\n"])
def test_what_is_no_packed_page_is_none(text: str) -> None:
    assert packed_page(text) is None


def test_an_address_of_a_sign_in_is_read_whole_or_not_at_all() -> None:
    page = packed("/a")
    good = f"/.well-known/gatebook/sign-in?code={CODE}&state={SECRET}&page={page}"
    assert Back.read(good) == Back(CODE, SECRET, "/a")
    for bad in (
        good + "&x=y",
        good.replace(CODE, CODE[1:]),
        good.replace("code=", "Code="),
        good.replace(page, packed("//evil.example/")),
        good.replace("?", "?&"),
        good + "#x",
        f"/.well-known/gatebook/sign-in?state={SECRET}&code={CODE}&page={page}",
    ):
        assert Back.read(bad) is None, bad


# Who is sent to sign in, and who reads pages -------------------------------------------------------------------------------


NAVIGATION = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))
OLD = ((b"accept", b"text/html,application/xhtml+xml;q=0.9"),)


@pytest.mark.parametrize("fields", [NAVIGATION, OLD])
def test_a_window_that_goes_to_a_page_may_be_sent_elsewhere(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert navigates(request("/", *fields))
    assert shows_pages(request("/", *fields))


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request("/", (b"accept", b"*/*")),
        request("/", (b"accept", b"application/json, text/html")),
        request("/", (b"sec-fetch-mode", b"cors"), *OLD),
        request("/", (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe")),
        request("/", *NAVIGATION, method="POST"),
        request("/", *NAVIGATION, upgrade="websocket"),
    ],
)
def test_programs_frames_forms_and_sockets_are_not_sent_to_sign_in(asked: Request) -> None:
    assert not navigates(asked)


def test_a_form_that_was_refused_is_read_by_a_person() -> None:
    assert shows_pages(request("/", *NAVIGATION, method="POST"))
    assert not shows_pages(request("/", (b"sec-fetch-mode", b"cors"), *OLD, method="POST"))


# The door ------------------------------------------------------------------------------------------------------------------


COOKIE = (b"cookie", b"__Host-gatebook=gbt_browser_x")
BEARER = (b"authorization", b"Bearer t0ken")


@pytest.mark.parametrize(
    "target", ["/.well-known/gatebook/", "/.well-known/gatebook/sign-in?x", "/.well-known/gatebook/any/thing"]
)
@pytest.mark.parametrize("fields", [(), (COOKIE,), (BEARER,)])
def test_what_is_the_gateways_own_goes_to_no_target_whoever_asks(target: str, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert isinstance(knock(request(target, *fields), DOMAIN), Own)


def test_under_a_path_nothing_is_the_gateways_own() -> None:
    asked = Request("GET", "https", "gate.example", "/http/billing/.well-known/gatebook/sign-in", ())
    assert isinstance(knock(asked, DOMAIN), Turned)


def test_two_sign_ins_are_none_and_nobody_is_sent_round_for_them() -> None:
    found = knock(request("/", COOKIE, COOKIE, *NAVIGATION), DOMAIN)
    assert isinstance(found, Turned)
    assert (found.status, found.target) == (401, "")


@pytest.mark.parametrize("name", [b"gatebook-role", b"gatebook-why"])
def test_a_page_does_not_say_role_or_purpose_in_its_persons_place(name: bytes) -> None:
    found = knock(request("/", COOKIE, (name, b"admin"), (b"sec-fetch-site", b"same-origin")), DOMAIN)
    assert isinstance(found, Turned)
    assert found.status == 400


@pytest.mark.parametrize(
    ("site", "led"), [(b"cross-site", True), (b"same-site", True), (b"none", False), (b"same-origin", False)]
)
def test_a_knock_says_whether_another_site_led_here(site: bytes, led: bool) -> None:
    found = knock(request("/", COOKIE, *NAVIGATION, (b"sec-fetch-site", site)), DOMAIN)
    assert getattr(found, "led", None) is led


# Pages of refusals ---------------------------------------------------------------------------------------------------------


def shown(**more: str) -> str:
    said = {"class": "never", "rule": "no", **more}
    return refusal.Problem(403, "blocked by <b>no</b>: “x”", said, page=True).said()[1].decode()


def test_a_page_escapes_all_that_is_not_its_own() -> None:
    text = shown(instead="<script>alert(1)</script>\u202e", decision='"><img src=x>', open='"javascript:x')
    assert "<script>" not in text
    assert "<b>" not in text
    assert "<img" not in text
    assert "[U+202E]" in text
    assert 'href="&quot;javascript:x"' in text


def test_a_page_runs_nothing_loads_nothing_and_is_framed_by_nobody() -> None:
    head, content = refusal.Problem(403, "no", {"class": "never"}, page=True).said()
    policy = (head.get(b"content-security-policy") or b"").decode()
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert head.get(b"cache-control") == b"no-store"
    assert f"<style>{refusal_page.STYLE}</style>".encode() in content


def test_a_held_request_says_what_to_do_and_where_to_look() -> None:
    deed = Deed(verb="http.post", reach=Reach.WRITE, resource=Resource(kind="path", name="/iam"), facts={})
    action = Action(session="s", seq=1, deeds=(deed,), text="POST /iam")
    verdict = Verdict(
        ruling=Ruling.APPROVE, rule="waits", reason="people decide", policy_digest="", approvers=frozenset({"group:dba"})
    )
    said = Refused(action, verdict, RefusalClass.WAIT, "d-1", approval="a-1", link="https://gate/approvals/a-1")
    head, content = replace(refusal.refused(action, said), page=True).said()
    text = content.decode()
    assert head.status == 403
    assert "This waits for people" in text
    assert 'href="https://gate/approvals/a-1"' in text
    assert "group:dba" in text


def test_a_program_gets_the_problem_document_as_before() -> None:
    head, content = refusal.Problem(403, "no", {"class": "never"}).said()
    assert head.get(b"content-type") == b"application/problem+json"
    assert content.startswith(b"{")
