"""``gatebook config``: is the configuration one that ``gatebook serve`` would start with?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatebook.cli.common import complain, find_config, print_json
from gatebook.config import Config, load
from gatebook.errors import ConfigError

app = typer.Typer(help="Check gatebook.yaml.", no_args_is_help=True)

File = Annotated[Path | None, typer.Argument(metavar="FILE", help="gatebook.yaml; found as by --config otherwise.")]
Option = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The same, as an option.")]


@app.callback()
def _group() -> None:
    """Check gatebook.yaml."""


@app.command()
def check(
    file: File = None,
    config: Option = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the faults as JSON.")] = False,
    files: Annotated[bool, typer.Option(help="Also check that the files it names are here.")] = True,
) -> None:
    """Say each fault with file, key, value and what was expected; policies are checked along with it.

    Secrets are references and are not read. Exit status: 0 fine, 2 faults.
    """
    path = find_config(file or config)
    try:
        loaded = load(path, files=files)
        policies = _check_policies(loaded) if files else 0
    except ConfigError as error:
        if as_json:
            print_json({"file": str(path), "ok": False, "faults": error.faults})
        else:
            complain(error)
        raise typer.Exit(2) from None
    if as_json:
        print_json({"file": str(path), "ok": True, "faults": [], "digest": loaded.digest})
    else:
        print(f"{path}: good: {_summary(loaded, policies)}\n{loaded.digest}")


def _check_policies(config: Config) -> int:
    """Raises PolicyError; says how many rules there are."""
    from gatebook.policy.rules import load as load_policies

    policy = load_policies(config.policy_files())
    unknown = [
        f"{config.file.name}: masking.sets: no {name!r} in it: a rule names it"
        for name in _unknown_sets(config, policy.mask_sets)
    ]
    if unknown:
        raise ConfigError(unknown)
    return len(policy.rules)


def _unknown_sets(config: Config, named: frozenset[str]) -> list[str]:
    return sorted(named - set(config.masking.sets))


def _summary(config: Config, policies: int) -> str:
    counts = {
        "target": len(config.targets),
        "identity provider": len(config.identity.providers),
        "mask set": len(config.masking.sets),
        "rule": policies,
    }
    return ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)
