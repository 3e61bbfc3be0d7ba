from __future__ import annotations

import base64

import pytest

from gatebook.model import Hold
from gatebook.protocols.http.door import Knock, Turned, knock
from gatebook.protocols.http.message import Request

DOMAIN = "targets.example.org"
HOST = f"billing.{DOMAIN}"
BEARER = ((b"authorization", b"Bearer t0ken"),)
COOKIE = ((b"cookie", b"__Host-gatebook=t0ken"),)


def request(
    target: str, *fields: tuple[bytes, bytes], authority: str = "gate.example.com", method: str = "GET", upgrade: str = ""
) -> Request:
    return Request(method, "https", authority, target, tuple(fields), upgrade)


def let_in(asked: Request, domain: str = DOMAIN) -> Knock:
    found = knock(asked, domain)
    assert isinstance(found, Knock), found
    return found


def turned(asked: Request, domain: str = DOMAIN) -> Turned:
    found = knock(asked, domain)
    assert isinstance(found, Turned), found
    return found


def test_a_path_names_the_target_and_the_rest_is_the_targets_own() -> None:
    found = let_in(request("/http/billing/customers/1?full=yes", *BEARER))
    assert (found.target, found.prefix, found.token) == ("billing", "/http/billing", "t0ken")
    assert found.request.target == "/customers/1?full=yes"


@pytest.mark.parametrize(("target", "inner"), [("/http/billing", "/"), ("/http/billing/", "/"), ("/http/billing?a=b", "/?a=b")])
def test_a_target_alone_is_its_root(target: str, inner: str) -> None:
    assert let_in(request(target, *BEARER)).request.target == inner


def test_a_host_of_its_own_names_the_target_too() -> None:
    found = let_in(request("/customers/1", *BEARER, authority=f"{HOST}:8443"))
    assert (found.target, found.prefix, found.request.target) == ("billing", "", "/customers/1")


def test_on_a_host_of_its_own_the_path_form_names_nothing_else() -> None:
    found = let_in(request("/http/vault/secrets", *BEARER, authority=HOST))
    assert (found.target, found.request.target) == ("billing", "/http/vault/secrets")


@pytest.mark.parametrize(
    "target", ["/", "/customers", "/http", "/http/", "/HTTP/billing/", "/http//billing", "/http/../billing", "*"]
)
def test_a_request_without_a_target_is_told_how_to_name_one(target: str) -> None:
    found = turned(request(target, *BEARER))
    assert found.status == 404
    assert "/http/TARGET/" in found.advice


@pytest.mark.parametrize("target", ["/http/billing//evil.example/", "/http/billing/\\evil.example/"])
def test_what_some_servers_take_for_another_host_is_turned_away(target: str) -> None:
    assert turned(request(target, *BEARER)).status == 400


