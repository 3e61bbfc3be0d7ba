"""HTTP targets: the demo's API as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from gatebook.cli.demo.billing import openapi
from gatebook.cli.demo.processes import answers, free_port, wait_until

API_KEY = "billing-key-5f0c2a917be44d"


class BillingApi:
    """The demo's API; ``seen`` is what reached it."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.key, self.log = folder / "billing.key", folder / "billing.log"
        self.document = folder / "billing.json"
        self.key.write_text(API_KEY)
        self.key.chmod(0o600)
        self.log.write_text("")
        self.document.write_text(json.dumps(openapi()))
        argv = [sys.executable, "-m", "gatebook.cli.demo.billing", str(self.port), str(self.key), str(self.log)]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        assert wait_until(lambda: answers(self.port), 20)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def target(self, **more: Any) -> dict[str, Any]:
        """As the gateway's configuration has it."""
        return {
            "name": "billing", "protocol": "http", "origins": [self.origin], "default_role": "agent",
            "roles": {"agent": {"header": {"name": "X-Api-Key", "value": f"file:{self.key}"}}},
            "labels": {"env": "production"}, "masks": ["pii"],
        } | more  # fmt: skip

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
