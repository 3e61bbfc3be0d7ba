"""The keys of tokens: whose, in which run, where, and of which mask set.

A token is good for one identity on one target and within one run: a session, or all sessions of a stated purpose, or all of the
identity's (``masking.tokens``). Whatever the run, its tokens are resolved to the end of the UTC day after the session began.
"""

from __future__ import annotations

from collections.abc import Mapping

from gatebook.masking.rules import MaskSet, Style
from gatebook.masking.tokens import token_key
from gatebook.model import Session

DAY = 86_400_000_000  # µs


def token_keys(session: Session, shared: str, sets: Mapping[str, MaskSet], master: bytes) -> Mapping[str, tuple[bytes, ...]]:
    """For each mask set of style token the key to make tokens with, and those whose tokens still stand for something.

    ``shared`` is by what they share a run: session, purpose or identity.
    """
    run = {"session": session.id, "purpose": session.purpose, "identity": ""}[shared]
    identity = session.identity
    day = session.opened_at // DAY
    return {
        name: tuple(
            token_key(master, identity.issuer, identity.subject, session.target.name, shared, run, name, str(number))
            for number in (day, day - 1)
        )
        for name, one in sets.items()
        if one.style is Style.TOKEN
    }
