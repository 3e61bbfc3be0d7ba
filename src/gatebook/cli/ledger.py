"""``gatebook ledger``: verify the book, and print its newest checkpoint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

from gatebook.cli.common import ConfigOption, JsonOption, load_config
from gatebook.ledger import folders, verifier

app = typer.Typer(help="The book: a log that shows every change made to it afterwards.", no_args_is_help=True)

FOLDER_HELP = "The ledger's folder; else the one in the configuration."
KEY_HELP = "The log's verifier key, kept outside this machine. Without it the report says NOT ANCHORED."
HEAD_HELP = "File with a checkpoint that was kept outside this machine: the log must have grown from it."

FolderArgument = Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help=FOLDER_HELP, show_default=False)]
KeyOption = Annotated[str | None, typer.Option("--log-key", metavar="VKEY", help=KEY_HELP, show_default=False)]
HeadOption = Annotated[
    Path | None, typer.Option("--head", metavar="FILE", help=HEAD_HELP, exists=True, dir_okay=False, show_default=False)
]


@app.command()
def verify(
    folder: FolderArgument = None,
    config: ConfigOption = None,
    log_key: KeyOption = None,
    head: HeadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every byte of the book, also while the gateway writes it.

    Exit status 0 if it is intact, 1 if it is damaged. Auditors run the same check without Gatebook: python verifier.py FOLDER.
    """
    found = _folder(folder, config)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as progress:
        task = progress.add_task("verifying", total=None)
        report = verifier.examine(
            found,
            log_key,
            head.read_bytes() if head else None,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(verifier.as_json(report) if as_json else verifier.render(report))
    raise typer.Exit(0 if report.intact else 1)


@app.command()
def checkpoint(
    folder: FolderArgument = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the newest signed checkpoint with the log's origin and verifier key. Keep both away from this machine."""
    found = _folder(folder, config)
    one = verifier.is_log(found)
    newest = [_newest(place) for place in ([found] if one else folders.logs(found).values())]
    if not newest:
        _leave(f"{found}: there is no ledger in this folder", 1)
    if as_json:
        print(json.dumps(newest[0] if one else newest, indent=2))
    else:
        print("\n".join(f"origin  {each['origin']}\nvkey    {each['vkey']}\n\n{each['checkpoint']}" for each in newest), end="")


def _newest(place: Path) -> dict[str, object]:
    """The newest checkpoint of one log."""
    try:
        key = verifier.Key.parse((place / "log.vkey").read_text())
        note = (place / "checkpoint").read_bytes()
        head = verifier.read_head(note, key, "checkpoint")
    except OSError as error:
        _leave(f"{error.filename}: {error.strerror}", 2)
    except ValueError as error:
        _leave(f"{place}: {error}", 1)
    return {
        "origin": key.origin,
        "vkey": key.text,
        "size": head.size,
        "root": head.root.hex(),
        "checkpoint": note.decode(),
    }


def _folder(folder: Path | None, config: Path | None) -> Path:
    found = folder or load_config(config, files=False).ledger.folder
    if not found.is_dir():
        _leave(f"{found}: expected the folder of a ledger", 2)
    return found


def _leave(why: str, status: int) -> NoReturn:
    print(f"gatebook ledger: {why}", file=sys.stderr)
    raise typer.Exit(status)
