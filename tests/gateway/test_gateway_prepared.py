"""What a gateway checks and claims before its first process begins, and how its processes say what is wrong."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from gatebook.errors import ConfigError, GatebookError, LedgerError
from gatebook.gateway.child import apart, fault_of
from gatebook.gateway.prepared import KEY_BYTES, secret_key


def test_a_secret_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "one.key"
    key = secret_key(path)
    assert len(key) == KEY_BYTES
    assert secret_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_secret_key_that_was_cut_is_a_fault_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "one.key"
    path.write_bytes(bytes(5))
    with pytest.raises(ConfigError, match="5 bytes: expected 32"):
        secret_key(path)
    assert path.read_bytes() == bytes(5)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ({"fault": "config", "lines": ["a: b", "c: d"]}, ConfigError, "a: b\nc: d"),
        ({"fault": "ledger", "lines": ["the disk is full"]}, LedgerError, "the disk is full"),
        ({"fault": "other", "lines": ["no"]}, GatebookError, "no"),
    ],
)
def test_what_a_process_says_is_wrong_is_the_error_that_it_met(said: object, kind: type[GatebookError], words: str) -> None:
    found = fault_of(json.dumps(said).encode() + b"\n")
    assert type(found) is kind
    assert str(found) == words


@pytest.mark.parametrize("said", [b"", b"\n", b"{", b'{"ready": true}', b"[]", b"\xff" * 100, bytes(range(50))])
def test_anything_else_that_a_process_leaves_behind_says_nothing(said: bytes) -> None:
    assert fault_of(said) is None


def test_what_is_done_apart_is_done_and_its_faults_are_told(tmp_path: Path) -> None:
    mine = os.getpid()
    apart(lambda: (tmp_path / "done").write_text(str(os.getpid())) and None)
    assert int((tmp_path / "done").read_text()) != mine

    def fails(error: BaseException) -> None:
        raise error

    with pytest.raises(ConfigError, match="database: it was written by a newer Gatebook"):
        apart(lambda: fails(ConfigError(["database: it was written by a newer Gatebook"])))
    with pytest.raises(GatebookError, match="no such thing"):
        apart(lambda: fails(OSError("no such thing")))
    with pytest.raises(GatebookError, match="ended"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
