from __future__ import annotations

import pytest
from tests.evidence.packages import build, make_ledger, written


@pytest.fixture(scope="session")
def ledger(tmp_path_factory):
    return make_ledger(tmp_path_factory.mktemp("evidence") / "ledger")


@pytest.fixture(scope="session")
def files(ledger):
    return build(ledger)


@pytest.fixture(scope="session")
def sealed(files, tmp_path_factory):
    return written(tmp_path_factory.mktemp("package") / "evidence.zip", files)
