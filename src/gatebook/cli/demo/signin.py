"""How the demo's people sign in at its provider: authorization code with PKCE in a browser, device code for programs.

There are no passwords. Whoever can reach the page picks who to be, so that a story can be told from several sides; this is
one more reason never to put the provider in front of anything real. Codes live in memory, are used once and expire.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from authlib.integrations.flask_oauth2 import AuthorizationServer  # type: ignore[import-untyped]  # Authlib ships no types
from authlib.oauth2 import OAuth2Error, OAuth2Request  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.errors import InvalidRequestError  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import CodeChallenge  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636.challenge import compare_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oauth2.rfc8628 import (  # type: ignore[import-untyped]
    DEVICE_CODE_GRANT_TYPE,
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCredentialMixin,
)
from authlib.oauth2.rfc9207.parameter import IssuerParameter  # type: ignore[import-untyped]
from authlib.oidc.core.grants import OpenIDCode  # type: ignore[import-untyped]
from flask import Flask, Response, render_template, request
from joserfc.jwk import ECKey, KeySet

CODE_SECONDS = 60
DEVICE_SECONDS = 600
POLL_SECONDS = 1.0  # programs are asked to wait five times as long
WAITING = 1_000  # codes that nobody has redeemed yet; past it the oldest are forgotten
CODE, DEVICE = "authorization_code", DEVICE_CODE_GRANT_TYPE

Claims = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in: the subject of their tokens, a name to pick, and the claims that say who they are."""

    subject: str
    name: str
    claims: Claims

    def get_user_id(self) -> str:
        """The subject, as Authlib asks for it."""
        return self.subject


@dataclass(frozen=True, slots=True)
class Code(AuthorizationCodeMixin):  # type: ignore[misc]  # Authlib ships no types
    """An authorization code: for whom, for which client, and what must be shown to redeem it."""

    client_id: str
    redirect_uri: str
    scope: str
    nonce: str
    person: Person
    code_challenge: str
    code_challenge_method: str = "S256"
    issued_at: int = field(default_factory=lambda: int(time.time()))

    def get_redirect_uri(self) -> str:
        """Where it was sent to."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """What was asked for."""
        return self.scope

    def get_nonce(self) -> str:
        """The client's nonce, for the ID token."""
        return self.nonce

    def get_auth_time(self) -> int:
        """When the person picked their name."""
        return self.issued_at

    def get_acr(self) -> None:
        """Nothing is promised of how they proved who they are: they did not."""

    def get_amr(self) -> None:
        """The same."""


@dataclass(slots=True)
class Device(DeviceCredentialMixin):  # type: ignore[misc]  # Authlib ships no types
    """A program that waits for a person to sign in elsewhere."""

    client_id: str
    user_code: str
    scope: str
    expires_at: float
    person: Person | None = None
    answered: bool = False
    asked_at: float = 0.0

    def get_client_id(self) -> str:
        """The program's client."""
        return self.client_id

    def get_scope(self) -> str:
        """What it asked for."""
        return self.scope

    def get_user_code(self) -> str:
        """What it shows to the person."""
        return self.user_code

    def is_expired(self) -> bool:
        """Whether nobody came in time."""
        return time.time() > self.expires_at


@dataclass(slots=True)
class SignIns:
    """The people, and what waits to be redeemed."""

    people: Mapping[str, Person]
    codes: dict[str, Code] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)

    @classmethod
    def of(cls, people: Iterable[Person]) -> SignIns:
        """Sign-ins of these people."""
        return cls({person.subject: person for person in people})

    def device(self, user_code: str) -> Device | None:
        """The device that shows this code and still waits."""
        asked = user_code.strip().upper()
        found = (one for one in self.devices.values() if one.user_code == asked and not one.is_expired() and not one.answered)
        return next(found, None)


