"""Who may say yes to what. Pure: the voter's identity is what their token proves now, never what was remembered of them.

Nobody votes on their own: neither the requester, nor whom they act for, nor their owner, nor anybody known by one of these
names, whatever groups they are in. Names are compared without case and across issuers, since two accounts of one person at two
providers are one person; that this also keeps out somebody's namesake is the cheaper mistake.
"""

from __future__ import annotations

from collections.abc import Collection
from unicodedata import normalize

from gatebook.errors import AccessError
from gatebook.model import Identity, Kind

LINKS = ("owner", "email", "preferred_username")  # attributes that name the people behind an identity
FLOW, DEVICE_CODE = "flow", "device_code"  # the attribute that says how a token came about, and the way that never approves


def chain(identity: Identity) -> frozenset[str]:
    """Every name that this identity, and those behind it, go by."""
    linked = (identity.attributes[name].value for name in LINKS if name in identity.attributes)
    return frozenset(_folded(name) for name in (identity.subject, identity.on_behalf_of, *linked) if name)


def own(requester: frozenset[str], voter: Identity) -> bool:
    """Whether the voter stands in the requester's chain."""
    return not requester.isdisjoint(chain(voter))


def check_votes(voter: Identity, now: int) -> None:
    """Only a person who acts for themselves, and whose proof still holds, votes; raises AccessError."""
    if voter.expires_at <= now:
        raise AccessError("your token has expired: sign in again", "forbidden")
    if voter.kind is not Kind.PERSON or voter.on_behalf_of:
        raise AccessError("only a person, acting for themselves, may approve or deny", "forbidden")
    flow = voter.attributes.get(FLOW)
    if flow is not None and flow.value == DEVICE_CODE:
        raise AccessError("a token got by device code approves nothing: sign in with a browser", "forbidden")


def seats(approvers: Collection[str], issuer: str, voter: Identity, groups: Collection[str]) -> frozenset[str]:
    """By which of ``approvers`` this voter may vote, being in these groups; ``issuer`` is the requester's."""
    held = {f"group:{name}" for name in groups}
    if voter.issuer == issuer:
        held.add(f"subject:{voter.subject}")
    return frozenset(approvers) & held


def _folded(name: str) -> str:
    return normalize("NFKC", name).casefold().strip()
