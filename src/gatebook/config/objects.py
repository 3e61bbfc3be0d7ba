"""Rules on the objects of a cluster, as a mask set of the configuration has them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator

from gatebook.config.values import Items, Part, Some, Text, expected
from gatebook.masking.rules import FieldPattern, ObjectRule
from gatebook.masking.wild import Wild
from gatebook.protocols.kubernetes.known import KNOWN

_CUSTOM = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_NAMESPACE = re.compile(r"[a-z0-9*-]{1,63}")
_OWN = frozenset(resource for _, resource in KNOWN)
_GROUPS = frozenset(group for group, _ in KNOWN)


def _path(value: object) -> FieldPattern:
    try:
        return FieldPattern.of_objects(value if isinstance(value, str) else "")
    except ValueError as error:
        raise expected(str(error).rpartition(": expected ")[2]) from None


def _resource(name: str) -> str:
    """One that means nothing would cover nothing, and nobody would know."""
    resource, _, group = name.partition(".")
    custom = group not in _GROUPS and _CUSTOM.fullmatch(name)
    if name not in _OWN and (group, resource) not in KNOWN and not custom:
        raise expected("the plural name of a resource, as configmaps; one that is not of Kubernetes itself with its group")
    return name


def _namespace(value: object) -> Wild:
    try:
        if isinstance(value, str) and _NAMESPACE.fullmatch(value):
            return Wild(value)
    except ValueError:
        pass
    raise expected("a namespace, with stars where anything may stand, as prod or team-*")


class ObjectRuleConfig(Part):
    """Fields of objects, where they are covered."""

    fields: Annotated[Items[Annotated[FieldPattern, PlainValidator(_path)]], Some] = Field(
        description="a list of fields of objects, as data.*password* or env[DB_*]"
    )
    resources: Annotated[Items[Annotated[Text, AfterValidator(_resource)]], Some] | None = Field(
        default=None, description="a list of resources, as configmaps or deployments.apps; all without it"
    )
    namespaces: Annotated[Items[Annotated[Wild, PlainValidator(_namespace)]], Some] | None = Field(
        default=None, description="a list of namespaces, as prod or team-*; all without it"
    )

    @property
    def rule(self) -> ObjectRule:
        """As masking knows it."""
        return ObjectRule(self.fields, frozenset(self.resources or ()), frozenset(self.namespaces or ()))
