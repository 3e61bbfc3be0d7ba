"""The demo's git server with repositories for tests, and git as its users start it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from gatebook.cli.demo.forge import MAIN, USER, head, new_repository, server

PASSWORD = "server-secret-7f3a9c1e"
SECONDS = 60.0  # for a command of a test, on a busy machine


class GitServer:
    """Bare repositories below ``folder``; ``seen`` are the requests that reached it."""

    def __init__(self, folder: Path) -> None:
        self.repositories = folder / "repositories"
        self.repositories.mkdir(parents=True)
        self.password = folder / "git.password"
        self.password.write_text(PASSWORD)
        self.password.chmod(0o600)
        self.seen: list[str] = []
        self._server = server(0, self.repositories, PASSWORD, self.seen.append)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def new(self, name: str) -> Path:
        """A repository with one commit on main."""
        folder = self.repositories / f"{name}.git"
        new_repository(folder, **{"readme.txt": "hello\n"})
        return folder

    def head(self, name: str, ref: str = MAIN) -> str:
        """What a ref of it has; "" for none."""
        return head(self.repositories / f"{name}.git", ref)

    def target(self, **more: Any) -> dict[str, Any]:
        """As the gateway's configuration has it."""
        return {
            "name": "forge", "protocol": "git", "origins": [f"http://127.0.0.1:{self._server.server_address[1]}"],
            "roles": {"agent": {"basic": {"user": USER, "password": f"file:{self.password}"}}}, "default_role": "agent",
        } | more  # fmt: skip
