"""Scripts proposed whole: people approve exactly the file, it runs once, for the identity that asked, and nothing else runs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import errors
from tests.clients.test_holding import columns, dana, pending, vote
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until
from gatebook.cli.demo.world import clean_environment, gatebook_command

pytestmark = pytest.mark.real

PATIENCE = 30.0  # seconds for a command to start on a busy machine
PROPOSING, RESUMING = "-c gatebook.hold=propose", "-c gatebook.hold=resume"


@pytest.fixture
def quiet(new_gateway: Callable[..., LiveGateway]) -> LiveGateway:
    """A gateway of one's own, with nothing pending."""
    return new_gateway()


class Job:
    """A CI job that proposes a file: `gatebook connect shop -f FILE --propose`, with a fresh token of one identity."""

    def __init__(self, gateway: LiveGateway, folder: Path, **claims: Any) -> None:
        self.gateway, self.file, self.claims = gateway, folder / "migration.sql", claims

    def command(self, *options: str, target: str = "shop") -> tuple[list[str], dict[str, str]]:
        settings = {
            **clean_environment(),
            "GATEBOOK_URL": f"https://localhost:{self.gateway.api_port}",
            "GATEBOOK_CA": str(self.gateway.world.authority.path),
            "GATEBOOK_PROVIDER_TOKEN": self.gateway.mint(**self.claims),
        }
        return [*gatebook_command(), "connect", target, "-f", str(self.file), "--propose", *options], settings

    def run(self, *options: str, target: str = "shop", **changes: str) -> subprocess.CompletedProcess[str]:
        argv, settings = self.command(*options, target=target)
        return subprocess.run(
            argv, env=settings | changes, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    def start(self, *options: str) -> subprocess.Popen[str]:
        argv, settings = self.command(*options)
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, env=settings, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def write(self, *statements: str) -> str:
        self.file.write_text(";\n".join(statements) + ";\n")
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


@pytest.fixture
def job(quiet: LiveGateway, tmp_path: Path) -> Job:
    return Job(quiet, tmp_path)


def the_one(gateway: LiveGateway) -> dict[str, Any]:
    assert wait_until(lambda: len(pending(gateway)) == 1, PATIENCE)
    return pending(gateway)[0]


def approve(gateway: LiveGateway) -> str:
    found = the_one(gateway)
    assert vote(gateway, found["id"], "approve", dana(gateway)).status_code == 200
    return str(found["id"])


def state(gateway: LiveGateway, approval: str) -> str:
    return str(gateway.api(f"/api/v1/approvals/{approval}", dana(gateway)).json()["state"])


def test_a_migration_waits_is_approved_whole_and_runs_once(quiet: LiveGateway, job: Job) -> None:
    digest = job.write(
        "SELECT count(*) FROM notes",
        "ALTER TABLE notes ADD COLUMN proposed_one text",
        "DO $$ BEGIN RAISE NOTICE 'half way'; END $$",
        "UPDATE notes SET proposed_one = 'x' WHERE id = 1",
    )
    running = job.start("--why", "OPS-7")
    found = quiet.api(f"/api/v1/approvals/{the_one(quiet)['id']}", dana(quiet)).json()
    assert (found["kind"], found["purpose"], found["masks"]) == ("script", "OPS-7", ["pii"])
    assert (found["script"]["sha256"], found["script"]["statements"]) == (digest, 4)
    parts = [(one["line"], one["verb"], one["ruling"], one["rule"]) for one in found["script"]["parts"]]
    assert parts == [
        (1, "sql.select", "allow", "agents-read"),
        (2, "sql.alter", "approve", "admin-needs-dba"),
        (3, "sql.do", "approve", "unknown-needs-dba"),
        (4, "sql.update", "allow", "agents-write"),
    ]
    assert "group dba has to approve" in found["reason"]
    assert "cannot be read from its text" in found["reason"]
    assert running.poll() is None
    assert vote(quiet, found["id"], "approve", dana(quiet)).status_code == 200
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, "Ran 4 statements as one; the last: UPDATE 1.\n"), err
    assert "NOTICE: details withheld" in err
    for said in (digest, found["id"], f"/approvals/{found['id']}", "admin-needs-dba", "group:dba"):
        assert said in err
    assert columns(quiet, "proposed_one") == "1"
    assert state(quiet, found["id"]) == "used"
    results = [one for one in quiet.entries("approval.result") if one["approval"] == found["id"]]
    assert [one["verdict"] for one in results] == ["approved", "used"]


