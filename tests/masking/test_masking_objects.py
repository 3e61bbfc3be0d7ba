"""Fields of objects of Kubernetes: names with stars, and values by the name beside them."""

import pytest

from gatebook.masking.fields import TOP, FieldTree
from gatebook.masking.rules import FieldPattern, Level, MaskSet, Style
from gatebook.masking.wild import Wild


def tree(*paths: str) -> FieldTree:
    return FieldTree([MaskSet("settings", (), Style.REDACT, tuple(FieldPattern.of_objects(path) for path in paths))])


def down(found: FieldTree, path: str) -> int:
    """The place of ``env/#/value=DB_HOST``: ``#`` is an item, behind the equals sign stands what the name beside it says."""
    place = TOP
    for step in path.split("/"):
        name, equals, said = step.partition("=")
        if step == "#":
            place = found.item(place)
        else:
            place = found.paired(place, name, said if said != "?" else None) if equals else found.member(place, name)
    return place


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("data.*password*", ("data", Wild("*password*"))),
        ("data.*", ("data", Level.ONE)),
        ('data."tls.key"', ("data", "tls.key")),
        ('data."*"', ("data", "*")),
        ("containers[].env[DB_*]", ("containers", "env", Wild("DB_*", beside=True))),
        ('env["A B"]', ("env", Wild("A B", beside=True))),
        ("env[spring.datasource.*]", ("env", Wild("spring.datasource.*", beside=True))),
        ("**.token", (Level.MANY, "token")),
    ],
)
def test_a_path_is_read_from_its_parts(text, parts):
    assert FieldPattern.of_objects(text) == FieldPattern(parts)


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a.", ".a", "a..b", "a.**", "*", "*.*", "$.a", "a b", "a***", "env[", "env]", "env[a b]", '"a',
        ".".join("a" * 33),        "*".join("a" * 10), "template.spec.containers.env[A]", "jobTemplate.spec.x",
    ],
)  # fmt: skip
def test_a_path_that_would_mean_something_else_is_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match="expected"):
        FieldPattern.of_objects(text)


@pytest.mark.parametrize(
    ("path", "steps", "meant"),
    [
        ("data.*password*", "data/DB_PASSWORD", True),
        ("data.*password*", "items/#/data/db.password.txt", True),
        ("data.*password*", "data/pass", False),
        ("data.*password*", "metadata/password", False),
        ("data.*password*", "data/sub/password", False),
        ("*password*", "fieldsV1/f:password", False),
        ("data.a*a", "data/a", False),
        ("data.a*b*c", "data/acb", False),
        ("data.a*b*c", "data/a-b-c", True),
        ("env[DB_*]", "spec/containers/#/env/#/value=db_host", True),
        ("env[DB_*]", "spec/containers/#/env/#/value=HOME", False),
        ("env[DB_*]", "spec/containers/#/env/#/value=?", True),
        ("env[DB_*]", "spec/containers/#/env/#/value", False),
        ("env[DB_*]", "spec/containers/#/env/#/name=DB_HOST", False),
        ("env[*]", "env/#/name", False),
        ("env[*]", "env/#/valueFrom=DB_HOST", False),
        ("env[DB_*]", "annotations/value=DB_HOST", False),
        ("containers.env[DB_*]", "initContainers/#/env/#/value=DB_HOST", False),
        ("env[DB_*].inner", "env/#/value=DB_HOST/inner", True),
    ],
)
def test_a_path_means_what_its_names_lead_to(path, steps, meant):
    found = tree(path)
    assert (found.style(down(found, steps)) is not None) is meant


def test_what_is_in_binary_data_is_in_base64():
    found = tree("binaryData.*key*", "data.*key*")
    assert found.base64(down(found, "binaryData/a.key"))
    assert not found.base64(down(found, "data/a.key"))


def test_names_that_are_made_to_meet_stars_in_ever_other_ways_take_bounded_memory():
    found = tree("data.*a*", "data.*b*", "x.*c*")
    for number in range(70_000):
        found.member(down(found, "data"), f"{number}abc"[: number % 9 + 1])
    assert len(found._below) < 200
