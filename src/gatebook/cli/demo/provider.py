"""A small OpenID Connect provider FOR THE DEMO ONLY: never put it in front of anything real.

It gives JWT access tokens (RFC 9068) to registered clients by the client credentials grant, and to people by authorization
code and device code (signin.py), and publishes its discovery document and keys. Nobody has a password, it speaks plain HTTP
on loopback, and keeps its signing key in a file.

Started as ``python -m gatebook.cli.demo.provider --port PORT --state DIR``; ``DIR/clients.json`` lists clients and people,
as ``register`` writes it. Secrets are in that file alone, which must be readable by its owner only.
"""

from __future__ import annotations

import argparse
import hmac
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from authlib.integrations.flask_oauth2 import AuthorizationServer  # type: ignore[import-untyped]  # Authlib ships no types
from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Error  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant  # type: ignore[import-untyped]
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator  # type: ignore[import-untyped]
from flask import Flask, Response, jsonify, request
from joserfc.jwk import ECKey, KeySet
from werkzeug.serving import make_server

from gatebook.cli.demo.processes import write_private
from gatebook.cli.demo.signin import CODE, DEVICE, Person, SignIns, add_sign_in

ALGORITHM = "ES256"
TOKEN_SECONDS = 3600
METHOD, PUBLIC = "client_secret_basic", "none"
CLIENTS = "clients.json"
GRANT = "client_credentials"
SCOPES = frozenset({"openid"})


@dataclass(frozen=True, slots=True)
class Registration:
    """A client as the demo registers it. ``claims`` go into its tokens; the first audience is the one it gets unasked.

    One with ``redirect_uris`` signs people in by a browser, one without a secret is a program that may use the device code;
    neither gets tokens for itself.
    """

    id: str
    secret: str = field(repr=False)
    claims: Mapping[str, str | list[str]]
    audiences: tuple[str, ...] = ("gatebook",)
    redirect_uris: tuple[str, ...] = ()

    @property
    def grants(self) -> frozenset[str]:
        """The grants it may use."""
        if self.redirect_uris:
            return frozenset({CODE})
        return frozenset({GRANT}) if self.secret else frozenset({DEVICE})


def register(folder: Path, clients: Iterable[Registration], people: Iterable[Person] = ()) -> None:
    """Write clients and people to where the provider looks for them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = {"clients": [asdict(client) for client in clients], "people": [asdict(person) for person in people]}
    write_private(folder / CLIENTS, json.dumps(known, indent=1))


class Client(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """A registration, as Authlib asks for it."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration

    def get_client_id(self) -> str:
        """The name it logs in by."""
        return self.registration.id

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare in constant time. A client without a secret has none to show."""
        return bool(self.registration.secret) and hmac.compare_digest(self.registration.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Secrets travel in the Authorization header alone."""
        return method == (METHOD if self.registration.secret else PUBLIC)

    def check_grant_type(self, grant_type: str) -> bool:
        """Those it is registered for."""
        return grant_type in self.registration.grants

    def check_response_type(self, response_type: str) -> bool:
        """A code, for those that sign people in."""
        return response_type == "code" and CODE in self.registration.grants

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Exactly as registered."""
        return redirect_uri in self.registration.redirect_uris

    def get_default_redirect_uri(self) -> None:
        """None: it must be given."""

    def get_allowed_scope(self, scope: str) -> str:
        """Scopes other than ``openid`` mean nothing here."""
        return " ".join(sorted(SCOPES & set((scope or "").split())))


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]  # Authlib ships no types
    """The client asked for an audience that it has no business with (RFC 8707, section 2)."""

    error = "invalid_target"


class Tokens(JWTBearerTokenGenerator):  # type: ignore[misc]  # Authlib ships no types
    """Access tokens that say who the person or the client is: groups, kind, agent, model."""

    def __init__(self, issuer: str, key: ECKey) -> None:
        super().__init__(issuer, alg=ALGORITHM, expires_generator=lambda client, grant_type: TOKEN_SECONDS)
        self._keys = KeySet([key])

    def get_jwks(self) -> KeySet:
        """The signing key, as a set, so that its id stands in the token's header."""
        return self._keys

    def get_extra_claims(self, client: Client, grant_type: str, user: Person | None, scope: str) -> dict[str, str | list[str]]:
        """The claims that person or client was registered with; ``flow`` says how a person's token came about."""
        if user is None:
            return dict(client.registration.claims)
        return {**user.claims, "flow": "device_code" if grant_type == DEVICE else grant_type}

    def get_audiences(self, client: Client, user: object, scope: str) -> str:
        """The audience asked for, if the client may have it, else its first."""
        asked = request.form.get("audience") or client.registration.audiences[0]
        if asked not in client.registration.audiences:
            raise InvalidTargetError(f"audience {asked!r} is not for this client")
        return asked


def make_app(issuer: str, clients: Iterable[Registration], key: ECKey, people: Iterable[Person] = ()) -> Flask:
    """The provider as a web application."""
    app = Flask(__name__)
    known = {client.id: Client(client) for client in clients}
    server = AuthorizationServer(app, query_client=known.get, save_token=lambda token, request: None)
    server.register_token_generator("default", Tokens(issuer, key))
    server.register_grant(ClientCredentialsGrant)
    add_sign_in(app, server, SignIns.of(people), issuer, key)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return jsonify(_discovery(issuer))

    @app.get("/jwks")
    def jwks() -> Response:
        return jsonify({"keys": [key.as_dict(private=False)]})

    @app.post("/token")
    def token() -> Response:
        response: Response = server.create_token_response()
        return response

    return app


def _discovery(issuer: str) -> dict[str, str | bool | list[str]]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "authorization_response_iss_parameter_supported": True,
        "device_authorization_endpoint": f"{issuer}/device_authorization",
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": sorted(SCOPES),
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "grant_types_supported": [GRANT, CODE, DEVICE],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": [METHOD, PUBLIC],
    }


def _known(folder: Path) -> tuple[list[Registration], list[Person]]:
    with (folder / CLIENTS).open() as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise SystemExit(f"{folder / CLIENTS} holds secrets: its mode must be 0600")
        known = json.load(file)
    tuples = ("audiences", "redirect_uris")
    clients = [Registration(**(row | {name: tuple(row[name]) for name in tuples})) for row in known["clients"]]
    return clients, [Person(**row) for row in known["people"]]


def _signing_key(folder: Path) -> ECKey:
    """The signing key: the one of an earlier run of the same demo, or a fresh one."""
    path = folder / "key.json"
    if not path.exists():
        key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
        write_private(path, json.dumps(key.as_dict(private=True)))
    return ECKey.import_key(json.loads(path.read_text()))


def main() -> None:
    """Serve on loopback until ended by a signal."""
    parser = argparse.ArgumentParser(description="OpenID Connect provider of the Gatebook demo; not for production")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # requests hold nothing that helps here
    issuer = f"http://127.0.0.1:{arguments.port}"
    clients, people = _known(arguments.state)
    app = make_app(issuer, clients, _signing_key(arguments.state), people)
    make_server("127.0.0.1", arguments.port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main()
