"""What somebody tries who is not a person at their browser: codes, states, cookies and pages that are not theirs."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.testbed.gateways import LiveGateway
from tests.testbed.people import gateway_with_people
from tests.testbed.website import Website

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

WINDOW = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
PAGE = {**WINDOW, "Sec-Fetch-Site": "same-origin"}
LINK = {**WINDOW, "Sec-Fetch-Site": "cross-site"}
COOKIE, BEGUN = "__Host-gatebook", "__Host-gatebook-begun"


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Website]:
    made = Website(tmp_path_factory.mktemp("website"))
    yield made
    made.stop()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], website: Website) -> Iterator[LiveGateway]:
    with gateway_with_people(new_gateway, [website.target(), website.target("wiki")], workers=2) as made:
        yield made


@dataclass
class Window:
    """A browser without a screen: it keeps cookies by host, follows what it is told to, and says what browsers say."""

    door: LiveGateway
    person: str = "frank"

    def __post_init__(self) -> None:
        trust = ssl.create_default_context(cafile=str(self.door.world.authority.path))
        self.client = httpx.Client(verify=trust, trust_env=False, timeout=20)
        self.jar: dict[str, dict[str, str]] = {}

    def place(self, target: str = "crm") -> str:
        return f"https://{target}.targets.localhost:{self.door.http_port}"

    def ask(self, url: str, method: str = "GET", fields: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        host = urlsplit(url).netloc
        kept = "; ".join(f"{name}={value}" for name, value in self.jar.get(host, {}).items())
        address = re.sub(r"//[a-z0-9-]+\.targets\.localhost", "//127.0.0.1", url)
        told = {"Host": host, **({"Cookie": kept} if kept else {}), **(WINDOW if fields is None else fields)}
        answer = self.client.request(method, address, headers=told, extensions={"sni_hostname": "localhost"}, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.jar.setdefault(host, {})[name] = value
            if "max-age=0" in line.lower():
                del self.jar[host][name]
        return answer

    def begin(self, page: str = "/", target: str = "crm") -> str:
        """Where the gateway's pages are to send the browser back from."""
        answer = self.ask(self.place(target) + page)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def pages(self) -> None:
        """Sign in to the gateway's own pages."""
        home = f"https://127.0.0.1:{self.door.api_port}"
        asked = self.ask(f"{home}/sign-in/with/demo").headers["location"]
        chosen = httpx.post(asked, data={"person": self.person}, trust_env=False).headers["location"]
        assert self.ask(chosen).status_code == 200
        assert self.jar[urlsplit(home).netloc][COOKIE]

    def code(self, begun: str) -> str:
        """The address on the target's host that the pages send a person to who is signed in."""
        answer = self.ask(begun)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def sign_in(self, page: str = "/", target: str = "crm") -> httpx.Response:
        self.pages()
        return self.ask(self.code(self.begin(page, target)), fields=LINK)

    def held(self, target: str = "crm") -> dict[str, str]:
        return self.jar.get(urlsplit(self.place(target)).netloc, {})


@pytest.fixture
def window(door: LiveGateway) -> Iterator[Callable[[str], Window]]:
    """Opens browsers, each of a person."""
    made: list[Window] = []

    def opened(person: str) -> Window:
        made.append(Window(door, person))
        return made[-1]

    yield opened
    for one in made:
        one.client.close()


@pytest.fixture
def frank(window: Callable[[str], Window]) -> Window:
    return window("frank")


@pytest.fixture
def mallory(window: Callable[[str], Window]) -> Window:
    return window("erin")


