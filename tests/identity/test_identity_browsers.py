"""Codes and tokens of browsers: good once, for one target and browser, and only as long as what they stand on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests import make

from gatebook.db import engine, migrate
from gatebook.errors import IdentityError
from gatebook.identity.browsers import CODE_SECONDS, LIVE_CODES, BrowserSignIns
from gatebook.identity.tokens import GatewayTokens, digest_of
from gatebook.model import Identity, Kind
from gatebook.web.pages.signins import SignIns
from gatebook.web.pages.signins import digest_of as sign_in_digest

SECOND = 1_000_000
NOW = make.NOW
DANA = Identity(subject="dana", issuer="https://idp", kind=Kind.PERSON, proven_at=NOW, expires_at=NOW + 900 * SECOND)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Engine]:
    made = engine(f"sqlite:///{tmp_path}/gatebook.db")
    migrate(made)
    yield made
    made.dispose()


class Signed:
    """Dana, signed in to the pages, and all that follows."""

    def __init__(self, source: Engine) -> None:
        self.pages, self.browsers, self.tokens = SignIns(source), BrowserSignIns(source), GatewayTokens(source)
        self.cookie = self.pages.begin(DANA, now=NOW, seconds=600)
        self.identity = self.pages.find(self.cookie, NOW)
        assert self.identity is not None

    def code(self, target: str = "crm", state: str = "state", now: int = NOW) -> str:
        assert self.identity is not None
        return self.browsers.code(self.identity, sign_in_digest(self.cookie), target=target, state=state, now=now)

    def redeem(self, code: str, target: str = "crm", state: str = "state", now: int = NOW) -> str:
        return self.browsers.redeem(code, target=target, state=state, now=now)[0]


@pytest.fixture
def dana(source: Engine) -> Signed:
    return Signed(source)


def test_a_code_gives_a_token_that_stands_for_who_signed_in_and_ends_when_they_do(dana: Signed) -> None:
    token = dana.redeem(dana.code())
    found = dana.tokens.find_browser(token, "crm", NOW)
    assert found is not None
    assert (found.subject, found.kind, found.expires_at) == ("dana", Kind.PERSON, NOW + 600 * SECOND)
    assert dana.tokens.find_browser(token, "crm", NOW + 600 * SECOND) is None


def test_a_token_of_a_browser_is_one_at_its_target_and_nowhere_else(dana: Signed) -> None:
    token = dana.redeem(dana.code())
    assert dana.tokens.find_browser(token, "wiki", NOW) is None
    assert dana.tokens.find(token, NOW) is None, "it is no bearer token"
    bearer = dana.tokens.issue(DANA, now=NOW, seconds=600)
    assert dana.tokens.find_browser(bearer, "crm", NOW) is None, "and no bearer token is one"
    assert dana.tokens.find_browser(f"gbt_browser_{bearer[4:]}", "crm", NOW) is None


def test_a_code_is_good_once_whoever_comes_first(dana: Signed) -> None:
    code = dana.code()

    def tried(_number: int) -> str:
        try:
            return dana.redeem(code)
        except IdentityError:
            return ""

    with ThreadPoolExecutor(8) as pool:
        found = [token for token in pool.map(tried, range(8)) if token]
    assert len(found) == 1


@pytest.mark.parametrize(("target", "state"), [("wiki", "state"), ("crm", "other"), ("", "state")])
def test_a_code_in_the_wrong_place_is_refused_and_used_up(dana: Signed, target: str, state: str) -> None:
    code = dana.code()
    with pytest.raises(IdentityError, match="another target or browser"):
        dana.redeem(code, target=target, state=state)
    with pytest.raises(IdentityError, match="used already"):
        dana.redeem(code)


def test_a_code_is_good_for_a_minute(dana: Signed) -> None:
    with pytest.raises(IdentityError, match="took too long"):
        dana.redeem(dana.code(), now=NOW + CODE_SECONDS * SECOND)


@pytest.mark.parametrize("code", ["", "x", "c" * 43, "\ud800", "' OR 1=1 --"])
def test_what_is_no_code_gives_nothing(dana: Signed, code: str) -> None:
    dana.code()
    with pytest.raises(IdentityError):
        dana.redeem(code)


def test_signing_out_of_the_pages_ends_codes_and_tokens(dana: Signed) -> None:
    token, code = dana.redeem(dana.code()), dana.code()
    dana.pages.end(dana.cookie, NOW)
    assert dana.tokens.find_browser(token, "crm", NOW) is None
    assert dana.tokens.taken_back({digest_of(token) or b""}), "live sessions end"
    with pytest.raises(IdentityError, match="is over"):
        dana.redeem(code)


def test_revoking_a_browsers_token_ends_the_sign_in_that_would_give_another(dana: Signed) -> None:
    token, other = dana.redeem(dana.code()), dana.redeem(dana.code("wiki"), "wiki")
    (listed,) = [one for one in dana.tokens.issued(10) if one.target == "crm"]
    assert dana.tokens.revoke_issued(listed, NOW)
    assert dana.tokens.find_browser(token, "crm", NOW) is None
    assert dana.tokens.find_browser(other, "wiki", NOW) is None
    assert dana.pages.find(dana.cookie, NOW) is None


def test_revoking_another_token_leaves_browsers_alone(dana: Signed) -> None:
    token = dana.redeem(dana.code())
    dana.tokens.issue(DANA, now=NOW, seconds=600)
    (listed,) = [one for one in dana.tokens.issued(10) if not one.target]
    assert dana.tokens.revoke_issued(listed, NOW)
    assert dana.tokens.find_browser(token, "crm", NOW) is not None
    assert dana.pages.find(dana.cookie, NOW) is not None


def test_ending_a_browsers_token_ends_that_one_at_its_target(dana: Signed) -> None:
    token, other = dana.redeem(dana.code()), dana.redeem(dana.code())
    bearer = dana.tokens.issue(DANA, now=NOW, seconds=600)
    dana.browsers.end(token, "wiki", NOW)
    dana.browsers.end(bearer, "", NOW)
    assert dana.tokens.find_browser(token, "crm", NOW) is not None
    assert dana.tokens.find(bearer, NOW) is not None
    dana.browsers.end(token, "crm", NOW)
    assert dana.tokens.find_browser(token, "crm", NOW) is None
    assert dana.tokens.find_browser(other, "crm", NOW) is not None


def test_codes_that_nobody_brings_back_have_an_end(dana: Signed) -> None:
    for _ in range(LIVE_CODES):
        dana.code()
    with pytest.raises(IdentityError, match="over and over"):
        dana.code()
    dana.code(now=NOW + CODE_SECONDS * SECOND)


def test_the_database_holds_neither_codes_nor_tokens_nor_states(dana: Signed, tmp_path: Path) -> None:
    code, used = dana.code(state="the-state"), dana.code()
    token = dana.redeem(used)
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (code, used, token.removeprefix("gbt_browser_"), "the-state", dana.cookie):
        assert secret.encode() not in data