class S256(CodeChallenge):  # type: ignore[misc]  # Authlib ships no types
    """PKCE (RFC 7636) for every client, by SHA-256 alone."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    CODE_CHALLENGE_METHODS = {"S256": compare_s256_code_challenge}  # noqa: RUF012 - Authlib's name and form

    def validate_code_challenge(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        """A request without a challenge is refused."""
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("expected code_challenge and code_challenge_method=S256")
        super().validate_code_challenge(grant, redirect_uri)


def add_sign_in(app: Flask, server: AuthorizationServer, sign_ins: SignIns, issuer: str, key: ECKey) -> None:
    """Give the provider its pages and the two grants of people."""
    _add_code_grant(server, sign_ins, issuer, key)
    _add_device_grant(server, sign_ins, issuer)
    _add_pages(app, server, sign_ins)


def _add_code_grant(server: AuthorizationServer, sign_ins: SignIns, issuer: str, key: ECKey) -> None:
    class Grant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib ships no types
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")

        def save_authorization_code(self, code: str, asked: OAuth2Request) -> None:
            while len(sign_ins.codes) >= WAITING:
                sign_ins.codes.pop(next(iter(sign_ins.codes)))
            data = asked.payload.data
            challenge, nonce = data["code_challenge"], data.get("nonce", "")
            client, scope = asked.client.get_client_id(), asked.scope or ""
            sign_ins.codes[code] = Code(client, asked.payload.redirect_uri, scope, nonce, asked.user, challenge)

        def query_authorization_code(self, code: str, client: object) -> Code | None:
            found = sign_ins.codes.pop(code, None)  # whoever asks with it, it is used up
            if found is None or found.client_id != client.get_client_id():  # type: ignore[attr-defined]
                return None
            return found if time.time() - found.issued_at <= CODE_SECONDS else None

        def delete_authorization_code(self, authorization_code: Code) -> None:
            pass

        def authenticate_user(self, authorization_code: Code) -> Person:
            return authorization_code.person

    class IdToken(OpenIDCode):  # type: ignore[misc]  # Authlib ships no types
        def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
            return any(code.nonce == nonce for code in sign_ins.codes.values())

        def resolve_client_private_key(self, client: object) -> KeySet:
            return KeySet([key])

        def get_client_algorithm(self, client: object) -> str:
            return "ES256"

        def get_client_claims(self, client: object) -> dict[str, str | list[str]]:
            return {"iss": issuer, "aud": [client.get_client_id()]}  # type: ignore[attr-defined]

        def generate_user_info(self, user: Person, scope: str) -> dict[str, str | list[str]]:
            return {"sub": user.subject, "name": user.name, **user.claims}

    class Issuer(IssuerParameter):  # type: ignore[misc]  # Authlib ships no types
        def get_issuer(self) -> str:
            return issuer

    server.register_grant(Grant, [S256(required=True), IdToken(require_nonce=True)])
    server.register_extension(Issuer())


def _add_device_grant(server: AuthorizationServer, sign_ins: SignIns, issuer: str) -> None:
    class Endpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc]  # Authlib ships no types
        EXPIRES_IN = DEVICE_SECONDS

        def get_verification_uri(self) -> str:
            return f"{issuer}/device"

        def save_device_credential(self, client_id: str, scope: str, data: Mapping[str, str]) -> None:
            while len(sign_ins.devices) >= WAITING:
                sign_ins.devices.pop(next(iter(sign_ins.devices)))
            waiting = Device(client_id, data["user_code"], scope or "", time.time() + DEVICE_SECONDS)
            sign_ins.devices[data["device_code"]] = waiting

    class Grant(DeviceCodeGrant):  # type: ignore[misc]  # Authlib ships no types
        def query_device_credential(self, device_code: str) -> Device | None:
            found = sign_ins.devices.get(device_code)
            if found is not None and found.answered:
                del sign_ins.devices[device_code]
                self._answer = found
            return found

        def query_user_grant(self, user_code: str) -> tuple[Person | None, bool] | None:
            found: Device | None = getattr(self, "_answer", None)
            return (found.person, found.person is not None) if found else None

        def should_slow_down(self, credential: Device) -> bool:
            before, credential.asked_at = credential.asked_at, time.monotonic()
            return credential.asked_at - before < POLL_SECONDS

    server.register_endpoint(Endpoint)
    server.register_grant(Grant)


def _add_pages(app: Flask, server: AuthorizationServer, sign_ins: SignIns) -> None:
    people = list(sign_ins.people.values())

    @app.get("/authorize")
    def authorize() -> Response | str:
        try:
            grant = server.get_consent_grant()
        except OAuth2Error as error:
            return _refused(server, error)
        return render_template("people.html", people=people, client=grant.request.client.get_client_id(), user_code="")

    @app.post("/authorize")
    def authorized() -> Response:
        person = sign_ins.people.get(request.form.get("person", ""))
        try:
            grant = server.get_consent_grant(end_user=person)
        except OAuth2Error as error:
            return _refused(server, error)
        response: Response = server.create_authorization_response(grant_user=person, grant=grant)
        return response

    @app.post("/device_authorization")
    def device_authorization() -> Response:
        response: Response = server.create_endpoint_response(DeviceAuthorizationEndpoint.ENDPOINT_NAME)
        return response

    @app.get("/device")
    def device() -> str:
        user_code = request.args.get("user_code", "")
        found = sign_ins.device(user_code)
        if found is None:
            return render_template("device.html", said="No program waits with this code." if user_code else "")
        return render_template("people.html", people=people, client=found.client_id, user_code=found.user_code)

    @app.post("/device")
    def device_answered() -> str:
        found = sign_ins.device(request.form.get("user_code", ""))
        if found is None:
            return render_template("device.html", said="No program waits with this code.")
        found.person = sign_ins.people.get(request.form.get("person", ""))
        found.answered = True
        return render_template("device.html", said="Done: go back to your program." if found.person else "Refused.")


def _refused(server: AuthorizationServer, error: OAuth2Error) -> Response:
    response: Response = server.handle_error_response(server.create_oauth2_request(None), error)
    return response
