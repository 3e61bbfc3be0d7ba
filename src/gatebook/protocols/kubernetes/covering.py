"""What covers an answer of Kubernetes: Secrets by rule, whatever else by the target's mask sets and by detectors.

What a Secret's data is depends on the resource that a path names, so each resource has a plan of its own. The rules hold at any
depth: in a list's items, a watch's events, a table's rows, and in the copy of a manifest that kubectl keeps in an annotation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from gatebook.masking.rules import FieldPattern, Level, MaskSet, Style
from gatebook.protocols.http.covering.plan import Plan, plan_of
from gatebook.protocols.kubernetes.helm import Releases
from gatebook.protocols.kubernetes.paths import Place
from gatebook.protocols.relay import Covering

SECRETS = "kubernetes-secrets"  # the mask set that every cluster has
_DATA = (FieldPattern(("data", Level.ONE), base64=True), FieldPattern(("stringData", Level.ONE)))
_PATCHED = (FieldPattern(("value",)),)  # what an operation of a JSON Patch would write
_RELEASES = Releases()
_TOKEN = (FieldPattern(("status", "token")),)


def secrets_set(style: Style) -> MaskSet:
    """The mask set of a cluster's Secrets; which fields it means depends on the resource."""
    return MaskSet(SECRETS, (), style, fields=(*_DATA, *_TOKEN))


def plan_for(place: Place, covering: Covering, masks: Collection[str], needles: Collection[bytes]) -> Plan:
    """What covers the answer to a request to this place. Logs and other text have no fields."""
    own = covering.sets.get(SECRETS)
    fields = _fields(place)
    if own is not None:
        sets: Mapping[str, MaskSet] = {**covering.sets, SECRETS: replace(own, fields=fields)}
        covering, masks = replace(covering, sets=sets), {*masks, SECRETS}
    plan = plan_of(covering, masks, needles)
    return replace(plan, packed=_RELEASES) if place.resource == "secrets" else plan


def _fields(place: Place) -> tuple[FieldPattern, ...]:
    if place.resource == "secrets":
        return (*_DATA, *_PATCHED)
    if place.subresource == "token":
        return _TOKEN
    return ()
