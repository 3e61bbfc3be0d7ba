"""The pages say what the code does: every key, command, verb and kind is there, and every sample is read by what it is for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.config.written import WHOLE

from gatebook.cli.main import COMMANDS, make_app
from gatebook.config import Config, load
from gatebook.config.shape import keys
from gatebook.ledger.entries import KINDS
from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import Style
from gatebook.policy.acts import ACTS
from gatebook.protocols.git import meaning as git
from gatebook.protocols.http import reading as http
from gatebook.protocols.kubernetes import reading as kubernetes
from gatebook.protocols.postgres.reading import FACTS, VERBS
from gatebook.protocols.postgres.statement import read
from gatebook.protocols.ssh import verbs as ssh

ROOT = Path(__file__).parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))}
SOURCE = {path.relative_to(ROOT / "src/gatebook").as_posix() for path in (ROOT / "src/gatebook").rglob("*") if path.is_file()}
TEST_NAMES = {
    name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", path.read_text())
}


def fenced(language: str) -> list[Any]:
    found = []
    for page, text in PAGES.items():
        blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        found += [pytest.param(block, id=f"{page}-{number}") for number, block in enumerate(blocks)]
    return found


def command_lines() -> list[Any]:
    found = {
        (page, line.strip().removeprefix("$ "))
        for page, text in PAGES.items()
        for line in re.findall(r"^(?:    |\$ ?)\$? ?(gatebook [a-z].*)$", text, re.MULTILINE)
    }
    return [pytest.param(line, id=f"{page}-{line}") for page, line in sorted(found)]


def commands() -> Iterator[tuple[str, Any]]:
    group = typer.main.get_command(make_app(*COMMANDS))
    todo: list[tuple[str, Any]] = [("gatebook", group)]
    while todo:
        path, command = todo.pop()
        inner = getattr(command, "commands", {})
        todo += [(f"{path} {name}", one) for name, one in inner.items()]
        if not inner:
            yield path, command


EVERY_COMMAND = dict(commands())
OPTIONS = sorted(
    {(path, option) for path, one in EVERY_COMMAND.items() for param in one.params for option in param.opts if option[0] == "-"}
    | {(path, option) for path, one in EVERY_COMMAND.items() for param in one.params for option in param.secondary_opts}
)


def row_of(command: str) -> str:
    return "\n".join(line for line in PAGES["docs/commands.md"].splitlines() if line.startswith(f"| `{command}` |"))


@pytest.mark.parametrize("key", sorted(name for name, _ in keys()))
def test_every_key_of_the_configuration_is_explained(key: str) -> None:
    spelled = key.replace("providers.", "providers[].").replace("roles.", "roles.*.").replace("sets.", "sets.*.")
    top, _, rest = spelled.partition(".")
    page = PAGES["docs/configuration.md"]
    if not rest:
        assert f"\n| `{top}` |" in page or f"\n### `{top}`\n" in page
    else:
        section = page.partition(f"\n### `{top}`\n")[2].partition("\n### ")[0]
        assert re.search(rf"`{re.escape(rest)}[`.\[]", section)


@pytest.mark.parametrize("command", sorted(EVERY_COMMAND))
def test_every_command_is_explained(command: str) -> None:
    assert row_of(command)


@pytest.mark.parametrize(("command", "option"), [one for one in OPTIONS if one[1] not in ("--help", "-c")])
def test_every_option_is_explained_beside_its_command(command: str, option: str) -> None:
    assert re.search(rf"`{option}[` ]", row_of(command))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_entry_is_explained(kind: str) -> None:
    assert f"| `{kind}` |" in PAGES["docs/ledger.md"]


@pytest.mark.parametrize(
    "name",
    sorted(
        {
            *VERBS,
            *FACTS,
            *http.VERBS,
            *http.FACTS,
            *kubernetes.VERBS,
            *kubernetes.FACTS,
            *ssh.VERBS,
            *ssh.FACTS,
            *git.VERBS,
            *git.FACTS,
            *ACTS,
        }
    ),
)
def test_every_verb_and_fact_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGES["docs/policy.md"]


@pytest.mark.parametrize("name", sorted({*NAMES, *Style}))
def test_every_detector_and_style_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGES["docs/masking.md"]


@pytest.mark.parametrize("sample", [one for one in fenced("yaml") if isinstance(yaml.safe_load(one.values[0]), dict)])
def test_every_sample_of_configuration_is_valid(sample: str, tmp_path: Path) -> None:
    written = yaml.safe_load(sample)
    whole = yaml.safe_load(WHOLE)
    usual = whole["targets"][0]
    named = [
        one if one.get("protocol") in ("http", "kubernetes", "ssh", "git") else usual | one
        for one in written.get("targets", [])
    ]
    whole |= written | {"targets": named or [usual]}
    if any(one["protocol"] != "postgres" for one in whole["targets"]):
        whole["listeners"]["http"] = {**whole["listeners"]["api"], "bind": "127.0.0.1:16443"}
        whole["listeners"]["ssh"] = {"bind": "127.0.0.1:12222"}
    path = tmp_path / "gatebook.yaml"
    path.write_text(yaml.safe_dump(whole))
    assert isinstance(load(path, files=False), Config)


def test_the_whole_sample_is_the_one_that_tests_load() -> None:
    (sample,) = (one.values[0] for one in fenced("yaml") if one.id == "docs/configuration.md-0")
    assert yaml.safe_load(sample) == yaml.safe_load(WHOLE)


@pytest.mark.parametrize("sample", fenced("sql"))
def test_every_sample_of_sql_is_read(sample: str) -> None:
    assert read(sample).error == ""


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_is_one_that_there_is(line: str) -> None:
    words = shlex.split(line.partition("  #")[0].replace("…", ""), comments=True)
    words = words[: words.index("--")] if "--" in words else words
    known = next((EVERY_COMMAND[path] for path in (" ".join(words[:3]), " ".join(words[:2])) if path in EVERY_COMMAND), None)
    assert known is not None, line
    options = {option for param in known.params for option in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if word.startswith("-") and len(word) > 1} <= options


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", PAGES[page])
    lost = [link for link in links if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()]
    assert lost == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_test_and_file_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"`([\w./-]+\.(?:py|cedar|cedarschema|sql))`", PAGES[page]))
    lost = {name for name in named if not any(one.endswith(name) for one in SOURCE) and not (ROOT / name).exists()}
    tests = set(re.findall(r"`(test_[a-z0-9_]+)`", PAGES[page])) - TEST_NAMES
    assert lost | tests == set()


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_make_target_that_a_page_names_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^|\s{4})make ([a-z-]+)", PAGES[page])) <= targets


def test_decisions_are_numbered_without_gap_and_have_all_parts() -> None:
    found = sorted(path for path in PAGES if path.startswith("docs/decisions/"))
    assert [int(path.split("/")[-1][:4]) for path in found] == list(range(1, len(found) + 1))
    for part in ("Context", "Options", "Outcome", "Cost"):
        assert [path for path in found if f"**{part}.**" not in PAGES[path]] == []


def test_every_page_is_found_from_the_first_one() -> None:
    pages = {path.removeprefix("docs/") for path in PAGES if re.fullmatch(r"docs/[\w-]+\.md", path)} - {"README.md"}
    assert {page for page in pages if f"({page})" not in PAGES["docs/README.md"]} == set()
