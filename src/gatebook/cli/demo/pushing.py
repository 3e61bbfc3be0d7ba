"""The act on a repository: plain git, a push that waits and is seen as commits and a diff, a force push that is nobody's."""

from __future__ import annotations

import shlex
from pathlib import Path

from gatebook.cli.demo.acts import Story
from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.cluster import approval_in
from gatebook.cli.demo.deciding import approve
from gatebook.cli.demo.forge import head, surroundings

KEY = "AKIA" + "Q3EGRZL7XK2M5T4B"  # of the form that Amazon's have, and nobody's


def play_repository(story: Story) -> None:
    """Plain git on a server whose password the agent does not have."""
    stage, world = story.stage, story.world
    stage.act("It changes a program, with git")
    stage.say("The server wants a password that only the gateway has; the agent's is its token, from a credential helper.")
    said = _git(story, "clone", "--quiet", world.git_url, str(_work(story)), folder=world.folder)
    stage.check("it has the repository", said.status == 0 and (_work(story) / "shop.py").exists(), said.output)
    _push_a_branch(story)
    _push_main(story)
    _force(story)
    _bring_a_secret(story)


def _work(story: Story) -> Path:
    return story.world.folder / "work"


def _git(story: Story, *arguments: str, folder: Path | None = None) -> Answer:
    """Show a command as it is typed, and what comes."""
    typed = " ".join(shlex.quote(one) for one in arguments).replace(story.world.git_url, "$GIT_URL")
    story.stage.command(f"git {typed}".replace(str(_work(story)), "work"), "shop-agent$")
    answer = _quietly(story, *arguments, folder=folder)
    story.stage.output(answer.output)
    return answer


def _quietly(story: Story, *arguments: str, folder: Path | None = None) -> Answer:
    world = story.world
    helper = '!f() { echo username=agent; echo "password=$GATEBOOK_TOKEN"; }; f'
    settings = {"credential.helper": helper, "http.sslCAInfo": str(world.ca), "advice.detachedHead": "false"}
    given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    own = surroundings(GATEBOOK_TOKEN=story.token, GIT_AUTHOR_NAME="order-desk", GIT_AUTHOR_EMAIL="order-desk@shop.example")
    return run(["git", *given, *arguments], own, cwd=folder or _work(story))


def _commit(story: Story, message: str, **files: str) -> None:
    for name, text in files.items():
        (_work(story) / name.replace("_", ".")).write_text(text)
    _quietly(story, "add", "--all")
    _quietly(story, "commit", "--quiet", "--message", message)


def _push_a_branch(story: Story) -> None:
    stage, world = story.stage, story.world
    _commit(story, "Greet by name\n\nAssisted-by: example-model 2026-09", shop_py='print("hello, Ada")\n')
    said = _git(story, "push", "origin", "HEAD:refs/heads/greeting")
    there = head(world.repository, "refs/heads/greeting")
    stage.check("a branch of its own it may push", said.status == 0 and bool(there), said.output)


def _push_main(story: Story) -> None:
    stage, world = story.stage, story.world
    before = head(world.repository)
    stage.say("What goes to main is for people to decide.")
    said = _git(story, "push", "origin", "main")
    stage.check("it waits, and git says where", said.status != 0 and "approval required" in said.output, said.output)
    stage.check("main is where it was", head(world.repository) == before, head(world.repository))
    approval = approval_in(said.output)
    stage.command(f"gatebook approvals show {approval[:18]}", "dana$")
    answer = world.gatebook("approvals", "show", approval, env={"GATEBOOK_TOKEN": world.approver_token()})
    stage.output(answer.output)
    seen = all(one in answer.output for one in ("Greet by name", "example-model", '+print("hello, Ada")'))
    stage.check("she sees the commit, which model helped, and the diff", seen, answer.output)
    approve(story, approval, "OPS-31: reviewed")
    stage.say("The same push again.")
    said = _git(story, "push", "origin", "main")
    stage.check("it has passed", said.status == 0 and head(world.repository) != before, said.output)


def _force(story: Story) -> None:
    stage, world = story.stage, story.world
    before = head(world.repository)
    stage.say("It would rather have the history another way.")
    _quietly(story, "commit", "--quiet", "--amend", "--message", "Nothing to see")
    said = _git(story, "push", "--force", "origin", "main")
    refused = said.status != 0 and "git-no-force" in said.output
    stage.check("history of main is not rewritten", refused and head(world.repository) == before, said.output)


def _bring_a_secret(story: Story) -> None:
    stage, world = story.stage, story.world
    _quietly(story, "reset", "--quiet", "--hard", "origin/main")
    _commit(story, "Settings", settings_env=f"key={KEY}\n")
    _commit(story, "Settings without the key", settings_env="key=\n")
    stage.say("One of its commits has a key in it, and the next one takes it away again.")
    said = _git(story, "push", "origin", "HEAD:refs/heads/settings")
    refused = said.status != 0 and "git-no-secrets" in said.output and KEY not in said.output
    stage.check("the key does not come in", refused and not head(world.repository, "refs/heads/settings"), said.output)
