from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.config.written import WHOLE, changed, written

from gatebook.config import Address, SecretReference, load
from gatebook.config.shape import cores
from gatebook.errors import ConfigError
from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import ColumnPattern, FieldPattern, HeaderPattern, MaskSet, Style
from gatebook.model import Kind


def test_a_whole_file_gives_every_value_typed(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    provider, target = config.identity.providers[0], config.targets[0]
    assert config.deployment == "demo"
    assert config.home == tmp_path
    assert config.listeners.postgres.bind == Address("127.0.0.1", 15432)
    assert config.listeners.api.tls is not None
    assert config.listeners.api.tls.cert == tmp_path / "tls/gateway.crt"
    assert (provider.kind.claim, provider.kind.always, provider.ca) == ("kind", None, tmp_path / "tls/ca.crt")
    assert provider.attributes == ("agent", "model", "model_version")
    assert (target.tls.mode, target.tls.name, target.databases) == ("verify-full", "localhost", ("shop",))
    assert config.masking.sets["pii"] == MaskSet(
        "pii", tuple(ColumnPattern("*", "*", name) for name in ("ssn", "card", "email")), Style.PARTIAL
    )
    assert config.masking.detectors == NAMES
    assert config.ledger.folder == tmp_path / "ledger"
    assert config.limits.sessions == 500
    assert config.replica == "1"
    assert config.worker_count == min(8, cores())


def test_what_may_be_left_out_has_a_careful_default(tmp_path: Path) -> None:
    path = changed(
        tmp_path,
        ("    tls: {mode: verify-full, ca: tls/ca.crt, name: localhost}\n", ""),
        ("    databases: [shop]\n", ""),
        (", style: partial", ""),
        ("  detectors: all\n", ""),
        (", durability: writes", ""),
        ("limits: {login_seconds: 30, sessions: 500}\n", ""),
        ("{claim: kind}", "{always: agent}"),
        ('replica: "1"\nworkers: auto\n', ""),
    )
    config = load(path)
    assert config.targets[0].tls.mode == "verify-full"
    assert config.targets[0].databases == ("shop",)
    assert config.masking.sets["pii"].style is Style.REDACT
    assert config.masking.detectors == NAMES
    assert config.ledger.durability == "writes"
    assert config.limits.login_seconds == 30
    assert (config.replica, config.worker_count) == ("1", min(8, cores()))
    assert config.identity.providers[0].kind.always is Kind.AGENT


def test_the_number_of_workers_can_be_given(tmp_path: Path) -> None:
    assert load(changed(tmp_path, ("workers: auto", "workers: 3"))).worker_count == 3


@pytest.mark.parametrize("value", ["0", "65", "many", "1.5", "true", '"2"', "[1]", "-1"])
def test_a_number_of_workers_that_cannot_be_is_a_fault(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"workers: .*expected auto, or a number from 1 to 64"):
        load(changed(tmp_path, ("workers: auto", f"workers: {value}")))


def test_the_digest_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert load(path).digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_target_is_found_by_its_name(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    found = config.target("shop")
    assert found is not None
    assert (found.target.address, found.target.labels["env"]) == ("127.0.0.1:15433", "production")
    assert config.target("Shop") is None


def test_paths_lie_beside_the_file_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = load(Path("gatebook.yaml"))
    monkeypatch.chdir("/")
    assert config.policy_files() == {"agents.cedar": "// nothing yet\n"}
    assert config.file == tmp_path / "gatebook.yaml"


def test_policies_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    (tmp_path / "policies/a.cedar").write_text("// first\n")
    (tmp_path / "policies/notes.txt").write_text("not a policy")
    assert list(config.policy_files()) == ["a.cedar", "agents.cedar"]


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    (tmp_path / "policies/agents.cedar").unlink()
    with pytest.raises(ConfigError, match=r"policy\.folder: .*expected at least one"):
        config.policy_files()


def test_nothing_of_a_config_can_be_changed(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    with pytest.raises(ValidationError):
        config.deployment = "other"
    with pytest.raises(TypeError):
        config.targets[0].labels["env"] = "test"  # type: ignore[index]


# Secrets -----------------------------------------------------------------------------------------------------------------


def test_a_secret_is_read_at_its_use_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(written(tmp_path))
    password = config.targets[0].roles["shop_app"].password
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
    assert password.read() == "hunter2"
    assert "hunter2" not in repr(config)
    assert str(password) == "env:SHOP_PASSWORD"


def test_a_secret_that_is_not_set_is_named_by_its_place() -> None:
    with pytest.raises(ConfigError, match="env:GATEBOOK_TEST_NOWHERE: not set"):
        SecretReference("env", "GATEBOOK_TEST_NOWHERE").read()


def test_a_secret_file_loses_its_last_line_end_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b" hunter 2 \n")
    path.chmod(0o600)
    assert SecretReference("file", str(path)).read() == " hunter 2 "


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"x", 0o644, "others can read it"),
        (b"", 0o600, "0 bytes"),
        (b"x" * 70_000, 0o600, "more than"),
        (b"\xff", 0o600, "not UTF-8"),
    ],
)
def test_a_secret_file_is_checked_again_when_it_is_read(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=said):
        SecretReference("file", str(path)).read()


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("host", False),
    ],
)
def test_only_this_machine_counts_as_loopback(host: str, near: bool) -> None:
    assert Address(host, 1).loopback is near


def test_a_mask_set_may_name_fields_and_headers_instead_of_columns(tmp_path: Path) -> None:
    named = "fields: [$.customers.*.ssn, pin], headers: [X-Customer, 'cookie:SID']"
    text = WHOLE.replace('columns: ["*.ssn", "*.card", "*.email"]', named)
    found = load(written(tmp_path, text)).masking.sets["pii"]
    assert found.columns == ()
    assert found.fields == (FieldPattern.parse("$.customers.*.ssn"), FieldPattern.parse("pin"))
    assert found.headers == (HeaderPattern("x-customer"), HeaderPattern("SID", cookie=True))
