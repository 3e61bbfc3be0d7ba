"""The starter rules for git."""

from __future__ import annotations

from typing import Any

import pytest
from tests.policy.parties import action, at, identity
from tests.policy.place import DEMO

from gatebook.model import Deed, Reach, Resource, Target, Verdict
from gatebook.policy.decide import decide
from gatebook.policy.rules import load
from gatebook.protocols.git.meaning import FACTS, VERBS

STANDING = "agents.cedar"
RULES = load({path.name: path.read_text("utf-8") for path in DEMO.glob("*.cedar") if path.name != STANDING})
FORGE = Target(name="forge", protocol="git", address="git:443", labels={})
TOPIC: dict[str, Any] = {"ref": "refs/heads/topic", "branch": "topic", "change": "update"}
MAIN: dict[str, Any] = {"ref": "refs/heads/main", "branch": "main", "change": "update"}


def ruled(verb: str, granted: Reach | None = Reach.WRITE, *, approved: bool = False, **facts: Any) -> Verdict:
    deed = Deed(verb=verb, reach=VERBS[verb], resource=Resource(kind="ref", name="a"), facts={**FACTS, **facts})
    around = at(granted=granted, approved=approved)
    return decide(
        RULES, identity=identity(), target=FORGE, action=action(deed), circumstances=around, masks=frozenset()
    ).verdict


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_reaches_a_repository_without_a_grant(verb: str) -> None:
    assert str(ruled(verb, None).ruling) == "block"


TABLE = [
    ("git.fetch", {}, "allow", "git-read"),
    ("git.push", TOPIC, "allow", "git-write"),
    ("git.force", TOPIC, "allow", "git-write"),
    ("git.delete", TOPIC, "allow", "git-write"),
    ("git.push", MAIN, "approve", "git-main-needs-dba"),
    ("git.force", MAIN, "block", "git-no-force"),
    ("git.delete", MAIN, "block", "git-no-force"),
    ("git.push", {"tag": "v1"}, "approve", "git-tags-need-dba"),
    ("git.push", TOPIC | {"folders": frozenset({".github/"})}, "approve", "git-pipelines-need-dba"),
    ("git.push", TOPIC | {"names": frozenset({"Jenkinsfile"})}, "approve", "git-pipelines-need-dba"),
    ("git.push", TOPIC | {"secrets": frozenset({"aws-key"})}, "block", "git-no-secrets"),
    ("git.unknown", TOPIC, "block", "no-rule"),
    ("git.lfs", {}, "block", "no-rule"),
]


@pytest.mark.parametrize(("verb", "facts", "ruling", "rule"), TABLE)
def test_the_starter_rules_for_git_hold(verb: str, facts: dict[str, Any], ruling: str, rule: str) -> None:
    found = ruled(verb, **facts)
    assert (str(found.ruling), found.rule) == (ruling, rule)


def test_a_yes_lets_main_move_and_no_secret_in() -> None:
    assert str(ruled("git.push", approved=True, **MAIN).ruling) == "allow"
    assert str(ruled("git.push", approved=True, **MAIN, secrets=frozenset({"aws-key"})).ruling) == "block"
    assert str(ruled("git.push", Reach.READ, **TOPIC).ruling) == "block"
