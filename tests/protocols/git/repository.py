"""A repository made by git itself, and what git says of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from gatebook.cli.demo.forge import surroundings
from gatebook.protocols.git.history import History
from gatebook.protocols.git.objects import Kind, Object
from gatebook.protocols.git.pack import open_pack
from gatebook.protocols.git.pktline import line

ZERO = "0" * 40


@dataclass
class Repository:
    folder: Path
    count: int = 0

    def git(self, *argv: str, stdin: bytes = b"", ends: int = 0) -> bytes:
        self.count += 1
        when = f"{1_700_000_000 + self.count} +0000"
        environment = surroundings(
            GIT_AUTHOR_NAME="Ada", GIT_AUTHOR_EMAIL="Ada@example.com", GIT_AUTHOR_DATE=when,
            GIT_COMMITTER_NAME="Bob", GIT_COMMITTER_EMAIL="bob@example.com", GIT_COMMITTER_DATE=when,
        )  # fmt: skip
        done = subprocess.run(["git", *argv], cwd=self.folder, env=environment, input=stdin, capture_output=True)
        assert done.returncode == ends, done.stderr.decode()
        return done.stdout

    def said(self, *argv: str, stdin: bytes = b"") -> str:
        return self.git(*argv, stdin=stdin).decode().strip()

    def commit(self, message: str = "change", **files: str | None) -> str:
        """Files by name, where ``__`` is a slash and ``_`` a dot; None takes one away."""
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_", ".")
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        return self.said("rev-parse", "HEAD")

    def pack(self, *wanted: str, thin: bool = False) -> bytes:
        """Of what the first reach and those with ``^`` do not."""
        argv = ["pack-objects", "--stdout", "-q", "--revs", "--delta-base-offset", *(["--thin"] if thin else [])]
        if wanted == ("--all",):
            return self.git(*argv, "--all")
        return self.git(*argv, stdin="\n".join(wanted).encode() + b"\n")

    def object(self, digest: str) -> Object:
        kind = self.said("cat-file", "-t", digest)
        return Object(Kind(kind), self.git("cat-file", kind, digest))

    def history(self, pack: bytes, *, asked: set[str] | None = None) -> History:
        """Of what is in a pack, and in the repository where it was asked for."""
        opened = open_pack(pack, outside=self.object)
        return History(
            lambda digest: opened.read(digest) or (self.object(digest) if digest in (asked or set()) else None), opened
        )


def new_repository(folder: Path) -> Repository:
    folder.mkdir(parents=True, exist_ok=True)
    made = Repository(folder)
    made.git("init", "-q", "-b", "main")
    return made


def pushed(*moves: tuple[str, str, str], capabilities: str = "report-status side-band-64k", pack: bytes = b"") -> bytes:
    lines = [f"{old} {new} {ref}".encode() for old, new, ref in moves]
    lines[0] += b"\0 " + capabilities.encode()
    return b"".join(line(one) for one in lines) + b"0000" + pack
