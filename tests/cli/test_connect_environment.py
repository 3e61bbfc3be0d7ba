"""What psql starts with: the token in its environment alone, and nothing that sends it elsewhere or in clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatebook.cli.apiclient import RefusedError, UsageError, check_token, find_gateway, plain
from gatebook.cli.connect import find_client
from gatebook.cli.places import Place, _place, client_environment, client_options
from gatebook.model import Hold

PLACE = Place("postgres", "gate.test", 5432, True, "agent-7")
LISTED = {"name": "shop", "protocol": "postgres", "host": "gate.test", "port": 5432, "tls": True, "user": "agent-7"}


def environment(place: Place = PLACE, **changes: Any) -> dict[str, str]:
    given: dict[str, Any] = {"surroundings": {}, "database": "shop", "token": "gbt_x", "ca": Path("/ca.crt"), "role": None}
    return client_environment(place=place, **(given | changes))


def test_psql_gets_everything_it_needs() -> None:
    assert environment(surroundings={"PATH": "/bin", "TERM": "xterm"}) == {
        "PATH": "/bin",
        "TERM": "xterm",
        "PGHOST": "gate.test",
        "PGPORT": "5432",
        "PGDATABASE": "shop",
        "PGUSER": "agent-7",
        "PGPASSWORD": "gbt_x",
        "PGPASSFILE": "/dev/null",
        "PGGSSENCMODE": "disable",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca.crt",
    }


@pytest.mark.parametrize(
    "name",
    [
        "PGHOSTADDR",
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGSSLMODE",
        "PGSSLCERT",
        "PGSSLNEGOTIATION",
        "PGREQUIREAUTH",
        "PGTARGETSESSIONATTRS",
        "PGSYSCONFDIR",
        "PGPASSWORD",
        "PGSOMETHINGNEW",
        "GATEBOOK_TOKEN",
        "GATEBOOK_PROVIDER_TOKEN",
        "GATEBOOK_CLIENT_SECRET",
    ],
)
def test_what_points_elsewhere_or_is_secret_is_taken_away(name: str) -> None:
    assert "elsewhere" not in environment(surroundings={name: "elsewhere"}).values()


def test_settings_of_the_session_stay() -> None:
    kept = {"PGOPTIONS": "-c search_path=a", "PGAPPNAME": "report", "PGCLIENTENCODING": "UTF8"}
    assert kept.items() <= environment(surroundings=kept).items()


def test_a_role_is_asked_for_as_user() -> None:
    assert environment(role="reader")["PGUSER"] == "reader"


def test_without_a_file_the_systems_authorities_are_trusted() -> None:
    found = environment(ca=None)
    assert (found["PGSSLMODE"], found["PGSSLROOTCERT"]) == ("verify-full", "system")


def test_without_tls_the_token_goes_to_this_machine_only() -> None:
    assert environment(Place("postgres", "127.0.0.1", 5432, False, "agent-7"))["PGSSLMODE"] == "disable"
    with pytest.raises(RefusedError, match="must not travel in clear"):
        environment(Place("postgres", "gate.test", 5432, False, "agent-7"))


@pytest.mark.parametrize("host", ["gate.test", "127.0.0.1", "::1", "g"])
def test_hosts_and_addresses_are_taken(host: str) -> None:
    assert _place(LISTED | {"host": host}).host == host


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "/tmp"},
        {"host": "gate.test,evil.test"},
        {"host": "@evil"},
        {"host": "gate.test\n"},
        {"host": ""},
        {"host": None},
        {"port": 0},
        {"port": 65_536},
        {"port": "5432"},
        {"port": None},
        {"user": ""},
        {"user": 7},
        {"protocol": "mysql"},
        {"protocol": None},
    ],
)
def test_a_place_that_libpq_would_read_otherwise_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        _place(LISTED | changes)


def test_a_missing_client_is_said_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="install PostgreSQL's client, or name one with --client"):
        find_client("/nowhere/psql")


@pytest.mark.parametrize("url", ["http://gate.test", "gate.test", "ftp://gate.test", "http://127.0.0.1@gate.test"])
def test_a_gateway_in_clear_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="expected https"):
        find_gateway(url, None)


def test_an_authority_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the file of a certificate authority"):
        find_gateway("https://gate.test", tmp_path / "none")
    (tmp_path / "bad").write_text("no certificate")
    with pytest.raises(UsageError, match="expected certificates in PEM form"):
        _ = find_gateway("https://gate.test", tmp_path / "bad").verify


@pytest.mark.parametrize("token", ["", "  ", "a b", "a\nb", "é", "a\x00b"])
def test_what_cannot_be_a_token_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_token(token, "GATEBOOK_TOKEN")
    assert str(caught.value) == "GATEBOOK_TOKEN: expected one token, without spaces or line breaks inside"


def test_a_servers_words_cannot_drive_the_terminal() -> None:
    assert plain("no\x1b[2J\u202e such\n" + "x" * 1_000).startswith("no [2J  such xxx")
    assert len(plain("x" * 1_000)) == 500


def test_purpose_and_patience_travel_as_startup_options() -> None:
    assert client_options("", "", Hold.WAIT) == ""
    assert client_options("-c work_mem=1MB", "OPS 12", Hold.ANSWER) == (
        "-c work_mem=1MB -c gatebook.why=OPS\\ 12 -c gatebook.hold=answer"
    )
