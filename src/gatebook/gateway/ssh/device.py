"""A bare ``ssh``, without token or certificate: its user signs in with a browser somewhere, by a device code.

Each wait holds a connection of somebody who has proved nothing, and each beginning asks the provider: both have limits.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from gatebook.errors import IdentityError
from gatebook.gateway.proving import Proving
from gatebook.identity.device import DeviceClient, DeviceCode

WAITING, WAITING_OF_ONE = 32, 4  # people at once, and from one address
BEGINNINGS, BEGINNINGS_OF_ONE, MINUTE = 30, 15, 60.0  # codes that are asked for in a minute
PATIENCE = 10.0  # seconds that the provider is asked for after each Enter
BUSY = "too many people sign in at this moment: try again in a minute, or give a token"
SIGN_IN = "To prove who you are, open {} and enter the code {}. Do so only if you began this yourself."
PROMPT, AGAIN = "Press Enter once you have signed in: ", "Nobody has signed in yet. Press Enter once you have: "


class SignIns:
    """Of one process: who waits, within the limits."""

    def __init__(
        self, client: DeviceClient, proving: Proving, seconds: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._proving, self._seconds, self._monotonic = client, proving, seconds, monotonic
        self._waiting: Counter[str] = Counter()
        self._began: deque[tuple[float, str]] = deque()

    def enter(self, address: str) -> SignIn:
        """A place for somebody at this address; raises IdentityError where there is none."""
        now = self._monotonic()
        while self._began and now - self._began[0][0] >= MINUTE:
            self._began.popleft()
        lately = sum(1 for _, one in self._began if one == address)
        if len(self._began) >= BEGINNINGS or lately >= BEGINNINGS_OF_ONE:
            raise IdentityError(BUSY)
        if self._waiting.total() >= WAITING or self._waiting[address] >= WAITING_OF_ONE:
            raise IdentityError(BUSY)
        self._began.append((now, address))
        self._waiting[address] += 1
        return SignIn(self, address)

    async def begin(self) -> DeviceCode:
        """A code; raises IdentityError."""
        return await self._client.begin()

    async def token(self, code: DeviceCode, clock: Callable[[], int]) -> str:
        """A gateway token for who has signed in, "" where nobody has yet; raises IdentityError."""
        identity = await self._client.answered(code, clock, PATIENCE)
        return "" if identity is None else await self._proving.vouch(identity, clock(), self._seconds)

    def over(self, address: str) -> None:
        """Somebody waits no more."""
        self._waiting[address] -= 1
        self._waiting += Counter()  # keeps those that are more than none


class SignIn:
    """Of one connection, from its place on; one thing of it is under way at a time."""

    def __init__(self, of: SignIns, address: str) -> None:
        self._of, self._address = of, address
        self._code: DeviceCode | None = None
        self._busy = self._over = self._asked = False

    async def begin(self) -> None:
        """Get a code; raises IdentityError."""
        self._busy = True
        try:
            self._code = await self._of.begin()
        finally:
            self._busy = False

    def challenge(self) -> Any:
        """What keyboard-interactive shows (RFC 4256, section 3.2)."""
        if self._code is None:
            return False
        again, self._asked = self._asked, True
        told = SIGN_IN.format(self._code.address, self._code.user_code)
        return "", "" if again else told, "", [(AGAIN if again else PROMPT, True)]

    async def token(self, clock: Callable[[], int]) -> str:
        """As ``SignIns.token``; raises IdentityError."""
        if self._code is None or self._busy:
            raise IdentityError("one Enter at a time")
        self._busy = True
        try:
            return await self._of.token(self._code, clock)
        finally:
            self._busy = False

    def close(self) -> None:
        """It waits no more."""
        if not self._over:
            self._over = True
            self._of.over(self._address)