def test_a_job_that_does_not_wait_is_gone_on_with_by_a_later_one(quiet: LiveGateway, job: Job) -> None:
    job.write("ALTER TABLE notes ADD COLUMN proposed_two text", "SELECT 1")
    first = job.run("--no-wait", "--json")
    assert first.returncode == 3, first.stderr
    told = json.loads(first.stdout)
    assert (told["outcome"], told["approval"]["state"]) == ("pending", "open")
    again = job.run("--no-wait", "--json")
    assert (again.returncode, json.loads(again.stdout)["approval"]["id"]) == (3, told["approval"]["id"])
    assert len(pending(quiet)) == 1
    assert columns(quiet, "proposed_two") == "0"
    approve(quiet)
    last = job.run("--no-wait", "--json")
    assert (last.returncode, json.loads(last.stdout)["outcome"]) == (0, "ran"), last.stderr
    assert columns(quiet, "proposed_two") == "1"
    assert state(quiet, told["approval"]["id"]) == "used"


def test_of_two_jobs_with_one_approval_one_runs_and_nobody_is_asked_again(quiet: LiveGateway, job: Job) -> None:
    job.write(
        "ALTER TABLE notes ADD COLUMN IF NOT EXISTS proposed_three text",
        "INSERT INTO notes (customer_id, body) VALUES (1, 'three')",
    )
    jobs = [job.start() for _ in range(2)]
    approval = the_one(quiet)["id"]
    approve(quiet)
    codes = []
    for one in jobs:
        one.communicate(timeout=60)
        codes.append(one.returncode)
    counted = quiet.world.plain.sql("SELECT count(*) FROM notes WHERE body = 'three'", "shop")
    asked = [one for one in quiet.entries("approval.request") if one["kind"] == "script"]
    used = [one for one in quiet.entries("approval.result") if one["verdict"] == "used"]
    assert counted == str(len(used))
    assert state(quiet, approval) == "used"
    assert (sorted(codes), counted, len(asked)) == ([0, 1], "1", 1)
    assert pending(quiet) == []


def test_a_denial_ends_it_with_who_and_why_and_is_not_asked_over_unless_said(quiet: LiveGateway, job: Job) -> None:
    job.write("ALTER TABLE notes ADD COLUMN proposed_four text")
    running = job.start()
    vote(quiet, the_one(quiet)["id"], "deny", dana(quiet), "not on a Friday")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "denied by dana: not on a Friday" in err
    later = job.run("--no-wait")
    assert later.returncode == 1
    assert "denied by dana: not on a Friday; --again asks anew" in later.stderr
    assert pending(quiet) == []
    assert job.run("--no-wait", "--again").returncode == 3
    assert len(pending(quiet)) == 1
    assert columns(quiet, "proposed_four") == "0"


def test_a_proposal_nobody_answers_expires(new_gateway: Callable[..., LiveGateway], tmp_path: Path) -> None:
    gateway = new_gateway(more={"approvals": {"proposal_seconds": 60}})
    job = Job(gateway, tmp_path)
    job.write("ALTER TABLE notes ADD COLUMN proposed_five text")
    assert job.run("--wait", "0.2").returncode == 3
    asked = the_one(gateway)
    assert asked["expires_at"] - asked["opened_at"] == 60_000_000


@pytest.mark.parametrize("changed", ["comment", "byte", "purpose", "search_path", "subject", "kind", "target"])
def test_an_approval_fits_nothing_that_differs(quiet: LiveGateway, job: Job, changed: str) -> None:
    job.write("CREATE TABLE proposed_six (id int)")
    assert job.run("--no-wait").returncode == 3
    approval = approve(quiet)
    text = job.file.read_text()
    claims = {"subject": {"sub": "other-agent"}, "kind": {"kind": "person", "groups": ["dba"]}}
    other = Job(quiet, job.file.parent, **claims.get(changed, {}))
    if changed == "comment":
        job.file.write_text(text + "-- done\n")
    if changed == "byte":
        job.file.write_text(text.replace("int", "int "))
    options = ("--why", "OPS-8") if changed == "purpose" else ()
    settings = {"PGOPTIONS": "-c search_path=pg_catalog,public"} if changed == "search_path" else {}
    target = "shop/postgres" if changed == "target" else "shop"
    after = other.run("--no-wait", *options, target=target, **settings)
    assert after.returncode == (1 if changed == "target" else 3), after.stderr
    assert state(quiet, approval) == "approved"
    assert quiet.world.plain.sql("SELECT to_regclass('proposed_six') IS NULL", "shop") == "t"


def test_an_approved_script_covers_none_of_its_statements_and_a_statement_no_script(quiet: LiveGateway) -> None:
    statement = "ALTER TABLE notes ADD COLUMN proposed_seven text"
    with quiet.connect(autocommit=True, options=PROPOSING) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)
    script = approve(quiet)
    with quiet.connect(autocommit=True) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)
    single = approve(quiet)
    assert (state(quiet, script), state(quiet, single)) == ("approved", "approved")
    with quiet.connect(autocommit=True, options=PROPOSING) as connection:
        connection.execute(statement)
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)
    assert (state(quiet, script), state(quiet, single)) == ("used", "approved")


