"""The house keeps its own rules: what may call what, how large a file is, what is named how."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/gatebook"
TESTS = ROOT / "tests"
LINES = 500
LONGER = {
    "src/gatebook/ledger/verifier.py": "auditors take it as one file",
    "tests/protocols/postgres/test_relay.py": "playbooks of one relay",
    "tests/protocols/postgres/test_rows.py": "one table of values and formats",
}
WITHOUT_TWIN = {"house", "fuzz", "suites", "docs", "vectors", "clients", "testbed", "browser"}
TASK_MAKERS = {"asyncio", "loop"}
NAMES = re.compile(r"manager|helper|utils?(?![a-z])|handle_data", re.IGNORECASE)
SQL = re.compile(r"execute\(\s*(?:text\()?\s*f?\"")
SQL_ELSEWHERE = {
    "src/gatebook/db/__init__.py": "PRAGMAs of the connection itself",
    "src/gatebook/web/app.py": "asks whether the database answers at all",
}


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """No test elsewhere has to live with all these trees."""
    yield
    tree.cache_clear()


def sources(under: Path = SOURCE) -> list[Path]:
    return sorted(path for path in under.rglob("*.py") if "__pycache__" not in path.parts)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def calls(path: Path, name: str) -> bool:
    found = (node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
    return any(name in (getattr(func, "id", None), getattr(func, "attr", None)) for func in found)


def callers(name: str) -> list[str]:
    return [named(path) for path in sources() if calls(path, name)]


def defined(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or ".")
    return {name.partition(".")[0] for name in found}


def test_a_permit_is_made_in_one_place_only() -> None:
    assert callers("Permit") == ["src/gatebook/policy/permit.py"]


def test_only_relays_send_something_to_a_server() -> None:
    places = callers("ToServer")
    assert places
    assert [place for place in places if not re.fullmatch(r"src/gatebook/protocols/\w+/relay\w*\.py", place)] == []


def test_a_permit_is_not_changed_after_it_was_made() -> None:
    changes = [
        named(path)
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "replace"
        if node.args and "permit" in ast.unparse(node.args[0]).lower()
    ]
    assert changes == []


def test_tasks_live_in_a_group() -> None:
    strays = [
        f"{named(path)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ("create_task", "ensure_future")
        if any(maker in ast.unparse(node.value).lower() for maker in TASK_MAKERS)
    ]
    assert strays == []


def test_sql_is_run_in_stores_only() -> None:
    elsewhere = [named(path) for path in sources() if path.name != "store.py" and SQL.search(path.read_text())]
    assert set(elsewhere) - set(SQL_ELSEWHERE) == set()


def test_no_query_asks_for_whatever_columns_there_are() -> None:
    starred = [named(path) for path in sources() if path.name == "store.py" and re.search(r"SELECT\s+\*", path.read_text())]
    assert starred == []


@pytest.mark.parametrize("under", [SOURCE, TESTS], ids=["source", "tests"])
def test_every_file_can_be_read_in_one_sitting(under: Path) -> None:
    long = {named(path) for path in sources(under) if len(path.read_text().splitlines()) > LINES}
    assert long - set(LONGER) == set()


def test_every_exception_to_a_files_length_is_still_needed() -> None:
    assert {place for place in LONGER if len((ROOT / place).read_text().splitlines()) <= LINES} == set()


def test_names_say_what_a_thing_is() -> None:
    found = {f"{named(path)}: {name}" for path in sources() for name in (path.stem, *defined(path)) if NAMES.search(name)}
    assert found == set()


def test_the_tests_lie_as_the_source_does() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    strangers = {str(one) for one in folders if one.parts[0] not in WITHOUT_TWIN and not (SOURCE / one).is_dir()}
    assert strangers == set()


def test_every_package_with_code_has_tests() -> None:
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert {name for name in packages if not list((TESTS / name).rglob("test_*.py"))} == set()


def test_test_files_have_names_of_their_own() -> None:
    counts = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, count in counts.items() if count > 1] == []


def test_test_names_are_sentences() -> None:
    short = {
        f"{named(path)}: {name}"
        for path in TESTS.rglob("test_*.py")
        for name in defined(path)
        if name.startswith("test_") and name.count("_") < 3
    }
    assert short == set()


def test_the_verifier_needs_nothing_but_python() -> None:
    foreign = imported(SOURCE / "ledger/verifier.py") - set(sys.stdlib_module_names) - {"__future__"}
    assert foreign <= {"cryptography", "orjson"}


def test_arrows_point_down() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", ".importlinter"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_locked_is_locked_by_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if re.match(r"[a-z0-9]", line, re.IGNORECASE)]
    assert pinned
    assert [line for line in pinned if "==" not in line or "--hash=sha256:" not in line] == []
    assert not any("://" in line for line in lines if not line.lstrip().startswith("#"))
