"""The demo's host: OpenSSH's own server on loopback, for the user who runs it, with keys of its own. Not for production.

It knows one user, whoever runs the demo: a command that the gateway lets through runs with their rights.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gatebook.cli.demo.processes import PartError, free_port

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")
SETTINGS = (
    "ListenAddress 127.0.0.1",
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "PermitRootLogin prohibit-password",
    "PidFile none",
    "LogLevel VERBOSE",
)


def program(name: str) -> str:
    """Where a program of OpenSSH is. Raises PartError."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise PartError(f"{name} was not found: apt-get install openssh-server openssh-client, or the like, and try again")
    return found


def make_key(path: Path) -> Path:
    """A new key pair. Raises PartError."""
    subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path


class Host:
    """A server, its keys and its port, under one folder. Whoever makes it starts ``argv``."""

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        self.folder = folder
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.port = free_port()
        self.user = getpass.getuser()
        self.host_key, self.client_key = make_key(folder / "host_key"), make_key(folder / "client_key")
        self._settings = settings

    def argv(self) -> list[str]:
        """How it is started, in the foreground and its log on stderr; writes its settings. Raises PartError."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in, as its package has it
        sftp = next((one for one in SFTP_SERVERS if Path(one).exists()), "internal-sftp")
        own = [
            f"Port {self.port}",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.client_key}.pub",
            f"Subsystem sftp {sftp}",
        ]
        config = self.folder / "sshd_config"
        config.write_text("\n".join([*own, *SETTINGS, *self._settings, ""]))
        return [program("sshd"), "-D", "-e", "-f", str(config)]

    @property
    def public_key(self) -> str:
        """What clients and the gateway know it by."""
        return Path(f"{self.host_key}.pub").read_text().strip()

    def target(self, name: str) -> Mapping[str, Any]:
        """It as a target of a configuration."""
        return {
            "name": name,
            "protocol": "ssh",
            "address": f"127.0.0.1:{self.port}",
            "host_keys": [self.public_key],
            "roles": {"deploy": {"user": self.user, "key": str(self.client_key)}},
            "default_role": "deploy",
        }
