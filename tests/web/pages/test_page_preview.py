"""What a write changes, on the page of its request: every value as it is, none of it markup; or why there is the text alone."""

from __future__ import annotations

import json
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


DIFF = Preview(
    form="diff",
    text="...\n   a: b\n-  c: <i>d</i>\n+  c: e\u202e\n \n+",
    notes=("It belongs to <b>nobody</b>.",),
    held_to={"uid": "u", "version": "1"},
    at=1,
)


async def test_a_diff_is_shown_line_by_line_and_no_line_is_markup(site: Site) -> None:
    text = await page(site, DIFF)
    assert "<i>d" not in text
    assert "<b>nobody" not in text
    assert "<del>-  c: &lt;i&gt;d&lt;/i&gt;</del>\n<ins>+  c: e" in text
    assert "U+202E" in text
    assert "same version" in text
    assert "own dry run" in text
    assert "0 rows" not in text


@pytest.mark.parametrize(
    ("form", "held_to", "said"),
    [
        ("goes", {"uid": "u", "version": "1"}, "in the same version"),
        ("names", {"set": "0"}, "still the same ones"),
        ("comes", {"absent": "yes"}, "still is no such object"),
        ("comes", {}, "What comes"),
    ],
)
async def test_what_comes_and_goes_is_shown_with_what_a_yes_is_held_to(
    site: Site, form: str, held_to: dict[str, str], said: str
) -> None:
    text = await page(site, Preview(form=form, text="- name: x\n+ y", held_to=held_to, at=1))
    assert said in text
    assert "- name: x" in text
    assert "<del>" not in text


async def test_what_was_refused_is_held_to_what_was_seen_and_the_page_says_so(site: Site) -> None:
    text = await page(site, Preview(why="the cluster refuses it", held_to={"uid": "u", "version": "1"}))
    assert "The text alone: " in text
    assert "in the same version" in text


def test_a_preview_of_text_is_kept_and_read_again_and_older_ones_too() -> None:
    assert read(kept(DIFF)) == DIFF
    whole = json.loads(kept(PREVIEW))
    older = {name: value for name, value in whole.items() if name not in ("form", "text", "notes")}
    assert read(json.dumps(older)) == PREVIEW
