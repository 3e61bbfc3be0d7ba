"""What every command does the same way: find the config, print tables, times and JSON, and say who asks.

What clients wrote (statements, names, reasons) is shown with its control and bidi characters escaped, so that a listing cannot
drive the terminal of whoever reads it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gatebook.config import Config, load
from gatebook.errors import ConfigError

CONFIG_HELP = "The configuration. Else $GATEBOOK_CONFIG, $GATEBOOK_HOME/gatebook.yaml, ./gatebook.yaml."
HOW_TO_NAME_IT = "give --config FILE or set GATEBOOK_CONFIG"
PIPED_COLUMNS = 200  # of a table that goes to a file or another program
GAP = 2  # spaces between columns

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help=CONFIG_HELP, show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, exact and complete.")]


def find_config(option: Path | None) -> Path:
    """The config's path: the option's, else by the environment, else in the current folder."""
    if option is not None:
        return option
    if named := os.environ.get("GATEBOOK_CONFIG"):
        return Path(named)
    if home := os.environ.get("GATEBOOK_HOME"):
        return Path(home) / "gatebook.yaml"
    return Path("gatebook.yaml")


def load_config(option: Path | None, *, files: bool = True) -> Config:
    """The config; its faults go to standard error, one a line, and end the command with 2."""
    path = find_config(option)
    try:
        return load(path, files=files)
    except ConfigError as error:
        lost = option is None and not path.exists()
        complain(ConfigError([f"{path}: no configuration here: {HOW_TO_NAME_IT}"]) if lost else error)
        raise typer.Exit(2) from None


def complain(error: Exception) -> None:
    """Say on standard error what is wrong; each line of the error is one."""
    print(escaped(str(error), keep="\n"), file=sys.stderr)


def print_json(value: Any) -> None:
    """JSON on standard output, in ASCII, so that nothing in it can move a terminal."""
    print(json.dumps(value, indent=2))


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, wraps: str, least: int = 8, drops: Sequence[str] = ()
) -> None:
    """A table that fits the terminal: column ``wraps`` is cut with … down to ``least``, then columns are dropped in turn."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_COLUMNS
    shown = [dict(zip(headings, map(escaped, row), strict=True)) for row in rows]
    widths = {each: max(len(each), *(len(row[each]) for row in shown)) for each in headings} | {wraps: least}
    kept = list(headings)
    for heading in drops:
        if sum(widths[each] + GAP for each in kept) - GAP > columns:
            kept.remove(heading)
    room = max(least, columns - sum(widths[each] + GAP for each in kept if each != wraps))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for heading in kept:
        most = room if heading == wraps else None
        table.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=widths[heading], max_width=most)
    for row in shown:
        table.add_row(*(Text(row[each]) for each in kept))
    Console(width=columns, highlight=False).print(table)


def escaped(text: str, keep: str = "") -> str:
    r"""Text with everything that does not print as itself written out, as ``\x1b``."""
    return "".join(each if each.isprintable() or each in keep else _written_out(each) for each in text)


def _written_out(character: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or character.encode("unicode_escape").decode()


def local_time(microseconds: int | None) -> str:
    """A time as the reader's clock has it."""
    if microseconds is None:
        return ""
    return datetime.fromtimestamp(microseconds / 1_000_000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(microseconds: int) -> str:
    """How long: ``4s``, ``2m 05s``, ``3h 07m``, ``2d 04h``."""
    seconds = max(0, microseconds) // 1_000_000
    for size, unit, rest_size, rest_unit in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // rest_size:02d}{rest_unit}"
    return f"{seconds}s"


def count(number: int, noun: str) -> str:
    """``1 statement``, ``2 statements``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(octets: int) -> str:
    """Bytes as people read them."""
    amount = float(octets)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
