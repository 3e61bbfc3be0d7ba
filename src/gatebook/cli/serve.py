"""``gatebook serve``: the gateway, its API and its operators' log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import structlog
import typer

from gatebook.access.book import Book
from gatebook.cli.common import load_config
from gatebook.config import Config
from gatebook.gateway.running import Parts
from gatebook.gateway.ssh.keys import HOST_AUTHORITY, USER_AUTHORITY
from gatebook.gateway.supervisor import supervise
from gatebook.identity.certificates import Authority, Certificates
from gatebook.ledger.commitments import Commitments
from gatebook.policy.rules import load
from gatebook.protocols.postgres import native
from gatebook.recording.reader import Reader
from gatebook.web.access import now_microseconds
from gatebook.web.acts import Acts
from gatebook.web.app import make_app
from gatebook.web.certificates import Signing
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
    supervise(loaded, _api, lambda: _ready(loaded))


async def _api(parts: Parts, ready: Callable[[], None]) -> None:
    reader = Reader.of(parts.config)  # here alone: no process that serves sessions can read what they record
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
        serving=parts.serving,
        may_open=parts.desk.may_open,
        acts=acts,
        approvals=parts.approvals,
        grants=parts.grants,
        signing=_signing(parts),
        pages=page_routes(parts.config, parts.engine, parts.approvals, acts, now_microseconds, reader=reader),
    )
    await serve_api(parts.config, app, started=lambda _port: ready())


def _signing(parts: Parts) -> Signing | None:
    """What gives certificates to users of SSH; here alone: no process that serves sessions can sign any."""
    if parts.config.listeners.ssh is None:
        return None
    keys = parts.config.home / "keys"
    authorities = Authority(keys / USER_AUTHORITY), Authority(keys / HOST_AUTHORITY)
    return Signing(Certificates(parts.engine), authorities[0], authorities[1].public)


def _ready(config: Config) -> None:
    doors = {"postgres": config.listeners.postgres, "http": config.listeners.http, "ssh": config.listeners.ssh}
    said: dict[str, object] = {name: f"{one.bind.host}:{one.bind.port}" for name, one in doors.items() if one is not None}
    said |= {"api": config.listeners.public_url, "workers": config.worker_count, "rows": native.named()}
    structlog.get_logger("gatebook.gateway").info("ready", **said)


def _set_up_log(as_json: bool) -> None:
    """Operators' lines go to stderr and may be lost; auditors read the ledger."""
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
