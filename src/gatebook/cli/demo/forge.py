"""The demo's git server: ``git http-backend`` behind a small HTTP server that wants a password. Not for production.

``python -m gatebook.cli.demo.forge PORT FOLDER PASSWORD_FILE`` serves the bare repositories in a folder on loopback.
"""

from __future__ import annotations

import base64
import gzip
import hmac
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

USER = "gatebook"
MAIN = "refs/heads/main"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada Brown",
    "GIT_AUTHOR_EMAIL": "ada@shop.example",
    "GIT_COMMITTER_NAME": "Ada Brown",
    "GIT_COMMITTER_EMAIL": "ada@shop.example",
}


def git(*arguments: str, stdin: bytes = b"") -> bytes:
    """What git prints, which reads no settings of anybody's. Raises CalledProcessError."""
    argv = ["git", *arguments]
    return subprocess.run(argv, input=stdin, env=surroundings(), capture_output=True, check=True).stdout


def surroundings(**more: str) -> dict[str, str]:
    """An environment in which git knows nobody's settings."""
    own = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    return own | {"GIT_TERMINAL_PROMPT": "0"} | _IDENTITY | more


def new_repository(folder: Path, **files: str) -> None:
    """A bare repository with one commit on main."""
    where = str(folder)
    git("init", "-q", "--bare", "-b", "main", where)
    for key, value in {"http.receivepack": "true", "uploadpack.allowFilter": "true"}.items():
        git("-C", where, "config", key, value)
    rows = b""
    for name, text in files.items():
        blob = git("-C", where, "hash-object", "-w", "--stdin", stdin=text.encode()).strip()
        rows += b"100644 blob %b\t%b\n" % (blob, name.encode())
    tree = git("-C", where, "mktree", stdin=rows).strip().decode()
    first = git("-C", where, "commit-tree", "-m", "first", tree).strip().decode()
    git("-C", where, "update-ref", MAIN, first)


def head(folder: Path, ref: str = MAIN) -> str:
    """What a ref of a repository has; "" for none."""
    argv = ["git", "-C", str(folder), "rev-parse", "-q", "--verify", ref]
    return subprocess.run(argv, env=surroundings(), capture_output=True, text=True, check=False).stdout.strip()


def server(port: int, folder: Path, password: str, seen: Callable[[str], None]) -> ThreadingHTTPServer:
    """A server of the repositories in a folder; ``seen`` is told of each request."""
    wanted = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._run()

        def do_POST(self) -> None:
            self._run()

        def log_message(self, *_: Any) -> None:
            pass

        def _run(self) -> None:
            content = self._content()
            seen(f"{self.command} {self.path}")
            if not hmac.compare_digest((self.headers.get("Authorization") or "").encode(), wanted.encode()):
                self._say(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
                return
            path, _, query = self.path.partition("?")
            told = {
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "REMOTE_USER": USER,
                "REMOTE_ADDR": "127.0.0.1",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(content)),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            argv = ["git", "http-backend"]
            done = subprocess.run(argv, input=content, env=surroundings(**told), capture_output=True, check=False)
            answer, _, said = done.stdout.partition(b"\r\n\r\n")
            fields = [(name, value) for name, _, value in (line.partition(": ") for line in answer.decode().split("\r\n"))]
            status = next((int(value[:3]) for name, value in fields if name == "Status"), 200)
            self._say(status, [one for one in fields if one[0] not in ("", "Status")], said)

        def _content(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                content = b"".join(pieces)
            else:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

        def _say(self, status: int, fields: Sequence[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in fields:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    made = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    made.daemon_threads = True
    return made


if __name__ == "__main__":
    _, port, folder, password_file = sys.argv
    server(int(port), Path(folder), Path(password_file).read_text(), lambda request: None).serve_forever()
