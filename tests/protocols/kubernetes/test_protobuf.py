"""Objects in protobuf are the JSON that they say, and nothing that another reader would take otherwise is taken at all."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import plan
from tests.protocols.kubernetes.requests import JSON, SHAPE, facts, known, sent, verbs
from tests.protocols.kubernetes.written import CONTAINER, PRIVILEGED, field, message, pod, varint, wrapped

from gatebook.protocols.http.message import Request
from gatebook.protocols.http.refusal import Problem
from gatebook.protocols.kubernetes.dialect import Kubernetes
from gatebook.protocols.kubernetes.messages import messages
from gatebook.protocols.kubernetes.protobuf import DEPTH, MAGIC, MEDIA_TYPE, VALUES, as_json, decoded
from gatebook.protocols.kubernetes.protobuf_values import SPECIAL, ProtobufError

PODS = "/api/v1/namespaces/prod/pods"
PLAIN = pod((2, CONTAINER))


def posted(target: str = PODS, method: str = "POST", kind: str = MEDIA_TYPE) -> Request:
    return sent(method, target, ("content-type", kind), ("accept", f"{MEDIA_TYPE},application/json"))


def config_map(*fields: tuple[int, Any]) -> bytes:
    return wrapped("v1", "ConfigMap", message(*fields))


def test_a_pod_is_the_json_that_the_same_client_would_send() -> None:
    assert json.loads(as_json(pod((2, PRIVILEGED), (11, True), (4, 0)))) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "namespace": "prod"},
        "spec": {
            "containers": [{"name": "main", "image": "registry/web:1", "securityContext": {"privileged": True}}],
            "hostNetwork": True,
            "terminationGracePeriodSeconds": 0,
        },
        "status": {},
    }


def test_zeros_stay_where_they_say_something() -> None:
    spec = decoded(pod((21, False), (11, False), (10, "")))["spec"]
    assert spec == {"automountServiceAccountToken": False}  # hostNetwork and nodeName cannot be missing: the same as not said


@pytest.mark.parametrize(
    ("number", "value", "expected"),
    [
        (8, message((1, 1_700_000_000), (2, 999)), {"creationTimestamp": "2023-11-14T22:13:20Z"}),
        (8, message((1, -62_135_596_799)), {"creationTimestamp": "0001-01-01T00:00:01Z"}),
        (8, b"", {}),
        (9, b"", {"deletionTimestamp": None}),
        (10, -1, {"deletionGracePeriodSeconds": -1}),
        (7, 2**63 - 1, {"generation": 2**63 - 1}),
        (11, message((1, "a"), (2, "")), {"labels": {"a": ""}}),
        (17, message((7, message((1, b'{"f:a":{}}')))), {"managedFields": [{"fieldsV1": {"f:a": {}}}]}),
        (15, "", {}),  # clusterName, which clients up to 1.23 write empty
    ],
)  # fmt: skip
def test_metadata_in_json(number: int, value: Any, expected: Any) -> None:
    assert decoded(config_map((1, message((number, value)))))["metadata"] == expected


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (-20_000_000, "-20ms"),
        (1_000_000_001, "1.000000001s"),
        (3_600_000_000_000, "1h0m0s"),
        (61_500_000_000, "1m1.5s"),
        (-(2**63), "-2562047h47m16.854775808s"),
    ],
)
def test_a_duration_is_written_as_go_does(nanoseconds: int, expected: str) -> None:
    assert SPECIAL["duration"].value({1: nanoseconds}) == expected


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (message((1, message((1, "a"))), (1, message((1, "b")))), "ConfigMap.metadata twice"),
        (message((99, "x")), "field 99 in ConfigMap, which is not known"),
        (message((1, message((99, True)))), "field 99 in ObjectMeta, which is not known"),
        (message((1, message((15, "cluster")))), "field 15 in ObjectMeta"),
        (message((1, 5)), "wire type varint"),
        (b"\x0b\x0c", "wire type group"),
        (b"\x0d\0\0\0\0", "wire type fixed32"),
        (b"\x0e", "wire type 6"),
        (b"\x02\x00", "field of number 0"),
        (b"\x0a\x05abc", "5 bytes where 3 are left"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "where 0 are left"),
        (b"\x0a\x80", "middle of a number"),
        (b"\x0a" + b"\xff" * 10 + b"\x01", "64 bits"),
        (b"\x0a\x80\x00", "longer than it needs to be"),
        (message((1, message((1, b"\xff")))), "not UTF-8"),
        (message((2, message((1, "a"), (2, "b"))), (2, message((1, "a"), (2, "c")))), "'a' twice in data"),
        (message((2, message((1, "a")))), "without key or value"),
        (message((2, message((2, "a")))), "without key or value"),
        (message((2, message((1, "a"), (1, "b"), (2, "c")))), "more than keys and values"),
        (message((2, message((1, "a"), (2, "c"), (3, "d")))), "more than keys and values"),
        (message((4, 2)), "2 for true or false"),
        (message((1, message((8, message((1, 2**62)))))), "outside of the years"),
        (message((1, message((8, message((1, 1), (2, 2**31 - 1)))))), "nanoseconds"),
        (message((1, message((8, message((3, 1)))))), "not known, or comes twice"),
        (message((1, message((8, message((1, 1), (1, 2)))))), "not known, or comes twice"),
        (message((1, message((17, message((7, message((1, b"k8s\0x")))))))), "not JSON"),
        (message((1, message((17, message((7, message((1, b'{"a":1,"a":2}')))))))), "'a' twice"),
        (message((1, message((17, message((7, message((1, b"[" * 65 + b"]" * 65)))))))), "deeper"),
    ],
)  # fmt: skip
def test_what_another_reader_may_take_otherwise_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(ProtobufError, match=why):
        as_json(wrapped("v1", "ConfigMap", raw))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not begin with"),
        (b'{"kind":"Pod"}', "does not begin with"),
        (MAGIC, "no object in it"),
        (MAGIC + message((2, b"")), "no object in it"),
        (MAGIC + message((1, message((1, "v1"), (2, "Pod")))), "no object in it"),
        (MAGIC + message((1, b""), (2, b"")), "is not known: send it as application/json"),
        (wrapped("v1", "Widget", b""), "is not known: send it as application/json"),
        (wrapped("v1", "WatchEvent", b""), "is not known"),
        (PLAIN + field(2, b""), "its envelope has field 2 twice"),
        (PLAIN + field(1, message((1, "v1"), (2, "Secret"))), "its envelope has field 1 twice"),
        (PLAIN + field(5, b""), "field 5"),
        (wrapped("v1", "Pod", b"", (3, "gzip")), "a way of its own"),
        (wrapped("v1", "Pod", b"", (4, "application/json")), "a way of its own"),
        (MAGIC + message((1, message((1, "v1"), (2, "Pod"), (3, "x"))), (2, b"")), "field 3"),
        (MAGIC + message((1, message((1, "v1"), (2, "Pod"), (2, "Secret"))), (2, b"")), "field 2 twice"),
    ],
)  # fmt: skip
def test_an_envelope_says_one_thing(content: bytes, why: str) -> None:
    with pytest.raises(ProtobufError, match=why):
        as_json(content)


def schema(*fields: tuple[int, Any]) -> bytes:
    """A CustomResourceDefinition with this schema."""
    version = message((1, "v1"), (4, message((1, message(*fields)))))
    return wrapped("apiextensions.k8s.io/v1", "CustomResourceDefinition", message((2, message((7, version)))))


def schema_of(content: bytes) -> Any:
    return decoded(content)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_schemas_are_lists_booleans_and_numbers_as_json_has_them() -> None:
    one = message((5, "string"))
    assert schema_of(schema((24, message((2, one), (2, one))))) == {"items": [{"type": "string"}] * 2}
    assert schema_of(schema((24, message((1, one))))) == {"items": {"type": "string"}}
    assert schema_of(schema((30, message((1, False))))) == {"additionalProperties": False}
    assert schema_of(schema((30, message((1, True), (2, one))))) == {"additionalProperties": {"type": "string"}}
    assert schema_of(schema((8, message((1, b'{"a":[1]}'))))) == {"default": {"a": [1]}}
    whole = varint(9 << 3 | 1) + struct.pack("<d", 1.5)
    crd = message((2, message((7, message((4, message((1, whole))))))))
    assert schema_of(wrapped("apiextensions.k8s.io/v1", "CustomResourceDefinition", crd)) == {"maximum": 1.5}
    for wrong in (float("nan"), float("inf")):
        crd = message((2, message((7, message((4, message((1, varint(9 << 3 | 1) + struct.pack("<d", wrong)))))))))
        with pytest.raises(ProtobufError, match="which JSON has not"):
            decoded(wrapped("apiextensions.k8s.io/v1", "CustomResourceDefinition", crd))


def test_depth_number_and_growth_have_an_end() -> None:
    deep = b""
    for _ in range(DEPTH):
        deep = message((29, message((1, "a"), (2, deep))))
    with pytest.raises(ProtobufError, match=f"deeper than {DEPTH}"):
        decoded(schema((29, message((1, "a"), (2, deep)))))
    with pytest.raises(ProtobufError, match=f"more than {VALUES} values"):
        decoded(pod(*((2, b""),) * (VALUES + 1)))
    with pytest.raises(ProtobufError, match="is JSON of"):
        as_json(pod(*((2, message((15, message((2, False))))),) * 10_000))


def test_packed_and_single_numbers_make_one_list() -> None:
    spec = message((14, message((4, 1), (4, varint(2) + varint(3)), (4, 4))))
    assert decoded(wrapped("v1", "Pod", message((2, spec))))["spec"]["securityContext"] == {"supplementalGroups": [1, 2, 3, 4]}


def test_a_number_of_32_bits_has_no_more() -> None:
    scale = lambda value: decoded(wrapped("autoscaling/v1", "Scale", message((2, message((1, value))))))  # noqa: E731
    assert scale(-5)["spec"] == {"replicas": -5}
    for value in (2**31, -(2**31) - 1, 2**32 + 1):
        with pytest.raises(ProtobufError, match="32 bits"):
            scale(value)


# In a request ------------------------------------------------------------------------------------------------------------


def test_rules_see_what_protobuf_asks_for() -> None:
    reading = known("POST", PODS, pod((2, PRIVILEGED), (12, True)), MEDIA_TYPE)
    assert not reading.fault
    assert verbs(reading) == ["create"]
    told = facts(reading)
    assert (told["name"], told["privileged"], told["host_pid"], told["images"]) == ("x", True, True, {"registry/web:1"})


def test_the_cluster_gets_the_json_that_was_decided_about() -> None:
    dialect, request = Kubernetes(SHAPE), posted()
    told = dialect.plainly(request, PLAIN)
    assert json.loads(told)["kind"] == "Pod"
    assert dict(dialect.kept(request, request.fields, plan())) == {
        b"content-type": b"application/json",
        b"accept": b"application/json",
    }
    assert dialect.meant(request).get(b"content-type") == b"application/json"
    first, again = dialect.read(request, PLAIN), dialect.read(request, told)
    assert not again.fault
    assert [deed.verb for deed in first.deeds] == [deed.verb for deed in again.deeds] == ["k8s.create"]


@pytest.mark.parametrize("content", [MAGIC, PLAIN + b"\x99", PLAIN[:-3], b"k8s", b"\xff", MAGIC + b"{}"])
def test_what_is_no_object_stays_as_it_is_and_is_a_fault(content: bytes) -> None:
    dialect, request = Kubernetes(SHAPE), posted()
    assert dialect.plainly(request, content) == content
    assert dialect.read(request, content).fault


def test_a_kind_that_is_not_the_paths_is_unknown() -> None:
    reading = known("POST", "/api/v1/namespaces/prod/configmaps", PLAIN, MEDIA_TYPE)
    assert "unknown" in verbs(reading)
    assert "of kind 'Pod'" in facts(reading)["why_unknown"]
    reading = known("DELETE", f"{PODS}/x", PLAIN, MEDIA_TYPE)
    assert "DeleteOptions" in reading.fault


def test_a_field_that_would_be_lost_hides_no_privileged_container() -> None:
    assert "would be lost" in known("POST", PODS, pod((2, CONTAINER), (200, PRIVILEGED)), MEDIA_TYPE).fault


def test_options_of_a_deletion_are_read() -> None:
    content = wrapped("v1", "DeleteOptions", message((1, 0), (4, "Orphan"), (5, "All")))
    told = facts(known("DELETE", f"{PODS}/x", content, MEDIA_TYPE))
    assert (told["grace_seconds"], told["propagation"], told["dry_run"]) == (0, "Orphan", True)


def test_a_patch_is_never_protobuf() -> None:
    dialect = Kubernetes(SHAPE)
    assert dialect.read(posted(f"{PODS}/x", "PATCH"), PLAIN).fault
    assert dialect.read(posted(f"{PODS}/x", "PATCH"), dialect.plainly(posted(f"{PODS}/x", "PATCH"), PLAIN)).fault


def test_what_is_proxied_to_somebody_else_keeps_its_type() -> None:
    request = posted(f"{PODS}/x/proxy/metrics")
    assert Kubernetes(SHAPE).meant(request) == request
    assert dict(Kubernetes(SHAPE).kept(request, request.fields, plan()))[b"content-type"] == MEDIA_TYPE.encode()


def test_content_in_cbor_is_answered_so_that_clients_send_json() -> None:
    dialect = Kubernetes(SHAPE)
    for method, kind in (("POST", "application/cbor"), ("PATCH", "application/apply-patch+cbor")):
        reading = dialect.read(posted(PODS if method == "POST" else f"{PODS}/x", method, kind), b"\xd9\xd9\xf7\xa0")
        head, body = dialect.refusal(Problem(403, reading.fault), reading, b"")
        assert (head.status, json.loads(body)["reason"]) == (415, "UnsupportedMediaType")
    head, _ = dialect.refusal(Problem(403, "no"), dialect.read(posted(kind=JSON), b"{}"), b"{}")
    assert head.status == 403


# Whatever comes ----------------------------------------------------------------------------------------------------------

KINDS = sorted(messages().kinds)
PARTS = st.recursive(
    st.one_of(st.integers(-(2**63), 2**64), st.text(max_size=8), st.binary(max_size=8), st.booleans()),
    lambda inner: st.lists(st.tuples(st.integers(1, 40), inner), max_size=6).map(lambda fields: message(*fields)),
    max_leaves=20,
)


@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(1, 40), PARTS), max_size=8), st.data())
def test_damaged_protobuf_raises_one_error_and_nothing_else(
    of: tuple[str, str], fields: list[tuple[int, Any]], data: st.DataObject
) -> None:
    content = bytearray(wrapped(*of, message(*fields)))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        text = as_json(kept)
    except ProtobufError:
        assert known("POST", PODS, kept, MEDIA_TYPE).fault or not kept
    else:
        assert isinstance(json.loads(text), dict)


@given(st.binary(max_size=64))
def test_any_bytes_raise_one_error_and_nothing_else(content: bytes) -> None:
    with pytest.raises(ProtobufError):
        as_json(MAGIC + content if len(content) % 2 else content)
