# ruff: noqa: E501 (a table reads best with one row a line)

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.written import WHOLE, written

from gatebook.config import KubernetesTarget, load
from gatebook.errors import ConfigError
from gatebook.model import Reach

CLUSTER = """\
  - name: prod-cluster
    protocol: kubernetes
    servers: ["https://10.0.0.1:6443", "https://10.0.0.2:6443/"]
    tls: {ca: tls/ca.crt}
    roles:
      agents: {bearer: env:CLUSTER_TOKEN, impersonate: {group_prefix: "gb:", groups: [agents], extra: [session]}}
      gateway: {cert: tls/gateway.crt, key: tls/gateway.key}
    default_role: agents
    labels: {env: production}
    custom:
      - {group: cert-manager.io, resource: certificates}
      - {group: argoproj.io, resource: "*", reach: admin, scope: cluster}
policy:"""
HTTP = "  http: {bind: 127.0.0.1:16443, tls: {cert: tls/gateway.crt, key: tls/gateway.key}}\n"
WITH = WHOLE.replace("policy:", CLUSTER, 1).replace("  api: {bind", f"{HTTP}  api: {{bind", 1)


def cluster(tmp_path: Path, text: str = WITH) -> KubernetesTarget:
    target = load(written(tmp_path, text)).target("prod-cluster")
    assert isinstance(target, KubernetesTarget)
    return target


def test_a_cluster_is_read_with_its_servers_and_credentials(tmp_path: Path) -> None:
    target = cluster(tmp_path)
    assert target.servers == target.origins == ("https://10.0.0.1:6443", "https://10.0.0.2:6443")
    assert target.target.address == "10.0.0.1:6443"
    assert target.role_names == {"agents", "gateway"}
    assert str(target.roles["agents"].bearer) == "env:CLUSTER_TOKEN"
    assert target.roles["gateway"].impersonate is None
    assert target.secrets == "token"
    assert [(one.resource, one.reach, one.scope) for one in target.custom] == [
        ("certificates", Reach.WRITE, "namespaced"),
        ("*", Reach.ADMIN, "cluster"),
    ]


def test_the_cluster_is_told_prefixed_names_alone(tmp_path: Path) -> None:
    told = cluster(tmp_path).roles["agents"].impersonate
    assert told is not None
    assert told.user("system:masters") == "gatebook:system:masters"
    assert told.told(frozenset({"agents", "dba", "system:masters"})) == ("gb:agents",)
    every = cluster(tmp_path, WITH.replace("groups: [agents], ", "")).roles["agents"].impersonate
    assert every is not None
    assert every.told(frozenset({"dba", "system:masters"})) == ("gb:dba", "gb:system:masters")


def test_a_certificate_of_the_target_is_credential_enough(tmp_path: Path) -> None:
    text = WITH.replace("tls: {ca: tls/ca.crt}\n", "tls: {ca: tls/ca.crt, cert: tls/gateway.crt, key: tls/gateway.key}\n")
    text = text.replace("gateway: {cert: tls/gateway.crt, key: tls/gateway.key}\n    default", "gateway: {}\n    default")
    assert cluster(tmp_path, text).roles["gateway"].cert is None


ROWS = [
    # what is written -> the fault
    ('"https://10.0.0.1:6443",', '"http://127.0.0.1:8080",', "targets[1].servers[0]: 'http://127.0.0.1:8080': expected https://"),
    ('"https://10.0.0.1:6443",', '"https://10.0.0.1:6443/k8s",', "targets[1].servers[0]: 'https://10.0.0.1:6443/k8s': expected a URL without a path"),
    ("servers: [", "origins: [", "targets[1].origins: unknown key: expected"),
    ("tls: {ca: tls/ca.crt}\n    roles", "tls: {mode: require}\n    roles", "targets[1].tls: keys and values: expected mode verify-full"),
    ("tls: {ca: tls/ca.crt}\n    roles", "tls: {mode: disable}\n    roles", "targets[1].tls: keys and values: expected mode verify-full"),
    ("{cert: tls/gateway.crt, key: tls/gateway.key}\n    default", "{}\n    default", "targets[1].roles: keys and values: expected bearer, or cert and key, for gateway"),
    ("{cert: tls/gateway.crt, key: tls/gateway.key}\n    default", "{cert: tls/gateway.crt}\n    default", "expected cert and key, or neither"),
    ("{cert: tls/gateway.crt, key: tls/gateway.key}\n    default", "{cert: tls/gateway.crt, key: tls/gateway.key, bearer: env:X}\n    default", "expected bearer, or cert and key, not both"),
    ("bearer: env:CLUSTER_TOKEN", "bearer: eyJhbGciOi", "targets[1].roles.agents.bearer: a value not shown here: expected a reference to a secret"),
    ('group_prefix: "gb:"', 'group_prefix: ""', "expected text that is not empty"),
    ('group_prefix: "gb:"', 'group_prefix: "system:"', "expected a prefix as gatebook:"),
    ('group_prefix: "gb:"', 'group_prefix: "SYSTEM:x"', "expected a prefix as gatebook:"),
    ('group_prefix: "gb:"', 'group_prefix: "sys"', "expected a prefix as gatebook:"),
    ('group_prefix: "gb:"', 'user_prefix: "system"', "expected a prefix as gatebook:"),
    ("extra: [session]", "extra: [password]", "expected one of session, on_behalf_of, issuer, purpose"),
    ("default_role: agents", "default_role: root", "targets[1].default_role: 'root': expected one of the target's roles: agents, gateway"),
    ("group: cert-manager.io", "group: certmanager", "targets[1].custom[0].group: 'certmanager': expected an API group as cert-manager.io"),
    ("resource: certificates", "resource: Certificate", "targets[1].custom[0].resource: 'Certificate': expected the plural name of a resource"),
    ("reach: admin", "reach: read", "targets[1].custom[1].reach: 'read': expected write, admin or unknown"),
    ("scope: cluster", "scope: global", "targets[1].custom[1].scope: 'global': expected one of namespaced, cluster"),
    ('group: argoproj.io, resource: "*"', "group: cert-manager.io, resource: certificates", "expected certificates.cert-manager.io once"),
    ("default_role: agents", "default_role: agents\n    secrets: partial", "targets[1].secrets: 'partial': expected one of token, redact, hash, shown"),
    (HTTP, "", "expected listeners.http, where clients of the target prod-cluster connect"),
    (HTTP, "  http: {bind: 127.0.0.1:16443}\n", "expected listeners.http.tls: without it clients of prod-cluster send no token"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), ROWS)
def test_a_fault_says_what_was_expected_of_a_cluster(old: str, new: str, fault: str, tmp_path: Path) -> None:
    head, found, tail = WITH.rpartition(old)
    assert found
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, f"{head}{new}{tail}"))
    assert any(fault in one for one in raised.value.faults), raised.value.faults
