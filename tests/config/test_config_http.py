# ruff: noqa: E501 (a table reads best with one row a line)

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.config.written import WHOLE, written

from gatebook.config import HttpTarget, load
from gatebook.errors import ConfigError

BILLING = """\
  - name: billing
    protocol: http
    origins: [https://billing.internal, "https://billing2.internal:8443/"]
    tls: {ca: tls/ca.crt}
    roles:
      reader: {bearer: env:BILLING_TOKEN}
      admin: {basic: {user: admin, password: env:BILLING_PASSWORD}}
      key: {header: {name: X-Api-Key, value: env:BILLING_KEY}}
      client: {oauth: {token_url: https://login.internal/token, client_id: gatebook, client_secret: env:BILLING_SECRET}}
    default_role: reader
    labels: {env: production}
    masks: [pii]
policy:"""
HTTP = WHOLE.replace("policy:", BILLING, 1).replace(
    "  api: {bind",
    "  http: {bind: 127.0.0.1:16443, tls: {cert: tls/gateway.crt, key: tls/gateway.key}, domain: targets.localhost}\n  api: {bind",
    1,
)


def test_an_http_target_is_read_with_its_origins_and_credentials(tmp_path: Path) -> None:
    config = load(written(tmp_path, HTTP))
    target = config.target("billing")
    assert isinstance(target, HttpTarget)
    assert target.origins == ("https://billing.internal", "https://billing2.internal:8443")
    assert target.place == "billing.internal:443"
    assert target.target.address == "billing.internal:443"
    assert target.role_names == {"reader", "admin", "key", "client"}
    assert str(target.roles["reader"].bearer) == "env:BILLING_TOKEN"
    assert config.listeners.http is not None
    assert config.listeners.http.domain == "targets.localhost"


def test_what_passes_unread_is_media_by_default(tmp_path: Path) -> None:
    target = load(written(tmp_path, HTTP)).target("billing")
    assert isinstance(target, HttpTarget)
    assert target.passes == ("image/*", "font/*", "audio/*", "video/*")
    text = HTTP.replace("default_role: reader", "default_role: reader\n    passes: [Application/PDF, '*/*']")
    target = load(written(tmp_path, text)).target("billing")
    assert isinstance(target, HttpTarget)
    assert target.passes == ("application/pdf", "*/*")


def test_a_gateway_for_apis_alone_needs_no_door_for_databases(tmp_path: Path) -> None:
    text = HTTP[: HTTP.index("  - name: shop")] + HTTP[HTTP.index("  - name: billing") :]
    lines = [line for line in text.splitlines() if not line.startswith("  postgres:")]
    assert load(written(tmp_path, "\n".join(lines))).listeners.postgres is None


