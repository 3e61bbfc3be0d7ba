"""What curl starts with on an HTTP target: the token through a pipe alone, one address, and nothing of other servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gatebook.cli import curl
from gatebook.cli.apiclient import RefusedError, UsageError
from gatebook.cli.places import Place, _place

PLACE = Place("http", "gate.test", 8443, True, "agent-7")
LISTED = {"name": "billing", "protocol": "http", "host": "gate.test", "port": 8443, "tls": True, "user": "agent-7"}


def wish(**changes: Any) -> curl.Wish:
    return curl.Wish(**({"path": "/customers", "role": None, "why": "", "hold": "wait"} | changes))


def configured(place: Place = PLACE, ca: Path | None = None, **changes: Any) -> list[str]:
    return curl.configuration(place, "billing", wish(**changes), "gbt_x", ca).splitlines()


def test_curl_gets_address_token_and_what_the_gateway_is_told() -> None:
    assert configured(role="reader", why="OPS-7", ca=Path("/ca.crt")) == [
        'url = "https://gate.test:8443/http/billing/customers"',
        "path-as-is",
        "globoff",
        'header = "Authorization: Bearer gbt_x"',
        'header = "Gatebook-Role: reader"',
        'header = "Gatebook-Why: OPS-7"',
        'header = "Gatebook-Hold: wait"',
        'cacert = "/ca.crt"',
        'proto-redir = "=https"',
    ]


@pytest.mark.parametrize(
    ("target", "args", "path", "others"),
    [
        ("billing", [], "/", []),
        ("billing/customers/1?full=yes", ["-s"], "/customers/1?full=yes", ["-s"]),
        ("billing", ["-s", "/customers"], "/customers", ["-s"]),
        ("billing", ["curl", "-s", "/customers"], "/customers", ["-s"]),
        ("billing/x", ["-o", "/tmp/file"], "/x", ["-o", "/tmp/file"]),
        ("billing/", ["--json", "{}"], "/", ["--json", "{}"]),
    ],
)
def test_the_path_is_the_targets_or_the_last_argument(target: str, args: list[str], path: str, others: list[str]) -> None:
    assert curl.asked(target, args) == (path, others)


@pytest.mark.parametrize("path", ["billing/a b", "billing/a\nheader = x", "billing/a\u2028b", "billing/\x1b"])
def test_a_path_that_says_more_than_a_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="expected a path"):
        curl.asked(path, [])


def test_quotes_in_a_path_or_a_purpose_do_not_end_what_they_stand_in() -> None:
    lines = configured(path='/a"\\b', why='say "x" \\')
    assert lines[0] == 'url = "https://gate.test:8443/http/billing/a\\"\\\\b"'
    assert 'header = "Gatebook-Why: say \\"x\\" \\\\"' in lines
    assert len(lines) == len(configured(why="y"))


def test_without_tls_the_token_goes_to_this_machine_only() -> None:
    assert configured(Place("http", "127.0.0.1", 80, False, "a"))[0] == 'url = "http://127.0.0.1:80/http/billing/customers"'
    assert configured(Place("http", "::1", 80, False, "a"))[0] == 'url = "http://[::1]:80/http/billing/customers"'
    with pytest.raises(RefusedError, match="must not travel in clear"):
        configured(Place("http", "gate.test", 80, False, "a"))


def test_what_points_elsewhere_or_is_secret_is_taken_away() -> None:
    names = ["GATEBOOK_TOKEN", "GATEBOOK_CLIENT_SECRET", "SSLKEYLOGFILE", "CURL_CA_BUNDLE", "CURL_HOME", "SSL_CERT_FILE"]
    assert curl.environment(dict.fromkeys(names, "x") | {"PATH": "/bin"}) == {"PATH": "/bin"}


def test_what_goes_through_the_pipe_arrives_whole_and_has_an_end() -> None:
    text = "x" * curl.PIPE_BYTES
    reading = curl.piped(text)
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"print(len(open('/dev/fd/{reading}').read()))"], pass_fds=[reading], capture_output=True
        )
    finally:
        os.close(reading)
    assert done.stdout == b"%d\n" % curl.PIPE_BYTES
    with pytest.raises(UsageError, match="expected at most"):
        curl.piped(text + "x")


def test_a_place_of_an_http_target_is_read_and_checked_as_any_other() -> None:
    assert _place(LISTED) == PLACE
    with pytest.raises(RefusedError, match="names no host and port"):
        _place(json.loads(json.dumps(LISTED)) | {"host": "gate.test/x"})
