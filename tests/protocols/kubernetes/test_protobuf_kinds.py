"""Every kind of Kubernetes in protobuf, against the code of Kubernetes itself: tests/testbed/kube/messages is the judge."""

from __future__ import annotations

import json
import random
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.clusters import PROGRAMS, ROOT, built

from gatebook.protocols.kubernetes.messages import messages
from gatebook.protocols.kubernetes.protobuf import as_json
from gatebook.protocols.kubernetes.protobuf_values import ProtobufError

pytestmark = pytest.mark.real

TABLE = Path("src/gatebook/protocols/kubernetes/messages.txt")
SEEDS = (1, 2)


class Judge:
    """Kubernetes' own reading of objects, in either encoding."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(PROGRAMS / "messages"), "judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def _asked(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        said = json.loads(self._process.stdout.readline())
        return said["fault"] if "fault" in said else (said["json"], said["protobuf"])

    def protobuf(self, content: bytes) -> Any:
        return self._asked(json.dumps({"protobuf": b64encode(content).decode()}))

    def json(self, text: bytes) -> Any:
        return self._asked(f'{{"json":{text.decode()}}}')

    def close(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    built()
    found = Judge()
    yield found
    found.close()


def filled(seed: int) -> list[tuple[Any, bytes]]:
    built()
    argv = [str(PROGRAMS / "messages"), "fill", str(seed)]
    lines = subprocess.run(argv, capture_output=True, check=True, timeout=120).stdout.splitlines()
    return [(told["json"], b64decode(told["protobuf"])) for told in map(json.loads, lines)]


def said(value: Any) -> Any:
    """A value without its nulls: Go writes them for what is missing."""
    if isinstance(value, dict):
        return {key: said(one) for key, one in value.items() if one is not None}
    return [said(one) for one in value] if isinstance(value, list) else value


def test_the_table_is_what_its_script_makes() -> None:
    built()
    made = subprocess.run([str(PROGRAMS / "messages"), "table"], capture_output=True, text=True, check=True).stdout
    assert (ROOT / TABLE).read_text() == made, "run scripts/messages"


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_is_the_json_that_kubernetes_makes_of_it(judge: Judge, seed: int) -> None:
    objects = filled(seed)
    assert {(one["apiVersion"], one["kind"]) for one, _ in objects} == set(messages().kinds)
    for _, content in objects:
        text = as_json(content)
        theirs, _ = judge.protobuf(content)
        assert said(judge.json(text)[0]) == said(theirs)  # what an API server makes of either
        assert said(json.loads(text)) == said(theirs)  # and word for word


def test_damaged_objects_are_what_kubernetes_reads_or_are_refused(judge: Judge) -> None:
    chance = random.Random(7)
    small = [content for _, content in filled(3) if len(content) < 3_000]
    taken = 0
    for _ in range(4_000):
        content = bytearray(chance.choice(small))
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(4, len(content))] = chance.randrange(256)
        try:
            text = as_json(bytes(content))
        except ProtobufError:
            continue
        theirs = judge.protobuf(bytes(content))
        if isinstance(theirs, str):
            continue  # refused by the server, which hears of it as JSON and decides for itself
        taken += 1
        assert said(judge.json(text)[0]) == said(theirs[0])
    assert taken > 100
