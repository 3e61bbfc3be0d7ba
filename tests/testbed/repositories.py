"""A git server: ``git http-backend`` behind a small HTTP server that wants a password, and git as its users start it."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PASSWORD = "server-secret-7f3a9c1e"
SECONDS = 60.0  # for a command of a test, on a busy machine


class GitServer:
    """Bare repositories below ``folder``; ``seen`` are the requests that reached it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repositories = folder / "repositories"
        self.repositories.mkdir(parents=True)
        self.password = folder / "git.password"
        self.password.write_text(PASSWORD)
        self.password.chmod(0o600)
        self.seen: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def new(self, name: str) -> Path:
        """A bare repository with one commit on main."""
        folder = self.repositories / f"{name}.git"
        run("git", "init", "-q", "--bare", "-b", "main", str(folder))
        for key, value in {"http.receivepack": "true", "uploadpack.allowFilter": "true"}.items():
            run("git", "-C", str(folder), "config", key, value)
        tree = run("git", "-C", str(folder), "hash-object", "-w", "--stdin", stdin=b"hello\n").strip()
        tree = run("git", "-C", str(folder), "mktree", stdin=b"100644 blob " + tree + b"\treadme.txt\n").strip()
        first = run("git", "-C", str(folder), "commit-tree", "-m", "first", tree.decode()).strip()
        run("git", "-C", str(folder), "update-ref", "refs/heads/main", first.decode())
        return folder

    def head(self, name: str, ref: str = "refs/heads/main") -> str:
        """What a ref of it has; "" for none."""
        argv = ["git", "-C", str(self.repositories / f"{name}.git"), "rev-parse", "-q", "--verify", ref]
        return subprocess.run(argv, capture_output=True, text=True).stdout.strip()

    def target(self, **more: Any) -> dict[str, Any]:
        """As the gateway's configuration has it."""
        return {
            "name": "forge", "protocol": "git", "origins": [f"http://127.0.0.1:{self.port}"], "default_role": "agent",
            "roles": {"agent": {"basic": {"user": "gatebook", "password": f"file:{self.password}"}}},
        } | more  # fmt: skip

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._run()

            def do_POST(self) -> None:
                self._run()

            def log_message(self, *_: Any) -> None:
                pass

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

            def _run(self) -> None:
                content = self._content()
                server.seen.append(f"{self.command} {self.path}")
                wanted = "Basic " + base64.b64encode(f"gatebook:{PASSWORD}".encode()).decode()
                if self.headers.get("Authorization") != wanted:
                    self._say(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
                    return
                path, _, query = self.path.partition("?")
                environment = {
                    "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(server.repositories), "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": "gatebook",
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(content)),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "127.0.0.1",
                }  # fmt: skip
                done = subprocess.run(["git", "http-backend"], input=content, env=environment, capture_output=True)
                head, _, said = done.stdout.partition(b"\r\n\r\n")
                fields = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
                status = next((int(value[:3]) for name, value in fields if name == "Status"), 200)
                self._say(status, [(name, value) for name, value in fields if name != "Status"], said)

            def _say(self, status: int, fields: Sequence[tuple[str, str]], content: bytes) -> None:
                self.send_response(status)
                for name, value in fields:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler


def run(*argv: str, stdin: bytes = b"", folder: Path | None = None, **environment: str) -> bytes:
    """A command that ends well."""
    done = subprocess.run(
        argv, input=stdin, cwd=folder, env=settings(**environment), capture_output=True, timeout=SECONDS
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def settings(**more: str) -> dict[str, str]:
    """An environment in which git knows nobody but who is named here."""
    return {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com", **more,
    }  # fmt: skip
