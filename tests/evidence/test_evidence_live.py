"""Evidence of a real gateway that goes on running: real psql, real refusals, and the package checked without Gatebook."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile

import pytest
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real


def test_what_psql_just_did_is_in_the_package_of_a_running_gateway(gateway: LiveGateway, tmp_path) -> None:
    mark = "evidence of a live gateway"
    allowed = gateway.psql("-At", "-c", f'SELECT count(*) AS "{mark}" FROM orders')
    refused = gateway.psql("-c", f'DELETE FROM "{mark}"')
    assert (allowed.status, refused.status) == (0, 1), allowed.output + refused.output
    package = tmp_path / "evidence.zip"

    def rows() -> list[dict[str, str]]:
        made = gateway.gatebook("evidence", "export", "--config", str(gateway.config), "-o", str(package))
        assert made.status == 0, made.output
        with zipfile.ZipFile(package) as found:
            text = found.read("populations/actions.csv").decode()
        return [row for row in csv.DictReader(io.StringIO(text)) if mark in row["text"] + row["objects"]]

    assert wait_until(lambda: len(rows()) == 2, 10.0)  # a checkpoint comes every second
    first, second = rows()
    assert (first["status"], first["rows"]) == ("SELECT 1", "1")
    assert (second["ruling"], second["status"]) == ("block", "")

    with zipfile.ZipFile(package) as found:
        (tmp_path / "verify.pyz").write_bytes(found.read("verify.pyz"))
        for name in found.namelist():
            assert b"4242424242424242" not in found.read(name)
    argv = [sys.executable, "-I", "-S", "verify.pyz", "evidence.zip", "--json"]
    checked = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["not_proved"]
