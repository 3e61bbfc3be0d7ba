"""A client that jumps: it has proved who it is at the door, and goes on from there to targets by their names.

``ssh -J jump@gateway deploy@web1`` asks the first connection for one to ``web1``. There is no such place for a tunnel: what
answers is another SSH server of ours, whose client proves by the first connection's proof, asked again, and whose session is
one of the target's like any other. The connection around it runs nothing, and leads nowhere else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncssh

from gatebook.gateway.ssh.proof import Proof

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway
    from gatebook.gateway.ssh.connection import Connection
    from gatebook.model import Session

JUMP = "jump"  # the user's name of who comes to go on; a target of that name is a target
INSIDE = 20  # connections to targets at a time
IDLE_SECONDS = 900.0


class Jump:
    """The outer connection, looked after as sessions are. Lives in one event loop."""

    token: bytes | None = None
    session: Session | None = None  # what stands in the book are those inside

    def __init__(self, gateway: Gateway, connection: Connection, proof: Proof, expires_at: int) -> None:
        self._gateway, self._connection, self.proof, self._expires_at = gateway, connection, proof, expires_at
        self.inside = 0
        self._used_at = asyncio.get_running_loop().time()
        gateway.add(self)

    def entered(self) -> None:
        """A connection to a target begins."""
        self.inside += 1

    def left(self) -> None:
        """It is over."""
        self.inside -= 1
        self._used_at = asyncio.get_running_loop().time()

    def tick(self) -> None:
        """About once a second."""
        if self._gateway.clock() >= self._expires_at:
            self.end("your token expired; get a new one with `gatebook token` and connect again")
        elif not self.inside and asyncio.get_running_loop().time() - self._used_at > IDLE_SECONDS:
            self.end("nothing was asked for a while")

    def stale(self) -> None:
        """Here is nothing of the kind."""

    def check_grants(self) -> None:
        """Each session inside looks after its own."""

    def end(self, why: str) -> None:
        """The gateway ends it, and with it what is inside."""
        self.close()
        if not self._connection.is_closed():
            self._connection.disconnect(asyncssh.DISC_BY_APPLICATION, why)

    def close(self) -> None:
        """The connection is over."""
        self._gateway.drop(self)
