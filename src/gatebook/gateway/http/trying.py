"""What a held request to an HTTP target would do, tried there, and looked at again before it goes.

Both are asked in the requester's place: with the same credential and introduction, so that the target's own rules decide, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from gatebook.access.previews import Preview
from gatebook.errors import GatebookError
from gatebook.gateway.http.asking import ask
from gatebook.gateway.http.credentials import ShownAs
from gatebook.gateway.http.sessions import HttpSession
from gatebook.gateway.preview import LATE, Patience
from gatebook.model import Action, Permit, Reach
from gatebook.protocols.http.dialect import Shown
from gatebook.protocols.http.relay import Failed, HttpRelay, Inquired
from gatebook.protocols.http.trying import Inquirable, Tryable
from gatebook.protocols.kubernetes.binding import LOOKED_AT
from gatebook.protocols.kubernetes.verbs import PREVIEW
from gatebook.protocols.relay import Allowed, Refused

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

INQUIRY_SECONDS = 60
INQUIRY_BYTES = 256 * 1024 * 1024  # of one answer, which nobody is sent


@dataclass(frozen=True, slots=True)
class CallTrial:
    """Of one request."""

    gateway: Gateway
    session: HttpSession
    shown_as: ShownAs
    tryable: Tryable

    @property
    def why(self) -> str:
        """Why nothing of it may be tried."""
        return self.tryable.why

    def action(self, held: Action) -> Action:
        """Of the deeds that change something."""
        deeds = (replace(deed, verb=PREVIEW) for deed in held.deeds if deed.reach is not Reach.READ)
        return replace(held, deeds=tuple(deeds))

    def begun(self) -> None:
        """Its client need not hear of it."""

    async def run(self, permit: Permit, patience: Patience) -> Preview:
        """Try it. Raises GatebookError, OSError, and TimeoutError once nobody waits any more."""
        async with patience.lasts():
            found = await _asked(self.gateway, self.session, self.shown_as, self.tryable)
        return Preview(
            why=found.why,
            form=found.form,
            text=found.text,
            notes=found.notes,
            held_to=found.held_to,
            masked=self.tryable.masked,
        )


def trial(gateway: Gateway, session: HttpSession, shown_as: ShownAs | None, relay: HttpRelay | None) -> CallTrial | None:
    """What of the request that is asked about may be tried; None where there is nothing to see."""
    tryable = relay.tryable() if relay is not None else None
    if tryable is None or shown_as is None:
        return None
    return CallTrial(gateway, session, shown_as, tryable)


async def still(
    gateway: Gateway, session: HttpSession, shown_as: ShownAs | None, relay: HttpRelay | None, answer: Allowed | Refused
) -> Allowed | Refused | Failed:
    """What may go, unless what people saw is not there any more and the target itself cannot be told to look."""
    if isinstance(answer, Refused) or not LOOKED_AT & answer.permit.conditions.keys() or relay is None or shown_as is None:
        return answer
    tryable = relay.tryable(again=True)
    if tryable is None:
        raise AssertionError("held to what was seen, and nothing to look at")
    try:
        async with Patience().lasts():
            found = await _asked(gateway, session, shown_as, tryable)
    except TimeoutError:
        found = Shown(why=LATE)
    except (GatebookError, OSError) as error:
        found = Shown(why=str(error))
    if not found.why and found.held_to == answer.permit.conditions:
        return answer
    why = found.why or "it is not what people saw any more"
    return Failed(HTTPStatus.CONFLICT, f"what was approved is not what would happen: {why}", answer.permit)


async def _asked(gateway: Gateway, session: HttpSession, shown_as: ShownAs, tryable: Tryable) -> Shown:
    """All that there is to see. Raises GatebookError and OSError."""
    await shown_as.ready()
    while (question := tryable.question()) is not None:
        tryable.answered(*await ask(gateway.http.pool, session.target, session.role, *question))
    return await asyncio.to_thread(tryable.shown)


async def inquired(
    gateway: Gateway, session: HttpSession, shown_as: ShownAs | None, inquirable: Inquirable
) -> Inquired | Failed:
    """What a request does, once its target was asked what has to be known for that."""
    if shown_as is None:
        raise AssertionError("a request without a session")
    try:
        async with asyncio.timeout(INQUIRY_SECONDS):
            await shown_as.ready()
            while (question := await asyncio.to_thread(inquirable.question)) is not None:
                answer = await ask(gateway.http.pool, session.target, session.role, *question, most=INQUIRY_BYTES)
                await asyncio.to_thread(inquirable.answered, *answer)
        return Inquired(*await asyncio.to_thread(inquirable.asked))
    except TimeoutError:
        why = f"the target took more than {INQUIRY_SECONDS} s to say what has to be known of it before"
    except (GatebookError, OSError) as error:
        why = str(error)
    return Failed(HTTPStatus.BAD_GATEWAY, why)
