"""How pages look and behave for everybody: two widths, light and dark, axe, and content that would be more than text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from tests.browser.stage import NARROW, WIDE, Stage
from tests.web.pages.site import add_session, asked, identity, uuid

from gatebook.access.previews import Preview, Row
from gatebook.db import writing
from gatebook.gateway import store
from gatebook.model import Attribute, Kind, Reach

pytestmark = pytest.mark.real

LEAST_BYTES = 5_000  # of a screenshot with something on it
HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">\n"
    "UPDATE orders SET note = 'a' WHERE id = 7 \u202e--\u2066 ;SREMOTSUC MORF ETELED\u2069\u202c\n"
    "\x1b[2J\x00\u200b\ufeff\u00a0\u3164 \U000e0041" + " " * 5_000 + "; DROP TABLE customers --" + "\n" * 400 + "end"
)
DIFF = Preview(
    form="diff",
    text="...\n   name: web\n   namespace: shop\n spec:\n   progressDeadlineSeconds: 600\n-  replicas: 1\n+  replicas: 3\n"
    "   revisionHistoryLimit: 10\n   selector:\n     matchLabels:\n...\n"
    "-        image: registry.internal.example.com/shop/web-frontend-with-a-long-name@sha256:1f9dc1b3a4f74b1c0b7e22\n"
    "+        image: registry.internal.example.com/shop/web-frontend-with-a-long-name@sha256:77aa01fe45bc90d3e21a4f\n"
    "         name: \\u202eweb",
    held_to={"uid": "u", "version": "1"},
    at=1,
)
PREVIEW = Preview(
    rows=41,
    columns=("id", "customer", "status", "note", "shipped", "email", "weight", "<b>odd</b>"),
    keys=("id",),
    sample=(
        Row(
            before=("7", "3", "shipped", HOSTILE[:90], "2026-09-30", "a***@example.com", "1.25", None),
            after=("7", "3", "returned", None, "2026-09-30", "a***@example.com", "1.25", None),
            changed=(2, 3),
        ),
        Row(before=("8", "5", "shipped", "two parcels", "2026-09-28", "****", "3", "x"), after=None),
        Row(before=None, after=("9", "5", "returned", "a new one", "2026-10-02", "****", None, "y" * 200)),
    ),
    follows=("public.parcels",),
    held_to={"rows": "41", "digest": "hmac-sha256:0"},
    at=1,
)
LONG = "SELECT " + ", ".join(f"column_{number}" for number in range(4_000)) + " FROM " + "x" * 20_000


def fill(stage: Stage) -> dict[str, str]:
    """What one would meet on an ordinary day; the paths of the pages with it."""
    agent = {
        "agent": Attribute(value="order-desk", attested=True),
        "model": Attribute(value="example-model", attested=True),
        "model_version": Attribute(value="2026-09", attested=True),
    }
    requester = identity("shop-agent", groups=frozenset({"agents"}), attributes=agent, on_behalf_of="olga")
    session = add_session(stage.source, 900, "shop-agent", "SELECT name, email FROM customers", "DELETE FROM customers")
    past = add_session(stage.source, 901, "ci-job", "SELECT 1")
    with writing(stage.source) as connection:
        at, reason = stage.now(), "ended by person:dana: the job hangs"
        store.close_session(connection, session=past, at=at, reason=reason, counts=(1, 1), sizes=(900, 120_000))
    migration = (
        "ALTER TABLE orders\n  ADD COLUMN gift boolean NOT NULL DEFAULT false,\n"
        "  ADD COLUMN gift_note text;\nCREATE INDEX orders_gift ON orders (gift);"
    )
    stage.hold(1, requester=requester, text=migration, purpose="SHOP-7: gifts at checkout", session=session, quorum=2)
    stage.hold(2, requester=requester, kind="grant", resources=("shop",), seconds=3600, text="", reach=Reach.WRITE,
               reason="cleaning up the returns of last week, ticket SHOP-9", verb="grant", purpose="SHOP-9")  # fmt: skip
    stage.hold(
        3, approvers=frozenset({"group:security"}), text="DROP ROLE reporting", verb="sql.role", reason="roles are security's"
    )
    done = stage.hold(4, text="VACUUM FULL orders", verb="sql.maintain")
    people = identity("erin", Kind.PERSON, groups=frozenset({"dba"}))
    stage.approvals.vote(done.id, people, False, "not during the day", stage.now())
    stage.approvals.vote(uuid(1), people, True, "reviewed with the shop team", stage.now())
    stage.hold(5, text="UPDATE orders SET status = 'returned' WHERE shipped < '2026-10-01'", verb="sql.update", preview=PREVIEW)
    patch = "PATCH /apis/apps/v1/namespaces/shop/deployments/web\n\nspec:\n  replicas: 3"
    stage.hold(6, text=patch, verb="k8s.patch", resources=("shop/deployments.apps/web",), preview=DIFF)
    paths = {
        "approvals": "/approvals",
        "diff": f"/approvals/{uuid(6)}",
        "preview": f"/approvals/{uuid(5)}",
        "approval": f"/approvals/{uuid(1)}",
        "grant": f"/approvals/{uuid(2)}",
    }
    paths["past"] = f"/sessions/{past}"
    return paths | {"denied": f"/approvals/{done.id}", "sessions": "/sessions", "session": f"/sessions/{session}"}


def overflowing(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def axe_faults(page: Page) -> list[Any]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_every_page_is_fit_for_everybody_and_for_every_screen(stage: Stage, size: tuple[int, int], scheme: str) -> None:
    paths = fill(stage)
    page = stage.open(size, scheme)
    page.goto(f"{stage.url}/sign-in")
    assert axe_faults(page) == []
    stage.picture(page, f"sign-in-{size[0]}-{scheme}")
    stage.sign_in(page)
    for name, path in paths.items():
        page.goto(stage.url + path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert axe_faults(page) == []
        assert overflowing(page) == 0
        assert stage.picture(page, f"{name}-{size[0]}-{scheme}").stat().st_size > LEAST_BYTES


def hostile_approval(stage: Stage) -> str:
    attributes = {'<b onclick="x">': Attribute(value="\u202emodel</dd><script>1</script>", attested=False)}
    requester = identity("<i>agent</i>\u202e", attributes=attributes)
    words = {name: f"<b>{name}</b>\u202e\n\x1b]0;x\x07" for name in ("verb", "target", "role", "rule", "reason", "purpose")}
    stage.hold(1, requester=requester, text=HOSTILE, resources=("<u>r</u>",), session='"><script>', **words)
    return f"/approvals/{uuid(1)}"


def hostile_session(stage: Stage) -> str:
    return f"/sessions/{add_session(stage.source, 900, '<i>agent</i>', HOSTILE, LONG)}"


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
@pytest.mark.parametrize("make", [hostile_approval, hostile_session])
def test_what_was_written_elsewhere_never_becomes_markup(
    stage: Stage, make: Callable[[Stage], str], size: tuple[int, int]
) -> None:
    path = make(stage)
    page = stage.sign_in(stage.open(size))
    for place in ("/approvals", "/sessions", path):
        page.goto(stage.url + place)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.querySelectorAll('main script, main img, main b, main i, main u').length") == 0
        assert "owned" not in page.title()
        assert overflowing(page) == 0
        assert axe_faults(page) == []
    stage.picture(page, f"hostile-{make.__name__}-{size[0]}")


def test_nothing_unseen_stays_unseen(stage: Stage) -> None:
    stage.hold(1, text=HOSTILE)
    page = stage.sign_in(stage.open(), to=f"/approvals/{uuid(1)}")
    labels = page.locator(".exact .mark").all_inner_texts()
    for expected in ("U+202E", "U+2066", "U+001B", "U+0000", "U+200B", "U+FEFF", "U+00A0", "U+3164", "U+E0041"):
        assert expected in labels
    assert "5,000 spaces" in labels
    assert "400 line breaks" in labels
    expect(page.get_by_text("; DROP TABLE customers --")).to_be_visible()
    expect(page.get_by_text(f"{len(HOSTILE):,} characters")).to_be_visible()


def test_letters_stand_in_the_order_of_the_text(stage: Stage) -> None:
    """A word of another direction must not change places with its neighbours: the first letter stands left of the last."""
    stage.hold(1, text="a \u05d0\u05d1\u05d2 z")
    page = stage.sign_in(stage.open(), to=f"/approvals/{uuid(1)}")
    lefts = page.evaluate(
        """() => { const text = document.querySelector('.exact').firstChild; const lefts = [];
        for (let i = 0; i < text.length; i++) { const r = document.createRange(); r.setStart(text, i); r.setEnd(text, i + 1);
          lefts.push(r.getBoundingClientRect().left); } return lefts; }"""
    )
    assert lefts == sorted(lefts)


def test_a_statement_of_a_megabyte_is_whole_and_the_page_still_answers(stage: Stage) -> None:
    text = "SELECT '" + "x" * 1_000_000 + "' -- end"
    stage.approvals.open(asked(1, text=text, opened_at=stage.now(), expires_at=stage.now() + 900_000_000))
    page = stage.sign_in(stage.open(), to=f"/approvals/{uuid(1)}")
    assert page.locator(".exact").inner_text() == text
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").locator(".state")).to_have_text("approved")
