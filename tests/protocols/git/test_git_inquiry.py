"""A push is told by what git's own server gives, question by question."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.protocols.git.repository import ZERO, Repository, new_repository, pushed

from gatebook.cli.demo.forge import surroundings
from gatebook.errors import WireError
from gatebook.protocols.git.inquiry import Inquiry
from gatebook.protocols.git.pushing import read_push

pytestmark = pytest.mark.real

MAIN = "refs/heads/main"


@pytest.fixture(params=["with filters", "without"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    made = new_repository(tmp_path / "server")
    made.git("config", "uploadpack.allowFilter", "true" if request.param == "with filters" else "false")
    made.git("config", "receive.denyCurrentBranch", "ignore")
    made.commit("first", readme_txt="hello\n" * 100, src__app_py="print(1)\n")
    return made


def answer(server: Repository, content: bytes | None) -> bytes:
    environment = surroundings(GIT_PROTOCOL="version=2")
    more = ["--advertise-refs"] if content is None else []
    argv = ["git", "upload-pack", "--stateless-rpc", *more, "."]
    return subprocess.run(argv, cwd=server.folder, env=environment, input=content or b"", capture_output=True).stdout


def cloned(server: Repository, tmp_path: Path) -> Repository:
    server.git("clone", "-q", str(server.folder), str(tmp_path / "clone"))
    return Repository(tmp_path / "clone")


def tell(server: Repository, data: bytes, ask: Callable[[bytes | None], bytes] | None = None) -> tuple[Inquiry, int]:
    inquiry = Inquiry(read_push(data), data)
    count = 0
    while (question := inquiry.question()) is not None:
        inquiry.answered(ask(question.content) if ask is not None else answer(server, question.content))
        count += 1
    return inquiry, count


def test_a_push_by_git_itself_is_told(server: Repository, tmp_path: Path) -> None:
    client = cloned(server, tmp_path)
    old = client.head
    new = client.commit("second", src__app_py="print(2)\n", readme_txt="hello\n" * 100 + "more\n")
    data = pushed((old, new, MAIN), pack=client.pack(new, "^" + old, thin=True))
    inquiry, count = tell(server, data)
    assert inquiry.told is not None
    (one,) = inquiry.told
    assert (one.facts["force"], one.facts["commits"]) == (False, 1)
    assert one.facts["paths"] == {"src/app.py", "readme.txt"}
    assert one.doubts.why == ""
    assert count <= 8


def test_a_forced_push_over_a_long_history_is_told(server: Repository, tmp_path: Path) -> None:
    for at in range(60):
        server.commit(f"change {at}", a_txt=str(at))
    client = cloned(server, tmp_path)
    old = client.head
    client.git("checkout", "-q", "HEAD~55")
    new = client.commit("instead", b_txt="1")
    inquiry, count = tell(server, pushed((old, new, MAIN), pack=client.pack(new, "^" + old)))
    assert inquiry.told is not None
    assert inquiry.told[0].facts["force"] is True
    assert inquiry.told[0].facts["paths"] == {"a.txt", "b.txt"}
    assert count < 20


def test_a_merge_with_what_the_target_went_on_to_is_told(server: Repository, tmp_path: Path) -> None:
    client = cloned(server, tmp_path)
    client.git("checkout", "-q", "-b", "topic")
    client.commit("topic", t_txt="1")
    for at in range(40):
        server.commit(f"change {at}", a_txt=str(at))
    client.git("fetch", "-q")
    old = client.said("rev-parse", "origin/main")
    client.git("merge", "-q", "--no-ff", "-m", "merged", "origin/main")
    inquiry, _ = tell(server, pushed((old, client.head, MAIN), pack=client.pack(client.head, "^" + old)))
    assert inquiry.told is not None
    facts = inquiry.told[0].facts
    assert (facts["force"], facts["commits"], facts["merges"]) == (False, 2, 1)
    assert facts["paths"] == {"t.txt", "a.txt"}


def test_a_branch_that_is_made_of_what_is_there_needs_no_pack(server: Repository, tmp_path: Path) -> None:
    head = server.head
    inquiry, _ = tell(server, pushed((ZERO, head, "refs/heads/copy")))
    assert inquiry.told is not None
    assert inquiry.told[0].facts["commits"] == 0


def test_what_nobody_has_is_said(server: Repository) -> None:
    with pytest.raises(WireError, match="git server"):
        tell(server, pushed((ZERO, "5" * 40, "refs/heads/copy")))


def test_a_server_that_lies_is_an_error(server: Repository) -> None:
    data = pushed((ZERO, server.head, "refs/heads/copy"))
    for lie in (b"", b"0000", b"garbage", b"0008ERR ", b"000eversion 1\n0000"):
        with pytest.raises(WireError):
            tell(server, data, lambda content, lie=lie: lie)
    for lie in (b"", b"0000", b"0008NOPE0000", b"000dpackfile\n0009\x01PACK0000", b"000dpackfile\n000a\x03oops!0000"):
        with pytest.raises(WireError):
            tell(server, data, lambda content, lie=lie: lie if b"fetch" in (content or b"") else answer(server, content))
