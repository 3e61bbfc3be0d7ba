"""Histories of any shape: what is new in one, beside sets of all ancestors."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.protocols.git.history import History, MissingError
from gatebook.protocols.git.objects import Kind, Object, digest_of

TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

Graph = list[tuple[tuple[int, ...], int]]


@st.composite
def graphs(draw: st.DrawFn, *, honest: bool) -> Graph:
    """Commits with the numbers of their parents, which come before, and their dates."""
    made: Graph = []
    for at in range(draw(st.integers(2, 24))):
        parents = draw(st.lists(st.integers(0, at - 1), max_size=3, unique=True)) if at else []
        made.append((tuple(parents), at if honest else draw(st.integers(-5, 30))))
    return made


def commits(graph: Graph) -> tuple[dict[str, Object], list[str]]:
    objects: dict[str, Object] = {}
    names: list[str] = []
    for at, (parents, date) in enumerate(graph):
        rows = [f"tree {TREE}", *(f"parent {names[one]}" for one in parents)]
        rows += [f"author A <a@b> {date} +0000", f"committer A <a@b> {date} +0000"]
        data = "\n".join([*rows, "", str(at)]).encode()
        names.append(digest_of(Kind.COMMIT, data))
        objects[names[-1]] = Object(Kind.COMMIT, data)
    return objects, names


def ancestors(graph: Graph, at: int) -> set[int]:
    found, waiting = set(), [at]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += graph[one][0]
    return found


def asked(objects: dict[str, Object], known: set[str], ask: str) -> None:
    assert ask in objects
    assert ask not in known, "asked for what it has"
    known.add(ask)


@settings(max_examples=300)
@given(graphs(honest=True), st.data())
def test_what_is_new_is_what_only_one_history_has(graph: Graph, data: st.DataObject) -> None:
    objects, names = commits(graph)
    new, old = (data.draw(st.integers(0, len(graph) - 1)) for _ in range(2))
    history = History(objects.get)
    truth = {names[at] for at in ancestors(graph, new) - ancestors(graph, old)}
    assert set(history.new_commits(names[new], [names[old]])) == truth
    assert history.is_ancestor(names[old], names[new]) == (old in ancestors(graph, new))


@settings(max_examples=300)
@given(graphs(honest=False), st.data())
def test_dates_that_lie_hide_no_commit_and_make_no_force_a_fast_forward(graph: Graph, data: st.DataObject) -> None:
    objects, names = commits(graph)
    new, old = (data.draw(st.integers(0, len(graph) - 1)) for _ in range(2))
    history = History(objects.get)
    truth = {names[at] for at in ancestors(graph, new) - ancestors(graph, old)}
    assert set(history.new_commits(names[new], [names[old]])) >= truth
    assert not history.is_ancestor(names[old], names[new]) or old in ancestors(graph, new)


@settings(max_examples=300)
@given(graphs(honest=True), st.data())
def test_commits_that_are_asked_for_one_by_one_lead_to_the_same(graph: Graph, data: st.DataObject) -> None:
    objects, names = commits(graph)
    new, old = (data.draw(st.integers(0, len(graph) - 1)) for _ in range(2))
    known = set(data.draw(st.lists(st.sampled_from(names), unique=True)))
    for _ in range(len(names) + 1):
        history = History(lambda digest: objects.get(digest) if digest in known else None)
        try:
            found = set(history.new_commits(names[new], [names[old]]))
        except MissingError as error:
            for digest in error.digests:
                asked(objects, known, digest)
            continue
        assert found == {names[at] for at in ancestors(graph, new) - ancestors(graph, old)}
        return
    raise AssertionError("never enough")
