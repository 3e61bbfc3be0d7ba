"""The database file is private, survives, and lets readers turn into writers safely."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from gatebook.db import engine, migrate, writing
from gatebook.errors import ConfigError

SALT = text("INSERT INTO salts (subject, salt, created_at) VALUES (:subject, :salt, 1)")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_wal_and_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "gatebook.db"
    source = engine(f"sqlite:///{path}")
    migrate(source)
    files = {found.name: mode(found) for found in path.parent.iterdir()}
    assert files == {"gatebook.db": 0o600, "gatebook.db-wal": 0o600, "gatebook.db-shm": 0o600}
    assert mode(path.parent) == 0o700
    source.dispose()


def test_a_file_left_open_to_others_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "gatebook.db"
    path.touch(0o666)
    path.chmod(0o666)
    engine(f"sqlite:///{path}").dispose()
    assert mode(path) == 0o600


def test_a_folder_that_others_may_write_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    engine(f"sqlite:///{folder}/gatebook.db").dispose()
    assert mode(folder) == 0o700


def test_a_folder_shared_by_design_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(ConfigError, match="others may write here"):
        engine(f"sqlite:///{folder}/gatebook.db")
    assert mode(folder) == 0o1777
    assert list(folder.iterdir()) == []


def test_a_database_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "gatebook.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"gatebook\.db"):
        engine(f"sqlite:///{tmp_path}/gatebook.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "no url at all"])
def test_what_is_not_a_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="database: expected"):
        engine(url)


def test_a_file_that_is_no_database_is_refused_at_migration(tmp_path: Path) -> None:
    (tmp_path / "gatebook.db").write_bytes(b"no database " * 1000)
    source = engine(f"sqlite:///{tmp_path}/gatebook.db")
    with pytest.raises(ConfigError, match="not a database"):
        migrate(source)
    source.dispose()


def test_settings_hold_on_every_connection(tmp_path: Path) -> None:
    source = engine(f"sqlite:///{tmp_path}/gatebook.db")
    with source.connect() as first, source.connect() as second:
        for connection in (first, second):
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")]
            assert found == ["wal", 1]
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5_000
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    source.dispose()


def test_migrating_makes_the_tables_and_twice_changes_nothing(tmp_path: Path) -> None:
    source = engine(f"sqlite:///{tmp_path}/gatebook.db")
    migrate(source)
    with writing(source) as connection:
        connection.execute(SALT, {"subject": "someone", "salt": b"x"})
    migrate(source)
    tables = set(inspect(source).get_table_names())
    assert {"salts", "identities", "gateway_tokens", "sessions", "actions", "approvals", "grants", "alembic_version"} <= tables
    with source.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM salts").scalar() == 1
    source.dispose()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    source = engine(f"sqlite:///{tmp_path}/gatebook.db")
    migrate(source)
    with writing(source) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="newer Gatebook"):
        migrate(source)
    source.dispose()


def test_writing_is_undone_by_an_exception(tmp_path: Path) -> None:
    source = engine(f"sqlite:///{tmp_path}/gatebook.db")
    migrate(source)

    def fail() -> None:
        with writing(source) as connection:
            connection.execute(SALT, {"subject": "someone", "salt": b"x"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with source.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM salts").scalar() == 0
    source.dispose()


def test_two_that_read_and_then_write_both_succeed(tmp_path: Path) -> None:
    source = engine(f"sqlite:///{tmp_path}/gatebook.db")
    migrate(source)
    faults: list[BaseException] = []
    start = threading.Barrier(4)

    def add() -> None:
        try:
            start.wait()
            for _ in range(5):
                with writing(source) as connection:
                    count = connection.exec_driver_sql("SELECT count(*) FROM salts").scalar()
                    connection.execute(SALT, {"subject": f"subject {count}", "salt": b"x"})
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with source.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM salts").scalar() == 20
    source.dispose()


def test_two_that_migrate_at_once_both_succeed(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def start() -> None:
        source = engine(f"sqlite:///{tmp_path}/gatebook.db")
        try:
            migrate(source)
        except BaseException as error:
            faults.append(error)
        finally:
            source.dispose()

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
