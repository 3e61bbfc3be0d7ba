"""The host's side of one channel: asyncssh's callbacks become signals of the client's side, and the other way round."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol, assert_never

import asyncssh

from gatebook.gateway.ssh.packets import untold
from gatebook.protocols.ssh.messages import SIGNALS, Closed, Data, Eof, Errors, Exit, Killed, OfClient, Resize, Signal
from gatebook.protocols.ssh.relay import Failed, SshSignal, TargetSaid

ERRORS_OF = asyncssh.EXTENDED_DATA_STDERR
TOGETHER = 131_072  # bytes


class Near(Protocol):
    """Who hears of it."""

    def signal(self, signal: SshSignal) -> None:
        """Something came, or ended."""
        ...

    def flow(self) -> None:
        """The host takes more, or no more."""
        ...


class Far(asyncssh.SSHClientSession[bytes]):
    """The host's side of one channel."""

    def __init__(self, near: Near) -> None:
        self._near: Near | None = near
        self.chan: asyncssh.SSHClientChannel[bytes] | None = None
        self.full = False
        self._reads = True
        self._heard: list[bytes] = []  # of one stream, told together
        self._heard_bytes = 0
        self._of: asyncssh.DataType = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel stands."""
        self.chan = chan
        untold(chan)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """What the command writes: all that came at once is told as one."""
        if datatype != self._of:
            self._tell_heard()
            self._of = datatype
        if not self._heard:
            asyncio.get_running_loop().call_soon(self._tell_heard)
        self._heard.append(data)
        self._heard_bytes += len(data)
        if self._heard_bytes >= TOGETHER:
            self._tell_heard()

    def _tell_heard(self) -> None:
        if not self._heard:
            return
        data, self._heard, self._heard_bytes = b"".join(self._heard), [], 0
        if self._near is not None:
            self._near.signal(TargetSaid(Errors(data) if self._of == ERRORS_OF else Data(data)))

    def eof_received(self) -> bool:
        """It writes no more."""
        self._tell(TargetSaid(Eof()))
        return True

    def exit_status_received(self, status: int) -> None:
        """It has ended."""
        self._tell(TargetSaid(Exit(status)))

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """A signal has ended it."""
        self._tell(TargetSaid(Killed(signal if signal in SIGNALS else "TERM", core_dumped)))

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is over, or all of the connection to the host is."""
        if exc is None:
            self._tell(TargetSaid(Closed()))
        else:
            self._tell(Failed("the connection to the host was lost"))

    def pause_writing(self) -> None:
        """The host does not read."""
        self.full = True
        self._turn()

    def resume_writing(self) -> None:
        """It reads again."""
        self.full = False
        self._turn()

    def say(self, message: OfClient) -> None:
        """What the client says, as it was permitted."""
        chan = self.chan
        if chan is None:
            return
        with contextlib.suppress(OSError):  # it has ended, and its status is on the way
            match message:
                case Data(data):
                    chan.write(data)
                case Eof():
                    chan.write_eof()
                case Resize(columns, lines):
                    chan.change_terminal_size(columns, lines)
                case Signal(name):
                    chan.send_signal(name)
                case _:
                    assert_never(message)

    def read(self, wanted: bool) -> None:
        """Whether the host is read."""
        if self.chan is not None and wanted is not self._reads:
            self._reads = wanted
            (self.chan.resume_reading if wanted else self.chan.pause_reading)()

    def drop(self) -> None:
        """The client's side is over."""
        self._near = None
        if self.chan is not None:
            self.chan.close()
            if not self._reads:
                self.read(True)

    def _tell(self, signal: SshSignal) -> None:
        self._tell_heard()
        if self._near is not None:
            self._near.signal(signal)

    def _turn(self) -> None:
        if self._near is not None:
            self._near.flow()
