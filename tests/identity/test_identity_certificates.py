"""Certificates of users of SSH: each stands on a token, is listed by all of its bytes, and by itself counts for nothing."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)
from sqlalchemy import Engine
from tests.identity.issuer import NOW, SECOND
from tests.identity.test_identity_tokens import HOUR, IDENTITY

from gatebook.db import engine, migrate, writing
from gatebook.errors import ConfigError, IdentityError
from gatebook.identity import certificates as made_by
from gatebook.identity import store
from gatebook.identity.certificates import LIVE_CERTIFICATES, Authority, Certificates, Issued, UserKey, user_key
from gatebook.identity.tokens import GatewayTokens, digest_of

KEY = ed25519.Ed25519PrivateKey.generate().public_key()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Engine]:
    made = engine(f"sqlite:///{tmp_path}/gatebook.db")
    migrate(made)
    yield made
    made.dispose()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    path = tmp_path / "authority"
    key = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return Authority(path)


class Desk:
    """Tokens and certificates of one database."""

    def __init__(self, source: Engine, authority: Authority) -> None:
        self.source, self.authority = source, authority
        self.tokens, self.certificates = GatewayTokens(source), Certificates(source)
        self.token = self.tokens.issue(IDENTITY, now=NOW, seconds=HOUR)

    def issue(self, key: UserKey = KEY, *, now: int = NOW, seconds: int = 600, purpose: str = "", address: str = "") -> Issued:
        held = self.tokens.find(self.token, now) or IDENTITY
        return self.certificates.issue(
            self.authority, held, digest_of(self.token) or b"", key, ["web1", "db1"],
            now=now, seconds=seconds, purpose=purpose, address=address,
        )  # fmt: skip


@pytest.fixture
def desk(source: Engine, authority: Authority) -> Desk:
    return Desk(source, authority)


def read(issued: Issued) -> SSHCertificate:
    found = load_ssh_public_identity(issued.line.encode())
    assert isinstance(found, SSHCertificate)
    found.verify_cert_signature()
    return found


def blob(issued: Issued) -> bytes:
    return b64decode(issued.line.split()[1])


@pytest.mark.parametrize(
    "key",
    [KEY, ec.generate_private_key(ec.SECP256R1()).public_key(), rsa.generate_private_key(65_537, 2_048).public_key()],
    ids=["ed25519", "ecdsa", "rsa"],
)
def test_a_certificate_says_who_where_and_until_when(desk: Desk, key: UserKey) -> None:
    issued = desk.issue(key)
    found = read(issued)
    assert (found.type, found.serial, found.valid_principals) == (SSHCertificateType.USER, issued.serial, [b"db1", b"web1"])
    assert found.valid_before == (NOW + 600 * SECOND) // SECOND
    assert found.valid_after == NOW // SECOND - 60
    assert found.key_id.decode() == issued.key_id == f"gatebook agent-7 {(digest_of(desk.token) or b'').hex()[:16]}"
    assert found.critical_options == {}
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert issued.fingerprint == asyncssh.import_public_key(line).get_fingerprint()


def test_it_proves_whom_its_token_proves(desk: Desk) -> None:
    proven = desk.certificates.find(blob(desk.issue(purpose="OPS-7")), NOW)
    assert proven.identity == replace(IDENTITY, expires_at=NOW + HOUR * SECOND)
    assert (proven.token, proven.purpose) == (digest_of(desk.token), "OPS-7")


def test_it_ends_with_its_time_its_token_or_its_tokens_time(desk: Desk) -> None:
    short, long = desk.issue(seconds=60), desk.issue(seconds=86_400)
    with pytest.raises(IdentityError, match="expired at"):
        desk.certificates.find(blob(short), NOW + 60 * SECOND)
    assert read(long).valid_before == NOW // SECOND + HOUR
    with pytest.raises(IdentityError, match="expired at"):
        desk.certificates.find(blob(long), NOW + HOUR * SECOND)
    desk.tokens.revoke(desk.token, NOW)
    with pytest.raises(IdentityError, match="was revoked"):
        desk.certificates.find(blob(long), NOW)


def test_it_ends_when_all_of_an_identitys_tokens_do(desk: Desk) -> None:
    issued = desk.issue()
    desk.tokens.revoke_all(IDENTITY.issuer, IDENTITY.subject, NOW)
    with pytest.raises(IdentityError, match="was revoked"):
        desk.certificates.find(blob(issued), NOW)


def test_one_byte_more_or_another_signature_is_another_certificate(desk: Desk) -> None:
    issued = desk.issue()
    for other in (blob(issued) + b"\0", blob(issued)[:-1] + bytes([blob(issued)[-1] ^ 1]), b""):
        with pytest.raises(IdentityError, match="not known here"):
            desk.certificates.find(other, NOW)


def test_a_browsers_token_gives_no_certificate_to_anybody(desk: Desk, source: Engine) -> None:
    issued = desk.issue()
    with writing(source) as connection:
        connection.exec_driver_sql("UPDATE gateway_tokens SET target = 'billing'")
    with pytest.raises(IdentityError, match="not known here"):
        desk.certificates.find(blob(issued), NOW)


def test_serial_numbers_grow_whatever_the_clock_does(desk: Desk) -> None:
    numbers = [desk.issue(now=now).serial for now in (NOW, NOW, NOW - SECOND, NOW + 5)]
    assert numbers == [NOW, NOW + 1, NOW + 2, NOW + 5]


def test_a_token_has_so_many_certificates_and_no_more(desk: Desk) -> None:
    for _ in range(LIVE_CERTIFICATES):
        desk.issue()
    with pytest.raises(IdentityError, match="stand on this token"):
        desk.issue()
    assert desk.issue(now=NOW + 601 * SECOND).serial


def test_what_ended_long_ago_is_forgotten(desk: Desk, source: Engine) -> None:
    issued = desk.issue(seconds=60)
    with writing(source) as connection:
        store.delete_expired_certificates(connection, NOW + 61 * SECOND)
    with pytest.raises(IdentityError, match="not known here"):
        desk.certificates.find(blob(issued), NOW)


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.7", b"192.0.2.7/32"), ("2001:db8::1", b"2001:db8::1/128"), ("fe80::1%eth0", b"fe80::1/128")],
)
def test_it_may_be_bound_to_its_askers_address(desk: Desk, address: str, network: bytes) -> None:
    assert read(desk.issue(address=address)).critical_options == {b"source-address": network}


def test_an_asker_without_an_address_gets_none_that_is_bound_to_it(desk: Desk) -> None:
    with pytest.raises(IdentityError, match="has none"):
        desk.issue(address="testclient")


def test_an_identity_that_is_over_gets_none(desk: Desk) -> None:
    with pytest.raises(IdentityError, match="has expired"):
        desk.issue(now=NOW + HOUR * SECOND)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 " + "A" * made_by.KEY_CHARACTERS,
        "ssh-dss AAAAB3NzaC1kc3MAAAAB",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com AAAA",
        rsa.generate_private_key(65_537, 1_024).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        "\ud800 AAAA",
    ],
    ids=["nothing", "no key", "cut", "long", "dsa", "certificate", "rsa of 1024", "no text"],
)
def test_what_is_no_fit_key_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"a public key|an RSA key|an Ed25519"):
        user_key(line)


def test_a_certificate_is_no_key_of_which_another_is_made(desk: Desk) -> None:
    with pytest.raises(ValueError, match="a public key"):
        user_key(desk.issue().line)


def test_an_authority_shows_nothing_of_its_key(tmp_path: Path, authority: Authority) -> None:
    assert repr(authority) == "Authority(…)"
    path = tmp_path / "other"
    path.write_text("no key")
    with pytest.raises(ConfigError, match="private key of an authority"):
        Authority(path)
