# ruff: noqa: E501 (a table reads best with one row a line)

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.written import WHOLE, changed, written

from gatebook.config import Config, load
from gatebook.errors import ConfigError


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(path)
    return raised.value.faults


ROWS = [
    # what is written -> the fault
    ("mode: verify-full", "mode: verify", "targets[0].tls.mode: 'verify': expected one of disable, require, verify-full (line 23)"),
    ("bind: 127.0.0.1:15432", "bind: 15432", "listeners.postgres.bind: 15432: expected host:port, with [ ] around an IPv6 address (line 4)"),
    ("bind: 127.0.0.1:15432", "bind: 127.0.0.1:99999", "listeners.postgres.bind: '127.0.0.1:99999': expected host:port"),
    ("bind: 127.0.0.1:15432", "bind: '[::zz]:1'", "listeners.postgres.bind: '[::zz]:1': expected host:port"),
    ("      audience: gatebook\n", "", "identity.providers[0].audience: missing: expected the audience that tokens must be made for (line 10)"),
    ("audience:", "audiance:", "identity.providers[0].audiance: unknown key: expected audience, perhaps"),
    ("token_seconds: 3600", "token_seconds: an hour", "identity.token_seconds: 'an hour': expected a whole number (line 8)"),
    ("token_seconds: 3600", "token_seconds: 5", "identity.token_seconds: 5: expected at least 60"),
    ("token_seconds: 3600", "token_seconds: true", "identity.token_seconds: true: expected a whole number"),
    ("sessions: 500", "sessions: 0", "limits.sessions: 0: expected at least 1"),
    ("{claim: kind}", "{always: robot}", "identity.providers[0].kind.always: 'robot': expected one of person, agent, ci"),
    ("{claim: kind}", "{claim: kind, always: ci}", "identity.providers[0].kind.always: 'ci': expected either claim or always"),
    ("{claim: kind}", "{}", "identity.providers[0].kind.always: nothing: expected either claim or always"),
    ("issuer: http://127.0.0.1:19000", "issuer: http://idp.example", "providers[0].issuer: 'http://idp.example': expected https:// (http only on loopback)"),
    ("issuer: http://127.0.0.1:19000", "issuer: http://127.0.0.1.evil.example", "expected https:// (http only on loopback)"),
    ("issuer: http://127.0.0.1:19000", "issuer: 'https://'", "identity.providers[0].issuer: 'https://': expected a URL"),
    ("address: 127.0.0.1:15433", "address: 127.0.0.1", "targets[0].address: '127.0.0.1': expected host:port"),
    ("address: 127.0.0.1:15433", "address: 127.0.0.1:0", "targets[0].address: '127.0.0.1:0': expected host:port"),
    ("name: shop", "name: Shop", "targets[0].name: 'Shop': expected a name of at most 63 lower-case letters"),
    ("default_role: shop_app", "default_role: root", "targets[0].default_role: 'root': expected one of the target's roles: shop_app (line 25)"),
    ("masks: [pii]", "masks: [pci]", "targets[0].masks[0]: 'pci': expected a name of masking.sets: pii (line 27)"),
    ("masks: [pii]", "masks: pii", "targets[0].masks: 'pii': expected a list"),
    ("databases: [shop]", "databases: [books]", "targets[0].databases: a list: expected shop among them"),
    ("protocol: postgres", "protocol: mysql", "targets[0].protocol: 'mysql': expected one of postgres"),
    ('"*.ssn"', "ssn", "masking.sets.pii.columns[0]: 'ssn': expected table.column or schema.table.column"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "fields: [ssn.**]", "masking.sets.pii.fields[0]: 'ssn.**': expected names joined by dots"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "fields: ['*']", "masking.sets.pii.fields[0]: '*': expected at least one name"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "fields: []", "masking.sets.pii.fields: a list: expected at least one"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "headers: [a b]", "masking.sets.pii.headers[0]: 'a b': expected the name of a header field, or cookie:NAME"),
    ('columns: ["*.ssn", "*.card", "*.email"], ', "", "masking.sets.pii.headers: nothing: expected at least one of columns, fields, kubernetes and headers"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: [data.**]}]", "masking.sets.pii.kubernetes[0].fields[0]: 'data.**': expected names joined by dots"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: [$.data.x]}]", "masking.sets.pii.kubernetes[0].fields[0]: '$.data.x': expected names joined by dots"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: ['a***b']}]", "masking.sets.pii.kubernetes[0].fields[0]: 'a***b': expected at most 8 stars"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: ['*.*']}]", "masking.sets.pii.kubernetes[0].fields[0]: '*.*': expected at least one name"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: ['spec.template.spec.containers.env[DB_*]']}]", "masking.sets.pii.kubernetes[0].fields[0]: 'spec.template.spec.containers.env[DB_*]': expected the path within the pod"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: [], resources: [pods]}]", "masking.sets.pii.kubernetes[0].fields: a list: expected at least one"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: [data.x], resources: [configmap]}]", "masking.sets.pii.kubernetes[0].resources[0]: 'configmap': expected the plural name of a resource"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: [data.x], resources: [deployment.apps]}]", "masking.sets.pii.kubernetes[0].resources[0]: 'deployment.apps': expected the plural name of a resource"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{fields: [data.x], namespaces: [Prod]}]", "masking.sets.pii.kubernetes[0].namespaces[0]: 'Prod': expected a namespace"),
    ('columns: ["*.ssn", "*.card", "*.email"]', "kubernetes: [{resources: [pods]}]", "masking.sets.pii.kubernetes[0].fields: missing: expected a value here"),
    ("style: partial", "style: blur", "masking.sets.pii.style: 'blur': expected one of redact, partial, hash"),
    ("detectors: all", "detectors: [telepathy]", "masking.detectors: a list: expected detectors out of "),
    ("durability: writes", "durability: none", "ledger.durability: 'none': expected one of writes, all"),
    ("folder: policies", "folder: nowhere", "policy.folder: 'nowhere': expected a folder that is there: nothing at "),
    ("cert: tls/gateway.crt", "cert: policies", "listeners.postgres.tls.cert: 'policies': expected a file that is there: "),
    ("env: production", "env: 1", "targets[0].labels.env: 1: expected text (quote what looks like a number)"),
    ("deployment: demo", "deployment: ''", "deployment: '': expected a name"),
    ("limits: {", "limits: [", "gatebook.yaml: expected"),
    ("limits: {", "approvals: {wait_seconds: 3601}\nlimits: {", "approvals.wait_seconds: 3601: expected at most 3600"),
    ("limits: {", "approvals: {valid_seconds: 86401}\nlimits: {", "approvals.valid_seconds: 86401: expected at most 86400"),
    ("limits: {", "approvals: {proposal_seconds: 604801}\nlimits: {", "approvals.proposal_seconds: 604801: expected at most 604800"),
    ("      attributes: [agent", "      purpose_claim: ticket\n      attributes: [purpose", "providers[0].purpose_claim: 'ticket': expected purpose, since attributes has"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), ROWS, ids=[row[1] or row[0] for row in ROWS])
