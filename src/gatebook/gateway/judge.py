"""The policy in force together with the mask sets of the configuration: one place for the gateway, the API and ``explain``.

Rules know which mask sets cover an answer, not which columns it has. Here both meet: an action that is allowed and whose answer
may hold a covered column is ruled mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gatebook.config import Config
from gatebook.errors import PolicyError
from gatebook.masking.rules import MaskSet, may_cover, means_fields
from gatebook.model import Action, Ceiling, Identity, Ruling, Target, Verdict
from gatebook.policy.decide import Circumstances, Decision, decide
from gatebook.policy.rules import Policy, load
from gatebook.protocols.relay import ANY_FIELD


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides with one policy and one configuration; a change of either makes a new one.

    ``sets`` are all mask sets by name, ``always`` the names of those that each target has whatever the rules say. Raises
    PolicyError when a rule names a mask set that is not there.
    """

    policy: Policy
    sets: Mapping[str, MaskSet]
    always: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        known = ", ".join(sorted(self.sets)) or "none, since there are none"
        faults = [
            f"{rule.source}:{rule.line}: rule {rule.id}: mask set {name!r}: expected one of {known}"
            for rule in self.policy.rules.values()
            for name in sorted((rule.masks | rule.unmasks) - self.sets.keys())
        ]
        if faults:
            raise PolicyError(faults)

    @property
    def added(self) -> frozenset[str]:
        """The mask sets that some rule adds for somebody."""
        return frozenset().union(*(rule.masks for rule in self.policy.rules.values()))

    def decide(
        self,
        identity: Identity,
        target: Target,
        action: Action,
        circumstances: Circumstances,
        columns: frozenset[str],
        uncounted: str = "",
    ) -> Decision:
        """What the policy says; ``columns`` are the names of what may stand in the answer, "*" for anything.

        ``uncounted`` says why nobody could tell how many rows the action changes: under a ceiling it is blocked then.
        """
        masks = self.always.get(target.name, frozenset())
        decision = decide(
            self.policy, identity=identity, target=target, action=action, circumstances=circumstances, masks=masks
        )
        ceiling = decision.verdict.ceiling
        if uncounted and ceiling is not None and decision.verdict.ruling is not Ruling.BLOCK:
            return replace(decision, verdict=_uncounted(decision.verdict, ceiling, uncounted))
        if not columns or decision.verdict.ruling.rank > Ruling.MASK.rank:
            return decision
        by_deed = tuple(self._covered(verdict, columns) for verdict in decision.by_deed)
        return replace(decision, verdict=self._covered(decision.verdict, columns), by_deed=by_deed)

    def _covered(self, verdict: Verdict, columns: frozenset[str]) -> Verdict:
        sets = [self.sets[name] for name in verdict.masks]
        covers = means_fields(sets) if ANY_FIELD in columns else may_cover(sets, columns)
        return replace(verdict, ruling=Ruling.MASK) if covers and verdict.ruling is Ruling.ALLOW else verdict


def _uncounted(verdict: Verdict, ceiling: Ceiling, why: str) -> Verdict:
    return replace(
        verdict,
        ruling=Ruling.BLOCK,
        rule=ceiling.rule,
        reason=f"it may change {ceiling.rows} rows at most, and {why}",
        instead="Send one INSERT, UPDATE, DELETE, MERGE or COPY FROM STDIN by itself, with nothing in it that writes further.",
        approvers=frozenset(),
        hold=None,
    )


def at_fault(decision: Decision, fault: str, *, strict: bool = False) -> Decision:
    """The decision about a text that is wrong in itself: nobody is asked to approve it, and ``strict`` targets never get it."""
    if not fault or not (strict or decision.verdict.ruling is Ruling.APPROVE) or decision.verdict.ruling is Ruling.BLOCK:
        return decision
    why = f"the text is at fault, so nobody is asked to approve it: {fault}"
    spoilt = replace(decision.verdict, ruling=Ruling.BLOCK, reason=why, instead="Correct the text and send it again.")
    return replace(decision, verdict=spoilt)


def make_judge(config: Config) -> Judge:
    """The policies and mask sets of this configuration, joined. Raises ConfigError, PolicyError among them."""
    always = {target.name: frozenset(target.masks) for target in config.targets}
    return Judge(load(config.policy_files()), config.masking.sets, always)
