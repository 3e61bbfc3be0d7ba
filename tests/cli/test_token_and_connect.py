"""``gatebook token`` and ``gatebook connect`` against a real API over TLS and a real issuer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from tests.identity.issuer import NOW, claims, token
from tests.web.place import acts_of, open_place
from tests.web.running import Certificates, RunningIssuer, make_certificates, running_issuer, serving

from gatebook.access.book import Book
from gatebook.cli.connect import connect
from gatebook.cli.token import token as token_command
from gatebook.identity.oidc import Verifier
from gatebook.identity.prove import Prover
from gatebook.web.app import make_app

pytestmark = pytest.mark.real

FAKE_PSQL = """#!{python}
import json, os, sys
open({seen!r}, "w").write(json.dumps({{"argv": sys.argv, "env": dict(os.environ)}}))
sys.exit(7)
"""


@dataclass
class Running:
    folder: Path
    url: str
    issuer: RunningIssuer
    certificates: Certificates
    psql: Path
    seen: Path

    def run(self, *args: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """The command in a process of its own, with nothing in its environment but what is said here."""
        base = {"GATEBOOK_URL": self.url, "GATEBOOK_CA": str(self.certificates.ca), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-W", "error", "-c", f"from {__name__} import app; app()", *args]
        root = str(Path(__file__).parents[2])
        given = {name: value for name, value in (base | environment).items() if value} | {"PYTHONPATH": root}
        return subprocess.run(command, input=stdin, env=given, cwd=self.folder, capture_output=True, text=True, timeout=60)


app = typer.Typer()
app.command("token")(token_command)
app.command("connect")(connect)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("running")
    certificates = make_certificates(folder)
    tls = {"cert": str(certificates.cert), "key": str(certificates.key)}
    listeners = {"postgres": {"bind": "127.0.0.1:15432", "tls": tls}, "api": {"bind": "127.0.0.1:0", "tls": tls}}
    listeners["public_url"] = "https://localhost:18443"  # type: ignore[assignment]
    psql, seen = folder / "psql", folder / "seen.json"
    psql.write_text(FAKE_PSQL.format(python=sys.executable, seen=str(seen)))
    psql.chmod(0o755)
    with running_issuer() as issuer:
        provider = {"name": "demo", "issuer": issuer.url, "audience": "gatebook", "groups_claim": "groups"}
        provider |= {"kind": {"always": "agent"}}  # type: ignore[dict-item]
        identity = {"token_seconds": 300, "providers": [provider]}
        with open_place(folder, listeners=listeners, identity=identity) as place:
            prover = Prover(place.source, Verifier(place.config.identity.providers), place.tokens)
            made = make_app(
                place.config,
                place.source,
                prover,
                place.tokens,
                ledger_ok=lambda: True,
                may_open=lambda _identity, name, _why: name == "shop",
                acts=acts_of(place.config, lambda: NOW, Book(place.pages.keep, lambda subject, _value: subject)),
                approvals=place.approvals,
                grants=place.grants,
            )
            with serving(place.config, made) as port:
                yield Running(folder, f"https://127.0.0.1:{port}", issuer, certificates, psql, seen)


@pytest.fixture
def provided(running: Running) -> str:
    """A provider's token that is good now, for 1970 is over and 2100 is far."""
    running.issuer.refuse = False
    running.issuer.claims = claims(exp=4_102_444_800, iat=None)
    return token(running.issuer.claims | {"iss": running.issuer.url})


def test_token_prints_the_token_and_nothing_else(running: Running, provided: str) -> None:
    done = running.run("token", GATEBOOK_PROVIDER_TOKEN=provided)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gbt_")
    assert done.stdout.count("\n") == 1
    assert len(done.stdout) == 48


def test_token_comes_from_a_file_or_standard_input(running: Running, provided: str) -> None:
    (running.folder / "provided").write_text(provided + "\n")
    assert running.run("token", "--from", "provided").stdout.startswith("gbt_")
    assert running.run("token", "--from", "-", stdin=provided).stdout.startswith("gbt_")


def test_token_as_json_says_how_long_it_lives(running: Running, provided: str) -> None:
    found = json.loads(running.run("token", "--json", GATEBOOK_PROVIDER_TOKEN=provided).stdout)
    assert found.pop("access_token").startswith("gbt_")
    assert found == {"token_type": "Bearer", "expires_in": 300}


def test_token_by_client_credentials_asks_the_provider_that_gatebook_trusts(running: Running, provided: str) -> None:
    done = running.run("token", GATEBOOK_CLIENT_ID="agent:7", GATEBOOK_CLIENT_SECRET="se cret%")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gbt_")
    assert running.issuer.clients[-1] == ("agent:7", "se cret%")
    assert running.issuer.forms[-1] == {"grant_type": ["client_credentials"], "audience": ["gatebook"]}