def test_the_way_in_by_hand(frank: Window) -> None:
    answer = frank.sign_in("/customers?a=b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/customers?a=b")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    kept = next(line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{COOKIE}="))
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(kept.split("; "))
    assert "domain" not in kept.lower()
    assert frank.ask(frank.place() + "/customers?a=b", fields=LINK).status_code == 200


def test_nobody_is_sent_away_from_the_host_that_they_signed_in_for(frank: Window) -> None:
    answer = frank.sign_in("//evil.example/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_the_pages_send_nobody_to_a_host_that_an_address_names(frank: Window) -> None:
    frank.pages()
    begun = frank.begin()
    for changed in (
        begun.replace("/for/crm/", "/for/evil.example/"),
        begun.replace("/for/crm/", "/for/evil.example%2F/"),
        begun.replace("/for/crm/", "/for/crm@evil.example/"),
        begun.replace("/for/crm/", "/for/CRM/"),
    ):
        answer = frank.ask(changed)
        assert (answer.status_code, answer.headers.get("location")) == (404, None), changed
    unknown = frank.ask(begun.replace("/for/crm/", "/for/nowhere/"))
    assert urlsplit(unknown.headers["location"]).hostname == "nowhere.targets.localhost"


def test_a_code_is_good_once(frank: Window) -> None:
    frank.pages()
    back = frank.code(frank.begin())
    assert frank.ask(back, fields=LINK).status_code == 303
    first = dict(frank.held())
    again = frank.ask(back, fields=LINK)
    assert again.status_code == 403
    assert "used already" in again.text
    assert frank.held() == first


def test_a_code_for_one_target_opens_no_other(frank: Window, website: Website) -> None:
    frank.pages()
    back = frank.code(frank.begin())
    frank.begin(target="wiki")
    answer = frank.ask(back.replace("//crm.", "//wiki."), fields=LINK)
    assert (answer.status_code, COOKIE in frank.held("wiki")) == (303, False), "it begins anew, for its own"
    assert "/sign-in/for/wiki/" in answer.headers["location"]
    stolen = frank.jar[urlsplit(frank.place()).netloc].copy()
    frank.jar[urlsplit(frank.place("wiki")).netloc] = stolen
    assert frank.ask(back.replace("//crm.", "//wiki."), fields=LINK).headers["location"].count("/sign-in/for/wiki/") == 1


def test_nobody_is_signed_in_as_somebody_else_by_a_link(frank: Window, mallory: Window) -> None:
    """Login CSRF: a code and a state of the attacker's, in somebody's browser."""
    mallory.pages()
    back = mallory.code(mallory.begin())
    nothing = frank.ask(back, fields=LINK)
    assert nothing.status_code == 400, "it began nothing"
    assert "did not begin this sign-in" in nothing.text
    frank.begin()
    begins = frank.ask(back, fields=LINK)
    assert begins.status_code == 303
    assert "/sign-in/for/crm/" in begins.headers["location"], "it signs in as whoever is there"
    assert COOKIE not in frank.held()


def test_a_code_that_somebody_was_made_to_get_is_of_no_use_to_who_made_them(frank: Window, mallory: Window) -> None:
    """The attacker's own state, in the address that the victim is led to."""
    frank.pages()
    back = frank.code(mallory.begin())
    frank.begin()
    answer = frank.ask(back, fields=LINK)
    assert (answer.status_code, COOKIE in frank.held()) == (303, False)
    theirs = frank.begin()
    leaked = parse_qs(urlsplit(frank.code(theirs)).query)["code"][0]
    own = parse_qs(urlsplit(back).query)["code"][0]
    refused = mallory.ask(back.replace(own, leaked), fields=LINK)
    assert refused.status_code == 403
    assert "another target or browser" in refused.text


def test_a_page_that_was_changed_on_the_way_does_not_fit(frank: Window) -> None:
    frank.pages()
    back = frank.code(frank.begin("/a"))
    page = parse_qs(urlsplit(back).query)["page"][0]
    answer = frank.ask(back.replace(page, "L2I"), fields=LINK)
    assert (answer.status_code, COOKIE in frank.held()) == (303, False)
    assert frank.ask(back.replace(page, "Ly9ldmlsLmV4YW1wbGUv"), fields=LINK).status_code == 400


def test_a_sign_in_gives_a_fresh_cookie_whatever_there_was(frank: Window) -> None:
    """Session fixation."""
    frank.jar[urlsplit(frank.place()).netloc] = {COOKIE: "gbt_browser_" + "A" * 43}
    assert "/sign-in/for/crm/" in frank.begin()
    frank.sign_in()
    assert frank.held()[COOKIE] not in ("", "gbt_browser_" + "A" * 43)


def test_the_cookie_is_no_bearer_token_and_no_bearer_token_is_a_cookie(
    frank: Window, door: LiveGateway, window: Callable[[str], Window]
) -> None:
    frank.sign_in()
    value = frank.held()[COOKIE]
    for url in (frank.place() + "/", f"https://127.0.0.1:{door.http_port}/http/crm/"):
        answer = window("frank").ask(url, fields={"Authorization": f"Bearer {value}"})
        assert answer.status_code == 401, url
    assert door.api("/api/v1/whoami", value).status_code == 401
    for token in (door.gateway_token(), door.mint(kind="person", sub="frank")):
        other = window("frank")
        other.jar[urlsplit(other.place()).netloc] = {COOKIE: token}
        assert other.ask(other.place() + "/x", fields={"Sec-Fetch-Site": "same-origin"}).status_code == 401
    moved = window("frank")
    moved.jar[urlsplit(moved.place("wiki")).netloc] = {COOKIE: value}
    assert moved.ask(moved.place("wiki") + "/x", fields={"Sec-Fetch-Site": "same-origin"}).status_code == 401
    paths = window("frank")
    paths.jar[f"127.0.0.1:{door.http_port}"] = {COOKIE: value}
    assert paths.ask(f"https://127.0.0.1:{door.http_port}/http/crm/x").status_code == 401


def test_two_cookies_of_one_name_are_nobodys(frank: Window) -> None:
    frank.sign_in()
    kept = frank.held()[COOKIE]
    told = {"Cookie": f"{COOKIE}={kept}; {COOKIE}=gbt_browser_tossed", **PAGE}
    frank.jar.clear()
    answer = frank.ask(frank.place() + "/", fields=told)
    assert answer.status_code == 401
    assert "More than one sign-in" in answer.text


def test_a_link_of_another_site_reads_and_changes_nothing_unasked(frank: Window, website: Website, door: LiveGateway) -> None:
    frank.sign_in()
    assert frank.ask(frank.place() + "/customers", fields=LINK).status_code == 200
    before = len(website.seen())
    led = frank.ask(frank.place() + "/unsubscribe?all=yes", fields=LINK)
    assert led.status_code == 403
    assert 'href="/unsubscribe?all=yes"' in led.text
    assert website.seen()[before:] == []
    (entry,) = [one for one in door.entries("action") if one["rule"] == "another-site"]
    assert (entry["ruling"], entry["reach"]) == ("block", "write")
    assert frank.ask(frank.place() + "/unsubscribe?all=yes", fields=PAGE).status_code == 200


def test_a_sign_in_that_a_link_began_changes_nothing_either(frank: Window, website: Website) -> None:
    frank.pages()
    before = len(website.seen())
    answer = frank.ask(frank.place() + "/unsubscribe", fields=LINK)
    back = frank.ask(frank.code(answer.headers["location"]), fields=LINK)
    assert back.headers["location"] == "/unsubscribe"
    assert frank.ask(frank.place() + "/unsubscribe", fields=LINK).status_code == 403
    assert website.seen()[before:] == []


@pytest.mark.parametrize("origin", ["https://evil.example", "https://wiki.targets.localhost", "null", ""])
def test_a_websocket_of_another_origin_is_refused(frank: Window, website: Website, origin: str) -> None:
    frank.sign_in()
    before = len(website.seen())
    fields = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **({"Origin": origin} if origin else {}),
    }  # fmt: skip
    assert frank.ask(frank.place() + "/talk", fields=fields).status_code == 403
    assert website.seen()[before:] == []


def test_a_revoked_sign_in_ends_and_the_provider_is_asked_again(frank: Window, door: LiveGateway) -> None:
    frank.sign_in()
    assert frank.ask(frank.place() + "/x", fields=PAGE).status_code == 200
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    listed = [one for one in door.api("/api/v1/tokens?live=true", dana).json()["tokens"] if one["target"] == "crm"]
    assert [one["subject"] for one in listed] == ["frank"]
    door.send("DELETE", f"/api/v1/tokens/{listed[0]['id']}?reason=lost", dana, {})
    fetched = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert wait_until(lambda: frank.ask(frank.place() + "/x", fields=fetched).status_code == 401, 5)
    begun = frank.begin("/x")
    assert frank.ask(begun).status_code == 401, "nobody is signed in to the pages any more"


def test_a_sign_in_ends_with_what_it_stands_on(new_gateway: Callable[..., LiveGateway], website: Website) -> None:
    with gateway_with_people(new_gateway, [website.target()], token_seconds=60) as door:
        frank = Window(door)
        answer = frank.sign_in()
        kept = next(line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{COOKIE}="))
        seconds = int(re.search(r"Max-Age=([0-9]+)", kept)[1])  # type: ignore[index]
        assert 1 <= seconds <= 60
        frank.client.close()


def test_neither_codes_nor_cookies_are_in_logs_or_book(frank: Window, door: LiveGateway, website: Website) -> None:
    frank.pages()
    back = frank.code(frank.begin("/customers"))
    frank.ask(back, fields=LINK)
    frank.ask(frank.place() + "/customers", fields=PAGE)
    code, state = (parse_qs(urlsplit(back).query)[name][0] for name in ("code", "state"))
    secrets = [code, state, *frank.held().values(), *(one for kept in frank.jar.values() for one in kept.values())]
    book, seen = door.book_bytes(), str(website.seen())
    for secret in secrets:
        assert secret not in door.log
        assert secret.encode() not in book
        assert secret not in seen


def test_without_providers_for_people_a_browser_reads_that_it_needs_a_token(
    new_gateway: Callable[..., LiveGateway], website: Website
) -> None:
    door = new_gateway(apis=[website.target()])
    window = Window(door)
    answer = window.ask(window.place() + "/")
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "Bearer" in answer.text
    assert window.ask(window.place() + "/.well-known/gatebook/sign-in?code=x").status_code == 404
    window.client.close()
