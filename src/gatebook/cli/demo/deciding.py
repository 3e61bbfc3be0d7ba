"""The acts in which people decide: a statement that waits for a yes, access for a time, a session replayed, the evidence."""

from __future__ import annotations

import json
import re
import sys
import time
import zipfile
from pathlib import Path

from gatebook.cli.demo.acts import Story, ask
from gatebook.cli.demo.clients import Answer, Psql, run
from gatebook.cli.demo.processes import PartError, wait_until
from gatebook.cli.demo.world import APPROVER, JOB

ALTER = "ALTER TABLE orders ADD COLUMN gift_note text;"
ADDED = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'gift_note'"
GRANT_SECONDS = 6
ENDED_SECONDS = 2.0  # the promise: a grant that ended reaches a live session within this


def play_approval(story: Story) -> None:
    """A change of the schema waits, its requester may not approve it, somebody else does, and it runs."""
    stage, world = story.stage, story.world
    stage.act("It wants to change a table, which a person has to approve")
    with world.psql(story.token) as psql:
        stage.command(ALTER, "shop=>")
        psql.start(ALTER)
        notice = psql.until("HINT:")
        stage.output(notice)
        stage.check("the statement waits, and psql says for whom", "NOTICE" in notice and "group:dba" in notice, notice)
        approval = _approval_in(notice)
        stage.check("nothing has reached the database", _columns(story) == "0", _columns(story))
        _approve_own(story, approval)
        approve(story, approval, "OPS-12: gift notes")
        answer = psql.finish()
        stage.output(answer)
        stage.check("the waiting statement has run, in the same psql", "ALTER TABLE" in answer, answer)
        stage.check("the column is there", _columns(story) == "1", _columns(story))


def _approval_in(notice: str) -> str:
    found = re.search(r'"approval":"([0-9a-f-]{36})"', notice)
    if found is None:
        raise PartError(f"the notice names no approval:\n{notice}")
    return found[1]


def _columns(story: Story) -> str:
    return story.world.database.sql(ADDED, "shop")


def _approve_own(story: Story, approval: str) -> None:
    story.stage.say("The agent tries to say yes to itself.")
    story.stage.command(f"gatebook approvals approve {approval[:18]} --reason 'looks fine to me'", "shop-agent$")
    answer = story.world.gatebook("approvals", "approve", approval, "--reason", "looks fine to me", env=_as(story.token))
    story.stage.output(answer.output)
    story.stage.check("that is refused", answer.status == 1, answer.output)


def approve(story: Story, approval: str, reason: str) -> None:
    """Dana says yes."""
    stage, world = story.stage, story.world
    stage.say("Dana, who is in group dba, looks at what waits, and decides.")
    stage.command("gatebook approvals ls", "dana$")
    answer = world.gatebook("approvals", "ls", env=_as(_token_of(story, APPROVER)))
    stage.output(answer.output)
    stage.check("it is on her list", approval[:8] in answer.output, answer.output)
    stage.command(f"gatebook approvals approve {approval[:18]} --reason '{reason}'", "dana$")
    answer = world.gatebook("approvals", "approve", approval, "--reason", reason, env=_as(_token_of(story, APPROVER)))
    stage.output(answer.output)
    stage.check("her yes counts", answer.status == 0, answer.output)


def _token_of(story: Story, client: str) -> str:
    answer = story.world.gateway_token(story.world.provider_token(client, "gatebook"))
    if answer.status != 0:
        raise PartError(f"no token for {client}: {answer.output}")
    return answer.output.splitlines()[-1]


def _as(token: str) -> dict[str, str]:
    return {"GATEBOOK_TOKEN": token}


def play_grant(story: Story) -> None:
    """A job without access asks for it, for a few seconds; when they are over, its open session ends."""
    stage, world = story.stage, story.world
    stage.act("A nightly job gets access for a few seconds")
    token = _token_of(story, JOB)
    with world.psql(token) as psql:
        answer = psql.finish()
        stage.command("psql", "nightly-report$")
        stage.output(answer)
        stage.check("without a grant it does not get in", "FATAL" in answer and "you may not open" in answer, answer)
    stage.command(f"gatebook grants request shop --for {GRANT_SECONDS}s --reason 'month-end report'", "nightly-report$")
    wish = ("grants", "request", "shop", "--for", f"{GRANT_SECONDS}s", "--reason", "month-end report", "--json")
    asked = world.gatebook(*wish, env=_as(token))
    stage.check("it may ask, with a reason", asked.status == 0, asked.output)
    approve(story, str(json.loads(asked.output)["id"]), "as every month")
    with world.psql(token) as psql:
        opened = wait_until(lambda: psql.alive, 1.0) and ask(story, psql, "SELECT count(*) FROM orders;")
        stage.check("now it gets in, and reads", isinstance(opened, str) and "(1 row)" in opened, str(opened))
        _be_ended(story, psql)


