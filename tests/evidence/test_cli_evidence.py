from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.config.written import WHOLE
from tests.evidence.packages import RULES, SECOND, START, make_ledger
from tests.ledger.books import KEY
from typer.testing import CliRunner

from gatebook.cli import controls, main
from gatebook.cli.evidence import app
from gatebook.config import load
from gatebook.errors import ConfigError, LedgerError
from gatebook.evidence.criteria import CRITERIA
from gatebook.ledger import folders, keys
from gatebook.ledger.heads import Heads


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose gateway is stopped: configuration, key, rules and ledger."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "gatebook.yaml").write_text(WHOLE)
    config = load(folder / "gatebook.yaml", files=False)
    config.policy.folder.mkdir(parents=True)
    for name, text in RULES.items():
        (config.policy.folder / name).write_text(text)
    config.ledger.folder.mkdir(parents=True, exist_ok=True)
    make_ledger(config.ledger.folder / "1", origin=folders.origin(config.deployment, "1"))
    Heads.open(config.ledger.folder, config.deployment, KEY, lambda: START + SECOND).close()
    key = config.home / "keys/ledger.key"
    key.parent.mkdir(parents=True)
    key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    return folder


VKEY = keys.vkey("demo/log/1/1", KEY)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def export(home, path, *options):
    return run("export", "--config", home / "gatebook.yaml", "-o", path, *options)


def test_export_writes_a_package_that_verify_finds_intact(home, tmp_path):
    made = export(home, tmp_path / "e.zip")
    assert made.exit_code == 0, made.output
    assert f"--log-key {VKEY}" in made.stdout
    with zipfile.ZipFile(tmp_path / "e.zip") as package:
        assert sha256(package.read("verify.pyz")).hexdigest() in made.stdout
        assert [name for name in package.namelist() if name.startswith("policies/")]
    checked = run("verify", tmp_path / "e.zip", "--log-key", VKEY)
    assert checked.exit_code == 0
    assert "INTACT" in checked.stdout


def test_json_says_what_was_written(home, tmp_path):
    said = json.loads(export(home, tmp_path / "a.zip", "--json").stdout)
    assert said["bytes"] == (tmp_path / "a.zip").stat().st_size
    assert said["logs"] >= 2


def test_an_export_stands_in_the_book_and_in_the_next_export(home, tmp_path):
    export(home, tmp_path / "a.zip")
    export(home, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as package:
        rows = list(csv.DictReader(io.StringIO(package.read("populations/exports.csv").decode())))
        assert "/log/1/cli-1," not in package.read("coverage.csv").decode()
    assert f"sha256:{sha256((tmp_path / 'a.zip').read_bytes()).hexdigest()}" == rows[-1]["digest"]
    assert rows[-1]["origin"].endswith("/log/1/cli-1")
    assert rows[-1]["by"].startswith("operator:")


def test_an_export_that_the_book_cannot_keep_leaves_no_package(home, tmp_path):
    place = tmp_path / "home"
    shutil.copytree(home, place)
    for number in range(1, 17):
        folder = load(place / "gatebook.yaml", files=False).ledger.folder / f"cli-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.write_text("in the way")
    made = export(place, tmp_path / "e.zip")
    assert isinstance(made.exception, LedgerError)
    assert not list(tmp_path.glob("*.zip*"))


def test_a_date_that_ends_the_period_is_its_last_day(home, tmp_path):
    made = export(home, tmp_path / "e.zip", "--from", "2023-11-14", "--to", "2023-11-14")
    assert made.exit_code == 0, made.output
    report = json.loads(run("verify", tmp_path / "e.zip", "--json").stdout)
    assert report["period"] == {"from": "2023-11-14T00:00:00.000000Z", "to": "2023-11-15T00:00:00.000000Z"}
    assert report["rows"]["populations/actions.csv"] == 65


@pytest.mark.parametrize("text", ["yesterday", "2023-13-01", "9999-12-31", ""])
def test_a_time_that_is_none_is_said_to_be_so(home, tmp_path, text):
    made = export(home, tmp_path / "e.zip", "--to", text)
    assert isinstance(made.exception, ConfigError)
    assert "expected a date or time" in str(made.exception)


def test_a_period_that_ends_before_it_begins_is_refused(home, tmp_path):
    made = export(home, tmp_path / "e.zip", "--from", "2023-11-15", "--to", "2023-11-14T10:00+02:00")
    assert isinstance(made.exception, LedgerError)
    assert not list(tmp_path.iterdir())


def test_verify_of_a_changed_package_names_file_and_place_and_exits_with_1(home, tmp_path):
    export(home, tmp_path / "e.zip")
    content = (tmp_path / "e.zip").read_bytes()
    at = content.index(b",no-delete,")
    (tmp_path / "e.zip").write_bytes(content[:at] + b",on-delete," + content[at + 11 :])
    checked = run("verify", tmp_path / "e.zip", "--log-key", VKEY)
    assert checked.exit_code == 1
    assert "1. populations/actions.csv, offset" in checked.stdout


def test_strict_without_what_it_demands_exits_with_1(home, tmp_path):
    export(home, tmp_path / "e.zip")
    assert run("verify", tmp_path / "e.zip", "--strict").exit_code == 1


def test_every_criterion_is_listed_with_its_tests():
    listed = CliRunner().invoke(main.make_app("controls"), ["controls", "--json"])
    found = json.loads(listed.stdout)
    assert [one["number"] for one in found] == [one.number for one in CRITERIA]
    assert all(bool(one["tests"]) == (one["strength"] != "none") for one in found)
    table = CliRunner().invoke(main.make_app("controls"), ["controls"])
    assert "CC6.1" in table.stdout
    assert controls.OPINION in table.stdout


def test_there_are_as_many_criteria_as_were_published():
    counts = {"CC": 33, "A": 3, "C": 2, "PI": 5, "P": 18}
    for letters, count in counts.items():
        numbers = [one.number for one in CRITERIA if one.number.rstrip("0123456789.") == letters]
        assert len(set(numbers)) == len(numbers) == count
