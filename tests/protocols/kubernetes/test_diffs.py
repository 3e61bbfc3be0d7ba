"""Objects as people see them: covered, without what each version has of its own, and never at length without an end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gatebook.protocols.kubernetes.diffs import CHANGED, SHOWN_BYTES, Both, Object, standing, told_diff, whole
from gatebook.protocols.kubernetes.paths import Place

SECRETS = Place(verb="update", version="v1", resource="secrets", namespace="prod", name="s")
MAPS = Place(verb="update", version="v1", resource="configmaps", namespace="prod", name="m")
STATUS = Place(verb="update", version="v1", resource="pods", subresource="status", namespace="prod", name="p")


def one(real: Any, covered: Any = None) -> Object:
    return Object(Both(real, real if covered is None else covered))


def changed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line[0] in "+-"]


def test_what_each_version_has_of_its_own_is_left_out() -> None:
    own = {"managedFields": [{"a": 1}], "resourceVersion": "1", "generation": 1, "uid": "u", "creationTimestamp": "now"}
    text = whole(one({"metadata": {"name": "x", **own}, "status": {"phase": "x"}}), MAPS)
    assert text == "metadata:\n  name: x\n  uid: u\n  creationTimestamp: now"
    assert whole(one({"metadata": {"name": "x", **own}}), MAPS, new=True) == "metadata:\n  name: x"
    assert "phase: x" in whole(one({"metadata": {}, "status": {"phase": "x"}}), STATUS)


def test_what_secrets_hold_is_covered_whatever_the_rules_say_and_said_to_have_changed() -> None:
    was = one({"kind": "Secret", "data": {"a": "QQ==", "b": "Qg=="}, "stringData": {"c": "x"}})
    becomes = one({"kind": "Secret", "data": {"a": "QQ==", "b": "Qw=="}, "stringData": {"c": "x", "d": "new"}})
    text = told_diff(was, becomes, SECRETS)
    assert changed(text) == ["-  b: <covered>", f"+  b: {CHANGED}", "+  d: <covered>"]
    for value in ("QQ==", "Qg==", "Qw==", "new"):
        assert value not in text


def test_what_a_rule_covers_is_shown_so_and_its_change_is_said() -> None:
    was = one({"data": {"mail": "a@x.org", "t": "v1"}}, {"data": {"mail": "*", "t": "gbk_" + "a" * 60}})
    becomes = one({"data": {"mail": "b@x.org", "t": "v1"}}, {"data": {"mail": "*", "t": "gbk_" + "a" * 60}})
    text = told_diff(was, becomes, MAPS)
    assert changed(text) == ["-  mail: '*'", f"+  mail: {CHANGED}"]
    assert "gbk_" not in text


def test_an_answer_that_was_covered_into_another_form_is_not_shown_at_all() -> None:
    for covered in ({"data": {}}, {"data": []}, {"data": None}, {"data": 7}):
        assert "secret" not in whole(one({"data": {"a": "secret"}}, covered), MAPS)
    assert whole(one({"data": ["a", "b"]}, {"data": ["a"]}), MAPS) == "data: <covered>"


def test_copies_of_objects_in_annotations_and_tokens_are_covered() -> None:
    applied = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"a":"secret"}}'}
    text = whole(one({"metadata": {"annotations": applied}, "spec": {"token": "secret"}}), MAPS)
    assert text.count("<covered>") == 2
    assert "secret" not in text


def test_detectors_look_at_all_of_it() -> None:
    assert "ada.brown" not in whole(one({"data": {"a": "mail ada.brown@example.com"}}), MAPS)


def test_what_would_move_a_screen_is_escaped_and_no_value_looks_like_a_line_of_the_diff() -> None:
    was, becomes = one({"data": {"a": "x"}}), one({"data": {"a": "x\n+  b: y\u202e\x1b[31m\r"}})
    text = told_diff(was, becomes, MAPS)
    assert all(char == "\n" or char.isprintable() for char in text)
    assert not any(line.startswith("+  b") for line in text.splitlines())


def test_nothing_that_changes_is_said() -> None:
    same = one({"metadata": {"resourceVersion": "1"}}), one({"metadata": {"resourceVersion": "2"}})
    assert told_diff(*same, MAPS) == "(nothing changes)"


def test_a_diff_shows_what_is_around_a_change_and_no_more() -> None:
    was = {f"k{number:02}": "v" for number in range(40)}
    text = told_diff(one({"data": was}), one({"data": was | {"k10": "w", "k30": "w"}}), MAPS).splitlines()
    assert text == [
        "...", "   k07: v", "   k08: v", "   k09: v", "-  k10: v", "+  k10: w", "   k11: v", "   k12: v", "   k13: v",
        "...", "   k27: v", "   k28: v", "   k29: v", "-  k30: v", "+  k30: w", "   k31: v", "   k32: v", "   k33: v",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [20_000, 900])
def test_much_that_differs_takes_no_time_and_has_an_end(count: int) -> None:
    was = {f"k{number}": "same" if number % 2 else f"v{number}" for number in range(count)}
    becomes = {f"k{number}": "same" if number % 3 else f"w{number}" for number in range(count)}
    began = time.monotonic()
    text = told_diff(one({"data": was}), one({"data": becomes}), MAPS)
    assert time.monotonic() - began < 8
    assert len(text.encode()) <= SHOWN_BYTES + 64
    assert count < 1_000 or "more lines not shown" in text


def test_what_holds_an_object_and_whose_it_is_is_told() -> None:
    owners = [{"kind": "ReplicaSet", "name": "web\u202e"}, "odd"]
    told = standing(one({"metadata": {"ownerReferences": owners, "finalizers": ["a/b", 7]}}))
    assert told == [
        "It belongs to ReplicaSet/web\\u202e, which may make another.",
        "It goes once these are done with it: a/b, 7.",
    ]
    assert standing(one({"metadata": {"ownerReferences": 7, "finalizers": "x"}})) == []
