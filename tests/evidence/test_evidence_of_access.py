"""What approvals and grants really write into the book is what the package's lists are made of."""

from __future__ import annotations

import csv
import io
import json

import pytest
from tests.access.party import AGENT, DANA, party, request
from tests.evidence.packages import begin, build, put
from tests.ledger.books import open_log
from tests.make import MINUTE, NOW

from gatebook.access.grants import Wish
from gatebook.errors import AccessError
from gatebook.model import Reach


@pytest.fixture
def files(tmp_path):
    """Of a request whose requester tried to vote, of one nobody answered, and of a grant that was used and revoked."""
    with party(tmp_path) as place:
        one, two = request(1), request(2, digest="sha256:two")
        for asked in (one, two):
            place.approvals.open(asked)
        with pytest.raises(AccessError):
            place.approvals.vote(one.id, AGENT, True, "", NOW)
        place.approvals.vote(one.id, DANA, True, "looks right", NOW)
        assert place.approvals.use(one.id, one.digest, NOW)
        place.approvals.expire(NOW + 6 * MINUTE)
        wish = Wish(targets=("shop",), reach=Reach.WRITE, seconds=600, why="load", purpose="OPS-8")
        wanted = place.grants.request(AGENT, wish, id="01999999-0000-7000-8000-000000000009", now=NOW)
        place.approvals.vote(wanted.id, DANA, True, "", NOW)
        (held,) = place.grants.use(AGENT, "shop", one.session, NOW)
        place.grants.revoke(held, DANA, NOW)
        entries = place.pages.entries
    ticks = iter(range(NOW, NOW + MINUTE, 1000))
    log = open_log(tmp_path / "ledger", clock=lambda: next(ticks))
    begin(log)
    put(log, *entries)
    log.close()
    return build(tmp_path / "ledger")


def table(files, name):
    return list(csv.DictReader(io.StringIO(files[f"populations/{name}.csv"].decode(), newline="")))


def test_requests_stand_with_who_asked_who_voted_and_how_they_ended(files):
    used, expired, grant = table(files, "approvals")
    assert (used["verdict"], used["ended"], used["independent"], used["own_votes"]) == ("approved", "used", "yes", "1")
    assert AGENT.subject in used["requester_c"]
    assert f"approve by c({DANA.issuer}|dana)" in used["votes"]
    assert (expired["verdict"], expired["independent"], expired["verb"]) == ("expired", "no vote", "sql.alter")
    assert (grant["kind"], grant["verdict"], grant["independent"]) == ("grant", "approved", "yes")


def test_a_grant_stands_with_its_use_and_its_end(files):
    (grant,) = table(files, "grants")
    assert (grant["targets"], grant["reach"], grant["ttl"], grant["uses"]) == ("shop", "write", "600", "1")
    assert AGENT.subject in grant["identity_c"]
    assert grant["revoked_index"]
    assert grant["used_late"] == "0"


def test_controls_over_approvals_and_grants_operated_and_nothing_is_astray(files):
    found = json.loads(files["controls.json"])["results"]
    results = {one["test"]: one["result"] for one in found if one["criterion"] == "CC6.3"}
    assert results["each decided request was approved by nobody who asked for it"] == "operated"
    assert results["each grant has an end, and no use after it"] == "operated"
    assert b"belongs to nothing" not in files["exceptions.csv"]
    assert b"an id used twice" not in files["exceptions.csv"]