ROWS = [
    # what is written -> the fault
    ("labels: {env: production}\n    masks: [pii]\npolicy", "passes: [pdf]\npolicy", "targets[1].passes[0]: 'pdf': expected a type as application/pdf"),
    ("labels: {env: production}\n    masks: [pii]\npolicy", "passes: ['*/pdf']\npolicy", "targets[1].passes[0]: '*/pdf': expected a type as application/pdf"),
    ("protocol: http", "protocol: htttp", "targets[1].protocol: 'htttp': expected one of postgres, http, kubernetes, ssh, git (line 30)"),
    ("    protocol: http\n", "", "targets[1].protocol: missing: expected one of git, http, kubernetes, postgres"),
    ("origins: [https://billing.internal,", "origins: [https://billing.internal/api,", "targets[1].origins[0]: 'https://billing.internal/api': expected a URL without a path"),
    ("origins: [https://billing.internal,", "origins: [http://billing.internal,", "targets[1].origins[0]: 'http://billing.internal': expected https:// (http only on loopback)"),
    ("origins:", "origin:", "targets[1].origin: unknown key: expected origins, perhaps"),
    ("tls: {ca: tls/ca.crt}\n", "tls: {mode: disable}\n", "targets[1].tls: keys and values: expected mode require or verify-full"),
    ("tls: {ca: tls/ca.crt}\n", "tls: {binding: true}\n", "targets[1].tls: keys and values: expected no binding"),
    ("reader: {bearer:", "reader: {basic: {user: a, password: env:A}, bearer:", "targets[1].roles.reader.oauth: a value not shown here: expected one of bearer, basic, header and oauth"),
    ("bearer: env:BILLING_TOKEN", "bearer: abc123", "targets[1].roles.reader.bearer: a value not shown here: expected a reference to a secret"),
    ("user: admin", "user: 'ad:min'", "targets[1].roles.admin.basic.user: a value not shown here: expected a name without a colon"),
    ("name: X-Api-Key", "name: Content-Length", "targets[1].roles.key.header.name: a value not shown here: expected the name of a header field that carries a key"),
    ("name: X-Api-Key", "name: 'X Api'", "targets[1].roles.key.header.name: a value not shown here: expected the name of a header field that carries a key"),
    ("default_role: reader", "default_role: root", "targets[1].default_role: 'root': expected one of the target's roles: admin, client, key, reader"),
    ("domain: targets.localhost", "domain: Targets", "listeners.http.domain: 'Targets': expected a domain in lower case"),
    ("public_url: https://127.0.0.1:18443", "public_url: https://www.targets.localhost", "listeners.public_url: 'https://www.targets.localhost': expected another registrable domain than that of listeners.http.domain"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), ROWS)
def test_a_fault_says_what_was_expected(old: str, new: str, fault: str, tmp_path: Path) -> None:
    assert old in HTTP
    text = HTTP.replace(old, new) if old.startswith(("public", "domain")) else _last(HTTP, old, new)
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, text))
    assert any(fault in one for one in raised.value.faults), raised.value.faults


def test_a_target_needs_a_door_for_its_clients(tmp_path: Path) -> None:
    text = "\n".join(line for line in HTTP.splitlines() if not line.startswith("  http: {bind"))
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, text))
    assert "expected listeners.http, where clients of the target billing connect" in raised.value.faults[0]


def _last(text: str, old: str, new: str) -> str:
    head, _, tail = text.rpartition(old)
    return f"{head}{new}{tail}"


MEANT = """\
    openapi: api.yaml
    routes: [{route: "/iam/**", reach: admin}, {route: /search, methods: [POST, PUT], reach: read}]
    facts: [{name: amount, path: $.amount, over: 1000, route: /payments, methods: [POST]}, {name: x, path: "$.a[*].b"}]
    graphql: {paths: [/graphql]}
    mcp: {paths: [/mcp], reads: [b, a], writes: [c]}
"""
API = "openapi: 3.1.0\npaths:\n  /customers/{id}:\n    get: {operationId: getCustomer}\n"
DIGEST = """
import sys
import subprocess
import sys
from pathlib import Path
from gatebook.config import load
from gatebook.config.shapes import digest_of
print(digest_of(load(Path(sys.argv[1])).target("billing")))
"""


def digest(folder: Path, text: str = HTTP, api: str = API) -> str:
    """The digest, by a process of its own."""
    (folder / "api.yaml").write_text(api)
    path = written(folder, _last(text, "    default_role: reader\n", f"{MEANT}    default_role: reader\n"))
    return subprocess.run([sys.executable, "-c", DIGEST, str(path)], capture_output=True, check=True, text=True).stdout


def test_what_says_what_requests_mean_has_a_digest_that_every_process_comes_to(tmp_path: Path) -> None:
    first = digest(tmp_path)
    assert len(first.strip()) == 64
    assert digest(tmp_path) == first
    assert digest(tmp_path, api=API.replace("getCustomer", "getAnybody")) != first
    assert digest(tmp_path, HTTP.replace("default_role: reader", "encoded_slashes: kept\n    default_role: reader")) != first
    assert digest(tmp_path, HTTP.replace("labels: {env: production}\n    masks", "labels: {env: test}\n    masks")) == first
