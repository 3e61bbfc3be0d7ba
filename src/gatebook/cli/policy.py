"""``gatebook policy``: are the rules valid, do they say what is expected, what would they say to this statement.

Nothing here reaches a target or the ledger, and no session is needed: a configuration file is enough.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gatebook.cli import cases
from gatebook.cli.common import ConfigOption, JsonOption, complain, count, escaped, load_config, print_json
from gatebook.cli.question import HOUR, Answer, Question, ask, somebody
from gatebook.config import Config
from gatebook.db import engine
from gatebook.errors import ConfigError
from gatebook.gateway.judge import make_judge
from gatebook.identity.store import last_seen
from gatebook.model import Ceiling, Deed, Hold, Identity, Kind, Reach, Resource, Ruling, Verdict
from gatebook.policy.decide import Circumstances
from gatebook.policy.rules import Policy, Rule
from gatebook.protocols.git import meaning as git
from gatebook.protocols.http import reading as http
from gatebook.protocols.kubernetes import reading as kubernetes
from gatebook.protocols.postgres.reading import FACTS
from gatebook.protocols.ssh import verbs as ssh

WIDTH = 80
COLOURS = {Ruling.ALLOW: "green", Ruling.MASK: "cyan", Ruling.APPROVE: "yellow", Ruling.BLOCK: "red"}

app = typer.Typer(
    no_args_is_help=True,
    help="Check the rules, test them on tables of cases, or ask what they say to a statement. Nothing is run.",
)


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say whether every rule is valid, and list what deserves a second look.

    Exit code 1 with one line per fault: file, line, rule, and what was expected.
    """
    loaded = load_config(config, files=False)
    try:
        policy = make_judge(loaded).policy
    except ConfigError as error:
        print_json({"faults": error.faults}) if as_json else complain(error)
        raise typer.Exit(1) from None
    print_json(_checked(policy)) if as_json else _show_policy(policy)


@app.command("test")
def try_cases(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Tables of cases; else every *.yaml in the policy folder.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide every case of the tables and compare. Exit code 1 when one is decided differently.

    A case says as, kind, groups, target, statement, expect and rule; docs/policy.md shows them all.
    """
    loaded = load_config(config, files=False)
    tables = files or sorted(loaded.policy.folder.glob("*.yaml"))
    now = time.time_ns() // 1000
    try:
        judge = make_judge(loaded)
        placed = [case for table in tables for case in cases.read_cases(table)]
        watched = track(placed, "deciding", console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        outcomes = [cases.run(case, judge, loaded, now) for case in watched]
    except ConfigError as error:
        raise _usage(error) from None
    if not outcomes:
        raise _usage(ConfigError([f"{loaded.policy.folder}: no *.yaml with cases: expected a table of cases"]))
    print_json([_outcome(one) for one in outcomes]) if as_json else _show_outcomes(outcomes)
    raise typer.Exit(0 if all(one.passed for one in outcomes) else 1)


@app.command()
def explain(
    statement: Annotated[str, typer.Argument(help="What would be sent, as 'DELETE FROM customers' or 'GET /customers/7'.")],
    target: Annotated[str, typer.Option("--target", "-t", metavar="NAME", help="The target it would be sent to.")],
    subject: Annotated[str, typer.Option("--as", metavar="SUBJECT", help="Who would send it.")],
    groups: Annotated[
        list[str] | None, typer.Option("--group", metavar="GROUP", help="A group of theirs; may be repeated.")
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option("--attr", metavar="NAME=VALUE", help="An attribute attested by the issuer; may be repeated."),
    ] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help="What they are; agent unless they were seen before.")] = None,
    why: Annotated[str, typer.Option("--why", metavar="TICKET", help="The purpose that the session would state.")] = "",
    approved: Annotated[bool, typer.Option("--approved", help="As if somebody had approved exactly this.")] = False,
    granted: Annotated[Reach | None, typer.Option("--granted", help="As if a grant of this reach were live.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide about a statement without running it, and say by which rule.

    For an HTTP API or a cluster it is a request: METHOD /path, header fields one a line, an empty line, the content.

    Without --group and --kind, kind and groups are those with which the gateway last saw the subject. Exit code 0 whatever the
    ruling, 2 when it could not be asked.
    """
    loaded = load_config(config, files=False)
    now = time.time_ns() // 1000
    try:
        attested = cases.attested(dict(_pair(one) for one in attributes or []))
        known = None if groups or kind else _remembered(loaded, subject, now)
        identity = known or somebody(loaded, subject, kind or Kind.AGENT, groups or [], now, {})
        identity = replace(identity, attributes={**identity.attributes, **attested})
        question = Question(
            identity=identity,
            target=target,
            statement=statement,
            circumstances=Circumstances(now=now, client_address="127.0.0.1", purpose=why, approved=approved, granted=granted),
        )
        answer = ask(make_judge(loaded), loaded, question)
    except ConfigError as error:
        raise _usage(error) from None
    print_json(explained(answer)) if as_json else _show_answer(answer, identity)


def explained(answer: Answer) -> dict[str, Any]:
    """A decision as JSON has it. The facts are those of the deed that reaches furthest."""
    action, verdict = answer.action, answer.verdict
    return {
        "verb": action.verb,
        "reach": action.reach.value,
        "resources": [_resource(one) for one in action.resources],
        "facts": _facts(action.strictest),
        **_ruled(verdict),
        "actions": [
            {"verb": deed.verb, "reach": deed.reach.value, "resource": _resource(deed.resource), "facts": _facts(deed)}
            | _ruled(one)
            for deed, one in zip(action.deeds, answer.decision.by_deed, strict=True)
        ],
        "masks": sorted(verdict.masks),
        "approvers": sorted(verdict.approvers),
        "most_rows": _ceiling(verdict.ceiling),
        **({"hold": verdict.hold and verdict.hold.value} if verdict.ruling is Ruling.APPROVE else {}),
    }


def _ruled(verdict: Verdict) -> dict[str, str]:
    return {"ruling": verdict.ruling.value, "rule": verdict.rule, "reason": verdict.reason}


def _ceiling(ceiling: Ceiling | None) -> dict[str, int | str] | None:
    return {"rows": ceiling.rows, "rule": ceiling.rule} if ceiling else None


def _resource(resource: Resource) -> dict[str, str]:
    return {"kind": resource.kind, "name": resource.name}


def _facts(deed: Deed) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in deed.facts.items()}


