"""What TLS towards targets is made of: once, and anew when its files change."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.written import written

from gatebook.cli.demo.certificates import Authority
from gatebook.config import TargetConfig, load
from gatebook.gateway.dial import DialError, Trust


@pytest.fixture
def target(tmp_path: Path) -> TargetConfig:
    config = load(written(tmp_path))
    Authority(tmp_path / "tls")
    return config.targets[0]


def test_trust_is_made_once_for_all_connections_to_a_target(target: TargetConfig) -> None:
    trust = Trust()
    assert trust.context(target) is trust.context(target)


def test_an_authority_that_takes_the_place_of_another_counts_from_the_next_connection_on(
    target: TargetConfig, tmp_path: Path
) -> None:
    trust = Trust()
    before = trust.context(target)
    Authority(tmp_path / "tls")
    after = trust.context(target)
    assert after is not before
    assert [one["serialNumber"] for one in after.get_ca_certs()] != [one["serialNumber"] for one in before.get_ca_certs()]
    assert len(after.get_ca_certs()) == 1, "the one before is not trusted any more"


def test_an_authority_that_is_gone_is_not_trusted_from_memory(target: TargetConfig, tmp_path: Path) -> None:
    trust = Trust()
    trust.context(target)
    (tmp_path / "tls" / "ca.crt").unlink()
    with pytest.raises((DialError, OSError)):
        trust.context(target)


def test_targets_do_not_share_what_they_are_trusted_by(target: TargetConfig, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").path
    changed = target.model_copy(update={"name": "books", "tls": target.tls.model_copy(update={"ca": other})})
    trust = Trust()
    assert trust.context(target).get_ca_certs() != trust.context(changed).get_ca_certs()
    laxer = target.model_copy(update={"tls": target.tls.model_copy(update={"mode": "require"})})
    assert trust.context(laxer).verify_mode != trust.context(target).verify_mode
