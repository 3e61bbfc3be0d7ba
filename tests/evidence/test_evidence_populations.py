from __future__ import annotations

import csv
import io
import json
from collections import Counter

import pytest
from tests.evidence.packages import (
    AGENT,
    DIGEST,
    OTHER,
    PERSON,
    RULES,
    SECOND,
    START,
    act,
    answer,
    build,
    entry,
    grant,
    ledger_of,
    opening,
    put,
    request,
    result,
    vote,
)
from tests.ledger.books import ORIGIN, closing, entries, open_log

from gatebook.evidence import package, populations
from gatebook.evidence.entries import READ_BUNDLES, WIDTH, Bundle, Period, records
from gatebook.evidence.tables import LONG, PLACE, Table
from gatebook.ledger.tree import leaf_hash


def table(files, name):
    return list(csv.DictReader(io.StringIO(files[f"{name}.csv"].decode(), newline="")))


def result_of(files, criterion, test):
    found = json.loads(files["controls.json"])["results"]
    (one,) = (one for one in found if one["criterion"] == criterion and test in one["test"])
    return one


def test_every_row_names_origin_index_and_leaf_hash_of_its_entry(ledger, files):
    log = entries(ledger)
    rows = [row for name in files if name.endswith(".csv") for row in table(files, name[:-4]) if row.get("index")]
    assert len(rows) > 140
    for row in rows:
        assert row["origin"] == ORIGIN
        assert row["leaf"] == leaf_hash(log[int(row["index"])]).hex()


def test_each_list_is_as_long_as_the_log_says(ledger, files):
    kinds = [json.loads(one) for one in entries(ledger)]
    expected = {"access": "session.open", "actions": "action", "door": "session.refuse", "approvals": "approval.request"}
    expected |= {"grants": "grant.create", "policies": "policy.publish", "configurations": "config.change"}
    for name, kind in expected.items():
        assert len(table(files, f"populations/{name}")) == sum(one["type"] == kind for one in kinds), name
        about = json.loads(files[f"populations/{name}.query.json"])
        assert about["rows"] == len(table(files, f"populations/{name}"))
        assert about["tool"].startswith("gatebook/")
        assert about["query"]
        assert about["logs"][0]["last"] == len(kinds) - 1


def test_an_action_stands_with_its_answer_and_its_sessions_identity(files):
    first = table(files, "populations/actions")[1]
    assert (first["identity_c"], first["target"], first["status"], first["rows"]) == (AGENT, "shop", "SELECT 1", "1")
    assert int(first["answer_index"]) == int(first["index"]) + 1


def test_refusals_are_what_was_blocked_and_not_what_an_approval_let_go(files):
    (refused,) = table(files, "populations/refusals")
    assert (refused["ruling"], refused["rule"]) == ("block", "no-delete")


def test_an_approval_stands_with_its_votes_its_end_and_who_was_who(files):
    first, denied, expired = table(files, "populations/approvals")
    assert (first["verdict"], first["ended"], first["independent"], first["own_votes"]) == ("approved", "used", "yes", "1")
    assert first["requester_c"] == AGENT
    assert f"approve by {PERSON} in" in first["votes"]
    assert (denied["verdict"], expired["verdict"]) == ("denied", "expired")


def test_a_hostile_statement_runs_in_no_spreadsheet_and_drives_no_terminal(files):
    (refused,) = table(files, "populations/refusals")
    assert refused["text"].startswith("'=cmd|")
    assert not {"\x1b", "\u202e", "\n"} & set(refused["text"])
    page = files["report.html"].decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "default-src 'none'" in page


def test_a_period_holds_what_began_in_it_and_nothing_else(ledger):
    period = Period(START + 2 * SECOND, START + 4 * SECOND)
    files = build(ledger, period)
    times = [row["time"] for name in ("access", "actions", "approvals") for row in table(files, f"populations/{name}")]
    assert times
    assert all("22:13:22" <= time[11:19] < "22:13:24" for time in times)


def test_the_first_run_ended_in_a_crash_and_that_is_an_exception(files):
    found = {row["what"] for row in table(files, "exceptions")}
    expected = {"crash", "session ended by a crash", "no answer", "configuration without a second person", "self-attested"}
    assert found == expected
    assert [row["how"] for row in table(files, "restarts")] == ["first", "crash"]
    assert result_of(files, "A1.2", "crash")["result"] == "deviations"