def test_a_fault_names_file_key_value_and_what_was_expected(tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = faults(changed(tmp_path, (old, new)))
    assert all(one.startswith("gatebook.yaml: ") for one in found)
    assert any(fault in one for one in found), "\n".join(found)


def test_all_faults_come_at_once_each_on_its_own_line(tmp_path: Path) -> None:
    found = faults(
        changed(
            tmp_path,
            ("mode: verify-full", "mode: verify"),
            ("audience: gatebook", "audience: ''"),
            ("masks: [pii]", "masks: [pci]"),
            ("default_role: shop_app", "default_role: root"),
            ("deployment: demo", "deployment: demo\ndeployment: demo"),
            ("ledger: {", "leger: {"),
        )
    )
    keys = {one.split(": ")[1] for one in found}
    assert keys == {
        "targets[0].tls.mode",
        "identity.providers[0].audience",
        "targets[0].masks[0]",
        "targets[0].default_role",
        "deployment",
        "leger",
        "ledger",
    }
    assert len(found) == len(keys)
    assert not any("\n" in one for one in found)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("postgres: {bind: 127.0.0.1:15432, tls: {cert: tls/gateway.crt, key: tls/gateway.key}}", "postgres: {bind: 0.0.0.0:15432}", "listeners.postgres.tls: nothing: expected tls with cert and key, since 0.0.0.0:15432 is not on loopback"),
        ("mode: verify-full", "mode: disable", None),
        ("127.0.0.1:15433", "db.example:5432", None),
    ],
)  # fmt: skip
def test_a_listener_in_the_clear_must_be_on_loopback(tmp_path: Path, old: str, new: str, fault: str | None) -> None:
    path = changed(tmp_path, (old, new))
    if fault is None:
        load(path)
    else:
        assert any(fault in one for one in faults(path))


