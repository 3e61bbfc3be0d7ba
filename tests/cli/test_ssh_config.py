"""What `gatebook ssh-config` writes: words of the gateway alone, files of their owner alone, one host under each name."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)
from tests.testbed.hosts import program

from gatebook.cli.apiclient import Gateway, RefusedError, UsageError
from gatebook.cli.sshconfig import renewal
from gatebook.cli.sshidentity import Given, _checked, _key, configuration, kept_at, known_hosts, lives, script

AUTHORITY = Ed25519PrivateKey.generate()
PUBLIC = AUTHORITY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
GATEWAY = Gateway("https://gate.test:8443", None)


def certificate(key: Ed25519PrivateKey, ends: int) -> str:
    built = SSHCertificateBuilder().public_key(key.public_key()).serial(1).type(SSHCertificateType.USER)
    return built.valid_principals([b"web1"]).valid_after(0).valid_before(ends).sign(AUTHORITY).public_bytes().decode()


ANSWER: dict[str, Any] = {
    "certificate": certificate(AUTHORITY, 100),
    "host": "gate.test",
    "port": 2222,
    "principals": ["web1", "db-1"],
    "host_authority": PUBLIC,
}
GIVEN = Given(ANSWER["certificate"], ("web1", "db-1"), "gate.test", 2222, PUBLIC)


def test_each_target_is_a_host_of_the_gateways(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(configuration(GIVEN, tmp_path))
    found = subprocess.run([program("ssh"), "-F", str(file), "-G", "db-1"], capture_output=True, text=True, check=True).stdout
    lines = found.splitlines()
    wanted = [
        "hostname gate.test", "port 2222", "user db-1", f"identityfile {tmp_path}/id_ed25519", "identitiesonly yes",
        "stricthostkeychecking true", f"userknownhostsfile {tmp_path}/known_hosts",
    ]  # fmt: skip
    assert [line for line in wanted if line not in lines] == []


def test_the_renewal_is_run_for_these_hosts_alone(tmp_path: Path) -> None:
    folder, seen = tmp_path / "a folder", tmp_path / "seen"
    folder.mkdir()
    script = folder / "renew"
    script.write_text(f'#!/bin/sh\necho ran > "{seen}"\n')
    script.chmod(0o700)
    file = folder / "config"
    file.write_text(configuration(GIVEN, folder, renews=True))
    for name, ran in (("web1", True), ("other", False)):
        seen.unlink(missing_ok=True)
        subprocess.run([program("ssh"), "-F", str(file), "-G", name], capture_output=True, check=True)
        assert seen.exists() == ran


def test_the_authority_is_trusted_for_the_gateways_address_alone() -> None:
    assert known_hosts(GIVEN) == f"@cert-authority [gate.test]:2222 {PUBLIC}\n"
    assert known_hosts(Given(GIVEN.certificate, (), "gate.test", 22, PUBLIC)).startswith("@cert-authority gate.test ssh-")


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "gate.test\n  ProxyCommand touch /tmp/x"},
        {"host": "-oProxyCommand=x"},
        {"principals": ["web1\nHost *"]},
        {"principals": ["*"]},
        {"principals": ["-x"]},
        {"principals": "web1"},
        {"port": 0},
        {"port": "22"},
        {"certificate": "ssh-ed25519-cert-v01@openssh.com AAAA\nssh-rsa AAAA"},
        {"certificate": PUBLIC},
        {"host_authority": f"{PUBLIC}\n* {PUBLIC}"},
        {"host_authority": None},
    ],
)
def test_a_gateways_answer_is_words_and_never_a_line_more(wrong: dict[str, Any]) -> None:
    assert _checked(ANSWER) == GIVEN
    with pytest.raises(RefusedError, match="no certificate for SSH"):
        _checked(ANSWER | wrong)


def test_a_folder_that_a_configuration_cannot_name_is_refused() -> None:
    for name in ('a"b', "a'b", "a\nb", "a%b", "a$b"):
        with pytest.raises(UsageError, match="expected a folder whose name"):
            configuration(GIVEN, Path("/tmp") / name)


def test_a_key_is_made_once_and_made_anew_where_others_could_read_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = _key(path).private_bytes_raw()
    assert (path.stat().st_mode & 0o777, _key(path).private_bytes_raw()) == (0o600, first)
    path.chmod(0o644)
    assert _key(path).private_bytes_raw() != first
    assert path.stat().st_mode & 0o777 == 0o600
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(path)
    _key(elsewhere)
    assert not elsewhere.is_symlink()


def test_a_certificate_lives_until_shortly_before_its_end(tmp_path: Path) -> None:
    assert not lives(tmp_path, 0)
    key = _key(tmp_path / "id_ed25519")
    (tmp_path / "id_ed25519-cert.pub").write_text(certificate(key, 1_000) + "\n")
    assert [lives(tmp_path, now) for now in (0, 939, 940, 2_000)] == [True, True, False, False]
    (tmp_path / "id_ed25519-cert.pub").write_text("nonsense")
    assert not lives(tmp_path, 0)


@pytest.mark.parametrize(
    ("lasts", "there", "ran"), [(600, True, False), (30, True, True), (-600, True, True), (600, False, True)]
)
def test_a_shell_looks_first_whether_the_renewal_has_to_be_run(tmp_path: Path, lasts: int, there: bool, ran: bool) -> None:
    place, seen = tmp_path / "a folder", tmp_path / "seen"
    place.mkdir()
    given = replace(GIVEN, certificate=certificate(_key(tmp_path / "key"), int(time.time()) + lasts))
    if there:
        (place / "id_ed25519-cert.pub").write_text(given.certificate)
    (tmp_path / "renew").write_text(script(given, place, ["touch", str(seen)]))
    subprocess.run(["/bin/sh", str(tmp_path / "renew")], check=True)
    assert seen.exists() == ran


def test_the_renewal_has_no_token_and_all_that_finds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEBOOK_TOKEN", "gbt_secret")
    argv = renewal(Gateway("https://gate.test", Path("ca.crt")), "token", "https://issuer", Path("/f"), "OPS-7")
    here = os.getcwd()
    assert argv[1:] == [
        "ssh-config", "--renew", "--folder", "/f", "--url", "https://gate.test", "--ca", f"{here}/ca.crt",
        "--from", f"{here}/token", "--issuer", "https://issuer", "--why", "OPS-7",
    ]  # fmt: skip


def test_where_a_key_is_kept_tells_nothing_and_differs_by_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    found = set()
    for token in ("gbt_one", "gbt_two"):
        monkeypatch.setenv("GATEBOOK_TOKEN", token)
        found |= {kept_at(GATEWAY, None, None, why) for why in ("", "OPS-7")}
    assert len(found) == 4
    assert not [path for path in found if "gbt" in str(path) or "gate" in path.name]
