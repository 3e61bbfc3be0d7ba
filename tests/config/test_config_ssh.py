# ruff: noqa: E501 (a table reads best with one row a line)

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.config.written import WHOLE, written

from gatebook.config import SshTarget, load
from gatebook.errors import ConfigError


def public_key(seed: bytes) -> str:
    return (
        Ed25519PrivateKey.from_private_bytes(seed * 32)
        .public_key()
        .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        .decode()
    )


KEY, OTHER = public_key(b"a"), public_key(b"b")
HOST = f"""\
  - name: web1
    protocol: ssh
    address: web1.internal:22
    host_keys: ["{KEY} root@web1"]
    roles:
      deploy: {{key: tls/gateway.key}}
      backup: {{user: bak, password: env:BACKUP_PASSWORD}}
    default_role: deploy
    labels: {{env: production}}
policy:"""
WITH = WHOLE.replace("policy:", HOST, 1).replace("  api: {bind", "  ssh: {bind: 0.0.0.0:12222}\n  api: {bind", 1)


def host(tmp_path: Path, text: str = WITH) -> SshTarget:
    target = load(written(tmp_path, text)).target("web1")
    assert isinstance(target, SshTarget)
    return target


def test_a_host_is_read_with_its_keys_and_users(tmp_path: Path) -> None:
    target = host(tmp_path)
    assert target.host_keys == (KEY,)
    assert target.target.address == target.place == "web1.internal:22"
    assert (target.user("deploy"), target.user("backup")) == ("deploy", "bak")
    assert target.door == "ssh"
    assert target.role_names == {"deploy", "backup"}


def test_its_listener_needs_no_tls_wherever_it_is(tmp_path: Path) -> None:
    listener = load(written(tmp_path, WITH)).listeners.ssh
    assert listener is not None
    assert not listener.bind.loopback


def test_variables_are_taken_by_name_or_by_their_beginning(tmp_path: Path) -> None:
    target = host(tmp_path)
    assert [name for name in ("LANG", "LC_ALL", "LANGUAGE", "LD_PRELOAD", "PATH", "L") if target.takes(name)] == [
        "LANG",
        "LC_ALL",
    ]


def test_another_key_makes_it_another_host(tmp_path: Path) -> None:
    before, after = host(tmp_path), host(tmp_path, WITH.replace(KEY, OTHER))
    assert before.place == after.place
    assert before.identity != after.identity


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (f'host_keys: ["{KEY} root@web1"]', "host_keys: []", "host_keys or host_authorities: whoever answers in the host's place is shown what opens it"),
        (f"{KEY} root@web1", "web1 ssh-ed25519 AAAA", "a public key as ssh-keyscan prints it"),
        (f"{KEY} root@web1", "ssh-ed25519 AAAA", "a public key as ssh-keyscan prints it"),
        ("{key: tls/gateway.key}", "{}", "key, or password: one of them"),
        ("{key: tls/gateway.key}", "{key: tls/gateway.key, password: env:P}", "key, or password: one of them"),
        ("{key: tls/gateway.key}", "{certificate: tls/ca.crt}", "key beside certificate"),
        ("password: env:BACKUP_PASSWORD", "password: secret", "a reference to a secret, env:NAME or file:PATH, never the secret"),
        ("default_role: deploy\n    labels: {env: production}\npolicy", "default_role: root\n    labels: {env: production}\npolicy", "one of the target's roles: backup, deploy"),
        ("  ssh: {bind: 0.0.0.0:12222}\n", "", "listeners.ssh, where clients of the target web1 connect"),
        ("    address: web1.internal:22\n", "    address: web1.internal:22\n    environment: ['A=B']\n", "the name of a variable"),
        ("    address: web1.internal:22\n", "    address: web1.internal:22\n    environment: ['*']\n", "the name of a variable"),
        ("    address: web1.internal:22\n", "    address: web1.internal:22\n    forwards: [x11]\n", "forwards"),
        ("ssh: {bind: 0.0.0.0:12222}", "ssh: {bind: 0.0.0.0:12222, certificate_seconds: 59}", "certificate_seconds"),
        ("ssh: {bind: 0.0.0.0:12222}", "ssh: {bind: 0.0.0.0:12222, certificate_source: here}", "certificate_source"),
    ],
)  # fmt: skip
def test_a_fault_says_what_was_expected(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in WITH
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, WITH.replace(old, new, 1)))
    assert fault in str(raised.value)
    assert "secret\n" not in str(raised.value)
