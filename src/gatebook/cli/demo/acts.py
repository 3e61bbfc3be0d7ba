"""The acts of the story. Each plays on the real parts, shows what came, and checks it; the first that fails ends the story.

``MAIN`` is always played and ``CLOSING`` always comes last; ``MORE`` holds the acts that ``--acts`` adds in between. Acts share
what earlier ones left in ``Story``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from gatebook.cli.demo.book import Auditor, altered_book, verified_book
from gatebook.cli.demo.clients import Psql, run, shown
from gatebook.cli.demo.stage import Stage
from gatebook.cli.demo.world import AGENT, FOREIGN, FOREIGN_AUDIENCE, World

CUSTOMERS = "SELECT id, name, email, ssn, card FROM customers ORDER BY id;"
RENAMED = "SELECT c.ssn AS shoe_size, lower(c.card) AS colour, c AS everything FROM customers c WHERE id = 1;"
NOTES = "SELECT id, body FROM notes ORDER BY id;"
UPDATE = "UPDATE orders SET status = 'shipped' WHERE id = 4;"
COUNT = "SELECT count(*) FROM customers;"
DELETE = "DELETE FROM customers;"
RULE = "no-delete-without-where"


@dataclass(slots=True)
class Story:
    """Where it is told, on what it is played, who watches, and what the agent holds by now."""

    stage: Stage
    world: World
    auditor: Auditor
    provided: str = ""
    token: str = ""

    def secrets_of_customers(self) -> list[str]:
        """Every real e-mail address, SSN and card number, read straight at the database."""
        rows = self.world.database.sql("SELECT email, ssn, card FROM customers", "shop")
        return rows.replace("|", "\n").split("\n")

    def count_of_customers(self) -> str:
        """How many customers there really are."""
        return self.world.database.sql(COUNT, "shop")


Act: TypeAlias = Callable[[Story], None]


def claims(token: str) -> dict[str, Any]:
    """What a JSON Web Token says, for showing only: nothing is verified."""
    body = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def play_token(story: Story) -> None:
    """The agent logs in at the identity provider and gets what psql sends as its password."""
    stage, world = story.stage, story.world
    stage.act("An agent proves who it is")
    stage.say("The agent logs in at the company's identity provider and gets a token that lives for an hour.")
    stage.command(f"curl -u {AGENT} -d grant_type=client_credentials -d audience=gatebook {world.issuer}/token")
    story.provided = world.provider_token(AGENT, "gatebook")
    said = claims(story.provided)
    told = {name: said.get(name) for name in ("sub", "kind", "groups", "agent", "model", "model_version", "aud")}
    seconds = said["exp"] - said["iat"]
    stage.output(json.dumps({**told, "lives_seconds": seconds}, indent=2))
    known = said["groups"] == ["agents"] and said["model"] and said["model_version"] and said["kind"] == "agent"
    stage.check("the token says which groups, which agent, which model and version", bool(known), json.dumps(told))
    stage.check("it is good for an hour at most", 0 < seconds <= 3600, str(seconds))

    stage.say("Gatebook verifies it and gives a short one for it, since password prompts cut long ones.")
    stage.command("gatebook token")
    answer = world.gateway_token(story.provided)
    story.token = answer.output.splitlines()[-1] if answer.status == 0 and answer.output else ""
    stage.output(_first_of(story.token))
    fits = story.token.startswith("gbt_") and len(story.token) <= 72
    stage.check("a gateway token, no longer than 72 characters", fits, _first_of(answer.output))


def _first_of(token: str) -> str:
    return token[:10] + "…" if token.startswith("gbt_") else token


def play_postgres(story: Story) -> None:
    """Reading, writing, and a refusal, all in one psql session."""
    stage, world = story.stage, story.world
    stage.act("It reads customers, and sees what it may")
    stage.say(
        "Plain psql, with the token as its password. Behind the gateway stands PostgreSQL 18, which knows nothing of this."
    )
    environment = world.psql_environment("…")
    stage.command(shown(["psql", *world.psql_arguments()[1:]], environment))
    with world.psql(story.token) as psql:
        _read_customers(story, psql)
        _read_notes(story, psql)
        _update(story, psql)
        _be_refused(story, psql)


def ask(story: Story, psql: Psql, statement: str) -> str:
    """Show a statement as it is typed, and what psql says to it."""
    story.stage.command(statement, "shop=>")
    answer = psql.ask(statement)
    story.stage.output(answer)
    return answer


def _read_customers(story: Story, psql: Psql) -> None:
    names = story.world.database.sql("SELECT name FROM customers", "shop").split("\n")
    answer = ask(story, psql, CUSTOMERS)
    story.stage.check(f"all {len(names)} customers are there", all(name in answer for name in names), answer)
    _check_covered(story, "cards, SSNs and e-mail addresses are covered", answer)
    story.stage.say("Another name, a function or the whole row does not uncover them: masks follow the column, not its title.")
    answer = ask(story, psql, RENAMED)
    story.stage.check("one row came", "(1 row)" in answer, answer)
    _check_covered(story, "and still nothing shows", answer)


def _check_covered(story: Story, claim: str, answer: str) -> None:
    shows = [value for value in story.secrets_of_customers() if value.lower() in answer.lower()]
    story.stage.check(claim, not shows, f"{shows} in:\n{answer}")


def _read_notes(story: Story, psql: Psql) -> None:
    story.stage.say(
        "Free text has no column to name. Detectors look for what has a form: cards by their checksum, addresses, keys."
    )
    answer = ask(story, psql, NOTES)
    found = ("accounts@hollis-lamps.example", "4111 1111 1111 1111", "AKIAIOSFODNN7EXAMPLE")
    shows = [value for value in found if value in answer]
    story.stage.check("the address, the card and the key in the notes are covered", not shows, answer)
    kept = "Prefers parcels in the afternoon." in answer and "Asked whether the desk comes in oak." in answer
    story.stage.check("the other notes are as they were", kept, answer)


def _update(story: Story, psql: Psql) -> None:
    story.stage.say("It has work to do, and may: a change of rows that says which ones.")
    answer = ask(story, psql, UPDATE)
    story.stage.check("one order is changed", answer == "UPDATE 1", answer)
    status = story.world.database.sql("SELECT status FROM orders WHERE id = 4", "shop")
    story.stage.check("the database says so too, asked directly", status == "shipped", status)


def _be_refused(story: Story, psql: Psql) -> None:
    stage, world = story.stage, story.world
    stage.act("It tries to delete every customer")
    before, process = story.count_of_customers(), psql.pid
    answer = ask(story, psql, DELETE)
    stage.check("the statement is blocked: SQLSTATE 42501", "42501" in answer and "DELETE 8" not in answer, answer)
    stage.check(f"psql names the rule, {RULE}", RULE in answer, answer)
    stage.check("and the reason", "without a WHERE would empty the table" in answer, answer)
    stage.check("and, for programs, the same as JSON in DETAIL", _detail(answer).get("rule") == RULE, answer)
    stage.say("The session goes on: the same psql, the next statement.")
    answer = ask(story, psql, COUNT)
    stage.check(f"{before} customers, as before", before in answer and "(1 row)" in answer, answer)
    stage.check("in the same psql process", psql.alive and psql.pid == process, f"process {process} has ended")
    after = story.count_of_customers()
    stage.check("asked directly, the database has as many", after == before, after)
    seen = "DELETE FROM customers" in world.database.server_log()
    stage.check("and its own log of statements never saw the DELETE", not seen, "the database's log holds the statement")


def _detail(answer: str) -> dict[str, Any]:
    """The JSON that a refusal carries for programs."""
    for line in answer.splitlines():
        if line.startswith("DETAIL:"):
            try:
                return dict(json.loads(line.removeprefix("DETAIL:")))
            except ValueError:
                return {}
    return {}


def play_foreign_token(story: Story) -> None:
    """A genuine token, made for another service, opens nothing here."""
    stage, world = story.stage, story.world
    stage.act("Somebody comes with a token for another service")
    stage.say(f"It is genuine and fresh, from the same provider. But it was made out to {FOREIGN_AUDIENCE!r}, not to gatebook.")
    token = world.provider_token(FOREIGN, FOREIGN_AUDIENCE)
    told = {name: claims(token)[name] for name in ("sub", "kind", "groups", "aud")}
    stage.output(json.dumps(told))
    mark = len(world.database.server_log())
    stage.command("psql -c 'SELECT 1'")
    answer = run([*world.psql_arguments(), "-c", "SELECT 1"], world.psql_environment(token))
    stage.output(answer.output)
    refused = answer.status != 0 and "FATAL" in answer.output and "(1 row)" not in answer.output
    stage.check("refused at the door", refused, answer.output)
    stage.check("without a word of the token in the answer", token.split(".")[1] not in answer.output, "part of the token")
    reached = "connection received" in world.database.server_log()[mark:]
    stage.check("the database was not even called", not reached, world.database.server_log()[mark:])


def play_book(story: Story) -> None:
    """The book is checked without Gatebook, then spoilt by one byte."""
    story.stage.act("The book is checked by somebody who trusts nobody")
    verified_book(story.stage, story.world, story.auditor)
    story.stage.act("One byte of the book is changed")
    altered_book(story.stage, story.world, story.auditor)
