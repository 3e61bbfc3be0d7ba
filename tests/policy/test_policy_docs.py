"""``docs/policy.md`` is complete, and its examples do what it says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from tests.policy.place import placed, run

from gatebook.policy import checks
from gatebook.policy.request import OPENING_FACTS
from gatebook.policy.rules import load
from gatebook.policy.schema import TEXT
from gatebook.protocols.git import meaning as git
from gatebook.protocols.http import reading as http
from gatebook.protocols.kubernetes import reading as kubernetes
from gatebook.protocols.postgres.reading import FACTS, VERBS
from gatebook.protocols.ssh import verbs as ssh

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(
    ("verb", "reach"),
    [
        *VERBS.items(),
        *http.VERBS.items(),
        *kubernetes.VERBS.items(),
        *ssh.VERBS.items(),
        *git.VERBS.items(),
        ("session.open", "read"),
    ],
)
def test_every_verb_stands_there_with_its_reach(verb: str, reach: str) -> None:
    assert f"| `{verb}` | {reach} |" in PAGE


@pytest.mark.parametrize(
    "name",
    sorted(
        {
            *FACTS,
            *http.FACTS,
            *kubernetes.FACTS,
            *ssh.FACTS,
            *git.FACTS,
            *OPENING_FACTS,
            *re.findall(r"^  (\w+): \w", TEXT, re.MULTILINE),
        }
    ),
)
def test_every_attribute_of_the_schema_stands_there(name: str) -> None:
    assert re.search(rf"`(?:\w+\.)?{name}`", PAGE)


@pytest.mark.parametrize("name", sorted({f"@{one}" for one in checks.ANNOTATIONS} | checks.RESERVED))
def test_every_annotation_and_every_name_of_ours_stands_there(name: str) -> None:
    assert f"`{name}" in PAGE


def test_the_rules_on_the_page_are_valid_together() -> None:
    assert len(load({"page.cedar": "\n".join(blocks("cedar"))}).rules) == 14


def test_the_cases_on_the_page_hold(tmp_path: Path) -> None:
    config = placed(tmp_path)
    for number, text in enumerate(blocks("yaml")):
        (tmp_path / f"{number}.yaml").write_text(text)
        result = run(config, "test", str(tmp_path / f"{number}.yaml"))
        assert result.exit_code == 0, result.output


def test_the_commands_on_the_page_print_what_it_shows(tmp_path: Path) -> None:
    config = placed(tmp_path)
    for block in blocks("console"):
        line, shown = block.split("\n", 1)
        command = shlex.split(line.removeprefix("$ gatebook policy "))
        assert run(config, *command).output == shown


def test_every_command_is_on_the_page() -> None:
    assert all(f"gatebook policy {name}" in PAGE for name in ("check", "test", "explain"))


@pytest.mark.parametrize(("page", "verb"), [("http", "http.delete"), ("kubernetes", "k8s.delete")])
def test_what_other_pages_ask_of_their_own_target_waits_for_a_grant_where_nobody_has_standing_access(
    page: str, verb: str, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[2] / "docs" / f"{page}.md").read_text("utf-8")
    assert "Leave `agents.cedar` out" in text
    (line,) = re.findall(r"^    (gatebook policy explain .*)$", text, re.MULTILINE)
    words = shlex.split(line)
    name = words[words.index("--target") + 1]
    samples = [yaml.safe_load(one) for one in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    target = next(one for sample in samples for one in sample.get("targets", []) if one["name"] == name)
    config = placed(tmp_path)
    whole = yaml.safe_load(config.read_text())
    whole["targets"].append(target)
    whole["listeners"]["http"] = whole["listeners"]["api"] | {"bind": "127.0.0.1:16443"}
    config.write_text(yaml.safe_dump(whole))

    def told(*more: str) -> tuple[str, str]:
        result = run(config, "explain", *words[3:], *([] if "--json" in words else ["--json"]), *more)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        return found["verb"], found["ruling"]

    assert told()[1] in ("mask", "approve"), "agents.cedar gives every agent access to every target"
    (tmp_path / "policies" / "agents.cedar").unlink()
    assert told() == (verb, "block")
    assert told("--granted", "write")[1] in ("mask", "approve")