def test_rules_come_along_with_their_text_only_under_their_digest(ledger, files):
    folder = package.policy_folder(DIGEST)
    assert files[f"{folder}/never%20ask.cedar"] == RULES["never ask.cedar"].encode()
    other = build(ledger, rules={"agents.cedar": "// other\n"})
    assert not [name for name in other if name.startswith("policies/")]
    assert [row for row in table(other, "exceptions") if row["what"] == "no text of the rules"]
    assert not [row for row in table(files, "exceptions") if row["what"] == "no text of the rules"]


def controls_after(tmp_path, *found):
    return build(ledger_of(tmp_path / "ledger", *found))


@pytest.mark.parametrize(
    ("criterion", "test", "found"),
    [
        ("CC6.1", "names its identity", [opening("s", who="")]),
        ("CC6.1", "names its identity", [opening("s", time=START - 90_000 * SECOND)]),
        ("CC6.1", "rules in force", [opening("s"), act("s", 1, pol={"digest": "sha256:ff"})]),
        ("CC6.1", "rules in force", [opening("s"), act("s", 1, rule="")]),
        ("CC6.1", "no blocked action", [opening("s"), act("s", 1, ruling="block"), answer("s", 1)]),
        ("CC6.1", "ruled mask", [opening("s"), act("s", 1, ruling="mask", masks=[])]),
        ("CC2.1", "has its answer", [opening("s"), act("s", 1), closing("s")]),
        ("CC6.3", "nobody who asked", [request("p", "s"), vote("p", AGENT), result("p", "approved")]),
        ("CC6.3", "nobody who asked", [request("p", "s"), vote("p", OTHER, own=True), result("p", "approved")]),
        ("CC6.3", "nobody who asked", [request("p", "s"), result("p", "approved")]),
        ("CC6.3", "by approval", [opening("s"), act("s", 1, approval="p")]),
        ("CC6.3", "by approval", [opening("s"), request("p", "s"), act("s", 1, approval="p"), vote("p", PERSON)]),
        ("CC6.3", "by approval", [opening("s"), request("p", "s"), result("p", "denied"), act("s", 1, approval="p")]),
        ("CC6.3", "each grant", [grant("g", ttl=0)]),
        ("CC6.3", "each grant", [grant("g"), entry("grant.expire", grant="g"), entry("grant.use", grant="g")]),
        ("CC6.3", "each grant", [grant("g"), entry("grant.revoke", grant="g", by="x"), entry("grant.use", grant="g")]),
        ("CC6.3", "each grant", [grant("g", until=START - SECOND), entry("grant.use", grant="g")]),
        ("CC6.3", "each refusal names", [opening("s"), act("s", 1, ruling="block", reason="")]),
        ("CC7.3", "incident", [entry("incident.flag", incident="i", by="a", why="")]),
        ("CC7.3", "incident", [entry(f"incident.{what}", incident="i", by="a", why="") for what in ("flag", "close")]),
        ("C1.2", "erasure", [entry("erasure", target_sid="s", basis="", by="a", approved_by="a")]),
    ],
)
def test_what_a_control_should_not_let_happen_is_a_deviation(tmp_path, criterion, test, found):
    one = result_of(controls_after(tmp_path, *found), criterion, test)
    assert one["result"] == "deviations"
    assert one["deviations"][0].startswith(f"{ORIGIN} entry ")


def test_what_never_happened_is_said_to_be_no_occurrence(tmp_path):
    files = controls_after(tmp_path)
    for criterion, test in (("CC6.1", "identity"), ("CC6.3", "approved by"), ("CC6.3", "grant"), ("CC7.3", "incident")):
        assert result_of(files, criterion, test)["result"] == "no-occurrence"
    assert result_of(files, "CC6.4", "")["result"] == "not-covered"


def test_what_went_well_operated(files):
    for criterion, test in (("CC6.1", "identity"), ("CC6.1", "force"), ("CC6.3", "nobody"), ("CC6.3", "by approval")):
        one = result_of(files, criterion, test)
        assert (one["result"], one["deviations"]) == ("operated", []), one
        assert one["examined"] > 0


