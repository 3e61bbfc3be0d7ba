"""``gatebook evidence``: the auditor's package out of the ledger, and its check."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from gatebook.cli.common import ConfigOption, JsonOption, complain, load_config, print_json, size
from gatebook.config import Config
from gatebook.errors import ConfigError, LedgerError
from gatebook.evidence import export as making
from gatebook.evidence import verification
from gatebook.evidence.package import PROGRAM
from gatebook.gateway.book import operator
from gatebook.ledger import aside
from gatebook.ledger.keys import key_path
from gatebook.model import Entry

app = typer.Typer(help="Evidence for an auditor, who can check it without Gatebook.", no_args_is_help=True)

FROM_HELP = "Begin of the period: a date or time, UTC unless it says otherwise. The first entry if not given."
TO_HELP = "Its end: a date, which is the last day of it, or a time. The newest entry if not given."
KEY_HELP = "The log's verifier key, kept outside this machine. Without it the report says NOT ANCHORED."
HEAD_HELP = "File with a checkpoint that was kept outside this machine: the log must have grown from it."

PackageArgument = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The package.")]
KeyOption = Annotated[str | None, typer.Option("--log-key", metavar="VKEY", help=KEY_HELP, show_default=False)]
HeadOption = Annotated[
    Path | None, typer.Option("--head", metavar="FILE", help=HEAD_HELP, exists=True, dir_okay=False, show_default=False)
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the package goes.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 1 unless both --log-key and --head are given.")]


@app.command()
def export(
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help=FROM_HELP, show_default=False)] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help=TO_HELP, show_default=False)] = None,
    output: OutputOption = Path("evidence.zip"),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the package: the log, complete lists made from it, tests of controls, a report, and the verifier.

    Run it where the gateway runs, by its user; the gateway may be running. The same checkpoint and period give the same bytes.
    """
    first, last = _moment("--from", start, 0), _moment("--to", end, 1)
    loaded = load_config(config, files=False)
    with _progress(as_json) as progress:
        progress("reading", 0, 0)
        logs = making.copy_book(loaded.ledger.folder, output.parent)
        key = making.signing_key(key_path(loaded.home), logs)
        period = making.whole_period(logs, first, last)
        files = making.build(logs, key, period, _rules(loaded), output.parent)
        making.write(output, files, logs[0].key.text, progress, lambda digest: _keep(loaded, digest))
    entries = sum(log.size for log in logs)
    digest = f"sha256:{sha256(files[PROGRAM]).hexdigest()}"
    if as_json:
        counts = {"bytes": output.stat().st_size, "files": len(files), "entries": entries, "logs": len(logs)}
        print_json({"file": str(output), **counts, "verifier": digest})
    else:
        print(f"{output}: {size(output.stat().st_size)}, {len(files)} files, {entries:,} entries of {len(logs)} logs")
        print(f"Its verify.pyz: {digest}")
        print(f"Check it: gatebook evidence verify {output} --log-key {logs[0].key.text}")


@app.command()
def verify(
    file: PackageArgument,
    log_key: KeyOption = None,
    head: HeadOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check every byte of a package, and make every list in it again from its log.

    Exit status 0 if all that could be checked passed, 1 if not. Auditors run the same without Gatebook: python verify.pyz FILE.
    """
    demands = verification.Demands(log_key, head.read_bytes() if head else None, strict)
    with _progress(as_json) as progress:
        try:
            report = verification.verify(file, demands, lambda step: progress(f"checking {step}", 0, 0))
        except OSError as error:
            raise LedgerError(f"{file}: {error.strerror}") from error
    print(verification.as_json(report) if as_json else verification.render(report))
    raise typer.Exit(0 if report.intact else 1)


def _keep(config: Config, digest: str) -> None:
    aside.write(config, Entry(kind="export.create", fields={"by": operator(), "digest": digest}))


def _moment(option: str, text: str | None, days: int) -> int | None:
    """The time that a person wrote, µs; a plain date stands for its beginning, ``days`` later."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if len(text) == len("2026-01-01"):
            found += timedelta(days=days)
    except (ValueError, OverflowError):
        raise ConfigError([f"{option}: {text!r}: expected a date or time as 2026-01-31 or 2026-01-31T09:00"]) from None
    moment = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _rules(config: Config) -> dict[str, str]:
    """The texts of the rules at hand; a package without them says so."""
    try:
        return config.policy_files()
    except ConfigError as error:
        complain(error)
        return {}


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not os.isatty(2)) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total or None)
