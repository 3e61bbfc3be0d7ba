from __future__ import annotations

import pytest
from tests.ledger.books import fill, open_log

from gatebook.errors import LedgerError
from gatebook.ledger import folders


def test_logs_are_listed_by_process_workers_first_and_by_number(tmp_path):
    for name in ("10", "2", "web", "head", "cli-x"):
        (tmp_path / name / "wal").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "UPPER/wal").mkdir(parents=True)
    assert list(folders.logs(tmp_path)) == ["2", "10", "cli-x", "head", "web"]


def test_a_folder_that_is_not_there_has_no_logs(tmp_path):
    assert folders.logs(tmp_path / "nowhere") == {}


def test_an_origin_names_deployment_replica_and_process():
    assert folders.origin("demo", "web") == "demo/log/1/web"


@pytest.mark.parametrize("process", ["", "..", "a/b", "A", "-x", "x" * 41])
def test_a_process_has_a_harmless_name(tmp_path, process):
    with pytest.raises(LedgerError, match="process"):
        folders.place(tmp_path, process)


def test_a_log_that_lies_in_the_folder_itself_is_not_written_beside(tmp_path):
    log = open_log(tmp_path / "ledger")
    fill(log, 1, 1)
    log.close()
    with pytest.raises(LedgerError, match="move all that is in it to"):
        folders.place(tmp_path / "ledger", "1")
