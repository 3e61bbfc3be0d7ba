"""The act on a host: plain ssh, a log that is covered, a command that is nobody's, a script that waits, a file, a replay."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from gatebook.cli.demo.acts import Story
from gatebook.cli.demo.clients import PLAIN_ENVIRONMENT, Answer, run
from gatebook.cli.demo.cluster import approval_in
from gatebook.cli.demo.deciding import approve
from gatebook.cli.demo.host import program
from gatebook.cli.demo.processes import PartError, wait_until
from gatebook.cli.demo.world import WEB1

CARD, EMAIL = "4111 1111 1111 1111", "ada.quill@example.com"
LOG = f"""09:12:04 order 7 placed by {EMAIL}
09:12:05 payment refused: card {CARD} has expired
09:12:09 disk is 81 % full
"""
SCRIPT = "#!/bin/sh\necho cleaning\n: > orders.log\n"
HELD_SECONDS = 60.0
SURROUNDINGS = PLAIN_ENVIRONMENT | {"HOME": "/nonexistent"}  # nobody's own configuration
REFUSED = 77  # how ssh ends where the gateway refuses


def play_host(story: Story) -> None:
    """Plain ssh to a host whose key the agent does not have."""
    stage, world = story.stage, story.world
    stage.act("It looks after a host, with ssh")
    stage.say("OpenSSH's own server stands behind the gateway. It lets in one key, which the agent does not have.")
    folder = world.folder / "host"
    log, script = folder / "orders.log", folder / "clean.sh"
    log.write_text(LOG)
    script.write_text(SCRIPT)
    _get_in(story)
    said = _ssh(story, f"tail -n 3 {log}")
    stage.check("it reads the log", said.status == 0 and "81 % full" in said.output, said.output)
    stage.check("the card and the address in it are covered", not any(one in said.output for one in (CARD, EMAIL)), said.output)
    _make_a_disk_anew(story, folder / "disk.img")
    _run_a_script(story, script, log)
    _copy(story, folder)
    _replay(story)


def _get_in(story: Story) -> None:
    stage, world = story.stage, story.world
    stage.command("gatebook ssh-config --folder ssh", "shop-agent$")
    answer = world.gatebook("ssh-config", "--folder", str(world.ssh_config.parent), env={"GATEBOOK_TOKEN": story.token})
    stage.output(answer.output)
    certified = answer.status == 0 and story.token not in world.ssh_config.read_text()
    stage.check("it has a key of its own, which the gateway certified for an hour", certified, answer.output)


def _argv(story: Story, *words: str, client: str = "ssh") -> list[str]:
    return [program(client), "-F", str(story.world.ssh_config), *words]


def _ssh(story: Story, command: str) -> Answer:
    """Show a command as it is typed, and what comes."""
    story.stage.command(f"ssh {WEB1} {shlex.quote(command)}", "shop-agent$")
    answer = run(_argv(story, WEB1, command), SURROUNDINGS)
    story.stage.output(answer.output)
    return answer


def _make_a_disk_anew(story: Story, disk: Path) -> None:
    disk.write_bytes(b"a disk")
    story.stage.say("The disk is nearly full, so it would begin anew.")
    said = _ssh(story, f"mkfs.ext4 {disk}")
    told = said.status == REFUSED and "ssh-no-halt" in said.output
    story.stage.check("that is refused, with the rule and the reason", told, f"status {said.status}: {said.output}")
    story.stage.check("and the disk is as it was", disk.read_bytes() == b"a disk", "another disk")


def _run_a_script(story: Story, script: Path, log: Path) -> None:
    stage = story.stage
    stage.say("What a script will do cannot be told from its name: people look first.")
    command = f"cd {script.parent} && sh {script}"
    stage.command(f"ssh {WEB1} {shlex.quote(command)}", "shop-agent$")
    told = story.world.folder / "ssh.out"
    with told.open("wb") as output:
        waiting = subprocess.Popen(
            _argv(story, WEB1, command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=SURROUNDINGS
        )
    try:
        wait_until(lambda: "/approvals/" in told.read_text() or waiting.poll() is not None, HELD_SECONDS)
        notice = told.read_text()
        stage.output(notice)
        stage.check("it waits, on its connection", waiting.poll() is None and "held by" in notice, notice)
        stage.check("nothing has run", log.read_text() == LOG, log.read_text())
        approve(story, approval_in(notice), "OPS-44: read the script")
        status = waiting.wait(HELD_SECONDS)
    except subprocess.TimeoutExpired:
        raise PartError(f"ssh did not end after the yes:\n{told.read_text()}") from None
    finally:
        waiting.kill()
        waiting.wait()
    ran = told.read_text()[len(notice) :]
    stage.output(ran)
    stage.check("the waiting command has run", status == 0 and "cleaning" in ran and not log.read_text(), ran)


def _copy(story: Story, folder: Path) -> None:
    stage = story.stage
    own, there = story.world.folder / "shop.conf", folder / "shop.conf"
    own.write_text("rotate = daily\n")
    stage.say("Files come and go by sftp and scp, each decided by the path that the host makes of it.")
    stage.command(f"scp shop.conf {WEB1}:{there}", "shop-agent$")
    answer = run(_argv(story, "-q", str(own), f"{WEB1}:{there}", client="scp"), SURROUNDINGS)
    stage.output(answer.output)
    stage.check("it may bring a file", answer.status == 0 and there.exists(), answer.output)


def _replay(story: Story) -> None:
    stage, world = story.stage, story.world
    session = world.sessions("--target", WEB1)[-1]
    stage.say("What went over its first connection, as the auditor reads it:")
    stage.command(f"gatebook sessions replay {session[:18]} --identity auditor/identity.txt")
    answer = world.replay(session)
    stage.output(answer.output)
    whole = "81 % full" in answer.output and not any(one in answer.output for one in (CARD, EMAIL))
    stage.check("the command and its output, as covered as the agent saw it", answer.status == 0 and whole, answer.output)
