"""What holds of every request to a cluster, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.kubernetes.requests import APPLY, JSON, JSON_PATCH, MERGE, SHAPE, STRATEGIC, sent

from gatebook.protocols.kubernetes.known import KNOWN
from gatebook.protocols.kubernetes.reading import FACTS, read, wants
from gatebook.protocols.kubernetes.verbs import VERBS

WORDS = st.sampled_from(
    "api apis v1 apps rbac.authorization.k8s.io namespaces prod kube-system pods secrets deployments clusterroles web exec "
    "attach proxy watch status scale log token finalize %2e%2e .. %2f x;y metrics.k8s.io v1beta1 example.com widgets * Ｐ "
    "%00 %zz /".split()
)
PATHS = st.lists(WORDS, max_size=9).map(lambda words: "/" + "/".join(words)) | st.text(max_size=30)
NAMES = st.sampled_from(
    "watch fieldSelector labelSelector dryRun command stdin tty container force propagationPolicy x".split()
)
VALUES = st.sampled_from(["", "1", "0", "true", "All", "metadata.name=x", "sh", "-c", "ls;pwd", "a%5C,b", "%ff", "É"])
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
METHODS = st.sampled_from("GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT get TRACE".split())
KINDS = st.sampled_from(
    ["", JSON, "application/yaml", JSON_PATCH, MERGE, STRATEGIC, APPLY, "application/cbor", "x", "a/b;charset=utf-16"]
)
KEYS = st.sampled_from(
    "kind apiVersion metadata name namespace spec template containers securityContext privileged capabilities add runAsUser "
    "hostPath volumes secret secretName image items replicas rules verbs subjects roleRef type data op path value from $patch "
    "dryRun".split()
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["List", "Pod", "/spec/x", "add", "*", "All"])
)
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
BODIES = st.none() | st.binary(max_size=60) | TREES.map(lambda value: json.dumps(value).encode())


@settings(deadline=None)  # machines are busy
@given(METHODS, PATHS, QUERIES, KINDS, BODIES, st.sampled_from(["", "websocket", "spdy/3.1", "h2c"]))
def test_no_request_makes_it_raise_and_whatever_is_in_doubt_says_so(
    method: str, path: str, query: str, kind: str, body: bytes | None, upgrade: str
) -> None:
    request = sent(method, f"{path}?{query}" if query else path, *([("content-type", kind)] if kind else []), upgrade=upgrade)
    wants(request)
    reading = read(request, body, SHAPE)
    said = [deed.verb for deed in reading.deeds]
    assert said
    assert set(said) <= VERBS.keys()
    assert all(deed.facts.keys() == FACTS.keys() for deed in reading.deeds)
    assert all(type(deed.facts[name]) is type(usual) for deed in reading.deeds for name, usual in FACTS.items())
    assert ("k8s.unknown" in said) == bool(reading.deeds[0].facts["why_unknown"])
    assert not reading.fault or "k8s.unknown" in said
    assert reading.shown.isprintable()
    assert reading.seen.replace("\n", "").isprintable()
    assert read(request, body, SHAPE) == reading


@settings(deadline=None)  # machines are busy
@given(TREES, st.sampled_from(sorted(KNOWN)), st.sampled_from([JSON_PATCH, MERGE, STRATEGIC, APPLY, JSON]))
def test_facts_can_be_said_in_json(value: Any, place: tuple[str, str], kind: str) -> None:
    group, resource = place
    path = f"/apis/{group}/v1/namespaces/prod/{resource}/x" if group else f"/api/v1/namespaces/prod/{resource}/x"
    method = "PUT" if kind == JSON else "PATCH"
    reading = read(sent(method, path, ("content-type", kind)), json.dumps(value).encode(), SHAPE)
    for deed in reading.deeds:
        told = {name: sorted(fact) if isinstance(fact, frozenset) else fact for name, fact in deed.facts.items()}
        assert orjson.dumps(told)


@settings(deadline=None)  # machines are busy
@given(st.sampled_from(sorted(KNOWN)), METHODS, TREES)
def test_what_changes_something_is_never_told_as_a_read(place: tuple[str, str], method: str, value: Any) -> None:
    group, resource = place
    path = f"/apis/{group}/v1/namespaces/prod/{resource}/x" if group else f"/api/v1/namespaces/prod/{resource}/x"
    reading = read(sent(method, path, ("content-type", JSON)), json.dumps(value).encode(), SHAPE)
    furthest = max(deed.reach.rank for deed in reading.deeds)
    if method in ("PUT", "PATCH", "DELETE") or (method == "POST" and not resource.endswith("reviews")):
        assert furthest >= 1
