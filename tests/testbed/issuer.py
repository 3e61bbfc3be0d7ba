"""An OpenID Connect issuer on loopback that signs whatever a test asks for: good, expired, foreign or forged tokens."""

from __future__ import annotations

import base64
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

AUDIENCE = "gatebook"


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class LiveIssuer:
    """Serves its discovery document and keys; ``mint`` signs with the key it publishes unless told otherwise."""

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        self._other = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256", "kid": self._key.kid})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = issuer.document(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler

    def document(self, path: str) -> dict[str, Any] | None:
        if path == "/jwks":
            return {"keys": [self._key.as_dict(private=False)]}
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", "token_endpoint": f"{self.url}/token"}
        return None

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good agent's token; None takes one away."""
        now = int(time.time())
        base: dict[str, Any] = {
            "iss": self.url, "aud": AUDIENCE, "sub": "agent-7", "iat": now, "exp": now + 600,
            "kind": "agent", "groups": ["agents"], "agent": "tester", "model": "example-model", "model_version": "1",
        }  # fmt: skip
        return {name: value for name, value in (base | changes).items() if value is not None}

    def mint(self, **changes: Any) -> str:
        """A token signed with the published key."""
        return jwt.encode({"alg": "ES256", "kid": self._key.kid, "typ": "JWT"}, self.claims(**changes), self._key)

    def expired(self) -> str:
        return self.mint(iat=int(time.time()) - 7200, exp=int(time.time()) - 3600)

    def by_another_key(self) -> str:
        """Signed with a key of the same id that was never published."""
        return jwt.encode({"alg": "ES256", "kid": self._key.kid, "typ": "JWT"}, self.claims(), self._other)

    def unsigned(self) -> str:
        """``alg: none``, as RFC 7519 section 6 describes and everybody must refuse."""
        return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(self.claims())}."

    def altered(self) -> str:
        """A good token whose claims were changed after signing."""
        header, _, signature = self.mint().split(".")
        return f"{header}.{_encoded(self.claims(groups=['agents', 'dba'], kind='person'))}.{signature}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
