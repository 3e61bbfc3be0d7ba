"""``gatebook sessions``: who is connected, what they did, and the end of a session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url

from gatebook.cli import replay
from gatebook.cli.common import (
    ConfigOption,
    JsonOption,
    duration,
    escaped,
    load_config,
    local_time,
    print_json,
    print_table,
    size,
)
from gatebook.config import Config
from gatebook.db import engine, migrate, writing
from gatebook.db.store import request_kill
from gatebook.errors import GatebookError
from gatebook.gateway import store
from gatebook.gateway.store import ActionRow, SessionRow
from gatebook.ledger.entries import clip
from gatebook.masking.detectors import cover_text
from gatebook.model import Entry, Ruling
from gatebook.policy.acts import KILL
from gatebook.recording.reading import Recording

app = typer.Typer(help="List, read and end sessions.", no_args_is_help=True)

LESS_NEEDED = ("ROLE", "KIND", "LASTED", "ACTIONS")  # columns a narrow terminal does without; `show` has them all
SHORT = 18  # characters of an id: its time to the millisecond and twelve random bits
KILL_SECONDS = 3.0  # the gateway looks for kill requests four times a second
POLL_SECONDS = 0.05
WHY_BYTES = 256
ON_THIS_MACHINE = "on-this-machine"  # in the place of a rule, where an act is done by who runs the gateway, beside its policy

Id = Annotated[str, typer.Argument(metavar="ID", help="A session's id, or the beginning of one.")]


@app.command("ls")
def ls(
    live: Annotated[bool, typer.Option("--live", help="Only sessions that are open now.")] = False,
    target: Annotated[str | None, typer.Option("--target", help="Only sessions on this target.", show_default=False)] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Only sessions of this identity.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest first.")] = 50,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List sessions, the newest first."""
    with _reading(load_config(config)) as connection:
        found = store.list_sessions(connection, live=live, target=target, subject=subject, limit=limit)
    if as_json:
        print_json([_session_json(one) for one in found])
    elif found:
        headings = ("ID", "OPENED", "LASTED", "WHO", "KIND", "TARGET", "ROLE", "ACTIONS", "REFUSED", "STATE")
        print_table(headings, [_session_cells(one, _now()) for one in found], wraps="STATE", drops=LESS_NEEDED)
    else:
        print("No sessions." if not (live or target or subject) else "No such sessions.")


