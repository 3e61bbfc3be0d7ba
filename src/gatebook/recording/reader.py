"""The identity by which a gateway's pages read recordings, where the configuration names one (``recording.reader``).

It is one of the recipients like an auditor's; without it the gateway cannot read what it has recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyrage

from gatebook.config import Config
from gatebook.errors import ConfigError
from gatebook.recording.reading import identities, unlock


class Reader:
    """Opens recordings. It holds the identity in memory; neither ``repr`` nor an error shows it."""

    def __init__(self, folder: Path, found: list[Any]) -> None:
        self.folder, self._identities = folder, found

    @classmethod
    def of(cls, config: Config) -> Reader | None:
        """The configured one, if there is one. Raises ConfigError."""
        settings = config.recording
        if settings is None or settings.reader is None:
            return None
        found = identities(settings.reader.read())
        if not found:
            raise ConfigError([f"recording.reader: {settings.reader}: expected AGE-SECRET-KEY-1…, as age-keygen writes it"])
        known = {pyrage.x25519.Recipient.from_str(one).__str__() for one in settings.recipients}
        if not any(str(one.to_public()) in known for one in found):
            mine = ", ".join(str(one.to_public()) for one in found)
            raise ConfigError(
                [f"recording.reader: {settings.reader}: its public key is {mine}: expected one of recording.recipients; add it"]
            )
        return cls(settings.folder, found)

    def key(self, session: str) -> bytes:
        """The key of a session's recording. Raises RecordingError."""
        return unlock(self.folder / session, self._identities)
