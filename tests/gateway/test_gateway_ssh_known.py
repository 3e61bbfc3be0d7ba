"""Which targets a forward would reach around the gateway, however it spells them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.test_config_ssh import WITH
from tests.config.written import written

from gatebook.config import load
from gatebook.gateway.ssh import known


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("web1.internal", 22, "web1"),
        ("WEB1.Internal.", 22, "web1"),
        ("web1.internal", 2222, None),
        ("web1", 22, None),
        ("other.internal", 22, None),
        ("/web1.internal:22", -1, None),
    ],
)
def test_a_target_is_known_by_its_address_in_any_spelling(tmp_path: Path, host: str, port: int, found: str | None) -> None:
    there = known.at(load(written(tmp_path, WITH)), host, port)
    assert (there.name if there is not None else None) == found


@pytest.mark.parametrize(
    ("configured", "asked"),
    [
        ("192.0.2.7:22", "::ffff:192.0.2.7"),
        ("192.0.2.7:22", "::FFFF:c000:207"),
        ('"[2001:db8::7]:22"', "2001:DB8:0:0::7"),
        ('"[2001:db8::7]:22"', "[2001:db8::7]"),
    ],
)
def test_an_address_has_many_spellings(tmp_path: Path, configured: str, asked: str) -> None:
    config = load(written(tmp_path, WITH.replace("web1.internal:22", configured)))
    there = known.at(config, asked, 22)
    assert there is not None
    assert there.name == "web1"


def test_every_target_has_a_place(tmp_path: Path) -> None:
    config = load(written(tmp_path, WITH))
    for target in config.targets:
        host, _, port = target.place.rpartition(":")
        assert known.at(config, host.strip("[]"), int(port)) is not None