def test_a_client_secret_goes_to_no_issuer_that_gatebook_does_not_trust(running: Running, provided: str) -> None:
    before = len(running.issuer.clients)
    credentials = {"GATEBOOK_CLIENT_ID": "agent", "GATEBOOK_CLIENT_SECRET": "hush"}
    done = running.run("token", "--issuer", running.issuer.url + "/", **credentials)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Gatebook trusts other identity providers: {running.issuer.url}" in done.stderr
    assert len(running.issuer.clients) == before


def test_a_provider_that_refuses_is_quoted_safely(running: Running, provided: str) -> None:
    running.issuer.refuse = True
    done = running.run("token", GATEBOOK_CLIENT_ID="agent", GATEBOOK_CLIENT_SECRET="hush")
    assert (done.returncode, done.stdout) == (1, "")
    assert "gives no token for GATEBOOK_CLIENT_ID: no such client [2J" in done.stderr
    assert "hush" not in done.stderr


def test_a_token_that_is_refused_says_why_and_shows_nothing_of_it(running: Running, provided: str) -> None:
    bad = token(running.issuer.claims | {"iss": running.issuer.url, "aud": "elsewhere"})
    done = running.run("token", GATEBOOK_PROVIDER_TOKEN=bad)
    assert (done.returncode, done.stdout) == (1, "")
    assert "whose audience is gatebook" in done.stderr
    assert not any(part in done.stderr for part in bad.split("."))


@pytest.mark.parametrize(
    ("args", "environment", "code", "message"),
    [
        (["token"], {}, 2, "no token of the identity provider: give --from FILE"),
        (["token"], {"GATEBOOK_URL": ""}, 2, "where is Gatebook? Give --url"),
        (["token"], {"GATEBOOK_URL": "http://gate.test"}, 2, "expected https"),
        (["token", "--from", "nowhere"], {}, 2, "nowhere: No such file or directory"),
        (["token"], {"GATEBOOK_PROVIDER_TOKEN": "a b"}, 2, "GATEBOOK_PROVIDER_TOKEN: expected one token"),
        (["token"], {"GATEBOOK_PROVIDER_TOKEN": "x", "GATEBOOK_URL": "https://127.0.0.1:1"}, 1, "does not answer"),
        (["token"], {"GATEBOOK_PROVIDER_TOKEN": "x", "GATEBOOK_CA": ""}, 1, "is its certificate signed by the authority"),
        (["connect", "shop", "--client", "/nowhere"], {}, 2, "/nowhere was not found"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(
    running: Running, args: list[str], environment: dict[str, str], code: int, message: str
) -> None:
    done = running.run(*args, **environment)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_connect_runs_the_client_with_identity_in_place_and_passes_its_exit_code(running: Running, provided: str) -> None:
    surroundings = {"GATEBOOK_PROVIDER_TOKEN": provided, "PGHOSTADDR": "10.0.0.1", "PGSSLMODE": "disable"}
    done = running.run("connect", "shop/reports", "--client", str(running.psql), "--", "-c", "SELECT 1", **surroundings)
    assert done.returncode == 7, done.stderr
    seen = json.loads(running.seen.read_text())
    assert seen["argv"][1:] == ["-c", "SELECT 1"]
    found = {name: value for name, value in seen["env"].items() if name.startswith("PG")}
    token_sent = found.pop("PGPASSWORD")
    assert token_sent.startswith("gbt_")
    assert found == {
        "PGHOST": "localhost",
        "PGPORT": "15432",
        "PGDATABASE": "shop/reports",
        "PGUSER": "agent-7",
        "PGPASSFILE": "/dev/null",
        "PGGSSENCMODE": "disable",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(running.certificates.ca),
    }
    assert "GATEBOOK_PROVIDER_TOKEN" not in seen["env"]


def test_connect_takes_a_token_that_is_there(running: Running, provided: str) -> None:
    held = running.run("token", GATEBOOK_PROVIDER_TOKEN=provided).stdout.strip()
    done = running.run("connect", "shop", "--client", str(running.psql), GATEBOOK_TOKEN=held)
    assert done.returncode == 7, done.stderr
    assert json.loads(running.seen.read_text())["env"]["PGPASSWORD"] == held


@pytest.mark.parametrize("target", ["vault", "nowhere"])
def test_a_target_one_may_not_open_answers_as_one_that_is_not_there(running: Running, provided: str, target: str) -> None:
    done = running.run("connect", target, "--client", str(running.psql), GATEBOOK_PROVIDER_TOKEN=provided)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"gatebook connect: {target} is not a target that you may open; you may open: shop\n"