def test_while_gateway_and_clients_share_a_machine_nothing_is_covered(tmp_path):
    shared = entry("exception", what="co-located: not protected", why="one account")
    files = controls_after(tmp_path, shared, opening("s"), act("s", 1), answer("s", 1), closing("s"))
    found = json.loads(files["controls.json"])["results"]
    assert {one["result"] for one in found} == {"not-covered"}
    assert result_of(files, "CC6.1", "identity")["found"] == "operated"
    assert "not covered: co-located" in {row["what"] for row in table(files, "exceptions")}
    assert "shared a machine" in files["report.html"].decode()


def test_a_period_after_the_machine_was_shared_is_covered(tmp_path):
    ticks = iter(range(START, START + 3600 * SECOND, SECOND))
    for first in (True, False):
        log = open_log(tmp_path / "ledger", clock=lambda: next(ticks))
        if first:
            put(log, entry("exception", what="co-located: not protected", why=""))
        put(log, entry("policy.publish", digest=DIGEST, by=""), opening("s"), closing("s"))
        log.close()
    second = json.loads(next(one for one in reversed(entries(tmp_path / "ledger")) if b'"log.boot"' in one))["time"]
    assert result_of(build(tmp_path / "ledger"), "CC6.1", "identity")["result"] == "not-covered"
    later = build(tmp_path / "ledger", Period(second + 1, second + 60 * SECOND))
    assert result_of(later, "CC6.1", "identity")["result"] == "operated"


def test_a_list_is_complete_even_where_an_id_comes_twice(tmp_path):
    again = [opening("s"), act("s", 1), answer("s", 1), closing("s")]
    files = controls_after(tmp_path, *again, *again, request("p", "s"), request("p", "s"), grant("g"), grant("g"))
    for name in ("access", "approvals", "grants"):
        assert len(table(files, f"populations/{name}")) == 2, name
    assert [row["what"] for row in table(files, "exceptions")].count("an id used twice") == 3


def test_what_belongs_to_nothing_is_an_exception(tmp_path):
    files = controls_after(tmp_path, opening("s"), answer("s", 5), vote("p", PERSON), entry("grant.use", grant="g"))
    assert [row["what"] for row in table(files, "exceptions")].count("belongs to nothing") == 3


def test_entries_of_the_strangest_fields_make_a_package_all_the_same(tmp_path):
    strange = [
        entry("approval.request", approval="", digest="", approvers=[{"a": [1]}], expires=2**53 - 1, actor="x", session=[1]),
        entry("approval.vote", approval="", approver="", verdict="approve", self=False, actor=7),
        entry("grant.create", grant="", scope={}, ttl=-5, ticket="", until="soon"),
        entry("config.change", old="", new="", diff_h="", by="", approved_by=""),
        entry("exception", what="", why="", time_="x"),
        entry("session.refuse", decision="", src={}, res={}, rule="", reason="", unlisted=3),
    ]
    assert "refusals not listed" in {row["what"] for row in table(controls_after(tmp_path, *strange), "exceptions")}


def test_a_pass_over_a_log_keeps_none_of_its_entries() -> None:
    """A ledger may be larger than memory: what a list is made of is read again when it is asked for."""
    said = {"type": "action", "sid": "s", "ruling": "allow", "step": "run", "time": START}
    bundles = READ_BUNDLES + 8
    read: Counter[str] = Counter()

    def bundle(name: str) -> bytes:
        read[name] += 1
        entries = (json.dumps(said | {"action": f"{name} {number}"}).encode() for number in range(WIDTH))
        return b"".join(len(one).to_bytes(2) + one for one in entries)

    facts = populations.read(records("o", bundles * WIDTH, bundle))
    assert len(facts.acts) == bundles * WIDTH
    assert set(read.values()) == {1}
    for one in facts.acts[:: WIDTH // 2]:
        kept = {type(getattr(one.asked, slot)) for slot in one.asked.__slots__}
        assert kept == {str, int, Bundle}
    assert facts.acts[3].asked.text("action") == "tile/entries/000 3"
    assert read["tile/entries/000"] == 2


def test_of_a_long_table_all_lines_are_written_and_only_the_first_rows_are_kept() -> None:
    table = Table("t", "T", "all", (*PLACE, "value"))
    for number in range(LONG + 5):
        table.put(("o", str(number), "", "", "=x"))
    assert (table.count, len(table.rows), len(table.first(10))) == (LONG + 5, LONG, 10)
    assert table.csv().count(b"\n") == LONG + 6
    assert table.csv().endswith(f"o,{LONG + 4},,,'=x\n".encode())
