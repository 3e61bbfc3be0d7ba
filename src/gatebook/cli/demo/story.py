"""The story from start to end: starts the parts, plays the acts, and ends everything whatever happens."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gatebook.cli.demo import acts, programme, world
from gatebook.cli.demo.book import Auditor
from gatebook.cli.demo.clients import shown
from gatebook.cli.demo.processes import PartError
from gatebook.cli.demo.stage import BrokenError, Stage

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CURL = 'curl --cacert "$GATEBOOK_CA" -H "Authorization: Bearer $GATEBOOK_TOKEN" "$HTTP_URL/customers"'
OPENING = "Gatebook stands between an agent and a shop's database. Everything here is real, and runs on this machine alone."


def end(console: Console, folder: Path) -> int:
    """End what an earlier demo left running; the exit status."""
    try:
        ended = world.stop(folder)
    except PartError as error:
        return _fault(console, str(error), 1)
    console.print("ended: " + ", ".join(ended) if ended else "no demo is running")
    return 0


def play(console: Console, folder: Path, more: Sequence[str], *, keep: bool) -> int:
    """Play the story in ``folder``; the exit status: 0 only when every step did what it says."""
    unknown = [name for name in more if name not in programme.MORE]
    if unknown:
        known = f"there are: {', '.join(programme.MORE)}" if programme.MORE else "there are none besides the story itself"
        return _fault(console, f"--acts: no act is called {', '.join(unknown)}; {known}", 2)
    try:
        with _signals_raise():
            return _play(Stage(console), folder, more, keep)
    except KeyboardInterrupt:
        console.print("\nended before its time; nothing is left running")
        return 130


def _play(stage: Stage, folder: Path, more: Sequence[str], keep: bool) -> int:
    try:
        if ended := world.stop(folder):
            stage.console.print(Text(f"ended an earlier demo: {', '.join(ended)}", style="dim"))
        world.prepare_folder(folder)
    except (PartError, OSError) as error:
        return _fault(stage.console, str(error), 1)
    place = world.World(folder)
    kept = False
    try:
        _start_parts(stage, place, more)
        story = acts.Story(stage, place, Auditor.arrive(place))
        for act in (*programme.MAIN, *(programme.MORE[name] for name in more), *programme.CLOSING):
            act(story)
        _close(story)
        if keep:
            _tell_how_to_try(story)
            kept = True
    except (PartError, OSError, TimeoutError) as error:
        _show_failure(stage.console, error, place)
        return 1
    finally:
        if not kept:
            with _signals_wait():
                place.stop()
    return 0


def _start_parts(stage: Stage, place: world.World, more: Sequence[str]) -> None:
    stage.say(OPENING)
    stage.console.print()
    stage.doing("PostgreSQL 18 with a small shop", place.start_database)
    stage.doing("an identity provider (the demo's own, not for production)", place.start_provider)
    stage.doing("an internal API: customers, who may do what, tools for agents", place.start_api)
    if "kubernetes" in more:
        stage.doing("a Kubernetes cluster: a real API server, its pods local processes", place.start_cluster)
    if "git" in more:
        stage.doing("a git server, with a repository", place.start_forge)
    if "ssh" in more:
        stage.doing("a host: OpenSSH's server, on this machine", place.start_host)
    stage.doing("the gateway: gatebook serve", place.start_gateway)


def _close(story: acts.Story) -> None:
    stage = story.stage
    stage.console.print()
    stage.console.rule(style="dim", characters="-" if stage.plain else "─")
    stage.console.print(Text(f"Every step did what it says: {stage.checks} checks, {stage.seconds:.0f} s.", style="bold green"))
    stage.console.print(Text(f"The book lies in {story.world.ledger}", style="dim"), soft_wrap=True)


def _tell_how_to_try(story: acts.Story) -> None:
    """Write the environment file and print a psql command to copy; it holds an agent's token for an hour, as psql needs it."""
    stage, place = story.stage, story.world
    path = place.write_env(story.token, place.approver_token())
    stage.say("Everything is left running. Try it by hand, as the agent:")
    stage.console.print()
    lines = [
        shown(place.psql_arguments(), place.psql_environment(story.token)),
        f". {shlex.quote(str(path))} && {CURL}",
        f'. {shlex.quote(str(path))} && "$PSQL"',
    ]
    if place.host is not None:
        lines.append(f". {shlex.quote(str(path))} && $SSH_COMMAND uptime")
    for line in lines:
        stage.console.print(Text("    " + line, style="bold cyan"), soft_wrap=True)
    stage.say(f"What waits is decided at {place.url}/approvals (sign in as dana), or with her token:")
    stage.console.print(Text('    GATEBOOK_TOKEN="$APPROVER_TOKEN" gatebook approvals ls', style="bold cyan"), soft_wrap=True)
    stage.say("The first line stands alone, the others take their settings from the file. `make demo-stop` ends it all.")


def _show_failure(console: Console, error: Exception, place: world.World) -> None:
    """What was expected, what came, and the last the gateway said to its operators."""
    console.print()
    if isinstance(error, BrokenError):
        console.print(
            Text(f"This step did not do what it says.\n  expected: {error.expected}", style="bold red"), soft_wrap=True
        )
        console.print(Text(f"  came: {error.came}"), soft_wrap=True)
    else:
        console.print(Text(str(error) or type(error).__name__, style="bold red"), soft_wrap=True)
    console.print(Text(f"\nThe gateway's log, last lines:\n{place.log_tail()}", style="dim"), soft_wrap=True)
    console.print(Text(f"\nAll logs are in {place.folder}", style="dim"), soft_wrap=True)


def _fault(console: Console, message: str, status: int) -> int:
    console.print(Text(f"gatebook demo: {message}", style="red"), soft_wrap=True)
    return status


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Ctrl-C, a polite kill and a closed terminal all end the story, so that its parts are ended too."""
    with _handling(_interrupt):
        yield


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Nothing interrupts the tidying up; it is over within seconds."""
    with _handling(signal.SIG_IGN):
        yield


@contextmanager
def _handling(handler: signal._HANDLER) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