@app.command()
def show(session: Id, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show one session and each of its actions: what was asked, what was decided and by which rule, how it ended."""
    with _reading(load_config(config)) as connection:
        found = _only(store.find_session(connection, session), session)
        actions = store.actions_of(connection, found.id)
    if as_json:
        print_json(_session_json(found) | {"list": [asdict(one) for one in actions]})
        return
    for name, value in _facts(found):
        print(f"{name:<10} {escaped(value)}")
    if actions:
        print()
        headings = ("SEQ", "TIME", "VERB", "RULING", "RULE", "ANSWER", "TEXT")
        print_table(headings, [_action_cells(one) for one in actions], wraps="TEXT", least=24, drops=("TIME", "ANSWER", "VERB"))


@app.command()
def kill(
    session: Id,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; it stands in the ledger and the client sees it.")
    ] = "no reason given",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """End a live session: its client is told the reason, both connections are closed, and the ledger says who asked.

    No rule is asked: this reads and writes the gateway's own files. Over the API and in the pages, rules decide.

    Exit status: 0 ended, 1 not (closed already, or no gateway answered within 3 seconds).
    """
    from gatebook.gateway.book import operator

    if not reason.strip():
        raise typer.BadParameter("expected a reason", param_hint="--reason")
    loaded = load_config(config)
    database = _opened(loaded)
    with database.connect() as connection:
        found = _only(store.find_session(connection, session), session)
    if found.closed_at is None:
        _write_down(loaded, found.id, operator(), reason)
    with writing(database) as connection:
        asked = request_kill(connection, session=found.id, at=_now(), by=operator(), reason=reason)
    if not asked:
        raise GatebookError(f"session {found.id} is closed already: {found.close_reason}")
    ended = _await_close(database, found.id)
    if as_json:
        print_json({"session": found.id, "ended": ended is not None, "close_reason": ended.close_reason if ended else None})
    elif ended:
        print(f"Session {found.id} of {escaped(ended.subject)} on {ended.target} is ended: {escaped(ended.close_reason or '')}")
    if not ended:
        raise GatebookError(f"asked, but session {found.id} is still open after {KILL_SECONDS:.0f} s: is the gateway running?")


def _write_down(config: Config, session: str, by: str, reason: str) -> None:
    """Who ends a session here, and why, before it is asked for. Raises LedgerError: then it must not be.

    No policy was asked: whoever may write these files needs no permission of ours, and the entry says so by its rule.
    """
    from gatebook.ledger import aside

    fields = {
        "verb": KILL,
        "about": session,
        "actor": {"type": "operator", "by": by},
        "ruling": str(Ruling.ALLOW),
        "rule": ON_THIS_MACHINE,
        "why": clip(cover_text(reason), WHY_BYTES),
        "pol": {},
        "unlisted": 0,
    }
    aside.write(config, Entry(kind="gatebook.act", fields=fields))


@app.command("replay")
def replay_session(
    session: Id,
    identity: replay.IdentityOption,
    as_json: replay.LinesOption = False,
    speed: replay.SpeedOption = None,
    play: replay.PlayOption = None,
    cast: replay.CastOption = None,
    why: replay.WhyOption = "no reason given",
    config: ConfigOption = None,
) -> None:
    """Show what passed through a session, from its recording: requests, decisions, answers, and their timing.

    Exit status: 0 the recording is whole and as the ledger has it, 1 it is not; what counts of it is shown all the same.
    """
    loaded = load_config(config)
    found = _found(loaded, session)
    live = found.closed_at is None
    if (play is not None) + (cast is not None) + as_json > 1:
        raise typer.BadParameter("expected one of --play, --cast and --json", param_hint="--play")

    def show(recording: Recording) -> None:
        if play is not None:
            replay.play(recording, play, speed or 1.0)
        elif cast is not None:
            replay.cast(recording, cast, f"{found.subject} on {found.target}, request {cast} of {found.id}")
        else:
            replay.lines(recording, as_json=as_json, speed=speed)

    replay.replay(loaded, found.id, found.opened_at, show, live=live, identity=identity, why=why)


@app.command("tail")
def tail_session(
    session: Id,
    identity: replay.IdentityOption,
    as_json: replay.LinesOption = False,
    from_start: replay.FromStartOption = False,
    why: replay.WhyOption = "no reason given",
    config: ConfigOption = None,
) -> None:
    """Follow a live session until it ends. What is shown is not yet checked against the ledger: `replay` does that."""
    loaded = load_config(config)
    found = _found(loaded, session)

    def is_live() -> bool:
        return _found(loaded, found.id).closed_at is None

    replay.tail(loaded, found.id, is_live=is_live, identity=identity, as_json=as_json, from_start=from_start, why=why)


def _found(config: Config, session: str) -> SessionRow:
    with _reading(config) as connection:
        return _only(store.find_session(connection, session), session)


def _await_close(database: Engine, session: str) -> SessionRow | None:
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        with database.connect() as connection:
            found = store.find_session(connection, session)
        if found and found[0].closed_at is not None:
            return found[0]
        time.sleep(POLL_SECONDS)
    return None


@contextmanager
def _reading(config: Config) -> Iterator[Connection]:
    with _opened(config).connect() as connection:
        yield connection


def _opened(config: Config) -> Engine:
    """The gateway's database; none is made, since one that is not there means that no gateway ran here."""
    place = make_url(config.database_url).database or ""
    if not Path(place).exists():
        raise GatebookError(f"{place}: no database here: has a gateway run with this configuration?")
    database = engine(config.database_url)
    migrate(database)
    return database


def _only(found: list[SessionRow], prefix: str) -> SessionRow:
    if not found:
        raise GatebookError(f"no session's id begins with {escaped(prefix)!r}")
    if len(found) > 1:
        raise GatebookError(f"several sessions' ids begin with {escaped(prefix)!r}: give more of it")
    return found[0]


def _now() -> int:
    return time.time_ns() // 1000


def _session_json(row: SessionRow) -> dict[str, Any]:
    return asdict(row) | {"live": row.closed_at is None}


def _session_cells(row: SessionRow, now: int) -> tuple[str, ...]:
    lasted = duration((row.closed_at or now) - row.opened_at)
    counts = (str(row.actions), str(row.refused))
    return (
        row.id[:SHORT],
        local_time(row.opened_at),
        lasted,
        row.subject,
        row.kind,
        row.target,
        row.role,
        *counts,
        _state(row),
    )


def _state(row: SessionRow) -> str:
    if row.closed_at is not None:
        return f"closed: {row.close_reason}"
    return f"ending, asked by {row.kill_by}" if row.kill_requested_at else "live"


def _facts(row: SessionRow) -> list[tuple[str, str]]:
    closed = f"{local_time(row.closed_at)}, {row.close_reason}" if row.closed_at else _state(row)
    facts = [
        ("Session", row.id),
        ("Who", f"{row.subject} ({row.kind}), proven by {row.issuer}"),
        ("Target", f"{row.target} as {row.role}"),
        ("From", row.client_address),
        ("Purpose", row.purpose),
        ("Opened", local_time(row.opened_at)),
        ("Closed", closed),
        ("Actions", f"{row.actions}, of which {row.refused} refused"),
        ("Traffic", f"{size(row.bytes_in)} from the client, {size(row.bytes_out)} to it" if row.closed_at else ""),
    ]
    if row.kill_requested_at:
        facts.append(("Kill", f"asked by {row.kill_by} at {local_time(row.kill_requested_at)}: {row.kill_reason}"))
    return [(name, value) for name, value in facts if value]


def _action_cells(row: ActionRow) -> tuple[str, ...]:
    answer = row.status or ("" if row.ruling in ("allow", "mask") else "not sent")
    verb = row.verb if row.step == "run" else f"{row.verb} ({row.step})"
    return str(row.seq), local_time(row.at)[11:], verb, row.ruling, row.rule, answer, row.text
