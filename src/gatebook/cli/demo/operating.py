"""The act on a cluster: plain kubectl, a Secret that is never seen, a deletion that waits, a command in a pod, replayed."""

from __future__ import annotations

import json
import shlex
from base64 import b64decode

from gatebook.cli.demo.acts import Story
from gatebook.cli.demo.clients import Answer
from gatebook.cli.demo.cluster import NAMESPACE, PASSWORD, approval_in, objects
from gatebook.cli.demo.deciding import approve
from gatebook.cli.demo.world import CLUSTER

DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web"
COPY = f"/api/v1/namespaces/{NAMESPACE}/secrets/database-copy"


def play_cluster(story: Story) -> None:
    """Plain kubectl on a cluster whose credential the agent does not have."""
    stage, world = story.stage, story.world
    stage.act("It works on a cluster, with kubectl")
    stage.say("The cluster lets the gateway ask in the agent's name, so that its own rules stay in force.")
    arguments = ["kubeconfig", CLUSTER, "--namespace", NAMESPACE, "--file", str(world.kubeconfig)]
    stage.command(f"gatebook kubeconfig {CLUSTER} --namespace {NAMESPACE} --file kubeconfig", "shop-agent$")
    answer = world.gatebook(*arguments, env={"GATEBOOK_TOKEN": story.token})
    stage.output(answer.output)
    tokenless = answer.status == 0 and story.token not in world.kubeconfig.read_text()
    stage.check("it has a kubeconfig, without a token in it", tokenless, answer.output)
    listed = _kubectl(story, "get", "pods")
    stage.check("it sees the shop's pod", "Running" in listed.output, listed.output)
    _read_a_secret(story)
    _delete(story)
    _look_inside(story)


def _kubectl(story: Story, *arguments: str, stdin: str = "") -> Answer:
    """Show a command as it is typed, and what comes."""
    typed = " ".join(shlex.quote(one) for one in arguments)
    story.stage.command(f"kubectl {typed}" + (" < copy.json" if stdin else ""), "shop-agent$")
    answer = _quietly(story, *arguments, stdin=stdin)
    story.stage.output(answer.output)
    return answer


def _quietly(story: Story, *arguments: str, stdin: str = "") -> Answer:
    world = story.world
    if world.cluster is None:
        raise AssertionError("an act on a cluster without one")
    own = {"GATEBOOK_TOKEN": story.token, "PATH": world.command_path}
    return world.cluster.run(world.kubeconfig, *arguments, env=own, stdin=stdin)


def _read_a_secret(story: Story) -> None:
    stage, world = story.stage, story.world
    said = _kubectl(story, "get", "secret", "database", "-o", "json")
    secret = objects(said.output)
    token = b64decode(secret["data"]["password"])
    stage.check(
        "the password is not in it, nor in base64", PASSWORD not in said.output and token.startswith(b"gbk_"), said.output
    )
    stage.say("What stands there is a token for the password. Written to another Secret, it is the password again.")
    secret["metadata"] = {"name": "database-copy"}
    said = _kubectl(story, "apply", "-f", "-", stdin=json.dumps(secret))
    stage.check("it copies the Secret", said.status == 0, said.output)
    copied = (world.cluster.get(COPY) or {}) if world.cluster is not None else {}
    password = b64decode(copied.get("data", {}).get("password", "")).decode()
    stage.check("the copy holds the real password, which the agent never saw", password == PASSWORD, password)


def _delete(story: Story) -> None:
    stage = story.stage
    stage.say("It wants to delete the deployment. That is for people to decide.")
    said = _kubectl(story, "delete", "deployment", "web")
    stage.check("it waits, and kubectl says for whom", said.status != 0 and "group dba" in said.output, said.output)
    stage.check("the deployment is there", _there(story), "it is gone")
    approval = approval_in(said.output)
    _show(story, approval)
    approve(story, approval, "OPS-21: the shop moves")
    stage.say("The same command again.")
    said = _kubectl(story, "delete", "deployment", "web", "--wait=false")
    stage.check("it has passed, and the deployment is gone", said.status == 0 and not _there(story), said.output)


def _show(story: Story, approval: str) -> None:
    """What an approver reads before she decides."""
    stage, world = story.stage, story.world
    stage.command(f"gatebook approvals show {approval[:18]}", "dana$")
    answer = world.gatebook("approvals", "show", approval, env={"GATEBOOK_TOKEN": world.approver_token()})
    stage.output(answer.output)
    stage.check("she sees what would go", "web" in answer.output and PASSWORD not in answer.output, answer.output)


def _there(story: Story) -> bool:
    cluster = story.world.cluster
    return cluster is not None and cluster.get(DEPLOYMENT) is not None


def _look_inside(story: Story) -> None:
    stage = story.stage
    stage.say("It starts a pod, and wants to run a command inside of it.")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "look"},
        "spec": {"containers": [{"name": "main", "image": "shop-web:1.4", "command": ["sleep", "infinity"]}]},
    }
    said = _quietly(story, "apply", "-f", "-", stdin=json.dumps(pod))
    stage.check("the pod is made", said.status == 0, said.output)
    said = _quietly(story, "wait", "--for=condition=Ready", "pod/look", "--timeout=30s")
    stage.check("and runs", said.status == 0, said.output)
    command = ("exec", "look", "--", "sh", "-c", "echo mail ada.brown@example.com; echo done")
    said = _kubectl(story, *command)
    stage.check("running something in production waits, too", said.status != 0 and "group dba" in said.output, said.output)
    approve(story, approval_in(said.output), "OPS-22: a look inside")
    said = _kubectl(story, *command)
    covered = "done" in said.output and "ada.brown@" not in said.output
    stage.check("it has run, and what it printed is covered", said.status == 0 and covered, said.output)
    _replay(story)


def _replay(story: Story) -> None:
    stage, world = story.stage, story.world
    said = ""
    for session in world.sessions("--target", CLUSTER):  # each of the gateway's workers has a session of its own
        shown = world.replay(session).output
        said += shown
        if "stdout" in shown:
            stage.command(f"gatebook sessions replay {session[:18]} --identity auditor/identity.txt")
            stage.output("\n".join(shown.splitlines()[-14:]))
            stage.check("the auditor replays it: command and output, as covered", "done" in shown, shown[-2000:])
            break
    else:
        stage.check("the auditor finds the command", False, said[-2000:])
    stage.check("and no password", PASSWORD not in said, said[-2000:])
