"""What the policy would say to a statement, decided without a target: for ``policy explain`` and ``policy test``.

The target's catalog is not asked, so what only it knows is taken by name: a star may hold any column, and a statement moves a
masked column when it moves one of a masked name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from gatebook.config import Config, HttpTarget, KubernetesTarget, SshTarget, TargetConfig
from gatebook.config.shapes import cluster_shape_of, shape_of
from gatebook.errors import ConfigError
from gatebook.gateway.judge import Judge, at_fault
from gatebook.masking.rules import MaskSet, may_cover
from gatebook.model import Action, Attribute, Deed, Identity, Kind, Verdict
from gatebook.policy.decide import Circumstances, Decision
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.reading import read as read_request
from gatebook.protocols.http.written import parse
from gatebook.protocols.kubernetes.reading import read as read_call
from gatebook.protocols.postgres.catalog import Catalog
from gatebook.protocols.postgres.ceilings import uncounted
from gatebook.protocols.postgres.lineage import answer_columns
from gatebook.protocols.postgres.probing import by_names
from gatebook.protocols.postgres.reading import Reading
from gatebook.protocols.postgres.statement import read
from gatebook.protocols.ssh.messages import Start
from gatebook.protocols.ssh.reading import read as read_command

HOUR = 3_600_000_000  # µs


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Who would send what to which target, when and from where."""

    identity: Identity
    target: str
    statement: str
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class Answer:
    """The statement as it was read, and what was decided about it."""

    action: Action
    decision: Decision

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole statement."""
        return self.decision.verdict


def ask(judge: Judge, config: Config, question: Question) -> Answer:
    """Read and decide. Raises ConfigError for a target that is not there and a text without a statement."""
    target = find_target(config, question.target)
    if isinstance(target, HttpTarget | KubernetesTarget):
        return _ask_of_request(judge, target, question)
    if isinstance(target, SshTarget):
        return _ask_of_command(judge, target, question)
    reading = read(question.statement)
    action = Action(session="", seq=1, deeds=_deeds(reading, _sets(config, target)), text=question.statement)
    if not action.deeds:
        raise ConfigError([f"{question.statement!r}: no statement: expected one, as 'SELECT 1'"])
    columns = answer_columns(reading, Catalog())
    return Answer(
        action, judge.decide(question.identity, target.target, action, question.circumstances, columns, uncounted(reading))
    )


def _ask_of_request(judge: Judge, target: HttpTarget | KubernetesTarget, question: Question) -> Answer:
    """The same of a request, ``METHOD /path``, fields, an empty line, content. JSON needs no field that says so here."""
    try:
        request, body = parse(question.statement.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ConfigError([f"{question.statement!r}: {error}"]) from None
    if body and request.get(b"content-type") is None and (kind := _content_type(target, request, body)):
        request = replace(request, fields=(*request.fields, (b"content-type", kind)))
    if isinstance(target, HttpTarget):
        reading = read_request(request, body, shape_of(target))
    else:
        reading = read_call(request, body, cluster_shape_of(target))
    action = Action(session="", seq=1, deeds=reading.deeds, text=question.statement)
    decision = judge.decide(question.identity, target.target, action, question.circumstances, frozenset({"*"}))
    return Answer(action, at_fault(decision, reading.fault, strict=isinstance(target, KubernetesTarget)))


def _ask_of_command(judge: Judge, target: SshTarget, question: Question) -> Answer:
    """The same of a command on a host, without a terminal, as the default role; an empty one is the shell."""
    reading = read_command(Start(question.statement or None), target.user(target.default_role))
    action = Action(session="", seq=1, deeds=reading.deeds, text=question.statement)
    decision = judge.decide(question.identity, target.target, action, question.circumstances, frozenset())
    return Answer(action, at_fault(decision, reading.fault))


def _content_type(target: HttpTarget | KubernetesTarget, request: Request, body: bytes) -> bytes:
    """What a content is that says nothing of it: JSON; a cluster's may be YAML, and a patch is the plainest of its form."""
    json = body[:1] in (b"{", b"[")
    if isinstance(target, HttpTarget):
        return b"application/json" if json else b""
    if request.method == "PATCH":
        kinds = {b"[": b"application/json-patch+json", b"{": b"application/merge-patch+json"}
        return kinds.get(body[:1], b"application/apply-patch+yaml")
    return b"application/json" if json else b"application/yaml"


def find_target(config: Config, name: str) -> TargetConfig:
    """The target of this name. Raises ConfigError, which lists those there are."""
    target = config.target(name)
    if target is None:
        raise ConfigError([f"target {name!r}: expected one of {', '.join(sorted(one.name for one in config.targets))}"])
    return target


def somebody(
    config: Config,
    subject: str,
    kind: Kind,
    groups: Collection[str],
    now: int,
    attributes: Mapping[str, Attribute],
) -> Identity:
    """An identity as the first provider of the configuration would vouch for it, good for an hour."""
    return Identity(
        subject=subject,
        issuer=config.identity.providers[0].issuer,
        kind=kind,
        groups=frozenset(groups),
        attributes=attributes,
        proven_at=now,
        expires_at=now + HOUR,
    )


def _sets(config: Config, target: TargetConfig) -> list[MaskSet]:
    return [config.masking.sets[name] for name in target.masks]


def _deeds(reading: Reading, sets: list[MaskSet]) -> tuple[Deed, ...]:
    """The deeds with what the relay would add, as far as names tell."""
    return tuple(
        replace(deed, facts={**asks.on(deed), "moves_masked": may_cover(sets, statement.moves)})
        for statement in reading.statements
        for asks in (by_names(statement, sets),)
        for deed in statement.deeds
    )
