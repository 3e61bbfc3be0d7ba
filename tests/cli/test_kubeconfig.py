"""What ``gatebook kubeconfig`` writes, and what it leaves as it was."""

import stat
from base64 import b64decode
from pathlib import Path

import pytest
import yaml

from gatebook.cli.apiclient import Gateway, RefusedError, UsageError
from gatebook.cli.kubeconfig import Wish, configuration, plugin, server_of, written_into
from gatebook.cli.places import Place

PLACE = Place("kubernetes", "gateway.example.org", 8444, True, "agent-7")
WISH = Wish(target="prod", context="gatebook-prod")


def test_role_purpose_and_hold_are_in_the_address() -> None:
    wish = Wish(target="prod", context="c", role="deployer", why="OPS-7: roll back/now", hold="wait")
    assert (
        server_of(wish, PLACE)
        == "https://gateway.example.org:8444/k8s/prod+role=deployer+why=OPS-7%3A%20roll%20back%2Fnow+hold=wait"
    )
    assert server_of(WISH, Place("kubernetes", "::1", 8444, True, "a")) == "https://[::1]:8444/k8s/prod"


def test_a_listener_without_tls_has_no_kubeconfig() -> None:
    with pytest.raises(RefusedError, match="no TLS"):
        server_of(WISH, Place("kubernetes", "127.0.0.1", 8444, False, "agent-7"))
    with pytest.raises(RefusedError, match="not a Kubernetes cluster"):
        server_of(WISH, Place("http", "gateway.example.org", 8444, True, "agent-7"))


def test_it_holds_the_authority_and_how_to_ask_but_no_token(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("an authority")
    gateway = Gateway("https://gateway.example.org:8443", ca)
    made = configuration(WISH, PLACE, gateway, plugin(gateway, str(tmp_path / "provided"), "https://login.example.org"))
    assert b64decode(made["clusters"][0]["cluster"]["certificate-authority-data"]) == b"an authority"
    asks = made["users"][0]["user"]["exec"]
    assert asks["args"] == [
        *("token", "--exec-credential", "--url", "https://gateway.example.org:8443", "--ca", str(ca)),
        *("--from", str(tmp_path / "provided"), "--issuer", "https://login.example.org"),
    ]
    assert asks["interactiveMode"] == "Never"
    assert "token:" not in yaml.safe_dump(made)


def test_a_token_that_is_read_once_cannot_be_asked_for_again() -> None:
    with pytest.raises(UsageError, match="again and again"):
        plugin(Gateway("https://gateway.example.org", None), "-", None)


def test_what_is_in_the_file_stays_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "config"
    mine = {"name": "mine", "cluster": {"server": "https://other"}}
    old = {"name": "gatebook-prod", "cluster": {"server": "https://old"}}
    file.write_text(
        yaml.safe_dump({"clusters": [mine, old], "users": None, "preferences": {"colors": True}, "current-context": "m"})
    )
    gateway = Gateway("https://gateway.example.org", None)
    written_into(file, configuration(WISH, PLACE, gateway, plugin(gateway, None, None)))
    found = yaml.safe_load(file.read_text())
    assert [one["name"] for one in found["clusters"]] == ["mine", "gatebook-prod"]
    assert found["clusters"][1]["cluster"]["server"] == "https://gateway.example.org:8444/k8s/prod"
    assert (found["current-context"], found["preferences"]) == ("gatebook-prod", {"colors": True})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "clusters: {a: 1}", "x: 1\n- 2"])
def test_a_file_that_is_no_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    gateway = Gateway("https://gateway.example.org", None)
    with pytest.raises(UsageError, match="nothing was written"):
        written_into(file, configuration(WISH, PLACE, gateway, plugin(gateway, None, None)))
    assert file.read_text() == text
