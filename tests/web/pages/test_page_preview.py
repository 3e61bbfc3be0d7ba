"""What a write changes, on the page of its request: every value as it is, none of it markup; or why there is the text alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.pages.site import DANA, Site, asked, open_site, uuid

from gatebook.access.previews import Preview, Row, kept, read

HOSTILE = "<script>alert(1)</script>\u202e\x00'\""
PREVIEW = Preview(
    rows=3,
    columns=("id", "bo<b>dy", "n"),
    more_columns=2,
    keys=("id",),
    sample=(
        Row(before=("1", HOSTILE, "x"), after=("1", None, "x"), changed=(1,)),
        Row(before=("2", "gone", "y"), after=None),
        Row(before=None, after=("3", "comes", "z")),
    ),
    follows=("public.parts",),
    masked={"redact": 1},
    held_to={"rows": "3", "digest": "hmac-sha256:0"},
    at=1,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as made:
        yield made


async def page(site: Site, preview: Preview) -> str:
    site.approvals.open(asked(preview=preview))
    async with site.browser() as client:
        await site.sign_in(client, **DANA)
        answer = await client.get(f"/approvals/{uuid(1)}")
    assert answer.status_code == 200
    return answer.text


async def test_rows_are_shown_as_they_were_and_become_and_no_value_is_markup(site: Site) -> None:
    text = await page(site, PREVIEW)
    assert "<script>alert" not in text
    assert "bo<b>dy" not in text
    for said in ("3 rows", "these very rows", "public.parts", "gone", "comes", "NULL", "U+202E", "2 more columns not shown"):
        assert said in text, said


async def test_where_there_is_the_text_alone_the_page_says_why(site: Site) -> None:
    text = await page(site, Preview(why="the trigger <b>audit</b> may do anything"))
    assert "The text alone: " in text
    assert "<b>audit" not in text
    assert "these very rows" not in text


def test_a_preview_is_the_same_after_it_was_kept_and_one_that_is_too_long_is_kept_without_rows() -> None:
    assert read(kept(PREVIEW)) == PREVIEW
    long = Preview(rows=1, columns=("a",), sample=(Row(before=("x" * 300_000,), after=None),), held_to={"rows": "1"})
    found = read(kept(long))
    assert found is not None
    assert (found.rows, found.sample, found.held_to) == (1, (), {"rows": "1"})
    assert read("") is None
