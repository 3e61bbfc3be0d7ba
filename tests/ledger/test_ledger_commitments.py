from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from sqlalchemy import create_engine, text

from gatebook.errors import LedgerError
from gatebook.ledger.commitments import Commitments

TABLE = "CREATE TABLE salts (subject TEXT PRIMARY KEY, salt BLOB NOT NULL, created_at INTEGER NOT NULL)"


@pytest.fixture
def engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'db'}")
    with engine.begin() as connection:
        connection.execute(text(TABLE))
    yield engine
    engine.dispose()


def salts(engine):
    with engine.connect() as connection:
        return {row.subject: row.salt for row in connection.execute(text("SELECT subject, salt FROM salts"))}


def test_a_commitment_is_the_hmac_of_the_value_under_the_subjects_salt(engine):
    found = Commitments(engine).commit("issuer|ana", "ana@example.com")
    salt = salts(engine)["issuer|ana"]
    assert len(salt) == 32
    assert urlsafe_b64decode(found + "=") == hmac.new(salt, b"ana@example.com", sha256).digest()
    assert len(found) == 43


def test_the_same_value_is_joined_within_a_subject_and_across_restarts_and_not_between_subjects(engine):
    first = Commitments(engine)
    assert first.commit("a", "x") == first.commit("a", "x") == Commitments(engine).commit("a", "x")
    assert first.commit("a", "x") != first.commit("b", "x")
    assert first.commit("a", "x") != first.commit("a", "y")


def test_a_forgotten_subject_gets_commitments_that_fit_no_earlier_one(engine):
    made = Commitments(engine)
    before = made.commit("a", "x")
    assert made.forget("a")
    assert "a" not in salts(engine)
    assert made.commit("a", "x") != before
    assert not made.forget("nobody")


def test_threads_and_processes_that_meet_agree_on_one_salt(engine):
    makers = [Commitments(engine) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda n: makers[n % 4].commit("a", "x"), range(40)))
    assert len(found) == 1


def test_no_more_salts_are_kept_in_memory_than_the_limit(engine):
    made = Commitments(engine, kept=3)
    first = made.commit("s0", "x")
    for n in range(1, 6):
        made.commit(f"s{n}", "x")
    assert list(made._kept) == ["s3", "s4", "s5"]
    assert made.commit("s0", "x") == first


def test_a_database_that_fails_is_a_ledger_error_without_the_subject(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'empty'}")
    with pytest.raises(LedgerError, match="cannot be read or kept: OperationalError") as raised:
        Commitments(engine).commit("ana@example.com", "secret value")
    assert "ana" not in str(raised.value)
    assert "secret" not in str(raised.value)
    engine.dispose()
