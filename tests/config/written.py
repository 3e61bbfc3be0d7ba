"""A whole ``gatebook.yaml`` with its files, for tests that break one thing in it."""

from __future__ import annotations

from pathlib import Path

WHOLE = """\
deployment: demo
home: .
listeners:
  postgres: {bind: 127.0.0.1:15432, tls: {cert: tls/gateway.crt, key: tls/gateway.key}}
  api: {bind: 127.0.0.1:18443, tls: {cert: tls/gateway.crt, key: tls/gateway.key}}
  public_url: https://127.0.0.1:18443
identity:
  token_seconds: 3600
  providers:
    - name: demo
      issuer: http://127.0.0.1:19000
      audience: gatebook
      ca: tls/ca.crt
      groups_claim: groups
      kind: {claim: kind}
      attributes: [agent, model, model_version]
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:15433
    database: shop
    databases: [shop]
    tls: {mode: verify-full, ca: tls/ca.crt, name: localhost}
    roles: {shop_app: {password: env:SHOP_PASSWORD}}
    default_role: shop_app
    labels: {env: production}
    masks: [pii]
policy: {folder: policies}
masking:
  sets: {pii: {columns: ["*.ssn", "*.card", "*.email"], style: partial}}
  detectors: all
ledger: {folder: ledger, durability: writes}
recording:
  folder: recordings
  recipients: [age1n6xjhgm0fpwx8w9qu4rkga6r8jtp6r6d4wh3hqqmweuyx6l6esns2qd3p2]
  required: true
approvals: {wait_seconds: 300, valid_seconds: 3600, proposal_seconds: 86400}
grants: {approvers: [group:dba], quorum: 1, furthest: admin, longest_seconds: 28800, answer_seconds: 3600}
limits: {login_seconds: 30, sessions: 500}
replica: "1"
workers: auto
"""


def written(folder: Path, text: str = WHOLE) -> Path:
    """The file, with the certificates and policies it names."""
    for name in ("tls/gateway.crt", "tls/gateway.key", "tls/ca.crt", "policies/agents.cedar"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("// nothing yet\n")
        path.chmod(0o600)
    path = folder / "gatebook.yaml"
    path.write_text(text)
    return path


def changed(folder: Path, *changes: tuple[str, str]) -> Path:
    """The whole file with parts of it replaced; each part must be there."""
    text = WHOLE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return written(folder, text)