# Where things come from --------------------------------------------------------------------------------------------------


def _remembered(config: Config, subject: str, now: int) -> Identity | None:
    """Who the gateway last saw under this name; says so when it saw nobody."""
    seen = _seen(config.database_url, subject)
    if seen is None:
        print(f"{escaped(subject)} was not seen here yet: taken as an agent without groups", file=sys.stderr)
        return None
    return replace(seen, proven_at=now, expires_at=now + HOUR)


def _seen(url: str, subject: str) -> Identity | None:
    file = make_url(url).database
    if file and not Path(file).exists():  # looking must not make a database
        return None
    try:
        source = engine(url)
        try:
            return last_seen(source, subject)
        finally:
            source.dispose()
    except (ConfigError, SQLAlchemyError, OSError) as error:
        print(f"the gateway's database cannot be read: {type(error).__name__}", file=sys.stderr)
        return None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ConfigError([f"--attr {text!r}: expected NAME=VALUE"])
    return name, value


# What is printed ---------------------------------------------------------------------------------------------------------


def _usage(error: ConfigError) -> typer.Exit:
    complain(error)
    return typer.Exit(2)


def _wrap(text: str, indent: str = "  ") -> str:
    """Folded to the terminal; a path stays one word, so that it can be opened by a click."""
    shown = escaped(text)
    return textwrap.fill(
        shown, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _coloured(ruling: Ruling) -> str:
    return typer.style(ruling.value, fg=COLOURS[ruling], bold=True)


def _show_answer(answer: Answer, identity: Identity) -> None:
    verdict = answer.verdict
    typer.echo(f"{_coloured(verdict.ruling)} by {verdict.rule}")
    for text in (verdict.reason, verdict.instead):
        if text:
            typer.echo(_wrap(text))
    groups = f" in {', '.join(sorted(identity.groups))}" if identity.groups else " in no group"
    lines = {"as": f"{identity.kind.value} {identity.subject}{groups}", "approvers": ", ".join(sorted(verdict.approvers))}
    lines |= {"hold": verdict.hold.value if verdict.hold else ""}
    if verdict.ruling is not Ruling.BLOCK:
        lines |= {"most rows": f"{verdict.ceiling.rows}, by {verdict.ceiling.rule}" if verdict.ceiling else ""}
        lines |= {"masks": ", ".join(sorted(verdict.masks)), "unmasked": ", ".join(sorted(answer.decision.unmasked))}
    lines |= {f"shadow {rule}": f"would {ruling.value}" for rule, ruling in answer.decision.shadow}
    lines |= {"fault": "; ".join(answer.decision.faults)}
    for name, text in lines.items():
        if text:
            typer.echo(_wrap(f"{name}: {text}"))
    for deed, one in zip(answer.action.deeds, answer.decision.by_deed, strict=True):
        _show_deed(deed, one)


def _show_deed(deed: Deed, verdict: Verdict) -> None:
    where = f"{deed.resource.kind} {deed.resource.name}".strip()
    typer.echo(_wrap(f"{deed.verb} ({deed.reach.value}) on {where}: {verdict.ruling.value} by {verdict.rule}", ""))
    families = {"sql": FACTS, "k8s": kubernetes.FACTS, "ssh": ssh.FACTS, "git": git.FACTS}
    usual = families.get(deed.verb.partition(".")[0], http.FACTS)
    told = (f"{name} {_told(value)}" for name, value in sorted(deed.facts.items()) if value != usual.get(name))
    if text := ", ".join(told):
        typer.echo(_wrap(text))


def _told(value: Any) -> str:
    return " ".join(sorted(value)) if isinstance(value, frozenset) else "yes" if value is True else str(value)


def _checked(policy: Policy) -> dict[str, Any]:
    return {"digest": policy.digest, "rules": [_rule(rule) for rule in policy.rules.values()]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "effect": rule.effect,
        "file": rule.source,
        "line": rule.line,
        "reason": rule.reason,
        "instead": rule.instead,
        "approvers": sorted(rule.approvers),
        "hold": rule.hold.value if rule.hold else None,
        "masks": sorted(rule.masks),
        "unmasks": sorted(rule.unmasks),
        "most_rows": rule.ceiling.rows if rule.ceiling else None,
        "shadow": rule.shadow,
        "standing": rule.standing,
    }


def _show_policy(policy: Policy) -> None:
    rules = policy.rules.values()
    files = {rule.source for rule in rules}
    typer.echo(_wrap(f"{count(len(rules), 'valid rule')} in {count(len(files), 'file')}, {policy.digest}", ""))
    _names("standing access, held without any grant", (rule.id for rule in rules if rule.standing))
    _names("lift a mask", (rule.id for rule in rules if rule.unmasks))
    _names("in shadow, not enforced", (rule.id for rule in rules if rule.shadow))


def _names(what: str, names: Iterable[str]) -> None:
    if found := ", ".join(names):
        typer.echo(_wrap(f"{what}: {found}"))


def _told_hold(hold: Hold | None) -> str:
    return f", hold {hold}" if hold else ""


def _outcome(one: cases.Outcome) -> dict[str, Any]:
    case = one.placed.case
    expected: dict[str, str | None] = {"ruling": case.expect.value, "rule": case.rule}
    place = {"file": one.placed.file, "line": one.placed.line, "passed": one.passed}
    decided = _ruled(one.answer.verdict) | _held(one.answer.verdict.hold)
    return {**place, "expected": expected | _held(case.hold), "decided": decided}


def _held(hold: Hold | None) -> dict[str, str]:
    return {"hold": hold.value} if hold else {}


def _show_outcomes(outcomes: list[cases.Outcome]) -> None:
    failed = [one for one in outcomes if not one.passed]
    for one in failed:
        _show_failed(one)
    result = f"{len(failed)} failed" if failed else "all as expected"
    typer.echo(f"{count(len(outcomes), 'case')}, {typer.style(result, fg='red' if failed else 'green')}")


def _show_failed(one: cases.Outcome) -> None:
    case, verdict = one.placed.case, one.answer.verdict
    typer.echo(_wrap(f"{one.placed.file}:{one.placed.line}: {case.kind.value} {case.subject}: {case.statement}", ""))
    typer.echo(typer.style(f"  - {case.expect.value} by {escaped(case.rule or 'any rule')}{_told_hold(case.hold)}", fg="red"))
    typer.echo(typer.style(f"  + {verdict.ruling.value} by {verdict.rule}{_told_hold(verdict.hold)}", fg="green"))
    if verdict.reason:
        typer.echo(_wrap(verdict.reason, "    "))
