"""``gatebook token``: prints a short-lived gateway token, and nothing else, on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote_plus

import typer

from gatebook.cli.apiclient import Gateway, RefusedError, UsageError, call, check_token, find_gateway, plain, said
from gatebook.errors import GatebookError
from gatebook.identity.keys import trustworthy

TOKEN_BYTES = 16 * 1024  # what the gateway takes
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
SUBJECT_TYPE = "urn:ietf:params:oauth:token-type:jwt"

URL_HELP = "Address of Gatebook's API, as https://gatebook.example:8443. Else $GATEBOOK_URL."
CA_HELP = "File of the certificate authority that signed the API's certificate. Else $GATEBOOK_CA, else the system's."
FROM_HELP = "File with the identity provider's token, or - for standard input."
ISSUER_HELP = "Issuer of the identity provider; needed for client credentials when Gatebook knows several."

UrlOption = Annotated[str | None, typer.Option("--url", help=URL_HELP, show_default=False)]
CaOption = Annotated[Path | None, typer.Option("--ca", help=CA_HELP, show_default=False)]
FromOption = Annotated[str | None, typer.Option("--from", metavar="FILE", help=FROM_HELP, show_default=False)]
IssuerOption = Annotated[str | None, typer.Option("--issuer", help=ISSUER_HELP, show_default=False)]
CREDENTIAL_HELP = "Print it as kubectl takes it from a credential plugin; the same one until shortly before its end."
CredentialOption = Annotated[bool, typer.Option("--exec-credential", help=CREDENTIAL_HELP)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the token with its lifetime as JSON.")]


@dataclass(frozen=True, slots=True)
class Issued:
    """A gateway token and the seconds it lives."""

    token: str = field(repr=False)
    seconds: int


def token(
    url: UrlOption = None,
    ca: CaOption = None,
    source: FromOption = None,
    issuer: IssuerOption = None,
    as_json: JsonOption = False,
    as_credential: CredentialOption = False,
) -> None:
    """Get a short-lived gateway token: what clients such as psql send as their password.

    It is given for a token of the identity provider, which comes from the first of these:

    --from FILE; $GATEBOOK_PROVIDER_TOKEN; the provider, for $GATEBOOK_CLIENT_ID and $GATEBOOK_CLIENT_SECRET.
    """
    try:
        gateway = find_gateway(url, ca)
        if as_credential:
            from gatebook.cli.execcredential import credential

            print(json.dumps(credential(gateway, source, issuer)))
            return
        issued = get_token(gateway, source, issuer)
    except GatebookError as error:
        fail("token", error)
    if as_json:
        print(json.dumps({"access_token": issued.token, "token_type": "Bearer", "expires_in": issued.seconds}))
    else:
        print(issued.token)


def fail(command: str, error: GatebookError) -> typer.Exit:
    """Say what went wrong on standard error and leave: 2 for what the caller left out, 1 for a refusal."""
    print(f"gatebook {command}: {error}", file=sys.stderr)
    raise typer.Exit(2 if isinstance(error, UsageError) else 1)


def get_token(gateway: Gateway, source: str | None, issuer: str | None) -> Issued:
    """A new gateway token for the provider's token at hand; raises RefusedError and UsageError."""
    return exchange(gateway, provider_token(gateway, source, issuer))


def exchange(gateway: Gateway, provided: str) -> Issued:
    """Exchange a provider's token at the gateway."""
    form = {"grant_type": EXCHANGE, "subject_token": provided, "subject_token_type": SUBJECT_TYPE}
    status, answer = call("POST", f"{gateway.url}/api/v1/token", gateway.verify, form=form)
    issued, seconds = answer.get("access_token"), answer.get("expires_in")
    if status != 200 or not isinstance(issued, str) or not isinstance(seconds, int):
        raise RefusedError(f"Gatebook gives no token: {said(answer, status)}")
    return Issued(check_token(issued, "Gatebook's answer"), seconds)


def provider_token(gateway: Gateway, source: str | None, issuer: str | None) -> str:
    """The identity provider's token: from a file, the environment or the provider itself."""
    if source is not None:
        return check_token(_read(source), source if source != "-" else "standard input")
    if os.environ.get("GATEBOOK_PROVIDER_TOKEN"):
        return check_token(os.environ["GATEBOOK_PROVIDER_TOKEN"], "GATEBOOK_PROVIDER_TOKEN")
    client, secret = os.environ.get("GATEBOOK_CLIENT_ID"), os.environ.get("GATEBOOK_CLIENT_SECRET")
    if client and secret:
        return _client_credentials(gateway, issuer, client, secret)
    raise UsageError(
        "no token of the identity provider: give --from FILE (or -), set GATEBOOK_PROVIDER_TOKEN,"
        " or set GATEBOOK_CLIENT_ID and GATEBOOK_CLIENT_SECRET"
    )


def _read(source: str) -> str:
    try:
        if source == "-":
            data = sys.stdin.buffer.read(TOKEN_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(TOKEN_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}: expected a file with the identity provider's token") from None
    if len(data) > TOKEN_BYTES:
        raise UsageError(f"{source}: expected a token of at most {TOKEN_BYTES} bytes")
    return data.decode("ascii", "replace")


def _client_credentials(gateway: Gateway, issuer: str | None, client: str, secret: str) -> str:
    """RFC 6749 §4.4. The audience that Gatebook expects goes along: some providers want to be told, others ignore it."""
    provider = _provider(gateway, issuer)
    form = {"grant_type": "client_credentials"}
    if isinstance(provider.get("audience"), str):
        form["audience"] = provider["audience"]
    url = _token_endpoint(gateway, str(provider["issuer"]))
    basic = (quote_plus(client), quote_plus(secret))  # RFC 6749 §2.3.1 encodes both before HTTP does
    status, answer = call("POST", url, gateway.verify_provider, form=form, basic=basic)
    found = answer.get("access_token")
    if status != 200 or not isinstance(found, str):
        raise RefusedError(f"{plain(provider['issuer'])} gives no token for GATEBOOK_CLIENT_ID: {said(answer, status)}")
    return check_token(found, "the identity provider's answer")


def _provider(gateway: Gateway, issuer: str | None) -> Mapping[str, Any]:
    """The provider that Gatebook trusts; a secret goes to no other, whatever ``issuer`` says."""
    status, about = call("GET", f"{gateway.url}/api/v1/about", gateway.verify)
    listed = about.get("providers")
    if status != 200 or not isinstance(listed, list):
        raise RefusedError(f"{gateway.url} does not say which identity providers it trusts: {said(about, status)}")
    known = {one["issuer"]: one for one in listed if isinstance(one, dict) and isinstance(one.get("issuer"), str)}
    names = plain(", ".join(known)) or "none"
    if issuer is None and len(known) == 1:
        return next(iter(known.values()))
    if issuer is None:
        raise UsageError(f"which identity provider? Give --issuer, one of: {names}")
    if issuer not in known:
        raise UsageError(f"--issuer {issuer}: Gatebook trusts other identity providers: {names}")
    return known[issuer]


def _token_endpoint(gateway: Gateway, issuer: str) -> str:
    if not trustworthy(issuer):
        raise RefusedError(f"{plain(issuer)} is not an https address: no secret goes there")
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    status, described = call("GET", url, gateway.verify_provider)
    endpoint = described.get("token_endpoint")
    if status != 200 or described.get("issuer") != issuer:
        raise RefusedError(f"{url} does not describe {plain(issuer)}: {said(described, status)}")
    if not isinstance(endpoint, str) or not trustworthy(endpoint):
        raise RefusedError(f"{url} names no token endpoint with an https address")
    return endpoint
