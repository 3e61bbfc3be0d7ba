"""What a push does, beside what git says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.protocols.git.repository import ZERO, Repository, new_repository, pushed

from gatebook.errors import WireError
from gatebook.model import Deed
from gatebook.protocols.git.diffs import told
from gatebook.protocols.git.history import History, MissingError
from gatebook.protocols.git.meaning import Told, deeds_of, push_told
from gatebook.protocols.git.objects import read_commit, read_tree
from gatebook.protocols.git.pushing import read_push

pytestmark = pytest.mark.real

KEY = "AKIA" + "Q3EGRZL7XK2M5T4B"
MAIN = "refs/heads/main"


@pytest.fixture
def made(tmp_path: Path) -> Repository:
    repository = new_repository(tmp_path / "a")
    repository.commit("first", readme_txt="hello\n", src__app_py="print(1)\n", src__deep__x_py="x = 1\n")
    return repository


def say(made: Repository, *moves: tuple[str, str, str], refs: dict[str, str]) -> tuple[list[Told], History]:
    """Asked again and again, as a gateway asks the target, until all is known."""
    wanted = [new for _, new, _ in moves if new != ZERO]
    pack = made.pack(*wanted, *(f"^{digest}" for digest in refs.values()))
    asked: set[str] = set()
    for _ in range(40):
        history = made.history(pack, asked=asked)
        before = len(asked)
        try:
            return push_told(read_push(pushed(*moves, pack=pack)), history, refs), history
        except MissingError as error:
            asked |= error.digests
        assert len(asked) > before, "asked for what it got"
    raise AssertionError("never enough")


def deed(made: Repository, move: tuple[str, str, str], refs: dict[str, str]) -> Deed:
    found, _ = say(made, move, refs=refs)
    return next(deeds_of(found, "org/app"))


def test_a_push_that_goes_forward_is_told_with_all_that_it_brings(made: Repository) -> None:
    old = made.head
    made.commit("second\n\nAssisted-by: model-x 4.1\nSigned-off-by: Ada <ada@example.com>", src__app_py="print(2)\n")
    new = made.commit("third", migrations__1_sql="DROP TABLE a;\n", readme_txt=None)
    one = deed(made, (old, new, MAIN), {MAIN: old})
    facts = one.facts
    assert (one.verb, one.resource.name) == ("git.push", "org/app/refs/heads/main")
    assert (facts["change"], facts["force"], facts["commits"], facts["files"]) == ("update", False, 2, 3)
    assert facts["paths"] == {"src/app.py", "migrations/1.sql", "readme.txt"}
    assert facts["folders"] == {"src/", "migrations/"}
    assert facts["authors"] == {"ada@example.com"}
    assert facts["committers"] == {"bob@example.com"}
    assert facts["models"] == {"model-x 4.1"}
    assert (facts["unsigned"], facts["merges"], facts["secrets"], facts["why_unknown"]) == (2, 0, frozenset(), "")


def test_what_is_not_a_fast_forward_is_a_force(made: Repository) -> None:
    first = made.head
    old = made.commit("lost", a_txt="1")
    made.git("checkout", "-q", "-b", "other", first)
    new = made.commit("instead", b_txt="1")
    one = deed(made, (old, new, MAIN), {MAIN: old})
    assert one.verb == "git.force"
    assert one.facts["paths"] == {"a.txt", "b.txt"}, "what goes is touched, too"
    back = deed(made, (old, first, MAIN), {MAIN: old})
    assert back.verb == "git.force"
    assert (back.facts["commits"], back.facts["paths"]) == (0, {"a.txt"})


def test_a_ref_that_is_made_brings_what_no_other_ref_has(made: Repository) -> None:
    old = made.head
    new = made.commit("second", a_txt="1")
    one = deed(made, (ZERO, new, "refs/heads/topic"), {MAIN: old})
    assert (one.verb, one.facts["change"], one.facts["commits"], one.facts["branch"]) == ("git.push", "create", 1, "topic")
    whole = deed(made, (ZERO, new, "refs/heads/topic"), {})
    assert (whole.facts["commits"], whole.facts["files"]) == (2, 4)


def test_commits_that_the_target_has_already_are_new_to_a_ref_that_gets_them(made: Repository) -> None:
    old = made.head
    topic = made.commit("second", ci_yml="evil: 1\n")
    one = deed(made, (old, topic, MAIN), {MAIN: old, "refs/heads/topic": topic})
    assert (one.facts["commits"], one.facts["paths"]) == (1, {"ci.yml"})


def test_a_merge_touches_what_differs_from_any_of_its_parents(made: Repository) -> None:
    base = made.head
    made.git("checkout", "-q", "-b", "topic")
    topic = made.commit("topic", t_txt="1")
    made.git("checkout", "-q", "main")
    main = made.commit("main", m_txt="1")
    made.git("merge", "-q", "--no-ff", "--no-commit", "topic")
    merged = made.commit("merge", hidden_txt="only in the merge")
    one = deed(made, (main, merged, MAIN), {MAIN: main})
    assert (one.verb, one.facts["merges"], one.facts["commits"]) == ("git.push", 1, 2)
    assert one.facts["paths"] == {"t.txt", "m.txt", "hidden.txt"}
    assert made.said("merge-base", topic, main) == base


def test_a_secret_that_a_later_commit_takes_away_is_found(made: Repository) -> None:
    old = made.head
    made.commit("oops", settings_env=f"key = {KEY}\n")
    new = made.commit("gone", settings_env=None)
    one = deed(made, (old, new, MAIN), {MAIN: old})
    assert one.facts["secrets"] == {"aws-key"} or "aws" in str(one.facts["secrets"])
    assert "settings.env" in str(one.facts["paths"])


def test_a_secret_that_was_there_already_is_not_brought(made: Repository) -> None:
    old = made.commit("before", settings_env=f"key = {KEY}\nother = 1\n")
    new = made.commit("now", settings_env=f"key = {KEY}\nother = 2\n")
    assert deed(made, (old, new, MAIN), {MAIN: old}).facts["secrets"] == frozenset()


def test_a_secret_in_a_message_is_found(made: Repository) -> None:
    old = made.head
    new = made.commit(f"use {KEY}", a_txt="1")
    assert deed(made, (old, new, MAIN), {MAIN: old}).facts["secrets"]


def test_a_ref_that_goes_and_one_that_is_no_branch(made: Repository) -> None:
    old = made.head
    found, _ = say(
        made, (old, ZERO, "refs/heads/topic"), (ZERO, old, "refs/meta/config"), refs={"refs/heads/topic": old, MAIN: old}
    )
    assert [one.verb for one in deeds_of(found, "a")] == ["git.delete", "git.push", "git.unknown"]


def test_a_tag_that_moves_is_a_force(made: Repository) -> None:
    old = made.head
    new = made.commit("second", a_txt="1")
    made.git("tag", "-a", "v1", "-m", "one")
    tag = made.said("rev-parse", "v1")
    assert deed(made, (ZERO, tag, "refs/tags/v1"), {MAIN: old}).facts["tag"] == "v1"
    assert deed(made, (old, new, "refs/tags/v1"), {MAIN: old, "refs/tags/v1": old}).verb == "git.force"


def test_a_ref_that_is_elsewhere_by_now_is_unknown(made: Repository) -> None:
    old = made.head
    there = made.commit("meanwhile", a_txt="1")
    new = made.commit("second", b_txt="1")
    found, _ = say(made, (old, new, MAIN), refs={MAIN: there})
    assert "not where the client says" in str(list(deeds_of(found, "a"))[-1].facts["why_unknown"])


def test_a_secret_in_the_message_of_a_tag_is_found(made: Repository) -> None:
    old = made.head
    made.git("tag", "-a", "v1", "-m", f"use {KEY}")
    assert deed(made, (ZERO, made.said("rev-parse", "v1"), "refs/tags/v1"), {MAIN: old}).facts["secrets"]


def test_what_a_merge_brings_from_a_branch_with_a_secret_is_brought(made: Repository) -> None:
    """The same file as the branch has it is new to main, though the target has it already."""
    made.git("checkout", "-q", "-b", "topic")
    topic = made.commit("topic", settings_env=f"key = {KEY}\n")
    made.git("checkout", "-q", "main")
    main = made.commit("main", m_txt="1")
    made.git("merge", "-q", "--no-ff", "-m", "merged", "topic")
    one = deed(made, (main, made.head, MAIN), {MAIN: main, "refs/heads/topic": topic})
    assert one.facts["secrets"]


def test_a_ref_that_stands_for_another_or_is_written_alike_is_unknown(made: Repository) -> None:
    old = made.head
    new = made.commit("second", a_txt="1")
    history = made.history(made.pack(new, "^" + old), asked={old, made.said("rev-parse", f"{old}^{{tree}}")})
    push = read_push(pushed((old, new, "refs/heads/alias")))
    (told_,) = push_told(push, history, {"refs/heads/alias": old, MAIN: old}, {"refs/heads/alias"})
    assert "stands for another" in told_.doubts.why
    push = read_push(pushed((ZERO, new, "refs/heads/MAIN")))
    (told_,) = push_told(push, history, {MAIN: old})
    assert "case of its letters" in told_.doubts.why


def test_a_name_of_a_file_cannot_break_out_of_its_line(made: Repository) -> None:
    old = made.head
    (made.folder / "a\n+++ b").write_text("x\n")
    new = made.commit("odd")
    _, history = say(made, (old, new, MAIN), refs={MAIN: old})
    text, _ = told(history, history.between(history.commit(old).tree, history.commit(new).tree))
    assert "\n+++ b" not in text.replace("\n+++ b/", "")


def test_a_link_and_a_module_are_said(made: Repository) -> None:
    old = made.head
    (made.folder / "link").symlink_to("/etc/passwd")
    linked = made.commit("link")
    assert deed(made, (old, linked, MAIN), {MAIN: old}).facts["links"] is True
    made.git("update-index", "--add", "--cacheinfo", f"160000,{old},module")
    made.git("commit", "-q", "-m", "module")
    assert deed(made, (linked, made.head, MAIN), {MAIN: linked}).facts["links"] is True


def test_a_diff_shows_what_git_shows_with_secrets_covered(made: Repository) -> None:
    old = made.head
    new = made.commit("second", src__app_py="print(2)\n", settings_env=f"key = {KEY}\n", b_bin="\0\1", readme_txt=None)
    found, history = say(made, (old, new, MAIN), refs={MAIN: old})
    text, stats = told(history, history.between(history.commit(old).tree, history.commit(new).tree))
    assert KEY not in text
    assert "+key = ****" in text
    theirs = made.said("diff", "--no-color", "--no-renames", old, new)
    mine = [row for row in text.splitlines() if not row.startswith("+key")]
    for row in theirs.splitlines():
        if not row.startswith(("index ", "Binary", "+key")):
            assert row in mine, row
    assert {(one.path, one.added, one.removed) for one in stats} == {
        ("b.bin", -1, -1), ("readme.txt", 0, 1), ("settings.env", 1, 0), ("src/app.py", 1, 1),
    }  # fmt: skip
    assert len(found) == 1


MESSAGES = [
    "subject\n\nbody\n\nA: 1\nB-c: two words\n", "subject\n\nA: 1\n", "subject\n", "A: 1\n", "s\n\nnot: one\nbut text\n",
    "s\n\nbody\nSigned-off-by: A <a@b.c>\nmore\n", "s\n\nA: 1\n  goes on\n", "s\n\nA:1\nB : 2\n", "s\n\nA: \n",
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_trailers_are_those_that_git_finds(made: Repository, message: str) -> None:
    digest = made.said("commit-tree", made.said("rev-parse", "HEAD^{tree}"), stdin=message.encode())
    found = read_commit(made.object(digest).data).trailers
    theirs = made.said("log", "-1", "--format=%(trailers:only,unfold)", digest)
    assert [f"{name}: {value}" for name, value in found] == [row for row in theirs.splitlines() if not row.endswith(":")]


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"a/b", b"", b"."])
def test_a_tree_that_leads_elsewhere_is_an_error(name: bytes) -> None:
    with pytest.raises(WireError):
        read_tree(b"100644 " + name + b"\0" + bytes(20))


@pytest.mark.parametrize("data", [b"", b"tree " + b"0" * 40, b"parent " + b"0" * 40 + b"\n\nx", b"\xff" * 100])
def test_a_commit_that_is_none_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        read_commit(data)
