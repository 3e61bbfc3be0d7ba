"""A real host: OpenSSH's server on loopback, for the user who runs the tests, with keys of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatebook.cli.demo import host
from gatebook.cli.demo.host import make_key, program
from gatebook.cli.demo.processes import answers, wait_until

__all__ = ["Host", "make_key", "program"]

READY_SECONDS = 20.0
SETTINGS = ("AcceptEnv LANG LC_* SECRET", "MaxSessions 200", "MaxStartups 200")


class Host(host.Host):
    """Owns its process and its folder."""

    def __init__(self, folder: Path, *more: str) -> None:
        super().__init__(folder, (*SETTINGS, *more))
        self.more = more  # lines of its configuration
        folder.chmod(0o755)
        self.home = folder / "home"
        self.home.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Host:
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(self.argv(), stdout=log, stderr=log)
        if not wait_until(lambda: answers(self.port), READY_SECONDS):
            raise AssertionError(f"sshd did not start:\n{self.log}")
        return self

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")

    def target(self, name: str = "web1", **more: Any) -> Mapping[str, Any]:
        return {**super().target(name), "labels": {"env": "production"}, **more}

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
