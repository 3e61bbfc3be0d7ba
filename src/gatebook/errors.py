"""Errors that a caller may want to tell apart. Each message says what was wrong and, where it can, what to do next."""

from __future__ import annotations


class GatebookError(Exception):
    """The caller's fault, or the world's: the message is fit to show."""


class ConfigError(GatebookError):
    """A configuration that cannot be used; ``faults`` has one line per fault: file, key, value, what was expected."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class PolicyError(ConfigError):
    """Policies that cannot be used; ``faults`` as for ConfigError."""


class WireError(GatebookError):
    """The peer broke its protocol; the message shows the value that was wrong."""


class IdentityError(GatebookError):
    """A token, assertion or certificate that proves nothing. The message never holds any part of it."""


class LedgerError(GatebookError):
    """The ledger could not keep an entry. Whoever needed it must not act."""


class RecordingError(GatebookError):
    """A recording could not be kept, or cannot be read. Whoever had to record must not go on."""


class AccessError(GatebookError):
    """An approval, a vote or a grant that is not to be had: the answer is no. ``fault`` says which sort of no.

    ``unknown``, ``closed`` (decided, used, void or expired), ``forbidden``, ``limit``, ``wrong`` (what was sent), ``away``.
    """

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault
