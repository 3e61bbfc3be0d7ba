from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import zipfile

import pytest
from tests.evidence.packages import signed, written
from tests.ledger.books import VKEY

from gatebook.evidence import package, program


@pytest.fixture
def auditor(files, tmp_path):
    """A folder with the verifier alone, and a way to run it on Python's standard library alone."""
    (tmp_path / "verify.pyz").write_bytes(files[package.PROGRAM])

    def run(*arguments):
        argv = [sys.executable, "-I", "-S", "verify.pyz", *map(str, arguments)]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_the_program_needs_nothing_but_python_and_itself():
    with zipfile.ZipFile(io.BytesIO(program.make())) as made:
        own = {name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in made.namelist()}
        for name in made.namelist():
            for node in ast.walk(ast.parse(made.read(name))):
                imported = []
                if isinstance(node, ast.Import):
                    imported = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    inside = [f"{node.module}.{alias.name}" for alias in node.names]
                    imported = inside if set(inside) <= own else [node.module]
                for module in imported:
                    foreign = module not in own and module.partition(".")[0] not in sys.stdlib_module_names
                    assert not foreign or module.partition(".")[0] in ("cryptography", "orjson"), f"{name}: {module}"


def test_the_program_is_the_same_bytes_each_time():
    assert program.make() == program.make()


def test_the_program_verifies_a_package_on_the_standard_library_alone(auditor, sealed, tmp_path, files):
    head = tmp_path / "head"
    head.write_bytes(files["logs/test/log/0/checkpoint"])
    done = auditor(sealed, "--log-key", VKEY, "--head", head, "--strict", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["rows"]["populations/actions.csv"] == 65


def test_the_program_finds_a_changed_byte_and_a_forged_list(auditor, files, tmp_path):
    name = "populations/actions.csv"
    forged = written(tmp_path / "forged.zip", signed(files | {name: files[name].replace(b"mask", b"mark", 1)}))
    done = auditor(forged)
    assert done.returncode == 1
    assert done.stdout.startswith("NOT ANCHORED")
    assert f"{name}, offset" in done.stdout


def test_called_wrongly_the_program_exits_with_2(auditor):
    assert auditor().returncode == 2
    assert auditor("nowhere.zip").returncode == 2