def test_a_query_behind_an_approved_script_is_decided_on_its_own(quiet: LiveGateway) -> None:
    with quiet.connect(autocommit=True, options=PROPOSING) as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("ALTER TABLE notes ADD COLUMN proposed_eight text")
        approve(quiet)
        connection.execute("ALTER TABLE notes ADD COLUMN proposed_eight text")
        for behind in ("ALTER TABLE notes DROP COLUMN proposed_eight", "DROP TABLE notes"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(behind)
    assert columns(quiet, "proposed_eight") == "1"


def test_a_script_with_something_that_is_never_allowed_is_refused_at_once_and_says_where(quiet: LiveGateway, job: Job) -> None:
    job.write("SELECT 'a;\nb' /* ; */", "ALTER TABLE notes ADD COLUMN proposed_nine text", "DROP TABLE notes")
    refused = job.run()
    assert refused.returncode == 1
    assert "migration.sql:4: 42501: blocked by no-drop: statement 3 of 3, line 4: DROP is blocked here" in refused.stderr
    assert pending(quiet) == []
    assert columns(quiet, "proposed_nine") == "0"


def test_a_script_that_needs_nobody_runs_at_once_and_one_that_fails_says_where(quiet: LiveGateway, job: Job) -> None:
    job.write("SELECT 1", "UPDATE notes SET body = body WHERE id = 1")
    assert job.run().stdout == "Ran 2 statements as one; the last: UPDATE 1.\n"
    job.write("INSERT INTO notes (customer_id, body) VALUES (1, 'kept?')", "SELECT 1/0")
    failed = job.run("--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["said"].startswith("22012: division by zero")
    assert quiet.world.plain.sql("SELECT count(*) FROM notes WHERE body = 'kept?'", "shop") == "0"
    job.write("SELECT 1", "SELEC 2")
    assert "migration.sql:2:" in job.run().stderr
    assert pending(quiet) == []


def test_what_is_resumed_asks_nobody(quiet: LiveGateway) -> None:
    with quiet.connect(autocommit=True, options=RESUMING) as connection:
        with pytest.raises(errors.InsufficientPrivilege, match="no approval fits"):
            connection.execute("ALTER TABLE notes ADD COLUMN proposed_ten text")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert pending(quiet) == []


def test_somebody_whose_access_ended_runs_nothing_that_was_approved_for_them(quiet: LiveGateway, job: Job) -> None:
    job.write("ALTER TABLE notes ADD COLUMN proposed_eleven text")
    assert job.run("--no-wait").returncode == 3
    approval = approve(quiet)
    argv, settings = job.command("--no-wait")
    settings["GATEBOOK_PROVIDER_TOKEN"] = quiet.mint(kind="ci")
    after = subprocess.run(argv, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert after.returncode == 1
    assert state(quiet, approval) == "approved"
    assert columns(quiet, "proposed_eleven") == "0"


def test_an_interrupted_job_leaves_its_request(quiet: LiveGateway, job: Job) -> None:
    job.write("ALTER TABLE notes ADD COLUMN proposed_twelve text")
    running = job.start()
    asked = the_one(quiet)["id"]
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(iter(running.stderr.readline, "")), daemon=True)
    reader.start()
    assert wait_until(lambda: any("Follow" in line for line in said), PATIENCE)
    running.send_signal(2)
    assert running.wait(20) == 3
    reader.join(10)
    running.stdout.close()
    running.stderr.close()
    assert any("finds the approval" in line for line in said)
    assert [one["id"] for one in pending(quiet)] == [asked]


def test_a_cli_approver_sees_the_script_statement_by_statement(quiet: LiveGateway, job: Job) -> None:
    digest = job.write("SELECT 1", "ALTER TABLE notes ADD COLUMN proposed_thirteen text")
    assert job.run("--no-wait").returncode == 3
    _, settings = job.command()
    shown = subprocess.run(
        [*gatebook_command(), "approvals", "show", the_one(quiet)["id"]],
        env=settings | {"GATEBOOK_PROVIDER_TOKEN": dana(quiet)}, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    assert f"2 statements, {job.file.stat().st_size} B, sha256 {digest}" in shown
    assert "Masks      pii" in shown
    assert any(line.split() == ["2", "sql.alter", "public.notes", "held", "admin-needs-dba"] for line in shown.splitlines()), (
        shown
    )


def test_the_token_is_in_no_argument_and_no_word(quiet: LiveGateway, job: Job) -> None:
    job.write("SELECT 1")
    argv, settings = job.command("--json")
    done = subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert settings["GATEBOOK_PROVIDER_TOKEN"] not in " ".join(argv) + done.stdout + done.stderr
    assert "gbt_" not in done.stdout + done.stderr
