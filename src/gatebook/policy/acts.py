"""What people, agents and jobs do with Gatebook itself is decided by the same rules as what they do with targets.

An act is looking at sessions, requests, grants and tokens, replaying a recording, ending one of these, deciding a request.
Nothing holds an act for approval: a ruling of approve is no, as block is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gatebook.model import Deed, Identity, Reach, Resource, Ruling, Target, Verdict
from gatebook.policy.decide import Circumstances, judge
from gatebook.policy.request import GATEBOOK
from gatebook.policy.rules import Policy

VIEW_SESSIONS, REPLAY, KILL = "gatebook.sessions.view", "gatebook.sessions.replay", "gatebook.sessions.kill"
VIEW_APPROVALS, DECIDE = "gatebook.approvals.view", "gatebook.approvals.decide"
VIEW_GRANTS, REVOKE = "gatebook.grants.view", "gatebook.grants.revoke"
VIEW_TOKENS, REVOKE_TOKENS = "gatebook.tokens.view", "gatebook.tokens.revoke"

ACTS: Mapping[str, Reach] = MappingProxyType(
    {
        VIEW_SESSIONS: Reach.READ,
        REPLAY: Reach.READ,
        KILL: Reach.WRITE,
        VIEW_APPROVALS: Reach.READ,
        DECIDE: Reach.WRITE,
        VIEW_GRANTS: Reach.READ,
        REVOKE: Reach.WRITE,
        VIEW_TOKENS: Reach.READ,
        REVOKE_TOKENS: Reach.WRITE,
    }
)
_NOWHERE = Target(name="", protocol="", address="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """What an act is about, as rules may ask: whose it is, whether it is theirs to decide, on which target."""

    own: bool
    approver: bool = False
    target: str


def decide_act(
    policy: Policy, deployment: str, *, identity: Identity, verb: str, concern: Concern, address: str, now: int
) -> Verdict:
    """The verdict on one act; ``address`` is where its request comes from."""
    facts: dict[str, bool | int | str | frozenset[str]] = {
        "own": concern.own,
        "approver": concern.approver,
        "target": concern.target,
    }
    deed = Deed(verb=verb, reach=ACTS[verb], resource=Resource(kind=GATEBOOK, name=deployment), facts=facts)
    around = Circumstances(now=now, client_address=address, purpose=identity.purpose, purpose_attested=bool(identity.purpose))
    (verdict,) = judge(policy, identity=identity, target=_NOWHERE, deeds=(deed,), circumstances=around)
    return verdict


def permits(verdict: Verdict) -> bool:
    """Whether an act may be done."""
    return verdict.ruling in (Ruling.ALLOW, Ruling.MASK)
