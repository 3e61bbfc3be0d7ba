"""Replays through pages: who may, why they look, what the book has before anything is shown, and what is said without a key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.identity.issuer import SECOND
from tests.web.pages.site import OWN, Site, add_session, open_site, uuid
from tests.web.pages.tapes import Deck, fill, open_deck, recording_keys
from tests.web.place import describe

from gatebook.config import Config
from gatebook.errors import ConfigError
from gatebook.ledger.vouching import Vouching
from gatebook.recording.reader import Reader
from gatebook.recording.reading import new_identity
from gatebook.web.replays import READING

SECRET = "SELECT id, email, note"  # what only the recording's page shows


@pytest.fixture
def deck(tmp_path: Path) -> Iterator[Deck]:
    with open_deck(tmp_path, uuid(900)) as made:
        fill(made)
        yield made


@pytest.fixture
def site(tmp_path: Path, deck: Deck) -> Iterator[Site]:
    with open_site(tmp_path, recording=recording_keys(tmp_path)) as made:
        add_session(made.source, 900, "shop-agent")
        yield made


def path(number: int = 900) -> str:
    return f"/sessions/{uuid(number)}/replay"


def reads(site: Site) -> list[object]:
    return [entry.fields["why"] for entry in site.entries if entry.kind == "recording.read"]


async def test_nothing_is_shown_before_a_reason_is_in_the_book(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        first = await client.get(path())
        assert (first.status_code, "Why do you look?" in first.text, SECRET in first.text) == (200, True, False)
        assert reads(site) == []
        said = await client.post(path(), data={"why": "ticket SEC-7"}, headers=OWN)
        assert (said.status_code, said.headers["location"], reads(site)) == (303, path(), ["ticket SEC-7"])
        shown = await client.get(path())
        assert (SECRET in shown.text, "ticket SEC-7" in shown.text) == (True, True)
        await client.get(f"{path()}?from=1-0")
        assert reads(site) == ["ticket SEC-7"]
    (read,) = [entry.fields for entry in site.entries if entry.kind == "recording.read"]
    assert read["target_sid"] == uuid(900)
    assert "dana" not in str(dict(read))


@pytest.mark.parametrize("why", ["", "  ", "a\nb", "\u202ea", "x" * 301])
async def test_a_reason_is_one_line_that_can_be_seen(site: Site, why: str) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await client.post(path(), data={"why": why}, headers=OWN)).status_code == 400
        assert SECRET not in (await client.get(path())).text
    assert reads(site) == []


async def test_without_a_book_nothing_is_shown(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        await client.get(path())
        site.book_lost = True
        assert (await client.post(path(), data={"why": "x"}, headers=OWN)).status_code == 503
        site.book_lost = False
        assert SECRET not in (await client.get(path())).text


async def test_a_reading_is_ones_own_and_ends(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        await client.post(path(), data={"why": "ticket SEC-7"}, headers=OWN)
    async with site.browser() as other:
        await site.sign_in(other, sub="erin")
        assert SECRET not in (await other.get(path())).text
    site.now += READING
    async with site.browser() as client:
        await site.sign_in(client, iat=site.now // SECOND)
        assert SECRET not in (await client.get(path())).text


async def test_whose_session_it_is_need_not_say_why_and_the_book_has_it(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client, sub="shop-agent", groups=["staff"])
        assert SECRET in (await client.get(path())).text
    assert reads(site) == ["their own session"]


async def test_who_may_not_replay_does_not_learn_that_there_is_anything(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client, sub="mallory", groups=["support"])
        hidden, missing = await client.get(path()), await client.get(path(901))
        assert (hidden.status_code, missing.status_code) == (404, 404)
        assert (await client.post(path(), data={"why": "curious"}, headers=OWN)).status_code == 404
    assert reads(site) == []
    refused = [entry.fields for entry in site.entries if entry.kind == "gatebook.act" and entry.fields["ruling"] == "block"]
    assert [one["about"] for one in refused] == [uuid(900)]


async def test_who_may_see_a_session_may_not_thereby_replay_it(tmp_path: Path, deck: Deck) -> None:
    rules = '@id("see") permit (principal, action == Action::"gatebook.sessions.view", resource);'
    with open_site(tmp_path, rules=rules, recording=recording_keys(tmp_path)) as site:
        add_session(site.source, 900, "shop-agent")
        async with site.browser() as client:
            await site.sign_in(client)
            session = await client.get(f"/sessions/{uuid(900)}")
            assert (session.status_code, "Replay it" in session.text) == (200, False)
            assert (await client.get(path())).status_code == 403
            assert (await client.post(path(), data={"why": "x"}, headers=OWN)).status_code == 403
        assert reads(site) == []


async def test_a_reason_comes_from_our_pages_alone(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await client.post(path(), data={"why": "x"}, headers={"Origin": "https://evil.test"})).status_code == 403
    assert reads(site) == []


async def test_without_a_reader_the_page_says_how_to_replay_and_why(tmp_path: Path, deck: Deck) -> None:
    keys = recording_keys(tmp_path)
    del keys["reader"]
    with open_site(tmp_path, recording=keys) as site:
        add_session(site.source, 900, "shop-agent")
        async with site.browser() as client:
            await site.sign_in(client)
            told = (await client.get(path())).text
            assert "This gateway cannot read recordings" in told
            assert f"gatebook sessions replay {uuid(900)} --identity auditor.txt" in told
            assert (await client.post(path(), data={"why": "x"}, headers=OWN)).status_code == 503
        assert reads(site) == []


async def test_where_nothing_is_recorded_the_page_says_so(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        add_session(site.source, 900, "shop-agent")
        async with site.browser() as client:
            await site.sign_in(client)
            assert "Nothing is recorded here" in (await client.get(path())).text


async def test_a_recording_that_was_erased_or_was_never_made_is_said(site: Site, deck: Deck) -> None:
    other = add_session(site.source, 901, "shop-agent")
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await client.post(f"/sessions/{other}/replay", data={"why": "x"}, headers=OWN)).status_code == 404
        await client.post(path(), data={"why": "x"}, headers=OWN)
        (deck.place() / "key.age").unlink()
        gone = await client.get(path())
        assert (gone.status_code, "erased" in gone.text, SECRET in gone.text) == (409, True, False)
    assert reads(site) == ["x"]


async def test_a_page_that_has_not_changed_is_not_made_again_and_one_that_has_is(site: Site, deck: Deck) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        await client.post(path(), data={"why": "x"}, headers=OWN)
        first = await client.get(path())
        again = {"If-None-Match": first.headers["etag"]}
        assert (await client.get(path(), headers=again)).status_code == 304
        assert (await client.get(f"{path()}?ruling=block", headers=again)).status_code == 200
        deck.asked("SELECT 77 AS newest")
        changed = await client.get(path(), headers=again)
        assert (changed.status_code, "SELECT 77 AS newest" in changed.text) == (200, True)


@pytest.mark.parametrize(
    "query", ["from=9999-9999", "from=%00", "ruling=<b>", "find=" + "x" * 5_000, "from=1-1&find=%E2%80%AE"]
)
async def test_questions_that_make_no_sense_show_a_page_all_the_same(site: Site, query: str) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        await client.post(path(), data={"why": "x"}, headers=OWN)
        assert (await client.get(f"{path()}?{query}")).status_code == 200


def config(folder: Path, **changes: str) -> Config:
    return describe(folder, recording=recording_keys(folder, **changes))


def test_a_reader_that_is_no_recipient_is_a_fault_at_the_start(tmp_path: Path) -> None:
    _, other = new_identity()
    with pytest.raises(ConfigError) as fault:
        Reader.of(config(tmp_path, recipients=[other]))  # type: ignore[arg-type]
    assert "expected one of recording.recipients" in str(fault.value)
    assert "AGE-SECRET-KEY" not in str(fault.value)


def test_a_reader_that_is_no_identity_is_a_fault_that_shows_nothing(tmp_path: Path) -> None:
    made = config(tmp_path)
    (tmp_path / "reader.txt").write_text("AGE-SECRET-KEY-1WRONG")
    with pytest.raises(ConfigError) as fault:
        Reader.of(made)
    assert "WRONG" not in str(fault.value)
    assert "as age-keygen writes it" in str(fault.value)


def test_a_reader_shows_no_secret(tmp_path: Path) -> None:
    reader = Reader.of(config(tmp_path))
    assert reader is not None
    assert "AGE-SECRET" not in repr(reader) + str(vars(reader))
    assert Vouching(tmp_path).segments(uuid(1), 0) == {}
