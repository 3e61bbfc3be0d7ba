"""What covers an answer of Kubernetes: Secrets by rule, whatever else by the target's mask sets and by detectors.

What a Secret's data is depends on the resource that a path names, so each resource has a plan of its own. The rules hold at any
depth: in a list's items, a watch's events, a table's rows, and in the copy of a manifest that kubectl keeps in an annotation.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from gatebook.masking.rules import FieldPattern, Level, MaskSet, ObjectRule, Style
from gatebook.protocols.http.covering.plan import Plan, plan_of
from gatebook.protocols.kubernetes.helm import Releases
from gatebook.protocols.kubernetes.known import KNOWN, WORKLOADS
from gatebook.protocols.kubernetes.paths import Place
from gatebook.protocols.relay import Covering

SECRETS = "kubernetes-secrets"  # the mask set that every cluster has
_DATA = (FieldPattern(("data", Level.ONE), base64=True), FieldPattern(("stringData", Level.ONE)))
_PATCHED = (FieldPattern(("value",), top=True),)  # what an operation of a JSON Patch would write
_RELEASES = Releases()
_TOKEN = (FieldPattern(("status", "token")),)
_STREAMS = frozenset({"log", "exec", "attach", "portforward"})  # whose answers are no objects
_TEMPLATED = WORKLOADS | {"controllerrevisions"}  # what one of these holds shows in others
_UNTOLD = frozenset({"data", "binarydata", "stringdata", "env"})  # no table of Kubernetes' own has a column of what these hold


def secrets_set(style: Style) -> MaskSet:
    """The mask set of a cluster's Secrets; which fields it means depends on the resource."""
    return MaskSet(SECRETS, (), style, fields=(*_DATA, *_TOKEN))


def plan_for(
    place: Place, covering: Covering, masks: Collection[str], needles: Collection[bytes], *, patch: bool = False
) -> Plan:
    """What covers the answer to a request to this place. Logs and other text have no fields. ``patch`` says JSON Patch."""
    sets: dict[str, MaskSet] = dict(covering.sets)
    for name in masks:
        if name in sets and sets[name].objects:
            sets[name] = replace(sets[name], fields=(*sets[name].fields, *_of_objects(sets[name], place, patch=patch)))
    own = sets.get(SECRETS)
    if own is not None:
        sets[SECRETS], masks = replace(own, fields=_fields(place)), {*masks, SECRETS}
    plan = plan_of(replace(covering, sets=sets), masks, needles)
    packed = place.resource == "secrets" and not _rules(plan, place)
    return replace(plan, packed=_RELEASES) if packed else plan


def shows_cells(place: Place, plan: Plan) -> bool:
    """Whether a table of what is there may show in its cells what a rule covers: they say not which fields they are of."""
    if not place.resource:
        return False
    if (place.group, place.resource) not in KNOWN:
        return any(one.fields for one in plan.sets if one.name != SECRETS)
    return any(
        not pattern.words & _UNTOLD
        for one in plan.sets
        for rule in one.objects
        if _means(rule, place)
        for pattern in rule.fields
    )


def covers_objects(plan: Plan) -> bool:
    """Whether any of its sets says something about objects."""
    return any(one.objects for one in plan.sets)


def _rules(plan: Plan, place: Place) -> bool:
    """Whether anything in this namespace is under a rule on objects: what a release holds would be, too."""
    return any(_is_there(rule, place) for one in plan.sets for rule in one.objects)


def _of_objects(one: MaskSet, place: Place, *, patch: bool) -> tuple[FieldPattern, ...]:
    """The fields that a set's rules on objects mean in this place."""
    meant = [pattern for rule in one.objects if _means(rule, place) for pattern in rule.fields]
    found = [_coded(pattern, place) for pattern in meant]
    return (*found, *_PATCHED) if found and patch else (*found,)


def _coded(pattern: FieldPattern, place: Place) -> FieldPattern:
    """What Secrets have under ``data`` is in base64."""
    held = pattern.parts[-2] if len(pattern.parts) > 1 else ""
    return replace(pattern, base64=True) if place.resource == "secrets" and str(held).lower() == "data" else pattern


def _means(rule: ObjectRule, place: Place) -> bool:
    """Whether the rule may mean what is there. Whatever a proxy leads to is any object, and so is what is in all namespaces."""
    if not place.resource or place.subresource in _STREAMS or not _is_there(rule, place):
        return False
    if not rule.resources or "proxy" in (place.verb, place.subresource):
        return True
    names = {one.partition(".")[0] for one in rule.resources}
    return bool(rule.resources & {place.resource, place.full}) or (place.resource in _TEMPLATED and bool(names & _TEMPLATED))


def _is_there(rule: ObjectRule, place: Place) -> bool:
    namespace = "" if place.resource == "namespaces" else place.namespace  # one that is made has its name in no path
    return not rule.namespaces or not namespace or any(one.matches(namespace) for one in rule.namespaces)


def _fields(place: Place) -> tuple[FieldPattern, ...]:
    if place.resource == "secrets":
        return (*_DATA, *_PATCHED)
    if place.subresource == "token":
        return _TOKEN
    return ()