@pytest.mark.parametrize("address", ["db.example:5432", "10.0.0.1:5432", "127.0.0.1.example:5432", "localhost.example:5432"])
def test_a_target_without_tls_must_be_on_loopback(tmp_path: Path, address: str) -> None:
    path = changed(tmp_path, ("127.0.0.1:15433", address), ("mode: verify-full", "mode: disable"))
    assert (
        f"targets[0].tls: keys and values: expected mode require or verify-full, since {address} is not on loopback"
        in faults(path)[0]
    )


def test_two_targets_of_one_name_are_a_fault_at_both(tmp_path: Path) -> None:
    start, end = WHOLE.index("  - name: shop"), WHOLE.index("policy: {")
    path = written(tmp_path, WHOLE[:end] + WHOLE[start:end] + WHOLE[end:])
    assert [one.split(" (line")[0] for one in faults(path)] == [
        f"gatebook.yaml: targets[{place}].name: 'shop': expected it once in the list" for place in (0, 1)
    ]


def test_two_providers_of_one_issuer_are_a_fault(tmp_path: Path) -> None:
    again = "    - {name: second, issuer: 'http://127.0.0.1:19000', audience: x, kind: {always: ci}}\ntargets:\n"
    assert "issuer" in faults(changed(tmp_path, ("targets:\n", again)))[0]


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    assert faults(tmp_path / "nowhere.yaml") == [
        f"{tmp_path / 'nowhere.yaml'}: No such file or directory: expected a file with Gatebook's configuration"
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words", "[1, 2]", "null"])
def test_a_file_without_keys_says_what_was_expected(tmp_path: Path, text: str) -> None:
    (fault,) = faults(written(tmp_path, text))
    assert fault.startswith("gatebook.yaml: the whole file: ")
    assert "expected keys and values" in fault


def test_a_key_that_others_can_read_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "tls/gateway.key").chmod(0o644)
    assert "listeners.api.tls.key: 'tls/gateway.key': expected a file that only its owner can read (chmod 600)" in "".join(
        faults(path)
    )


SECRET = "hunter2-Zq9"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{password: env:SHOP_PASSWORD}", f"{{password: {SECRET}}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: 'env:{SECRET}!'}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: '{SECRET}:1'}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{pasword: {SECRET}}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: [{SECRET}]}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: {{value: {SECRET}}}}}"),
        ("{password: env:SHOP_PASSWORD}", SECRET),
        ("{password: env:SHOP_PASSWORD}", f"{{password: *{SECRET}}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: !{SECRET} x}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: !{SECRET}!x y}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: '{SECRET}}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: %{SECRET}}}"),
        ("{password: env:SHOP_PASSWORD}", f"{{password: @{SECRET}}}"),
        ("{password: env:SHOP_PASSWORD}", f'{{password: "\\q{SECRET}"}}'),
        ("address: 127.0.0.1:15433", f"address: postgres://shop:{SECRET}@127.0.0.1:15433"),
        ("issuer: http://127.0.0.1:19000", f"issuer: https://me:{SECRET}@idp.example"),
        ("database: shop\n", f"database: shop\n    pasword: {SECRET}\n"),
    ],
)  # fmt: skip
def test_a_secret_written_into_the_config_is_refused_and_never_shown(tmp_path: Path, old: str, new: str) -> None:
    path = changed(tmp_path, (old, new))
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert SECRET not in str(raised.value)
    assert "hunter2" not in repr(raised.value.faults)
    assert raised.value.__cause__ is None
    assert raised.value.faults


@pytest.mark.parametrize("mode", [0o604, 0o640 | 0o004, 0o666])
def test_a_secret_file_that_others_can_read_is_a_fault(tmp_path: Path, mode: int) -> None:
    path = changed(tmp_path, ("env:SHOP_PASSWORD", "file:password"))
    (tmp_path / "password").write_text(SECRET)
    (tmp_path / "password").chmod(mode)
    (fault,) = faults(path)
    assert "targets[0].roles.shop_app.password: a value not shown here: expected a file that only its owner can read" in fault


def test_a_secret_file_that_is_missing_is_a_fault_unless_files_are_elsewhere(tmp_path: Path) -> None:
    path = changed(tmp_path, ("env:SHOP_PASSWORD", "file:password"))
    assert "expected a file that is there" in faults(path)[0]
    assert isinstance(load(path, files=False), Config)