def _be_ended(story: Story, psql: Psql) -> None:
    stage = story.stage
    stage.say(f"{GRANT_SECONDS} seconds later the grant is over. Nobody has to do anything.")
    last = ""

    def over() -> bool:
        nonlocal last
        last = psql.ask("SELECT 1;")
        return "FATAL" in last or not psql.alive

    ends = time.monotonic() + GRANT_SECONDS
    wait_until(lambda: time.monotonic() >= ends, GRANT_SECONDS + 1)
    ended = wait_until(over, ENDED_SECONDS + 2)
    stage.command("SELECT 1;", "shop=>")
    stage.output(last)
    stage.check("its open session has ended, and says why", ended and "your grant" in last, last)


def play_replay(story: Story) -> None:
    """The agent's first session, as it was: statements, decisions and tables, from an encrypted recording."""
    stage, world = story.stage, story.world
    stage.act("What did the agent do? The auditor replays it")
    session = world.sessions("--subject", "shop-agent")[-1]
    stage.say("Recordings are encrypted to the auditor's key; the gateway itself cannot read an old one.")
    stage.command(f"gatebook sessions replay {session[:18]} --identity auditor/identity.txt")
    answer = world.replay(session)
    stage.output(_shortened(answer.output))
    stage.check("statements, rulings and tables are there", "DELETE FROM customers" in answer.output, answer.output[-2000:])
    shows = [value for value in story.secrets_of_customers() if value in answer.output]
    stage.check("and as covered as the agent saw them", answer.status == 0 and not shows, f"{shows}\n{answer.output[-2000:]}")


def _shortened(text: str, lines: int = 24) -> str:
    rows = text.splitlines()
    return text if len(rows) <= lines else "\n".join([*rows[:lines], f"… {len(rows) - lines} lines more"])


def play_evidence(story: Story) -> None:
    """The package for the auditor, checked without Gatebook; and once more with one byte changed."""
    stage, world, auditor = story.stage, story.world, story.auditor
    stage.act("The auditor gets a package to check offline")
    stage.command("gatebook evidence export -o evidence.zip")
    answer = world.gatebook("evidence", "export", "-o", str(world.evidence), "--config", str(world.config))
    stage.output(answer.output)
    stage.check("the package is written", answer.status == 0 and world.evidence.exists(), answer.output)
    with zipfile.ZipFile(world.evidence) as package:
        (auditor.folder / "verify.pyz").write_bytes(package.read("verify.pyz"))
    stage.command(f"python3 -I -S verify.pyz evidence.zip --log-key {auditor.key}")
    answer = _verify(story, world.evidence)
    stage.output(_shortened(answer.output))
    stage.check("every list in it follows from the log", answer.status == 0, answer.output)
    changed = world.folder / "changed.zip"
    name = _change(world.evidence, changed)
    stage.say(f"In a copy, one byte of {name} is another.")
    stage.command(f"python3 -I -S verify.pyz changed.zip --log-key {auditor.key}")
    answer = _verify(story, changed)
    stage.output(_shortened(answer.output))
    stage.check(f"the verifier names {name}", answer.status == 1 and name in answer.output, answer.output)


def _verify(story: Story, package: Path) -> Answer:
    argv = [sys.executable, "-I", "-S", "verify.pyz", str(package), "--log-key", story.auditor.key]
    return run(argv, {}, cwd=story.auditor.folder)


def _change(package: Path, copy: Path) -> str:
    """Write a copy in which one digit of the list of actions is another; the name of the member."""
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(copy, "w") as target:
        name = next(
            one for one in source.namelist() if one.startswith("populations/") and "actions" in one and one.endswith("csv")
        )
        for member in source.infolist():
            data = bytearray(source.read(member))
            if member.filename == name:
                at = data.rindex(b"1")
                data[at : at + 1] = b"7"
            target.writestr(member, bytes(data))
    return name
