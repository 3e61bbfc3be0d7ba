"""The act on an internal API: JSON read covered, a change of rights that waits, a tool of MCP that nobody has vouched for."""

from __future__ import annotations

import json
from typing import Any

from gatebook.cli.demo.acts import Story
from gatebook.cli.demo.billing import CUSTOMERS
from gatebook.cli.demo.deciding import approve
from gatebook.cli.demo.processes import PartError

ROLES = '{"roles": ["billing-admin"]}'
USER = "/iam/users/ada/roles"


def play_api(story: Story) -> None:
    """Plain curl on an API whose key the agent does not have."""
    stage = story.stage
    stage.act("It calls an internal API, with curl")
    stage.say("The API wants a key that the agent never sees: the gateway shows its own in the place of the agent's token.")
    _read(story)
    _change_rights(story)
    _use_tools(story)


def _curl(story: Story, *arguments: str) -> str:
    """Show a request as it is typed, and what comes."""
    typed = [f"'{one}'" if any(char in one for char in ' {"') else one for one in arguments]
    story.stage.command(" ".join(["curl", *typed]).replace(story.world.http_url, "$HTTP_URL"), "shop-agent$")
    answer = story.world.curl(story.token, *arguments)
    story.stage.output(answer.output)
    return answer.output


def _read(story: Story) -> None:
    said = _curl(story, f"{story.world.http_url}/customers")
    customers = _json(said).get("customers", [])
    story.stage.check("it gets all customers", len(customers) == len(CUSTOMERS), said)
    found = [one[name] for one in CUSTOMERS for name in ("email", "ssn", "card") if one[name] in said]
    story.stage.check("and no address, SSN or card of theirs", not found, said)


def _change_rights(story: Story) -> None:
    stage, world = story.stage, story.world
    stage.say("It tries to give somebody more rights. That is for people to decide; the request is answered at once.")
    request = ("-X", "PUT", "--json", ROLES, f"{world.http_url}{USER}")
    said = _json(_curl(story, *request))
    waits = said.get("class") == "wait" and "group:dba" in said.get("approvers", ())
    stage.check("it waits, and the answer says for whom", waits, str(said))
    stage.check("nothing has reached the API", not _seen(story, "PUT"), str(_seen(story, "PUT")))
    approve(story, str(said.get("approval")), "OPS-14: ada stands in for ops")
    stage.say("The same request again.")
    said = _json(_curl(story, *request))
    stage.check("it has passed", said.get("roles") == ["billing-admin"], str(said))
    said = _json(_curl(story, *request))
    stage.check("once: the next one waits again", said.get("class") == "wait", str(said))


def _use_tools(story: Story) -> None:
    stage = story.stage
    stage.say("The API has tools for agents (MCP). One is known to read; what the others do nobody has said.")
    said = _tool(story, "find_customer", {"name": "ada"})
    text = json.dumps(said)
    covered = "Ada Brown" in text and CUSTOMERS[0]["ssn"] not in text and CUSTOMERS[0]["email"] not in text
    stage.check("the tool that reads answers, covered", covered, text)
    said = _tool(story, "wipe_ledger", {})
    told = json.dumps(said)
    stage.check("the other waits, in words that the agent reads", bool(said.get("isError")) and "tool-needs-dba" in told, told)
    reached = [one for one in _seen(story, "POST") if "wipe_ledger" in one["body"]]
    stage.check("and has not reached the API", not reached, str(reached))


def _tool(story: Story, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    called = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    said = _json(_curl(story, "--json", json.dumps(called), f"{story.world.http_url}/mcp"))
    return dict(said.get("result", {}))


def _json(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        raise PartError(f"an answer that is no JSON:\n{text}") from None


def _seen(story: Story, method: str) -> list[dict[str, Any]]:
    """What reached the API by this method."""
    lines = [json.loads(line) for line in story.world.billing_log.read_text().splitlines()]
    return [one for one in lines if one["method"] == method]
