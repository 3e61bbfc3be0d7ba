"""A small OpenID Connect provider FOR THE DEMO ONLY: never put it in front of anything real.

It gives JWT access tokens (RFC 9068) to registered clients by the client credentials grant, and publishes its discovery
document and keys. It has no login page and no consent, speaks plain HTTP on loopback, and keeps its signing key in a file.

Started as ``python -m gatebook.cli.demo.provider --port PORT --state DIR``; ``DIR/clients.json`` lists the clients, as
``register`` writes it. Secrets are in that file alone, which must be readable by its owner only.
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

ALGORITHM = "ES256"
TOKEN_SECONDS = 3600
METHOD = "client_secret_basic"
CLIENTS = "clients.json"
GRANT = "client_credentials"


@dataclass(frozen=True, slots=True)
class Registration:
    """A client as the demo registers it. ``claims`` go into its tokens; the first audience is the one it gets unasked."""

    id: str
    secret: str = field(repr=False)
    claims: Mapping[str, str | list[str]]
    audiences: tuple[str, ...] = ("gatebook",)


def register(folder: Path, clients: Iterable[Registration]) -> None:
    """Write the clients to where the provider looks for them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / CLIENTS, json.dumps([asdict(client) for client in clients], indent=1))


class Client(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """A registration, as Authlib asks for it."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration

    def get_client_id(self) -> str:
        """The name it logs in by."""
        return self.registration.id

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.registration.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Secrets travel in the Authorization header alone."""
        return method == METHOD

    def check_grant_type(self, grant_type: str) -> bool:
        """Client credentials alone."""
        return grant_type == GRANT

    def get_allowed_scope(self, scope: str) -> str:
        """Scopes mean nothing here."""
        return ""


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]  # Authlib ships no types
    """The client asked for an audience that it has no business with (RFC 8707, section 2)."""

    error = "invalid_target"


class Tokens(JWTBearerTokenGenerator):  # type: ignore[misc]  # Authlib ships no types
    """Access tokens that say who the client is: groups, kind, agent, model."""

    def __init__(self, issuer: str, key: ECKey) -> None:
        super().__init__(issuer, alg=ALGORITHM, expires_generator=lambda client, grant_type: TOKEN_SECONDS)
        self._keys = KeySet([key])

    def get_jwks(self) -> KeySet:
        """The signing key, as a set, so that its id stands in the token's header."""
        return self._keys

    def get_extra_claims(self, client: Client, grant_type: str, user: object, scope: str) -> dict[str, str | list[str]]:
        """The claims it was registered with."""
        return dict(client.registration.claims)

    def get_audiences(self, client: Client, user: object, scope: str) -> str:
        """The audience asked for, if the client may have it, else its first."""
        asked = request.form.get("audience") or client.registration.audiences[0]
        if asked not in client.registration.audiences:
            raise InvalidTargetError(f"audience {asked!r} is not for this client")
        return asked


def make_app(issuer: str, clients: Iterable[Registration], key: ECKey) -> Flask:
    """The provider as a web application."""
    app = Flask(__name__)
    known = {client.id: Client(client) for client in clients}
    server = AuthorizationServer(app, query_client=known.get, save_token=lambda token, request: None)
    server.register_token_generator("default", Tokens(issuer, key))
    server.register_grant(ClientCredentialsGrant)

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


def _discovery(issuer: str) -> dict[str, str | list[str]]:
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "grant_types_supported": [GRANT],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": [METHOD],
    }


def _clients(folder: Path) -> list[Registration]:
    with (folder / CLIENTS).open() as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise SystemExit(f"{folder / CLIENTS} holds secrets: its mode must be 0600")
        rows = json.load(file)
    return [Registration(row["id"], row["secret"], row["claims"], tuple(row["audiences"])) for row in rows]


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
    app = make_app(issuer, _clients(arguments.state), _signing_key(arguments.state))
    make_server("127.0.0.1", arguments.port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main()
