"""One script sent through the gateway as one simple Query, by asyncpg, and what came of it.

psql cannot do this: a file's statements leave it one by one, and its -c would put the text where other users see it. The
password of the connection is the token, handed over in memory; TLS is checked as ``connect`` has psql check it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg

from gatebook.cli.places import Door

CONNECT_SECONDS = 30.0
CLOSE_SECONDS = 5.0
NOTICES = 1_000  # of one script that are shown


@dataclass(frozen=True, slots=True)
class Ran:
    """It ran. ``status`` is the tag of its last statement, as ``UPDATE 4``."""

    status: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """It waits for people under this approval."""

    approval: str
    link: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not run, or failed at the server: ``position`` is the character of it that is meant, from 1, or 0."""

    said: str
    hint: str = ""
    position: int = 0
    notices: tuple[str, ...] = ()


Outcome: TypeAlias = Ran | Held | Failed


def send(door: Door, token: str, text: str, options: str) -> Outcome:
    """Connect, send the text as one Query with these startup options, and say what came of it."""
    return asyncio.run(_send(door, token, text, options))


@dataclass(slots=True)
class _Listener:
    """What the server says on the way."""

    said: list[str] = field(default_factory=list)

    def hear(self, _: Any, message: Any) -> None:
        if len(self.said) < NOTICES:
            self.said.append(f"{message.severity}: {message.message}")


async def _send(door: Door, token: str, text: str, options: str) -> Outcome:
    listener, connection = _Listener(), None
    try:
        connection = await asyncpg.connect(
            host=door.place.host,
            port=door.place.port,
            user=door.role or door.place.user,
            database=door.database,
            password=token,
            ssl=door.verify or False,
            direct_tls=False,
            timeout=CONNECT_SECONDS,
            target_session_attrs="any",
            server_settings={"options": options, "application_name": "gatebook connect"},
        )
        connection.add_log_listener(listener.hear)
        status = await connection.execute(text)
        await asyncio.sleep(0)  # notices are handed over by the event loop
        return Ran(status, tuple(listener.said))
    except asyncpg.PostgresError as error:
        await asyncio.sleep(0)
        return _refused(error, tuple(listener.said))
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        why = str(error) or type(error).__name__
        return Failed(f"the connection to {door.place.host}:{door.place.port} failed: {why}", notices=tuple(listener.said))
    finally:
        if connection is not None:
            await _close(connection)


async def _close(connection: Any) -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def _refused(error: Any, notices: tuple[str, ...]) -> Outcome:
    detail = _object(error.detail)
    approval, link = detail.get("approval"), detail.get("follow")
    if error.sqlstate == "42501" and detail.get("class") == "wait" and isinstance(approval, str) and isinstance(link, str):
        return Held(approval, link)
    position = int(error.position) if str(error.position or "").isdecimal() else 0
    return Failed(f"{error.sqlstate}: {error.args[0] if error.args else ''}", error.hint or "", position, notices)


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
