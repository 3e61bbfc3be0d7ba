"""What the driver of an exchange tells its relay, besides what every relay hears."""

from __future__ import annotations

from dataclasses import dataclass

from gatebook.model import Permit
from gatebook.protocols.http.known import Meant
from gatebook.protocols.http.message import Message
from gatebook.protocols.relay import Ask


@dataclass(frozen=True, slots=True)
class ClientSaid:
    """A message of the client; the first is the request's head."""

    message: Message


@dataclass(frozen=True, slots=True)
class TargetSaid:
    """A message of the target."""

    message: Message


@dataclass(frozen=True, slots=True)
class Failed:
    """The target did not do its part; ``status`` is what HTTP calls it. ``permit`` is that of what may go, and cannot."""

    status: int
    why: str
    permit: Permit | None = None


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came for as long as ``HttpRelay.waits`` says."""


@dataclass(frozen=True, slots=True)
class Inquired:
    """What the target was asked is known, and with it what the request does."""

    ask: Ask
    meant: Meant
