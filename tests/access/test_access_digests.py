"""The digest that binds a yes: every field counts, and no two different actions have the same."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.access.party import AGENT
from tests.make import NOW

from gatebook.access.digests import digest, grant_digest
from gatebook.model import Kind, Reach

FIELDS: dict[str, Any] = {
    "text": "UPDATE t SET a = $1",
    "parameters": (b"1",),
    "forms": ("text 23",),
    "settings": "DateStyle=ISO, MDY",
    "role": "app",
    "database": "shop",
    "search_path": ("public",),
    "target": "shop",
    "server": "7412",
    "policy_digest": "sha256:rules",
    "requester": AGENT,
    "resources": ("sql.update table public.t",),
    "purpose": "OPS-7",
}
OTHERS: dict[str, list[Any]] = {
    "text": ["UPDATE t SET a = $1 ", "update t SET a = $1", "UPDATE t SET a = $1\0", "\ud800"],
    "parameters": [(), (None,), (b"",), (b"1", b""), (b"1", None), (b"\x001",), (b"31",)],
    "forms": [(), ("binary 23",), ("text 0",), ("text 23", "text 23")],
    "settings": ["", "DateStyle=ISO, DMY"],
    "role": ["App", ""],
    "database": ["shop2"],
    "search_path": [(), ("public", ""), ("public,pg_temp",), ("public", "pg_temp"), ("pg_temp", "public")],
    "target": ["shop2"],
    "server": ["7413", ""],
    "policy_digest": ["sha256:other"],
    "requester": [
        replace(AGENT, subject="other"),
        replace(AGENT, issuer="https://other.example"),
        replace(AGENT, on_behalf_of="olga"),
        replace(AGENT, kind=Kind.CI),
    ],
    "resources": [(), ("sql.update table public.u",), ("sql.update table public.t", "sql.select table public.t")],
    "purpose": ["", "OPS-8", "ops-7"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in OTHERS.items() for value in values])
def test_every_field_of_an_action_matters(name: str, value: Any) -> None:
    assert digest(**FIELDS) != digest(**(FIELDS | {name: value}))


def test_every_field_of_an_action_is_tried() -> None:
    assert OTHERS.keys() == FIELDS.keys() == signature(digest).parameters.keys()


def test_a_later_proof_of_the_same_identity_has_the_same_digest() -> None:
    fresh = replace(AGENT, proven_at=NOW, expires_at=NOW + 1, groups=frozenset({"other"}))
    assert digest(**FIELDS) == digest(**(FIELDS | {"requester": fresh}))
    assert digest(**FIELDS).startswith("sha256:")


words = some.text(max_size=6)
ACTIONS = some.fixed_dictionaries(
    {
        "text": words,
        "parameters": some.lists(some.none() | some.binary(max_size=4), max_size=3).map(tuple),
        "forms": some.lists(words, max_size=2).map(tuple),
        "settings": words,
        "role": words,
        "database": words,
        "search_path": some.lists(words, max_size=3).map(tuple),
        "target": words,
        "server": words,
        "policy_digest": words,
        "requester": some.builds(replace, some.just(AGENT), subject=words, issuer=words, on_behalf_of=some.none() | words),
        "resources": some.lists(words, max_size=3).map(tuple),
        "purpose": words,
    }
)


@given(ACTIONS, ACTIONS)
def test_two_actions_share_a_digest_only_when_they_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (digest(**one) == digest(**other)) == (one == other)


@given(ACTIONS, some.data())
def test_what_moves_from_one_field_to_the_next_changes_the_digest(one: dict[str, Any], data: some.DataObject) -> None:
    first, second = data.draw(some.permutations(["text", "role", "database", "target", "server", "policy_digest"]))[:2]
    assert digest(**(one | {first: one[first] + "x"})) != digest(**(one | {second: one[second] + "x"}))


def test_a_grant_and_an_action_never_share_a_digest() -> None:
    asked: dict[str, Any] = {"requester": AGENT, "targets": ["shop"], "reach": Reach.READ, "seconds": 60, "why": "x"}
    changes = {"targets": ["shop", "vault"], "reach": Reach.WRITE, "seconds": 61, "why": "y"}
    changes["requester"] = replace(AGENT, subject="other")
    found = [grant_digest(**asked), *(grant_digest(**(asked | {name: value})) for name, value in changes.items())]
    assert len({*found, digest(**FIELDS)}) == len(asked) + 2
    assert grant_digest(**(asked | {"targets": ["vault", "shop"]})) == grant_digest(**(asked | {"targets": ["shop", "vault"]}))
