"""``gatebook serve``: the gateway, its API and its operators' log."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop

from gatebook.access.book import Book
from gatebook.cli.common import load_config
from gatebook.config import Config
from gatebook.gateway.running import Parts, run
from gatebook.ledger.commitments import Commitments
from gatebook.policy.rules import load
from gatebook.protocols.postgres import native
from gatebook.recording.reader import Reader
from gatebook.web.access import now_microseconds
from gatebook.web.acts import Acts
from gatebook.web.app import make_app
from gatebook.web.pages.site import page_routes
from gatebook.web.server import serve_api


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="gatebook.yaml; else $GATEBOOK_CONFIG, $GATEBOOK_HOME.")
    ] = None,
    json_log: Annotated[bool, typer.Option("--json-log", help="Write the operators' log as JSON lines.")] = False,
) -> None:
    """Run the gateway: listeners, policy, ledger and API, until SIGTERM."""
    loaded = load_config(config)
    _set_up_log(json_log or not sys.stderr.isatty())
    reader = Reader.of(loaded)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(loaded, partial(_api, reader), lambda: _ready(loaded)))


async def _api(reader: Reader | None, parts: Parts) -> None:
    commitments = Commitments(parts.engine)
    book = Book(lambda entry: parts.ledger.append_now(entry, durable=True), commitments.commit)
    policy = load(parts.config.policy_files())
    acts = Acts(lambda: policy, parts.config.deployment, now_microseconds, book)
    app = make_app(
        parts.config,
        parts.engine,
        parts.prover,
        parts.tokens,
        ledger_ok=lambda: parts.ledger.failed is None,
        may_open=parts.desk.may_open,
        acts=acts,
        approvals=parts.approvals,
        grants=parts.grants,
        pages=page_routes(parts.config, parts.engine, parts.approvals, acts, now_microseconds, reader=reader),
    )
    await serve_api(parts.config, app)


def _ready(config: Config) -> None:
    postgres = config.listeners.postgres
    where = f"{postgres.bind.host}:{postgres.bind.port}" if postgres else ""
    url = config.listeners.public_url
    structlog.get_logger("gatebook.gateway").info("ready", postgres=where, api=url, rows=native.named())


def _set_up_log(as_json: bool) -> None:
    """Operators' lines go to stderr and may be lost; auditors read the ledger."""
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
