"""A real host: OpenSSH's server on loopback, for the user who runs the tests, with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatebook.cli.demo.processes import answers, free_port, wait_until

READY_SECONDS = 20.0
SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")


def program(name: str) -> str:
    """Where a program of OpenSSH is; `make test` has seen to it that it is there."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise AssertionError(f"{name} was not found: run `make test`, or: apt-get install openssh-server openssh-client rsync")
    return found


def make_key(path: Path) -> Path:
    subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


class Host:
    """Owns its process and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.port = free_port()
        self.user = getpass.getuser()
        self.home = folder / "home"
        self.home.mkdir()
        self.host_key, self.client_key = make_key(folder / "host_key"), make_key(folder / "client_key")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Host:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in, as its package has it
        sftp = next((one for one in SFTP_SERVERS if Path(one).exists()), "internal-sftp")
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.client_key}.pub",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PermitRootLogin prohibit-password",
            "PidFile none",
            "AcceptEnv LANG LC_* SECRET",
            "MaxSessions 200",
            "MaxStartups 200",
            "LogLevel VERBOSE",
            f"Subsystem sftp {sftp}",
        ]
        config = self.folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen([program("sshd"), "-D", "-e", "-f", str(config)], stdout=log, stderr=log)
        if not wait_until(lambda: answers(self.port), READY_SECONDS):
            raise AssertionError(f"sshd did not start:\n{self.log}")
        return self

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")

    @property
    def public_key(self) -> str:
        return Path(f"{self.host_key}.pub").read_text().strip()

    def target(self, **more: Any) -> Mapping[str, Any]:
        """It as a target of a configuration."""
        return {
            "name": "web1", "protocol": "ssh", "address": f"127.0.0.1:{self.port}", "host_keys": [self.public_key],
            "roles": {"deploy": {"user": self.user, "key": str(self.client_key)}}, "default_role": "deploy",
            "labels": {"env": "production"},
        } | more  # fmt: skip

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