def test_a_password_is_a_token_for_those_who_know_no_other_way() -> None:
    pair = base64.b64encode(b"anybody:t0ken")
    assert let_in(request("/http/billing/", (b"authorization", b"Basic " + pair))).token == "t0ken"


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"authorization", b"Bearer"),),
        ((b"authorization", b"Bearer "),),
        ((b"authorization", b"Digest abc"),),
        ((b"authorization", b"Basic !!!"),),
        ((b"authorization", b"Basic " + base64.b64encode(b"nobody")),),
        ((b"authorization", b"Bearer " + b"a" * 20_000),),
        ((b"authorization", b"Bearer t\xff"),),
        (*BEARER, *BEARER),
        COOKIE,
    ],
)
def test_without_one_token_that_can_be_read_nobody_is_let_in(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert turned(request("/http/billing/", *fields)).status == 401


def test_neither_the_token_nor_what_is_for_the_gateway_goes_on() -> None:
    said = ((b"gatebook-role", b"admin"), (b"gatebook-why", b"OPS-7"), (b"gatebook-hold", b"wait"), (b"accept", b"*/*"))
    found = let_in(request("/http/billing/", *BEARER, *said, (b"cookie", b"a=b; __Host-gatebook=x; __host-gatebook-state=y")))
    assert (found.role, found.purpose, found.hold) == ("admin", "OPS-7", Hold.WAIT)
    assert found.request.fields == ((b"accept", b"*/*"), (b"cookie", b"a=b"))


@pytest.mark.parametrize(
    "fields",
    [
        ((b"gatebook-role", b"a"), (b"gatebook-role", b"b")),
        ((b"gatebook-why", b"\x7f"),),
        ((b"gatebook-why", b"\xff"),),
        ((b"gatebook-why", b"a" * 201),),
        ((b"gatebook-hold", b"propose"),),
    ],
)
def test_what_is_said_to_the_gateway_is_said_once_and_plainly(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert turned(request("/http/billing/", *BEARER, *fields)).status == 400


def test_a_cookie_is_good_on_the_targets_own_host_alone() -> None:
    found = let_in(request("/", *COOKIE, (b"sec-fetch-site", b"same-origin"), authority=HOST))
    assert (found.token, found.browser, found.request.fields) == ("t0ken", True, ((b"sec-fetch-site", b"same-origin"),))


def test_a_browser_without_a_cookie_learns_which_target_it_has_to_sign_in_for() -> None:
    found = turned(request("/", authority=HOST))
    assert (found.status, found.target) == (401, "billing")


FORGED = [
    # method, what the browser tells of the page that asks
    ("POST", ((b"sec-fetch-site", b"cross-site"),)),
    ("POST", ((b"sec-fetch-site", b"same-site"),)),
    ("DELETE", ((b"origin", b"https://evil.example"),)),
    ("POST", ((b"origin", b"null"),)),
    ("POST", ((b"origin", f"http://{HOST}".encode()),)),
    ("POST", ()),
    ("GET", ((b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"no-cors"))),
    ("GET", ((b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe"))),
    ("GET", ((b"origin", b"https://vault.targets.example.org"),)),
]


@pytest.mark.parametrize(("method", "fields"), FORGED)
def test_another_page_cannot_ask_by_somebodys_cookie(method: str, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert turned(request("/customers/1", *COOKIE, *fields, authority=HOST, method=method)).status == 403


@pytest.mark.parametrize("origin", [(), ((b"origin", b"https://evil.example"),)])
def test_another_page_cannot_open_a_websocket_by_somebodys_cookie(origin: tuple[tuple[bytes, bytes], ...]) -> None:
    fields = (*COOKIE, (b"sec-fetch-site", b"same-origin"), *origin)
    assert turned(request("/live", *fields, authority=HOST, upgrade="websocket")).status == 403


OWN = [
    ("POST", ((b"sec-fetch-site", b"same-origin"), (b"origin", f"https://{HOST}".encode()))),
    ("GET", ((b"sec-fetch-site", b"none"), (b"sec-fetch-mode", b"navigate"))),
    ("GET", ((b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))),
    ("GET", ()),
    ("POST", ((b"origin", f"https://{HOST}".encode()),)),
]


@pytest.mark.parametrize(("method", "fields"), OWN)
def test_a_targets_own_pages_may_ask_by_cookie(method: str, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert let_in(request("/customers/1", *COOKIE, *fields, authority=HOST, method=method)).browser


def test_without_a_domain_no_host_is_a_targets() -> None:
    assert turned(request("/", *BEARER, authority=HOST), domain="").status == 404


@pytest.mark.parametrize("authority", [f"a.b.{DOMAIN}", f"Bad!.{DOMAIN}", f".{DOMAIN}", f"x{DOMAIN}", DOMAIN])
def test_a_host_that_is_no_targets_is_no_target(authority: str) -> None:
    assert turned(request("/", *BEARER, authority=authority)).status == 404


def test_the_token_is_not_shown_where_a_knock_is() -> None:
    assert "t0ken" not in repr(let_in(request("/http/billing/", *BEARER)))


def offered(token: bytes) -> tuple[bytes, bytes]:
    coded = base64.urlsafe_b64encode(token).rstrip(b"=")
    return b"sec-websocket-protocol", b"base64url.bearer.authorization.k8s.io." + coded + b", v5.channel.k8s.io"


@pytest.mark.parametrize(("target", "authority"), [("/k8s/prod/exec", "gateway.example"), ("/exec", HOST)])
def test_a_script_of_a_page_says_its_token_as_a_subprotocol_and_it_goes_no_further(target: str, authority: str) -> None:
    found = let_in(request(target, offered(b"t0ken"), authority=authority, upgrade="websocket"))
    assert (found.token, found.browser) == ("t0ken", False)
    assert list(found.request.all(b"sec-websocket-protocol")) == [b"v5.channel.k8s.io"]
    assert found.request.get(b"authorization") is None


@pytest.mark.parametrize("fields", [(offered(b"t0ken"), *BEARER), (offered(b"a b"),), (offered(b"a"), offered(b"b"))])
def test_a_second_token_or_none_among_the_subprotocols_is_turned_away(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    found = turned(request("/http/billing/live", *fields, upgrade="websocket"))
    assert found.status == 400
    assert "t0ken" not in found.why + found.advice


def test_a_token_as_a_subprotocol_is_none_where_no_websocket_is_asked_for() -> None:
    assert turned(request("/http/billing/live", offered(b"t0ken"))).status == 401


def test_a_token_as_a_subprotocol_goes_before_a_cookie() -> None:
    cookie = (b"cookie", b"__Host-gatebook=gbt_browser_x")
    found = let_in(request("/live", offered(b"t0ken"), cookie, authority=HOST, upgrade="websocket"))
    assert (found.token, found.browser, found.request.get(b"cookie")) == ("t0ken", False, None)
