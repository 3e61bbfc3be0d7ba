"""A configuration with the demo's rules, as the policy commands read it."""

from __future__ import annotations

import shutil
from pathlib import Path

from click.testing import Result
from tests.config.written import written
from typer.testing import CliRunner

import gatebook.cli
from gatebook.cli.policy import app

DEMO = Path(gatebook.cli.__file__).parent / "demo" / "policies"


def placed(folder: Path, **rules: str) -> Path:
    """``gatebook.yaml`` in ``folder`` with the demo's rules, or with these: name of the file, its text."""
    config = written(folder)
    policies = folder / "policies"
    shutil.rmtree(policies)
    if not rules:
        shutil.copytree(DEMO, policies)
    for name, text in rules.items():
        policies.mkdir(exist_ok=True)
        (policies / f"{name}.cedar").write_text(text)
    return config


def run(config: Path, command: str, *args: str) -> Result:
    """``gatebook policy COMMAND`` with this configuration."""
    return CliRunner().invoke(app, [command, "--config", str(config), *args], catch_exceptions=False)
