"""What passed through sessions of an HTTP target, on a gateway that runs: read again by an auditor, a program and the book."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.clients.test_http_basics import RULES
from tests.testbed.apis import API_KEY, BillingApi
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.clients import run
from gatebook.cli.demo.processes import wait_until
from gatebook.cli.demo.world import clean_environment, gatebook_command

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BillingApi]:
    api = BillingApi(tmp_path_factory.mktemp("billing"))
    yield api
    api.stop()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], billing: BillingApi) -> LiveGateway:
    return new_gateway(apis=[billing.target()], policies={"http": RULES})


def lines(door: LiveGateway, session: str, *options: str) -> list[dict[str, Any]]:
    answer = door.replay("replay", session, "--json", *options)
    return [json.loads(line) for line in answer.output.splitlines() if line.startswith("{")]


def ended(door: LiveGateway) -> str:
    (session,) = door.sessions()
    assert door.gatebook("sessions", "kill", session["id"], "--reason", "seen enough").status == 0
    return str(session["id"])


def test_an_auditor_reads_what_agents_asked_and_what_they_got(door: LiveGateway) -> None:
    token = door.gateway_token()
    with door.http(token) as client:
        got = client.get("/billing/customers", headers={"Accept-Encoding": "gzip"})
        assert client.patch("/billing/customers/1", json={"note": "likes\u001b[2J tea"}).status_code < 500
        assert client.delete("/billing/customers/1").status_code == 403
        with client.stream("GET", "/billing/events?n=3") as events:
            told = events.read().decode()
    session = ended(door)
    text = door.replay("replay", session)
    assert text.status == 0, text.output
    assert "The recording is whole, as the ledger has it" in text.output
    assert "http.delete  block by no-deletes: customers are not deleted" in text.output
    assert "answer 403 Forbidden" in text.output
    assert "\x1b" not in text.output
    found = lines(door, session)
    asked = {one["d"]["seq"]: one["d"] for one in found if one["k"] == "q"}
    said: dict[int, str] = {}
    for one in found:
        if one["k"] == "p":
            said[one["d"]["seq"]] = said.get(one["d"]["seq"], "") + one["d"]["text"]
    assert [asked[seq]["text"].split()[0] for seq in sorted(asked)] == ["GET", "PATCH", "DELETE", "GET"]
    assert "tea" in asked[2]["text"]
    assert json.loads(said[1]) == got.json()
    assert said[4] == told
    events_at = [one["at"] for one in found if one["k"] == "p" and one["d"]["form"] == "event"]
    assert len(events_at) >= 3
    assert events_at[-1] - events_at[0] > 50_000
    whole = json.dumps(found)
    for secret in (API_KEY, token, "4111 1111 1111 1111", "ada.brown@example.com"):
        assert secret not in whole


def test_answers_at_the_same_time_are_told_apart(door: LiveGateway) -> None:
    token = door.gateway_token()

    def get(number: int) -> tuple[int, str]:
        with door.http(token) as client:
            answer = client.get(f"/billing/customers/{number % 3 + 1}")
            return answer.status_code, answer.text

    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(get, range(18)))
    session = ended(door)
    found = lines(door, session)
    asked = {one["d"]["seq"]: one["d"]["text"].split()[1] for one in found if one["k"] == "q"}
    said = {one["d"]["seq"]: one["d"]["text"] for one in found if one["k"] == "p"}
    assert len(asked) == len(said) == 18
    for number in range(3):
        texts = {said[seq] for seq, path in asked.items() if path == f"/customers/{number + 1}"}
        assert texts == {got[number][1]}


def test_the_session_stands_among_the_others_with_its_requests(door: LiveGateway) -> None:
    with door.http() as client:
        client.get("/billing/customers/1")
        client.delete("/billing/customers/1")
    assert wait_until(lambda: bool(door.entries("answer")), 5)
    (session,) = door.sessions("--target", "billing")
    assert (session["actions"], session["refused"], session["live"]) == (2, 1, True)
    shown = door.gatebook("sessions", "show", session["id"])
    assert shown.status == 0, shown.output
    assert "GET /customers/1" in shown.output
    assert "no-deletes" in shown.output
    (first, second) = json.loads(door.gatebook("sessions", "show", session["id"], "--json").output)["list"]
    assert (first["verb"], first["status"], first["ruling"]) == ("http.get", "200", "allow")
    assert (second["verb"], second["ruling"]) == ("http.delete", "block")


def test_evidence_and_controls_count_what_agents_did_with_an_api(door: LiveGateway, tmp_path: Path) -> None:
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    roles = {"roles": ["billing-admin"]}
    with door.http() as client:
        assert client.get("/billing/customers").status_code == 200
        assert client.delete("/billing/customers/1").status_code == 403
        held = client.put("/billing/iam/users/ada/roles", json=roles).json()
        word = {"verdict": "approve", "reason": "OPS-7"}
        assert door.send("POST", f"/api/v1/approvals/{held['approval']}/vote", dana, word).status_code == 200
        assert client.put("/billing/iam/users/ada/roles", json=roles).status_code == 200
    session = ended(door)
    package = tmp_path / "evidence.zip"

    def tables() -> dict[str, list[dict[str, str]]]:
        made = door.gatebook("evidence", "export", "-o", str(package))
        assert made.status == 0, made.output
        with zipfile.ZipFile(package) as found:
            names = [name for name in found.namelist() if name.startswith("populations/") and name.endswith(".csv")]
            return {Path(name).stem: list(csv.DictReader(io.StringIO(found.read(name).decode()))) for name in names}

    assert wait_until(lambda: len(tables()["actions"]) == 5, 10.0)  # a checkpoint comes every second
    found = tables()
    (opened,) = [one for one in found["access"] if one["session"] == session]
    assert (opened["protocol"], opened["target"], opened["actions"]) == ("http", "billing", "5")
    assert [one["verb"] for one in found["actions"]] == ["http.get", "http.delete", "http.put", "http.put", "http.put"]
    assert [one["status"] for one in found["actions"]] == ["200", "", "", "", "200"]
    assert [one["verb"] for one in found["refusals"]] == ["http.delete", "http.put"]
    (approval,) = found["approvals"]
    assert (approval["verb"], approval["verdict"], approval["independent"]) == ("http.put", "approved", "yes")
    with zipfile.ZipFile(package) as zipped:
        results = json.loads(zipped.read("controls.json"))
        report = zipped.read("report.html").decode()
    assert "/iam/users/" in report
    tested = [one for one in results["results"] if one["test"]]
    # the testbed's configuration was reviewed by nobody
    odd = [one["test"] for one in tested if one["found"] == "deviations" and "configuration" not in one["test"]]
    assert odd == []
    counted = {one["test"]: one["examined"] for one in tested if any("actions" in name for name in one["populations"])}
    assert 5 in counted.values(), counted


def test_approvers_and_the_api_read_a_request_in_its_own_words(door: LiveGateway) -> None:
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    with door.http() as client:
        held = client.put("/billing/iam/users/ada/roles?dry=no", json={"roles": ["root\u202e"]}).json()
    settings = clean_environment() | {
        "GATEBOOK_URL": f"https://127.0.0.1:{door.api_port}",
        "GATEBOOK_CA": str(door.world.authority.path),
        "GATEBOOK_TOKEN": door.gateway_token(dana),
    }
    shown = run([*gatebook_command(), "approvals", "show", held["approval"]], settings)
    assert shown.status == 0, shown.output
    for words in ("PUT /iam/users/ada/roles", "dry", "root", "http.put (admin)" if "admin" in shown.output else "http.put"):
        assert words in shown.output
    assert "\u202e" not in shown.output
    listed = run([*gatebook_command(), "approvals", "ls"], settings)
    assert "PUT" in listed.output
    found = door.api("/api/v1/sessions", dana).json()["sessions"]
    assert [one["target"] for one in found] == ["billing"]
    one = door.api(f"/api/v1/sessions/{found[0]['id']}", dana).json()
    assert "PUT /iam/users/ada/roles" in json.dumps(one)
