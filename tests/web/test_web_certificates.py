"""Certificates of SSH over the API: for whom, for which hosts, and what the book has before one is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    load_ssh_public_identity,
)
from tests.identity.issuer import NOW, SECOND, token
from tests.web.place import Place, open_place
from tests.web.test_web_api import bearer, exchanged

from gatebook.identity.certificates import Authority
from gatebook.identity.store import ID_CHARACTERS
from gatebook.identity.tokens import digest_of

PUBLIC = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
PATH = "/api/v1/ssh/certificates"
HOSTS = [
    {
        "name": name, "protocol": "ssh", "address": "127.0.0.1:1", "host_keys": [PUBLIC], "default_role": "app",
        "roles": {"app": {"password": "env:NOWHERE"}},
    }
    for name in ("web1", "web2")
]  # fmt: skip
LISTENERS = {"api": {"bind": "127.0.0.1:18443"}, "public_url": "http://127.0.0.1:18443"}


def place_with(folder: Path, **listener: Any) -> Any:
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (folder / "authority").write_bytes(key)
    listeners = LISTENERS | {"ssh": {"bind": "127.0.0.1:12222", **listener}}
    return open_place(folder, authority=Authority(folder / "authority"), targets=HOSTS, listeners=listeners)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_with(tmp_path) as made:
        made.may_open = lambda _identity, name, _why: name == "web1"
        yield made


def ask(client: httpx.AsyncClient, sent: str, **body: Any) -> Any:
    return client.post(PATH, headers=bearer(sent), json={"public_key": PUBLIC} | body)


def read(answer: httpx.Response) -> SSHCertificate:
    found = load_ssh_public_identity(answer.json()["certificate"].encode())
    assert isinstance(found, SSHCertificate)
    return found


async def test_it_names_the_hosts_that_its_asker_may_open_and_the_book_has_it_first(place: Place) -> None:
    async with place.client() as client:
        held = await exchanged(client)
        place.pages.entries.clear()
        answer = await ask(client, held)
    said = answer.json()
    assert (answer.status_code, said["principals"], said["host"], said["port"]) == (201, ["web1"], "127.0.0.1", 12222)
    assert read(answer).valid_principals == [b"web1"]
    (entry,) = place.pages.entries
    assert entry.kind == "certificate.issue"
    number = (digest_of(held) or b"").hex()[:ID_CHARACTERS]
    assert {name: entry.fields[name] for name in ("serial", "token", "targets", "exp")} == {
        "serial": said["serial"], "token": number, "targets": ["web1"], "exp": NOW + 300 * SECOND,
    }  # fmt: skip
    assert said["certificate"] not in str(entry.fields)


async def test_a_providers_token_has_a_gateway_token_made_that_nobody_holds(place: Place) -> None:
    async with place.client() as client:
        answer = await ask(client, token())
    (one,) = place.tokens.issued(10)
    assert answer.json()["key_id"].endswith(one.id)
    assert "gbt_" not in answer.text


async def test_without_the_book_nobody_gets_one(place: Place) -> None:
    async with place.client() as client:
        held = await exchanged(client)
        place.pages.full = True
        answer = await ask(client, held)
    assert (answer.status_code, 'certificate"' in answer.text) == (503, False)


async def test_what_may_not_be_opened_is_not_named(place: Place) -> None:
    async with place.client() as client:
        held = await exchanged(client)
        for body in ({"targets": ["web1", "web2"]}, {"targets": ["nowhere"]}):
            answer = await ask(client, held, **body)
            assert (answer.status_code, "that you may open" in answer.text) == (403, True)
        place.may_open = lambda _identity, _name, why: why == "OPS-7"
        assert (await ask(client, held)).status_code == 403
        assert (await ask(client, held, why="OPS-7")).json()["principals"] == ["web1", "web2"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"public_key": "ssh-ed25519 AAAA"}, "public_key: expected a public key"),
        ({"public_key": 7}, "public_key: expected a string"),
        ({"targets": [1]}, "targets: expected names"),
        ({"why": "x" * 1_000}, "why: expected"),
        ({"why": "a\nb"}, "why: expected"),
        ({"principals": ["root"]}, "'principals' is not known here"),
    ],
)
async def test_bad_requests_hear_what_was_expected(place: Place, body: dict[str, Any], said: str) -> None:
    async with place.client() as client:
        answer = await ask(client, await exchanged(client), **body)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


async def test_strangers_get_none(place: Place) -> None:
    async with place.client() as client:
        assert (await client.post(PATH, json={"public_key": PUBLIC})).status_code == 401
        assert (await ask(client, "gbt_" + "x" * 43)).status_code == 401


async def test_it_counts_from_its_askers_address_alone_where_that_is_wanted(tmp_path: Path) -> None:
    with place_with(tmp_path, certificate_source="asker", certificate_seconds=60) as place:
        place.may_open = lambda _identity, _name, _why: True
        async with place.client("127.0.0.9") as client:
            found = read(await ask(client, await exchanged(client)))
    assert found.critical_options == {b"source-address": b"127.0.0.9/32"}
    assert found.valid_before == NOW // SECOND + 60
