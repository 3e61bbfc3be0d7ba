"""Releases of Helm: shown without what they hold, and whole again when they come back."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest

from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import Style
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.native import python_walk, walk
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.covering.resolving import resolve
from gatebook.protocols.http.message import Request
from gatebook.protocols.kubernetes.covering import SECRETS, plan_for, secrets_set
from gatebook.protocols.kubernetes.dialect import Kubernetes
from gatebook.protocols.kubernetes.helm import SEALED
from gatebook.protocols.kubernetes.paths import Place
from gatebook.protocols.kubernetes.reading import Shape
from gatebook.protocols.relay import Covering

PASSWORD = "correct horse battery"
WHERE = "/api/v1/namespaces/a/secrets/sh.helm.release.v1.shop.v1"
MANIFEST = f"""---
# Source: shop/templates/secret.yaml
apiVersion: v1
kind: Secret
metadata: {{name: db}}  # the password is {PASSWORD}
data:
  pw: {b64encode(PASSWORD.encode()).decode()}
stringData:
  other: |
    two lines
    of it
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: plain}}
data: {{colour: green}}
"""


def plan(style: Style = Style.TOKEN, key: bytes = b"k") -> Plan:
    covering = Covering({SECRETS: secrets_set(style)}, frozenset({SECRETS}), NAMES, b"h" * 32, {SECRETS: (key * 64,)})
    return plan_for(Place(verb="get", resource="secrets"), covering, [SECRETS], ())


def release(**changes: Any) -> dict[str, Any]:
    file = {"name": "LICENSE", "data": b64encode(b"do what you like\n").decode()}
    usual = {
        "name": "shop", "version": 1, "namespace": "a", "info": {"status": "deployed", "notes": f"It is {PASSWORD}."},
        "config": {
            "pw": PASSWORD, "db_password": "hunter22hunter", "port": 5432, "on": True, "of": None, "list": ["a", PASSWORD],
        },
        "manifest": MANIFEST, "hooks": [{"name": "h", "manifest": MANIFEST.replace("db", "hook")}],
        "chart": {"metadata": {"name": "shop"}, "values": {"pw": ""}, "templates": [file], "files": None},
    }  # fmt: skip
    return usual | changes


def packed(found: dict[str, Any]) -> str:
    return b64encode(b64encode(gzip.compress(json.dumps(found).encode()))).decode()


def unpacked(written: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(b64decode(b64decode(written))))
    return found


def shown(written: str, of: Plan | None = None, make: Any = walk) -> str:
    cover = JsonCover(of or plan(), make=make)
    text = json.dumps({"kind": "Secret", "data": {"release": written}, "type": "helm.sh/release.v1"}).encode()
    found: str = json.loads(cover.feed(text) + cover.finish())["data"]["release"]
    return found


def back(written: str, of: Plan | None = None, field: str = "data") -> tuple[str, str]:
    """What goes on of a release that is written, and why it may not."""
    request = Request("PUT", "https", "k8s", WHERE, ((b"content-type", b"application/json"),))
    found = resolve(request, json.dumps({"kind": "Secret", field: {"release": written}}).encode(), of or plan())
    return json.loads(found.content)[field]["release"], found.refusal


def changed(written: str, change: Callable[[dict[str, Any]], None]) -> str:
    found = unpacked(written)
    change(found)
    return packed(found)


@pytest.mark.parametrize("make", [walk, python_walk])
def test_a_release_is_shown_without_what_it_holds(make: Any) -> None:
    found = unpacked(shown(packed(release()), make=make))
    files = found["chart"].pop("files")
    assert [one["name"] for one in files] == [SEALED]
    text = json.dumps(found)
    for secret in (PASSWORD, b64encode(PASSWORD.encode()).decode(), "hunter22hunter", "two lines"):
        assert secret not in text
    assert found["config"]["pw"].startswith("gbk_")
    assert found["config"]["db_password"].startswith("gbk_")
    assert (found["config"]["port"], found["config"]["on"], found["config"]["of"]) == (5432, True, None)
    assert found["config"]["list"][0] == "a"
    assert found["manifest"].startswith("---\n# Source: shop/templates/secret.yaml\n")
    assert found["manifest"].endswith(MANIFEST[MANIFEST.rindex("---") :]), "what holds nothing is as it was"
    assert found["chart"] == {key: value for key, value in release()["chart"].items() if key != "files"}


def test_a_release_that_comes_back_is_what_it_was() -> None:
    once = shown(packed(release()))
    assert unpacked(back(once)[0]) == release()
    later = changed(once, lambda one: one["info"].update(status="superseded"))
    assert unpacked(back(later)[0])["info"] == {"status": "superseded", "notes": f"It is {PASSWORD}."}
    rolled = changed(once, lambda one: one.update(version=3))
    assert unpacked(back(rolled)[0]) == release(version=3)


def test_tokens_in_a_new_release_stand_for_their_values() -> None:
    once = unpacked(shown(packed(release())))
    fresh = release(
        config=once["config"], manifest=once["manifest"], hooks=[], version=2, info={"notes": once["info"]["notes"]}
    )
    found = unpacked(back(packed(fresh))[0])
    assert found["config"]["pw"] == PASSWORD
    assert found["config"]["list"] == ["a", PASSWORD]
    assert b64encode(PASSWORD.encode()).decode() in found["manifest"]
    assert "two lines\\nof it\\n" in found["manifest"]
    assert "gbk_" not in found["manifest"] + json.dumps(found["config"])


def test_a_cover_never_goes_back() -> None:
    for value in ("****", "<secret>", "c****"):
        why = back(packed(release(config={"db_password": value})))[1]
        assert "write a covered value over the real one" in why
        text = MANIFEST.replace(b64encode(PASSWORD.encode()).decode(), b64encode(value.encode()).decode())
        assert "write a covered value over the real one" in back(packed(release(manifest=text)))[1]
    long = release(manifest=MANIFEST.replace("two lines", "x" * 20_000))
    once = shown(packed(long))
    assert unpacked(back(once)[0]) == long
    alone = changed(once, lambda one: one["chart"].update(files=None))
    assert "write a covered value over the real one" in back(alone)[1]


def test_a_value_goes_nowhere_where_it_would_be_seen() -> None:
    once = shown(packed(release()))
    token = unpacked(once)["config"]["pw"]

    def without_secrets(one: dict[str, Any]) -> None:
        one.update(manifest="", hooks=[])

    assert "shown otherwise before" in back(changed(once, without_secrets))[1]
    plain = release(manifest="", hooks=[], info={}, config={"colour": token})
    assert "only be the whole value" in back(packed(plain))[1]
    settings = f"kind: ConfigMap\ndata: {{colour: {token}}}\n"
    assert "only be the whole value" in back(packed(release(manifest=settings)))[1]
    within = f"kind: Secret\nstringData: {{url: 'postgres://u:{token}@h'}}\n"
    assert "only be the whole value" in back(packed(release(manifest=within)))[1]
    assert "only be the whole value" in back(packed(release(config={"url": f"postgres://u:{token}@h"})))[1]


def test_a_seal_of_another_run_or_that_was_changed_is_none() -> None:
    once = shown(packed(release()), plan(key=b"o"))
    assert "token of another run" in back(once)[1]

    def other(one: dict[str, Any]) -> None:
        data = one["chart"]["files"][0]["data"]
        one["chart"]["files"][0]["data"] = data[:40] + ("A" if data[40] != "A" else "B") + data[41:]

    assert "token of another run" in back(changed(shown(packed(release())), other))[1]


def test_a_release_comes_back_as_a_string_too() -> None:
    once = b64decode(shown(packed(release()))).decode()
    found, why = back(once, field="stringData")
    assert not why
    assert json.loads(gzip.decompress(b64decode(found))) == release()


@pytest.mark.parametrize(
    "found",
    [
        release(manifest="kind: Secret\ndata: &a {x: eA==}\nstringData: *a\n"), release(manifest="kind: Secret\ndata: {x: y"),
        release(manifest="kind: Secret\ndata: " + "[" * 100 + "]" * 100), release(chart=None), release(manifest=None),
        {key: value for key, value in release().items() if key != "info"},
        release(manifest="kind: Secret\n<<: {data: {a: b}}\n"),
        release(manifest="password: hunter22hunter\n...\npassword: hunter22hunter\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_whole_is_covered_whole(found: dict[str, Any]) -> None:
    written = shown(packed(found))
    assert b64decode(written).startswith(b"gbk_")
    assert back(written) == (packed(found), "")


def test_a_release_that_grows_without_end_is_not_unpacked() -> None:
    bomb = b64encode(b64encode(gzip.compress(b" " * 100_000_000))).decode()
    assert b64decode(shown(bomb)) == b"****"


@pytest.mark.parametrize("style", [Style.REDACT, Style.HASH, Style.PARTIAL])
def test_other_styles_show_nothing_of_a_release(style: Style) -> None:
    assert len(b64decode(shown(packed(release()), plan(style)))) < 30


def test_other_fields_are_not_looked_into() -> None:
    cover = JsonCover(plan())
    text = json.dumps({"kind": "Secret", "data": {"other": packed(release())}}).encode()
    assert b64decode(json.loads(cover.feed(text) + cover.finish())["data"]["other"]).startswith(b"gbk_")


def test_content_without_a_type_is_json_whose_tokens_stand_for_values() -> None:
    """The Python client says none: a token would be written for the value."""
    cover = JsonCover(plan())
    text = json.dumps({"kind": "Secret", "data": {"pw": b64encode(PASSWORD.encode()).decode()}}).encode()
    shown_once = cover.feed(text) + cover.finish()
    request = Kubernetes(Shape()).meant(Request("POST", "https", "k8s", WHERE.rpartition("/")[0], ()))
    assert json.loads(resolve(request, shown_once, plan()).content) == json.loads(text)
